"""Scoring a tree ensemble with the library's own margin, bit for bit.

Every feature is replaced by its rank among the thresholds of the model, so that a split compares
bytes. A tree is then evaluated for a whole block of rows at once, from its lowest splits up: each
split selects, row by row, between the leaf numbers that its two sides came to. Leaf values are
added in the order of the trees, in the library's precision.

Trees with many leaves, and batches of a few rows, are walked from the root instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from headrace.core.errors import DataError
from headrace.models.ensemble import Link, Missing, TreeEnsemble
from headrace.models.lightgbm_format import ZERO_MAX
from headrace.models.scorer_kernels import TREES_AT_ONCE, link_margins, score
from headrace.models.vector_kernels import SELECTION_WORDS, STRIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Rows of one block; their columns stay in the first two levels of cache.
BLOCK_ROWS: Final = 512

#: Trees with more leaves are walked: walking costs by depth, selecting by leaves.
SELECT_LEAVES_MAX: Final = 128

#: Thresholds of one feature that ranks of a byte can tell apart.
_RANKS_MAX: Final = 255

CONSTANT_BYTES: Final = 256 * STRIDE
_NUMERIC, _NUMERIC_ZERO, _CATEGORICAL = 0, 1, 2
_ZERO_RULES: Final = (Missing.LEFT_WITH_ZERO, Missing.RIGHT_WITH_ZERO)

#: What a split reads: a source, and either a rule for missing values (numeric) or a set and where
#: missing values go (categorical).
_Reading = tuple[int, int, int]


@dataclass(slots=True)
class _Source:
    """A feature that splits read, and what tells its values apart."""

    feature: int
    kind: int
    thresholds: NDArray[np.float64]
    count: int

    @property
    def codes(self) -> int:
        """How many codes the source has."""
        return self.count + 3


@dataclass(slots=True)
class Sources:
    """The features that splits read, each with its codes, and how splits read them.

    Attributes:
        table: int64 `[sources, 5]`: feature, kind, binary search steps, place of thresholds, count.
        thresholds: float64, all thresholds, padded with NaN.
        readings: for each split node `(source, rule or set, missing goes right)`.
        ranks: int64 `[nodes]`: a numeric split goes right when the code is at least this; 1 on a
            categorical one.
    """

    table: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    readings: list[_Reading]
    ranks: NDArray[np.int64]
    held: list[_Source]
    sets: list[NDArray[np.int32]]
    inside_right: bool

    def answers(self, reading: _Reading) -> NDArray[np.int64]:
        """For every code of a reading's source, the rank that its splits compare."""
        source = self.held[reading[0]]
        table = np.arange(source.codes, dtype=np.int64)
        if source.kind == _CATEGORICAL:
            table[:] = not self.inside_right
            table[self.sets[reading[1]]] = self.inside_right
            table[source.count + 1] = reading[2]
            return table
        zero = int(np.searchsorted(source.thresholds, 0.0, side="right"))
        low, high = 0, source.count
        missing = {
            Missing.LEFT: low,
            Missing.RIGHT: high,
            Missing.AS_ZERO: zero,
            Missing.LEFT_WITH_ZERO: low,
            Missing.RIGHT_WITH_ZERO: high,
        }[Missing(reading[1])]
        table[source.count + 1] = missing
        table[source.count + 2] = missing if reading[1] in _ZERO_RULES else zero
        return table


def _distinct_sets(ensemble: TreeEnsemble) -> tuple[list[NDArray[np.int32]], list[int]]:
    """The different sets of categories, and for each set of the ensemble which one it is."""
    place: dict[bytes, int] = {}
    sets: list[NDArray[np.int32]] = []
    set_of = []
    for start, end in zip(ensemble.set_start[:-1], ensemble.set_start[1:], strict=True):
        codes = ensemble.set_codes[start:end]
        set_of.append(place.setdefault(codes.tobytes(), len(sets)))
        if set_of[-1] == len(sets):
            sets.append(codes)
    return sets, set_of


