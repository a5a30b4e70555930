"""The kernel that runs a policy: a small stack machine over blocks of rows.

A truth value is a number: 0 false, 1 missing, 2 true. Kleene's *and* is then the lesser of two,
*or* the greater, and *not* is 2 minus it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.compiled import (
    allocating_kernel,
    as_float,
    inner_kernel,
    kernel,
    load_i32,
    load_i64,
    load_u8,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Bytes, Floats, Int64s

FALSE, MISSING, TRUE = 0, 1, 2

# What an instruction does (its word 0).
COMPARE_INTEGERS = 0
COMPARE_FLOATS = 1
COMPARE_TEXTS = 2  # for equality
IS_MISSING = 3
AND = 4
OR = 5
NOT = 6
RULE = 7

# Where a side of a comparison lies (words 2 and 5; 3 and 6 say which; 4 and 7 divide).
CONSTANT = 0
SCORE = 1
FEATURE = 2
FIELD = 3
FLOAT_FIELD = 4

WORDS = 8
#: Rows that one instruction works on before the next one does.
BLOCK = 256


@kernel
def _related(relation: int, less: bool, equal: bool) -> bool:  # noqa: FBT001 - a table of six relations
    """Whether two values are in the relation, given how they lie."""
    if relation == 0:
        return less
    if relation == 1:
        return less or equal
    if relation == 2:
        return not less and not equal
    if relation == 3:
        return not less
    if relation == 4:
        return equal
    return not equal


@inner_kernel
def _load_floats(
    program: Int64s,
    at: int,
    start: int,
    constants: Int64s,
    score: Floats,
    features: Floats,
    columns: Int64s,
    out: Floats,
) -> None:
    """Fill `out` with the side that begins at word `at`; NaN where it is missing."""
    where = program[at]
    index = program[at + 1]
    if where == CONSTANT:
        out[:] = as_float(constants[index])
    elif where == SCORE:
        for i in range(len(out)):
            out[i] = score[start + i]
    elif where == FEATURE:
        for i in range(len(out)):
            out[i] = features[index, start + i]
    else:
        values = columns[index, 0] + 8 * start
        valid = columns[index, 1] + start
        divisor = as_float(constants[program[at + 2]])
        for i in range(len(out)):
            if load_u8(valid + i) == 0:
                out[i] = np.nan
            elif where == FLOAT_FIELD:
                out[i] = as_float(load_i64(values + 8 * i))
            else:
                # at most 2 ** 53 over a power of ten up to 10 ** 22: exact, so rounded once
                out[i] = np.float64(load_i64(values + 8 * i)) / divisor


@inner_kernel
def _compare_floats(relation: int, left: Floats, right: Floats, out: Bytes) -> None:
    for i in range(len(out)):
        one = left[i]
        other = right[i]
        if np.isnan(one) or np.isnan(other):
            out[i] = MISSING
        else:
            out[i] = TRUE if _related(relation, one < other, one == other) else FALSE


@inner_kernel
def _compare_integers(
    program: Int64s, at: int, start: int, constants: Int64s, columns: Int64s, out: Bytes
) -> None:
    left = program[at + 3]
    right = program[at + 6]
    constant = program[at + 5] == CONSTANT
    for i in range(len(out)):
        row = start + i
        if load_u8(columns[left, 1] + row) == 0:
            out[i] = MISSING
            continue
        one = load_i64(columns[left, 0] + 8 * row)
        if constant:
            other = constants[right]
        elif load_u8(columns[right, 1] + row) == 0:
            out[i] = MISSING
            continue
        else:
            other = load_i64(columns[right, 0] + 8 * row)
        out[i] = TRUE if _related(program[at + 1], one < other, one == other) else FALSE


@inner_kernel
def _texts_equal(one: Any, length: Any, other: Any, other_length: Any) -> bool:
    if length != other_length:
        return False
    for i in range(length):  # noqa: SIM110 - a kernel has no generators
        if load_u8(one + i) != load_u8(other + i):
            return False
    return True


@inner_kernel
def _compare_texts(
    program: Int64s, at: int, start: int, constants: Int64s, columns: Int64s, out: Bytes
) -> None:
    left = program[at + 3]
    right = program[at + 6]
    constant = program[at + 5] == CONSTANT
    for i in range(len(out)):
        row = start + i
        if load_u8(columns[left, 1] + row) == 0:
            out[i] = MISSING
            continue
        begin = np.int64(load_i32(columns[left, 2] + 4 * row))
        length = np.int64(load_i32(columns[left, 2] + 4 * row + 4)) - begin
        if constant:
            other = constants[right]
            other_length = constants[right + 1]
        elif load_u8(columns[right, 1] + row) == 0:
            out[i] = MISSING
            continue
        else:
            offset = np.int64(load_i32(columns[right, 2] + 4 * row))
            other = columns[right, 0] + offset
            other_length = np.int64(load_i32(columns[right, 2] + 4 * row + 4)) - offset
        equal = _texts_equal(columns[left, 0] + begin, length, other, other_length)
        out[i] = TRUE if equal else FALSE


@kernel
def _missing(
    program: Int64s,
    at: int,
    start: int,
    score: Floats,
    features: Floats,
    columns: Int64s,
    out: Bytes,
) -> None:
    for i in range(len(out)):
        if program[at + 2] == SCORE:
            gone = np.isnan(score[start + i])
        elif program[at + 2] == FEATURE:
            gone = np.isnan(features[program[at + 3], start + i])
        else:
            gone = load_u8(columns[program[at + 3], 1] + start + i) == 0
        out[i] = TRUE if gone else FALSE


@inner_kernel
def _combine(op: int, stack: Bytes, top: int, rows: int) -> None:
    """Kleene's and, or, not, on the top of the stack."""
    for i in range(rows):
        if op == AND:
            stack[top - 2, i] = min(stack[top - 2, i], stack[top - 1, i])
        elif op == OR:
            stack[top - 2, i] = max(stack[top - 2, i], stack[top - 1, i])
        else:
            stack[top - 1, i] = TRUE - stack[top - 1, i]


