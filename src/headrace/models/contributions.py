"""Exact Shapley contributions of features to a tree ensemble's margin (path-dependent TreeSHAP).

What a leaf adds to a feature depends on a row only through which splits of its path the row
passes. So every tree is cut into units: leaves whose paths have at most eight splits together. For
each of the answers that a row can give to a unit's splits, the contributions of its leaves are
added up in advance; a row then costs a byte of answers and a few vector additions for each unit.

Trees with a path of more than eight splits, or whose tables would not fit the stated bound, take
an exact but slower way, path by path. `ContributionScorer.walked_trees` counts them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from headrace.models import scorer_kernels as slots
from headrace.models.contributions_kernels import build_tables
from headrace.models.matrix import check_matrix
from headrace.models.quadrature import gauss_legendre
from headrace.models.scorer import plan_margins
from headrace.models.scorer_kernels import COLUMN_BYTES, CONSTANT_BYTES
from headrace.models.scoring_plan import NO_MARGINS, ScoringPlan
from headrace.models.sources import Chunk, Sources, column_tables, cut_chunks, read_sources
from headrace.models.vector_kernels import ADDITION_WORDS, ANSWER_WORDS, UNIT_SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.models.ensemble import TreeEnsemble
    from headrace.models.scorer import TreeScorer

#: Bytes that the tables of one model may take; trees beyond it are explained path by path.
TABLE_BYTES_MAX: Final = 128 * 2**20

#: Units whose answers are held at a time.
_BATCH_UNITS: Final = 32

_VECTOR_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A leaf with the splits above it: nodes, and whether the path goes right there."""

    value: float
    path: tuple[tuple[int, bool], ...]
    ratios: dict[int, float]


@dataclass(slots=True)
class _Unit:
    """Leaves whose paths have few splits together."""

    splits: dict[int, int] = field(default_factory=dict)
    leaves: list[_Leaf] = field(default_factory=list)

    def takes(self, leaf: _Leaf) -> bool:
        """Add a leaf if its splits still fit."""
        added = [node for node, _ in leaf.path if node not in self.splits]
        if len(self.splits) + len(added) > UNIT_SPLITS:
            return False
        for node in added:
            self.splits[node] = len(self.splits)
        self.leaves.append(leaf)
        return True

    def groups(self, place: dict[int, tuple[int, int]]) -> list[int]:
        """The groups of features that the unit's leaves speak of."""
        return sorted({place[feature][0] for leaf in self.leaves for feature in leaf.ratios})


def cover_ratio(ensemble: TreeEnsemble, parent: int, child: int) -> float:
    """The share of a split's training rows that went to one child.

    Where no weight came to a split at all, its children count as equally likely.
    """
    cover = float(ensemble.cover[parent])
    return float(ensemble.cover[child]) / cover if cover > 0 else 0.5


def _leaves(ensemble: TreeEnsemble, tree: int) -> list[_Leaf]:
    """The leaves of a tree from left to right, each with its path."""
    leaves = []
    todo: list[tuple[int, tuple[tuple[int, bool], ...], dict[int, float]]] = [
        (int(ensemble.tree_start[tree]), (), {})
    ]
    while todo:
        node, path, ratios = todo.pop()
        feature = int(ensemble.feature[node])
        if feature < 0:
            leaves.append(_Leaf(float(ensemble.value[node]), path, ratios))
            continue
        for child, right in ((int(ensemble.right[node]), True), (int(ensemble.left[node]), False)):
            ratio = ratios.get(feature, 1.0) * cover_ratio(ensemble, node, child)
            todo.append((child, (*path, (node, right)), {**ratios, feature: ratio}))
    return leaves


def _units(leaves: list[_Leaf]) -> list[_Unit]:
    """Cut a tree's leaves, from left to right, into units."""
    units: list[_Unit] = []
    for leaf in leaves:
        if not leaf.path:
            continue
        if not units or not units[-1].takes(leaf):
            units.append(_Unit())
            units[-1].takes(leaf)
    return units


def _expected(ensemble: TreeEnsemble, leaves: list[list[_Leaf]]) -> float:
    """The margin to expect of a row of which nothing is known."""
    total = ensemble.base_margin
    for tree in leaves:
        for leaf in tree:
            share = 1.0
            for ratio in leaf.ratios.values():
                share *= ratio
            total += leaf.value * share
    return total


