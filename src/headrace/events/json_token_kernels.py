"""Reading one JSON token at an address: strings, numbers, times, and values to be passed over.

Every function takes the address of a chunk and a position in it. The chunk ends with a line feed
and 64 zero bytes. Neither byte can stand inside a token, so every loop stops at the chunk's end at
the latest, and a read of up to 64 bytes from any position reached is a read of the chunk's own
memory. Nothing here is guessed: what a function does not know for certain it refuses (-1), and the
line is decoded in the general way instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import llvmlite.ir as ir
import numpy as np
from numba.core import types
from numba.extending import intrinsic

from headrace.core.compiled import kernel, load_u8, load_u64

if TYPE_CHECKING:
    from headrace.core.columns import Bytes

#: How deep objects and arrays may stand in one another, the event's own object included.
DEEPEST = 64
#: The most digits of a number that are read here; any such number fits 63 bits.
_MOST_DIGITS = 18

_QUOTE, _BACKSLASH, _COMMA, _COLON, _MINUS, _PLUS, _POINT = 34, 92, 44, 58, 45, 43, 46
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_LIST, _CLOSE_LIST = 123, 125, 91, 93
_LINE_FEED = 10

_ONES = np.uint64(0x0101010101010101)
_HIGHS = np.uint64(0x8080808080808080)
_SPACES = np.uint64(0x2020202020202020)
_QUOTES = np.uint64(0x2222222222222222)
_BACKSLASHES = np.uint64(0x5C5C5C5C5C5C5C5C)
_LINE_FEEDS = np.uint64(0x0A0A0A0A0A0A0A0A)

_TRUE, _TRUE_MASK = np.uint64(0x65757274), np.uint64(0xFFFFFFFF)
_FALSE, _FALSE_MASK = np.uint64(0x65736C6166), np.uint64(0xFFFFFFFFFF)
_NULL = np.uint64(0x6C6C756E)

# A digit xor "0" is at most 9, so adding 0x76 to it leaves the high bit clear; a fixed character
# xor itself is 0, so adding 0x7F does.
_DATE_SHAPE, _DATE_CARRY = np.uint64(0x2D30302D30303030), np.uint64(0x7F76767F76767676)  # 0000-00-
_CLOCK_SHAPE, _CLOCK_CARRY = (
    np.uint64(0x30303A3030543030),
    np.uint64(0x76767F76767F7676),
)  # 00T00:00
_SECOND_SHAPE, _SECOND_CARRY = np.uint64(0x30303A), np.uint64(0x76767F)  # :00
_SECOND_MASK = np.uint64(0xFFFFFF)
_ZONE_SHAPE, _ZONE_CARRY = np.uint64(0x30303A3030), np.uint64(0x76767F7676)  # 00:00
_ZONE_MASK = np.uint64(0xFFFFFFFFFF)
_NIBBLE = np.uint64(15)

_DAYS_BEFORE = np.array([0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334], dtype=np.int64)
_DAYS_IN = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)
_DAYS_BEFORE_1970 = 719162
_SECOND_NS = 1_000_000_000


@intrinsic
def trailing_zeros(typing_context: Any, word: Any) -> Any:  # noqa: ARG001 - numba's calling form
    """In a kernel: how many low bits of a word that is not 0 are 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@kernel
def skip_space(address: int, p: int) -> int:
    """The first position from `p` on that is not a space, tab or carriage return.

    A line feed is white space to JSON too, but here it ends the line.
    """
    while True:
        byte = load_u8(address + p)
        if byte != 32 and byte != 9 and byte != 13:  # noqa: PLR1714 - numba compiles a set slowly
            return p
        p += 1


@kernel
def find_line_feed(address: int, p: int) -> int:
    """The position of the first line feed from `p` on; the chunk ends with one."""
    while True:
        word = load_u64(address + p) ^ _LINE_FEEDS
        found = (word - _ONES) & ~word & _HIGHS
        if found != np.uint64(0):
            return p + (trailing_zeros(found) >> 3)
        p += 8


