"""Classes that a model tells apart, and how their scores stand beside features.

A model of several classes gives a score for each. They are journaled as further columns behind the
features, `score_NAME`, so that rules ask about them, and proofs and tables hold them, as they do
features. The first class is the one that `hr.score` means.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError
from headrace.definitions.plan import Feature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.errors import SourceLine

_NAME = re.compile(r"[a-z][a-z0-9_]*")
#: More would not fit a report, nor a decision a person can check.
CLASSES_MAX = 16


def class_columns(classes: Sequence[str]) -> tuple[Feature, ...]:
    """The columns of the classes' scores.

    >>> [column.name for column in class_columns(("up", "flat", "down"))]
    ['score_up', 'score_flat', 'score_down']
    """
    return tuple(
        Feature(f"score_{name}", -1, Kind.FLOAT, text=f"the score of {name}: {{value}}")
        for name in classes
    )


def check_classes(classes: object, kind: str, at: SourceLine | None) -> tuple[str, ...]:
    """The names of classes: none for one probability, else two or more.

    Raises:
        DefinitionError: They are no such names.
    """
    names = tuple(classes) if isinstance(classes, tuple | list) else None
    if (
        names is None
        or len(names) == 1
        or len(names) > CLASSES_MAX
        or len(set(names)) != len(names)
        or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names)
    ):
        raise DefinitionError(
            f"classes={classes!r} of {kind}",
            at=at,
            fix='name two or more, as in classes=("up", "flat", "down"), in the order of the'
            " model's output; () for one probability",
        )
    return names
