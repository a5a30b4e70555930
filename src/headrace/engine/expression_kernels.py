"""The machine that runs row programs and feature programs: instructions over columns of registers.

A register is a row of a matrix of 64-bit words with a validity byte each. An instruction is one
pass over a block of rows by the function that its row names by address; what it does to a row
depends on that row alone, so that neither blocks nor threads can change a result. A missing row
holds 0. Only functions that a plan's programs use are compiled.
"""

from __future__ import annotations

import math

import numpy as np

from headrace.core import exact
from headrace.core.compiled import (
    as_bits,
    as_float,
    inner_kernel,
    kernel,
    load_f64,
    load_i64,
    load_u8,
)
from headrace.core.elementary import exp, great_circle, log, log1p, power
from headrace.core.memory import call_word, entry_kernel, store_f64
from headrace.definitions.plan import Op
from headrace.engine.register_kernels import (
    CODE,
    CODE_END,
    DO_RATIO,
    EXACT_LIMIT,
    FEATURES,
    I_A,
    I_B,
    I_C,
    I_D,
    I_DO,
    I_IMMEDIATE,
    I_OP,
    I_OUT,
    I_TENS,
    INSTRUCTION_BYTES,
    OUTPUTS,
    OUTPUTS_END,
    ROWS,
    WORK,
    put,
    register,
    validity,
)

# an output, in bytes: register, scale, whether it is a float already, 10 ** scale as above
F_REGISTER, F_SCALE, F_FLOATING, F_TENS = range(0, 32, 8)
OUTPUT_BYTES = 32

BLOCK = 1024

_CONST, _ADD_I, _SUB_I, _NEG_I, _ABS_I = (
    int(op) for op in (Op.CONST, Op.ADD_I, Op.SUB_I, Op.NEG_I, Op.ABS_I)
)
_SCALE_UP_I, _SCALE_DOWN_I, _TO_FLOAT, _MIN_I, _MAX_I = (
    int(op) for op in (Op.SCALE_UP_I, Op.SCALE_DOWN_I, Op.TO_FLOAT, Op.MIN_I, Op.MAX_I)
)
_EQ_I, _NE_I, _LT_I, _LE_I = (int(op) for op in (Op.EQ_I, Op.NE_I, Op.LT_I, Op.LE_I))
_EQ_F, _NE_F, _LT_F, _LE_F = (int(op) for op in (Op.EQ_F, Op.NE_F, Op.LT_F, Op.LE_F))
_ADD_F, _SUB_F, _MUL_F, _DIV_F = (int(op) for op in (Op.ADD_F, Op.SUB_F, Op.MUL_F, Op.DIV_F))
_NEG_F, _ABS_F, _SQRT_F, _LOG_F = (int(op) for op in (Op.NEG_F, Op.ABS_F, Op.SQRT_F, Op.LOG_F))
_LOG1P_F, _EXP_F, _FLOOR_F = (int(op) for op in (Op.LOG1P_F, Op.EXP_F, Op.FLOOR_F))
_MIN_F, _MAX_F, _AND, _OR, _NOT = (int(op) for op in (Op.MIN_F, Op.MAX_F, Op.AND, Op.OR, Op.NOT))
_IS_MISSING, _SELECT, _COALESCE = (int(op) for op in (Op.IS_MISSING, Op.SELECT, Op.COALESCE))

_ONE, _NINE, _BILLION = 1, 9, 10**9


@inner_kernel
def _integer(op: int, a: int, b: int, immediate: int) -> int:  # noqa: PLR0911 - each operation has its line
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
    if op == _SCALE_DOWN_I:
        return a // immediate
    if op == _MIN_I:
        return min(a, b)
    if op == _MAX_I:
        return max(a, b)
    if op == _EQ_I:
        return 1 if a == b else 0
    if op == _NE_I:
        return 1 if a != b else 0
    if op == _LT_I:
        return 1 if a < b else 0
    if op == _LE_I:
        return 1 if a <= b else 0
    return 1 if a == 0 else 0


@inner_kernel
def _compare(op: int, x: float, y: float) -> int:
    """A comparison of floats."""
    if op == _EQ_F:
        return 1 if x == y else 0
    if op == _NE_F:
        return 1 if x != y else 0
    if op == _LT_F:
        return 1 if x < y else 0
    return 1 if x <= y else 0