@kernel
def _utf8_bytes(address: int, p: int) -> int:
    """How many bytes the character at `p`, which is not ASCII, takes; 0 if it is not UTF-8."""
    first = load_u8(address + p)
    second = load_u8(address + p + 1)
    if first < 0xC2 or first > 0xF4 or second & 0xC0 != 0x80:
        return 0
    if first < 0xE0:
        return 2
    if load_u8(address + p + 2) & 0xC0 != 0x80:
        return 0
    if first < 0xF0:
        overlong = first == 0xE0 and second < 0xA0
        surrogate = first == 0xED and second > 0x9F
        return 0 if overlong or surrogate else 3
    if load_u8(address + p + 3) & 0xC0 != 0x80:
        return 0
    overlong = first == 0xF0 and second < 0x90
    beyond = first == 0xF4 and second > 0x8F
    return 0 if overlong or beyond else 4


@kernel
def scan_string(address: int, p: int) -> int:
    """Where the string whose first character is at `p` ends or breaks.

    The byte there is its closing quote, or else a backslash, a control character, or the start of
    what is not UTF-8.
    """
    while True:
        word = load_u64(address + p)
        quote = word ^ _QUOTES
        backslash = word ^ _BACKSLASHES
        # The lowest of the marks is exact; one above another may not be, and is not looked at.
        marks = ((quote - _ONES) & ~quote) | ((backslash - _ONES) & ~backslash)
        marks = (marks | ((word - _SPACES) & ~word) | word) & _HIGHS
        if marks == np.uint64(0):
            p += 8
            continue
        p += trailing_zeros(marks) >> 3
        if load_u8(address + p) < 128:
            return p
        size = _utf8_bytes(address, p)
        if size == 0:
            return p
        p += size


@kernel
def _is_hexadecimal(byte: int) -> bool:
    return 48 <= byte <= 57 or 65 <= byte <= 70 or 97 <= byte <= 102


@kernel
def skip_string(address: int, p: int) -> int:
    """The position after the string whose first character is at `p`; -1 if it is broken."""
    while True:
        p = scan_string(address, p)
        byte = load_u8(address + p)
        if byte == _QUOTE:
            return p + 1
        if byte != _BACKSLASH:
            return -1
        escaped = load_u8(address + p + 1)
        if escaped == 117:  # u and four hexadecimal digits
            for i in range(p + 2, p + 6):
                if not _is_hexadecimal(load_u8(address + i)):
                    return -1
            p += 6
        elif (
            escaped == _QUOTE
            or escaped == _BACKSLASH
            or escaped == 47
            or escaped == 98
            or escaped == 102
            or escaped == 110
            or escaped == 114
            or escaped == 116
        ):
            p += 2
        else:
            return -1


@kernel
def literal(address: int, p: int) -> tuple[int, int]:
    """`true`, `false` or `null` at `p`: the position after it, and 1, 0 or -1 for which it is.

    The position is -1 if there is none of them.
    """
    word = load_u64(address + p)
    if word & _TRUE_MASK == _TRUE:
        return p + 4, 1
    if word & _FALSE_MASK == _FALSE:
        return p + 5, 0
    if word & _TRUE_MASK == _NULL:
        return p + 4, -1
    return -1, 0


@kernel
def _digits(address: int, p: int, number: int) -> tuple[int, int]:
    """The position after the digits at `p`, and `number` with them written behind it.

    Past 18 digits the number wraps around; the caller counts them.
    """
    digit = np.int64(load_u8(address + p)) - 48
    while 0 <= digit <= 9:
        number = number * 10 + digit
        p += 1
        digit = np.int64(load_u8(address + p)) - 48
    return p, number


