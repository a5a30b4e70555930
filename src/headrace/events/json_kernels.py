"""Lines of JSON to typed columns: one kernel for every schema, driven by tables that describe it.

The kernel accepts only what it knows to be right. A line with an escape, an unusual number, a
value of another type, a field that is missing or named twice: it marks that line `HARD`, zeroes
its row, and goes on; the line is then decoded in the general way, which also says what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import Kind
from headrace.core.compiled import as_bits, as_float, kernel, load_i64, load_u8, load_u64
from headrace.core.memory import copy_bytes, store_i64, store_u8
from headrace.events.json_token_kernels import (
    find_line_feed,
    literal,
    read_number,
    read_time,
    scan_string,
    skip_space,
    skip_value,
)

if TYPE_CHECKING:
    from headrace.core.columns import Bytes, Int32s, Int64s

#: The columns of the table of fields: how a field is stored, whether it may be missing, the digits
#: after its point, its least and greatest value (of FLOAT, their bits), the row of the field that
#: holds its currency (-1: none), its most bytes, where the words of its name start in the table of
#: words and how many they are, and the bytes of its name.
KIND, OPTIONAL, SCALE, LOW, HIGH, PARTNER, LONGEST, WORD, WORDS, NAME = range(10)
FIELD_COLUMNS = 10

#: The columns of the table of lines: where a line starts, where its line feed stands, how many
#: lines come before it in the chunk, and whether it is `HARD`.
START, END, NUMBER, STATE = range(4)
LINE_COLUMNS = 4
EASY, HARD = 0, 1

#: The slots of the table of tables, which every function here is given the address of, so that no
#: array is handed from call to call: the addresses of the table of fields (int64), of the words of
#: their names (uint64: the word, then which bits of it count), of the digits of each packed
#: currency (uint8, `UNKNOWN_CURRENCY` for none), of each packed country (uint8: 0 for none), of the
#: fields whose currency another field holds (int64), of three int64 arrays to work in (as many as
#: fields, `PREDICTED` and as many as fields), of the values (int64, a row for each field) and of
#: their validity (uint8, likewise); then how many fields there are, how many of them wait for a
#: currency, the room for lines in a row of the values, and the most bytes of a line.
FIELDS, NAME_WORDS, DIGITS, COUNTRIES, PENDING, EXPONENTS, PREDICTIONS, SEEN = range(8)
VALUES, VALID, FIELD_COUNT, PENDING_COUNT, ROOM, LONGEST_LINE = range(8, 14)
TABLE_SLOTS = 14
UNKNOWN_CURRENCY = 255

#: A text is held by its position in the chunk, above this many bits of its length.
SPAN_BITS = 32
_SPAN_MASK = (1 << SPAN_BITS) - 1

#: How many keys of the line before are kept to predict those of the next.
PREDICTED = 64

_QUOTE, _COMMA, _COLON = 34, 44, 58
_OPEN_OBJECT, _CLOSE_OBJECT, _LINE_FEED, _CARRIAGE_RETURN = 123, 125, 10, 13

_TEN = np.array([10**i for i in range(19)], dtype=np.int64)
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
def count_lines(data: Bytes) -> int:
    """How many line feeds `data` holds."""
    count = 0
    for i in range(len(data)):
        count += data[i] == _LINE_FEED
    return count


@kernel
def _slot(tables: int, slot: int) -> int:
    """An entry of the table of tables."""
    return load_i64(tables + 8 * slot)


@kernel
def _entry(tables: int, slot: int, index: int) -> int:
    """An entry of one of the int64 tables."""
    return load_i64(load_i64(tables + 8 * slot) + 8 * index)


@kernel
def _about(tables: int, field: int, column: int) -> int:
    """An entry of the table of fields."""
    return load_i64(load_i64(tables + 8 * FIELDS) + 8 * (field * FIELD_COLUMNS + column))


@kernel
def _value_at(tables: int, field: int, row: int) -> int:
    """Where the value of a field is kept."""
    return _slot(tables, VALUES) + 8 * (field * _slot(tables, ROOM) + row)


@kernel
def _valid_at(tables: int, field: int, row: int) -> int:
    """Where the validity of a field is kept."""
    return _slot(tables, VALID) + field * _slot(tables, ROOM) + row


@kernel
def _store(tables: int, field: int, row: int, value: int, valid: int) -> None:
    """Keep a value and its validity."""
    store_i64(_value_at(tables, field, row), value)
    store_u8(_valid_at(tables, field, row), valid)


@kernel
def _is_named(tables: int, address: int, p: int, field: int) -> bool:
    """Whether the key whose first character is at `p` is the name of that field.

    A name's last word has its closing quote in it. A word is read only after the one before it was
    found equal, so nothing is read past the chunk's end.
    """
    name = _slot(tables, NAME_WORDS) + 16 * _about(tables, field, WORD)
    for i in range(_about(tables, field, WORDS)):
        word = load_u64(address + p + 8 * i)
        if word & load_u64(name + 16 * i + 8) != load_u64(name + 16 * i):
            return False
    return True


@kernel
def _find_field(tables: int, address: int, p: int, slot: int) -> int:
    """The field named by the key whose first character is at `p`; -1 if the schema has none."""
    predicted = _entry(tables, PREDICTIONS, slot)
    if predicted >= 0 and _is_named(tables, address, p, predicted):
        return predicted
    for field in range(_slot(tables, FIELD_COUNT)):
        if _is_named(tables, address, p, field):
            store_i64(_slot(tables, PREDICTIONS) + 8 * slot, field)
            return field
    return -1


@kernel
def _in_units(digits: int, exponent: int, scale: int) -> int:
    """`digits` times ten to `exponent`, in units of ten to minus `scale`; -1 if that is no integer.

    -1 too where it would be beyond 18 digits.
    """
    shift = exponent + scale
    if shift == 0 or digits == 0:
        return digits
    if shift > 0:
        if shift > 18 or digits >= _TEN[18 - shift]:
            return -1
        return digits * _TEN[shift]
    if shift < -18 or digits % _TEN[-shift] != 0:
        return -1
    return digits // _TEN[-shift]


@kernel
def _exact_value(tables: int, address: int, p: int, field: int) -> tuple[int, int]:
    """An INT, DECIMAL or MONEY at `p`: the position after it and its value; -1 if it is none.

    Money whose currency another field holds is left as its digits, and their power of ten among
    the exponents, until the line has been read.
    """
    quoted = load_u8(address + p) == _QUOTE
    end, negative, digits, exponent = read_number(address, p + 1 if quoted else p)
    if end < 0:
        return -1, 0
    if quoted:
        if load_u8(address + end) != _QUOTE:
            return -1, 0
        end += 1
    if _about(tables, field, PARTNER) >= 0:
        store_i64(_slot(tables, EXPONENTS) + 8 * field, exponent)
        return end, -digits if negative else digits
    units = _in_units(digits, exponent, _about(tables, field, SCALE))
    if units < 0:
        return -1, 0
    value = -units if negative else units
    if value < _about(tables, field, LOW) or value > _about(tables, field, HIGH):
        return -1, 0
    return end, value


@kernel
def _float_value(tables: int, address: int, p: int, field: int) -> tuple[int, int]:
    """A FLOAT at `p`: the position after it and its bits; -1 if it is none, or not in bounds.

    Both its digits and the power of ten are doubles without error, so one multiplication or
    division rounds to the double nearest to what was written (W. D. Clinger, "How to read floating
    point numbers accurately", 1990). What is larger or finer is left to the general way.
    """
    end, negative, digits, exponent = read_number(address, p)
    if end < 0 or digits > _EXACT_FLOAT or exponent > 22 or exponent < -22:
        return -1, 0
    value = np.float64(digits)
    if exponent < 0:
        value /= _TEN_FLOAT[-exponent]
    else:
        value *= _TEN_FLOAT[exponent]
    if negative:
        value = -value
    low, high = as_float(_about(tables, field, LOW)), as_float(_about(tables, field, HIGH))
    if not low <= value <= high:
        return -1, 0
    return end, as_bits(value)


@kernel
def _letters(address: int, p: int, count: int) -> int:
    """The packed code of `count` capital letters and a quote at `p`; -1 if there is none."""
    if load_u8(address + p + count) != _QUOTE:
        return -1
    code = 0
    for i in range(count):
        letter = np.int64(load_u8(address + p + i)) - 65
        if letter < 0 or letter > 25:
            return -1
        code = code * 26 + letter
    return code


@kernel
def _quoted_value(tables: int, address: int, p: int, field: int) -> tuple[int, int]:
    """A TEXT, TIME, CURRENCY or COUNTRY at `p`: the position after it and its value; -1 if none."""
    kind = _about(tables, field, KIND)
    if load_u8(address + p) != _QUOTE:
        return -1, 0
    p += 1
    if kind == _TEXT:
        end = scan_string(address, p)
        length = end - p
        long = length > _about(tables, field, LONGEST)
        if load_u8(address + end) != _QUOTE or length == 0 or long:
            return -1, 0
        return end + 1, (p << SPAN_BITS) | length
    if kind == _TIME:
        end, time = read_time(address, p)
        if end < 0 or load_u8(address + end) != _QUOTE:
            return -1, 0
        if time < _about(tables, field, LOW) or time > _about(tables, field, HIGH):
            return -1, 0
        return end + 1, time
    if kind == _CURRENCY:
        code = _letters(address, p, 3)
        if code < 0 or load_u8(_slot(tables, DIGITS) + code) == UNKNOWN_CURRENCY:
            return -1, 0
        return p + 4, code
    code = _letters(address, p, 2)
    if code < 0 or load_u8(_slot(tables, COUNTRIES) + code) == 0:
        return -1, 0
    return p + 3, code


@kernel
def _read_value(tables: int, address: int, p: int, row: int, field: int) -> int:
    """Store the value at `p` as that row of that field: the position after it, or -1."""
    kind = _about(tables, field, KIND)
    if kind == _BOOL or load_u8(address + p) == 110:  # n of null
        end, which = literal(address, p)
        missing = which < 0
        if missing and _about(tables, field, OPTIONAL) == 0:
            return -1
        if kind != _BOOL and not missing:
            return -1
        _store(tables, field, row, 0 if missing else which, 0 if missing else 1)
        return end
    if kind == _INT or kind == _DECIMAL or kind == _MONEY:  # noqa: PLR1714 - numba compiles a set slowly
        end, value = _exact_value(tables, address, p, field)
    elif kind == _FLOAT:
        end, value = _float_value(tables, address, p, field)
    else:
        end, value = _quoted_value(tables, address, p, field)
    _store(tables, field, row, value, 1)
    return end


@kernel
def _finish_money(tables: int, row: int, field: int) -> bool:
    """Bring an amount into units of its event's currency; whether it could be done."""
    if load_u8(_valid_at(tables, field, row)) == 0:
        return True
    partner = _about(tables, field, PARTNER)
    if load_u8(_valid_at(tables, partner, row)) == 0:
        return False
    digits = load_i64(_value_at(tables, field, row))
    currency = load_i64(_value_at(tables, partner, row))
    scale = np.int64(load_u8(_slot(tables, DIGITS) + currency))
    units = _in_units(abs(digits), _entry(tables, EXPONENTS, field), scale)
    value = -units if digits < 0 else units
    if units < 0 or value < _about(tables, field, LOW) or value > _about(tables, field, HIGH):
        return False
    _store(tables, field, row, value, 1)
    return True


@kernel
def _finish_row(tables: int, row: int, count: int) -> bool:
    """Write what is missing of a line with `count` fields, and its amounts; whether it is good."""
    fields = _slot(tables, FIELD_COUNT)
    if count < fields:
        for field in range(fields):
            if _entry(tables, SEEN, field) != row:
                if _about(tables, field, OPTIONAL) == 0:
                    return False
                _store(tables, field, row, 0, 0)
    for i in range(_slot(tables, PENDING_COUNT)):
        if not _finish_money(tables, row, _entry(tables, PENDING, i)):
            return False
    return True


@kernel
def _read_members(tables: int, address: int, p: int, row: int) -> tuple[int, int]:
    """Read the members of the object whose brace is before `p`.

    Returns:
        The position after the object and how many fields it has; the position is -1 if hard.
    """
    count = 0
    slot = 0
    p = skip_space(address, p)
    if load_u8(address + p) == _CLOSE_OBJECT:
        return p + 1, 0
    while True:
        if load_u8(address + p) != _QUOTE:
            return -1, 0
        field = _find_field(tables, address, p + 1, slot)
        if field >= 0:
            p += _about(tables, field, NAME) + 2
            if _entry(tables, SEEN, field) == row:
                return -1, 0
            store_i64(_slot(tables, SEEN) + 8 * field, row)
            count += 1
        else:
            p = scan_string(address, p + 1)
            if load_u8(address + p) != _QUOTE:
                return -1, 0
            p += 1
        slot = (slot + 1) & (PREDICTED - 1)
        p = skip_space(address, p)
        if load_u8(address + p) != _COLON:
            return -1, 0
        p = skip_space(address, p + 1)
        if field >= 0:
            p = _read_value(tables, address, p, row, field)
        else:
            p = skip_value(address, p)
        if p < 0:
            return -1, 0
        p = skip_space(address, p)
        byte = load_u8(address + p)
        p += 1
        if byte == _CLOSE_OBJECT:
            return p, count
        if byte != _COMMA:
            return -1, 0
        p = skip_space(address, p)


@kernel
def _read_line(tables: int, address: int, p: int, row: int) -> int:
    """Read the line at `p` into `row`: the position of its line feed, or -1 if it is hard."""
    if load_u8(address + p) != _OPEN_OBJECT:
        return -1
    end, count = _read_members(tables, address, p + 1, row)
    if end < 0:
        return -1
    end = skip_space(address, end)
    good = load_u8(address + end) == _LINE_FEED and _finish_row(tables, row, count)
    return end if good else -1


@kernel
def read_lines(tables: int, address: int, length: int, lines: int) -> tuple[int, int]:
    """Read every line of a chunk into columns.

    Args:
        tables: The address of the table of tables, int64, `TABLE_SLOTS` long.
        address: Of the chunk, which ends with a line feed, behind which 64 zero bytes stand.
        length: Of the chunk, the last line feed included.
        lines: The address of the table of lines, int64, filled: a row of `LINE_COLUMNS` for each
            line that is not blank.

    Returns:
        How many lines are not blank, and how many there are.
    """
    fields = _slot(tables, FIELD_COUNT)
    for slot in range(PREDICTED):
        store_i64(_slot(tables, PREDICTIONS) + 8 * slot, slot if slot < fields else -1)
    for field in range(fields):
        store_i64(_slot(tables, SEEN) + 8 * field, -1)
    row = 0
    number = 0
    p = 0
    while p < length:
        start = p
        if load_u8(address + p) == _CARRIAGE_RETURN:
            p += 1
        if load_u8(address + p) == _LINE_FEED:
            p += 1
            number += 1
            continue
        end = _read_line(tables, address, skip_space(address, start), row)
        if end >= 0 and end - start > _slot(tables, LONGEST_LINE):
            end = -1
        state = EASY
        if end < 0:
            state = HARD
            end = find_line_feed(address, start)
            for field in range(fields):
                _store(tables, field, row, 0, 0)
        line = lines + 8 * LINE_COLUMNS * row
        store_i64(line + 8 * START, start)
        store_i64(line + 8 * END, end)
        store_i64(line + 8 * NUMBER, number)
        store_i64(line + 8 * STATE, state)
        row += 1
        number += 1
        p = end + 1
    return row, number


@kernel
def text_offsets(spans: Int64s, rows: Int64s, offsets: Int32s) -> int:
    """Offsets of the texts of `rows` laid one after the other; returns the bytes of all.

    The sum is 64 bits wide and may be more than the 32-bit offsets hold; the caller looks.
    """
    position = np.int64(0)
    offsets[0] = 0
    for i in range(len(rows)):
        position += spans[rows[i]] & _SPAN_MASK
        offsets[i + 1] = position
    return position


@kernel
def copy_texts(
    address: int, extra: int, boundary: int, spans: Int64s, rows: Int64s, out: Bytes
) -> None:  # noqa: PLR0913 - a kernel takes its columns one by one
    """Copy the texts of `rows` to the address `out`, one after the other.

    A span at `boundary` or above lies that far into the bytes at `extra`; else in the chunk.
    """
    position = 0
    for i in range(len(rows)):
        span = spans[rows[i]]
        start = span >> SPAN_BITS
        source = address + start if start < boundary else extra + (start - boundary)
        copy_bytes(out + position, source, span & _SPAN_MASK)
        position += span & _SPAN_MASK
