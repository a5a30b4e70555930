"""The events held for one key: a ring of rows in time order, and what is read from it.

A row is `at` and the group's columns. Columns that are counted or summed hold the *running total
before their row*; the totals after the last row stand with the entity. So the sum over any window
is the difference of two words, exact and at the same cost for any window. Rows keep *absolute*
numbers from `base` to `end`: row i lies at slot `i & (capacity - 1)`, and a window's edge found for
one event is where the search for the next one begins (a *hint*).

Values are held as integers whose order is the order of the values (a float's bits, the lower ones
flipped below zero), `MISSING` where an event does not count. For a minimum or maximum over many
rows the ring carries summaries: the greatest of every 16 rows, of every 16 of those, and so on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.compiled import inner_kernel
from headrace.core.exact import add_wide, multiply_wide, subtract_wide
from headrace.engine.pool_kernels import (
    E_BASE,
    E_CLASS,
    E_END,
    E_FIRST,
    E_RING,
    FREE_RINGS,
    HELD,
    allocate,
    release,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Int64s

    Matrix = NDArray[np.int64]
    Flags = NDArray[np.uint8]

MISSING = -(2**63)
LEAST = -(2**63)

# how a column is held: the running total in one word, in two, two of squares; the value itself
PREFIX, WIDE, SQUARES, VALUE, LEAST_VALUE = range(5)

# a row of the columns' matrix
C_KIND, C_WORD, C_TOTAL, C_VALUE, C_WHERE, C_ONE, C_FLOAT, C_MAXIMA, C_MINIMA = range(9)
COLUMN_WIDTH = 9

# the shape of a group
G_ROW, G_TOTALS, G_EDGES, G_SUMMARIES, G_EVERY, G_KEY_AT, G_REACH = range(7)

_SMALLEST_CLASS = 1


@inner_kernel
def ordered(bits: int) -> int:
    """The bits of a float as an integer that has the float's order; its own inverse."""
    return bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF)


@inner_kernel
def earlier(time: int, span: int) -> int:
    """`time - span`, or the least time there is."""
    moved = time - span
    return moved if moved <= time else LEAST


@inner_kernel
def rounded_down(time: int, every: int) -> int:
    """The start of the bucket that a time is in."""
    if every == 0 or time == LEAST:
        return time
    rest = time % every
    return earlier(time, rest)


@inner_kernel
def ring_words(shape: Int64s, size_class: int) -> int:
    """Words of a ring of 2 ** size_class rows with its summaries."""
    words = shape[G_ROW] << size_class
    level = size_class - 4
    while level >= 0:
        words += shape[G_SUMMARIES] << level
        level -= 4
    return words


@inner_kernel
def first_after(
    pool: Int64s, ring: int, mask: int, row: int, base: int, end: int, bound: int, hint: int
) -> int:
    """The number of the first row later than `bound`, searched for outwards from a hint."""
    hint = min(max(hint, base), end)
    step = 1
    if hint < end and pool[ring + (hint & mask) * row] <= bound:
        low = hint + 1
        while low + step - 1 < end and pool[ring + ((low + step - 1) & mask) * row] <= bound:
            low += step
            step *= 2
        high = min(low + step - 1, end)
    else:
        high = hint
        while high - step >= base and pool[ring + ((high - step) & mask) * row] > bound:
            high -= step
            step *= 2
        low = max(high - step + 1, base)
    while low < high:
        middle = (low + high) >> 1
        if pool[ring + (middle & mask) * row] <= bound:
            low = middle + 1
        else:
            high = middle
    return low


@inner_kernel
def _summary_at(shape: Int64s, size_class: int, summary: int, level: int) -> int:
    """Where the summaries of one column and level begin in a ring."""
    place = shape[G_ROW] << size_class
    at_level = size_class - 4
    for _ in range(level - 1):
        place += shape[G_SUMMARIES] << at_level
        at_level -= 4
    return place + (summary << at_level)


@inner_kernel
def _sided(value: int, minimum: bool) -> int:
    """A held value as one whose maximum is looked for."""
    return ~value if minimum and value != MISSING else value


