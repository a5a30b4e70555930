"""A histogram that is filled a batch at a time."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.columns import Floats


@dataclass(frozen=True, slots=True)
class Counts:
    """What a histogram holds at one moment.

    Attributes:
        bounds: Upper bounds of its buckets, ascending; what is above the last has one more.
        buckets: How many values fell into each.
        total: The sum of all values.
    """

    bounds: tuple[float, ...]
    buckets: tuple[int, ...]
    total: float


class Histogram:
    """Counts values by buckets, each of which holds its upper bound.

    One thread adds; others may read at any time.

    Args:
        bounds: Upper bounds of the buckets, ascending.

    >>> lengths = Histogram((1.0, 10.0))
    >>> lengths.add([0.5, 1.0, 7.0, 70.0])
    >>> lengths.counts().buckets
    (2, 1, 1)
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._named = tuple(bounds)
        self._bounds = np.array(bounds, dtype=np.float64)
        self._buckets = [0] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, values: Sequence[float] | Floats) -> None:
        """Count values."""
        places = np.searchsorted(self._bounds, values)
        found = np.bincount(places, minlength=len(self._buckets))
        self._buckets = [
            held + more for held, more in zip(self._buckets, found.tolist(), strict=True)
        ]
        self._total += float(np.sum(values))

    def add_one(self, value: float) -> None:
        """Count one value."""
        self._buckets[bisect_left(self._named, value)] += 1
        self._total += value

    def counts(self) -> Counts:
        """What was counted so far."""
        return Counts(self._named, tuple(self._buckets), self._total)
