"""Kernels that score tree ensembles, block by block or row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.compiled import kernel
from headrace.core.elementary import sigmoid
from headrace.models.vector_kernels import (
    STRIDE,
    add_leaves_double,
    add_leaves_single,
    count_thresholds,
    run_selections,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Trees whose leaf numbers are found before their values are added.
TREES_AT_ONCE = 8

#: Up to so many rows, walking every tree is faster than filling columns.
WALK_ROWS = 12


@kernel
def encode(
    X: NDArray[np.float64],
    rows: NDArray[np.int64],
    take_rows: bool,  # noqa: FBT001 - kernels have no keyword arguments
    low: int,
    high: int,
    settings: NDArray[np.float64],
    sources: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    numbers: NDArray[np.float64],
    codes: NDArray[np.int32],
    width: int,
) -> None:
    """Write the codes of rows `low` to `high` of every source, `width` apart.

    A source is a feature with its sorted thresholds (padded with NaN to one less than a power of
    two). The code of a number is how many thresholds it is not below, that of a missing value one
    more than there are, that of a zero, where a split asks for it, two more. The code of a category
    is the category, one that no split names the count of codes, a missing one yet one more.
    """
    single, zero_max = settings[0] != 0.0, settings[1]
    total = high - low
    for source in range(sources.shape[0]):
        feature, kind, steps = sources[source, 0], sources[source, 1], sources[source, 2]
        start, count = sources[source, 3], sources[source, 4]
        held = codes[source * width : source * width + total]
        if take_rows:
            for index in range(total):
                numbers[index] = X[feature, rows[low + index]]
        else:
            for index in range(total):
                numbers[index] = X[feature, low + index]
        if single:
            for index in range(total):
                numbers[index] = np.float64(np.float32(numbers[index]))
        else:
            for index in range(total):
                x = numbers[index]
                numbers[index] = 0.0 if -zero_max <= x <= zero_max else x
        if kind == 2:
            for index in range(total):
                x = numbers[index]
                code = count
                if np.isnan(x):
                    code = count + 1
                elif (x >= 0.0 if single else x > -1.0) and x < count:
                    code = np.int64(x)
                held[index] = code
            continue
        count_thresholds(
            numbers.ctypes.data, thresholds.ctypes.data + 8 * start, steps,
            codes.ctypes.data + 4 * source * width, total,
        )  # fmt: skip
        missing, zero = np.int32(count + 1), np.int32(count + 2)
        for index in range(total):
            x = numbers[index]
            code = held[index]
            code = zero if kind == 1 and x == 0.0 else code
            held[index] = missing if np.isnan(x) else code


@kernel
def fill_columns(
    first: int,
    last: int,
    columns: NDArray[np.int64],
    tables: NDArray[np.uint8],
    codes: NDArray[np.int32],
    width: int,
    count: int,
    arena: NDArray[np.uint8],
    block: int,
) -> None:
    """Write the byte columns `first` to `last` of a chunk from the codes of `count` rows."""
    for column in range(first, last):
        source, table = columns[column, 0] * width, columns[column, 1]
        to = 256 * STRIDE + (column - first) * block
        for index in range(count):
            arena[to + index] = tables[table + codes[source + index]]


@kernel
def walk_tree(
    root: int,
    depth: int,
    nodes: NDArray[np.int32],
    ranks: NDArray[np.int32],
    at: int,
    count: int,
    leaves: NDArray[np.int32],
) -> None:
    """Write the leaf number that each of `count` rows reaches; `ranks` lie row by row.

    A leaf is its own child, so all rows take the same number of steps and none branches.
    """
    for index in range(count):
        leaves[index] = root
    for _ in range(depth):
        for index in range(count):
            node = leaves[index]
            right = ranks[index * at + nodes[node, 0]] >= nodes[node, 1]
            leaves[index] = nodes[node, 2] + np.int32(right)


@kernel
def score(
    X: NDArray[np.float64],
    rows: NDArray[np.int64],
    take_rows: bool,  # noqa: FBT001 - kernels have no keyword arguments
    low: int,
    high: int,
    settings: NDArray[np.float64],
    layout: NDArray[np.int64],
    sources: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    chunks: NDArray[np.int64],
    columns: NDArray[np.int64],
    tables: NDArray[np.uint8],
    trees: NDArray[np.int64],
    selections: NDArray[np.int32],
    walk_columns: NDArray[np.int64],
    walk_tables: NDArray[np.int32],
    nodes: NDArray[np.int32],
    values: NDArray[np.float64],
    values_single: NDArray[np.float32],
    node_values: NDArray[np.float64],
    node_values_single: NDArray[np.float32],
    out: NDArray[np.float64],
) -> None:
    """Write the margins of rows `low` to `high` to `out`; see `TreeScorer` for the tables."""
    single, base_margin = settings[0] != 0.0, settings[2]
    block, arena_bytes, results = layout[0], layout[1], layout[2]
    width = min(block, high - low)
    few = high - low <= WALK_ROWS
    width = (width + 7) // 8 * 8
    numbers = np.empty(width, np.float64)
    codes = np.empty(sources.shape[0] * width, np.int32)
    arena = np.empty(STRIDE if few else arena_bytes, np.uint8)
    if not few:
        for byte in range(256):
            arena[byte * STRIDE : (byte + 1) * STRIDE] = byte
    at = walk_columns.shape[0]
    ranks = np.empty(at * width if few or layout[3] != 0 else 0, np.int32)
    reached = np.empty(width, np.int32)
    sums = np.empty(width, np.float64)
    sums_single = np.empty(width, np.float32)
    for begin in range(low, high, block):
        count = min(block, high - begin)
        padded = (count + STRIDE - 1) // STRIDE * STRIDE
        encode(
            X, rows, take_rows, begin, begin + count,
            settings, sources, thresholds, numbers, codes, width,
        )  # fmt: skip
        if few or layout[3] != 0:
            for column in range(at):
                source, table = walk_columns[column, 0] * width, walk_columns[column, 1]
                for index in range(count):
                    ranks[index * at + column] = walk_tables[table + codes[source + index]]
        for index in range(count):
            sums[index] = base_margin
            sums_single[index] = np.float32(base_margin)
        for chunk in range(chunks.shape[0]):
            first, last = chunks[chunk, 2], chunks[chunk, 3]
            if few or chunks[chunk, 4] != 0:
                for tree in range(first, last):
                    walk_tree(trees[tree, 3], trees[tree, 4], nodes, ranks, at, count, reached)
                    if single:
                        for index in range(count):
                            sums_single[index] += node_values_single[reached[index]]
                    else:
                        for index in range(count):
                            sums[index] += node_values[reached[index]]
                continue
            fill_columns(
                chunks[chunk, 0], chunks[chunk, 1], columns, tables, codes, width, count,
                arena, block,
            )  # fmt: skip
            for tree in range(first, last, TREES_AT_ONCE):
                group = min(TREES_AT_ONCE, last - tree)
                run_selections(
                    arena.ctypes.data, selections.ctypes.data,
                    trees[tree, 0], trees[tree + group - 1, 1], padded,
                )  # fmt: skip
                for four in range(0, group, 4):
                    leaves = arena.ctypes.data + results + four * block
                    # past the last tree, place 0 of the values adds -0.0, which changes nothing
                    here = tree + four
                    at0 = trees[here, 2]
                    at1 = trees[here + 1, 2] if here + 1 < last else 0
                    at2 = trees[here + 2, 2] if here + 2 < last else 0
                    at3 = trees[here + 3, 2] if here + 3 < last else 0
                    if single:
                        base = values_single.ctypes.data
                        add_leaves_single(
                            sums_single.ctypes.data, leaves, block,
                            base + 4 * at0, base + 4 * at1, base + 4 * at2, base + 4 * at3, count,
                        )  # fmt: skip
                    else:
                        base = values.ctypes.data
                        add_leaves_double(
                            sums.ctypes.data, leaves, block,
                            base + 8 * at0, base + 8 * at1, base + 8 * at2, base + 8 * at3, count,
                        )  # fmt: skip
        for index in range(count):
            out[begin - low + index] = np.float64(sums_single[index]) if single else sums[index]


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