@kernel
def read_number(address: int, p: int) -> tuple[int, bool, int, int]:
    """The number at `p` as exact decimal digits.

    Returns:
        The position after it, whether it is negative, its digits as an integer, and the power of
        ten that they stand at. The position is -1 if it is no number of at most 18 digits and
        three digits of exponent.
    """
    negative = load_u8(address + p) == _MINUS
    first = p + 1 if negative else p
    p, digits = _digits(address, first, 0)
    count = p - first
    if count == 0 or (count > 1 and load_u8(address + first) == 48):
        return -1, False, 0, 0
    exponent = 0
    if load_u8(address + p) == _POINT:
        start = p + 1
        p, digits = _digits(address, start, digits)
        exponent = start - p
        count -= exponent
        if p == start:
            return -1, False, 0, 0
    if load_u8(address + p) | 32 == 101:
        sign = load_u8(address + p + 1)
        start = p + 2 if sign == _MINUS or sign == _PLUS else p + 1
        p, power = _digits(address, start, 0)
        if p == start or p - start > 3:
            return -1, False, 0, 0
        exponent += -power if sign == _MINUS else power
    if count > _MOST_DIGITS:
        return -1, False, 0, 0
    return p, negative, digits, exponent


@kernel
def _skip_digits(address: int, p: int) -> int:
    """The position after the digits at `p`; -1 if there is none."""
    start = p
    while 48 <= load_u8(address + p) <= 57:
        p += 1
    return p if p > start else -1


@kernel
def _skip_number(address: int, p: int) -> int:
    """The position after the number at `p`, of any length; -1 if there is none."""
    if load_u8(address + p) == _MINUS:
        p += 1
    if load_u8(address + p) == 48:
        p += 1
    else:
        p = _skip_digits(address, p)
        if p < 0:
            return -1
    if load_u8(address + p) == _POINT:
        p = _skip_digits(address, p + 1)
        if p < 0:
            return -1
    if load_u8(address + p) | 32 == 101:
        sign = load_u8(address + p + 1)
        p = _skip_digits(address, p + 2 if sign == _MINUS or sign == _PLUS else p + 1)
    return p


@kernel
def _skip_key(address: int, p: int) -> int:
    """The position of the value after the key at `p`; -1 if there is no key and colon."""
    if load_u8(address + p) != _QUOTE:
        return -1
    p = skip_string(address, p + 1)
    if p < 0:
        return -1
    p = skip_space(address, p)
    if load_u8(address + p) != _COLON:
        return -1
    return skip_space(address, p + 1)


@kernel
def _skip_scalar(address: int, p: int) -> int:
    """The position after the string, number or literal at `p`; -1 if there is none."""
    byte = load_u8(address + p)
    if byte == _QUOTE:
        return skip_string(address, p + 1)
    if byte == _MINUS or 48 <= byte <= 57:
        return _skip_number(address, p)
    return literal(address, p)[0]


@kernel
def skip_value(address: int, p: int) -> int:  # noqa: C901, PLR0912 - the grammar of JSON values
    """The position after the value at `p`, checked as strictly as if it were wanted.

    -1 if it is not JSON, or if it stands deeper than `DEEPEST`, one level being the event's own.
    """
    depth = 0
    is_object = np.uint64(0)  # the lowest bit is the innermost level's
    one = np.uint64(1)
    while True:
        byte = load_u8(address + p)
        if byte == _OPEN_OBJECT or byte == _OPEN_LIST:
            if depth == DEEPEST - 1:
                return -1
            depth += 1
            is_object = (is_object << one) | np.uint64(byte == _OPEN_OBJECT)
            p = skip_space(address, p + 1)
            closing = _CLOSE_OBJECT if byte == _OPEN_OBJECT else _CLOSE_LIST
            if load_u8(address + p) != closing:
                if byte == _OPEN_OBJECT:
                    p = _skip_key(address, p)
                    if p < 0:
                        return -1
                continue
        else:
            p = _skip_scalar(address, p)
            if p < 0:
                return -1
        # a value ends here, or the level that holds it is about to
        while depth > 0:
            p = skip_space(address, p)
            byte = load_u8(address + p)
            if byte == _COMMA:
                p = skip_space(address, p + 1)
                if is_object & one:
                    p = _skip_key(address, p)
                    if p < 0:
                        return -1
                break
            if byte != (_CLOSE_OBJECT if is_object & one else _CLOSE_LIST):
                return -1
            depth -= 1
            is_object >>= one
            p += 1
        else:
            return p


