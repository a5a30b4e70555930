"""A batch as the bytes of a frame's payload, and back, without loss.

A payload is a preamble (JSON: what follows, source positions, times) and sections. Of a large batch
each is an Arrow record batch message: the inputs, each stream's events, decisions, their reasons,
what was quarantined, control records. Of a small one there is one section, the records as they are
hashed: a look at each column would cost more than the bytes it saves.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
from msgspec.structs import replace

from headrace.core.columns import Batch, Kind, Text
from headrace.core.errors import JournalError
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
from headrace.journal.record_reader import batch_of_records
from headrace.journal.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
#: Before the records of a section, for each of them: when its input was read, and its mark.
_MEASURED_BYTES = 8 + 4
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


def encode_payload(
    batch: JournalBatch,
    header: JournalHeader,
    leaves: Bytes,
    records: Sequence[bytes] | None = None,
    *,
    positions: Mapping[str, Position] | None = None,
) -> list[Any]:
    """The payload of a batch, as buffers to be written one after the other.

    Args:
        batch: What is journaled.
        header: Its header.
        leaves: Leaf of each input, uint8 [n, 32]; four bytes of each are kept, so that a check
            can name the record that was changed.
        records: The canonical bytes of its records, in pieces, to be stored as they are; columns
            are stored unless they are given.
        positions: Where every source goes on; those that the batch names unless given.
    """
    packing = _Packing()
    marks = np.ascontiguousarray(leaves[:, :4]).view(np.uint32)[:, 0]
    if records is None:
        _pack_inputs(packing, batch, header, marks)
        _pack_decisions(packing, batch.decisions, header)
        _pack_rest(packing, batch)
    else:
        read = batch.inputs.read_ns.astype("<i8", copy=False).tobytes()
        packing.add(Section("records", len(batch)), [read, marks.tobytes(), *records])
    preamble = msgspec.json.encode(
        Preamble(
            packing.sections,
            len(batch.decisions.reason_feature),
            dict(batch.positions if positions is None else positions),
            batch.measured,
            dict(batch.categories),
        )
    )
    preamble += b" " * (-(len(preamble) + 4) % 8)
    head = len(preamble).to_bytes(4, "little") + preamble
    return [head, *packing.contents]


class _Packing:
    """The sections of a payload while they are filled.

    Attributes:
        sections: What is said of each.
        contents: Their bytes one after the other.
    """

    def __init__(self) -> None:
        self.sections: list[Section] = []
        self.contents: list[Any] = []

    def add(self, section: Section, parts: Sequence[Any]) -> None:
        """A section and its bytes, in parts."""
        size = sum(memoryview(part).nbytes for part in parts)
        self.sections.append(msgspec.structs.replace(section, size=size))
        self.contents += parts

    @contextmanager
    def section(self, name: str, rows: int) -> Iterator[Packer]:
        """A section of so many rows; its columns are packed within the block."""
        packer = Packer(Section(name, rows))
        yield packer
        self.add(packer.section, packer.packed())


def _pack_inputs(
    packing: _Packing,
    batch: JournalBatch,
    header: JournalHeader,
    marks: np.ndarray[Any, np.dtype[np.uint32]],
) -> None:
    """The inputs, and the events of each stream."""
    inputs = batch.inputs
    decided = np.zeros(len(inputs), dtype=np.uint8)
    decided[batch.decisions.seq - batch.first_seq] = 1
    with packing.section("inputs", len(inputs)) as packer:
        for name in INPUT_TYPES:
            if name != "row":
                packer.integers(name, getattr(inputs, name))
        packer.integers("typed", (inputs.row >= 0).view(np.uint8))
        packer.integers("decided", decided)
        packer.integers("leaf", marks)
    for stream in header.streams:
        events = batch.events.get(stream.name)
        if events is None or not events.rows:
            continue
        with packing.section(f"event:{stream.name}", events.rows) as packer:
            for field in stream.schema.fields:
                column = events.columns[field.name]
                packer.column(field.name, column, floating=field.kind is Kind.FLOAT)


def _pack_decisions(packing: _Packing, decisions: Decisions, header: JournalHeader) -> None:
    """The decisions, and their reasons one after the other."""
    if not len(decisions):
        return
    told = decisions.reason_feature.T >= 0
    with packing.section("decisions", len(decisions)) as packer:
        for name, _ in _DECISION_INTEGERS:
            packer.integers(name, getattr(decisions, name))
        packer.integers("reasons", told.sum(axis=1, dtype=np.uint8))
        packer.floats("margin", decisions.margin)
        packer.floats("score", decisions.score)
        for name, values in zip(header.features, decisions.features, strict=True):
            packer.floats(f"feature:{name}", values)
    feature = decisions.reason_feature.T[told]
    if len(feature):
        with packing.section("reasons", len(feature)) as packer:
            packer.integers("feature", feature)
            packer.floats("contribution", decisions.reason_contribution.T[told])


def _pack_rest(packing: _Packing, batch: JournalBatch) -> None:
    """What was quarantined, and control records."""
    told = batch.quarantined
    if len(told):
        with packing.section("quarantined", len(told)) as packer:
            packer.integers("seq", told.seq)
            for name in _TOLD_TEXTS:
                packer.column(name, getattr(told, name))
            packer.integers("length", told.length)
    if batch.controls:
        with packing.section("controls", len(batch.controls)) as packer:
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

    def take(self, name: str, types: list[tuple[str, Any]]) -> tuple[Unpacker, int]:
        """The columns of a section, and its rows."""
        section, content = self.stored(name)
        return Unpacker(section, content, types), section.rows

    def stored(self, name: str) -> tuple[Section, Bytes]:
        """A section and its bytes as they are."""
        return self._found[name]


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


def positions_in(payload: Bytes) -> dict[str, Position]:
    """Where every source goes on after the batch of a payload.

    Raises:
        JournalError: The payload was changed: it cannot be read.
    """
    try:
        return _Sections(payload).preamble.positions
    except _UNREADABLE as error:
        raise JournalError(f"a payload of {len(payload)} bytes cannot be read: {error}") from error


def _decoded(
    payload: Bytes, header: JournalHeader, first_seq: int
) -> tuple[JournalBatch, np.ndarray[Any, np.dtype[np.uint32]]]:
    sections = _Sections(payload)
    if "records" in sections:
        return _of_records(sections, header, first_seq)
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


def _of_records(
    sections: _Sections, header: JournalHeader, first_seq: int
) -> tuple[JournalBatch, np.ndarray[Any, np.dtype[np.uint32]]]:
    section, content = sections.stored("records")
    preamble, rows = sections.preamble, section.rows
    if len(content) < _MEASURED_BYTES * rows:
        raise JournalError(f"{len(content)} bytes hold no {rows} records")
    read_ns = np.frombuffer(content[: 8 * rows].tobytes(), dtype="<i8").astype(np.int64)
    marks = np.frombuffer(content[8 * rows : 12 * rows].tobytes(), dtype=np.uint32)
    records = content[_MEASURED_BYTES * rows :].copy()
    batch = batch_of_records(records, header, first_seq, rows, preamble.reasons_most)
    return (
        replace(
            batch,
            inputs=replace(batch.inputs, read_ns=read_ns),
            measured=preamble.measured,
            positions=preamble.positions,
            categories=preamble.categories,
        ),
        marks,
    )


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
