"""The kernel that picks reasons: the largest contributions of every row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.compiled import kernel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@kernel
def largest(
    contributions: NDArray[np.float64],
    features: int,
    count: int,
    numbers: NDArray[np.int16],
    values: NDArray[np.float64],
) -> None:
    """Keep the `count` largest positive contributions of every row, by insertion."""
    for row in range(contributions.shape[1]):
        for feature in range(features):
            value = contributions[feature, row]
            if not value > values[count - 1, row]:
                continue
            place = count - 1
            while place > 0 and value > values[place - 1, row]:
                values[place, row] = values[place - 1, row]
                numbers[place, row] = numbers[place - 1, row]
                place -= 1
            values[place, row] = value
            numbers[place, row] = feature
