"""Kernels of exact Shapley contributions: tables by answers, and path by path for deep trees.

Both evaluate, for a leaf with value `v` whose path has `d` distinct features, what feature `i` gets
(Lundberg and others, *Consistent individualized feature attribution for tree ensembles*, 2018):

    v (o_i - z_i) sum over S of the others of |S|! (d-1-|S|)! / d! prod_S o_j prod_rest z_j

where `z` is the product of the cover ratios of the feature's splits on the path, and `o` is 1 if
the row passes all of them, else 0. The weight is the integral of `t^|S| (1-t)^(d-1-|S|)` over 0 to
1, so the sum is the integral of `prod_(j != i) (o_j t + z_j (1 - t))`: a polynomial of degree d-1
with no negative term, which Gauss-Legendre quadrature with at least d/2 points integrates exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.compiled import kernel
from headrace.models.scorer_kernels import encode, fill_columns
from headrace.models.vector_kernels import STRIDE, add_tables, answer_units

if TYPE_CHECKING:
    from numpy.typing import NDArray


@kernel
def leaf_patterns(
    value: float,
    ratios: NDArray[np.float64],
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    patterns: NDArray[np.float64],
) -> None:
    """Write the contributions of a leaf's features for each pattern of features passed.

    `patterns[p, i]` is what feature `i` gets when the features in the bits of `p` are passed.
    """
    count = ratios.shape[0]
    for pattern in range(1 << count):
        for feature in range(count):
            integral = 0.0
            for point in range(points.shape[0]):
                t = points[point]
                product = weights[point]
                for other in range(count):
                    if other != feature:
                        passed = t if (pattern >> other) & 1 else 0.0
                        product *= passed + ratios[other] * (1.0 - t)
                integral += product
            one = 1.0 if (pattern >> feature) & 1 else 0.0
            patterns[pattern, feature] = value * (one - ratios[feature]) * integral


@kernel
def build_tables(
    units: NDArray[np.int64],
    leaves: NDArray[np.int64],
    entries: NDArray[np.int64],
    leaf_values: NDArray[np.float64],
    ratios: NDArray[np.float64],
    lanes: int,
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    tables: NDArray[np.float64],
) -> None:
    """Add up the tables of contributions of all units.

    `units`: first leaf, last leaf, splits, place of its tables (in vectors). `leaves`: first and
    last entry. `entries`, one for each distinct feature of a leaf's path: the table of its group
    within the unit, its lane, the bits of the answer that matter, the bits that it has to have.
    A table has a vector of `lanes` numbers for each answer.
    """
    patterns = np.empty((256, 8), np.float64)
    for unit in range(units.shape[0]):
        answers = np.int64(1) << units[unit, 2]
        place = units[unit, 3]
        for leaf in range(units[unit, 0], units[unit, 1]):
            first, last = leaves[leaf, 0], leaves[leaf, 1]
            leaf_patterns(leaf_values[leaf], ratios[first:last], points, weights, patterns)
            for answer in range(answers):
                pattern = np.int64(0)
                for entry in range(first, last):
                    passed = np.int64((answer & entries[entry, 2]) == entries[entry, 3])
                    pattern |= passed << (entry - first)
                for entry in range(first, last):
                    vector = place + entries[entry, 0] * answers + answer
                    tables[vector * lanes + entries[entry, 1]] += patterns[pattern, entry - first]


@kernel
def walk_paths(
    tree: int,
    nodes: NDArray[np.int32],
    ranks: NDArray[np.int32],
    paths: NDArray[np.int64],
    path_leaves: NDArray[np.int64],
    path_entries: NDArray[np.int64],
    path_splits: NDArray[np.int64],
    path_values: NDArray[np.float64],
    path_ratios: NDArray[np.float64],
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    right: NDArray[np.bool_],
    products: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """Add one tree's contributions for one row, leaf by leaf, to `found`.

    `paths`: first and last node, first and last leaf, first and last point of the quadrature.
    `path_leaves`: first and last entry. `path_entries`: feature, first and last split.
    `path_splits`: node, and whether the path goes right there.
    """
    root, end = paths[tree, 0], paths[tree, 1]
    point_first, point_last = paths[tree, 4], paths[tree, 5]
    for node in range(root, end):
        right[node - root] = ranks[nodes[node, 0]] >= nodes[node, 1]
    for leaf in range(paths[tree, 2], paths[tree, 3]):
        first, last = path_leaves[leaf, 0], path_leaves[leaf, 1]
        for point in range(point_first, point_last):
            products[point - point_first] = path_values[leaf] * weights[point]
        for entry in range(first, last):
            passed = 1.0
            for split in range(path_entries[entry, 1], path_entries[entry, 2]):
                if right[path_splits[split, 0] - root] != path_splits[split, 1]:
                    passed = 0.0
            for point in range(point_first, point_last):
                t = points[point]
                products[point - point_first] *= passed * t + path_ratios[entry] * (1.0 - t)
            products[point_last - point_first + entry - first] = passed
        for entry in range(first, last):
            passed = products[point_last - point_first + entry - first]
            ratio = path_ratios[entry]
            if passed == ratio:
                continue
            integral = 0.0
            for point in range(point_first, point_last):
                t = points[point]
                integral += products[point - point_first] / (passed * t + ratio * (1.0 - t))
            found[path_entries[entry, 0]] += (passed - ratio) * integral


@kernel
def explain(
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
    unit_words: NDArray[np.int32],
    batches: NDArray[np.int64],
    additions: NDArray[np.int64],
    contribution_tables: NDArray[np.uint8],
    places: NDArray[np.int64],
    walk_columns: NDArray[np.int64],
    walk_tables: NDArray[np.int32],
    nodes: NDArray[np.int32],
    paths: NDArray[np.int64],
    path_leaves: NDArray[np.int64],
    path_entries: NDArray[np.int64],
    path_splits: NDArray[np.int64],
    path_values: NDArray[np.float64],
    path_ratios: NDArray[np.float64],
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Write the contributions of rows `low` to `high` to the columns of `out`."""
    block, arena_bytes, groups = layout[0], layout[1], layout[2]
    answers_at, path_nodes, path_room = layout[3], layout[4], layout[5]
    expected = settings[2]
    single = np.int64(settings[0])
    features = out.shape[0] - 1
    lanes = 8 if single else 4
    width = (min(block, high - low) + STRIDE - 1) // STRIDE * STRIDE
    numbers = np.empty(width, np.float64)
    codes = np.empty(sources.shape[0] * width, np.int32)
    arena = np.empty(arena_bytes, np.uint8)
    sums = np.empty(groups * block * 4, np.float64)
    sums_single = sums.view(np.float32)
    ranks = np.empty(walk_columns.shape[0], np.int32)
    right = np.empty(path_nodes, np.bool_)
    products = np.empty(path_room, np.float64)
    found = np.empty(features, np.float64)
    for begin in range(low, high, block):
        count = min(block, high - begin)
        padded = (count + STRIDE - 1) // STRIDE * STRIDE
        encode(
            X, rows, take_rows, begin, begin + count,
            settings, sources, thresholds, numbers, codes, width,
        )  # fmt: skip
        for group in range(groups):
            sums[group * block * 4 : (group * block + count) * 4] = 0.0
        for chunk in range(chunks.shape[0]):
            fill_columns(
                chunks[chunk, 0], chunks[chunk, 1], columns, tables, codes, width, count,
                arena, block,
            )  # fmt: skip
            for batch in range(chunks[chunk, 2], chunks[chunk, 3]):
                answers = arena.ctypes.data + answers_at
                answer_units(
                    arena.ctypes.data, unit_words.ctypes.data,
                    batches[batch, 0], batches[batch, 1], answers, block, padded,
                )  # fmt: skip
                add_tables(
                    sums.ctypes.data, contribution_tables.ctypes.data, answers,
                    additions.ctypes.data, batches[batch, 2], batches[batch, 3], block, count,
                    single,
                )  # fmt: skip
        to = begin - low
        for feature in range(features):
            group, lane = places[feature, 0], places[feature, 1]
            if group < 0:
                out[feature, to : to + count] = 0.0
            elif single:
                for index in range(count):
                    place = (group * block + index) * lanes + lane
                    out[feature, to + index] = sums_single[place]
            else:
                for index in range(count):
                    place = (group * block + index) * lanes + lane
                    out[feature, to + index] = sums[place]
        if paths.shape[0]:
            for index in range(count):
                for column in range(walk_columns.shape[0]):
                    code = codes[walk_columns[column, 0] * width + index]
                    ranks[column] = walk_tables[walk_columns[column, 1] + code]
                found[:] = 0.0
                for tree in range(paths.shape[0]):
                    walk_paths(
                        tree, nodes, ranks, paths, path_leaves, path_entries, path_splits,
                        path_values, path_ratios, points, weights, right, products, found,
                    )  # fmt: skip
                for feature in range(features):
                    out[feature, to + index] += found[feature]
        out[features, to : to + count] = expected
