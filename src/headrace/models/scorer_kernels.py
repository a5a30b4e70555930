"""Kernels that score tree ensembles, block by block, or row by row where there are few rows.

They find everything by address in a plan (see `TreeScorer`), an array of `PLAN_SLOTS` int64, and
work in a room that the caller keeps. So a call takes few arguments, and every kernel is compiled
once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.compiled import inner_kernel, kernel, load_f64, load_i32, load_i64, load_u8
from headrace.core.elementary import sigmoid
from headrace.core.memory import store_f64, store_i32, store_u8
from headrace.models.vector_kernels import (
    STRIDE,
    add_leaves_double,
    add_leaves_single,
    count_thresholds,
    load_f32,
    run_selections,
    stay_apart,
    store_f32,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Rows of one block. The tables of a model are read once for each block, and those of contributions
#: are larger than the caches, so long blocks are what makes them cheap.
BLOCK_ROWS = 4096

#: From one column of a block's bytes to the next. Columns a whole number of pages apart would share
#: the same few lines of the first cache, and drive each other out of it.
COLUMN_BYTES = BLOCK_ROWS + STRIDE

#: The arena of byte columns begins with a vector of each byte's value.
CONSTANT_BYTES = 256 * STRIDE

#: Trees whose leaf numbers are found before their values are added.
TREES_AT_ONCE = 8

#: Up to so many rows, walking every tree is faster than filling columns.
WALK_ROWS = 4

#: Slots of the plan, in bytes from its start. Numbers: whether sums are float32; the bits of the
#: largest value that counts as zero, of the base margin and of the expected margin; how many there
#: are of sources, chunks, trees, columns of ranks, chunks of units, groups, features and paths.
SINGLE, ZERO_MAX, BASE_MARGIN, EXPECTED = range(0, 32, 8)
SOURCE_COUNT, CHUNK_COUNT, TREE_COUNT, RANK_COUNT = range(32, 64, 8)
UNIT_CHUNK_COUNT, GROUP_COUNT, FEATURE_COUNT, PATH_COUNT = range(64, 96, 8)

#: Addresses of the tables for margins.
SOURCES, THRESHOLDS, CHUNKS, COLUMNS, TABLES, TREES = range(96, 144, 8)
SELECTIONS, RANK_COLUMNS, RANK_TABLES, NODES, VALUES, NODE_VALUES = range(144, 192, 8)

#: Addresses of the tables for contributions, in the caches' way and path by path.
UNIT_CHUNKS, UNIT_COLUMNS, UNIT_TABLES, UNIT_WORDS = range(192, 224, 8)
BATCHES, ADDITIONS, CONTRIBUTIONS, PLACES = range(224, 256, 8)
PATHS, PATH_LEAVES, PATH_ENTRIES, PATH_SPLITS = range(256, 288, 8)
PATH_VALUES, PATH_RATIOS, POINTS, WEIGHTS = range(288, 320, 8)

#: Offsets in the room to work in, whose first part holds the numbers of one feature.
CODES_AT, RANKS_AT, REACHED_AT, SUMS_AT, ARENA_AT = range(320, 360, 8)
RESULTS_AT, ANSWERS_AT, VECTORS_AT, PASSED_AT, PRODUCTS_AT, FOUND_AT = range(360, 408, 8)
PLAN_SLOTS = 51


@kernel
def encode(
    features: int, apart: int, rows: int, first: int, count: int, plan: int, work: int, width: int
) -> None:
    """Write the codes of `count` rows of every source, `width` apart.

    A source is a feature with its sorted thresholds (padded with NaN to one less than a power of
    two). The code of a number is how many thresholds it is not below, that of a missing value one
    more than there are, that of a zero, where a split asks for it, two more. The code of a category
    is the category, one that no split names the count of codes, a missing one yet one more.

    `features` is the address of float64 columns `apart` rows long, `rows` that of the numbers of
    the rows to take, or 0 for all.
    """
    single, zero_max = load_i64(plan + SINGLE) != 0, load_f64(plan + ZERO_MAX)
    for source in range(load_i64(plan + SOURCE_COUNT)):
        entry = load_i64(plan + SOURCES) + 40 * source
        kind, known = load_i64(entry + 8), load_i64(entry + 32)
        column = features + 8 * apart * load_i64(entry)
        codes = work + load_i64(plan + CODES_AT) + 4 * width * source
        for index in range(count):
            row = first + index
            if rows != 0:
                row = load_i64(rows + 8 * row)
            x = load_f64(column + 8 * row)
            if single:
                x = np.float64(np.float32(x))
            elif -zero_max <= x <= zero_max:
                x = 0.0
            store_f64(work + 8 * index, x)
        if kind != 2:
            thresholds = load_i64(plan + THRESHOLDS) + 8 * load_i64(entry + 24)
            count_thresholds(work, thresholds, load_i64(entry + 16), codes, count)
        for index in range(count):
            x = load_f64(work + 8 * index)
            code: int = np.int64(load_i32(codes + 4 * index))  # type: ignore[assignment]  # integers are of one kind in a kernel
            if kind == 2:
                code = known
                if (x >= 0.0 if single else x > -1.0) and x < known:
                    code = np.int64(x)  # type: ignore[assignment]  # integers are of one kind in a kernel
            elif kind == 1 and x == 0.0:
                code = known + 2
            if np.isnan(x):
                code = known + 1
            store_i32(codes + 4 * index, code)


@inner_kernel
def fill_columns(
    columns: int, tables: int, first: int, last: int, codes: int, width: int, count: int, to: int
) -> None:
    """Write the byte columns `first` to `last` of a chunk from the codes of `count` rows."""
    stay_apart()
    for column in range(first, last):
        source = codes + 4 * width * load_i64(columns + 16 * column)
        table = tables + load_i64(columns + 16 * column + 8)
        for index in range(count):
            store_u8(to + index, load_u8(table + load_i32(source + 4 * index)))
        to += COLUMN_BYTES


@kernel
def fill_ranks(plan: int, work: int, width: int, count: int) -> None:
    """Write the ranks that nodes compare, row by row, for walking."""
    ranks = work + load_i64(plan + RANKS_AT)
    wide = load_i64(plan + RANK_COUNT)
    for column in range(wide):
        entry = load_i64(plan + RANK_COLUMNS) + 16 * column
        source = work + load_i64(plan + CODES_AT) + 4 * width * load_i64(entry)
        table = load_i64(plan + RANK_TABLES) + 4 * load_i64(entry + 8)
        for index in range(count):
            rank = load_i32(table + 4 * load_i32(source + 4 * index))
            store_i32(ranks + 4 * (index * wide + column), rank)


@inner_kernel
def walk_trees(plan: int, work: int, first: int, last: int, count: int) -> None:
    """Add the leaf values of trees `first` to `last` to the sums of `count` rows.

    A leaf is its own child, so all rows take the same number of steps and none branches.
    """
    stay_apart()
    nodes, values = load_i64(plan + NODES), load_i64(plan + NODE_VALUES)
    trees, single = load_i64(plan + TREES), load_i64(plan + SINGLE) != 0
    wide = load_i64(plan + RANK_COUNT)
    ranks = work + load_i64(plan + RANKS_AT)
    sums = work + load_i64(plan + SUMS_AT)
    for index in range(count):
        row = ranks + 4 * wide * index
        total = load_f64(sums + 8 * index)
        total_single = load_f32(sums + 4 * index)
        for tree in range(first, last):
            node = load_i64(trees + 40 * tree + 24)
            for _ in range(load_i64(trees + 40 * tree + 32)):
                here = nodes + 12 * node
                right = load_i32(row + 4 * load_i32(here)) >= load_i32(here + 4)
                node = np.int64(load_i32(here + 8)) + right
            if single:
                total_single += load_f32(values + 4 * node)
            else:
                total += load_f64(values + 8 * node)
        if single:
            store_f32(sums + 4 * index, total_single)
        else:
            store_f64(sums + 8 * index, total)


@inner_kernel
def select_leaves(plan: int, work: int, first: int, last: int, count: int) -> None:
    """Add the leaf values of trees `first` to `last`, whose columns are filled, to all sums."""
    stay_apart()
    padded = (count + STRIDE - 1) // STRIDE * STRIDE
    arena, sums = work + load_i64(plan + ARENA_AT), work + load_i64(plan + SUMS_AT)
    single, base = load_i64(plan + SINGLE) != 0, load_i64(plan + VALUES)
    size = 4 if single else 8
    for tree in range(first, last, TREES_AT_ONCE):
        group = min(TREES_AT_ONCE, last - tree)
        trees = load_i64(plan + TREES) + 40 * tree
        run_selections(
            arena, load_i64(plan + SELECTIONS), load_i64(trees),
            load_i64(trees + 40 * (group - 1) + 8), padded,
        )  # fmt: skip
        for four in range(0, group, 4):
            leaves = arena + load_i64(plan + RESULTS_AT) + four * COLUMN_BYTES
            here = trees + 40 * four + 16
            left = group - four
            # past the last tree, place 0 of the values adds -0.0, which changes nothing
            at0 = base + size * load_i64(here)
            at1 = base + (size * load_i64(here + 40) if left > 1 else 0)
            at2 = base + (size * load_i64(here + 80) if left > 2 else 0)
            at3 = base + (size * load_i64(here + 120) if left > 3 else 0)
            if single:
                add_leaves_single(sums, leaves, COLUMN_BYTES, at0, at1, at2, at3, count)
            else:
                add_leaves_double(sums, leaves, COLUMN_BYTES, at0, at1, at2, at3, count)


@kernel
def add_margins(plan: int, work: int, width: int, count: int, out: int, few: int) -> None:
    """Write the margins of the encoded rows as float64 at `out`."""
    single, base = load_i64(plan + SINGLE) != 0, load_f64(plan + BASE_MARGIN)
    sums = work + load_i64(plan + SUMS_AT)
    for index in range(count):
        if single:
            store_f32(sums + 4 * index, np.float32(base))
        else:
            store_f64(sums + 8 * index, base)
    if few != 0:
        walk_trees(plan, work, 0, load_i64(plan + TREE_COUNT), count)
    else:
        for number in range(load_i64(plan + CHUNK_COUNT)):
            chunk = load_i64(plan + CHUNKS) + 40 * number
            first, last = load_i64(chunk + 16), load_i64(chunk + 24)
            if load_i64(chunk + 32) != 0:
                walk_trees(plan, work, first, last, count)
            else:
                fill_columns(
                    load_i64(plan + COLUMNS), load_i64(plan + TABLES), load_i64(chunk),
                    load_i64(chunk + 8), work + load_i64(plan + CODES_AT), width, count,
                    work + load_i64(plan + ARENA_AT) + CONSTANT_BYTES,
                )  # fmt: skip
                select_leaves(plan, work, first, last, count)
    for index in range(count):
        if single:
            store_f64(out + 8 * index, np.float64(load_f32(sums + 4 * index)))
        else:
            store_f64(out + 8 * index, load_f64(sums + 8 * index))


@kernel
def link_margins(
    margins: NDArray[np.float64],
    logistic: bool,  # noqa: FBT001 - kernels have no keyword arguments
    scale: float,
    divisor: float,
    out: NDArray[np.float64],
) -> None:
    """Write the prediction of every margin."""
    for row in range(margins.shape[0]):
        mean = margins[row] / divisor
        out[row] = sigmoid(mean * scale) if logistic else mean
