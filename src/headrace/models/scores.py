"""What a model says of rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from headrace.core.columns import Floats


def _no_classes() -> Floats:
    return np.zeros((0, 0))


@dataclass(frozen=True, slots=True)
class Scores:
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
