"""Flat Avro records of many rows, read by columns.

Avro writes the fields of a record one after the other, in the order of the writer's schema and
without their names. A schema whose fields are all of plain types, or of one that may be null, is
*flat*: field after field is taken from all rows at once. Rows that do not come out even, and
schemas that are not flat, are for Avro's own library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headrace.events.row_bytes import Spans, zigzag
from headrace.events.row_columns import RowColumn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.core.columns import Int64s
    from headrace.events.row_bytes import RowCursor
    from headrace.events.text_columns import Mask

_INT32_MAX = 2**31 - 1

#: Arrow's words for what a `long` means.
_TIMES = {
    "timestamp-millis": pa.timestamp("ms", "UTC"),
    "timestamp-micros": pa.timestamp("us", "UTC"),
    "timestamp-nanos": pa.timestamp("ns", "UTC"),
    "local-timestamp-millis": pa.timestamp("ms"),
    "local-timestamp-micros": pa.timestamp("us"),
    "local-timestamp-nanos": pa.timestamp("ns"),
}
_PLAIN = {"boolean", "int", "long", "float", "double", "string", "bytes", "enum", "fixed"}


@dataclass(frozen=True, slots=True)
class AvroField:
    """A field of a flat record.

    Attributes:
        name: Of the field.
        type: Its Avro type, which is plain.
        null: Which branch of its union is null; -1 where there is no union.
        branches: How many branches the union has.
        logical: Its logical type, or "".
        scale: Of a decimal.
        size: Of a `fixed`, in bytes.
        symbols: Of an `enum`.
    """

    name: str
    type: str
    null: int = -1
    branches: int = 0
    logical: str = ""
    scale: int = 0
    size: int = 0
    symbols: tuple[bytes, ...] = ()


def flat_fields(writer: Mapping[str, Any]) -> list[AvroField] | None:
    """The fields of a writer's schema; None where it is not flat.

    Args:
        writer: A record, with every reference to a named type by its full name.

    >>> record = {"type": "record", "name": "A", "fields": [{"name": "n", "type": ["null", "int"]}]}
    >>> flat_fields(record)[0].null
    0
    >>> record["fields"][0]["type"] = {"type": "array", "items": "int"}
    >>> flat_fields(record) is None
    True
    """
    named: dict[str, Mapping[str, Any]] = {}
    fields = [_flat(field["name"], field["type"], named) for field in writer["fields"]]
    known = [field for field in fields if field is not None]
    return known if len(known) == len(fields) else None


def _flat(name: str, written: Any, named: dict[str, Mapping[str, Any]]) -> AvroField | None:
    null, branches = -1, 0
    if isinstance(written, list):
        kinds = [branch for branch in written if branch != "null"]
        branches = len(written)
        if len(kinds) != 1 or branches > 2:
            return None
        null, written = (written.index("null") if branches == 2 else -1), kinds[0]
    while isinstance(written, str) and written in named:
        written = named[written]
    told: Mapping[str, Any] = {"type": written} if isinstance(written, str) else written
    kind = told["type"]
    if not isinstance(kind, str) or kind not in _PLAIN:
        return None
    if "name" in told:
        named[told["name"]] = told
    logical = told.get("logicalType", "")
    if logical == "uuid" and kind == "fixed":
        return None
    return AvroField(
        name,
        kind,
        null,
        branches,
        logical if isinstance(logical, str) else "",
        told.get("scale", 0),
        told.get("size", 0),
        tuple(symbol.encode() for symbol in told.get("symbols", ())),
    )


def read_flat(fields: Sequence[AvroField], cursor: RowCursor) -> dict[str, RowColumn]:
    """Take all fields from every row; only of rows that the cursor calls good is it certain.

    A good row has ended exactly where its bytes do.
    """
    columns = {field.name: _column(field, cursor) for field in fields}
    cursor.good = cursor.good & (cursor.at == cursor.ends)
    return columns


def _column(field: AvroField, cursor: RowCursor) -> RowColumn:
    present = np.ones(len(cursor.good), dtype=np.bool_)
    where: Mask | None = None
    if field.branches:
        branch = cursor.next_bytes()
        cursor.pass_over(1)
        cursor.good = cursor.good & (branch >> 1 < field.branches) & (branch & 1 == 0)
        if field.null >= 0:
            where = present = branch >> 1 != field.null
    if field.type in ("int", "long"):
        return _integers(field, zigzag(cursor.varints(where)), present, cursor)
    if field.type == "boolean":
        truth = cursor.next_bytes().astype(np.int64)
        cursor.pass_over(1, where)
        cursor.good = cursor.good & ((truth <= 1) | ~present)
        return RowColumn(pa.bool_(), truth, present)
    if field.type == "double":
        return RowColumn(pa.float64(), cursor.words(8, where), present)
    if field.type == "float":
        bits = cursor.words(4, where).astype(np.uint32)
        with np.errstate(invalid="ignore"):  # a NaN may be one that signals
            doubles = bits.view(np.float32).astype(np.float64)
        return RowColumn(pa.float64(), doubles.view(np.int64), present)
    if field.type == "enum":
        places = zigzag(cursor.varints(where))
        inside = (places >= 0) & (places < len(field.symbols))
        cursor.good = cursor.good & (inside | ~present)
        return RowColumn(pa.int64(), np.where(inside, places, 0), present, field.symbols)
    return _bytes(field, present, where, cursor)


def _integers(field: AvroField, values: Int64s, present: Mask, cursor: RowCursor) -> RowColumn:
    kind: pa.DataType = pa.int64()
    if field.type == "int":
        fits = (values <= _INT32_MAX) & (values >= -_INT32_MAX - 1)
        cursor.good = cursor.good & (fits | ~present)
        if field.logical == "date":
            # milliseconds, since days have 32 bits in Arrow
            return RowColumn(pa.date64(), np.where(fits, values, 0) * 86_400_000, present)
    elif field.logical in _TIMES:
        kind = _TIMES[field.logical]
    return RowColumn(kind, values, present)


def _bytes(field: AvroField, present: Mask, where: Mask | None, cursor: RowCursor) -> RowColumn:
    if field.type == "fixed":
        lengths = np.full(len(present), field.size, dtype=np.int64)
    else:
        lengths = zigzag(cursor.varints(where))
    spans = cursor.spans(lengths, where)
    if field.logical == "decimal" and field.type in ("bytes", "fixed"):
        return _decimals(field, spans, present, cursor)
    return RowColumn(pa.large_binary(), spans, present)


def _decimals(field: AvroField, spans: Spans, present: Mask, cursor: RowCursor) -> RowColumn:
    """Big-endian integers of at most 8 bytes; longer ones are left to Avro's library."""
    short = (spans.lengths > 0) & (spans.lengths <= 8) & (0 <= field.scale <= 18)
    cursor.good = cursor.good & (short | ~present)
    lengths = np.where(short, spans.lengths, 0)
    first = cursor.data_at(spans.starts).view(np.int8).astype(np.int64)
    value = np.where(lengths > 0, first, 0)
    for place in range(1, int(lengths.max(initial=0))):
        following = value << 8 | cursor.data_at(spans.starts + place)
        value = np.where(place < lengths, following, value)
    return RowColumn(pa.decimal128(38, min(max(field.scale, 0), 18)), value, present)
