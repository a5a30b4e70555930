"""The known order of finished history: in which order a lane learns the rows of several sources.

Rows are known when their `KnownAt` says so; without one, at their event time plus what the stream
assumes of arrival (`arrives_after`). Rows known at the same time go by event time, then by the
stream's rank in the definition, then by their position in the source. So the order is total, and
no sorting can change it.

Live sources need none of this: their order is the order of arrival.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import invariant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Bytes, Int64s

_LATEST = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Times:
    """When rows of one stream happened and were known, in the order of their source.

    Attributes:
        rank: The stream's place in the definition.
        at: Event times, nanoseconds since 1970.
        known: When each was known, likewise; see `known_times`.
        positions: Places in the source, ascending where both times tie.
    """

    rank: int
    at: Int64s
    known: Int64s
    positions: Int64s

    def __len__(self) -> int:
        return len(self.at)

    def slice(self, start: int, stop: int) -> Times:
        """The rows from `start` to before `stop`."""
        part = slice(start, stop)
        return Times(self.rank, self.at[part], self.known[part], self.positions[part])

    @staticmethod
    def of(rank: int, at: Int64s, known: Int64s, first: int = 0) -> Times:
        """Rows that stand one after the other in their source, the first at `first`."""
        return Times(rank, at, known, np.arange(first, first + len(at), dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Ordered:
    """Rows of several streams in known order.

    Attributes:
        ranks: Which stream each row is of, uint16.
        positions: Where it stands in that stream's source, int64.
        known: When it was known, nanoseconds since 1970.
    """

    ranks: NDArray[np.uint16]
    positions: Int64s
    known: Int64s

    def __len__(self) -> int:
        return len(self.ranks)


def known_times(at: Int64s, known: Int64s, valid: Bytes, arrives_after_ns: int) -> Int64s:
    """When each row was known: as it says itself, or else its event time plus the assumed delay.

    A sum beyond the last nanosecond is the last nanosecond.

    >>> both = np.array([5, 5]), np.array([9, 0]), np.array([1, 0], dtype=np.uint8)
    >>> known_times(*both, arrives_after_ns=2).tolist()
    [9, 7]
    """
    invariant(arrives_after_ns >= 0, "nothing arrives before it happens")
    assumed = np.where(at > _LATEST - arrives_after_ns, _LATEST - arrives_after_ns, at)
    return np.where(valid != 0, known, assumed + arrives_after_ns)


def is_ordered(times: Times) -> bool:
    """Whether the rows of one stream already stand in known order.

    >>> is_ordered(Times.of(0, np.array([3, 1]), np.array([4, 4])))
    False
    """
    later = times.known[1:] > times.known[:-1]
    tied = times.known[1:] == times.known[:-1]
    after = times.at[1:] > times.at[:-1]
    same = (times.at[1:] == times.at[:-1]) & (times.positions[1:] > times.positions[:-1])
    return bool((later | tied & (after | same)).all())


def known_order(streams: Sequence[Times]) -> Ordered:
    """All rows of several streams in known order; a stream need not be sorted.

    >>> payments = Times.of(0, np.array([10, 30]), np.array([10, 30]))
    >>> chargebacks = Times.of(1, np.array([10]), np.array([30]))
    >>> known_order([payments, chargebacks]).ranks.tolist()
    [0, 1, 0]
    """
    ranks = np.concatenate(
        [np.zeros(0, dtype=np.uint16)]
        + [np.full(len(times), times.rank, dtype=np.uint16) for times in streams]
    )
    nothing = np.zeros(0, dtype=np.int64)
    positions = np.concatenate([nothing, *(times.positions for times in streams)])
    known = np.concatenate([nothing, *(times.known for times in streams)])
    at = np.concatenate([nothing, *(times.at for times in streams)])
    order = np.lexsort((positions, ranks, at, known))
    return Ordered(ranks[order], positions[order], known[order])
