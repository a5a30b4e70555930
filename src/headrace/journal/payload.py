"""A batch as the bytes of a frame's payload, and back, without loss.

A payload is a preamble (JSON: what follows, source positions, times) and sections, each of flat
columns or an Arrow record batch message: the inputs, each stream's events, decisions, their
reasons, what was quarantined, control records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from headrace.core.columns import Batch, Kind, Text
from headrace.core.errors import JournalError, invariant
from headrace.journal.batch import (
    DECISION_TYPES,
    INPUT_TYPES,
    Decisions,
    Inputs,
    JournalBatch,
    Measured,
    Position,
    Quarantined,
)
from headrace.journal.columns import Packer, Unpacker
from headrace.journal.flat_columns import FLAT_ROWS, FlatPacker, FlatUnpacker
from headrace.journal.section import Section

if TYPE_CHECKING:
    from headrace.core.columns import Bytes, Floats, Int64s
    from headrace.journal.batch import Int16s
    from headrace.journal.header import JournalHeader

#: Columns of the section of inputs; `row` is told by `typed`, decisions' `seq` by `decided`.
_INPUT_COLUMNS: list[tuple[str, Any]] = [
    *((name, dtype) for name, dtype in INPUT_TYPES.items() if name != "row"),
    ("typed", np.uint8),
    ("decided", np.uint8),
    ("leaf", np.uint32),
]
_DECISION_INTEGERS = [
    (name, DECISION_TYPES[name]) for name in ("rules", "rule", "outcome", "arm", "marks")
]
_TOLD_TEXTS = ("field", "value", "expected", "vault")


#: What damaged bytes make the readers of JSON and Arrow raise.
_UNREADABLE = (
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    MemoryError,
    OSError,
    EOFError,
    pa.ArrowException,
)


class Preamble(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stands before the sections of a payload."""

    sections: list[Section]
    reasons_most: int = 0
    positions: dict[str, Position] = {}
    measured: Measured = Measured()
    categories: dict[int, str] = {}


_DECODER = msgspec.json.Decoder(Preamble)


def encode_payload(batch: JournalBatch, header: JournalHeader, leaves: Bytes) -> list[Any]:
    """The payload of a batch, as buffers to be written one after the other.

    Args:
        batch: What is journaled.
        header: Its header.
        leaves: Leaf of each input, uint8 [n, 32]; four bytes of each are kept, so that a check
            can name the record that was changed.
    """
    packing = _Packing()
    _pack_inputs(packing, batch, header, leaves)
    _pack_decisions(packing, batch.decisions, header)
    _pack_rest(packing, batch)
    sections, contents = packing.packed()
    preamble = msgspec.json.encode(
        Preamble(
            sections,
            len(batch.decisions.reason_feature),
            dict(batch.positions),
            batch.measured,
            dict(batch.categories),
        )
    )
    preamble += b" " * (-(len(preamble) + 4) % 8)
    head = len(preamble).to_bytes(4, "little") + preamble
    return [head, *contents]


class _Packing:
    """The sections of a payload while they are filled."""

    def __init__(self) -> None:
        self._sections: list[Section] = []
        self._packers: list[Packer | FlatPacker] = []

    def begin(self, name: str, rows: int) -> Packer | FlatPacker:
        """A section of so many rows to pack columns in."""
        section = Section(name, rows, flat=rows <= FLAT_ROWS)
        packer = FlatPacker(section) if section.flat else Packer(section)
        self._sections.append(section)
        self._packers.append(packer)
        return packer

    def packed(self) -> tuple[list[Section], list[Any]]:
        """All sections, and their bytes one after the other."""
        sections, contents = [], []
        for section, packer in zip(self._sections, self._packers, strict=True):
            parts = packer.packed()
            size = sum(memoryview(part).nbytes for part in parts)
            sections.append(msgspec.structs.replace(section, size=size))
            contents += parts
        return sections, contents


