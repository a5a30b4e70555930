"""Arrow payloads as events: each an IPC stream that holds one row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from headrace.core.errors import DataError
from headrace.events.chunks import checked
from headrace.events.parsed import Parsed
from headrace.events.reasons import LONGEST_EVENT, Reason, Rejected, shown
from headrace.events.times import STRICT, Reading
from headrace.events.validation import validate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.events.schema import Schema

_EXPECTED = "an Arrow IPC stream of one row"


class ArrowPayloads:
    """Reads Arrow IPC streams of one row each as events of one schema; threads may share it.

    Streams of the same columns are read together. An amount is in whole units or a decimal, as in
    a file; integers are minor units where the column's metadata says so.

    Args:
        schema: What each payload should be.
        reading: What the source says of its times where they leave it open.
        longest: The most bytes of a payload; a longer one is refused.

    >>> from headrace.core.columns import Kind
    >>> from headrace.events.schema import Field, Schema
    >>> table = pa.table({"card": ["c1"]})
    >>> sink = pa.BufferOutputStream()
    >>> with pa.ipc.new_stream(sink, table.schema) as writer:
    ...     writer.write_table(table)
    >>> payloads = ArrowPayloads(Schema("Card", (Field("card", Kind.TEXT),)))
    >>> parsed = payloads.parse([sink.getvalue().to_pybytes(), b"?"])
    >>> parsed.batch.text("card").strings(), parsed.rejections[0].reason.text
    (['c1'], 'malformed')
    """

    def __init__(
        self, schema: Schema, reading: Reading = STRICT, *, longest: int = LONGEST_EVENT
    ) -> None:
        self.schema = schema
        self._reading = reading
        self._longest = longest

    def parse(self, payloads: Sequence[bytes]) -> Parsed:
        """Read payloads, one row each."""
        alike: dict[bytes, list[tuple[int, pa.RecordBatch]]] = {}
        refused: list[tuple[int, Rejected]] = []
        for place, payload in enumerate(payloads):
            row = self._row(payload)
            if isinstance(row, Rejected):
                refused.append((place, row))
            else:
                key = row.schema.serialize().to_pybytes()
                alike.setdefault(key, []).append((place, row))
        parts = []
        for group in alike.values():
            places = pa.array([place for place, _ in group]).to_numpy()
            parts.append((self._validated([row for _, row in group]), places))
        if refused or not parts:
            places = pa.array([place for place, _ in refused], pa.int64()).to_numpy()
            parts.append((Parsed.of(self.schema, [why for _, why in refused]), places))
        return Parsed.merged(parts)

    def readable(self, payloads: Sequence[bytes]) -> int:
        """All of them: nothing has to be looked up."""
        return len(payloads)

    def _row(self, payload: bytes) -> pa.RecordBatch | Rejected:
        if len(payload) > self._longest:
            head = shown(payload[:1000])
            return Rejected(Reason.OVERSIZE, "", head, f"at most {self._longest} bytes")
        try:
            with pa.ipc.open_stream(payload) as stream:
                batches = [checked(batch) for batch in stream if batch.num_rows]
                metadata = stream.schema
        except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
            why = f"{_EXPECTED}; {shown(error)}"
            return Rejected(Reason.MALFORMED, "", shown(payload), why)
        if len(batches) != 1 or batches[0].num_rows != 1:
            return Rejected(Reason.MALFORMED, "", shown(payload), _EXPECTED)
        return self._of_the_schema(batches[0], metadata)

    def _of_the_schema(self, row: pa.RecordBatch, told: pa.Schema) -> pa.RecordBatch:
        """The columns that the schema has, those that are not there as missing."""
        fields, arrays = [], []
        for field in self.schema.fields:
            places = row.schema.get_all_field_indices(field.name)
            array = row.column(places[0]) if places else pa.nulls(1)
            metadata = told.field(places[0]).metadata if places else None
            fields.append(pa.field(field.name, array.type, metadata=metadata))
            arrays.append(array)
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

    def _validated(self, rows: list[pa.RecordBatch]) -> Parsed:
        try:
            return validate(self.schema, pa.Table.from_batches(rows), self._reading)
        except DataError as error:
            why = Rejected(Reason.WRONG_TYPE, "", shown(error), "columns of plain types")
            return Parsed.of(self.schema, [why] * len(rows))
