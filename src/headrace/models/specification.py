"""What a user says of a model: a kind of tree ensemble and its settings, or a file that exists.

A specification is data; `headrace.models.training` fits it. The names of the settings are the
same for both libraries, and each is handed to the library under its own name. `extra` passes
further settings on as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from headrace.core.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Trees:
    """Settings that both libraries share.

    Attributes:
        trees: The most trees to grow.
        max_depth: Of a tree.
        learning_rate: How far each tree moves the score.
        min_child_weight: Least sum of second derivatives in a leaf.
        subsample: Share of rows that each tree is grown on.
        colsample: Share of features that each tree is grown on.
        l2: Penalty on the squares of leaf values.
        class_weight: Weight of a positive against a negative; "balanced" makes both classes weigh
            the same; None leaves the scores calibrated to the data's own rate.
        early_stopping: Stop when so many trees in a row have not improved the validation loss;
            None grows all trees.
        seed: Of whatever the library draws.
        extra: Further settings of the library, by its own names.
    """

    trees: int = 200
    max_depth: int = 6
    learning_rate: float = 0.1
    min_child_weight: float = 1.0
    subsample: float = 1.0
    colsample: float = 1.0
    l2: float = 1.0
    class_weight: float | Literal["balanced"] | None = None
    early_stopping: int | None = 30
    seed: int = 0
    extra: Mapping[str, object] = field(default_factory=lambda: _NOTHING)

    def __post_init__(self) -> None:
        for name, least in (("trees", 1), ("max_depth", 1), ("early_stopping", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise DefinitionError(f"{name}={value} of a model: expected at least {least}")
        for name in ("learning_rate", "subsample", "colsample"):
            value = getattr(self, name)
            if not 0.0 < value <= 1.0:
                raise DefinitionError(f"{name}={value} of a model: expected over 0 and at most 1")

    def plain(self) -> dict[str, object]:
        """The settings as plain data, for manifests.

        >>> XGBoost(trees=5).plain()["trees"]
        5
        """
        settings = {name: getattr(self, name) for name in _Trees.__slots__}
        settings["extra"] = dict(self.extra)
        return {"kind": type(self).__name__, **settings}


@dataclass(frozen=True, slots=True)
class XGBoost(_Trees):
    """Gradient boosting by XGBoost (Chen and Guestrin, 2016), histogram method.

    >>> XGBoost(max_depth=4, trees=300).max_depth
    4
    """


@dataclass(frozen=True, slots=True)
class LightGBM(_Trees):
    """Gradient boosting by LightGBM (Ke and others, 2017); needs `pip install headrace[lightgbm]`.

    Attributes:
        leaves: The most leaves of a tree; `2 ** max_depth - 1` when None.
    """

    leaves: int | None = None

    def plain(self) -> dict[str, object]:
        """The settings as plain data, for manifests."""
        return {**_Trees.plain(self), "leaves": self.leaves}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model that was trained elsewhere: XGBoost's JSON or UBJSON, or LightGBM's text.

    Its features are matched by name, and so must be the use case's.
    """

    path: Path

    def __init__(self, path: str | Path) -> None:
        object.__setattr__(self, "path", Path(path))

    def plain(self) -> dict[str, object]:
        """The settings as plain data, for manifests."""
        return {"kind": "ModelFile", "path": self.path.name}


ModelSpecification: TypeAlias = XGBoost | LightGBM | ModelFile