def read_sources(ensemble: TreeEnsemble) -> Sources:
    """Collect the features that an ensemble's splits read, and number their thresholds."""
    held: list[_Source] = []
    place: dict[tuple[int, bool], int] = {}
    split = ensemble.feature >= 0
    categorical = ensemble.category_set >= 0
    sets, set_of = _distinct_sets(ensemble)
    for feature in np.unique(ensemble.feature[split]).tolist():
        mine = split & (ensemble.feature == feature)
        for is_set in (False, True):
            nodes = mine & (categorical == is_set)
            if not nodes.any():
                continue
            place[feature, is_set] = len(held)
            if is_set:
                used = [sets[set_of[number]] for number in ensemble.category_set[nodes]]
                count = max((int(codes[-1]) + 1 for codes in used if len(codes)), default=0)
                held.append(_Source(feature, _CATEGORICAL, np.empty(0), count))
            else:
                thresholds = np.unique(ensemble.threshold[nodes])
                zero = np.isin(ensemble.missing[nodes], _ZERO_RULES).any()
                kind = _NUMERIC_ZERO if zero else _NUMERIC
                held.append(_Source(feature, kind, thresholds, len(thresholds)))
    table = np.zeros((len(held), 5), np.int64)
    padded = [np.empty(0)]
    at = 0
    for row, source in zip(table, held, strict=True):
        steps = len(source.thresholds).bit_length()
        row[:] = source.feature, source.kind, steps, at, source.count
        padded.append(np.full((1 << steps) - 1, np.nan))
        padded[-1][: len(source.thresholds)] = source.thresholds
        at += len(padded[-1])
    readings: list[_Reading] = []
    ranks = np.ones(len(split), np.int64)
    for node in range(len(split)):
        if not split[node]:
            readings.append((-1, -1, -1))
            continue
        number = int(ensemble.category_set[node])
        source_place = place[int(ensemble.feature[node]), number >= 0]
        missing = int(ensemble.missing[node])
        if number >= 0:
            goes_right = int(missing == Missing.RIGHT)
            readings.append((source_place, set_of[number], goes_right))
        else:
            readings.append((source_place, missing, 0))
            ranks[node] = 1 + np.searchsorted(
                held[source_place].thresholds, ensemble.threshold[node]
            )
    return Sources(
        table, np.concatenate(padded), readings, ranks, held, sets, ensemble.inside_right
    )


@dataclass(slots=True)
class Chunk:
    """Trees in a row whose splits can all compare bytes.

    Attributes:
        first: the first tree.
        last: one past the last.
        walked: a tree with too many leaves, which is walked instead.
        columns: the readings of the chunk, in the order of their byte columns.
        local: for each reading the sorted ranks that the chunk's splits compare with.
    """

    first: int
    last: int
    walked: bool
    columns: dict[_Reading, int] = field(default_factory=dict)
    local: dict[_Reading, NDArray[np.int64]] = field(default_factory=dict)

    def byte(self, reading: _Reading, rank: int) -> int:
        """The byte that stands for a rank in this chunk."""
        return 1 + int(np.searchsorted(self.local[reading], rank))

    def table(self, sources: Sources, reading: _Reading) -> NDArray[np.uint8]:
        """The byte of every code of a reading's source."""
        answers = sources.answers(reading)
        return np.searchsorted(self.local[reading], answers, side="right").astype(np.uint8)


