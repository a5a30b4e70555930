"""Moves over a horizon, and the classes that they are labelled with.

A label is settled at the end of its horizon: an event may be learned from by a model that goes to
work later than that, and by no other (`headrace.lifecycle.folds`). The threshold is set on the
training fold alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Floats, Int64s

UP, FLAT, DOWN = range(3)
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Moves:
    """How a value moved from each event to its horizon.

    Attributes:
        size: The value at the horizon less the value now; NaN where either is missing, or the
            history ends before the horizon.
        settled_ns: When the horizon was reached; the last representable time where it was not.
    """

    size: Floats
    settled_ns: Int64s


def moves(
    value: Floats, at_ns: Int64s, key: Int64s, *, after_ns: int = 0, events: int = 0
) -> Moves:
    """The moves of a value, for series told apart by a key.

    Args:
        value: Of each event, NaN where missing.
        at_ns: When each was.
        key: A number for each series; events of one are put in order of (time, place).
        after_ns: The horizon in time: the value then is that of the last event until then, once
            the series has gone on to that time or past it.
        events: The horizon in events of the series, where `after_ns` is 0.

    >>> found = moves(np.array([1.0, 3.0, 2.0]), np.array([0, 5, 9]), np.zeros(3, int), after_ns=5)
    >>> found.size.tolist(), found.settled_ns[:2].tolist()
    ([2.0, nan, nan], [5, 9223372036854775807])
    >>> moves(np.array([1.0, 3.0, 2.0]), np.array([0, 5, 9]), np.zeros(3, int), events=2).size[0]
    np.float64(1.0)
    """
    size = np.full(len(value), np.nan)
    settled = np.full(len(value), _NEVER)
    order = np.lexsort((np.arange(len(at_ns)), at_ns, key))
    edges = np.flatnonzero(np.diff(key[order], prepend=np.nan, append=np.nan))
    for first, last in pairwise(edges):
        rows = order[first:last]
        at = at_ns[rows]
        if after_ns:
            target = np.searchsorted(at, at + after_ns, side="right") - 1
            there = at + after_ns <= at[-1]
            ends = at + after_ns
        else:
            target = np.minimum(np.arange(len(rows)) + events, len(rows) - 1)
            there = np.arange(len(rows)) + events < len(rows)
            ends = at[target]
        size[rows[there]] = value[rows[target[there]]] - value[rows[there]]
        settled[rows[there]] = ends[there]
    return Moves(size, settled)


def threshold_of(size: Floats, flat: float) -> float:
    """The size of a move that the share `flat` of these stays at or under.

    Raises:
        DataError: When there are no moves.

    >>> threshold_of(np.array([-3.0, -1.0, 0.0, 1.0, 2.0, 4.0]), 0.5)
    1.0
    """
    there = np.abs(size[~np.isnan(size)])
    if len(there) == 0:
        raise DataError(
            "no move of the training fold reaches its horizon; give a longer history, or a shorter"
            " horizon"
        )
    return float(np.quantile(there, flat, method="lower"))


def classes_of(size: Floats, threshold: float) -> NDArray[np.int8]:
    """Up, flat or down; -1 where the move is missing.

    >>> classes_of(np.array([2.0, -1.0, -1.5, np.nan]), 1.0).tolist()
    [0, 1, 2, -1]
    """
    found = np.full(len(size), FLAT, dtype=np.int8)
    found[size > threshold] = UP
    found[size < -threshold] = DOWN
    found[np.isnan(size)] = -1
    return found