@inner_kernel
def _record(
    number: int, truth: Bytes, first: NDArray[np.int16], matches: NDArray[np.uint64]
) -> None:
    bit = np.uint64(1) << np.uint64(number)
    for i in range(len(truth)):
        if truth[i] == TRUE:
            matches[i] |= bit
            if first[i] < 0:
                first[i] = number


@allocating_kernel
def decide(
    program: Int64s,
    constants: Int64s,
    score: Floats,
    features: Floats,
    columns: Int64s,
    outcomes: Bytes,
    depth: int,
    outcome: Bytes,
    rule: NDArray[np.int16],
    rules: NDArray[np.uint64],
) -> None:
    """Run `program` for every row.

    Args:
        program: int64[instructions * 8]: what each does, the relation, and two sides of three
            words.
        constants: int64: integers, the bits of floats, and texts as pairs of address and length.
        score: float64[n]; NaN is missing.
        features: float64[F, n]; NaN is missing.
        columns: int64[fields, 3]: addresses of a field's values (text: its bytes), of its
            validity, and of its offsets.
        outcomes: uint8[rules + 1]: the outcome of each rule, and last that of none.
        depth: The most truth values on the stack at once.
        outcome: uint8[n], filled.
        rule: int16[n], filled: the first rule that matches, or -1.
        rules: uint64[n], filled: bit r says whether rule r matches.
    """
    rows = len(score)
    width = min(rows, BLOCK)
    stack = np.empty((depth, width), dtype=np.uint8)
    left = np.empty(width)
    right = np.empty(width)
    rule[:] = -1
    rules[:] = 0
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        top = 0
        for at in range(0, len(program), WORDS):
            op = program[at]
            if op == AND or op == OR or op == NOT:  # noqa: PLR1714, SIM109 - a test in a tuple is slower here
                _combine(op, stack, top, count)
                top -= 0 if op == NOT else 1
                continue
            if op == RULE:
                top -= 1
                end = start + count
                _record(program[at + 1], stack[top, :count], rule[start:end], rules[start:end])
                continue
            truth = stack[top, :count]
            top += 1
            if op == COMPARE_FLOATS:
                one = left[:count]
                other = right[:count]
                _load_floats(program, at + 2, start, constants, score, features, columns, one)
                _load_floats(program, at + 5, start, constants, score, features, columns, other)
                _compare_floats(program[at + 1], one, other, truth)
            elif op == COMPARE_INTEGERS:
                _compare_integers(program, at, start, constants, columns, truth)
            elif op == COMPARE_TEXTS:
                _compare_texts(program, at, start, constants, columns, truth)
            else:
                _missing(program, at, start, score, features, columns, truth)
    for row in range(rows):
        first = rule[row]
        outcome[row] = outcomes[first] if first >= 0 else outcomes[len(outcomes) - 1]
