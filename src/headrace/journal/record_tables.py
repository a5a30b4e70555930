"""The columns of a batch as the tables of addresses that kernels write and read records by."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.address import address_of, address_of_items
from headrace.core.address_kernels import array_addresses
from headrace.core.columns import Batch, Fixed, Kind, Text
from headrace.core.errors import InvariantBroken, invariant
from headrace.journal.batch import DECISION_DTYPES, INPUT_DTYPES
from headrace.journal.canonical_kernels import (
    CONTROL,
    DECISION_BYTES,
    F_KIND,
    F_VALUES,
    FIXED_BYTES,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Int64s
    from headrace.journal.batch import JournalBatch, Quarantined
    from headrace.journal.header import JournalHeader, StreamHeader

#: Up to so many texts, their bytes together bound the longest closely enough.
_FEW = 64

#: The fields of what was quarantined, as records have them.
_TOLD = (Kind.TEXT, Kind.TEXT, Kind.TEXT, Kind.TEXT, Kind.INT)
#: What a dimension of an array counts: inputs, or what `S_DECISIONS` to `S_REASONS` name.
_INPUTS, _DECISIONS, _QUARANTINED, _CONTROLS, _FEATURES, _REASONS, _NONE = (0, 1, 2, 3, 4, 5, -1)
#: The columns of inputs; records hold all but the first.
_OF_INPUTS = ("read_ns", *(name for name in INPUT_DTYPES if name != "read_ns"))
#: The arrays of decisions that records hold, columns before matrices.
_MATRICES = ("features", "reason_feature", "reason_contribution")
_OF_DECISIONS = (*DECISION_DTYPES, *_MATRICES)
_input_arrays, _decision_arrays = attrgetter(*_OF_INPUTS), attrgetter(*_OF_DECISIONS)
_INT64 = np.dtype(np.int64)
#: All arrays in the order in which they are looked at: name, type, what rows and columns count.
_ARRAYS: list[tuple[str, np.dtype[Any], int, int]] = [
    *((name, INPUT_DTYPES[name], _INPUTS, _NONE) for name in _OF_INPUTS),
    ("quarantined seq", _INT64, _QUARANTINED, _NONE),
    ("control seq", _INT64, _CONTROLS, _NONE),
    *((name, dtype, _DECISIONS, _NONE) for name, dtype in DECISION_DTYPES.items()),
    ("features", np.dtype(np.float64), _FEATURES, _DECISIONS),
    ("reason_feature", np.dtype(np.int16), _REASONS, _DECISIONS),
    ("reason_contribution", np.dtype(np.float64), _REASONS, _DECISIONS),
]
_TYPES = np.array([id(dtype) for _, dtype, _, _ in _ARRAYS], dtype=np.int64)
_SHAPES = np.array([(rows, columns) for _, _, rows, columns in _ARRAYS], dtype=np.int64)
#: Bytes of an element of each matrix.
_ITEM_BYTES = [dtype.itemsize for _, dtype, _, columns in _ARRAYS if columns != _NONE]


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
        is_text: Which are; int64, as bytes.
        first: The place of the first in tables of fields.
        bytes_fixed: Of an event's record, without the bytes of texts.
    """

    name: str
    names: tuple[str, ...]
    texts: tuple[str, ...]
    is_text: bytes
    first: int
    bytes_fixed: int

    @staticmethod
    def of(stream: StreamHeader, first: int) -> EventLayout:
        """The layout of a stream whose fields begin there."""
        fields = stream.schema.fields
        is_text = np.array([field.kind is Kind.TEXT for field in fields], dtype=np.int64)
        texts = tuple(field.name for field in fields if field.kind is Kind.TEXT)
        names = stream.schema.names
        return EventLayout(stream.name, names, texts, is_text.tobytes(), first, 9 * len(names))


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
        counts = [len(batch.inputs), len(decisions), len(told), len(controls), features, reasons]
        invariant(
            len(decisions) == 0 or features == len(header.features),
            "decisions carry every feature of the header",
        )
        arrays = (
            *_input_arrays(batch.inputs),
            told.seq,
            control_seq,
            *_decision_arrays(decisions),
        )
        table = self._addresses(arrays, counts)
        table[len(arrays) :] = [size * len(decisions) for size in _ITEM_BYTES]
        self.inputs = table[1 : 2 + CONTROL]
        self.decisions = table[2 + CONTROL :]
        self.sizes = np.array([*counts[1:], *rows], dtype=np.int64)

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
            if events.addresses[:, 0].tobytes() != stream.is_text:
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

    def _addresses(self, arrays: tuple[NDArray[Any], ...], sizes: list[int]) -> Int64s:
        """Where arrays are, and room for the steps; they are kept as long as this object."""
        self._alive.append(arrays)
        table = np.empty(len(arrays) + len(_MATRICES), dtype=np.int64)
        counts = np.array(sizes, dtype=np.int64)
        done = array_addresses(address_of_items(arrays), _TYPES, _SHAPES, counts, table)
        for place in range(done, len(arrays)):
            name, dtype, rows, columns = _ARRAYS[place]
            shape = (sizes[rows],) if columns == _NONE else (sizes[rows], sizes[columns])
            array = arrays[place]
            if array.dtype != dtype or array.shape != shape:
                raise InvariantBroken(f"{name} is {dtype} {shape}, not {array.dtype} {array.shape}")
            array = np.ascontiguousarray(array)
            self._alive.append(array)
            table[place] = address_of(array)
        return table


def _longest(text: Text) -> int:
    """No row of a column has more bytes."""
    if len(text) <= _FEW:
        return int(text.offsets[-1] - text.offsets[0])
    return int(np.diff(text.offsets).max())
