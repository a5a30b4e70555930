"""The kernels that turn margins into calibrated probabilities: the same bits on every machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.compiled import kernel
from headrace.core.elementary import exp, log1p, sigmoid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@kernel
def interpolate(
    margins: NDArray[np.float64],
    points: NDArray[np.float64],
    values: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Read every margin off the line through `points`; beyond them it is level.

    It never falls: each operation of a piece keeps the order of its arguments, and the piece's own
    end bounds what rounding adds.
    """
    last = len(points) - 1
    for row in range(len(margins)):
        margin = margins[row]
        if not margin > points[0]:
            out[row] = values[0]
            continue
        if margin >= points[last]:
            out[row] = values[last]
            continue
        low, high = 0, last
        while high - low > 1:
            middle = (low + high) // 2
            if points[middle] <= margin:
                low = middle
            else:
                high = middle
        share = (margin - points[low]) / (points[high] - points[low])
        out[row] = min(values[low] + (values[high] - values[low]) * share, values[high])


@kernel
def platt(
    margins: NDArray[np.float64], slope: float, shift: float, out: NDArray[np.float64]
) -> None:
    """The logistic function of a line over the margins."""
    for row in range(len(margins)):
        out[row] = sigmoid(slope * margins[row] + shift)


@kernel
def beta(
    margins: NDArray[np.float64],
    positive: float,
    negative: float,
    shift: float,
    out: NDArray[np.float64],
) -> None:
    """The logistic function of `positive * log(p) - negative * log(1 - p) + shift`."""
    for row in range(len(margins)):
        margin = margins[row]
        tail = log1p(exp(-abs(margin)))
        log_of, log_of_rest = min(margin, 0.0) - tail, min(-margin, 0.0) - tail
        out[row] = sigmoid(positive * log_of - negative * log_of_rest + shift)
