"""Reading one JSON token at an address: strings, numbers, times, and values to be passed over.

Every function takes the address of a chunk and a position in it, and gives the position after what
it read. What is read ends with a line feed, behind which 64 more bytes may be read. A line feed
cannot stand inside a token, so every loop stops there at the latest, and a read of up to 64 bytes
from any position reached is a read of the chunk's own memory. Nothing here is guessed: what a
function does not know for certain it refuses (-1), and the line is decoded in the general way.

Bytes are looked at by the word: eight digits become a number by three multiplications (D. Lemire,
"Quickly parsing eight digits", 2018), and 32 bytes of text are searched at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from headrace.core.compiled import inner_kernel, intrinsic, load_i64, load_u8, load_u64
from headrace.core.memory import store_i64

#: How deep objects and arrays may stand in one another, the event's own object included.
DEEPEST = 64
#: The most digits of a number that are read here; any such number fits 64 bits.
_MOST_DIGITS = 19

#: The slots that `read_number` fills: its digits as an integer, the power of ten that they stand
#: at, and the position after its digits before a point.
DIGITS, EXPONENT, WHOLE_END = 0, 8, 16

_QUOTE, _BACKSLASH, _COMMA, _COLON, _MINUS, _PLUS, _POINT = 34, 92, 44, 58, 45, 43, 46
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_LIST, _CLOSE_LIST = 123, 125, 91, 93

_HIGHS = np.uint64(0x8080808080808080)
_ZEROS = np.uint64(0x3030303030303030)
#: Added to a digit xor "0", which is at most 9, it leaves the high bit clear.
_PAST_NINE = np.uint64(0x7676767676767676)
_PAIRS = np.uint64(0x00FF00FF00FF00FF)
_FOURS = np.uint64(0x0000FFFF0000FFFF)
_BY_TEN, _BY_HUNDRED, _BY_MYRIAD = (
    np.uint64(10 * 2**8 + 1),
    np.uint64(100 * 2**16 + 1),
    np.uint64(10_000 * 2**32 + 1),
)
_TEN_TO = np.array([10**i for i in range(20)], dtype=np.uint64)

_TRUE, _NULL, _FOUR_BYTES = np.uint64(0x65757274), np.uint64(0x6C6C756E), np.uint64(0xFFFFFFFF)
_FALSE, _FIVE_BYTES = np.uint64(0x65736C6166), np.uint64(0xFFFFFFFFFF)

# A fixed character xor itself is 0, and adding 0x7F to that leaves the high bit clear.
_DATE_SHAPE, _DATE_CARRY = np.uint64(0x2D30302D30303030), np.uint64(0x7F76767F76767676)  # 0000-00-
_CLOCK_SHAPE = np.uint64(0x30303A3030543030)  # 00T00:00
_CLOCK_CARRY = np.uint64(0x76767F76767F7676)
_SECOND_SHAPE, _SECOND_CARRY = np.uint64(0x30303A), np.uint64(0x76767F)  # :00
_SECOND_MASK = np.uint64(0xFFFFFF)
_ZONE_SHAPE, _ZONE_CARRY = np.uint64(0x30303A3030), np.uint64(0x76767F7676)  # 00:00
_BYTE, _TEN = np.uint64(255), np.uint64(10)

_FIRST_YEAR, _LAST_YEAR = 1678, 2261
_YEARS = np.arange(_FIRST_YEAR - 1, _LAST_YEAR)
#: Days from 1970 to the first of each year, and within a common year to the first of each month.
_DAYS_TO_YEAR = (_YEARS * 365 + _YEARS // 4 - _YEARS // 100 + _YEARS // 400 - 719162).astype(
    np.int64
)
_DAYS_TO_MONTH = np.array([0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334], np.int64)
_DAYS_IN = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_SECOND_NS = 1_000_000_000
_NO_OFFSET = 86_400


@intrinsic
def trailing_zeros(typing_context: Any, word: Any) -> Any:  # noqa: ARG001 - numba's calling form
    """In a kernel: how many low bits of a word are 0; 64 if all are."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


def _vector(builder: Any, address: Any) -> Any:
    """The 32 bytes at an address, and a way to fill as many with one byte."""
    kind = ir.VectorType(ir.IntType(8), 32)
    loaded = builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)
    return loaded, lambda byte: ir.Constant(kind, [byte] * 32)


