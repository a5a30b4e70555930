"""What a cursor took of a field of every row, as a column of Arrow that validation reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace.core.columns import Kind
from headrace.events.arrow_columns import MINOR_UNITS
from headrace.events.row_bytes import Spans
from headrace.events.validation import validate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.columns import Bytes, Int64s
    from headrace.events.parsed import Parsed
    from headrace.events.row_bytes import RowBytes
    from headrace.events.schema import Field, Schema
    from headrace.events.text_columns import Mask
    from headrace.events.times import Reading


@dataclass(frozen=True, slots=True)
class RowColumn:
    """One field of all rows.

    Attributes:
        type: What Arrow calls it: large binary of `Spans`, decimal128, bool, or a type of 64 bits.
        values: Integers, bits of doubles, or where the bytes of a text are.
        present: Rows that have it.
        symbols: What integers stand for, if they are places in a list of texts.
    """

    type: pa.DataType
    values: Int64s | Spans
    present: Mask
    symbols: tuple[bytes, ...] | None = None

    def array(self, data: Bytes, rows: Int64s | slice) -> pa.Array:
        """The rows told, as an array of Arrow; `data` is the buffer that spans are of."""
        present = self.present[rows]
        bitmap = None
        if not present.all():
            bitmap = pa.py_buffer(np.packbits(present, bitorder="little"))
        if isinstance(self.values, Spans):
            lengths = np.where(present, self.values.lengths[rows], 0)
            offsets, text = Spans(self.values.starts[rows], lengths).gathered(data)
            buffers = [bitmap, pa.py_buffer(offsets), pa.py_buffer(text)]
            return pa.Array.from_buffers(self.type, len(present), buffers)
        values = np.where(present, self.values[rows], 0)
        if self.symbols is not None:
            names = pa.array(self.symbols, pa.large_binary())
            index = pa.array(values, mask=~present)
            return pa.DictionaryArray.from_arrays(index, names)
        if pa.types.is_boolean(self.type):
            return pa.array(values != 0, self.type, mask=~present)
        if pa.types.is_decimal128(self.type):
            values = np.stack([values, values >> 63], axis=1)
        buffers = [bitmap, pa.py_buffer(np.ascontiguousarray(values))]
        return pa.Array.from_buffers(self.type, len(present), buffers)


def minor_units(field: Field, kind: pa.DataType) -> bool:
    """Whether a column of a binary form holds an amount in minor units: an integer always does."""
    return field.kind is Kind.MONEY and pa.types.is_integer(kind)


def validated(
    schema: Schema,
    columns: Mapping[str, RowColumn],
    rows: RowBytes,
    chosen: Int64s | slice,
    reading: Reading,
) -> Parsed:
    """Some of the rows as events of `schema`; what has no column is missing.

    Args:
        schema: What the rows should be.
        columns: What was read of all rows, by field.
        rows: What was read.
        chosen: The rows that are certain.
        reading: What the source says of its times.
    """
    count = len(rows.starts[chosen])
    fields, arrays = [], []
    for field in schema.fields:
        column = columns.get(field.name)
        array = pa.nulls(count) if column is None else column.array(rows.data, chosen)
        told = MINOR_UNITS if minor_units(field, array.type) else None
        fields.append(pa.field(field.name, array.type, metadata=told))
        arrays.append(array)
    table = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
    return validate(schema, table, reading)
