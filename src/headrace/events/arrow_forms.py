"""Batches as Arrow: values as people and other programs expect them.

Times are `timestamp[ns, UTC]`, currencies and countries are text, truth values are `bool`.
`Decimal` and `Money` in a fixed currency are `decimal128` with the digits of the field or currency;
`Money` whose currency varies has four digits after the point, which is what the finest currency
(CLF, UYW) needs: 12.3400 is 12.34 EUR. Validation reads all of it back to the same batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace.core.columns import Batch, Column, Fixed, Kind, Text, unpack_letters
from headrace.events import currencies

if TYPE_CHECKING:
    from headrace.core.columns import Bytes, Int64s
    from headrace.events.schema import Field, Schema

#: Digits after the point of an amount whose currency varies: those of the finest currency.
DIGITS_OF_ANY = 4

# 2 ** 53 has 16 digits; an amount in any currency may need four more.
_PRECISION = 18
_PRECISION_OF_ANY = 22

_TIME = pa.timestamp("ns", "UTC")


def arrow_schema(schema: Schema) -> pa.Schema:
    """The Arrow schema of what `to_arrow` gives.

    >>> from headrace.events.schema import Field, Schema
    >>> print(arrow_schema(Schema("Fee", (Field("fee", Kind.MONEY, currency="EUR", scale=2),))))
    fee: decimal128(18, 2) not null
    """
    return pa.schema(
        [pa.field(field.name, _natural(field), nullable=field.optional) for field in schema.fields]
    )


def to_arrow(schema: Schema, batch: Batch) -> pa.RecordBatch:
    """A batch with natural Arrow types, for people and other programs."""
    columns = [_to_natural(field, batch) for field in schema.fields]
    return pa.RecordBatch.from_arrays(columns, schema=arrow_schema(schema))


def _natural(field: Field) -> pa.DataType:
    if field.kind is Kind.MONEY and field.currency_field:
        return pa.decimal128(_PRECISION_OF_ANY, DIGITS_OF_ANY)
    if field.kind in (Kind.MONEY, Kind.DECIMAL):
        return pa.decimal128(_PRECISION, field.scale)
    return {
        Kind.BOOL: pa.bool_(),
        Kind.INT: pa.int64(),
        Kind.FLOAT: pa.float64(),
        Kind.TIME: _TIME,
    }.get(field.kind, pa.string())


def _to_natural(field: Field, batch: Batch) -> pa.Array:
    column = batch.columns[field.name]
    kind = _natural(field)
    if isinstance(column, Text) or field.kind in (Kind.INT, Kind.FLOAT, Kind.TIME):
        return _array(column, kind)
    if field.kind is Kind.BOOL:
        return pa.array(column.values != 0, kind, mask=column.valid == 0)
    if field.kind in (Kind.CURRENCY, Kind.COUNTRY):
        return _codes(column, 3 if field.kind is Kind.CURRENCY else 2)
    factor = np.ones(len(column), dtype=np.int64)
    if field.currency_field:
        by = batch.fixed(field.currency_field)
        digits = np.where(by.valid != 0, currencies.digits_by_letters()[by.values], 0)
        factor = 10 ** (DIGITS_OF_ANY - digits.astype(np.int64))
    words = _product(column.values, factor)
    return pa.Array.from_buffers(kind, len(column), [_bitmap(column.valid), pa.py_buffer(words)])


def _product(values: Int64s, factors: Int64s) -> Int64s:
    """Products as 128-bit integers, two words each, the lower first; factors are below 2 ** 31."""
    lower = (values & 0xFFFFFFFF) * factors
    upper = (values >> 32) * factors + (lower >> 32)
    words = np.empty((len(values), 2), dtype=np.int64)
    words[:, 0] = (upper << 32) | (lower & 0xFFFFFFFF)
    words[:, 1] = upper >> 32
    return words


def _codes(column: Fixed, letters: int) -> pa.Array:
    distinct, places = np.unique(column.values, return_inverse=True)
    names = pa.array([unpack_letters(int(code), letters) for code in distinct], pa.string())
    index = pa.array(places.astype(np.int32), mask=column.valid == 0)
    return pa.DictionaryArray.from_arrays(index, names).dictionary_decode()


def _bitmap(valid: Bytes) -> pa.Buffer | None:
    if valid.all():
        return None
    return pa.py_buffer(np.packbits(valid != 0, bitorder="little"))


def _array(column: Column, kind: pa.DataType) -> pa.Array:
    """The column's own memory as an Arrow array."""
    if isinstance(column, Fixed):
        data = [pa.py_buffer(np.ascontiguousarray(column.values))]
    else:
        data = [
            pa.py_buffer(np.ascontiguousarray(column.offsets)),
            pa.py_buffer(np.ascontiguousarray(column.data)),
        ]
    return pa.Array.from_buffers(kind, len(column), [_bitmap(column.valid), *data])
