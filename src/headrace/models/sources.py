"""The features that a model's splits read, as codes, and as the bytes that splits compare.

A feature's value is coded by its rank among the thresholds of the model (or by its category). A
byte column holds, for one run of trees and one rule for missing values, the rank among the
thresholds of that run alone, so that every split of it is a comparison of bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from headrace.models.ensemble import Missing, TreeEnsemble

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Thresholds of one feature that ranks of a byte can tell apart.
_RANKS_MAX: Final = 255

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
