"""What is read from a window: a count, a sum, a mean and their fellows.

`answer` reads at once what costs a few instructions. What needs wide arithmetic or a search is read
by the function whose address stands with the query (`reader`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from headrace.core import exact
from headrace.core.compiled import allocating_inner_kernel, as_bits, inner_kernel, load_i64
from headrace.core.memory import call_word, entry_kernel, matrix_at, store_i64, store_u8
from headrace.engine.float_sum_kernels import sum_floats
from headrace.engine.pool_kernels import (
    ASKED,
    DO_RATIO,
    E_CLASS,
    E_END,
    E_RING,
    OUT,
    OUT_ROWS,
    PLACES,
    PRESENT,
    ROW,
    THERE,
    WORK,
)
from headrace.engine.ring_kernels import TOTALS_ROW, ordered, row_at
from headrace.engine.sequence_kernels import read_sequence
from headrace.engine.summary_kernels import MISSING, greatest, sided

if TYPE_CHECKING:
    from collections.abc import Callable

# a row of the queries, in bytes: the function and how it is read, the row of the answers, the span
# and its edges, places in a ring's row of the count (0: all count), the value or sum, the squares;
# whether the sum has two words; 10 ** scale and the most that it may be multiplied by (0: not at
# all); the scale, whether values are floats, the summary; what reads it at an address
(
    Q_FUNCTION,
    Q_HOW,
    Q_OUT,
    Q_SPAN,
    Q_LOW,
    Q_HIGH,
    Q_COUNT,
    Q_WORD,
    Q_SQUARES,
    Q_WIDE,
    Q_TENS,
    Q_MOST,
    Q_SCALE,
    Q_FLOAT,
    Q_SUMMARY,
    Q_DO,
) = range(0, 128, 8)
QUERY_BYTES = 128

(
    COUNT,
    SUM,
    MEAN,
    VARIANCE,
    STD,
    MINIMUM,
    MAXIMUM,
    FIRST,
    LAST,
    DISTINCT,
    SECONDS_SINCE,
    SEQUENCE,
) = range(12)

# how a query is read: counts; sums and means of integers; extremes; rows where all count; the rest
HOW_COUNT, HOW_RATIO, HOW_EXTREME, HOW_ROW, HOW_SECONDS, HOW_RARE = range(6)

EXACT = 1 << 53  # integers up to here are floats
_FEW = 16
_SHORT = 12
_NANOSECONDS = 1e9
_ONE, _NINE = 1, 9


@inner_kernel
def _wide_between(low_row: int, high_row: int, word: int, wide: int) -> tuple[int, int]:
    """The total of a column between two rows: high and low word."""
    low = load_i64(high_row + word) - load_i64(low_row + word)
    if wide == 0:
        return low >> 63, low
    return exact.subtract_wide(
        load_i64(high_row + word + 8),
        load_i64(high_row + word),
        load_i64(low_row + word + 8),
        load_i64(low_row + word),
    )


@inner_kernel
def _last_at_most(table: int, entity: int, word: int, low: int, high: int, most: int) -> int:
    """The last row of low to high - 1 before which a count is at most `most`; the first always."""
    high -= 1
    while low < high:
        middle = (low + high + 1) >> 1
        if load_i64(row_at(table, entity, middle) + word) <= most:
            low = middle
        else:
            high = middle - 1
    return low


@allocating_inner_kernel
def _distinct(table: int, entity: int, word: int, low: int, high: int) -> int:
    """How many different values rows low to high - 1 hold."""
    found = 0
    if high - low <= _FEW:
        for i in range(low, high):
            value = load_i64(row_at(table, entity, i) + word)
            fresh = 1 if value != MISSING else 0
            for j in range(low, i):
                if load_i64(row_at(table, entity, j) + word) == value:
                    fresh = 0
                    break
            found += fresh
        return found
    values = np.empty(high - low, dtype=np.int64)
    for i in range(low, high):
        values[i - low] = load_i64(row_at(table, entity, i) + word)
    # sorting costs the same whatever values an enemy sends; a hash table would not
    values.sort()
    for i in range(len(values)):
        if values[i] != MISSING and (i == 0 or values[i] != values[i - 1]):
            found += 1
    return found


@inner_kernel
def _counted(table: int, query: int, entity: int, low: int, high: int) -> int:
    """How many events of rows low to high - 1 count for a query."""
    counted = load_i64(query + Q_COUNT)
    if counted == 0:
        return high - low
    last = load_i64(row_at(table, entity, high) + counted)
    return last - load_i64(row_at(table, entity, low) + counted)


@inner_kernel
def _given(table: int, there: int, value: int) -> int:
    """A result and, in `THERE`, whether it is one."""
    store_i64(load_i64(table + THERE), there)
    return value


@inner_kernel
def _finite(table: int, value: float) -> int:
    """A float as a result, if it is finite."""
    if -math.inf < value < math.inf:
        return _given(table, 1, as_bits(value))
    return _given(table, 0, 0)


@entry_kernel
def read_ratio(table: int, query: int, entity: int, low: int, high: int, at: int) -> int:  # noqa: ARG001 - as all that read
    """A sum or mean of integers."""
    function, scale = load_i64(query + Q_FUNCTION), load_i64(query + Q_SCALE)
    count = _counted(table, query, entity, low, high)
    if count == 0:
        return _given(table, 1 if function == SUM else 0, 0)
    first, second = _wide_between(
        row_at(table, entity, low),
        row_at(table, entity, high),
        load_i64(query + Q_WORD),
        load_i64(query + Q_WIDE),
    )
    divisor, ratio = 1 if function == SUM else count, load_i64(table + DO_RATIO)
    bits = call_word(ratio, load_i64(table + WORK), first, second, divisor, scale)
    return _given(table, 1, bits)


@entry_kernel
def read_variance(table: int, query: int, entity: int, low: int, high: int, at: int) -> int:  # noqa: ARG001 - as all that read
    """A variance or standard deviation of integers."""
    count = _counted(table, query, entity, low, high)
    if count < 2:
        return _given(table, 0, 0)
    low_row, high_row = row_at(table, entity, low), row_at(table, entity, high)
    word, wide = load_i64(query + Q_WORD), load_i64(query + Q_WIDE)
    first, second = _wide_between(low_row, high_row, word, wide)
    third, fourth = _wide_between(low_row, high_row, load_i64(query + Q_SQUARES), 1)
    work = matrix_at(load_i64(table + WORK), 6, exact.WIDTH)
    scale = load_i64(query + Q_SCALE)
    value = exact.variance(count, first, second, third, fourth, scale, work)
    return _finite(table, math.sqrt(value) if load_i64(query + Q_FUNCTION) == STD else value)


@entry_kernel
def read_floats(table: int, query: int, entity: int, low: int, high: int, at: int) -> int:  # noqa: ARG001 - as all that read
    """A sum, mean, variance or standard deviation of floats, exact until rounded."""
    function, word = load_i64(query + Q_FUNCTION), load_i64(query + Q_WORD)
    count = high - low
    if function != SUM:
        count = _counted(table, query, entity, low, high)
    if count < (2 if function >= VARIANCE else 1):
        return _given(table, 1 if function == SUM else 0, 0)
    work = matrix_at(load_i64(table + WORK), 6, exact.WIDTH)
    sum_floats(table, query, entity, word, low, high, function >= VARIANCE, work)
    if function <= MEAN:
        return _finite(table, exact.float_ratio(1 if function == SUM else count, work))
    moment = exact.float_variance(count, work)
    return _finite(table, math.sqrt(moment) if function == STD else moment)


@entry_kernel
def read_distinct(table: int, query: int, entity: int, low: int, high: int, at: int) -> int:  # noqa: ARG001 - as all that read
    """How many different values there are."""
    return _given(table, 1, _distinct(table, entity, load_i64(query + Q_WORD), low, high))


@entry_kernel
def read_extreme(table: int, query: int, entity: int, low: int, high: int, at: int) -> int:  # noqa: ARG001 - as all that read
    """The least or greatest value."""
    minimum = 1 if load_i64(query + Q_FUNCTION) == MINIMUM else 0
    word, summary = load_i64(query + Q_WORD), load_i64(query + Q_SUMMARY)
    held = greatest(table, entity, word, summary, minimum, low, high)
    if held == MISSING:
        return _given(table, 0, 0)
    return _given(table, 1, ordered(held) if load_i64(query + Q_FLOAT) else held)


@entry_kernel
def read_row(table: int, query: int, entity: int, low: int, high: int, at: int) -> int:
    """The value of the first or last event that counts, or the seconds since the last."""
    function, counted = load_i64(query + Q_FUNCTION), load_i64(query + Q_COUNT)
    count = _counted(table, query, entity, low, high)
    if count == 0:
        return _given(table, 0, 0)
    place = low if function == FIRST else high - 1
    if counted:
        most = load_i64(row_at(table, entity, low) + counted)
        if function != FIRST:
            most += count - 1
        place = _last_at_most(table, entity, counted, low, high, most)
    source = row_at(table, entity, place)
    if function == SECONDS_SINCE:
        gap = at - load_i64(source)
        high_word, ratio = gap >> 63, load_i64(table + DO_RATIO)
        bits = call_word(ratio, load_i64(table + WORK), high_word, gap, _ONE, _NINE)
        return _given(table, 1, bits)
    held = load_i64(source + load_i64(query + Q_WORD))
    return _given(table, 1, ordered(held) if load_i64(query + Q_FLOAT) else held)


@inner_kernel
def _extreme(query: int, ring: int, mask: int, row: int, low: int, high: int) -> int:
    """The greatest or least of a few rows, or `MISSING`."""
    minimum = 1 if load_i64(query + Q_FUNCTION) == MINIMUM else 0
    ring += load_i64(query + Q_WORD)
    best = MISSING
    for i in range(low, high):
        best = max(best, sided(load_i64(ring + (i & mask) * row), minimum))
    return sided(best, minimum)


@inner_kernel
def answer(table: int, entity: int, query: int, last: int, at: int, asked: int) -> None:
    """Answer the queries from one place to another in their table for one decided row."""
    ring, mask = load_i64(entity + E_RING), (1 << load_i64(entity + E_CLASS)) - 1
    end, row = load_i64(entity + E_END), load_i64(table + ROW)
    places, rows = load_i64(table + PLACES), load_i64(table + OUT_ROWS)
    out, present = load_i64(table + OUT) + 8 * asked, load_i64(table + PRESENT) + asked
    span, low, high, low_row, high_row = -1, 0, 0, 0, 0
    while query < last:
        if load_i64(query + Q_SPAN) != span:
            span = load_i64(query + Q_SPAN)
            low = load_i64(places + load_i64(query + Q_LOW))
            high = load_i64(places + load_i64(query + Q_HIGH))
            low_row = entity + TOTALS_ROW if low == end else ring + (low & mask) * row
            high_row = entity + TOTALS_ROW if high == end else ring + (high & mask) * row
        how, counted = load_i64(query + Q_HOW), load_i64(query + Q_COUNT)
        count = high - low
        if counted:
            count = load_i64(high_row + counted) - load_i64(low_row + counted)
        value, there, done = 0, 1, True
        if how == HOW_COUNT:
            value = count
        elif count == 0 and how != HOW_RARE:
            there = 1 if load_i64(query + Q_FUNCTION) == SUM else 0
        elif how == HOW_RATIO:
            first, second = _wide_between(
                low_row, high_row, load_i64(query + Q_WORD), load_i64(query + Q_WIDE)
            )
            divisor = 1 if load_i64(query + Q_FUNCTION) == SUM else count
            done = (
                first == second >> 63
                and -EXACT <= second <= EXACT
                and divisor <= load_i64(query + Q_MOST)
            )
            if done:
                # both are floats, and IEEE division rounds once
                below = divisor * load_i64(query + Q_TENS)
                value = as_bits(float(second) / float(below))
        elif how == HOW_EXTREME and high - low <= _SHORT:
            value = _extreme(query, ring, mask, row, low, high)
            there = 1 if value != MISSING else 0
            if load_i64(query + Q_FLOAT):
                value = ordered(value)
        elif how == HOW_ROW:
            place = low if load_i64(query + Q_FUNCTION) == FIRST else high - 1
            value = load_i64(ring + (place & mask) * row + load_i64(query + Q_WORD))
            if load_i64(query + Q_FLOAT):
                value = ordered(value)
        elif how == HOW_SECONDS:
            gap = at - load_i64(ring + ((high - 1) & mask) * row)
            done = -EXACT <= gap <= EXACT
            if done:
                value = as_bits(float(gap) / _NANOSECONDS)
        else:
            done = False
        if not done:
            store_i64(table + ASKED, asked)
            value = call_word(load_i64(query + Q_DO), table, query, entity, low, high, at)
            there = load_i64(load_i64(table + THERE))
        place = load_i64(query + Q_OUT) * rows
        store_i64(out + 8 * place, value if there else 0)
        store_u8(present + place, there)
        query += QUERY_BYTES


def reader(function: int, *, floating: bool) -> Callable[..., int]:
    """Which function reads a query where `answer` does not; each is compiled when it is needed."""
    if function == SEQUENCE:
        return read_sequence
    if function in (SUM, MEAN):
        return read_floats if floating else read_ratio
    if function in (VARIANCE, STD):
        return read_floats if floating else read_variance
    if function in (MINIMUM, MAXIMUM):
        return read_extreme
    return read_distinct if function == DISTINCT else read_row


#: All that `reader` chooses from.
READERS = (
    *(read_floats, read_ratio, read_variance, read_extreme, read_distinct, read_row),
    read_sequence,
)
