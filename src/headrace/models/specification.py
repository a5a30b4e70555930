"""What a user says of a model: a kind of tree ensemble and its settings, or a file that exists.

A specification is data; `headrace.models.training` fits it. The names of the settings are the
same for both libraries, and each is handed to the library under its own name. `extra` passes
further settings on as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from headrace.core.columns import CATEGORICAL
from headrace.core.errors import DefinitionError
from headrace.definitions.calls import checked_methods
from headrace.definitions.source_lines import user_line
from headrace.models.calibration import METHODS, Method

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from headrace.core.errors import SourceLine
    from headrace.definitions.plan import Feature

_NOTHING: Mapping[str, object] = MappingProxyType({})
_UNCONSTRAINED: Mapping[str, int] = MappingProxyType({})
#: What the libraries call the kind of model, and its values that make a probability.
_OBJECTIVES = frozenset({"objective", "objective_type", "app", "application", "loss"})
_CLASSIFIES = frozenset({"binary", "binary:logistic", "cross_entropy"})
#: Names that the libraries have for settings of ours.
_SETTINGS = {
    **dict.fromkeys(
        ("trees", "n_estimators", "num_boost_round", "num_iterations", "num_trees"), "trees"
    ),
    **dict.fromkeys(("learning_rate", "eta", "shrinkage_rate"), "learning_rate"),
    **dict.fromkeys(("scale_pos_weight", "is_unbalance", "unbalance"), "class_weight"),
    **dict.fromkeys(("reg_lambda", "lambda", "lambda_l2"), "l2"),
    **dict.fromkeys(("random_state", "seed"), "seed"),
    **dict.fromkeys(("early_stopping", "early_stopping_rounds"), "early_stopping"),
    "max_depth": "max_depth",
    "min_child_weight": "min_child_weight",
    "min_sum_hessian_in_leaf": "min_child_weight",
    "subsample": "subsample",
    "bagging_fraction": "subsample",
    "colsample_bytree": "colsample",
    "feature_fraction": "colsample",
    "num_leaves": "leaves",
    **dict.fromkeys(("monotone_constraints", "monotonic_cst", "mc"), "monotone"),
}


class _Checked:
    """How settings of a model that is fitted are checked."""

    __slots__ = ()

    if TYPE_CHECKING:
        monotone: Mapping[str, int]
        calibration: Method | None
        without: tuple[str, ...]
        at: SourceLine | None

    def _check_shared(self) -> None:
        """Directions, what is left out, and the kind of calibration."""
        self._check_monotone()
        if not isinstance(self.without, tuple) or not all(
            isinstance(name, str) for name in self.without
        ):
            raise DefinitionError(
                f"without={self.without!r} of hr.{type(self).__name__}",
                at=self.at,
                fix='give names of features, as in without=("dependents",)',
            )
        if self.calibration is not None and self.calibration not in METHODS:
            raise DefinitionError(
                f"calibration={self.calibration!r} of hr.{type(self).__name__}",
                at=self.at,
                fix=f"give one of {', '.join(METHODS)}, or None",
            )

    def _check_monotone(self) -> None:
        kind = f"hr.{type(self).__name__}"
        fix = 'give directions by feature, as in monotone={"utilisation": 1, "income": -1}'
        if not isinstance(self.monotone, Mapping):
            raise DefinitionError(f"monotone={self.monotone!r} of {kind}", at=self.at, fix=fix)
        for name, sign in self.monotone.items():
            if not isinstance(name, str) or type(sign) is not int or sign not in (-1, 1):
                raise DefinitionError(
                    f"monotone={{{name!r}: {sign!r}}} of {kind}", at=self.at, fix=fix
                )

    def _check(self, name: str, expected: str, holds: Callable[[Any], bool]) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not holds(value):
            raise DefinitionError(
                f"{name}={value!r} of hr.{type(self).__name__}", at=self.at, fix=f"give {expected}"
            )

    def _check_whole(self, name: str, least: int) -> None:
        self._check(
            name,
            f"a whole number, at least {least}",
            lambda value: isinstance(value, int) and value >= least,
        )

    def check_features(self, names: Sequence[str], categorical: Sequence[bool]) -> None:
        """See that directions are declared of features that are there, and are numbers.

        Raises:
            DefinitionError: With the line of the specification.
        """
        numbers = [name for name, flag in zip(names, categorical, strict=True) if not flag]
        wrong = [name for name in self.monotone if name not in numbers]
        if wrong:
            raise DefinitionError(
                f"monotone= of hr.{type(self).__name__} names {', '.join(map(repr, wrong))}",
                at=self.at,
                fix=f"name features that are numbers: {', '.join(numbers) or 'there is none'}",
            )
        unknown = [name for name in self.without if name not in names]
        if unknown or len(set(self.without)) == len(names):
            raise DefinitionError(
                f"without= of hr.{type(self).__name__} names {', '.join(map(repr, self.without))}",
                at=self.at,
                fix=f"name some, and not all, of {', '.join(names)}",
            )

    def reads(self, features: Sequence[Feature]) -> tuple[list[str], list[bool], list[int]]:
        """Names of the features that the model reads, which are categories, and their places."""
        places = [i for i, feature in enumerate(features) if feature.name not in self.without]
        chosen = [features[i] for i in places]
        return (
            [feature.name for feature in chosen],
            [feature.kind in CATEGORICAL for feature in chosen],
            places,
        )

    def of(self, names: Sequence[str]) -> Self:
        """The same settings for those features alone, which is what a library is given."""
        if not self.without:
            return self
        kept = {name: sign for name, sign in self.monotone.items() if name in names}
        own: Self = replace(self, monotone=kept, without=())  # type: ignore[type-var]  # each kind is a dataclass
        object.__setattr__(own, "at", self.at)
        return own


@dataclass(frozen=True, slots=True)
class _Trees(_Checked):
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
        monotone: Of features by name: 1 where the score may only rise as the feature grows, -1
            where it may only fall. Training proves it from the trees (a missing value is free).
        calibration: How scores are made probabilities that come out as often as they say:
            "isotonic", "platt" or "beta" (`headrace.models.calibration`), fitted to the validation
            part; None leaves them as the library has them.
        without: Features that the model does not read; rules of the policy may.
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
    monotone: Mapping[str, int] = field(default_factory=lambda: _UNCONSTRAINED)
    calibration: Method | None = None
    without: tuple[str, ...] = ()
    extra: Mapping[str, object] = field(default_factory=lambda: _NOTHING)

    #: The user's line, for errors that only the library can find.
    at: SourceLine | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", user_line())
        for name in ("trees", "max_depth"):
            self._check_whole(name, 1)
        if self.early_stopping is not None:
            self._check_whole("early_stopping", 1)
        self._check_whole("seed", 0)
        for name in ("learning_rate", "subsample", "colsample"):
            self._check(name, "a number over 0 and at most 1", lambda value: 0.0 < value <= 1.0)
        for name in ("min_child_weight", "l2"):
            self._check(name, "a number from 0 on", lambda value: 0.0 <= value < math.inf)
        if self.class_weight is not None and self.class_weight != "balanced":
            self._check(
                "class_weight",
                'a number over 0, "balanced" or None',
                lambda value: 0.0 < value < math.inf,
            )
        self._check_shared()
        self._check_extra()

    def _check_extra(self) -> None:
        """Refuse what would undo a setting or the kind of model; the rest is the library's."""
        kind = f"hr.{type(self).__name__}"
        if not isinstance(self.extra, Mapping) or not all(isinstance(k, str) for k in self.extra):
            raise DefinitionError(
                f"extra={self.extra!r} of {kind}",
                at=self.at,
                fix='give settings of the library by name, as in extra={"nthread": 1}',
            )
        for name, value in self.extra.items():
            if name in _OBJECTIVES and value not in _CLASSIFIES:
                raise DefinitionError(
                    f"extra={{{name!r}: {value!r}}} of {kind}: a score lies from 0 to 1, which"
                    " only a classifier's does",
                    at=self.at,
                    fix="leave it out; a file of another model can't be served either",
                )
            if name in _SETTINGS:
                raise DefinitionError(
                    f"extra={{{name!r}: {value!r}}} of {kind}: that is the setting"
                    f" {_SETTINGS[name]}",
                    at=self.at,
                    fix=f"write {_SETTINGS[name]}={value!r}",
                )

    def plain(self) -> dict[str, object]:
        """The settings as plain data, for manifests.

        >>> XGBoost(trees=5).plain()["trees"]
        5
        """
        settings = {name: getattr(self, name) for name in _Trees.__slots__ if name != "at"}
        if not self.without:
            del settings["without"]
        settings["extra"] = dict(self.extra)
        settings["monotone"] = dict(self.monotone)
        return {"kind": type(self).__name__, **settings}


