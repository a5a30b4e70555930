"""Scoring a tree ensemble with the library's own margin, bit for bit.

Every feature is replaced by its rank among the thresholds of the model, so that a split compares
bytes. A tree is then evaluated for a whole block of rows at once, from its lowest splits up: each
split selects, row by row, between the leaf numbers that its two sides came to. Leaf values are
added in the order of the trees, in the library's precision.

Trees with many leaves, and batches of a few rows, are walked from the root instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from headrace.core.errors import DataError
from headrace.models import scorer_kernels as slots
from headrace.models.ensemble import Link, TreeEnsemble
from headrace.models.lightgbm_format import ZERO_MAX
from headrace.models.matrix import check_matrix
from headrace.models.scorer_kernels import (
    BLOCK_ROWS,
    COLUMN_BYTES,
    CONSTANT_BYTES,
    TREES_AT_ONCE,
    link_margins,
)
from headrace.models.scoring_plan import NO_CONTRIBUTIONS, ScoringPlan
from headrace.models.selections import Selections
from headrace.models.sources import (
    Chunk,
    Sources,
    column_tables,
    cut_chunks,
    read_sources,
    walk_tables,
)
from headrace.models.vector_kernels import SELECTION_WORDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Trees with more leaves are walked: walking costs by depth, selecting by leaves.
SELECT_LEAVES_MAX: Final = 128


def plan_margins(ensemble: TreeEnsemble, sources: Sources) -> ScoringPlan:
    """The tables that margins are made from."""
    leaves = np.array([ensemble.leaves(tree) for tree in range(ensemble.trees)], np.int64)
    chunks = cut_chunks(ensemble, sources, leaves > SELECT_LEAVES_MAX)
    columns, tables, firsts = column_tables(sources, chunks)
    rank_columns, rank_tables, nodes = walk_tables(ensemble, sources)
    spans = [
        (firsts[at], firsts[at + 1], chunk.first, chunk.last, chunk.walked)
        for at, chunk in enumerate(chunks)
    ]
    plan = ScoringPlan()
    plan.number(slots.SINGLE, int(ensemble.single))
    plan.real(slots.ZERO_MAX, 0.0 if ensemble.single else ZERO_MAX)
    plan.real(slots.BASE_MARGIN, ensemble.base_margin)
    plan.number(slots.SOURCE_COUNT, len(sources.table))
    plan.number(slots.CHUNK_COUNT, len(chunks))
    plan.number(slots.TREE_COUNT, ensemble.trees)
    plan.number(slots.RANK_COUNT, len(rank_columns))
    plan.number(slots.FEATURE_COUNT, ensemble.features)
    plan.some_walked = any(chunk.walked for chunk in chunks)
    plan.hold(slots.SOURCES, sources.table)
    plan.hold(slots.THRESHOLDS, sources.thresholds)
    plan.hold(slots.CHUNKS, np.array(spans, np.int64))
    plan.hold(slots.COLUMNS, columns)
    plan.hold(slots.TABLES, tables)
    plan.hold(slots.RANK_COLUMNS, rank_columns)
    plan.hold(slots.RANK_TABLES, rank_tables)
    plan.hold(slots.NODES, nodes)
    plan.hold(slots.NODE_VALUES, ensemble.value.astype(plan.precision))
    plan.room(slots.CODES_AT, 4 * BLOCK_ROWS * len(sources.table))
    plan.room(slots.RANKS_AT, 4 * BLOCK_ROWS * len(rank_columns))
    plan.room(slots.SUMS_AT, 8 * BLOCK_ROWS)
    _plan_selections(plan, ensemble, sources, chunks)
    return plan


def _plan_selections(
    plan: ScoringPlan, ensemble: TreeEnsemble, sources: Sources, chunks: list[Chunk]
) -> None:
    """Write the trees as selections of leaf numbers, and lay out the arena that they work in."""
    widest = max((len(chunk.columns) for chunk in chunks), default=0)
    results = CONSTANT_BYTES + max(widest, 1) * COLUMN_BYTES
    slots_at = results + TREES_AT_ONCE * COLUMN_BYTES
    used = 0
    words: list[list[int]] = []
    trees = np.zeros((ensemble.trees, 5), np.int64)
    values = [-0.0] * 256
    for chunk in chunks:
        writer = Selections(ensemble, sources, chunk, slots_at, words)
        for tree in range(chunk.first, chunk.last):
            root = int(ensemble.tree_start[tree])
            trees[tree] = len(words), len(words), len(values), root, ensemble.depth(tree)
            if not chunk.walked:
                place = (tree - chunk.first) % TREES_AT_ONCE
                writer.add_tree(root, results + place * COLUMN_BYTES)
                trees[tree, 1] = len(words)
                values += [float(ensemble.value[leaf]) for leaf in writer.leaves]
        used = max(used, writer.slots)
    plan.hold(slots.TREES, trees)
    plan.hold(slots.SELECTIONS, np.array(words, np.int32).reshape(-1, SELECTION_WORDS))
    plan.hold(slots.VALUES, np.array(values, plan.precision))
    plan.number(slots.RESULTS_AT, results)
    plan.arena(slots_at + used * COLUMN_BYTES)


class TreeScorer:
    """Scores the rows of a matrix with a tree ensemble.

    The object is immutable and may be shared by threads; a call releases the GIL, so rows can be
    split over threads with `low` and `high`. The margin of a row depends on that row alone.

    Attributes:
        ensemble: the model.
        plan: what the kernels read.
    """

    def __init__(self, ensemble: TreeEnsemble) -> None:
        """Prepare the tables of an ensemble; takes about a tenth of a second for 10,000 splits."""
        self.ensemble = ensemble
        self.plan = plan_margins(ensemble, read_sources(ensemble))

    def margins(
        self,
        X: NDArray[np.float64],
        out: NDArray[np.float64] | None = None,
        *,
        rows: NDArray[np.int64] | None = None,
        low: int = 0,
        high: int | None = None,
    ) -> NDArray[np.float64]:
        """The margin (raw score) of each row, as the model's library computes it.

        Args:
            X: float64 `[features, rows]`, C-contiguous; NaN is missing. A categorical feature holds
                category codes.
            out: where to write; made if absent. Its element 0 belongs to the first row scored.
            rows: int64 row numbers to score, in this order; all rows if absent.
            low: the first row (or place in `rows`) to score.
            high: one past the last; the end if absent.

        Returns:
            float64 `[high - low]`. Of an XGBoost model each equals `Booster.predict(...,
            output_margin=True)`, a float32, in every bit; of a LightGBM model,
            `Booster.predict(..., raw_score=True)`.

        Raises:
            DataError: `X`, `rows` or `out` has another shape, type or layout.
        """
        low, high, rows_given = check_matrix(self.ensemble, X, rows, low, high)
        if out is None:
            out = np.empty(high - low)
        elif (
            out.dtype != np.float64
            or out.ndim != 1
            or len(out) < high - low
            or not out.flags.carray
        ):
            raise DataError(
                f"out is {out.dtype} {out.shape}; "
                f"it must be contiguous float64 with {high - low} places"
            )
        self.plan.run(X, rows_given, low, high, out, NO_CONTRIBUTIONS)
        return out

    def probabilities(
        self, margins: NDArray[np.float64], out: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """The predictions that belong to margins: probabilities, of a logistic model.

        The logistic function is our own, in float64 and the same on every machine, within two
        units in the last place; the libraries round theirs to float32 or by the processor's libm.
        A model without a link (a regression) predicts the margin itself.

        Args:
            margins: float64 `[rows]`, C-contiguous.
            out: where to write; made if absent. It may be `margins` itself.

        Raises:
            DataError: the margins are not float64, one axis, contiguous.
        """
        if margins.dtype != np.float64 or margins.ndim != 1 or not margins.flags.c_contiguous:
            raise DataError(
                f"margins are {margins.dtype} with {margins.ndim} axes; they must be float64 [rows]"
            )
        if out is None:
            out = np.empty(len(margins))
        link_margins(
            margins,
            self.ensemble.link == Link.LOGISTIC,
            self.ensemble.link_scale,
            self.ensemble.divisor,
            out,
        )
        return out
