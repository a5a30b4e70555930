"""Exact sums of the floats of a window, which go on from those of the window read before.

A sum of floats is not had from running totals, which would have to be as wide as `exact` sums are.
It is made of the window's rows; but the windows of one key that are read one after the other in a
batch share most of theirs, and exact sums can be taken from as well as added to. A few of them are
kept for each query while a batch is worked on, and what they give is the same to the last bit as if
all rows were added up anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core import exact
from headrace.core.compiled import inner_kernel, load_i64
from headrace.core.memory import matrix_at, store_i64
from headrace.engine.pool_kernels import E_CLASS, E_END, KEPT_SUMS, QUERIES, ROWS_MOVED
from headrace.engine.ring_kernels import ordered, row_at
from headrace.engine.summary_kernels import MISSING

if TYPE_CHECKING:
    from headrace.core.exact import Workspace

#: How many sums are kept for each query, by the address of their key's block.
KEPT = 4
# of one: its key's block, `ROWS_MOVED` then, its first row, the one after its last, rows added or
# taken since it was begun; then the sums
K_ENTITY, K_MOVED, K_LOW, K_HIGH, K_TAKEN = range(0, 40, 8)
_SUMS = 40
KEPT_WORDS = 5 + 6 * exact.WIDTH
#: Begun anew after so many, so that no limb overflows.
_MOST_TAKEN = 1 << 28
#: A query takes 2 to the power of this many bytes in its table.
_QUERY_BYTES_BITS = 7
_SIGN = -(2**63)


@inner_kernel
def _take(
    table: int,
    entity: int,
    word: int,
    first: int,
    last: int,
    sign: int,
    squares: bool,  # noqa: FBT001 - kernels have no keyword arguments
    sums: Workspace,
) -> None:
    """Add rows first to last - 1 to sums, or take them away."""
    flip = _SIGN if sign < 0 else 0
    for i in range(first, last):
        value = load_i64(row_at(table, entity, i) + word)
        if value != MISSING:
            exact.add_float(ordered(value) ^ flip, sums)
            if squares:
                exact.add_square(ordered(value), sign, sums)


@inner_kernel
def sum_floats(
    table: int,
    query: int,
    entity: int,
    word: int,
    low: int,
    high: int,
    squares: bool,  # noqa: FBT001 - kernels have no keyword arguments
    work: Workspace,
) -> None:
    """Make the exact sums of a column's rows low to high - 1, with their squares if asked for.

    Args:
        table: Of the group.
        query: That asks.
        entity: The block of the key.
        word: The column's place in a row.
        low: The first row.
        high: The one after the last.
        squares: Whether the squares are wanted too; always the same for a query.
        work: Gets the sums.
    """
    number = (query - load_i64(table + QUERIES)) >> _QUERY_BYTES_BITS
    slot = ((entity >> 5) ^ (entity >> 12)) & (KEPT - 1)
    kept = load_i64(table + KEPT_SUMS) + 8 * KEPT_WORDS * (KEPT * number + slot)
    sums = matrix_at(kept + _SUMS, 6, exact.WIDTH)
    before, after = load_i64(kept + K_LOW), load_i64(kept + K_HIGH)
    taken = load_i64(kept + K_TAKEN) + abs(low - before) + abs(high - after)
    if (
        load_i64(kept + K_ENTITY) != entity
        or load_i64(kept + K_MOVED) != load_i64(table + ROWS_MOVED)
        # a row that was dropped lies where it was until another takes its place
        or before < load_i64(entity + E_END) - (1 << load_i64(entity + E_CLASS))
        or abs(low - before) + abs(high - after) >= high - low
        or taken > _MOST_TAKEN
    ):
        exact.clear_sums(sums)
        before, after, taken = low, low, high - low
        store_i64(kept + K_ENTITY, entity)
        store_i64(kept + K_MOVED, load_i64(table + ROWS_MOVED))
    _take(table, entity, word, low, before, 1, squares, sums)
    _take(table, entity, word, before, low, -1, squares, sums)
    _take(table, entity, word, after, high, 1, squares, sums)
    _take(table, entity, word, high, after, -1, squares, sums)
    store_i64(kept + K_LOW, low)
    store_i64(kept + K_HIGH, high)
    store_i64(kept + K_TAKEN, taken)
    exact.copy_sums(sums, work)
