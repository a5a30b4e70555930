"""Summaries of a ring: the greatest of every 16 rows of a column, of every 16 of those, and so on.

They stand behind the rows of a ring, level by level, and in each level one for each summarised
column; where the least is wanted they hold the complement.
"""

from __future__ import annotations

from headrace.core.compiled import inner_kernel, load_i64
from headrace.core.memory import entry_kernel, store_i64
from headrace.engine.pool_kernels import (
    COLUMNS,
    COLUMNS_END,
    E_BASE,
    E_CLASS,
    E_END,
    E_RING,
    ROW,
    SUMMARIES,
)

MISSING = -(2**63)

#: Rings from this class on have summaries.
SUMMARISED = 4

# more of a column's row: its place in a row of the ring; its summaries for maxima, minima, or -1
C_WORD, C_MAXIMA, C_MINIMA = 8, 48, 56
COLUMN_BYTES = 64


@inner_kernel
def _level_at(table: int, size_class: int, summary: int, level: int) -> int:
    """Where the summaries of one column and level begin in a ring."""
    place = load_i64(table + ROW) << size_class
    at_level = size_class - 4
    for _ in range(level - 1):
        place += 8 * load_i64(table + SUMMARIES) << at_level
        at_level -= 4
    return place + (8 * summary << at_level)


@inner_kernel
def sided(value: int, minimum: int) -> int:
    """A held value as one whose maximum is looked for; its own inverse."""
    return ~value if minimum and value != MISSING else value


@inner_kernel
def summarise(table: int, entity: int, word: int, summary: int, minimum: int, first: int) -> None:
    """Make the summaries of one column anew from row `first` on."""
    ring, size_class = load_i64(entity + E_RING), load_i64(entity + E_CLASS)
    base, end = load_i64(entity + E_BASE), load_i64(entity + E_END)
    mask, row = (1 << size_class) - 1, load_i64(table + ROW)
    level, width = 1, size_class - 4
    under = ring
    while width >= 0:
        low, high = max(base, first) >> (4 * level), (end - 1) >> (4 * level)
        place = ring + _level_at(table, size_class, summary, level)
        for block in range(low, high + 1):
            best = MISSING
            start = max(block << 4, base >> (4 * (level - 1)))
            stop = min((block << 4) + 15, (end - 1) >> (4 * (level - 1)))
            for i in range(start, stop + 1):
                if level == 1:
                    best = max(best, sided(load_i64(ring + (i & mask) * row + word), minimum))
                else:
                    best = max(best, load_i64(under + 8 * (i & ((1 << (width + 4)) - 1))))
            store_i64(place + 8 * (block & ((1 << width) - 1)), best)
        under = place
        level += 1
        width -= 4


@inner_kernel
def greatest(
    table: int, entity: int, word: int, summary: int, minimum: int, low: int, high: int
) -> int:
    """The greatest held value of rows low to high - 1 (the least, if asked); MISSING if none."""
    ring, size_class = load_i64(entity + E_RING), load_i64(entity + E_CLASS)
    best = MISSING
    # of a level: where it begins, how far its items lie apart, and how many there are
    level, place, stride, width = 0, ring + word, load_i64(table + ROW), size_class
    while True:
        mask = (1 << width) - 1
        last = high - low < 32 or width < 4
        while low < high and (last or low & 15):
            value = load_i64(place + (low & mask) * stride)
            best = max(best, value if level else sided(value, minimum))
            low += 1
        while low < high and high & 15:
            high -= 1
            value = load_i64(place + (high & mask) * stride)
            best = max(best, value if level else sided(value, minimum))
        if low >= high:
            return sided(best, minimum)
        low >>= 4
        high >>= 4
        level += 1
        width -= 4
        place, stride = ring + _level_at(table, size_class, summary, level), 8


@inner_kernel
def _note_value(table: int, entity: int, word: int, summary: int, minimum: int) -> None:
    """Bring the summaries of one column up to date with the last row."""
    ring, size_class = load_i64(entity + E_RING), load_i64(entity + E_CLASS)
    number = load_i64(entity + E_END) - 1
    source = ring + (number & ((1 << size_class) - 1)) * load_i64(table + ROW)
    value = sided(load_i64(source + word), minimum)
    level, width = 1, size_class - 4
    while width >= 0:
        at = ring + _level_at(table, size_class, summary, level)
        at += 8 * ((number >> (4 * level)) & ((1 << width) - 1))
        fresh = number & ((1 << (4 * level)) - 1) == 0
        store_i64(at, value if fresh else max(load_i64(at), value))
        level += 1
        width -= 4


@inner_kernel
def note_last(table: int, entity: int) -> None:
    """Bring all summaries up to date with a row that was put after the last."""
    if load_i64(entity + E_CLASS) < SUMMARISED or load_i64(table + SUMMARIES) == 0:
        return
    column = load_i64(table + COLUMNS)
    while column < load_i64(table + COLUMNS_END):
        word = load_i64(column + C_WORD)
        if load_i64(column + C_MAXIMA) >= 0:
            _note_value(table, entity, word, load_i64(column + C_MAXIMA), 0)
        if load_i64(column + C_MINIMA) >= 0:
            _note_value(table, entity, word, load_i64(column + C_MINIMA), 1)
        column += COLUMN_BYTES


@entry_kernel
def note(table: int, entity: int) -> int:
    """Bring all summaries up to date with a row that was put after the last."""
    note_last(table, entity)
    return 0
