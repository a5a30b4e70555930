"""The machine that runs row programs and feature programs: instructions over columns of registers.

A register is a row of a matrix of 64-bit words with a validity byte each. An instruction is one
pass over the rows; what it does to a row depends on that row alone, so that neither blocks nor
threads can change a result. A missing row holds 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from headrace.core import exact
from headrace.core.compiled import as_bits, as_float, inner_kernel, kernel, load_i64
from headrace.core.elementary import exp, great_circle, log, log1p, power
from headrace.definitions.plan import Op

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Int64s

    Matrix = NDArray[np.int64]
    Flags = NDArray[np.uint8]

# a row of a program: what, where to, four arguments, the immediate, further arguments, how many
I_OP, I_OUT, I_A, I_B, I_C, I_D, I_IMMEDIATE, I_MORE, I_COUNT = range(9)
INSTRUCTION_WIDTH = 9

# a row of the tables: address, rows, words of a row, words of its key
T_ADDRESS, T_ROWS, T_WIDTH, T_KEYS = range(4)
TABLE_WIDTH = 4

# a row of the conversions
V_TABLE, V_RATE, V_RATE_SCALE, V_TARGET, V_DIGITS = range(5)
CONVERSION_WIDTH = 5

CURRENCIES = 26**3
EXACT_LIMIT = 2**53 - 1

# parts of a time; PART_ITSELF when the steps give it
(
    PART_ITSELF,
    PART_HOUR,
    PART_MINUTE,
    PART_SECOND,
    PART_WEEKDAY,
    PART_WEEKEND,
    PART_DAY,
    PART_MONTH,
    PART_YEAR,
    PART_DAY_OF_YEAR,
    PART_MINUTE_OF_DAY,
) = range(11)

_CONST, _ADD_I, _SUB_I, _NEG_I, _ABS_I = (
    int(op) for op in (Op.CONST, Op.ADD_I, Op.SUB_I, Op.NEG_I, Op.ABS_I)
)
_SCALE_UP_I, _TO_FLOAT, _MIN_I, _MAX_I = (
    int(op) for op in (Op.SCALE_UP_I, Op.TO_FLOAT, Op.MIN_I, Op.MAX_I)
)
_EQ_I, _NE_I, _LT_I, _LE_I = (int(op) for op in (Op.EQ_I, Op.NE_I, Op.LT_I, Op.LE_I))
_EQ_F, _NE_F, _LT_F, _LE_F = (int(op) for op in (Op.EQ_F, Op.NE_F, Op.LT_F, Op.LE_F))
_ADD_F, _SUB_F, _MUL_F, _DIV_F = (int(op) for op in (Op.ADD_F, Op.SUB_F, Op.MUL_F, Op.DIV_F))
_NEG_F, _ABS_F, _SQRT_F, _LOG_F = (int(op) for op in (Op.NEG_F, Op.ABS_F, Op.SQRT_F, Op.LOG_F))
_LOG1P_F, _EXP_F, _POW_F, _FLOOR_F = (
    int(op) for op in (Op.LOG1P_F, Op.EXP_F, Op.POW_F, Op.FLOOR_F)
)
_MIN_F, _MAX_F, _AND, _OR, _NOT = (int(op) for op in (Op.MIN_F, Op.MAX_F, Op.AND, Op.OR, Op.NOT))
_IS_MISSING, _SELECT, _COALESCE, _IS_IN = (
    int(op) for op in (Op.IS_MISSING, Op.SELECT, Op.COALESCE, Op.IS_IN)
)
_CALENDAR, _CONVERT, _LOOK_UP = (int(op) for op in (Op.CALENDAR, Op.CONVERT, Op.LOOK_UP))
_GREAT_CIRCLE, _SECONDS_BETWEEN = int(Op.GREAT_CIRCLE), int(Op.SECONDS_BETWEEN)

_DAY = 86_400_000_000_000


@inner_kernel
def _integer(op: int, a: int, b: int, immediate: int) -> int:
    """An operation on integers that always has a result."""
    if op == _ADD_I:
        return a + b
    if op == _SUB_I:
        return a - b
    if op == _NEG_I:
        return -a
    if op == _ABS_I:
        return abs(a)
    if op == _SCALE_UP_I:
        return a * immediate
    if op == _MIN_I:
        return min(a, b)
    if op == _MAX_I:
        return max(a, b)
    if op == _EQ_I:
        return np.int64(a == b)
    if op == _NE_I:
        return np.int64(a != b)
    if op == _LT_I:
        return np.int64(a < b)
    if op == _LE_I:
        return np.int64(a <= b)
    return np.int64(a == 0)


@inner_kernel
def _compare(op: int, x: float, y: float) -> int:
    """A comparison of floats."""
    if op == _EQ_F:
        return np.int64(x == y)
    if op == _NE_F:
        return np.int64(x != y)
    if op == _LT_F:
        return np.int64(x < y)
    return np.int64(x <= y)


@inner_kernel
def _floating(op: int, x: float, y: float) -> float:
    """An operation on floats; NaN or an infinity where it has no result."""
    if op == _ADD_F:
        return x + y
    if op == _SUB_F:
        return x - y
    if op == _MUL_F:
        return x * y
    if op == _DIV_F:
        return x / y
    if op == _NEG_F:
        return -x
    if op == _ABS_F:
        return abs(x)
    if op == _SQRT_F:
        return math.sqrt(x)
    if op == _LOG_F:
        return log(x)
    if op == _LOG1P_F:
        return log1p(x)
    if op == _EXP_F:
        return exp(x)
    if op == _POW_F:
        return power(x, y)
    if op == _FLOOR_F:
        return float(np.floor(x))
    if op == _MIN_F:
        return min(x, y)
    return max(x, y)


@inner_kernel
def last_at_most(values: Int64s, low: int, high: int, bound: int) -> int:
    """The place of the last of ascending values[low:high] that is at most `bound`; low - 1 if none."""
    start = low
    while low < high:
        middle = (low + high) >> 1
        if values[middle] <= bound:
            low = middle + 1
        else:
            high = middle
    return max(low, start) - 1


@inner_kernel
def _civil(days: int) -> tuple[int, int, int, int]:
    """Year, month, day and day of the year of a day counted from 1970-01-01.

    The algorithm of H. Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
    """
    shifted = days + 719468
    era = shifted // 146097
    of_era = shifted - era * 146097
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    from_march = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * from_march + 2) // 153
    day = from_march - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year += era * 400 + (1 if month <= 2 else 0)
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    if month > 2:
        of_year = from_march + 60 + (1 if leap else 0)
    else:
        of_year = from_march - 305
    return year, month, day, of_year


@inner_kernel
def part_of(part: int, local: int) -> int:
    """A part of a local time in nanoseconds since 1970."""
    days, rest = local // _DAY, local % _DAY
    if part == PART_HOUR:
        return rest // 3_600_000_000_000
    if part == PART_MINUTE:
        return rest // 60_000_000_000 % 60
    if part == PART_MINUTE_OF_DAY:
        return rest // 60_000_000_000
    if part == PART_SECOND:
        return rest // 1_000_000_000 % 60
    if part == PART_WEEKDAY:
        return (days + 3) % 7
    if part == PART_WEEKEND:
        return np.int64((days + 3) % 7 >= 5)
    year, month, day, of_year = _civil(days)
    if part == PART_DAY:
        return day
    if part == PART_MONTH:
        return month
    if part == PART_YEAR:
        return year
    return of_year


@inner_kernel
def _as_of(table: Int64s, words: Int64s, at: int, sequence: int) -> int:
    """The address of a table's row for a key, valid at a time and known before; 0 if there is none.

    Rows lie in the order of key, valid_from, sequence.
    """
    low, high = 0, table[T_ROWS]
    keys, stride = table[T_KEYS], 8 * table[T_WIDTH]
    while low < high:
        middle = (low + high) >> 1
        row = table[T_ADDRESS] + middle * stride
        side = 0
        for k in range(keys):
            word = load_i64(row + 8 * k)
            if word != words[k]:
                side = -1 if word < words[k] else 1
                break
        if side < 0 or (side == 0 and load_i64(row + 8 * keys) <= at):
            low = middle + 1
        else:
            high = middle
    while low > 0:
        low -= 1
        row = table[T_ADDRESS] + low * stride
        for k in range(keys):
            if load_i64(row + 8 * k) != words[k]:
                return 0
        if load_i64(row + 8 * keys + 8) < sequence:
            return row
    return 0


@inner_kernel
def _convert(
    amount: int,
    currency: int,
    at: int,
    sequence: int,
    how: Int64s,
    digits: Flags,
    table: Int64s,
    words: Int64s,
) -> tuple[int, int]:
    """Money in the target currency, and whether there is a rate and it fits."""
    if currency == how[V_TARGET]:
        return amount, 1
    if currency < 0 or currency >= CURRENCIES or digits[currency] == 255:
        return 0, 0
    words[0], words[1] = currency, how[V_TARGET]
    row = _as_of(table, words, at, sequence)
    if row == 0 or load_i64(row + 8 * how[V_RATE] + 8) == 0:
        return 0, 0
    drop = np.int64(digits[currency]) + how[V_RATE_SCALE] - how[V_DIGITS]
    value, fits = exact.rounded_product(amount, load_i64(row + 8 * how[V_RATE]), drop)
    if not fits or abs(value) > EXACT_LIMIT:
        return 0, 0
    return value, 1


@inner_kernel
def _choose(
    instruction: Int64s, r: Matrix, valid: Flags, low: int, high: int
) -> None:
    """The operations in which a missing argument may still give a result."""
    op, out, a, b = instruction[I_OP], instruction[I_OUT], instruction[I_A], instruction[I_B]
    c = instruction[I_C]
    for i in range(low, high):
        value, there = np.int64(0), 1
        if op == _IS_MISSING:
            value = np.int64(valid[a, i] == 0)
        elif op == _COALESCE:
            from_a = valid[a, i] != 0
            value, there = (r[a, i], 1) if from_a else (r[b, i], np.int64(valid[b, i]))
        elif op == _SELECT:
            chosen = b if valid[a, i] and r[a, i] else c
            value, there = r[chosen, i], np.int64(valid[chosen, i])
        else:
            absorbing = op == _OR
            if (valid[a, i] and (r[a, i] != 0) == absorbing) or (
                valid[b, i] and (r[b, i] != 0) == absorbing
            ):
                value = np.int64(absorbing)
            else:
                there = np.int64(valid[a, i] and valid[b, i])
                value = np.int64(not absorbing)
        valid[out, i] = there
        r[out, i] = value if there else 0


@inner_kernel
def _plain(instruction: Int64s, r: Matrix, valid: Flags, low: int, high: int, work: Matrix) -> None:
    """Arithmetic and comparisons: a missing argument gives a missing result."""
    op, out, a, b = instruction[I_OP], instruction[I_OUT], instruction[I_A], instruction[I_B]
    immediate = instruction[I_IMMEDIATE]
    if _EQ_F <= op <= _LE_F:
        for i in range(low, high):
            valid[out, i] = valid[a, i] & valid[b, i]
            r[out, i] = _compare(op, as_float(r[a, i]), as_float(r[b, i])) if valid[out, i] else 0
    elif _ADD_F <= op <= _MAX_F:
        for i in range(low, high):
            there = valid[a, i] & valid[b, i]
            value = _floating(op, as_float(r[a, i]), as_float(r[b, i])) if there else 0.0
            there &= np.uint8(-math.inf < value < math.inf)
            valid[out, i] = there
            r[out, i] = as_bits(value) if there else 0
    elif op == _TO_FLOAT:
        for i in range(low, high):
            valid[out, i] = valid[a, i]
            r[out, i] = as_bits(exact.scaled(r[a, i], immediate, work))
    elif op == _SECONDS_BETWEEN:
        for i in range(low, high):
            valid[out, i] = valid[a, i] & valid[b, i]
            high_word, low_word = exact.subtract_wide(
                r[b, i] >> 63, r[b, i], r[a, i] >> 63, r[a, i]
            )
            seconds = exact.ratio(high_word, low_word, 1, 9, work)
            r[out, i] = as_bits(seconds) if valid[out, i] else 0
    else:
        for i in range(low, high):
            valid[out, i] = valid[a, i] & valid[b, i]
            r[out, i] = _integer(op, r[a, i], r[b, i], immediate) if valid[out, i] else 0


@kernel
def run_program(
    program: Matrix,
    arguments: Int64s,
    r: Matrix,
    valid: Flags,
    sequence: Int64s,
    set_starts: Int64s,
    set_values: Int64s,
    calendars: Matrix,
    steps: Matrix,
    conversions: Matrix,
    digits: Flags,
    lookups: Matrix,
    tables: Matrix,
    low: int,
    high: int,
) -> None:
    """Run a program over rows `low` to `high - 1` of its registers.

    Args:
        program: One row for each instruction.
        arguments: The key registers of look-ups.
        r: Registers by rows; those that the program loads are filled.
        valid: Their validity.
        sequence: Of each row: which rows of reference tables were known before it.
        set_starts: Where each set begins in `set_values`, and the end.
        set_values: The sets, each ascending.
        calendars: Part, whether steps are offsets, first and last place in `steps`.
        steps: Row 0 the starts, row 1 the values of all calendars.
        conversions: See `V_TABLE` and its fellows.
        digits: For each conversion the minor unit by packed currency; 255 is unknown.
        lookups: Table and word of the field.
        tables: See `T_ADDRESS` and its fellows.
        low: First row.
        high: After the last.
    """
    work = np.zeros((6, exact.WIDTH), dtype=np.int64)
    words = np.zeros(16, dtype=np.int64)
    for k in range(len(program)):
        instruction = program[k]
        op, out, a, b = instruction[I_OP], instruction[I_OUT], instruction[I_A], instruction[I_B]
        c, d, immediate = instruction[I_C], instruction[I_D], instruction[I_IMMEDIATE]
        if op == _CONST:
            for i in range(low, high):
                r[out, i], valid[out, i] = immediate, 1
        elif op == _IS_IN:
            first, last = set_starts[immediate], set_starts[immediate + 1]
            for i in range(low, high):
                place = last_at_most(set_values, first, last, r[a, i])
                valid[out, i] = valid[a, i]
                r[out, i] = valid[a, i] and place >= first and set_values[place] == r[a, i]
        elif op == _CALENDAR:
            part, local, first, last = calendars[immediate]
            for i in range(low, high):
                step = steps[1, max(last_at_most(steps[0], first, last, r[a, i]), first)]
                if local:
                    step = part_of(part, r[a, i] + step * 1_000_000_000)
                valid[out, i] = valid[a, i]
                r[out, i] = step if valid[a, i] else 0
        elif op == _CONVERT:
            how = conversions[immediate]
            for i in range(low, high):
                valid[out, i] = valid[a, i] & valid[b, i] & valid[c, i]
                r[out, i] = 0
                if valid[out, i]:
                    r[out, i], valid[out, i] = _convert(
                        r[a, i],
                        r[b, i],
                        r[c, i],
                        sequence[i],
                        how,
                        digits[immediate * CURRENCIES : (immediate + 1) * CURRENCIES],
                        tables[how[V_TABLE]],
                        words,
                    )
        elif op == _LOOK_UP:
            table, more = tables[lookups[immediate, 0]], instruction[I_MORE]
            for i in range(low, high):
                there = valid[a, i]
                for key in range(table[T_KEYS]):
                    words[key] = r[arguments[more + key], i]
                    there &= valid[arguments[more + key], i]
                row = _as_of(table, words, r[a, i], sequence[i]) if there else 0
                field = row + 8 * lookups[immediate, 1]
                valid[out, i] = row != 0 and load_i64(field + 8) != 0
                r[out, i] = load_i64(field) if valid[out, i] else 0
        elif op == _GREAT_CIRCLE:
            for i in range(low, high):
                valid[out, i] = valid[a, i] & valid[b, i] & valid[c, i] & valid[d, i]
                r[out, i] = 0
                if valid[out, i]:
                    r[out, i] = as_bits(
                        great_circle(
                            as_float(r[a, i]),
                            as_float(r[b, i]),
                            as_float(r[c, i]),
                            as_float(r[d, i]),
                        )
                    )
        elif op in (_AND, _OR, _IS_MISSING, _SELECT, _COALESCE):
            _choose(instruction, r, valid, low, high)
        else:
            _plain(instruction, r, valid, low, high, work)


@kernel
def finish_features(
    r: Matrix, valid: Flags, outputs: Matrix, features: NDArray[np.float64], low: int, high: int
) -> None:
    """Features as floats: NaN where missing; integers exactly, decimals in units, rounded once.

    A row of `outputs` is the register, the scale, and whether it is a float already.
    """
    work = np.zeros((6, exact.WIDTH), dtype=np.int64)
    for f in range(len(outputs)):
        source, scale, floating = outputs[f]
        for i in range(low, high):
            if not valid[source, i]:
                features[f, i] = math.nan
            elif floating:
                features[f, i] = as_float(r[source, i])
            else:
                features[f, i] = exact.scaled(r[source, i], scale, work)