def _as_mask(builder: Any, marks: Any) -> Any:
    return builder.zext(builder.bitcast(marks, ir.IntType(32)), ir.IntType(64))


@intrinsic
def text_marks(typing_context: Any, address: Any) -> Any:  # noqa: ARG001 - numba's calling form
    """In a kernel: a bit for each of 32 bytes that is no plain character of a JSON string.

    These are the quote, the backslash, control characters, and what is not ASCII.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
        bytes_, filled = _vector(builder, arguments[0])
        quote = builder.icmp_unsigned("==", bytes_, filled(_QUOTE))
        backslash = builder.icmp_unsigned("==", bytes_, filled(_BACKSLASH))
        # As a signed number what is not ASCII is below zero, so it is below the space too.
        other = builder.icmp_signed("<", bytes_, filled(32))
        return _as_mask(builder, builder.or_(builder.or_(quote, backslash), other))

    return types.uint64(types.int64), generate


@intrinsic
def count_line_feeds(typing_context: Any, address: Any) -> Any:  # noqa: ARG001 - numba's calling form
    """In a kernel: how many of 32 bytes are line feeds."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
        bytes_, filled = _vector(builder, arguments[0])
        return builder.ctpop(_as_mask(builder, builder.icmp_unsigned("==", bytes_, filled(10))))

    return types.int64(types.int64), generate


