"""The columns of a batch as the tables of addresses that kernels write and read records by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.address import address_of
from headrace.core.columns import Batch, Fixed, Kind, Text
from headrace.core.errors import InvariantBroken, invariant
from headrace.journal.batch import DECISION_DTYPES, INPUT_DTYPES
from headrace.journal.canonical_kernels import DECISION_BYTES, F_KIND, F_VALUES, FIXED_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.columns import Int64s
    from headrace.journal.batch import Decisions, Inputs, JournalBatch, Quarantined
    from headrace.journal.header import JournalHeader, StreamHeader

#: Up to so many texts, their bytes together bound the longest closely enough.
_FEW = 64

_INT64, _INT16, _FLOAT = np.dtype(np.int64), np.dtype(np.int16), np.dtype(np.float64)
_READ, _SEQ = (("read_ns", _INT64),), (("seq", _INT64),)
_FEATURES = ("features", _FLOAT)
_REASON_FEATURE, _REASON_CONTRIBUTION = ("reason_feature", _INT16), ("reason_contribution", _FLOAT)
#: The fields of what was quarantined, as records have them.
_TOLD = (Kind.TEXT, Kind.TEXT, Kind.TEXT, Kind.TEXT, Kind.INT)
#: The columns of inputs that records hold, with their types.
_RECORDED = [(name, dtype) for name, dtype in INPUT_DTYPES.items() if name != "read_ns"]
_DECIDED = list(DECISION_DTYPES.items())


class RecordLayout:
    """Which fields the records under a header have, and where they stand in tables of fields.

    Attributes:
        streams: For each rank, the first field of its events; at 257 and 258 those of the
            quarantined and of the controls, with the end after them. int64 [260].
        fields: `F_KIND` of every field, the rest zeros; int64 [fields, 4].

    Args:
        streams: With their schemas, by rank.
    """

    def __init__(self, streams: Sequence[StreamHeader]) -> None:
        self.streams = np.zeros(260, dtype=np.int64)
        self.events: list[EventLayout] = []
        kinds: list[Kind] = []
        for rank, stream in enumerate(streams):
            self.streams[rank] = len(kinds)
            self.events.append(EventLayout.of(stream, len(kinds)))
            kinds += [field.kind for field in stream.schema.fields]
        self.streams[len(streams) : 258] = len(kinds)
        kinds += _TOLD
        self.streams[258] = len(kinds)
        kinds.append(Kind.TEXT)
        self.streams[259] = len(kinds)
        self.fields = np.zeros((len(kinds), 4), dtype=np.int64)
        self.fields[:, F_KIND] = kinds


@dataclass(frozen=True, slots=True)
class EventLayout:
    """The fields of a stream's events.

    Attributes:
        name: Of the stream.
        names: Of the fields, in order.
        texts: Names of those that are text.
        is_text: Which are; int64.
        first: The place of the first in tables of fields.
        bytes_fixed: Of an event's record, without the bytes of texts.
    """

    name: str
    names: tuple[str, ...]
    texts: tuple[str, ...]
    is_text: Int64s
    first: int
    bytes_fixed: int

    @staticmethod
    def of(stream: StreamHeader, first: int) -> EventLayout:
        """The layout of a stream whose fields begin there."""
        fields = stream.schema.fields
        is_text = np.array([field.kind is Kind.TEXT for field in fields], dtype=np.int64)
        texts = tuple(field.name for field in fields if field.kind is Kind.TEXT)
        names = stream.schema.names
        return EventLayout(stream.name, names, texts, is_text, first, 9 * len(names))


class RecordTables:
    """The tables of one batch.

    Attributes:
        streams: Of `RecordLayout`.
        fields: For each field `F_KIND`, `F_VALUES`, `F_DATA`, `F_VALID`.
        inputs: `STREAM` to `CONTROL`.
        decisions: `D_SEQ` to `D_CONTRIBUTIONS_STEP`.
        sizes: `S_DECISIONS` to `S_REASONS`, then the rows of each stream.
        bound: No record has more bytes.

    Args:
        batch: Whose columns.
        header: Whose schemas its events are in.
        control_seq: Sequence number of each control record.
        controls: What is recorded of each.

    Raises:
        InvariantBroken: The columns are not what kernels take them for.
    """

    def __init__(
        self, batch: JournalBatch, header: JournalHeader, control_seq: Int64s, controls: Text
    ) -> None:
        invariant(0 <= batch.first_seq < 2**62, "the first sequence number is in range")
        layout = header.layout
        decisions, told = batch.decisions, batch.quarantined
        features, reasons = len(decisions.features), len(decisions.reason_feature)
        self._alive: list[object] = [batch, control_seq, controls]
        self.bound = FIXED_BYTES + 1 + 4 * 4 + DECISION_BYTES + 8 * features + 10 * reasons
        self.streams = layout.streams
        self.fields = layout.fields.copy()
        rows = self._take_events(batch, layout)
        if len(told):
            self._take_told(told, int(layout.streams[257]))
        if len(controls):
            self._take(Batch({"record": controls}, len(controls)), int(layout.streams[258]))
            self.bound += 9 + _longest(controls)
        self.inputs = self._input_table(batch.inputs, told, control_seq)
        self.decisions = self._decision_table(decisions, len(header.features))
        self.sizes = np.array(
            [len(decisions), len(told), len(controls), features, reasons, *rows], dtype=np.int64
        )

    def _take(self, batch: Batch, first: int) -> None:
        """Put the columns of a batch in the table of fields."""
        self._alive.append(batch)
        self.fields[first : first + len(batch.columns), F_VALUES:] = batch.addresses[:, 1:]

    def _take_events(self, batch: JournalBatch, layout: RecordLayout) -> list[int]:
        """The events of every stream; how many there are of each."""
        rows, known = [], 0
        for stream in layout.events:
            events = batch.events.get(stream.name)
            if events is None:
                rows.append(0)
                continue
            known += 1
            rows.append(events.rows)
            if tuple(events.columns) != stream.names:
                raise InvariantBroken(
                    f"the columns of {stream.name} are {tuple(events.columns)}, not those of its"
                    f" schema: {stream.names}"
                )
            if (events.addresses[:, 0] != stream.is_text).any():
                raise InvariantBroken(f"the columns of {stream.name} are of the schema's kinds")
            self._take(events, stream.first)
            self.bound += stream.bytes_fixed
            for name in stream.texts:
                self.bound += _longest(events.columns[name])  # type: ignore[arg-type]  # looked at above
        invariant(known == len(batch.events), "events are of streams of the header")
        return rows

    def _take_told(self, told: Quarantined, first: int) -> None:
        texts = {
            "field": told.field, "value": told.value,
            "expected": told.expected, "vault": told.vault,
        }  # fmt: skip
        length = Fixed(told.length, np.ones(len(told), dtype=np.uint8))
        self._take(Batch({**texts, "length": length}, len(told)), first)
        self.bound += 9 * 5 + sum(_longest(text) for text in texts.values())

    def _addresses(
        self,
        owner: object,
        names: Sequence[tuple[str, np.dtype[Any]]],
        shape: tuple[int, ...],
    ) -> list[int]:
        """Where columns of these types and one shape are; they are kept as long as this object."""
        found = []
        for name, dtype in names:
            column = getattr(owner, name)
            if column.dtype != dtype or column.shape != shape:
                raise InvariantBroken(
                    f"{name} is {dtype} {shape}, not {column.dtype} {column.shape}"
                )
            if not column.flags.c_contiguous:
                column = np.ascontiguousarray(column)
                self._alive.append(column)
            found.append(address_of(column))
        return found

    def _input_table(self, inputs: Inputs, told: Quarantined, control_seq: Int64s) -> Int64s:
        shape = (len(inputs),)
        self._addresses(inputs, _READ, shape)
        return np.array(
            [
                *self._addresses(inputs, _RECORDED, shape),
                *self._addresses(told, _SEQ, (len(told),)),
                address_of(control_seq),
            ],
            dtype=np.int64,
        )

    def _decision_table(self, decisions: Decisions, features: int) -> Int64s:
        count = len(decisions)
        invariant(
            count == 0 or len(decisions.features) == features,
            "decisions carry every feature of the header",
        )
        table = self._addresses(decisions, _DECIDED, (count,))
        reasons = len(decisions.reason_feature)
        for name, rows in (
            (_FEATURES, len(decisions.features)),
            (_REASON_FEATURE, reasons),
            (_REASON_CONTRIBUTION, reasons),
        ):
            table += *self._addresses(decisions, (name,), (rows, count)), name[1].itemsize * count
        return np.array(table, dtype=np.int64)


def _longest(text: Text) -> int:
    """No row of a column has more bytes."""
    if len(text) <= _FEW:
        return int(text.offsets[-1] - text.offsets[0])
    return int(np.diff(text.offsets).max())
