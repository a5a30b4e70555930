"""Stability: how far two distributions are apart, of a score or of what an applicant is.

The index of a score is called the population stability index, that of a feature the characteristic
stability index; they are one sum, `(after - before) * log(after / before)` over bins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

#: Below the first, an index is commonly read as stable; from the second on, as another population.
MOVED, ANOTHER = 0.1, 0.25


def stability_index(expected: Floats, found: Floats, bins: int = 10) -> float:
    """The population stability index: how far two distributions are apart.

    Bins hold about equal shares of `expected`; those that are missing (NaN) are a bin of their own;
    a bin that is empty counts as half an event.

    >>> even = np.arange(1000.0)
    >>> stability_index(even, even)
    0.0
    >>> stability_index(even, even + 500) > 0.25
    True
    """
    known = expected[~np.isnan(expected)]
    inner = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    edges = np.unique(np.quantile(known, inner)) if len(known) else np.zeros(0)
    before, after = (_shares(values, edges) for values in (expected, found))
    return float(np.sum((after - before) * np.log(after / before)))


def _shares(values: Floats, edges: Floats) -> Floats:
    place = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))
    count = np.bincount(place, minlength=len(edges) + 2).astype(np.float64)
    shares: Floats = np.maximum(count, 0.5) / len(values)
    return shares


def stability_over_time(
    columns: Mapping[str, Floats], period: NDArray[np.int64], first: int
) -> dict[str, list[float]]:
    """The index of each column in each period, against the periods before `first` together.

    Args:
        columns: float64[n] by name, NaN missing: a score, or characteristics.
        period: Of each row, from 0.
        first: The first period that is compared.

    Returns:
        For each column its index in periods `first`, `first + 1`, ...; NaN where a period is empty.
    """
    reference = period < first
    last = int(period.max())
    return {
        name: [
            stability_index(values[reference], values[period == number])
            if (period == number).any()
            else float("nan")
            for number in range(first, last + 1)
        ]
        for name, values in columns.items()
    }


def read_as(index: float) -> str:
    """The usual words for an index."""
    if index < MOVED:
        return "stable"
    return "moved" if index < ANOTHER else "another population"
