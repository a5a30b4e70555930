"""The softmax of margins, the same on every processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.compiled import kernel
from headrace.core.elementary import exp

if TYPE_CHECKING:
    from headrace.core.columns import Floats


@kernel
def softmax(margins: Floats, out: Floats) -> None:
    """The scores of margins, both classes by rows; sums go in the order of the classes."""
    classes, rows = margins.shape
    for row in range(rows):
        most = margins[0, row]
        for place in range(1, classes):
            most = max(most, margins[place, row])
        total = 0.0
        for place in range(classes):
            out[place, row] = exp(margins[place, row] - most)
            total += out[place, row]
        for place in range(classes):
            out[place, row] /= total
