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

from headrace.core.compiled import (
    allocating_kernel,
    inner_kernel,
    kernel,
    load_f64,
    load_i32,
    load_i64,
    load_u8,
)
from headrace.core.memory import store_f64, store_u8
from headrace.models.scorer_kernels import (
    ADDITIONS,
    ANSWERS_AT,
    ARENA_AT,
    BATCHES,
    CODES_AT,
    COLUMN_BYTES,
    CONSTANT_BYTES,
    CONTRIBUTIONS,
    EXPECTED,
    FEATURE_COUNT,
    FOUND_AT,
    GROUP_COUNT,
    NODES,
    PASSED_AT,
    PATH_COUNT,
    PATH_ENTRIES,
    PATH_LEAVES,
    PATH_RATIOS,
    PATH_SPLITS,
    PATH_VALUES,
    PATHS,
    PLACES,
    POINTS,
    PRODUCTS_AT,
    RANK_COUNT,
    RANKS_AT,
    SINGLE,
    UNIT_CHUNK_COUNT,
    UNIT_CHUNKS,
    UNIT_COLUMNS,
    UNIT_TABLES,
    UNIT_WORDS,
    VECTORS_AT,
    WEIGHTS,
    fill_columns,
)
from headrace.models.vector_kernels import STRIDE, add_tables, answer_units, load_f32, stay_apart

if TYPE_CHECKING:
    from numpy.typing import NDArray


@inner_kernel
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


@allocating_kernel
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


@inner_kernel
def walk_paths(plan: int, work: int, path: int, ranks: int, found: int) -> None:
    """Add one tree's contributions for one row, leaf by leaf, to the numbers at `found`.

    `path` is the entry of the tree: first and last node, first and last leaf, first and last point
    of the quadrature. `PATH_LEAVES`: first and last entry. `PATH_ENTRIES`: feature, first and last
    split. `PATH_SPLITS`: node, and whether the path goes right there.
    """
    stay_apart()
    nodes, root = load_i64(plan + NODES), load_i64(path)
    entries, splits = load_i64(plan + PATH_ENTRIES), load_i64(plan + PATH_SPLITS)
    ratios = load_i64(plan + PATH_RATIOS)
    right = work + load_i64(plan + PASSED_AT)
    products = work + load_i64(plan + PRODUCTS_AT)
    point_first = load_i64(path + 32)
    count = load_i64(path + 40) - point_first
    points = load_i64(plan + POINTS) + 8 * point_first
    weights = load_i64(plan + WEIGHTS) + 8 * point_first
    passes = products + 8 * count
    for node in range(root, load_i64(path + 8)):
        here = nodes + 12 * node
        goes = load_i32(ranks + 4 * load_i32(here)) >= load_i32(here + 4)
        store_u8(right + node - root, np.uint8(goes))
    for leaf in range(load_i64(path + 16), load_i64(path + 24)):
        value = load_f64(load_i64(plan + PATH_VALUES) + 8 * leaf)
        first = load_i64(load_i64(plan + PATH_LEAVES) + 16 * leaf)
        last = load_i64(load_i64(plan + PATH_LEAVES) + 16 * leaf + 8)
        for point in range(count):
            store_f64(products + 8 * point, value * load_f64(weights + 8 * point))
        for entry in range(first, last):
            passed = 1.0
            at = entries + 24 * entry
            for split in range(load_i64(at + 8), load_i64(at + 16)):
                wanted = load_i64(splits + 16 * split + 8)
                if load_u8(right + load_i64(splits + 16 * split) - root) != wanted:
                    passed = 0.0
            ratio = load_f64(ratios + 8 * entry)
            for point in range(count):
                t = load_f64(points + 8 * point)
                factor = passed * t + ratio * (1.0 - t)
                store_f64(products + 8 * point, load_f64(products + 8 * point) * factor)
            store_f64(passes + 8 * (entry - first), passed)
        for entry in range(first, last):
            passed, ratio = load_f64(passes + 8 * (entry - first)), load_f64(ratios + 8 * entry)
            if passed == ratio:
                continue
            integral = 0.0
            for point in range(count):
                t = load_f64(points + 8 * point)
                integral += load_f64(products + 8 * point) / (passed * t + ratio * (1.0 - t))
            to = found + 8 * load_i64(entries + 24 * entry)
            store_f64(to, load_f64(to) + (passed - ratio) * integral)