@inner_kernel
def _floating(op: int, x: float, y: float) -> float:  # noqa: PLR0911 - each operation has its line
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
    if op == _FLOOR_F:
        return float(np.floor(x))
    if op == _MIN_F:
        return min(x, y)
    return max(x, y)


@inner_kernel
def _scaled(table: int, value: int, scale: int, tens: int) -> float:
    """An integer over 10 ** scale, rounded once; `tens` is that power if it is a float, else 0."""
    if tens and -EXACT_LIMIT <= value <= EXACT_LIMIT:
        return float(value) / float(tens)
    high = value >> 63
    bits = call_word(load_i64(table + DO_RATIO), load_i64(table + WORK), high, value, _ONE, scale)
    quotient: float = as_float(bits)
    return quotient


@entry_kernel
def do_integers(table: int, about: int, low: int, high: int) -> int:
    """Arithmetic and comparisons of integers: a missing argument gives a missing result."""
    op, immediate = load_i64(about + I_OP), load_i64(about + I_IMMEDIATE)
    out, a, b = load_i64(about + I_OUT), load_i64(about + I_A), load_i64(about + I_B)
    words, present = register(table, out), validity(table, out)
    first, second = register(table, a), register(table, b)
    first_there, second_there = validity(table, a), validity(table, b)
    for i in range(low, high):
        there = load_u8(first_there + i) & load_u8(second_there + i)
        value = _integer(op, load_i64(first + 8 * i), load_i64(second + 8 * i), immediate)
        put(words, present, i, value, there)
    return 0


@entry_kernel
def do_floats(table: int, about: int, low: int, high: int) -> int:
    """Arithmetic and comparisons of floats; a result that is not finite is missing."""
    op = load_i64(about + I_OP)
    out, a, b = load_i64(about + I_OUT), load_i64(about + I_A), load_i64(about + I_B)
    words, present = register(table, out), validity(table, out)
    first, second = register(table, a), register(table, b)
    first_there, second_there = validity(table, a), validity(table, b)
    for i in range(low, high):
        there = 1 if load_u8(first_there + i) & load_u8(second_there + i) else 0
        x, y = load_f64(first + 8 * i), load_f64(second + 8 * i)
        if _EQ_F <= op <= _LE_F:
            put(words, present, i, _compare(op, x, y), there)
            continue
        value = _floating(op, x, y)
        if not -math.inf < value < math.inf:
            there = 0
        put(words, present, i, as_bits(value), there)
    return 0


@inner_kernel
def _elementary(op: int, x: float, y: float) -> float:
    """A logarithm, exponential or power."""
    if op == _LOG_F:
        return log(x)
    if op == _LOG1P_F:
        return log1p(x)
    if op == _EXP_F:
        return exp(x)
    return power(x, y)


@entry_kernel
def do_elementary(table: int, about: int, low: int, high: int) -> int:
    """Logarithms, exponentials, powers; a result that is not finite is missing."""
    op = load_i64(about + I_OP)
    out, a, b = load_i64(about + I_OUT), load_i64(about + I_A), load_i64(about + I_B)
    words, present = register(table, out), validity(table, out)
    first, second = register(table, a), register(table, b)
    first_there, second_there = validity(table, a), validity(table, b)
    for i in range(low, high):
        there = 1 if load_u8(first_there + i) & load_u8(second_there + i) else 0
        value = math.nan
        if there:
            value = _elementary(op, load_f64(first + 8 * i), load_f64(second + 8 * i))
        if not -math.inf < value < math.inf:
            there = 0
        put(words, present, i, as_bits(value), there)
    return 0


@entry_kernel
def do_scale(table: int, about: int, low: int, high: int) -> int:
    """Integers to floats, and the seconds between two times."""
    op, scale = load_i64(about + I_OP), load_i64(about + I_IMMEDIATE)
    tens = load_i64(about + I_TENS)
    out, a, b = load_i64(about + I_OUT), load_i64(about + I_A), load_i64(about + I_B)
    words, present = register(table, out), validity(table, out)
    first, second = register(table, a), register(table, b)
    first_there, second_there = validity(table, a), validity(table, b)
    for i in range(low, high):
        there = load_u8(first_there + i) & load_u8(second_there + i)
        value = load_i64(first + 8 * i)
        if op == _TO_FLOAT:
            put(words, present, i, as_bits(_scaled(table, value, scale, tens)), there)
            continue
        later = load_i64(second + 8 * i)
        more, less = exact.subtract_wide(later >> 63, later, value >> 63, value)
        if more == less >> 63:
            put(words, present, i, as_bits(_scaled(table, less, 9, _BILLION)), there)
        else:
            work, ratio = load_i64(table + WORK), load_i64(table + DO_RATIO)
            bits = call_word(ratio, work, more, less, _ONE, _NINE)
            put(words, present, i, bits, there)
    return 0


