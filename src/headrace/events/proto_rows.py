"""Protobuf messages of many rows, read by columns.

A message is fields in any order, each behind a tag of its number and its wire type. Programs write
them by number, each once; so field after field is looked for in all rows at once, and what follows
the last is passed over, as Protobuf passes over what it does not know. Rows in which it comes
otherwise (out of order, twice, with another wire type) are for Protobuf's own library.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace.events.row_bytes import zigzag
from headrace.events.row_columns import RowColumn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.core.columns import Int64s
    from headrace.events.row_bytes import RowCursor
    from headrace.events.text_columns import Mask

VARINT, WORD_64, LENGTH, WORD_32 = 0, 1, 2, 5

#: Scalar types by their wire type. `enum` is as `int32`, and texts are as bytes.
WIRE_TYPES = {
    **dict.fromkeys(
        ("bool", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "enum"), VARINT
    ),
    **dict.fromkeys(("double", "fixed64", "sfixed64"), WORD_64),
    **dict.fromkeys(("float", "fixed32", "sfixed32"), WORD_32),
    **dict.fromkeys(("string", "bytes", "message"), LENGTH),
}
#: What the values of integer types lie within; those of 64 bits have every value.
_LIMITS = {
    "bool": (0, 1),
    "int32": (-(2**31), 2**31 - 1),
    "enum": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "sint32": (0, 2**32 - 1),
}
_NANOS = 10**9
#: Seconds whose nanoseconds surely fit 64 bits.
_SECONDS = 9_223_372_035
_FURTHER = 64  # unknown fields that are passed over in one row by columns


@dataclass(frozen=True, slots=True)
class MessageField:
    """A field that is looked for.

    Attributes:
        name: Of the event's field; "" if it is only passed over.
        number: Of the field.
        type: A scalar type, "timestamp", or "message" to be passed over.
        explicit: Whether it can be missing; else it is zero or empty where it does not stand.
        symbols: Names of an enum's numbers.
        held: Whether a scalar is the one field, number 1, of a message of its own.
    """

    name: str
    number: int
    type: str
    explicit: bool = True
    symbols: Mapping[int, bytes] | None = None
    held: bool = False

    @property
    def tag(self) -> bytes:
        """The bytes before a value."""
        is_message = self.held or self.type == "timestamp"
        wire = LENGTH if is_message else WIRE_TYPES[self.type]
        key, found = self.number << 3 | wire, b""
        while key > 127:
            found += bytes([key & 127 | 128])
            key >>= 7
        return found + bytes([key])


def read_messages(
    fields: Sequence[MessageField], known: frozenset[int], cursor: RowCursor
) -> dict[str, RowColumn]:
    """Take all fields from every row; only of rows that the cursor calls good is it certain.

    Args:
        fields: What to look for, by number.
        known: Numbers of all fields that mean something.
        cursor: At the start of every message.
    """
    columns = {}
    for field in fields:
        here = _stands(field.tag, cursor)
        cursor.pass_over(len(field.tag), here)
        column = _held(field, here, cursor) if field.held else _column(field, here, cursor)
        if field.name:
            columns[field.name] = column
    _pass_over_unknown(known, cursor)
    cursor.good = cursor.good & (cursor.at == cursor.ends)
    return columns


def _stands(tag: bytes, cursor: RowCursor) -> Mask:
    """Rows in which a tag comes next."""
    found: Mask = cursor.at + len(tag) <= cursor.ends
    for place, byte in enumerate(tag):
        found &= cursor.data_at(cursor.at + place) == byte
    return found


def _column(field: MessageField, here: Mask, cursor: RowCursor) -> RowColumn:
    present = here if field.explicit else np.ones(len(here), dtype=np.bool_)
    if field.type == "timestamp":
        return RowColumn(pa.timestamp("ns", "UTC"), _timestamps(here, cursor), here)
    if field.type in ("string", "bytes", "message"):
        lengths = cursor.varints(here)
        return RowColumn(pa.large_binary(), cursor.spans(lengths, here), present)
    wire = WIRE_TYPES[field.type]
    if wire == VARINT:
        values = _varints(field, here, cursor)
    else:
        values = cursor.words(8 if wire == WORD_64 else 4, here)
    if field.type == "sfixed32":
        values = values.astype(np.uint32).view(np.int32).astype(np.int64)
    if field.type == "float":
        with np.errstate(invalid="ignore"):  # a NaN may be one that signals
            floats = values.astype(np.uint32).view(np.float32).astype(np.float64)
        values = floats.view(np.int64)
    values = np.where(here, values, 0)
    if field.type == "bool":
        return RowColumn(pa.bool_(), values, present)
    if field.type in ("float", "double"):
        return RowColumn(pa.float64(), values, present)
    if field.type == "enum":
        return _enum(field, values, present, cursor)
    unsigned = field.type in ("uint64", "fixed64")
    return RowColumn(pa.uint64() if unsigned else pa.int64(), values, present)


def _held(field: MessageField, here: Mask, cursor: RowCursor) -> RowColumn:
    """A scalar within a message of its own, which is there even where the scalar is left out."""
    end = _end(here, cursor)
    stands = here & (cursor.at < end) & (cursor.next_bytes() == 1 << 3 | WIRE_TYPES[field.type])
    cursor.pass_over(1, stands)
    column = _column(replace(field, explicit=False), stands, cursor)
    cursor.good = cursor.good & (~here | (cursor.at == end))
    return replace(column, present=here)


def _end(here: Mask, cursor: RowCursor) -> Int64s:
    """Where the message that comes next ends; it is no longer good where the row ends before."""
    lengths = cursor.varints(here)
    fits = (lengths >= 0) & (lengths <= cursor.ends - cursor.at)
    cursor.good = cursor.good & (fits | ~here)
    return cursor.at + np.where(here & fits, lengths, 0)


def _varints(field: MessageField, here: Mask, cursor: RowCursor) -> Int64s:
    values = cursor.varints(here)
    if field.type in _LIMITS:
        least, most = _LIMITS[field.type]
        cursor.good = cursor.good & ((values >= least) & (values <= most) | ~here)
    return zigzag(values) if field.type in ("sint32", "sint64") else values


def _enum(field: MessageField, values: Int64s, present: Mask, cursor: RowCursor) -> RowColumn:
    symbols = field.symbols or {}
    numbers = np.array(sorted(symbols), dtype=np.int64)
    places = np.minimum(np.searchsorted(numbers, values), max(len(numbers) - 1, 0))
    named = numbers[places] == values if len(numbers) else np.zeros(len(values), dtype=np.bool_)
    cursor.good = cursor.good & (named | ~present)
    texts = tuple(symbols[number] for number in numbers.tolist())
    return RowColumn(pa.int64(), np.where(named, places, 0), present, texts)


def _timestamps(here: Mask, cursor: RowCursor) -> Int64s:
    """Nanoseconds of `google.protobuf.Timestamp`: seconds (1) and nanoseconds (2)."""
    end = _end(here, cursor)
    parts = []
    for tag in (0x08, 0x10):
        stands = here & (cursor.at < end) & (cursor.next_bytes() == tag)
        cursor.pass_over(1, stands)
        values = cursor.varints(stands)
        parts.append(np.where(stands, values, 0))
    seconds, nanos = parts
    fits = (seconds >= -_SECONDS) & (seconds <= _SECONDS) & (nanos >= 0) & (nanos < _NANOS)
    cursor.good = cursor.good & (~here | (fits & (cursor.at == end)))
    return np.where(fits, seconds, 0) * _NANOS + np.where(fits, nanos, 0)


def _pass_over_unknown(known: frozenset[int], cursor: RowCursor) -> None:
    """Pass over what follows; a row with a field that is known is no longer good."""
    meaning = np.array(sorted(known), dtype=np.int64)
    for _ in range(_FURTHER):
        going: Mask = cursor.good & (cursor.at < cursor.ends)
        if not going.any():
            return
        key = cursor.varints(going)
        number, wire = key >> 3, key & 7
        plain = (number > 0) & (number < 2**29) & ~np.isin(number, meaning)
        cursor.good = cursor.good & (~going | plain)
        cursor.varints(going & (wire == VARINT))
        cursor.pass_over(8, going & (wire == WORD_64))
        cursor.pass_over(4, going & (wire == WORD_32))
        lengthy = going & (wire == LENGTH)
        lengths = cursor.varints(lengthy)
        cursor.spans(lengths, lengthy)
        cursor.good = cursor.good & (~going | np.isin(wire, (VARINT, WORD_64, WORD_32, LENGTH)))
