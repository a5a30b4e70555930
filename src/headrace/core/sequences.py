"""The last vectors of features of events' keys, as one tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Int64s


@dataclass(frozen=True, slots=True)
class Sequences:
    """The last vectors of features of each decided event's key.

    Attributes:
        lengths: How many vectors there are; int64 [m].
        vectors: Them, the event's own last; NaN in the first places where there are fewer, and
            where a feature was missing; float32 [m, length, features].
    """

    lengths: Int64s
    vectors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, rows: NDArray[np.integer]) -> Sequences:
        """Those of some events, in that order.

        >>> both = Sequences(np.array([1, 2]), np.zeros((2, 4, 3), dtype=np.float32))
        >>> both.take(np.array([1])).lengths.tolist()
        [2]
        """
        return Sequences(self.lengths[rows], self.vectors[rows])

    @staticmethod
    def joined(parts: Sequence[Sequences]) -> Sequences:
        """Those of several batches, one after the other."""
        return Sequences(
            np.concatenate([part.lengths for part in parts]),
            np.concatenate([part.vectors for part in parts]),
        )
