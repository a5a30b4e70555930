"""Columns of text read all at once: numbers, times and codes out of UTF-8 bytes.

Each reader gives the values of the rows that it is certain of, and says which those are; every
other row is for `values.read_value`, which decides. So a reader may leave any row undecided, but
may never decide one otherwise.

A column of text is looked at letter by letter across all rows: `letters(text, width)[j]` is the
j-th byte of every row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.events import countries, currencies
from headrace.events.decimals import Refused
from headrace.events.schema import EXACT_LIMIT
from headrace.events.times import NS_PER_SECOND, fixed_offset, offset_seconds
from headrace.events.values import TRUTHS

if TYPE_CHECKING:
    from headrace.core.columns import Bytes, Int64s
    from headrace.events.times import Reading

Mask: TypeAlias = NDArray[np.bool_]

POWERS = 10 ** np.arange(19, dtype=np.int64)

_ZERO, _POINT, _MINUS, _COLON = 48, 46, 45, 58
_NUMBER_WIDTH = 18  # 17 digits and a point fit 64 bits with room to spare
_TIME_WIDTH = 35  # 2026-01-31T12:00:00.123456789+01:00

_DAYS_IN_MONTH = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0], dtype=np.int64)

#: From here on no zone has changed its clocks but at a whole minute.
_WHOLE_MINUTES_SINCE = 3 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class TextSource:
    """A column of bytes: row `i` is `data[offsets[i]:offsets[i + 1]]`; missing rows are empty."""

    offsets: Int64s
    data: Bytes
    present: Mask

    @property
    def lengths(self) -> Int64s:
        """Bytes in each row."""
        return np.diff(self.offsets)

    def at(self, row: int) -> bytes | None:
        """The bytes of one row; None where it is missing."""
        if not self.present[row]:
            return None
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes()


def letters(text: TextSource, width: int) -> Bytes:
    """The first `width` bytes of every row, zero beyond its end; shape (width, rows)."""
    lengths = text.lengths
    found = np.zeros((width, len(lengths)), dtype=np.uint8)
    last = len(text.data) - 1
    for place in range(min(width, int(lengths.max(initial=0)))):
        letter = text.data[np.minimum(text.offsets[:-1] + place, last)]
        found[place] = np.where(place < lengths, letter, 0)
    return found


def rows_holding(text: TextSource, marked: Mask) -> Mask:
    """Rows in which any byte is marked."""
    if not marked.any():
        return np.zeros(len(text.present), dtype=np.bool_)
    before = np.zeros(len(marked) + 1, dtype=np.int64)
    np.cumsum(marked, out=before[1:])
    found: Mask = before[text.offsets[1:]] > before[text.offsets[:-1]]
    return found


def is_utf8(text: TextSource) -> Mask:
    """Rows that are valid UTF-8."""
    high = text.data >= 0x80
    good = np.ones(len(text.present), dtype=np.bool_)
    if not high.any():
        return good
    starts = text.offsets[:-1][text.lengths > 0]
    cut = (text.data[starts] & 0xC0 == 0x80).any()
    if not cut and _decodes(text.data.tobytes()):
        return good
    for row in np.flatnonzero(rows_holding(text, high)):
        good[row] = _decodes(text.data[text.offsets[row] : text.offsets[row + 1]].tobytes())
    return good


def _decodes(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def read_units(text: TextSource, digits: Int64s) -> tuple[Int64s, Mask]:
    """Plain decimal numbers (`-12.30`) as whole units, `10 ** digits` of which are one."""
    lengths = text.lengths
    table = letters(text, _NUMBER_WIDTH + 1)
    negative = table[0] == _MINUS
    value = np.zeros(len(lengths), dtype=np.int64)
    point_at = np.full(len(lengths), -1, dtype=np.int64)
    good = (lengths > negative) & (lengths <= _NUMBER_WIDTH + negative) & text.present
    for place in range(_NUMBER_WIDTH + 1):
        inside = (place < lengths) & ~((place == 0) & negative)
        digit = table[place] - np.uint8(_ZERO)  # wraps round for what is no digit
        is_digit = digit < 10
        is_point = (table[place] == _POINT) & (point_at < 0) & (place > negative)
        good &= ~inside | is_digit | is_point
        point_at = np.where(inside & is_point, place, point_at)
        value = np.where(inside & is_digit & good, value * 10 + digit, value)
    has_point = point_at >= 0
    fraction = np.where(has_point, lengths - 1 - point_at, 0)
    good &= ~has_point | (fraction > 0)
    value, fits = rescale(np.where(good, value, 0), np.where(good, fraction, 0), digits)
    return np.where(negative, -value, value), good & fits


def rescale(
    value: Int64s, scale: Int64s, digits: Int64s, limit: int = EXACT_LIMIT
) -> tuple[Int64s, Mask]:
    """From `scale` digits after the point to `digits`, exactly; and where that can be done."""
    more = np.clip(digits - scale, 0, 18)
    fewer = np.clip(scale - digits, 0, 18)
    good = (np.abs(digits - scale) <= 18) | (value == 0)
    room = limit // POWERS[more]
    quotient = value // POWERS[fewer]
    good &= (quotient * POWERS[fewer] == value) & (quotient <= room) & (quotient >= -room)
    return np.where(good, quotient, 0) * POWERS[more], good


def read_floats(text: TextSource) -> tuple[Int64s, Mask]:
    """Plain decimal numbers as the nearest binary floats, by their bits."""
    column = _arrow(text)
    plain = r"^-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?$"
    good = _mask(pc.match_substring_regex(column, plain)) & text.present
    numbers = pc.cast(column.filter(pa.array(good)).cast(pa.string()), pa.float64())
    values = np.zeros(len(good), dtype=np.float64)
    values[good] = numbers.to_numpy()
    return values.view(np.int64), good


def read_truths(text: TextSource) -> tuple[Int64s, Mask]:
    """`true`, `false`, `1`, `0` and the like."""
    known = list(TRUTHS)
    found = pc.index_in(_arrow(text), pa.array([item.encode() for item in known], pa.binary()))
    place = found.fill_null(-1).to_numpy(zero_copy_only=False)
    meaning = np.array([TRUTHS[item] for item in known] + [0], dtype=np.int64)
    return meaning[place], (place >= 0) & text.present


def read_codes(text: TextSource, count: int) -> tuple[Int64s, Mask]:
    """Known currencies (`count` is 3) or countries (2), as packed letters."""
    table = letters(text, count)
    packed = np.zeros(len(text.present), dtype=np.int64)
    good = (text.lengths == count) & text.present
    for place in range(count):
        letter = table[place] - np.uint8(ord("A"))
        good &= letter < 26
        packed = packed * 26 + letter
    packed = np.where(good, packed, 0)
    known = countries.known_by_letters() if count == 2 else currencies.digits_by_letters() >= 0
    good &= known[packed]
    return packed, good


def read_times(text: TextSource, reading: Reading) -> tuple[Int64s, Mask]:
    """Times written in full, to the second at least, as nanoseconds in UTC."""
    lengths = text.lengths
    table = letters(text, _TIME_WIDTH)
    good = (lengths >= 19) & (lengths <= _TIME_WIDTH) & text.present
    parts = []
    for place, width in ((0, 4), (5, 2), (8, 2), (11, 2), (14, 2), (17, 2)):
        part, is_number = _digits(table, place, width)
        parts.append(part)
        good &= is_number
    year, month, day, hour, minute, second = parts
    good &= (table[4] == _MINUS) & (table[7] == _MINUS) & (table[13] == _COLON)
    good &= (table[16] == _COLON) & ((table[10] | 32 == ord("t")) | (table[10] == ord(" ")))
    good &= (hour <= 23) & (minute <= 59) & (second <= 59)
    days, is_date = _days(year, month, day)
    good &= is_date
    fraction, end = _fraction(table)
    good &= end > 0
    local = days * 86_400 + hour * 3600 + minute * 60 + second
    east, good_offset = _offset(table, np.maximum(end, 19), lengths)
    naive = good & (lengths == end)
    if reading.zone and naive.any():
        local_east, certain = offsets(local, naive, reading.zone)
        east = np.where(naive, local_east, east)
        good_offset |= certain
    good &= good_offset
    return np.where(good, (local - east) * NS_PER_SECOND + fraction, 0), good


def _digits(table: Bytes, place: int, width: int) -> tuple[Int64s, Mask]:
    value = np.zeros(table.shape[1], dtype=np.int64)
    good = np.ones(table.shape[1], dtype=np.bool_)
    for column in table[place : place + width]:
        digit = column - np.uint8(_ZERO)
        good &= digit < 10
        value = value * 10 + digit
    return value, good


def _days(year: Int64s, month: Int64s, day: Int64s) -> tuple[Int64s, Mask]:
    """Days since 1970 of dates in the proleptic Gregorian calendar, and which are dates at all.

    Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
    """
    good = (month >= 1) & (month <= 12) & (year >= 1678) & (year <= 2261)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    last = _DAYS_IN_MONTH[np.where(good, month, 0)] + (leap & (month == 2))
    good &= (day >= 1) & (day <= last)
    shifted = year - (month <= 2)
    era = shifted // 400
    year_of_era = shifted - era * 400
    day_of_year = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468, good


def _fraction(table: Bytes) -> tuple[Int64s, Int64s]:
    """Nanoseconds after the point, and where they end; end is 0 where a bare point stands."""
    has_point = table[19] == _POINT
    value = np.zeros(table.shape[1], dtype=np.int64)
    end = np.where(has_point, 20, 19)
    for place in range(20, 29):
        digit = table[place] - np.uint8(_ZERO)
        goes_on = has_point & (end == place) & (digit < 10)
        value = value * 10 + np.where(goes_on, digit, 0)
        end += goes_on
    return value, np.where(has_point & (end == 20), 0, end)


def _offset(table: Bytes, end: Int64s, lengths: Int64s) -> tuple[Int64s, Mask]:
    """Seconds east of UTC from `Z` or `+02:00` at `end`, and where the row ends with one."""
    rows = np.arange(table.shape[1])

    def letter(after: int) -> Bytes:
        found: Bytes = table[np.minimum(end + after, _TIME_WIDTH - 1), rows]
        return found

    is_zulu = (letter(0) | 32 == ord("z")) & (lengths == end + 1)
    sign = letter(0)
    signed = ((sign == ord("+")) | (sign == _MINUS)) & (lengths == end + 6) & (letter(3) == _COLON)
    digits = [(letter(after) - np.uint8(_ZERO)).astype(np.int64) for after in (1, 2, 4, 5)]
    for digit in digits:
        signed &= digit < 10
    hours, minutes = digits[0] * 10 + digits[1], digits[2] * 10 + digits[3]
    signed &= (hours <= 23) & (minutes <= 59)
    east = (hours * 3600 + minutes * 60) * np.where(sign == _MINUS, -1, 1)
    return np.where(signed, east, 0), is_zulu | signed


def offsets(local_seconds: Int64s, wanted: Mask, zone: str) -> tuple[Int64s, Mask]:
    """How far east of UTC local clocks are, row by row, and where that is certain.

    Args:
        local_seconds: What the clocks show, in seconds since 1970.
        wanted: Which rows to look up.
        zone: Whose clocks they are.
    """
    fixed = fixed_offset(zone)
    if fixed is not None:
        return np.full(len(local_seconds), fixed, dtype=np.int64), wanted
    shown = local_seconds[wanted]
    step = 60 if len(shown) and shown.min() >= _WHOLE_MINUTES_SINCE else 1
    distinct, which = np.unique(shown // step, return_inverse=True)
    east = np.zeros(len(distinct), dtype=np.int64)
    certain = np.ones(len(distinct), dtype=np.bool_)
    for place, moment in enumerate(distinct.tolist()):
        try:
            east[place] = offset_seconds(moment * step, zone)
        except Refused:
            certain[place] = False
    all_east = np.zeros(len(local_seconds), dtype=np.int64)
    all_certain = np.zeros(len(local_seconds), dtype=np.bool_)
    all_east[wanted] = east[which]
    all_certain[wanted] = certain[which]
    return all_east, all_certain


def _arrow(text: TextSource) -> pa.Array:
    """The rows as an Arrow array of large binary, without validity: missing rows are empty."""
    buffers = [None, pa.py_buffer(text.offsets), pa.py_buffer(text.data)]
    column = pa.Array.from_buffers(pa.large_binary(), len(text.present), buffers)
    return column.cast(pa.binary())


def _mask(column: pa.Array) -> Mask:
    found: Mask = column.to_numpy(zero_copy_only=False).astype(np.bool_)
    return found
