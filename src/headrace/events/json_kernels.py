"""Lines of JSON to typed columns: one kernel for every schema, driven by a table that describes it.

The kernel accepts only what it knows to be right. A line with an escape, an unusual number, a
value of another type, a field that is missing or named twice: it lists that line as a hard one,
and goes on; the line is then decoded in the general way, which also says what is wrong.
"""

from __future__ import annotations

import numpy as np

from headrace.core.columns import Kind
from headrace.core.compiled import (
    as_bits,
    as_float,
    inner_kernel,
    kernel,
    load_i32,
    load_i64,
    load_u8,
    load_u64,
)
from headrace.core.memory import store_i32, store_i64, store_u8
from headrace.events.json_token_kernels import (
    DIGITS,
    EXPONENT,
    WHOLE_END,
    copy_32,
    count_line_feeds,
    read_number,
    read_time,
    scan_string,
    skip_literal,
    skip_space,
    skip_value,
)

#: The slots at the head of the table, in bytes: how many lines were read that are not blank; how
#: many of them went into columns, and how many did not; the addresses of the numbers of the former
#: (int32) and of a row of `HARD_COLUMNS` for each of the latter (int64: where the line starts,
#: where its line feed stands, its number); the most bytes of a line; the addresses of the number of
#: digits of each packed currency (uint8, `UNKNOWN_CURRENCY` for none), of each packed country
#: (uint8: 0 for none), and of the first field and behind the last. `FIRST` comes before all
#: fields, and is laid out as one.
LINES, EASY, HARD, NUMBERS, HARD_LINES, LONGEST_LINE = range(0, 48, 8)
DIGITS_OF, COUNTRIES, FIELDS, FIELDS_END, HEAD_END = range(48, 88, 8)
UNKNOWN_CURRENCY = 255
HARD_COLUMNS = 3

#: The slots of a field, in bytes, the first three being those of `read_number`: how it is stored;
#: whether it may be missing; of a number the digits after its point (of TIME, the digits from the
#: unit that its numbers count to the nanosecond; -1: they may not be numbers); its least and
#: greatest value (of FLOAT, their bits; of TEXT, bytes); the address of the field that holds its
#: currency (0: none); the address of the words of its name in quotes (of each the word, and which
#: of its bits count), that behind them, and the bytes of the name with its quotes; the address of
#: the field that followed it last; the number of the line that it was last seen on; and the
#: addresses of its values (int64), or of the offsets (int32) and the bytes of its texts, and of its
#: validity (uint8).
KIND, OPTIONAL, SCALE, LOW, HIGH, PARTNER, NAME, NAME_END, NAME_BYTES = range(24, 96, 8)
NEXT, SEEN, VALUES, TEXTS, VALID, FIELD_BYTES = range(96, 144, 8)

_QUOTE, _COMMA, _COLON, _MINUS = 34, 44, 58, 45
_OPEN_OBJECT, _CLOSE_OBJECT, _LINE_FEED, _CARRIAGE_RETURN = 123, 125, 10, 13