@inner_kernel
def _summarise(
    pool: Int64s,
    entity: int,
    shape: Int64s,
    word: int,
    summary: int,
    minimum: bool,
    first: int,
) -> None:
    """Make the summaries of one column anew from row `first` on."""
    ring, size_class = pool[entity + E_RING], pool[entity + E_CLASS]
    base, end = pool[entity + E_BASE], pool[entity + E_END]
    mask, row = (1 << size_class) - 1, shape[G_ROW]
    level, width = 1, size_class - 4
    while width >= 0:
        low = max(base, first) >> (4 * level)
        high = (end - 1) >> (4 * level)
        place = ring + _summary_at(shape, size_class, summary, level)
        under = ring + _summary_at(shape, size_class, summary, level - 1) if level > 1 else 0
        for block in range(low, high + 1):
            best = np.int64(MISSING)
            start = max(block << 4, base >> (4 * (level - 1)))
            stop = min((block << 4) + 15, (end - 1) >> (4 * (level - 1)))
            for i in range(start, stop + 1):
                if level == 1:
                    best = max(best, _sided(pool[ring + (i & mask) * row + word], minimum))
                else:
                    best = max(best, pool[under + (i & ((1 << (width + 4)) - 1))])
            pool[place + (block & ((1 << width) - 1))] = best
        level += 1
        width -= 4


@inner_kernel
def greatest(
    pool: Int64s,
    entity: int,
    shape: Int64s,
    word: int,
    summary: int,
    minimum: bool,
    low: int,
    high: int,
) -> int:
    """The greatest held value of rows low to high - 1 (the least, if asked); MISSING if none."""
    ring, size_class, row = pool[entity + E_RING], pool[entity + E_CLASS], shape[G_ROW]
    mask = (1 << size_class) - 1
    best = np.int64(MISSING)
    level, place, width = 0, ring, size_class
    while True:
        mask = (1 << width) - 1
        last = high - low < 32 or width < 4 or summary < 0
        while low < high and (last or low & 15):
            at = ring + (low & mask) * row + word if level == 0 else place + (low & mask)
            best = max(best, _sided(pool[at], minimum) if level == 0 else pool[at])
            low += 1
        while low < high and high & 15:
            high -= 1
            at = ring + (high & mask) * row + word if level == 0 else place + (high & mask)
            best = max(best, _sided(pool[at], minimum) if level == 0 else pool[at])
        if low >= high:
            return ~best if minimum and best != MISSING else best
        low >>= 4
        high >>= 4
        level += 1
        width -= 4
        place = ring + _summary_at(shape, size_class, summary, level)


@inner_kernel
def _refresh(pool: Int64s, entity: int, shape: Int64s, columns: Matrix, first: int) -> None:
    """Make all summaries anew from row `first` on."""
    if pool[entity + E_CLASS] < 4 or shape[G_SUMMARIES] == 0:
        return
    for c in range(len(columns)):
        for side in range(2):
            summary = columns[c, C_MAXIMA + side]
            if summary >= 0:
                _summarise(pool, entity, shape, columns[c, C_WORD], summary, side == 1, first)


@inner_kernel
def _move(
    pool: Int64s, control: Int64s, entity: int, shape: Int64s, columns: Matrix, to: int
) -> None:
    """Move the rows into a ring of class `to`, which holds them all."""
    row, base, end = shape[G_ROW], pool[entity + E_BASE], pool[entity + E_END]
    old, size_class = pool[entity + E_RING], pool[entity + E_CLASS]
    ring = allocate(pool, control, FREE_RINGS + to, ring_words(shape, to))
    if old:
        for i in range(base, end):
            source = old + (i & ((1 << size_class) - 1)) * row
            target = ring + (i & ((1 << to) - 1)) * row
            for w in range(row):
                pool[target + w] = pool[source + w]
        release(pool, control, FREE_RINGS + size_class, old)
    pool[entity + E_RING] = ring
    pool[entity + E_CLASS] = to
    if end > base:
        _refresh(pool, entity, shape, columns, base)


