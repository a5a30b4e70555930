"""The events held for one key: a ring of rows in time order.

A row is `at` and the group's columns. Columns that are counted or summed come first, and hold the
*running total before their row*; the totals after the last row stand with the entity, as a row
would have them. So the sum over any window is the difference of two words, exact and at the same
cost for any window. Rows keep *absolute* numbers from `base` to `end`: row i lies at slot
`i & (capacity - 1)`, and a window's edge found for one event is where the search for the next one
begins (a *hint*).

Values are held as integers whose order is the order of the values (a float's bits, the lower ones
flipped below zero), `MISSING` where an event does not count. For a minimum or maximum over many
rows the ring carries summaries (`summary_kernels`).
"""

from __future__ import annotations

from headrace.core.compiled import inner_kernel, load_i64, load_u8
from headrace.core.exact import add_wide, multiply_wide
from headrace.core.memory import entry_kernel, store_i64
from headrace.engine.pool_kernels import (
    ADDED,
    COLUMNS,
    COLUMNS_END,
    CONTROL,
    E_BASE,
    E_CLASS,
    E_END,
    E_FIRST,
    E_RING,
    EVERY,
    FREE_RINGS,
    HELD,
    REGISTERS,
    ROW,
    ROWS,
    ROWS_MOVED,
    SUMMARIES,
    VALID,
    add_to,
    allocate,
    release,
)
from headrace.engine.summary_kernels import (
    C_MAXIMA,
    C_MINIMA,
    C_WORD,
    COLUMN_BYTES,
    MISSING,
    SUMMARISED,
    note_last,
    summarise,
)

LEAST = -(2**63)

# how a column is held: the running total in one word, in two, two of squares; the value itself
PREFIX, WIDE, SQUARES, VALUE, LEAST_VALUE = range(5)

# a row of the columns, in bytes: how it is held, its place in a row (`C_WORD`), the registers of
# value and condition (-1: none), whether it counts, whether it is of floats
C_KIND, C_VALUE, C_WHERE, C_ONE, C_FLOAT = 0, 16, 24, 32, 40

#: From an entity to where the totals after its last row stand as a row's would.
TOTALS_ROW = E_FIRST - 8

_SMALLEST_CLASS = 2
_SIGN = 0x7FFFFFFFFFFFFFFF


@inner_kernel
def ordered(bits: int) -> int:
    """The bits of a float as an integer that has the float's order; its own inverse."""
    return bits ^ ((bits >> 63) & _SIGN)


@inner_kernel
def earlier(time: int, span: int) -> int:
    """`time - span`, or the least time there is.

    It is asked before, not after: compiled code may assume that signed numbers never overflow.
    """
    return time - span if time >= LEAST + span else LEAST


@inner_kernel
def rounded_down(time: int, every: int) -> int:
    """The start of the bucket that a time is in."""
    if every == 0 or time == LEAST:
        return time
    return earlier(time, time % every)


@inner_kernel
def first_after(ring: int, mask: int, row: int, base: int, end: int, bound: int, hint: int) -> int:
    """The number of the first row later than `bound`, searched for outwards from a hint."""
    hint = min(max(hint, base), end)
    step = 1
    if hint < end and load_i64(ring + (hint & mask) * row) <= bound:
        low = hint + 1
        while low + step - 1 < end and load_i64(ring + ((low + step - 1) & mask) * row) <= bound:
            low += step
            step *= 2
        high = min(low + step - 1, end)
    else:
        high = hint
        while high - step >= base and load_i64(ring + ((high - step) & mask) * row) > bound:
            high -= step
            step *= 2
        low = max(high - step + 1, base)
    while low < high:
        middle = (low + high) >> 1
        if load_i64(ring + (middle & mask) * row) <= bound:
            low = middle + 1
        else:
            high = middle
    return low


@inner_kernel
def _ring_bytes(table: int, size_class: int) -> int:
    """Bytes of a ring of 2 ** size_class rows with its summaries."""
    size = load_i64(table + ROW) << size_class
    level = size_class - 4
    while level >= 0:
        size += 8 * load_i64(table + SUMMARIES) << level
        level -= 4
    return size


@inner_kernel
def _refresh(table: int, entity: int, first: int) -> None:
    """Make all summaries anew from row `first` on."""
    if load_i64(entity + E_CLASS) < SUMMARISED or load_i64(table + SUMMARIES) == 0:
        return
    column = load_i64(table + COLUMNS)
    while column < load_i64(table + COLUMNS_END):
        if load_i64(column + C_MAXIMA) >= 0:
            summarise(
                table, entity, load_i64(column + C_WORD), load_i64(column + C_MAXIMA), 0, first
            )
        if load_i64(column + C_MINIMA) >= 0:
            summarise(
                table, entity, load_i64(column + C_WORD), load_i64(column + C_MINIMA), 1, first
            )
        column += COLUMN_BYTES