def cut_chunks(
    ensemble: TreeEnsemble, sources: Sources, by_walking: NDArray[np.bool_]
) -> list[Chunk]:
    """Cut the trees into runs in which no feature has more thresholds than a byte can rank.

    `by_walking` says which trees compare no bytes and so need no columns.
    """
    chunks: list[Chunk] = []
    ranks: dict[_Reading, set[int]] = {}
    for tree in range(ensemble.trees):
        start, end = (int(node) for node in ensemble.tree_start[tree : tree + 2])
        walked = bool(by_walking[tree])
        mine: dict[_Reading, set[int]] = {}
        for node in range(start, end):
            if ensemble.feature[node] >= 0:
                mine.setdefault(sources.readings[node], set()).add(int(sources.ranks[node]))
        joined = {key: ranks.get(key, set()) | held for key, held in mine.items()}
        fits = all(len(held) <= _RANKS_MAX for held in joined.values())
        if chunks and chunks[-1].walked == walked and (walked or fits):
            chunks[-1].last = tree + 1
            ranks.update(joined)
        else:
            _close(chunks, ranks)
            chunks.append(Chunk(tree, tree + 1, walked))
            ranks = mine
    _close(chunks, ranks)
    return chunks


def _close(chunks: list[Chunk], ranks: dict[_Reading, set[int]]) -> None:
    """Give the last chunk its columns."""
    if chunks and not chunks[-1].walked:
        for reading in sorted(ranks):
            chunks[-1].columns[reading] = len(chunks[-1].columns)
            chunks[-1].local[reading] = np.array(sorted(ranks[reading]), np.int64)


@dataclass(slots=True)
class _Selections:
    """Writes the selections of a chunk's trees; see `run_selections` for their words."""

    ensemble: TreeEnsemble
    sources: Sources
    chunk: Chunk
    slots_at: int
    words: list[list[int]] = field(default_factory=list)
    free: list[int] = field(default_factory=list)
    slots: int = 0
    leaves: dict[int, int] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)

    def add_tree(self, root: int, result: int) -> None:
        """Add one tree, whose leaf numbers go to the column at `result`."""
        self.leaves = {}
        self._measure(root)
        if self.ensemble.feature[root] < 0:
            self.words.append([0, *[CONSTANT_BYTES] * 3, *[0] * 11, result])
            return
        self._select(root, result)

    def _measure(self, root: int) -> None:
        """Number the leaves under a root and count those under every node."""
        order = [root]
        for node in order:
            if self.ensemble.feature[node] >= 0:
                order += [int(self.ensemble.left[node]), int(self.ensemble.right[node])]
            else:
                self.leaves[node] = len(self.leaves)
        for node in reversed(order):
            self.sizes[node] = (
                1
                if node in self.leaves
                else self.sizes[int(self.ensemble.left[node])]
                + self.sizes[int(self.ensemble.right[node])]
            )

    def _split(self, node: int) -> tuple[int, int]:
        """The column that a split reads, and the byte that it compares with."""
        reading = self.sources.readings[node]
        column = CONSTANT_BYTES + self.chunk.columns[reading] * BLOCK_ROWS
        return column, self.chunk.byte(reading, int(self.sources.ranks[node]))

    def _select(self, node: int, out: int | None = None) -> int:
        """Add the selections under a split; returns the offset of the column of leaf numbers."""
        column, byte = self._split(node)
        columns, thresholds = [column], [byte]
        results: list[int] = []
        for side in (int(self.ensemble.left[node]), int(self.ensemble.right[node])):
            if side in self.leaves:
                columns.append(column)
                thresholds.append(0)
                results += [side, side]
            else:
                side_column, side_byte = self._split(side)
                columns.append(side_column)
                thresholds.append(side_byte)
                results += [int(self.ensemble.left[side]), int(self.ensemble.right[side])]
        computed: dict[int, int] = {}
        for result in sorted(set(results), key=lambda held: (-self.sizes[held], held)):
            if result not in self.leaves:
                computed[result] = self._select(result)
        kind = 0 if not computed else 1 if len(computed) == 4 else 2
        operands, masks = [], []
        for result in results:
            if result in computed:
                operands.append(computed[result])
                masks.append(-1)
            else:
                number = self.leaves[result]
                operands.append(number if kind == 0 else number * STRIDE)
                masks.append(0)
        self.free += sorted(computed.values(), reverse=True)
        if out is None:
            if not self.free:
                self.free.append(self.slots_at + self.slots * BLOCK_ROWS)
                self.slots += 1
            out = self.free.pop()
        self.words.append([kind, *columns, *thresholds, *operands, *masks, out])
        return out