@checked_methods
@dataclass(frozen=True, slots=True)
class XGBoost(_Trees):
    """Gradient boosting by XGBoost (Chen and Guestrin, 2016), histogram method.

    >>> XGBoost(max_depth=4, trees=300).max_depth
    4
    """


@checked_methods
@dataclass(frozen=True, slots=True)
class LightGBM(_Trees):
    """Gradient boosting by LightGBM (Ke and others, 2017); needs `pip install headrace[lightgbm]`.

    Attributes:
        leaves: The most leaves of a tree; `2 ** max_depth - 1` when None.
    """

    leaves: int | None = None

    def __post_init__(self) -> None:
        _Trees.__post_init__(self)
        if self.leaves is not None:
            self._check_whole("leaves", 2)

    def plain(self) -> dict[str, object]:
        """The settings as plain data, for manifests."""
        return {**_Trees.plain(self), "leaves": self.leaves}


@checked_methods
@dataclass(frozen=True, slots=True)
class Scorecard(_Checked):
    """A scorecard: bins by weight of evidence and logistic regression, with points.

    Transparent where boosting is not: a margin is a sum of one number for each feature, which a
    table shows. Needs `pip install headrace[credit]` to be fitted, and nothing to be served.

    Attributes:
        bins: The most bins of a feature.
        smallest: The least share of the examples in a bin.
        information: The least information value of a feature that is used.
        l2: Penalty on the squares of the coefficients.
        points: At odds of `odds` to 1 against.
        odds: See `points`.
        pdo: Points to double the odds.
        monotone: As of `XGBoost`; the bins of other features may rise and fall.
        calibration: As of `XGBoost`.
        without: As of `XGBoost`.

    >>> Scorecard(bins=5).pdo
    20.0
    """

    bins: int = 8
    smallest: float = 0.03
    information: float = 0.02
    l2: float = 1.0
    points: float = 600.0
    odds: float = 50.0
    pdo: float = 20.0
    monotone: Mapping[str, int] = field(default_factory=lambda: _UNCONSTRAINED)
    calibration: Method | None = None
    without: tuple[str, ...] = ()

    #: The user's line, for errors that only fitting can find.
    at: SourceLine | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", user_line())
        self._check_whole("bins", 2)
        self._check("smallest", "a share over 0, below 0.5", lambda value: 0.0 < value < 0.5)
        for name in ("information", "l2"):
            self._check(name, "a number from 0 on", lambda value: 0.0 <= value < math.inf)
        for name in ("points", "odds", "pdo"):
            self._check(name, "a number over 0", lambda value: 0.0 < value < math.inf)
        self._check_shared()

    def plain(self) -> dict[str, object]:
        """The settings as plain data, for manifests."""
        settings = {name: getattr(self, name) for name in Scorecard.__slots__ if name != "at"}
        if not self.without:
            del settings["without"]
        return {"kind": "Scorecard", **settings, "monotone": dict(self.monotone)}


@checked_methods
@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model that was trained elsewhere: XGBoost's JSON or UBJSON, or LightGBM's text.

    Its features are matched by name, and so must be the use case's.

    Args:
        path: Of the file; a relative one is taken from the folder of the file that says so.
    """

    path: Path

    def __init__(self, path: str | Path) -> None:
        at = user_line()
        if not isinstance(path, str | Path):
            raise DefinitionError(
                f"hr.ModelFile({path!r}) names no file", at=at, fix='give its path, as in "m.json"'
            )
        said_in = Path(at.path) if at is not None else Path()
        folder = said_in.parent if said_in.is_file() else Path()
        object.__setattr__(self, "path", folder / path)

    def plain(self) -> dict[str, object]:
        """The settings as plain data, for manifests."""
        return {"kind": "ModelFile", "path": self.path.name}


#: What a history can be fitted with.
Fittable: TypeAlias = XGBoost | LightGBM | Scorecard
