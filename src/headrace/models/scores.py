"""What a model says of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct, field

if TYPE_CHECKING:
    from headrace.core.columns import Floats


def _no_classes() -> Floats:
    return np.zeros((0, 0))


class Scores(Struct, frozen=True):
    """What a model says of rows.

    Attributes:
        margin: Raw score, as the model's library computes it; NaN where there is none.
        probability: What `hr.score` means: the margin through the logistic function, or the score
            of the first class.
        classes: The score of each class, classes by rows; none where there is one probability.
    """

    margin: Floats
    probability: Floats
    classes: Floats = field(default_factory=_no_classes)