@inner_kernel
def drop(pool: Int64s, control: Int64s, entity: int, shape: Int64s, visible: int) -> int:
    """Forget the rows at or before `visible`; how many are left."""
    ring, row = pool[entity + E_RING], shape[G_ROW]
    mask = (1 << pool[entity + E_CLASS]) - 1
    base, end = pool[entity + E_BASE], pool[entity + E_END]
    first = base
    while first < end and pool[ring + (first & mask) * row] <= visible:
        first += 1
    pool[entity + E_BASE] = first
    control[HELD] -= first - base
    return end - first


@inner_kernel
def tidy(
    pool: Int64s, control: Int64s, entity: int, shape: Int64s, columns: Matrix, visible: int
) -> int:
    """Drop what is invisible and give back memory that is mostly empty; rows left."""
    left = drop(pool, control, entity, shape, visible) if pool[entity + E_RING] else 0
    size_class = pool[entity + E_CLASS]
    if left == 0:
        if pool[entity + E_RING]:
            release(pool, control, FREE_RINGS + size_class, pool[entity + E_RING])
            pool[entity + E_RING] = 0
            pool[entity + E_CLASS] = 0
    elif size_class > _SMALLEST_CLASS and left << 2 <= 1 << size_class:
        to = size_class - 1
        while to > _SMALLEST_CLASS and left << 1 <= 1 << to:
            to -= 1
        _move(pool, control, entity, shape, columns, to)
    return left


@inner_kernel
def contribution(
    columns: Matrix, c: int, registers: Matrix, valid: Flags, source: int
) -> tuple[int, int]:
    """What one event adds to one column (high and low word), or its value to hold."""
    kind, value, where = columns[c, C_KIND], columns[c, C_VALUE], columns[c, C_WHERE]
    counts = where < 0 or (valid[where, source] != 0 and registers[where, source] != 0)
    if value >= 0 and not valid[value, source]:
        counts = False
    if not counts:
        return (0, MISSING) if kind >= VALUE else (0, 0)
    if columns[c, C_ONE]:
        return 0, 1
    x = registers[value, source]
    if kind == SQUARES:
        return multiply_wide(x, x)
    if kind >= VALUE and columns[c, C_FLOAT]:
        # the two zeros are one value
        x = ordered(x) if x != MISSING else 0
    return x >> 63, x


@inner_kernel
def _add_totals(
    pool: Int64s, place: int, kind: int, high: int, low: int
) -> None:
    """Add to the running total at a place."""
    if kind == PREFIX:
        pool[place] += low
    else:
        pool[place + 1], pool[place] = add_wide(pool[place + 1], pool[place], high, low)


