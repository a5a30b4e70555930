"""Reading the last vectors of a key out of its ring, and letting go of what nobody can ask for."""

from __future__ import annotations

import math

import numpy as np

from headrace.core.compiled import as_float, load_i64
from headrace.core.memory import entry_kernel, store_f32, store_i64
from headrace.engine.pool_kernels import (
    ASKED,
    COLUMNS,
    COLUMNS_END,
    CONTROL,
    E_BASE,
    E_END,
    HELD,
    OUT,
    OUT_ROWS,
    THERE,
    add_to,
)
from headrace.engine.ring_kernels import earlier, ordered, row_at
from headrace.engine.summary_kernels import COLUMN_BYTES, MISSING

# places in a row of the queries that mean something else for a sequence: vectors at most, and the
# lateness of the decided stream
Q_LENGTH, Q_LATENESS = 80, 88


@entry_kernel
def read_sequence(table: int, query: int, entity: int, low: int, high: int, at: int) -> int:
    """Write the last vectors of rows `low` to `high - 1` as 32-bit floats; how many there are.

    The tensor lies behind the words of the answers: for each decided row `length` vectors, the
    newest last. Then rows go that no event to come can ask for: those before the last `length - 1`
    that are no later than any such event.
    """
    length = load_i64(query + Q_LENGTH)
    width = (load_i64(table + COLUMNS_END) - load_i64(table + COLUMNS)) // COLUMN_BYTES
    count = min(high - low, length)
    target = load_i64(table + OUT) + 8 * load_i64(table + OUT_ROWS)
    target += 4 * load_i64(table + ASKED) * length * width
    for _ in range((length - count) * width):
        store_f32(target, np.float32(math.nan))
        target += 4
    for number in range(high - count, high):
        source = row_at(table, entity, number) + 8
        for place in range(0, 8 * width, 8):
            held = load_i64(source + place)
            value = as_float(ordered(held)) if held != MISSING else math.nan
            store_f32(target, np.float32(value))
            target += 4
    base, end = load_i64(entity + E_BASE), load_i64(entity + E_END)
    first, settled = base, earlier(at, load_i64(query + Q_LATENESS))
    while end - first >= length and load_i64(row_at(table, entity, first + length - 1)) <= settled:
        first += 1
    if first > base:
        store_i64(entity + E_BASE, first)
        add_to(load_i64(table + CONTROL) + HELD, base - first)
    store_i64(load_i64(table + THERE), 1)
    return count