def _places(units: list[list[_Unit]], lanes: int) -> dict[int, tuple[int, int]]:
    """Give every feature a lane of a group; those that units use most stand together."""
    uses: dict[int, int] = {}
    for tree in units:
        for unit in tree:
            for feature in {feature for leaf in unit.leaves for feature in leaf.ratios}:
                uses[feature] = uses.get(feature, 0) + 1
    order = sorted(uses, key=lambda feature: (-uses[feature], feature))
    return {feature: divmod(place, lanes) for place, feature in enumerate(order)}


@dataclass(slots=True)
class _UnitTables:
    """The arrays that `build_tables` reads, as they grow unit by unit."""

    place: dict[int, tuple[int, int]]
    units: list[tuple[int, int, int, int]] = field(default_factory=list)
    leaves: list[tuple[int, int]] = field(default_factory=list)
    entries: list[tuple[int, int, int, int]] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    vectors: int = 0

    def add(self, unit: _Unit, feature_of: NDArray[np.int32]) -> dict[int, int]:
        """Add a unit; returns the byte offset of the table of each of its groups."""
        groups = unit.groups(self.place)
        first = len(self.leaves)
        for leaf in unit.leaves:
            entry = len(self.entries)
            for feature, ratio in leaf.ratios.items():
                group, lane = self.place[feature]
                matter = wanted = 0
                for node, right in leaf.path:
                    if feature_of[node] == feature:
                        matter |= 1 << unit.splits[node]
                        wanted |= right << unit.splits[node]
                self.entries.append((groups.index(group), lane, matter, wanted))
                self.ratios.append(ratio)
            self.leaves.append((entry, len(self.entries)))
            self.values.append(leaf.value)
        answers = 1 << len(unit.splits)
        self.units.append((first, len(self.leaves), len(unit.splits), self.vectors))
        offsets = {
            group: (self.vectors + at * answers) * _VECTOR_BYTES for at, group in enumerate(groups)
        }
        self.vectors += len(groups) * answers
        return offsets

    def build(self, lanes: int) -> NDArray[np.float64]:
        """Add up the tables."""
        points, weights = gauss_legendre(UNIT_SPLITS // 2)
        tables = np.zeros(self.vectors * lanes)
        build_tables(
            _table(self.units, 4),
            _table(self.leaves, 2),
            _table(self.entries, 4),
            np.array(self.values, np.float64),
            np.array(self.ratios, np.float64),
            lanes,
            np.array(points),
            np.array(weights),
            tables,
        )
        return tables


def _table(rows: list[Any], width: int) -> NDArray[np.int64]:
    """Rows of whole numbers as an array."""
    return np.array(rows, np.int64).reshape(-1, width)


@dataclass(slots=True)
class _Paths:
    """The arrays that `walk_paths` reads."""

    trees: list[tuple[int, ...]] = field(default_factory=list)
    leaves: list[tuple[int, int]] = field(default_factory=list)
    entries: list[tuple[int, int, int]] = field(default_factory=list)
    splits: list[tuple[int, int]] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    points: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    rules: dict[int, tuple[int, int]] = field(default_factory=dict)
    nodes_max: int = 0
    room_max: int = 0

    def add(self, ensemble: TreeEnsemble, tree: int, leaves: list[_Leaf]) -> None:
        """Add a tree, with a quadrature that is exact for its longest path."""
        root, end = (int(node) for node in ensemble.tree_start[tree : tree + 2])
        features = max(len(leaf.ratios) for leaf in leaves)
        count = (features + 1) // 2
        if count not in self.rules:
            points, weights = gauss_legendre(count)
            self.rules[count] = len(self.points), len(self.points) + count
            self.points += points
            self.weights += weights
        first = len(self.leaves)
        for leaf in leaves:
            entry = len(self.entries)
            for feature, ratio in leaf.ratios.items():
                split = len(self.splits)
                self.splits += [
                    (node, right) for node, right in leaf.path if ensemble.feature[node] == feature
                ]
                self.entries.append((feature, split, len(self.splits)))
                self.ratios.append(ratio)
            self.leaves.append((entry, len(self.entries)))
            self.values.append(leaf.value)
        self.trees.append((root, end, first, len(self.leaves), *self.rules[count]))
        self.nodes_max = max(self.nodes_max, end - root)
        self.room_max = max(self.room_max, count + features)

    def plan(self, plan: ScoringPlan, features: int) -> None:
        """Put the arrays in a plan."""
        plan.number(slots.PATH_COUNT, len(self.trees))
        plan.some_paths = bool(self.trees)
        plan.hold(slots.PATHS, _table(self.trees, 6))
        plan.hold(slots.PATH_LEAVES, _table(self.leaves, 2))
        plan.hold(slots.PATH_ENTRIES, _table(self.entries, 3))
        plan.hold(slots.PATH_SPLITS, _table(self.splits, 2))
        plan.hold(slots.PATH_VALUES, np.array(self.values, np.float64))
        plan.hold(slots.PATH_RATIOS, np.array(self.ratios, np.float64))
        plan.hold(slots.POINTS, np.array(self.points, np.float64))
        plan.hold(slots.WEIGHTS, np.array(self.weights, np.float64))
        plan.room(slots.PASSED_AT, self.nodes_max)
        plan.room(slots.PRODUCTS_AT, 8 * self.room_max)
        plan.room(slots.FOUND_AT, 8 * features)


def _share_trees(leaves: list[list[_Leaf]], lanes: int) -> list[list[_Unit]]:
    """Cut the trees into units; a tree that takes the slower way has none."""
    units: list[list[_Unit]] = []
    for tree in leaves:
        short = max(len(leaf.path) for leaf in tree) <= UNIT_SPLITS
        units.append(_units(tree) if short else [])
    place = _places(units, lanes)
    taken = 0
    for number, mine in enumerate(units):
        room = sum(_VECTOR_BYTES * len(unit.groups(place)) << len(unit.splits) for unit in mine)
        if taken + room > TABLE_BYTES_MAX:
            units[number] = []
        else:
            taken += room
    return units


class ContributionScorer:
    """Says exactly what each feature of a row contributed to its margin.

    The object is immutable and may be shared by threads; a call releases the GIL. The
    contributions of a row depend on that row alone. Contributions of a row and the expected value
    add up to the margin, up to rounding: sums are float32 for XGBoost and float64 for LightGBM,
    as in the libraries.

    Attributes:
        ensemble: the model.
        walked_trees: how many trees are explained path by path, exactly but slower.
        table_bytes: the size of the tables of all other trees.
        expected: the margin to expect of a row of which nothing is known.
    """

    def __init__(self, ensemble: TreeEnsemble, scorer: TreeScorer | None = None) -> None:
        """Build the tables of an ensemble.

        Args:
            ensemble: the model.
            scorer: the scorer of the same ensemble, whose tables then are not built again.
        """
        self.ensemble = ensemble
        lanes = 8 if ensemble.single else 4
        leaves = [_leaves(ensemble, tree) for tree in range(ensemble.trees)]
        self.expected = _expected(ensemble, leaves)
        units = _share_trees(leaves, lanes)
        place = _places(units, lanes)
        sources = read_sources(ensemble)
        self._plan = scorer.plan.copy() if scorer else plan_margins(ensemble, sources)
        self._plan.real(slots.EXPECTED, self.expected)
        without = np.array([not mine for mine in units], np.bool_)
        chunks = [chunk for chunk in cut_chunks(ensemble, sources, without) if not chunk.walked]
        schedule = _Schedule(sources, ensemble, _UnitTables(place))
        self.table_bytes = self._plan_units(chunks, units, schedule)
        paths = _Paths()
        for tree, mine in enumerate(units):
            if not mine and any(leaf.path for leaf in leaves[tree]):
                paths.add(ensemble, tree, leaves[tree])
        paths.plan(self._plan, ensemble.features)
        self.walked_trees = len(paths.trees)

    def _plan_units(
        self, chunks: list[Chunk], units: list[list[_Unit]], schedule: _Schedule
    ) -> int:
        """Put the tables of all units in the plan; returns their size."""
        plan, lanes = self._plan, 8 if self.ensemble.single else 4
        place = schedule.built.place
        columns, tables, firsts = column_tables(schedule.sources, chunks)
        spans = []
        for at, chunk in enumerate(chunks):
            mine = [unit for tree in units[chunk.first : chunk.last] for unit in tree]
            spans.append((firsts[at], firsts[at + 1], *schedule.add(chunk, mine)))
        held = schedule.built.build(lanes).astype(plan.precision)
        places = np.full((self.ensemble.features, 2), -1, np.int64)
        for feature, at_place in place.items():
            places[feature] = at_place
        groups = -(-len(place) // lanes)
        plan.number(slots.UNIT_CHUNK_COUNT, len(spans))
        plan.number(slots.GROUP_COUNT, groups)
        plan.hold(slots.UNIT_CHUNKS, _table(spans, 4))
        plan.hold(slots.UNIT_COLUMNS, columns)
        plan.hold(slots.UNIT_TABLES, tables)
        plan.hold(slots.UNIT_WORDS, np.array(schedule.words, np.int32).reshape(-1, ANSWER_WORDS))
        plan.hold(slots.BATCHES, _table(schedule.batches, 4))
        plan.hold(slots.ADDITIONS, _table(schedule.additions, ADDITION_WORDS))
        plan.hold(slots.CONTRIBUTIONS, held)
        plan.hold(slots.PLACES, places)
        widest = max((len(chunk.columns) for chunk in chunks), default=0)
        plan.arena(CONSTANT_BYTES + max(widest, 1) * COLUMN_BYTES)
        plan.room(slots.ANSWERS_AT, _BATCH_UNITS * COLUMN_BYTES)
        plan.room(slots.VECTORS_AT, groups * COLUMN_BYTES * _VECTOR_BYTES)
        return held.nbytes

    def contributions(
        self,
        X: NDArray[np.float64],
        *,
        rows: NDArray[np.int64] | None = None,
        low: int = 0,
        high: int | None = None,
    ) -> NDArray[np.float64]:
        """What each feature contributed to the margin of each row.

        Args:
            X: float64 `[features, rows]`, C-contiguous; NaN is missing.
            rows: int64 row numbers to explain, in this order; all rows if absent.
            low: the first row (or place in `rows`) to explain.
            high: one past the last; the end if absent.

        Returns:
            float64 `[features + 1, high - low]`; the last row is the expected value.

        Raises:
            DataError: `X` or `rows` has another shape, type or layout.
        """
        low, high, rows_given = check_matrix(self.ensemble, X, rows, low, high)
        out = np.empty((self.ensemble.features + 1, high - low))
        self._plan.run(X, rows_given, low, high, NO_MARGINS, out)
        return out

    def explain(
        self,
        X: NDArray[np.float64],
        *,
        rows: NDArray[np.int64] | None = None,
        low: int = 0,
        high: int | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Margins and contributions together, which reads each row once.

        Args:
            X: float64 `[features, rows]`, C-contiguous; NaN is missing.
            rows: int64 row numbers to explain, in this order; all rows if absent.
            low: the first row (or place in `rows`) to explain.
            high: one past the last; the end if absent.

        Returns:
            What `TreeScorer.margins` and `contributions` return, in every bit.

        Raises:
            DataError: `X` or `rows` has another shape, type or layout.
        """
        low, high, rows_given = check_matrix(self.ensemble, X, rows, low, high)
        margins = np.empty(high - low)
        out = np.empty((self.ensemble.features + 1, high - low))
        self._plan.run(X, rows_given, low, high, margins, out)
        return margins, out


@dataclass(slots=True)
class _Schedule:
    """Which units are answered together, and which tables are then added."""

    sources: Sources
    ensemble: TreeEnsemble
    built: _UnitTables
    words: list[list[int]] = field(default_factory=list)
    batches: list[tuple[int, int, int, int]] = field(default_factory=list)
    additions: list[list[int]] = field(default_factory=list)

    def add(self, chunk: Chunk, units: list[_Unit]) -> tuple[int, int]:
        """Add the units of a chunk; returns its first batch and one past its last."""
        first_batch = len(self.batches)
        for start in range(0, len(units), _BATCH_UNITS):
            batch = units[start : start + _BATCH_UNITS]
            first_unit, first_addition = len(self.words), len(self.additions)
            by_group: dict[int, list[tuple[int, int]]] = {}
            for slot, unit in enumerate(batch):
                self.words.append(self._answers(chunk, unit))
                for group, offset in self.built.add(unit, self.ensemble.feature).items():
                    by_group.setdefault(group, []).append((offset, slot))
            for group in sorted(by_group):
                self._add_group(group, by_group[group])
            self.batches.append((first_unit, len(self.words), first_addition, len(self.additions)))
        return first_batch, len(self.batches)

    def _add_group(self, group: int, tables: list[tuple[int, int]]) -> None:
        """Add the tables of one group, four at a time and the rest one by one."""
        fours = len(tables) // 4 * 4
        for at in range(0, fours, 4):
            offsets, slots = zip(*tables[at : at + 4], strict=True)
            self.additions.append([group, 4, *offsets, *slots])
        for offset, slot in tables[fours:]:
            self.additions.append([group, 1, *[offset] * 4, *[slot] * 4])

    def _answers(self, chunk: Chunk, unit: _Unit) -> list[int]:
        """The words of a unit's splits; see `answer_units`."""
        columns, thresholds, bits = [CONSTANT_BYTES] * 8, [0] * 8, [0] * 8
        for node, bit in unit.splits.items():
            reading = self.sources.readings[node]
            columns[bit] = CONSTANT_BYTES + chunk.columns[reading] * COLUMN_BYTES
            thresholds[bit] = chunk.byte(reading, int(self.sources.ranks[node]))
            bits[bit] = 1 << bit
        return columns + thresholds + bits