def _pack_inputs(
    packing: _Packing, batch: JournalBatch, header: JournalHeader, leaves: Bytes
) -> None:
    """The inputs, and the events of each stream."""
    inputs = batch.inputs
    packer = packing.begin("inputs", len(inputs))
    for name in INPUT_TYPES:
        if name != "row":
            packer.integers(name, getattr(inputs, name))
    decided = np.zeros(len(inputs), dtype=np.uint8)
    decided[batch.decisions.seq - batch.first_seq] = 1
    packer.integers("typed", (inputs.row >= 0).view(np.uint8))
    packer.integers("decided", decided)
    packer.integers("leaf", np.ascontiguousarray(leaves[:, :4]).view(np.uint32)[:, 0])
    for stream in header.streams:
        events = batch.events.get(stream.name)
        if events is None:
            continue
        packer = packing.begin(f"event:{stream.name}", events.rows)
        for field in stream.schema.fields:
            packer.column(field.name, events.columns[field.name], floating=field.kind is Kind.FLOAT)


def _pack_decisions(packing: _Packing, decisions: Decisions, header: JournalHeader) -> None:
    """The decisions, and their reasons one after the other."""
    if not len(decisions):
        return
    packer = packing.begin("decisions", len(decisions))
    for name, _ in _DECISION_INTEGERS:
        packer.integers(name, getattr(decisions, name))
    given = decisions.reason_feature >= 0
    counts = given.sum(axis=0, dtype=np.uint8)
    ordered = bool((given[1:] <= given[:-1]).all())
    invariant(ordered, "reasons come first and -1 after them")
    packer.integers("reasons", counts)
    packer.floats("margin", decisions.margin)
    packer.floats("score", decisions.score)
    packer.matrix([f"feature:{name}" for name in header.features], decisions.features)
    told = given.T
    feature = decisions.reason_feature.T[told]
    if len(feature):
        reasons = packing.begin("reasons", len(feature))
        reasons.integers("feature", feature)
        reasons.floats("contribution", decisions.reason_contribution.T[told])


def _pack_rest(packing: _Packing, batch: JournalBatch) -> None:
    """What was quarantined, and control records."""
    told = batch.quarantined
    if len(told):
        packer = packing.begin("quarantined", len(told))
        packer.integers("seq", told.seq)
        for name in _TOLD_TEXTS:
            packer.column(name, getattr(told, name))
        packer.integers("length", told.length)
    if batch.controls:
        packer = packing.begin("controls", len(batch.controls))
        packer.integers("seq", np.array([seq for seq, _ in batch.controls], dtype=np.int64))
        packer.column("record", Text.of([record.decode() for _, record in batch.controls]))


class _Sections:
    """The sections of a payload by name, taken out one by one."""

    def __init__(self, payload: Bytes) -> None:
        size = int.from_bytes(payload[:4].tobytes(), "little")
        self.preamble = _DECODER.decode(payload[4 : 4 + size].tobytes())
        self._found: dict[str, tuple[Section, Bytes]] = {}
        at = 4 + size
        for section in self.preamble.sections:
            if not 0 <= section.rows < 2**31 or not 0 <= section.size <= len(payload) - at:
                raise JournalError(f"section {section.name} of {section.size} bytes does not fit")
            self._found[section.name] = (section, payload[at : at + section.size])
            at += section.size
        if at != len(payload):
            raise JournalError(f"{len(payload) - at} bytes follow the last section")

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def take(self, name: str, types: list[tuple[str, Any]]) -> tuple[Unpacker | FlatUnpacker, int]:
        section, content = self._found[name]
        if section.flat:
            return FlatUnpacker(section, content, types), section.rows
        return Unpacker(section, content, types), section.rows


def decode_payload(
    payload: Bytes, header: JournalHeader, first_seq: int
) -> tuple[JournalBatch, np.ndarray[Any, np.dtype[np.uint32]]]:
    """The batch of a payload, and the first four bytes of every leaf.

    Raises:
        JournalError: The payload was changed: it cannot be read.
    """
    try:
        return _decoded(payload, header, first_seq)
    except _UNREADABLE as error:
        raise JournalError(f"a payload of {len(payload)} bytes cannot be read: {error}") from error