@kernel
def add_paths(plan: int, work: int, count: int, out: int, apart: int) -> None:
    """Add the contributions of all trees that are explained path by path to the columns at `out`.

    The ranks of the rows are filled.
    """
    features = load_i64(plan + FEATURE_COUNT)
    found = work + load_i64(plan + FOUND_AT)
    ranks = work + load_i64(plan + RANKS_AT)
    for index in range(count):
        for feature in range(features):
            store_f64(found + 8 * feature, 0.0)
        for tree in range(load_i64(plan + PATH_COUNT)):
            walk_paths(
                plan, work, load_i64(plan + PATHS) + 48 * tree,
                ranks + 4 * index * load_i64(plan + RANK_COUNT), found,
            )  # fmt: skip
        for feature in range(features):
            to = out + 8 * (apart * feature + index)
            store_f64(to, load_f64(to) + load_f64(found + 8 * feature))


@kernel
def add_units(plan: int, work: int, width: int, count: int) -> None:
    """Add up the vectors of contributions of the encoded rows, from the tables of all units."""
    padded = (count + STRIDE - 1) // STRIDE * STRIDE
    arena = work + load_i64(plan + ARENA_AT)
    answers = work + load_i64(plan + ANSWERS_AT)
    vectors = work + load_i64(plan + VECTORS_AT)
    for group in range(load_i64(plan + GROUP_COUNT)):
        for word in range(4 * count):
            store_f64(vectors + 32 * COLUMN_BYTES * group + 8 * word, 0.0)
    for number in range(load_i64(plan + UNIT_CHUNK_COUNT)):
        chunk = load_i64(plan + UNIT_CHUNKS) + 32 * number
        fill_columns(
            load_i64(plan + UNIT_COLUMNS), load_i64(plan + UNIT_TABLES), load_i64(chunk),
            load_i64(chunk + 8), work + load_i64(plan + CODES_AT), width, count,
            arena + CONSTANT_BYTES,
        )  # fmt: skip
        for place in range(load_i64(chunk + 16), load_i64(chunk + 24)):
            batch = load_i64(plan + BATCHES) + 32 * place
            answer_units(
                arena, load_i64(plan + UNIT_WORDS), load_i64(batch), load_i64(batch + 8),
                answers, COLUMN_BYTES, padded,
            )  # fmt: skip
            add_tables(
                vectors, load_i64(plan + CONTRIBUTIONS), answers, load_i64(plan + ADDITIONS),
                load_i64(batch + 16), load_i64(batch + 24), COLUMN_BYTES, count,
                load_i64(plan + SINGLE),
            )  # fmt: skip


@kernel
def write_contributions(plan: int, work: int, count: int, out: int, apart: int) -> None:
    """Write the vectors of contributions to the columns at `out`, and the expected margin last."""
    single, features = load_i64(plan + SINGLE) != 0, load_i64(plan + FEATURE_COUNT)
    vectors = work + load_i64(plan + VECTORS_AT)
    for feature in range(features):
        place = load_i64(plan + PLACES) + 16 * feature
        group, lane = load_i64(place), load_i64(place + 8)
        first = vectors + 32 * COLUMN_BYTES * group + (4 if single else 8) * lane
        for index in range(count):
            value = 0.0
            if group >= 0:
                at = first + 32 * index
                value = np.float64(load_f32(at)) if single else load_f64(at)
            store_f64(out + 8 * (apart * feature + index), value)
    for index in range(count):
        store_f64(out + 8 * (apart * features + index), load_f64(plan + EXPECTED))
