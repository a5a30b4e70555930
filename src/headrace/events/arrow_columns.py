"""Columns of Arrow read all at once into the canonical values of a field.

`ArrowColumn` knows one column in two ways: `read` gives the values of the rows that it is certain
of, and `at` gives any one row as Python holds it, for `values.read_value` to decide the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.core.columns import Kind, Text
from headrace.core.errors import DataError
from headrace.events.decimals import TOLERANCE
from headrace.events.schema import EXACT_LIMIT
from headrace.events.text_columns import (
    POWERS,
    Mask,
    TextSource,
    is_utf8,
    offsets,
    read_codes,
    read_floats,
    read_times,
    read_truths,
    read_units,
    rescale,
    rows_holding,
)
from headrace.events.times import EPOCH_DIGITS, NS_PER_SECOND, TIME_MAX, TIME_MIN, Stamp
from headrace.events.values import NEVER_EMPTY, MinorUnits

if TYPE_CHECKING:
    from headrace.core.columns import Floats, Int64s
    from headrace.events.schema import Field
    from headrace.events.times import Reading

_UNITS = (Kind.INT, Kind.DECIMAL, Kind.MONEY)
_LETTERS = {Kind.CURRENCY: 3, Kind.COUNTRY: 2}
_TICKS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_DOUBLE_EXACT = 2**53
_MOST_DIGITS = 76

#: Metadata of an Arrow field whose integers count the minor units of an amount's currency.
MINOR_UNITS = {b"headrace.unit": b"minor"}


@dataclass(frozen=True, slots=True)
class Read:
    """The rows that a column is certain of.

    Attributes:
        values: Canonical values, or the text; whatever stands in other rows means nothing.
        good: Which rows are certain; never a missing one.
    """

    values: Int64s | Text
    good: Mask


class ArrowColumn:
    """One column as it came, its encoding (dictionary, runs, views) undone.

    Args:
        name: Of the column, for messages.
        column: Its values.
        minor: Whether integers in it count the minor units of an amount.
    """

    def __init__(self, name: str, column: pa.Array, *, minor: bool = False) -> None:
        self.column = _plain(name, column)
        self._minor = minor and pa.types.is_integer(self.column.type)
        self.rows = len(self.column)
        kind = self.column.type
        self.text = text_source(self.column) if pa.types.is_large_binary(kind) else None
        self.present: Mask = _present(self.column)
        if self.text is not None:
            self.present = self.text.present
        if pa.types.is_float64(kind):
            self.present = self.present & ~np.isnan(_numbers(self.column))

    def read(self, field: Field, digits: Int64s, reading: Reading) -> Read:
        """What is certain of this column as `field`; `digits` after the point, row by row."""
        kind = self.column.type
        if self.text is not None:
            values, good = _from_text(field, self.text, digits, reading)
        elif pa.types.is_integer(kind):
            values, good = self._from_integers(field, digits, reading)
        elif pa.types.is_float64(kind):
            values, good = _from_floats(field, _numbers(self.column), digits)
        elif pa.types.is_decimal128(kind):
            values, good = self._from_decimals(field, digits, reading)
        elif pa.types.is_temporal(kind):
            values, good = self._from_stamps(field, reading)
        elif pa.types.is_boolean(kind) and field.kind is Kind.BOOL:
            values = _numbers(self.column).astype(np.int64)
            good = np.ones(self.rows, dtype=np.bool_)
        else:
            values, good = _nothing(self.rows)
        if field.kind is Kind.TEXT and not isinstance(values, Text):
            values = Text.of([None] * self.rows)
        return Read(values, good & self.present)

    def at(self, row: int) -> object:
        """One row as `values.read_value` takes it."""
        if not self.present[row]:
            return None
        if self.text is not None:
            return self.text.at(row)
        kind = self.column.type
        if pa.types.is_timestamp(kind):
            ticks = self.column[row].value
            return Stamp(ticks * _TICKS[kind.unit], zoned=kind.tz is not None)
        if pa.types.is_date32(kind):
            return Stamp(self.column[row].value * 86_400 * NS_PER_SECOND, zoned=False)
        if pa.types.is_date64(kind):
            return Stamp(self.column[row].value * _TICKS["ms"], zoned=False)
        value = self.column[row].as_py()
        return MinorUnits(value) if self._minor else value

    def _from_integers(
        self, field: Field, digits: Int64s, reading: Reading
    ) -> tuple[Int64s | Text, Mask]:
        if field.kind is Kind.TEXT:
            written = text_source(self.column.cast(pa.string()).cast(pa.large_binary()))
            return _from_text(field, written, digits, reading)
        fits = np.ones(self.rows, dtype=np.bool_)
        if pa.types.is_uint64(self.column.type):
            unsigned = _numbers(self.column)
            fits = unsigned <= np.uint64(2**63 - 1)
            values = np.where(fits, unsigned, 0).astype(np.int64)
        else:
            values = _numbers(self.column).astype(np.int64)
        counts = self._minor and field.kind is Kind.MONEY
        return _from_units(
            field, values, digits if counts else np.zeros_like(values), digits, reading, fits
        )

    def _from_decimals(
        self, field: Field, digits: Int64s, reading: Reading
    ) -> tuple[Int64s | Text, Mask]:
        words = np.frombuffer(self.column.buffers()[1], dtype=np.int64).reshape(-1, 2)
        words = words[self.column.offset : self.column.offset + self.rows]
        low, high = words[:, 0], words[:, 1]
        fits = (high == low >> 63) & self.present
        values = np.where(fits, low, 0)
        scale = np.full(self.rows, self.column.type.scale, dtype=np.int64)
        return _from_units(field, values, scale, digits, reading, fits)

    def _from_stamps(self, field: Field, reading: Reading) -> tuple[Int64s, Mask]:
        kind = self.column.type
        if field.kind is not Kind.TIME:
            return _nothing(self.rows)
        if pa.types.is_date32(kind):
            ticks, tick_ns = _numbers(self.column.cast(pa.int32())), 86_400 * NS_PER_SECOND
        elif pa.types.is_date64(kind):
            ticks, tick_ns = _numbers(self.column.cast(pa.int64())), _TICKS["ms"]
        else:
            ticks, tick_ns = _numbers(self.column.cast(pa.int64())), _TICKS[kind.unit]
        ticks = ticks.astype(np.int64)
        good = (ticks >= TIME_MIN // tick_ns) & (ticks <= TIME_MAX // tick_ns) & self.present
        ns = np.where(good, ticks, 0) * tick_ns
        if not (pa.types.is_timestamp(kind) and kind.tz is not None):
            if not reading.zone:
                return _nothing(self.rows)
            east, certain = offsets(ns // NS_PER_SECOND, good, reading.zone)
            # A time at the very edge of the range is left to the reference.
            ns = np.where(certain & (np.abs(ns) < TIME_MAX - 10**15), ns, 0)
            good &= certain & (np.abs(ns) < TIME_MAX - 10**15)
            ns = ns - east * NS_PER_SECOND
        return ns, good & (ns >= TIME_MIN) & (ns <= TIME_MAX)


def _nothing(rows: int) -> tuple[Int64s, Mask]:
    return np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.bool_)


def _from_text(
    field: Field, text: TextSource, digits: Int64s, reading: Reading
) -> tuple[Int64s | Text, Mask]:
    if field.kind is Kind.TEXT:
        good = is_utf8(text) & ~rows_holding(text, text.data == 0)
        good &= text.lengths <= field.longest
        if field.role in NEVER_EMPTY:
            good &= text.lengths > 0
        return _as_text(text), good
    if field.kind in _UNITS:
        return read_units(text, digits)
    if field.kind is Kind.FLOAT:
        return read_floats(text)
    if field.kind is Kind.BOOL:
        return read_truths(text)
    if field.kind is Kind.TIME:
        values, good = read_times(text, reading)
        if reading.epoch:
            every = np.full(len(good), EPOCH_DIGITS[reading.epoch], dtype=np.int64)
            counted, is_count = read_units(text, every)
            values, good = np.where(is_count, counted, values), good | is_count
        return values, good
    return read_codes(text, _LETTERS[field.kind])


def _as_text(text: TextSource) -> Text:
    return Text(
        text.offsets.astype(np.int32), np.ascontiguousarray(text.data), text.present.view(np.uint8)
    )


def _from_units(
    field: Field, values: Int64s, scale: Int64s, digits: Int64s, reading: Reading, fits: Mask
) -> tuple[Int64s, Mask]:
    """Integers with `scale` digits after the point as the values of `field`."""
    if field.kind in _UNITS:
        units, good = rescale(values, scale, digits)
    elif field.kind is Kind.TIME and reading.epoch:
        every = np.full(len(values), EPOCH_DIGITS[reading.epoch], dtype=np.int64)
        units, good = rescale(values, scale, every, TIME_MAX)
        good &= (units >= TIME_MIN) & (units <= TIME_MAX)
    elif field.kind is Kind.FLOAT:
        # Both sides of the division are exact, so it is rounded once, as reading the digits is.
        good = (np.abs(values) <= _DOUBLE_EXACT) & (scale >= 0) & (scale <= 18)
        floats = values / POWERS[np.clip(scale, 0, 18)].astype(np.float64)
        units = floats.view(np.int64)
    elif field.kind is Kind.BOOL and not scale.any():
        units, good = values, (values == 0) | (values == 1)
    else:
        return _nothing(len(values))
    return units, good & fits


def _from_floats(field: Field, values: Floats, digits: Int64s) -> tuple[Int64s, Mask]:
    """Binary floats as the values of `field`; the same steps as `decimals.nearest_units`."""
    good = np.isfinite(values)
    values = np.where(good, values, 0.0)
    if field.kind is Kind.FLOAT:
        return values.view(np.int64), good
    if field.kind is Kind.INT:
        good &= (values == np.floor(values)) & (np.abs(values) <= EXACT_LIMIT)
        return np.where(good, values, 0.0).astype(np.int64), good
    if field.kind not in _UNITS:
        return _nothing(len(values))
    one = POWERS[digits].astype(np.float64)
    with np.errstate(over="ignore"):
        scaled = values * one
    good &= np.abs(scaled) <= EXACT_LIMIT
    scaled = np.where(good, scaled, 0.0)
    units = np.rint(scaled)
    near = (units / one == values) | (np.abs(scaled - units) <= TOLERANCE)
    other = ((units - 1) / one == values) | ((units + 1) / one == values)
    good &= near & ~other
    return np.where(good, units, 0.0).astype(np.int64), good


def _plain(name: str, column: pa.Array) -> pa.Array:
    """The column as one of: large_binary, integers, float64, decimal128, temporal, bool, null."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    kind = column.type
    types = pa.types
    if types.is_dictionary(kind):
        return _plain(name, column.dictionary_decode())
    if types.is_run_end_encoded(kind):
        return _plain(name, pc.run_end_decode(column))
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    is_bytes = types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
    if is_text or is_bytes or types.is_fixed_size_binary(kind):
        return column.cast(pa.large_binary())
    if types.is_floating(kind):
        return column.cast(pa.float64())
    if types.is_decimal32(kind) or types.is_decimal64(kind):
        return column.cast(pa.decimal128(38, kind.scale))
    known = (types.is_integer, types.is_boolean, types.is_null, types.is_timestamp, types.is_date)
    # a damaged file may say that a decimal has more digits than one can have
    is_decimal = types.is_decimal(kind) and abs(kind.scale) <= _MOST_DIGITS
    if is_decimal or any(test(kind) for test in known):
        return column
    raise DataError(
        f"column {name!r} is of the Arrow type {kind}, which holds no value of an event; "
        "expected text, numbers, times or truth values: take the column apart, or leave it out"
    )


