"""Which class the reasons of a decision explain, where a model tells several apart.

A decision rests on the class whose score its rule wants high: reasons say what raised that one. A
rule that wants none high, and a decision that no rule made, have reasons of the first class, whose
score `hr.score` is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.models.classes import class_columns
from headrace.policy.conditions import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.columns import Int64s
    from headrace.policy.conditions import Operand
    from headrace.policy.evaluate import CompiledPolicy


def explained_class(wanted: Sequence[Operand], classes: Sequence[str]) -> int:
    """The number of the class that a decision of a rule rests on.

    Args:
        wanted: What the rule wants high; none where no rule decided.
        classes: That the model tells apart, two or more.

    >>> from headrace.policy.conditions import Operand
    >>> explained_class([Operand(Source.FEATURE, "score_down")], ("up", "flat", "down"))
    2
    >>> explained_class([], ("up", "flat", "down"))
    0
    """
    places = {column.name: place for place, column in enumerate(class_columns(classes))}
    for operand in wanted:
        if operand.source is Source.SCORE:
            return 0
        if operand.source is Source.FEATURE and operand.name in places:
            return places[operand.name]
    return 0


def explained_classes(policy: CompiledPolicy | None, classes: Sequence[str]) -> Int64s:
    """The number of the class that a decision of each rule rests on; the last is of no rule.

    Args:
        policy: That decides; None where nothing does.
        classes: That the model tells apart; one or none has the number 0.
    """
    wanted = [*(policy.wanted_high if policy is not None else ()), ()]
    if len(classes) < 2:
        return np.zeros(len(wanted), dtype=np.int64)
    return np.array([explained_class(each, classes) for each in wanted], dtype=np.int64)