@intrinsic
def copy_32(typing_context: Any, target: Any, source: Any) -> Any:  # noqa: ARG001 - numba's calling form
    """In a kernel: copy 32 bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
        loaded, _ = _vector(builder, arguments[1])
        builder.store(loaded, builder.inttoptr(arguments[0], loaded.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@inner_kernel
def skip_space(address: int, p: int) -> int:
    """The first position from `p` on that is not a space, tab or carriage return.

    A line feed is white space to JSON too, but here it ends the line.
    """
    while True:
        byte = load_u8(address + p)
        if byte != 32 and byte != 9 and byte != 13:  # noqa: PLR1714 - numba compiles a set slowly
            return p
        p += 1


@inner_kernel
def _utf8_bytes(address: int, p: int) -> int:
    """How many bytes the character at `p`, which is not ASCII, takes; 0 if it is not UTF-8."""
    first = load_u8(address + p)
    second = load_u8(address + p + 1)
    if first < 0xC2 or first > 0xF4 or second & 0xC0 != 0x80:
        return 0
    if first < 0xE0:
        return 2
    overlong = (first == 0xE0 and second < 0xA0) or (first == 0xF0 and second < 0x90)
    surrogate = first == 0xED and second > 0x9F
    beyond = first == 0xF4 and second > 0x8F
    if overlong or surrogate or beyond or load_u8(address + p + 2) & 0xC0 != 0x80:
        return 0
    if first < 0xF0:
        return 3
    return 4 if load_u8(address + p + 3) & 0xC0 == 0x80 else 0


@inner_kernel
def scan_string(address: int, p: int) -> int:
    """Where the string whose first character is at `p` ends or breaks.

    The byte there is its closing quote, or else a backslash, a control character, or the start of
    what is not UTF-8.
    """
    while True:
        found = trailing_zeros(text_marks(address + p))
        if found == 64:
            p += 32
            continue
        p += found
        if load_u8(address + p) < 128:
            return p
        size = _utf8_bytes(address, p)
        if size == 0:
            return p
        p += size


@inner_kernel
def _skip_escape(address: int, p: int) -> int:
    """The position after the escape whose backslash is at `p`; -1 if it is none."""
    escaped = load_u8(address + p + 1)
    if escaped == 117:  # u and four hexadecimal digits
        for i in range(p + 2, p + 6):
            byte = load_u8(address + i)
            letter = byte | 32
            if not (48 <= byte <= 57 or 97 <= letter <= 102):
                return -1
        return p + 6
    # "\/ and b, f, n, r, t
    if escaped == _QUOTE or escaped == _BACKSLASH or escaped == 47:  # noqa: SIM109, PLR1714 - numba compiles a set slowly
        return p + 2
    if escaped == 98 or escaped == 102 or escaped == 110 or escaped == 114 or escaped == 116:  # noqa: PLR1714 - as above
        return p + 2
    return -1


@inner_kernel
def skip_literal(address: int, p: int) -> int:
    """The position after `true`, `false` or `null` at `p`; -1 if there is none of them."""
    word = load_u64(address + p)
    four = word & _FOUR_BYTES
    if four == _TRUE or four == _NULL:  # noqa: SIM109, PLR1714 - numba compiles a set slowly
        return p + 4
    return p + 5 if word & _FIVE_BYTES == _FALSE else -1


@inner_kernel
def _digits(address: int, p: int, number: int) -> int:
    """The position after the digits at `p`, written behind those in the slot `number`.

    Past 19 digits the number wraps around; the caller counts them.
    """
    while True:
        word = load_u64(address + p) ^ _ZEROS
        count = trailing_zeros(((word + _PAST_NINE) | word) & _HIGHS) >> 3
        if count == 0:
            return p
        word <<= np.uint64(64 - 8 * count)
        word = (word * _BY_TEN) >> np.uint64(8)
        word = ((word & _PAIRS) * _BY_HUNDRED) >> np.uint64(16)
        word = ((word & _FOURS) * _BY_MYRIAD) >> np.uint64(32)
        digits = np.uint64(load_i64(number)) * _TEN_TO[count] + word
        store_i64(number, np.int64(digits))
        p += count
        if count < 8:
            return p


@inner_kernel
def read_number(address: int, p: int, slots: int) -> int:
    """Read the number at `p`, its sign apart, as exact decimal digits into the slots at an address.

    Returns:
        The position after it; -1 if it is no number of at most 19 digits, below 2 to the 63 when
        its point is left out, and with three digits of exponent.
    """
    first = p + 1 if load_u8(address + p) == _MINUS else p
    store_i64(slots + DIGITS, 0)
    p = _digits(address, first, slots + DIGITS)
    store_i64(slots + WHOLE_END, p)
    count = p - first
    if count == 0 or (count > 1 and load_u8(address + first) == 48):
        return -1
    exponent = 0
    if load_u8(address + p) == _POINT:
        start = p + 1
        p = _digits(address, start, slots + DIGITS)
        exponent = start - p
        count -= exponent
        if p == start:
            return -1
    if load_u8(address + p) | 32 == 101:
        sign = load_u8(address + p + 1)
        start = p + 2 if sign == _MINUS or sign == _PLUS else p + 1  # noqa: SIM109, PLR1714 - numba compiles a set slowly
        store_i64(slots + EXPONENT, 0)
        p = _digits(address, start, slots + EXPONENT)
        if p == start or p - start > 3:
            return -1
        power = load_i64(slots + EXPONENT)
        exponent += -power if sign == _MINUS else power
    store_i64(slots + EXPONENT, exponent)
    return -1 if count > _MOST_DIGITS or load_i64(slots + DIGITS) < 0 else p


@inner_kernel
def skip_value(address: int, p: int, slots: int) -> int:  # noqa: PLR0911 - a kernel leaves where it knows
    """The position after the value at `p`, checked as strictly as if it were wanted.

    -1 if it is not JSON, or holds a number that `read_number` does not read, or stands deeper than
    `DEEPEST`, one level being the event's own. The slots are those of `read_number`.
    """
    depth = 0
    is_object = np.uint64(0)  # the lowest bit is the innermost level's
    one = np.uint64(1)
    in_key = False
    while True:
        byte = load_u8(address + p)
        if byte == _QUOTE:
            p += 1
            while True:
                p = scan_string(address, p)
                if load_u8(address + p) != _BACKSLASH:
                    break
                p = _skip_escape(address, p)
                if p < 0:
                    return -1
            if load_u8(address + p) != _QUOTE:
                return -1
            p += 1
            if in_key:
                p = skip_space(address, p)
                if load_u8(address + p) != _COLON:
                    return -1
                in_key = False
                p = skip_space(address, p + 1)
                continue
        elif in_key:
            return -1
        elif byte == _OPEN_OBJECT or byte == _OPEN_LIST:  # noqa: SIM109, PLR1714 - numba compiles a set slowly
            depth += 1
            if depth == DEEPEST:
                return -1
            in_key = byte == _OPEN_OBJECT
            is_object = (is_object << one) | np.uint64(in_key)
            p = skip_space(address, p + 1)
            if load_u8(address + p) != (_CLOSE_OBJECT if in_key else _CLOSE_LIST):
                continue
            in_key = False
        else:
            number = byte == _MINUS or 48 <= byte <= 57
            p = read_number(address, p, slots) if number else skip_literal(address, p)
            if p < 0:
                return -1
        # a value ends here, or the level that holds it is about to
        while depth > 0:
            p = skip_space(address, p)
            byte = load_u8(address + p)
            in_object = is_object & one != np.uint64(0)
            p += 1
            if byte == _COMMA:
                p = skip_space(address, p)
                in_key = in_object
                break
            if byte != (_CLOSE_OBJECT if in_object else _CLOSE_LIST):
                return -1
            depth -= 1
            is_object >>= one
        else:
            return p


@inner_kernel
def _offset(address: int, p: int) -> int:
    """The offset from UTC at `p` in seconds, six characters long; `_NO_OFFSET` if there is none."""
    sign = load_u8(address + p)
    zone = (load_u64(address + p + 1) & _FIVE_BYTES) ^ _ZONE_SHAPE
    wrong = ((zone + _ZONE_CARRY) | zone) & _HIGHS
    if (sign != _PLUS and sign != _MINUS) or wrong != np.uint64(0):  # noqa: PLR1714 - numba compiles a set slowly
        return _NO_OFFSET
    pairs = zone * _TEN + (zone >> np.uint64(8))
    hours = np.int64(pairs & _BYTE)
    minutes = np.int64((pairs >> np.uint64(24)) & _BYTE)
    if hours > 23 or minutes > 59:
        return _NO_OFFSET
    seconds: int = 3600 * hours + 60 * minutes  # type: ignore[assignment]  # of 64 bits
    return -seconds if sign == _MINUS else seconds


@inner_kernel
def read_time(address: int, p: int, slots: int) -> int:
    """Read the time whose first digit is at `p`, nanoseconds since 1970 in UTC, into `slots`.

    It is ISO 8601 with seconds, up to nine digits of a fraction, and `Z` or an offset from UTC,
    in the years 1678 to 2261. The position after it is returned; -1 if it is not such a time.
    """
    date = load_u64(address + p) ^ _DATE_SHAPE
    clock = load_u64(address + p + 8) ^ _CLOCK_SHAPE
    second = (load_u64(address + p + 16) & _SECOND_MASK) ^ _SECOND_SHAPE
    wrong = (date + _DATE_CARRY) | date | (clock + _CLOCK_CARRY) | clock
    if (wrong | (second + _SECOND_CARRY) | second) & _HIGHS != np.uint64(0):
        return -1
    # every byte becomes ten times itself and the next: at the first of two digits, their number
    date = date * _TEN + (date >> np.uint64(8))
    clock = clock * _TEN + (clock >> np.uint64(8))
    year = np.int64(date & _BYTE) * 100 + np.int64((date >> np.uint64(16)) & _BYTE)
    month = np.int64((date >> np.uint64(40)) & _BYTE)
    day = np.int64(clock & _BYTE)
    hour = np.int64((clock >> np.uint64(24)) & _BYTE)
    minute = np.int64((clock >> np.uint64(48)) & _BYTE)
    seconds = np.int64((second * _TEN + (second >> np.uint64(8))) >> np.uint64(8)) & 255
    if year < _FIRST_YEAR or year > _LAST_YEAR or month < 1 or month > 12:
        return -1
    leap = np.int64(year & 3 == 0 and (year % 100 != 0 or year % 400 == 0))
    longest = _DAYS_IN[month] + (leap if month == 2 else 0)
    if day < 1 or day > longest or hour > 23 or minute > 59 or seconds > 59:
        return -1
    days = _DAYS_TO_YEAR[year - _FIRST_YEAR] + _DAYS_TO_MONTH[month] + day - 1
    days += leap if month > 2 else 0
    time = ((days * 24 + hour) * 60 + minute) * 60 + seconds
    p += 19
    fraction = 0
    if load_u8(address + p) == _POINT:
        store_i64(slots, 0)
        end = _digits(address, p + 1, slots)
        count = end - p - 1
        if count == 0 or count > 9:
            return -1
        fraction = int(load_i64(slots) * np.int64(_TEN_TO[9 - count]))
        p = end
    if load_u8(address + p) == 90:  # Z
        p += 1
    else:
        east = _offset(address, p)
        if east == _NO_OFFSET:
            return -1
        time -= east
        p += 6
    store_i64(slots, time * _SECOND_NS + fraction)
    return p