@entry_kernel
def do_choices(table: int, about: int, low: int, high: int) -> int:
    """The operations in which a missing argument may still give a result, and constants."""
    op, immediate = load_i64(about + I_OP), load_i64(about + I_IMMEDIATE)
    out, a, b = load_i64(about + I_OUT), load_i64(about + I_A), load_i64(about + I_B)
    c = load_i64(about + I_C)
    words, present = register(table, out), validity(table, out)
    first, second, third = register(table, a), register(table, b), register(table, c)
    first_there, second_there = validity(table, a), validity(table, b)
    third_there = validity(table, c)
    for i in range(low, high):
        if op == _CONST:
            put(words, present, i, immediate, 1)
            continue
        x, y = load_i64(first + 8 * i), load_i64(second + 8 * i)
        has_x = 1 if load_u8(first_there + i) else 0
        has_y = 1 if load_u8(second_there + i) else 0
        if op == _IS_MISSING:
            put(words, present, i, 1 - has_x, 1)
        elif op == _COALESCE:
            put(words, present, i, x if has_x else y, has_x | has_y)
        elif op == _SELECT:
            if has_x and x:
                put(words, present, i, y, has_y)
            else:
                has_z = 1 if load_u8(third_there + i) else 0
                put(words, present, i, load_i64(third + 8 * i), has_z)
        else:
            absorbing = op == _OR
            if (has_x and (x != 0) == absorbing) or (has_y and (y != 0) == absorbing):
                put(words, present, i, 1 if absorbing else 0, 1)
            else:
                put(words, present, i, 0 if absorbing else 1, has_x & has_y)
    return 0


@entry_kernel
def do_great_circle(table: int, about: int, low: int, high: int) -> int:
    """Kilometres between two places."""
    out = load_i64(about + I_OUT)
    words, present = register(table, out), validity(table, out)
    for i in range(low, high):
        there = 1
        for place in range(I_A, I_D + 8, 8):
            if load_u8(validity(table, load_i64(about + place)) + i) == 0:
                there = 0
        value = 0
        if there:
            kilometres = great_circle(
                load_f64(register(table, load_i64(about + I_A)) + 8 * i),
                load_f64(register(table, load_i64(about + I_B)) + 8 * i),
                load_f64(register(table, load_i64(about + I_C)) + 8 * i),
                load_f64(register(table, load_i64(about + I_D)) + 8 * i),
            )
            value = as_bits(kilometres)
        put(words, present, i, value, there)
    return 0


@entry_kernel
def finish(table: int, low: int, high: int) -> int:
    """Features as floats: NaN where missing; integers exactly, decimals in units, rounded once."""
    output, features = load_i64(table + OUTPUTS), load_i64(table + FEATURES)
    while output < load_i64(table + OUTPUTS_END):
        source, tens = load_i64(output + F_REGISTER), load_i64(output + F_TENS)
        words, there = register(table, source), validity(table, source)
        scale, floating = load_i64(output + F_SCALE), load_i64(output + F_FLOATING)
        for i in range(low, high):
            value = math.nan
            if load_u8(there + i):
                if floating:
                    value = load_f64(words + 8 * i)
                else:
                    value = _scaled(table, load_i64(words + 8 * i), scale, tens)
            store_f64(features + 8 * i, value)
        features += 8 * load_i64(table + ROWS)
        output += OUTPUT_BYTES
    return 0


@kernel
def run_program(table: int, low: int, high: int, finishing: int) -> None:
    """Run a program over rows `low` to `high - 1` of its registers, and finish its features.

    Args:
        table: Address of the slots named above; each thread has its own.
        low: First row.
        high: After the last.
        finishing: The address of `finish`; 0 if there are no features.
    """
    end = load_i64(table + CODE_END)
    for first in range(low, high, BLOCK):
        last = min(first + BLOCK, high)
        about = load_i64(table + CODE)
        while about < end:
            call_word(load_i64(about + I_DO), table, about, first, last)
            about += INSTRUCTION_BYTES
        if finishing:
            call_word(finishing, table, first, last)