@inner_kernel
def insert(
    pool: Int64s,
    control: Int64s,
    entity: int,
    shape: Int64s,
    columns: Matrix,
    at: int,
    added: Matrix,
    visible: int,
) -> bool:
    """Put an event in its place, after all of its time; whether a new row was made for it.

    Args:
        pool: All memory.
        control: The shard's control row.
        entity: The block of the key.
        shape: Of the group.
        columns: Of the group.
        at: When it happened, or the start of its bucket.
        added: For each column the high and low word of what the event adds.
        visible: Rows at or before this time can be forgotten.
    """
    row, every = shape[G_ROW], shape[G_EVERY]
    end = pool[entity + E_END]
    full = pool[entity + E_RING] == 0
    if not full and end - pool[entity + E_BASE] == 1 << pool[entity + E_CLASS]:
        full = drop(pool, control, entity, shape, visible) == 1 << pool[entity + E_CLASS]
    ring, mask = pool[entity + E_RING], (1 << pool[entity + E_CLASS]) - 1
    base = pool[entity + E_BASE]
    place = end
    if end > base and pool[ring + ((end - 1) & mask) * row] > at:
        place = first_after(pool, ring, mask, row, base, end, at, end)
    old_bucket = every > 0 and place > base and pool[ring + ((place - 1) & mask) * row] == at
    if old_bucket:
        place -= 1
    elif full:
        _move(
            pool, control, entity, shape, columns, max(pool[entity + E_CLASS] + 1, _SMALLEST_CLASS)
        )
        ring, mask = pool[entity + E_RING], (1 << pool[entity + E_CLASS]) - 1
    if not old_bucket:
        for i in range(end, place, -1):
            target, source = ring + (i & mask) * row, ring + ((i - 1) & mask) * row
            for w in range(row):
                pool[target + w] = pool[source + w]
        end += 1
        pool[entity + E_END] = end
        control[HELD] += 1
        pool[ring + (place & mask) * row] = at
    for c in range(len(columns)):
        kind, word = columns[c, C_KIND], columns[c, C_WORD]
        total = entity + E_FIRST + columns[c, C_TOTAL]
        if kind >= VALUE:
            target = ring + (place & mask) * row + word
            value = added[c, 1]
            if old_bucket and pool[target] != MISSING:
                if value == MISSING:
                    value = pool[target]
                else:
                    held = pool[target]
                    value = min(value, held) if kind == LEAST_VALUE else max(value, held)
            pool[target] = value
            continue
        if not old_bucket and place == end - 1:
            pool[ring + (place & mask) * row + word] = pool[total]
            if kind != PREFIX:
                pool[ring + (place & mask) * row + word + 1] = pool[total + 1]
        for i in range(place + 1, end):
            _add_totals(pool, ring + (i & mask) * row + word, kind, added[c, 0], added[c, 1])
        _add_totals(pool, total, kind, added[c, 0], added[c, 1])
    _note(pool, entity, shape, columns, place, old_bucket)
    return not old_bucket


@inner_kernel
def _note(
    pool: Int64s,
    entity: int,
    shape: Int64s,
    columns: Matrix,
    place: int,
    merged: bool,
) -> None:
    """Bring the summaries up to date with the row just written."""
    size_class = pool[entity + E_CLASS]
    if size_class < 4 or shape[G_SUMMARIES] == 0:
        return
    if merged or place != pool[entity + E_END] - 1:
        _refresh(pool, entity, shape, columns, place)
        return
    ring = pool[entity + E_RING]
    source = ring + (place & ((1 << size_class) - 1)) * shape[G_ROW]
    for c in range(len(columns)):
        for side in range(2):
            summary = columns[c, C_MAXIMA + side]
            if summary < 0:
                continue
            value = _sided(pool[source + columns[c, C_WORD]], side == 1)
            level, width = 1, size_class - 4
            while width >= 0:
                block = place >> (4 * level)
                at = ring + _summary_at(shape, size_class, summary, level)
                at += block & ((1 << width) - 1)
                fresh = place & ((1 << (4 * level)) - 1) == 0
                pool[at] = value if fresh else max(pool[at], value)
                level += 1
                width -= 4


@inner_kernel
def total_before(
    pool: Int64s, entity: int, shape: Int64s, columns: Matrix, c: int, number: int
) -> tuple[int, int]:
    """The running total of a column before a row (or after the last): high and low word."""
    if number == pool[entity + E_END]:
        place = entity + E_FIRST + columns[c, C_TOTAL]
    else:
        mask = (1 << pool[entity + E_CLASS]) - 1
        place = pool[entity + E_RING] + (number & mask) * shape[G_ROW] + columns[c, C_WORD]
    if columns[c, C_KIND] == PREFIX:
        return 0, pool[place]
    return pool[place + 1], pool[place]


@inner_kernel
def total_between(
    pool: Int64s, entity: int, shape: Int64s, columns: Matrix, c: int, low: int, high: int
) -> tuple[int, int]:
    """The total of a column over rows low to high - 1: high and low word."""
    to_high, to_low = total_before(pool, entity, shape, columns, c, high)
    from_high, from_low = total_before(pool, entity, shape, columns, c, low)
    if columns[c, C_KIND] == PREFIX:
        narrow = to_low - from_low
        return narrow >> 63, narrow
    return subtract_wide(to_high, to_low, from_high, from_low)