def _decoded(
    payload: Bytes, header: JournalHeader, first_seq: int
) -> tuple[JournalBatch, np.ndarray[Any, np.dtype[np.uint32]]]:
    sections = _Sections(payload)
    columns, _ = sections.take("inputs", _INPUT_COLUMNS)
    inputs = {name: columns.numbers(name) for name in INPUT_TYPES if name != "row"}
    typed = columns.numbers("typed") != 0
    row = np.full(len(typed), -1, dtype=np.int32)
    for rank in range(len(header.streams)):
        mine = typed & (inputs["stream"] == rank)
        row[mine] = np.arange(np.count_nonzero(mine), dtype=np.int32)
    events = {
        stream.name: _events(sections, stream.name, header)
        for stream in header.streams
        if f"event:{stream.name}" in sections
    }
    decided = np.flatnonzero(columns.numbers("decided")).astype(np.int64) + first_seq
    batch = JournalBatch(
        first_seq,
        Inputs(row=row, **inputs),
        events,
        _decisions(sections, header, decided),
        _quarantined(sections),
        _controls(sections),
        sections.preamble.measured,
        sections.preamble.positions,
        sections.preamble.categories,
    )
    return batch, columns.numbers("leaf")


def _events(sections: _Sections, stream: str, header: JournalHeader) -> Batch:
    fields = header.schema(stream).fields
    layouts: dict[Kind, Any] = {Kind.TEXT: Text, Kind.FLOAT: np.float64}
    types = [(field.name, layouts.get(field.kind, np.int64)) for field in fields]
    columns, rows = sections.take(f"event:{stream}", types)
    return Batch(
        {name: columns.text(name) if kind is Text else columns.fixed(name) for name, kind in types},
        rows,
    )


def _decisions(sections: _Sections, header: JournalHeader, seq: Int64s) -> Decisions:
    most = sections.preamble.reasons_most
    if not 0 <= most < 2**15:
        raise JournalError(f"{most} reasons for a decision are out of range")
    if "decisions" not in sections:
        empty = Decisions.empty(len(header.features))
        return Decisions(
            **{name: getattr(empty, name) for name in DECISION_TYPES},
            features=empty.features,
            reason_feature=np.zeros((most, 0), np.int16),
            reason_contribution=np.zeros((most, 0)),
        )
    names = [f"feature:{name}" for name in header.features]
    floats: list[tuple[str, Any]] = [(name, np.float64) for name in ("margin", "score", *names)]
    columns, rows = sections.take(
        "decisions", [*_DECISION_INTEGERS, ("reasons", np.uint8), *floats]
    )
    if rows != len(seq):
        raise JournalError(f"{rows} decisions are recorded, {len(seq)} inputs are decided")
    features: Floats = np.empty((len(names), rows))
    for values, name in zip(features, names, strict=True):
        values[:] = columns.numbers(name)
    feature: Int16s = np.full((most, rows), -1, dtype=np.int16)
    contribution: Floats = np.zeros((most, rows))
    if "reasons" in sections:
        reasons, _ = sections.take("reasons", [("feature", np.int16), ("contribution", np.float64)])
        given = np.arange(most)[None, :] < columns.numbers("reasons")[:, None]
        feature.T[given] = reasons.numbers("feature")
        contribution.T[given] = reasons.numbers("contribution")
    return Decisions(
        seq=seq,
        features=features,
        margin=columns.numbers("margin"),
        score=columns.numbers("score"),
        reason_feature=feature,
        reason_contribution=contribution,
        **{name: columns.numbers(name) for name, _ in _DECISION_INTEGERS},
    )


def _quarantined(sections: _Sections) -> Quarantined:
    if "quarantined" not in sections:
        return Quarantined.empty()
    texts: list[tuple[str, Any]] = [(name, Text) for name in _TOLD_TEXTS]
    columns, _ = sections.take("quarantined", [("seq", np.int64), *texts, ("length", np.int64)])
    return Quarantined(
        seq=columns.numbers("seq"),
        length=columns.numbers("length"),
        **{name: columns.text(name) for name in _TOLD_TEXTS},
    )


def _controls(sections: _Sections) -> list[tuple[int, bytes]]:
    if "controls" not in sections:
        return []
    columns, _ = sections.take("controls", [("seq", np.int64), ("record", Text)])
    records = columns.text("record").strings()
    return [
        (int(seq), (record or "").encode())
        for seq, record in zip(columns.numbers("seq"), records, strict=True)
    ]