_TEN = np.array([10**i for i in range(19)], dtype=np.int64)
#: The greatest numbers that may be multiplied by these and still fit 63 bits.
_MOST = np.array([(2**63 - 1) // 10**i for i in range(19)], dtype=np.int64)
_TEN_FLOAT = np.array([float(10**i) for i in range(23)], dtype=np.float64)
_EXACT_FLOAT = 2**53

_BOOL, _INT, _DECIMAL, _MONEY, _FLOAT = (
    int(Kind.BOOL),
    int(Kind.INT),
    int(Kind.DECIMAL),
    int(Kind.MONEY),
    int(Kind.FLOAT),
)
_TIME, _CURRENCY, _COUNTRY, _TEXT = (
    int(Kind.TIME),
    int(Kind.CURRENCY),
    int(Kind.COUNTRY),
    int(Kind.TEXT),
)


@kernel
def most_lines(address: int, length: int) -> int:
    """The most line feeds that can stand in `length` bytes at an address, too many by 31 at most.

    The bytes of the last vector, if it is not whole, are not looked at; each may be one.
    """
    count = length & 31
    p = 0
    while p + 32 <= length:
        count += count_line_feeds(address + p)
        p += 32
    return count


@inner_kernel
def _is_named(address: int, p: int, field: int) -> bool:
    """Whether the key whose opening quote is at `p` is the name of that field.

    A word is read only after the one before it was found equal, so nothing is read past the line.
    """
    word = load_i64(field + NAME)
    end = load_i64(field + NAME_END)
    while word < end:
        if load_u64(address + p) & load_u64(word + 8) != load_u64(word):
            return False
        word += 16
        p += 8
    return True


@inner_kernel
def _find_field(table: int, address: int, p: int) -> int:
    """The field named by the key whose opening quote is at `p`; 0 if the schema has none."""
    field: int = load_i64(table + FIELDS)
    end: int = load_i64(table + FIELDS_END)
    while field < end:
        if _is_named(address, p, field):
            break
        field += FIELD_BYTES
    return field if field < end else 0


@inner_kernel
def _store_units(field: int, row: int, negative: int, scale: int) -> bool:
    """Store the number in a field's slots in units of ten to minus `scale`; whether it may be.

    It may not where it is no whole number of units, out of bounds, or beyond 63 bits.
    """
    units = load_i64(field + DIGITS)
    shift = load_i64(field + EXPONENT) + scale
    if shift != 0 and units != 0:
        if shift > 18 or shift < -18:
            return False
        if shift > 0:
            if units > _MOST[shift]:
                return False
            units *= _TEN[shift]
        else:
            whole = units // _TEN[-shift]
            if whole * _TEN[-shift] != units:
                return False
            units = whole
    if negative:
        units = -units
    store_i64(load_i64(field + VALUES) + 8 * row, units)
    good: bool = load_i64(field + LOW) <= units <= load_i64(field + HIGH)
    return good


@inner_kernel
def _store_float(field: int, row: int, negative: int) -> bool:
    """Store the number in a field's slots as a double; whether it is exact and in bounds.

    Both its digits and the power of ten are doubles without error, so one multiplication or
    division rounds to the double nearest to what was written (W. D. Clinger, "How to read floating
    point numbers accurately", 1990). What is larger or finer is left to the general way.
    """
    digits = load_i64(field + DIGITS)
    exponent = load_i64(field + EXPONENT)
    if digits > _EXACT_FLOAT or exponent > 22 or exponent < -22:
        return False
    value = np.float64(digits)
    if exponent < 0:
        value /= _TEN_FLOAT[-exponent]
    else:
        value *= _TEN_FLOAT[exponent]
    if negative:
        value = -value
    store_i64(load_i64(field + VALUES) + 8 * row, as_bits(value))
    good: bool = as_float(load_i64(field + LOW)) <= value <= as_float(load_i64(field + HIGH))
    return good


@inner_kernel
def _keep_text(address: int, p: int, end: int, row: int, field: int) -> bool:
    """Copy the text from `p` to `end` to the row's place; whether it is in bounds."""
    length = end - p
    if length < load_i64(field + LOW) or length > load_i64(field + HIGH):
        return False
    offsets = load_i64(field + VALUES) + 4 * row
    place = np.int64(load_i32(offsets))
    target = load_i64(field + TEXTS) + place
    done = 0
    while done < length:
        copy_32(target + done, address + p + done)
        done += 32
    store_i32(offsets + 4, np.int32(place + length))
    return True


@inner_kernel
def _store_code(table: int, address: int, p: int, row: int, field: int) -> int:
    """Store the CURRENCY or COUNTRY whose letters are at `p`: the position after it, or -1."""
    letters = 3 if load_i64(field + KIND) == _CURRENCY else 2
    code = 0
    for i in range(letters):
        letter: int = load_u8(address + p + i) - 65
        if letter < 0 or letter > 25:
            return -1
        code = code * 26 + letter
    if letters == 3:
        known = load_u8(load_i64(table + DIGITS_OF) + code) != UNKNOWN_CURRENCY
    else:
        known = load_u8(load_i64(table + COUNTRIES) + code) != 0
    if not known or load_u8(address + p + letters) != _QUOTE:
        return -1
    store_i64(load_i64(field + VALUES) + 8 * row, code)
    return p + letters + 1


@inner_kernel
def _store_missing(field: int, row: int) -> bool:
    """Store that a value is missing; whether it may be."""
    store_u8(load_i64(field + VALID) + row, 0)
    if load_i64(field + KIND) == _TEXT:
        offsets = load_i64(field + VALUES) + 4 * row
        store_i32(offsets + 4, load_i32(offsets))
    else:
        store_i64(load_i64(field + VALUES) + 8 * row, 0)
    may_be: bool = load_i64(field + OPTIONAL) != 0
    return may_be


@inner_kernel
def _read_number(address: int, p: int, row: int, field: int) -> int:
    """Read the number at `p` as that row of that field: the position after it, or -1.

    Money whose currency another field holds stays in the field's slots, its sign with its digits,
    until the line has been read.
    """
    kind = load_i64(field + KIND)
    end = read_number(address, p, field)
    if end < 0:
        return -1
    negative = load_u8(address + p) == _MINUS
    if kind == _FLOAT:
        good = _store_float(field, row, negative)
    elif kind == _TEXT:
        good = load_i64(field + WHOLE_END) == end and _keep_text(address, p, end, row, field)
    elif load_i64(field + PARTNER) != 0:
        if negative:
            store_i64(field + DIGITS, -load_i64(field + DIGITS))
        good = True
    else:
        scale = load_i64(field + SCALE)
        good = scale >= 0 and _store_units(field, row, negative, scale)
    return end if good else -1


@inner_kernel
def _read_value(table: int, address: int, p: int, row: int, field: int) -> int:  # noqa: PLR0911 - a kernel leaves where it knows
    """Store the value at `p` as that row of that field: the position after it, or -1."""
    kind = load_i64(field + KIND)
    byte = load_u8(address + p)
    store_u8(load_i64(field + VALID) + row, 1)
    if byte == _QUOTE:
        p += 1
        if kind == _TEXT:
            end = scan_string(address, p)
            good = load_u8(address + end) == _QUOTE and _keep_text(address, p, end, row, field)
            return end + 1 if good else -1
        if kind == _TIME:
            end = read_time(address, p, field)
            time = load_i64(field + DIGITS)
            store_i64(load_i64(field + VALUES) + 8 * row, time)
            good = load_i64(field + LOW) <= time <= load_i64(field + HIGH)
        elif kind == _CURRENCY or kind == _COUNTRY:  # noqa: SIM109, PLR1714 - numba compiles a set slowly
            return _store_code(table, address, p, row, field)
        elif kind == _BOOL:
            return -1
        else:
            end = _read_number(address, p, row, field)
            good = True
        return end + 1 if end >= 0 and good and load_u8(address + end) == _QUOTE else -1
    if byte == _MINUS or 48 <= byte <= 57:
        if kind == _BOOL or kind == _CURRENCY or kind == _COUNTRY:  # noqa: SIM109, PLR1714 - numba compiles a set slowly
            return -1
        return _read_number(address, p, row, field)
    end = skip_literal(address, p)
    if byte == 110:  # n of null
        return end if _store_missing(field, row) else -1
    if kind != _BOOL:
        return -1
    store_i64(load_i64(field + VALUES) + 8 * row, np.int64(byte == 116))  # t of true
    return end


@inner_kernel
def _finish_row(table: int, row: int, line: int) -> bool:
    """Write what is missing of a line, and its amounts; whether it is good."""
    field: int = load_i64(table + FIELDS)
    end: int = load_i64(table + FIELDS_END)
    while field < end:
        if load_i64(field + SEEN) != line:
            if not _store_missing(field, row):
                return False
        else:
            partner = load_i64(field + PARTNER)
            if partner != 0 and load_u8(load_i64(field + VALID) + row) != 0:
                there = load_i64(partner + SEEN) == line
                if not there or load_u8(load_i64(partner + VALID) + row) == 0:
                    return False
                currency = load_i64(load_i64(partner + VALUES) + 8 * row)
                scale: int = load_u8(load_i64(table + DIGITS_OF) + currency) + 0  # as 64 bits
                digits = load_i64(field + DIGITS)
                store_i64(field + DIGITS, abs(digits))
                if not _store_units(field, row, digits < 0, scale):
                    return False
        field += FIELD_BYTES
    return True


@inner_kernel
def _read_line(table: int, address: int, p: int, row: int, line: int) -> int:  # noqa: PLR0911 - a kernel leaves where it knows
    """Read the line at `p` into `row`: the position of its line feed, or -1 if it is hard."""
    p = skip_space(address, p)
    if load_u8(address + p) != _OPEN_OBJECT:
        return -1
    before = table + HEAD_END
    p = skip_space(address, p + 1)
    byte = load_u8(address + p)
    while byte != _CLOSE_OBJECT:
        field = load_i64(before + NEXT)
        if not _is_named(address, p, field):
            field = _find_field(table, address, p)
        if field != 0:
            if load_i64(field + SEEN) == line:
                return -1
            store_i64(field + SEEN, line)
            store_i64(before + NEXT, field)
            before = field
            p += load_i64(field + NAME_BYTES)
        else:
            if byte != _QUOTE:
                return -1
            p = scan_string(address, p + 1)
            if load_u8(address + p) != _QUOTE:
                return -1
            p += 1
        p = skip_space(address, p)
        if load_u8(address + p) != _COLON:
            return -1
        p = skip_space(address, p + 1)
        if field != 0:
            p = _read_value(table, address, p, row, field)
        else:
            p = skip_value(address, p, table + HEAD_END)
        if p < 0:
            return -1
        p = skip_space(address, p)
        byte = load_u8(address + p)
        if byte == _COMMA:
            p = skip_space(address, p + 1)
            byte = load_u8(address + p)
            if byte != _QUOTE:
                return -1
        elif byte != _CLOSE_OBJECT:
            return -1
    p = skip_space(address, p + 1)
    return p if load_u8(address + p) == _LINE_FEED and _finish_row(table, row, line) else -1


@kernel
def read_lines(table: int, address: int, p: int, end: int) -> int:
    """Read lines into columns, until one ends at `end` or behind it.

    Args:
        table: The address of the table: its head, `FIRST`, and the fields.
        address: Of the chunk.
        p: Where in it the first line starts.
        end: Before this position stands a line feed, behind which 64 more bytes may be read.

    Returns:
        The position behind the last line read.
    """
    line = load_i64(table + LINES)
    row = load_i64(table + EASY)
    hard = load_i64(table + HARD)
    longest = load_i64(table + LONGEST_LINE)
    while p < end:
        start = p
        if load_u8(address + p) == _CARRIAGE_RETURN:
            p += 1
        if load_u8(address + p) == _LINE_FEED:
            p += 1
            continue
        stop = _read_line(table, address, start, row, line)
        if stop >= 0 and stop - start <= longest:
            store_i32(load_i64(table + NUMBERS) + 4 * row, np.int32(line))
            row += 1
        else:
            while load_u8(address + p) != _LINE_FEED:
                p += 1
            stop = p
            listed = load_i64(table + HARD_LINES) + 8 * HARD_COLUMNS * hard
            store_i64(listed, start)
            store_i64(listed + 8, stop)
            store_i64(listed + 16, line)
            hard += 1
        line += 1
        p = stop + 1
    store_i64(table + LINES, line)
    store_i64(table + EASY, row)
    store_i64(table + HARD, hard)
    return p
