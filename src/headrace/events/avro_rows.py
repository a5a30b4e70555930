"""Avro records of many rows, read by columns.

Avro writes the fields of a record one after the other, in the order of the writer's schema and
without their names. So field after field is taken from all rows at once, where it is of a plain
type, or of one that may be null; a field that is not wanted is passed over, whatever its type.
Rows that do not come out even, and schemas whose wanted fields are not plain, are for Avro's own
library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headrace.events.row_bytes import Spans, zigzag
from headrace.events.row_columns import RowColumn

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

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
_WIDTHS = {"float": 4, "double": 8}
_PLAIN = {"boolean", "int", "long", "float", "double", "string", "bytes", "enum", "fixed"}


#: Items of arrays and maps that are passed over by columns in one field of a row.
_MOST_ITEMS = 64


@dataclass(frozen=True, slots=True)
class PassedField:
    """A field that is passed over.

    Attributes:
        type: As it is written in the schema.
        named: The named types that it may refer to.
    """

    type: Any
    named: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AvroField:
    """A field that is taken.

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


def plain_fields(
    writer: Mapping[str, Any], named: Mapping[str, Any], wanted: Collection[str]
) -> list[AvroField | PassedField] | None:
    """The fields of a writer's schema; None where a wanted one is not plain.

    Args:
        writer: A record that is nowhere within itself, references by full names.
        named: The named types in it, by their full names.
        wanted: Names of fields.

    >>> record = {"type": "record", "name": "A", "fields": [{"name": "n", "type": ["null", "int"]}]}
    >>> plain_fields(record, {}, {"n"})[0].null
    0
    >>> record["fields"][0]["type"] = {"type": "array", "items": "int"}
    >>> plain_fields(record, {}, {"n"}) is None, len(plain_fields(record, {}, {}))
    (True, 1)
    """
    found: list[AvroField | PassedField] = []
    for field in writer["fields"]:
        if field["name"] not in wanted:
            found.append(PassedField(field["type"], named))
            continue
        plain = _plain(field["name"], field["type"], named)
        if plain is None:
            return None
        found.append(plain)
    return found


def _plain(name: str, written: Any, named: Mapping[str, Any]) -> AvroField | None:
    null, branches = -1, 0
    if isinstance(written, list):
        kinds = [branch for branch in written if branch != "null"]
        branches = len(written)
        if len(kinds) != 1 or branches > 2:
            return None
        null, written = (written.index("null") if branches == 2 else -1), kinds[0]
    told = _definition(written, named)
    kind = told["type"]
    if not isinstance(kind, str) or kind not in _PLAIN:
        return None
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


def _definition(written: Any, named: Mapping[str, Any]) -> Mapping[str, Any]:
    """A type that is no union, as an object with its `type`."""
    found = named.get(written, written) if isinstance(written, str) else written
    while isinstance(found, dict) and isinstance(found["type"], dict):
        found = found["type"]
    return {"type": found} if isinstance(found, str) else found


def read_plain(
    fields: Sequence[AvroField | PassedField], cursor: RowCursor
) -> dict[str, RowColumn]:
    """Take all fields from every row; only of rows that the cursor calls good is it certain.

    A good row has ended exactly where its bytes do.
    """
    columns = {}
    every = np.ones(len(cursor.good), dtype=np.bool_)
    for field in fields:
        if isinstance(field, AvroField):
            columns[field.name] = _column(field, cursor)
        else:
            _pass_over(field.type, field.named, every, cursor)
    cursor.good = cursor.good & (cursor.at == cursor.ends)
    return columns


def _pass_over(written: Any, named: Mapping[str, Any], where: Mask, cursor: RowCursor) -> None:
    """Go on behind a value of any type, in some of the rows."""
    if not where.any():
        return
    if isinstance(written, list):
        branch = zigzag(cursor.varints(where))
        cursor.good = cursor.good & (~where | ((branch >= 0) & (branch < len(written))))
        for place, kind in enumerate(written):
            _pass_over(kind, named, where & (branch == place), cursor)
        return
    told = _definition(written, named)
    if told["type"] == "record":
        for field in told["fields"]:
            _pass_over(field["type"], named, where, cursor)
    elif told["type"] in ("array", "map"):
        _pass_over_items(told, named, where, cursor)
    else:
        _pass_over_plain(told, where, cursor)


def _pass_over_plain(told: Mapping[str, Any], where: Mask, cursor: RowCursor) -> None:
    kind = told["type"]
    if kind in ("bytes", "string"):
        lengths = zigzag(cursor.varints(where))
        cursor.spans(lengths, where)
    elif kind in ("int", "long"):
        cursor.varints(where)
    elif kind == "enum":
        symbol = zigzag(cursor.varints(where))
        cursor.good = cursor.good & (~where | ((symbol >= 0) & (symbol < len(told["symbols"]))))
    elif kind == "boolean":
        cursor.good = cursor.good & (~where | (cursor.next_bytes() <= 1))
        cursor.pass_over(1, where)
    elif kind != "null":
        cursor.pass_over(told["size"] if kind == "fixed" else _WIDTHS[kind], where)


def _pass_over_items(
    told: Mapping[str, Any], named: Mapping[str, Any], where: Mask, cursor: RowCursor
) -> None:
    """Go on behind blocks of items, which end with an empty one."""
    going = where & cursor.good
    passed = 0
    while going.any():
        count = zigzag(cursor.varints(going))
        # with a negative count the bytes of the block are said too; Avro's library reads those
        plain = (count >= 0) & (count <= _MOST_ITEMS - passed)
        cursor.good = cursor.good & (~going | plain)
        going = going & plain & (count > 0)
        most = int(count[going].max(initial=0))
        for place in range(most):
            inside = going & (place < count)
            if told["type"] == "map":
                key = cursor.spans(zigzag(cursor.varints(inside)), inside)
                # Avro's library reads keys as text, and says what is none
                cursor.good = cursor.good & cursor.is_ascii(key)
            _pass_over(
                told["items" if told["type"] == "array" else "values"], named, inside, cursor
            )
        passed += most
        going = going & cursor.good


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