def _present(column: pa.Array) -> Mask:
    if column.null_count == 0:
        return np.ones(len(column), dtype=np.bool_)
    present: Mask = column.is_valid().to_numpy(zero_copy_only=False)
    return present


def _numbers(column: pa.Array) -> Any:
    """The values as NumPy holds them; 0 where missing."""
    if column.null_count:
        kind = column.type
        zero: Any = False if pa.types.is_boolean(kind) else 0
        column = column.fill_null(pa.scalar(zero, kind))
    return column.to_numpy(zero_copy_only=False)


def text_source(column: pa.Array) -> TextSource:
    """Offsets from 0 and their bytes; missing rows, which may hold bytes in Arrow, are emptied."""
    if column.null_count:
        present = _present(column)
        column = column.fill_null(b"")
    else:
        present = np.ones(len(column), dtype=np.bool_)
    _, raw_offsets, raw_data = column.buffers()
    if not len(column):
        return TextSource(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.uint8), present)
    offsets = np.frombuffer(raw_offsets, dtype=np.int64, offset=0)
    offsets = offsets[column.offset : column.offset + len(column) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    if last - first >= 2**31:
        raise DataError(
            f"{last - first} bytes of text in one column of one batch; expected less than 2 GiB: "
            "read it in smaller batches"
        )
    data = np.frombuffer(raw_data, dtype=np.uint8) if raw_data else np.zeros(0, dtype=np.uint8)
    return TextSource(offsets - first, data[first:last], present)