@kernel
def _two_digits(word: int, shift: int) -> int:
    """The two digits that stand at bit `shift` of a word."""
    tens = (word >> np.uint64(shift)) & _NIBBLE
    units = (word >> np.uint64(shift + 8)) & _NIBBLE
    return np.int64(tens) * 10 + np.int64(units)


@kernel
def _shaped(word: int, shape: int, carry: int) -> bool:
    """Whether a word has digits where `shape` has zeros, and its other characters elsewhere."""
    rest = word ^ shape
    return ((rest + carry) | rest) & _HIGHS == np.uint64(0)


@kernel
def _zone(address: int, p: int) -> tuple[int, int]:
    """The position after the offset from UTC at `p`, and its nanoseconds; -1 if there is none."""
    sign = load_u8(address + p)
    if sign == 90:  # Z
        return p + 1, 0
    word = load_u64(address + p + 1) & _ZONE_MASK
    if (sign != _PLUS and sign != _MINUS) or not _shaped(word, _ZONE_SHAPE, _ZONE_CARRY):
        return -1, 0
    hours = _two_digits(word, 0)
    minutes = _two_digits(word, 24)
    if hours > 23 or minutes > 59:
        return -1, 0
    offset = (hours * 60 + minutes) * 60 * _SECOND_NS
    return p + 6, -offset if sign == _MINUS else offset


@kernel
def read_time(address: int, p: int) -> tuple[int, int]:
    """The time whose first digit is at `p`, as nanoseconds since 1970 in UTC.

    It is ISO 8601 with seconds, up to nine digits of a fraction, and `Z` or an offset from UTC,
    in the years 1678 to 2261.

    Returns:
        The position after it and the time; the position is -1 if it is not such a time.
    """
    date = load_u64(address + p)
    clock = load_u64(address + p + 8)
    rest = load_u64(address + p + 16)
    if (
        not _shaped(date, _DATE_SHAPE, _DATE_CARRY)
        or not _shaped(clock, _CLOCK_SHAPE, _CLOCK_CARRY)
        or not _shaped(rest & _SECOND_MASK, _SECOND_SHAPE, _SECOND_CARRY)
    ):
        return -1, 0
    year = _two_digits(date, 0) * 100 + _two_digits(date, 16)
    month = _two_digits(date, 40)
    day = _two_digits(clock, 0)
    hour = _two_digits(clock, 24)
    minute = _two_digits(clock, 48)
    second = _two_digits(rest, 8)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not (
        1678 <= year <= 2261 and 1 <= month <= 12 and hour < 24 and minute < 60 and second < 60
    ):
        return -1, 0
    if day < 1 or day > _DAYS_IN[month] + (leap and month == 2):
        return -1, 0
    past = year - 1
    days = past * 365 + past // 4 - past // 100 + past // 400 - _DAYS_BEFORE_1970
    days += _DAYS_BEFORE[month] + day - 1 + (leap and month > 2)
    time = ((days * 24 + hour) * 60 + minute) * 60 + second
    time *= _SECOND_NS
    p += 19
    if load_u8(address + p) == _POINT:
        start = p + 1
        p, fraction = _digits(address, start, 0)
        count = p - start
        if count == 0 or count > 9:
            return -1, 0
        for _ in range(9 - count):
            fraction *= 10
        time += fraction
    end, offset = _zone(address, p)
    return end, time - offset


@kernel
def nesting(line: Bytes) -> int:
    """How deep objects and arrays stand in one another, brackets in strings not counted."""
    depth = 0
    deepest = 0
    in_string = False
    i = 0
    while i < len(line):
        byte = line[i]
        if in_string:
            if byte == _BACKSLASH:
                i += 1
            elif byte == _QUOTE:
                in_string = False
        elif byte == _QUOTE:
            in_string = True
        elif byte == _OPEN_OBJECT or byte == _OPEN_LIST:
            depth += 1
            deepest = max(deepest, depth)
        elif byte == _CLOSE_OBJECT or byte == _CLOSE_LIST:
            depth -= 1
        i += 1
    return deepest