@inner_kernel
def _move(table: int, entity: int, to: int) -> None:
    """Move the rows into a ring of class `to`, which holds them all."""
    add_to(table + ROWS_MOVED, 1)
    row = load_i64(table + ROW)
    base, end = load_i64(entity + E_BASE), load_i64(entity + E_END)
    old, size_class = load_i64(entity + E_RING), load_i64(entity + E_CLASS)
    ring = allocate(table, FREE_RINGS + 8 * to, _ring_bytes(table, to))
    if old:
        for i in range(base, end):
            source = old + (i & ((1 << size_class) - 1)) * row
            target = ring + (i & ((1 << to) - 1)) * row
            for place in range(0, row, 8):
                store_i64(target + place, load_i64(source + place))
        release(table, FREE_RINGS + 8 * size_class, old)
    store_i64(entity + E_RING, ring)
    store_i64(entity + E_CLASS, to)
    if end > base:
        _refresh(table, entity, base)


@inner_kernel
def _drop(table: int, entity: int, visible: int) -> int:
    """Forget the rows at or before `visible`; how many are left."""
    ring, row = load_i64(entity + E_RING), load_i64(table + ROW)
    mask = (1 << load_i64(entity + E_CLASS)) - 1
    base, end = load_i64(entity + E_BASE), load_i64(entity + E_END)
    first = base
    while first < end and load_i64(ring + (first & mask) * row) <= visible:
        first += 1
    store_i64(entity + E_BASE, first)
    add_to(load_i64(table + CONTROL) + HELD, base - first)
    return end - first


@inner_kernel
def tidy(table: int, entity: int, visible: int) -> int:
    """Drop what is invisible and give back memory that is mostly empty; rows left."""
    ring = load_i64(entity + E_RING)
    left = _drop(table, entity, visible) if ring else 0
    size_class = load_i64(entity + E_CLASS)
    if left == 0:
        if ring:
            release(table, FREE_RINGS + 8 * size_class, ring)
            store_i64(entity + E_RING, 0)
            store_i64(entity + E_CLASS, 0)
    elif size_class > _SMALLEST_CLASS and left << 2 <= 1 << size_class:
        to = size_class - 1
        while to > _SMALLEST_CLASS and left << 1 <= 1 << to:
            to -= 1
        _move(table, entity, to)
    return left


@inner_kernel
def contribute(table: int, source: int) -> None:
    """Lay out what an event adds to each column (low and high word), or its value to hold."""
    registers, valid = load_i64(table + REGISTERS) + 8 * source, load_i64(table + VALID) + source
    rows, added = load_i64(table + ROWS), load_i64(table + ADDED)
    column, last = load_i64(table + COLUMNS), load_i64(table + COLUMNS_END)
    while column < last:
        kind, value = load_i64(column + C_KIND), load_i64(column + C_VALUE)
        where = load_i64(column + C_WHERE)
        counts = True
        if where >= 0 and (
            load_u8(valid + where * rows) == 0 or load_i64(registers + 8 * where * rows) == 0
        ):
            counts = False
        if value >= 0 and load_u8(valid + value * rows) == 0:
            counts = False
        low, high = 0, 0
        if not counts:
            if kind >= VALUE:
                low = MISSING
        elif load_i64(column + C_ONE):
            low = 1
        else:
            low = load_i64(registers + 8 * value * rows)
            if kind == SQUARES:
                high, low = multiply_wide(low, low)
            elif kind < VALUE:
                high = low >> 63
            elif load_i64(column + C_FLOAT):
                # the two zeros are one value
                low = ordered(low) if low != MISSING else 0
        store_i64(added, low)
        store_i64(added + 8, high)
        added += 16
        column += COLUMN_BYTES


@inner_kernel
def _add_total(place: int, kind: int, added: int) -> None:
    """Add what an event adds to the running total at a place."""
    low = load_i64(added)
    if kind == PREFIX:
        store_i64(place, load_i64(place) + low)
        return
    high, low = add_wide(load_i64(place + 8), load_i64(place), load_i64(added + 8), low)
    store_i64(place, low)
    store_i64(place + 8, high)


