"""Proof, from the trees themselves, that a margin never moves against what was declared.

A model was fitted under constraints; whether the file keeps to them does not rest on the library's
word. Two rows that differ in one feature alone part ways at a split on that feature. So a tree is
non-decreasing in it if, at each such split, no leaf below its left side is greater than a leaf
below its right side, of those pairs whose conditions on all other features can hold together. The
sum of such trees is non-decreasing too, in floats as well: adding and rounding keep order.

Missing is no value and is left out (and so is zero where a model takes it for missing): what it
does to a margin is not constrained.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from headrace.models.ensemble import Missing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from headrace.core.columns import Floats
    from headrace.models.ensemble import TreeEnsemble

_LEFT = (Missing.LEFT, Missing.LEFT_WITH_ZERO)


@dataclass(frozen=True, slots=True)
class _Box:
    """What the path to a node asks of a row: low <= value < high, or whether it may be missing."""

    low: Floats
    high: Floats
    missing: NDArray[np.bool_]

    def side(self, ensemble: TreeEnsemble, node: int, *, right: bool) -> _Box:
        """The box of one side of a split."""
        feature = int(ensemble.feature[node])
        threshold = float(ensemble.threshold[node])
        kind = int(ensemble.missing[node])
        goes_right = threshold <= 0.0 if kind == Missing.AS_ZERO else kind not in _LEFT
        missing = self.missing.copy()
        missing[feature] &= goes_right == right
        if ensemble.category_set[node] >= 0:
            return replace(self, missing=missing)  # which can only add pairs
        low, high = self.low.copy(), self.high.copy()
        if right:
            low[feature] = max(low[feature], threshold)
        else:
            high[feature] = min(high[feature], threshold)
        return _Box(low, high, missing)


@dataclass(slots=True)
class _Leaves:
    """The leaves of one tree from left to right, and for each split where its sides begin."""

    ensemble: TreeEnsemble
    boxes: list[_Box] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    splits: list[tuple[int, int, int, int]] = field(default_factory=list)

    def walk(self, node: int, box: _Box) -> None:
        """Gather the leaves below a node."""
        ensemble = self.ensemble
        if ensemble.feature[node] < 0:
            self.boxes.append(box)
            self.values.append(float(ensemble.value[node]))
            return
        first = len(self.boxes)
        self.walk(int(ensemble.left[node]), box.side(ensemble, node, right=False))
        middle = len(self.boxes)
        self.walk(int(ensemble.right[node]), box.side(ensemble, node, right=True))
        self.splits.append((int(ensemble.feature[node]), first, middle, len(self.boxes)))

    def breaks(self, feature: int, sign: int) -> bool:
        """Whether two rows that differ in `feature` alone may come out against `sign`."""
        low = np.array([box.low for box in self.boxes])
        high = np.array([box.high for box in self.boxes])
        missing = np.array([box.missing for box in self.boxes])
        values = sign * np.array(self.values)
        present = low[:, feature] < high[:, feature]
        for split, first, middle, last in self.splits:
            if split != feature:
                continue
            below, above = slice(first, middle), slice(middle, last)
            meet = np.maximum(low[below, None], low[None, above]) < np.minimum(
                high[below, None], high[None, above]
            )
            meet |= missing[below, None] & missing[None, above]
            meet[:, :, feature] = True
            pairs = meet.all(axis=2) & present[below, None] & present[None, above]
            if (pairs & (values[below, None] > values[None, above])).any():
                return True
        return False


def violations(ensemble: TreeEnsemble, monotone: Mapping[str, int]) -> dict[str, int]:
    """How many trees are not shown to keep to each declared direction; empty when all are.

    Args:
        ensemble: The model.
        monotone: 1 (the margin never falls as the feature grows) or -1 (never rises), by feature.

    Returns:
        Features with a pair of leaves that breaks the direction, and in how many trees. Sets of
        categories are not told apart, so a pair may count that no row can make.
    """
    found: dict[str, int] = {}
    count = ensemble.features
    least = -np.finfo(np.float64).max
    whole = _Box(np.full(count, least), np.full(count, np.inf), np.ones(count, bool))
    for tree in range(ensemble.trees):
        leaves = _Leaves(ensemble)
        leaves.walk(int(ensemble.tree_start[tree]), whole)
        asked = {split for split, *_ in leaves.splits}
        for name, sign in monotone.items():
            feature = ensemble.feature_names.index(name)
            if feature in asked and leaves.breaks(feature, sign):
                found[name] = found.get(name, 0) + 1
    return found