@dataclass(frozen=True, slots=True)
class _Tables:
    """What the kernel reads, in the order of its arguments."""

    settings: NDArray[np.float64]
    layout: NDArray[np.int64]
    sources: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    chunks: NDArray[np.int64]
    columns: NDArray[np.int64]
    tables: NDArray[np.uint8]
    trees: NDArray[np.int64]
    selections: NDArray[np.int32]
    walk_columns: NDArray[np.int64]
    walk_tables: NDArray[np.int32]
    nodes: NDArray[np.int32]
    values: NDArray[np.float64]
    values_single: NDArray[np.float32]
    node_values: NDArray[np.float64]
    node_values_single: NDArray[np.float32]


def kernel_settings(ensemble: TreeEnsemble) -> NDArray[np.float64]:
    """Precision, the largest value that counts as zero, and the base margin."""
    zero_max = 0.0 if ensemble.single else ZERO_MAX
    return np.array([ensemble.single, zero_max, ensemble.base_margin])


def column_tables(
    sources: Sources, chunks: list[Chunk]
) -> tuple[NDArray[np.int64], NDArray[np.uint8], list[int]]:
    """The byte columns of all chunks: sources and places of tables, tables, first of each chunk."""
    columns: list[tuple[int, int]] = []
    tables: list[NDArray[np.uint8]] = [np.empty(0, np.uint8)]
    firsts = []
    at = 0
    for chunk in chunks:
        firsts.append(len(columns))
        for reading in chunk.columns:
            columns.append((reading[0], at))
            tables.append(chunk.table(sources, reading))
            at += len(tables[-1])
    firsts.append(len(columns))
    return np.array(columns, np.int64).reshape(-1, 2), np.concatenate(tables), firsts