@inner_kernel
def append(table: int, entity: int, target: int) -> None:
    """Write the columns of a row after the last, and bring the totals up to date."""
    added = load_i64(table + ADDED)
    column, last = load_i64(table + COLUMNS), load_i64(table + COLUMNS_END)
    totals = entity + TOTALS_ROW
    while column < last:
        kind, word = load_i64(column + C_KIND), load_i64(column + C_WORD)
        if kind >= VALUE:
            store_i64(target + word, load_i64(added))
        else:
            store_i64(target + word, load_i64(totals + word))
            if kind != PREFIX:
                store_i64(target + word + 8, load_i64(totals + word + 8))
            _add_total(totals + word, kind, added)
        added += 16
        column += COLUMN_BYTES


@inner_kernel
def _merged(kind: int, held: int, value: int) -> int:
    """What a bucket holds of a value after one more."""
    if held == MISSING:
        return value
    if value == MISSING:
        return held
    return min(value, held) if kind == LEAST_VALUE else max(value, held)


@inner_kernel
def _put_columns(table: int, entity: int, place: int, merging: int) -> None:
    """Write the columns of row `place`, new or a bucket's, and raise the totals after it."""
    ring, row = load_i64(entity + E_RING), load_i64(table + ROW)
    mask, end = (1 << load_i64(entity + E_CLASS)) - 1, load_i64(entity + E_END)
    target = ring + (place & mask) * row
    if not merging and place == end - 1:
        append(table, entity, target)
        return
    added, column = load_i64(table + ADDED), load_i64(table + COLUMNS)
    while column < load_i64(table + COLUMNS_END):
        kind, word = load_i64(column + C_KIND), load_i64(column + C_WORD)
        if kind >= VALUE:
            value = load_i64(added)
            if merging:
                value = _merged(kind, load_i64(target + word), value)
            store_i64(target + word, value)
        else:
            # a row that is new here found the totals before it in the row that it moved on
            for i in range(place + 1, end):
                _add_total(ring + (i & mask) * row + word, kind, added)
            _add_total(entity + TOTALS_ROW + word, kind, added)
        added += 16
        column += COLUMN_BYTES


@entry_kernel
def insert(table: int, entity: int, at: int, visible: int) -> int:
    """Put an event in its place, after all of its time; 1 if a new row was made for it.

    What it adds to each column is laid out (`contribute`).

    Args:
        table: Of the group, its shard the running one.
        entity: The block of the key.
        at: When it happened, or the start of its bucket.
        visible: Rows at or before this time can be forgotten.
    """
    row = load_i64(table + ROW)
    end = load_i64(entity + E_END)
    full = load_i64(entity + E_RING) == 0
    if not full and end - load_i64(entity + E_BASE) == 1 << load_i64(entity + E_CLASS):
        full = _drop(table, entity, visible) == 1 << load_i64(entity + E_CLASS)
    ring, mask = load_i64(entity + E_RING), (1 << load_i64(entity + E_CLASS)) - 1
    base = load_i64(entity + E_BASE)
    place = end
    if end > base and load_i64(ring + ((end - 1) & mask) * row) > at:
        place = first_after(ring, mask, row, base, end, at, end)
    before = ring + ((place - 1) & mask) * row
    merging = load_i64(table + EVERY) > 0 and place > base and load_i64(before) == at
    if merging:
        place -= 1
    else:
        if full:
            _move(table, entity, max(load_i64(entity + E_CLASS) + 1, _SMALLEST_CLASS))
            ring, mask = load_i64(entity + E_RING), (1 << load_i64(entity + E_CLASS)) - 1
        for i in range(end, place, -1):
            target, source = ring + (i & mask) * row, ring + ((i - 1) & mask) * row
            for word in range(0, row, 8):
                store_i64(target + word, load_i64(source + word))
        store_i64(entity + E_END, end + 1)
        add_to(load_i64(table + CONTROL) + HELD, 1)
        store_i64(ring + (place & mask) * row, at)
    if place < end:
        add_to(table + ROWS_MOVED, 1)
    _put_columns(table, entity, place, 1 if merging else 0)
    if not merging and place == end:
        note_last(table, entity)
    else:
        _refresh(table, entity, place)
    return 0 if merging else 1


@inner_kernel
def row_at(table: int, entity: int, number: int) -> int:
    """Where a row lies; of the number after the last, where the totals stand as a row's."""
    if number == load_i64(entity + E_END):
        return entity + TOTALS_ROW
    mask = (1 << load_i64(entity + E_CLASS)) - 1
    return load_i64(entity + E_RING) + (number & mask) * load_i64(table + ROW)
