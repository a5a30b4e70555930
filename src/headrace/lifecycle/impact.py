"""Impact: how often each group of a protected attribute is approved, against the best.

The adverse impact ratio of a group is its rate of approval over the highest of any group. Below
four fifths, selection is commonly looked into (29 CFR 1607.4 D). A protected attribute is read here
to measure, and by no feature and no rule.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Below this ratio selection is looked into (29 CFR 1607.4 D).
FOUR_FIFTHS = 0.8
#: Groups of fewer are shown, and neither the best nor the worst: their rates say little.
LEAST = 50


@dataclass(frozen=True, slots=True)
class Group:
    """One group of a protected attribute.

    Attributes:
        name: The attribute's value, or the band of its values.
        count: Applications.
        approved: Of them, those approved.
    """

    name: str
    count: int
    approved: int

    @property
    def rate(self) -> float:
        """The share that is approved."""
        return self.approved / self.count


@dataclass(frozen=True, slots=True)
class Impact:
    """What decisions did to the groups of one attribute.

    Attributes:
        attribute: Its name.
        groups: By name.
    """

    attribute: str
    groups: tuple[Group, ...]

    @property
    def compared(self) -> tuple[Group, ...]:
        """The groups that are large enough, lowest rate first."""
        large = [group for group in self.groups if group.count >= LEAST]
        return tuple(sorted(large, key=lambda group: group.rate))

    @property
    def worst(self) -> Group:
        """The group with the lowest rate."""
        return self.compared[0]

    @property
    def best(self) -> Group:
        """The group with the highest rate."""
        return self.compared[-1]

    @property
    def ratio(self) -> float:
        """The adverse impact ratio of the worst group; 1 where nobody is approved."""
        return self.worst.rate / self.best.rate if self.best.approved else 1.0

    @property
    def difference(self) -> float:
        """The highest rate of approval less the lowest."""
        return self.best.rate - self.worst.rate

    @property
    def error(self) -> float:
        """The standard error of the ratio, groups taken as independent (delta method)."""
        parts = [
            (1.0 - group.rate) / (group.rate * group.count)
            for group in (self.worst, self.best)
            if group.approved
        ]
        return self.ratio * float(np.sqrt(sum(parts)))


def impact(
    approved: NDArray[np.bool_], groups: Sequence[str] | NDArray[np.str_], attribute: str
) -> Impact:
    """Count approvals by group.

    Args:
        approved: Of each application.
        groups: The group of each.
        attribute: What the groups are of.

    Raises:
        DataError: When fewer than two groups are large enough to be compared.

    >>> said = impact(np.arange(200) % 4 > 0, np.repeat(["a", "b"], 100), "sex")
    >>> said.ratio, said.difference
    (1.0, 0.0)
    """
    named = np.asarray(groups, dtype=np.str_)
    names, place = np.unique(named, return_inverse=True)
    count = np.bincount(place, minlength=len(names))
    yes = np.bincount(place, weights=approved, minlength=len(names))
    found = Impact(
        attribute,
        tuple(
            Group(str(name), int(all_), int(some))
            for name, all_, some in zip(names, count, yes, strict=True)
        ),
    )
    if len(found.compared) < 2:
        sizes = ", ".join(f"{group.name} {group.count:,}" for group in found.groups)
        raise DataError(
            f"{attribute!r} has no two groups of {LEAST} or more applications ({sizes}):"
            " give a longer history, or wider bands"
        )
    return found


def bands(values: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.str_]:
    """The band of each value; a missing one is "not known".

    Args:
        values: float64[n], NaN missing.
        edges: Ascending; each is the first value of the band above it.

    >>> bands(np.array([18.0, 62.0, np.nan]), (30, 62)).tolist()
    ['under 30', '62 and over', 'not known']
    """
    names = [
        f"under {edges[0]:g}",
        *(f"{low:g} to under {high:g}" for low, high in itertools.pairwise(edges)),
        f"{edges[-1]:g} and over",
        "not known",
    ]
    place = np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="right")
    place = np.where(np.isnan(values), len(names) - 1, place)
    return np.array(names)[place]