def walk_tables(
    ensemble: TreeEnsemble, sources: Sources
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Columns, tables and nodes for walking trees from the root."""
    readings = sorted(set(sources.readings) - {(-1, -1, -1)})
    place = {reading: column for column, reading in enumerate(readings)}
    columns = np.zeros((max(len(readings), 1), 2), np.int64)
    tables = [np.zeros(1, np.int32)]
    at = 1
    for column, reading in enumerate(readings):
        columns[column] = reading[0], at
        tables.append(sources.answers(reading).astype(np.int32))
        at += len(tables[-1])
    if not readings:
        columns = columns[:0]
    nodes = np.empty((len(ensemble.feature), 3), np.int32)
    for node, reading in enumerate(sources.readings):
        if ensemble.feature[node] < 0:
            nodes[node] = 0, np.iinfo(np.int32).max, node
        else:
            nodes[node] = place[reading], sources.ranks[node], ensemble.left[node]
    return columns, np.concatenate(tables), nodes


class TreeScorer:
    """Scores the rows of a matrix with a tree ensemble.

    The object is immutable and may be shared by threads; a call releases the GIL, so rows can be
    split over threads with `low` and `high`. The margin of a row depends on that row alone.

    Attributes:
        ensemble: the model.
    """

    def __init__(self, ensemble: TreeEnsemble) -> None:
        """Prepare the tables of an ensemble; takes about a tenth of a second for 10,000 splits."""
        self.ensemble = ensemble
        sources = read_sources(ensemble)
        leaves = np.array([ensemble.leaves(tree) for tree in range(ensemble.trees)], np.int64)
        chunks = cut_chunks(ensemble, sources, leaves > SELECT_LEAVES_MAX)
        columns, tables, firsts = column_tables(sources, chunks)
        widest = max((len(chunk.columns) for chunk in chunks), default=0)
        results = CONSTANT_BYTES + max(widest, 1) * BLOCK_ROWS
        slots_at = results + TREES_AT_ONCE * BLOCK_ROWS
        slots = 0
        words: list[list[int]] = []
        trees = np.zeros((ensemble.trees, 5), np.int64)
        values = [-0.0] * 256
        for chunk in chunks:
            writer = _Selections(ensemble, sources, chunk, slots_at, words)
            for tree in range(chunk.first, chunk.last):
                root = int(ensemble.tree_start[tree])
                trees[tree] = len(words), len(words), len(values), root, ensemble.depth(tree)
                if not chunk.walked:
                    place = (tree - chunk.first) % TREES_AT_ONCE
                    writer.add_tree(root, results + place * BLOCK_ROWS)
                    trees[tree, 1] = len(words)
                    values += [float(ensemble.value[leaf]) for leaf in writer.leaves]
            slots = max(slots, writer.slots)
        walk_columns, walk_codes, nodes = walk_tables(ensemble, sources)
        walked = any(chunk.walked for chunk in chunks)
        self._tables = _Tables(
            settings=kernel_settings(ensemble),
            layout=np.array([BLOCK_ROWS, slots_at + slots * BLOCK_ROWS, results, walked], np.int64),
            sources=sources.table,
            thresholds=sources.thresholds,
            chunks=np.array(
                [
                    (firsts[at], firsts[at + 1], chunk.first, chunk.last, chunk.walked)
                    for at, chunk in enumerate(chunks)
                ],
                np.int64,
            ).reshape(-1, 5),
            columns=columns,
            tables=tables,
            trees=trees,
            selections=np.array(words, np.int32).reshape(-1, SELECTION_WORDS),
            walk_columns=walk_columns,
            walk_tables=walk_codes,
            nodes=nodes,
            values=np.array(values, np.float64),
            values_single=np.array(values, np.float32),
            node_values=ensemble.value,
            node_values_single=ensemble.value.astype(np.float32),
        )
        held = self._tables
        self._arguments = tuple(getattr(held, name) for name in held.__slots__)

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
        elif out.dtype != np.float64 or out.ndim != 1 or len(out) < high - low:
            raise DataError(
                f"out is {out.dtype} {out.shape}; it must be float64 with {high - low} places"
            )
        score(X, rows_given, rows is not None, low, high, *(*self._arguments, out))
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


_ALL_ROWS: Final = np.empty(0, np.int64)


def check_matrix(
    ensemble: TreeEnsemble,
    X: NDArray[np.float64],
    rows: NDArray[np.int64] | None,
    low: int,
    high: int | None,
) -> tuple[int, int, NDArray[np.int64]]:
    """Check what a kernel is about to read, and say which rows it is to read.

    Returns:
        The first row, one past the last, and the row numbers (empty for all rows).

    Raises:
        DataError: a shape, type or layout that the kernel cannot read, or a row that is not there.
    """
    if X.dtype != np.float64 or X.ndim != 2 or not X.flags.c_contiguous:
        raise DataError(
            f"X is {X.dtype} with {X.ndim} axes; it must be a C-contiguous float64 matrix "
            "[features, rows]: np.ascontiguousarray(table.T, np.float64)"
        )
    if X.shape[0] != ensemble.features:
        raise DataError(
            f"X has {X.shape[0]} features (its rows), the model {ensemble.features}: "
            f"{', '.join(ensemble.feature_names[:8])}{', ...' if ensemble.features > 8 else ''}"
        )
    places = X.shape[1]
    if rows is not None:
        if rows.dtype != np.int64 or rows.ndim != 1 or not rows.flags.c_contiguous:
            raise DataError(f"rows is {rows.dtype} with {rows.ndim} axes; it must be int64 [n]")
        if len(rows) and (rows.min() < 0 or rows.max() >= places):
            raise DataError(f"rows goes from {rows.min()} to {rows.max()}; X has {places} rows")
        places = len(rows)
    end = places if high is None else high
    if not 0 <= low <= end <= places:
        raise DataError(f"rows {low} to {end} were asked for; there are {places}")
    return low, end, _ALL_ROWS if rows is None else rows
