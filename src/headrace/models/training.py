"""Fitting a model with the field's libraries, in one process, from a seed.

The result is the library's own open format (XGBoost JSON, LightGBM text), never a pickle. Training
sees a matrix and labels; where they come from, and how time is respected, is the business of
`headrace.lifecycle`.
"""

from __future__ import annotations

import importlib
import re
import warnings
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.errors import (
    ArtefactError,
    DataError,
    DefinitionError,
    HeadraceError,
    invariant,
)
from headrace.models.monotonicity import violations
from headrace.models.scorecard_training import fit_scorecard
from headrace.models.serving import read_model
from headrace.models.specification import LightGBM, Scorecard, XGBoost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.core.columns import Floats
    from headrace.models.specification import Fittable


@dataclass(frozen=True, slots=True)
class Examples:
    """What a model is fitted to, or validated on.

    Attributes:
        X: Features, one row per example; categories as codes of the vocabulary, NaN missing.
        y: 1.0 for a positive, 0.0 for a negative.
    """

    X: Floats
    y: Floats

    def __post_init__(self) -> None:
        invariant(len(self.X) == len(self.y), f"{len(self.X)} rows have {len(self.y)} labels")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted model in its library's open format.

    Attributes:
        content: XGBoost's JSON, LightGBM's text, or a scorecard.
        form: "xgboost-json", "lightgbm-text" or "scorecard-json".
        trees: How many were kept; of a scorecard, one for each feature it uses.
        library: Name and version of what fitted it.
    """

    content: bytes
    form: str
    trees: int
    library: str


def positive_weight(y: Floats, class_weight: object) -> float:
    """The weight of a positive: the given one, or the one that balances the classes.

    >>> positive_weight(np.array([0.0, 0.0, 0.0, 1.0]), "balanced")
    3.0
    """
    if class_weight is None:
        return 1.0
    if class_weight == "balanced":
        positives = float(y.sum())
        return (len(y) - positives) / positives
    return float(class_weight)  # type: ignore[arg-type]  # a number, by the specification


def fit(
    specification: Fittable,
    train: Examples,
    validation: Examples | None,
    *,
    names: Sequence[str],
    categorical: Sequence[bool],
    progress: Callable[[int, int], None] | None = None,
) -> Fitted:
    """Fit `specification` to `train`, stopping early on `validation` where it is given.

    Args:
        specification: What to fit.
        train: Examples; both classes must be there.
        validation: Later examples that decide when to stop; None grows all trees.
        names: Of the features, in the order of the columns.
        categorical: Which of them are categories.
        progress: Called with (trees grown, trees at most).

    Raises:
        DataError: When a class is missing from `train`.
        ArtefactError: When the trees are not shown to keep to the declared directions.
    """
    positives = int(train.y.sum())
    if positives in (0, len(train.y)):
        raise DataError(
            f"{positives} of {len(train.y)} training examples are positive: both classes are"
            " needed; give a longer history, or check that labels refer to its events"
        )
    specification.check_features(names, categorical)
    grow: Any = {
        XGBoost: _fit_xgboost,
        LightGBM: _fit_lightgbm,
        Scorecard: _fit_scorecard,
    }[type(specification)]
    fitted: Fitted = grow(
        specification, train, validation, list(names), list(categorical), progress
    )
    if specification.monotone:
        broken = violations(read_model(fitted.content, fitted.form), specification.monotone)
        if broken:
            raise ArtefactError(
                f"the trees do not keep to monotone= for {broken} (trees by feature), with"
                f" {specification}: leave out what relaxes the constraints"
            )
    return fitted


def try_out(specification: Fittable, *, names: Sequence[str], categorical: Sequence[bool]) -> None:
    """Let the library judge the settings that it alone knows, before a history is read.

    Args:
        specification: What will be fitted; only its `extra` can still be wrong.
        names: Of the features.
        categorical: Which of them are categories.

    Raises:
        DefinitionError: With the line of the specification, for settings that the library refuses
            or does not know.
    """
    if isinstance(specification, Scorecard) or not specification.extra:
        return
    random = np.random.default_rng(0)
    examples = Examples(
        random.integers(0, 2, (64, len(names))).astype(np.float64),
        (np.arange(64) % 2).astype(np.float64),
    )
    small = replace(specification, trees=1, early_stopping=None)
    kind = f"hr.{type(specification).__name__}"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            fit(small, examples, None, names=names, categorical=categorical)
            unknown = _unknown_settings(specification, [str(warning.message) for warning in said])
        except HeadraceError:
            raise
        except Exception as error:
            raise DefinitionError(
                f"extra={dict(specification.extra)} of {kind} is refused by the library:"
                f" {str(error).strip().splitlines()[0]}",
                at=specification.at,
                fix="give the settings as the library's own documentation has them",
            ) from error
    if unknown:
        raise DefinitionError(
            f"extra= of {kind} has {', '.join(map(repr, unknown))},"
            " which the library does not know",
            at=specification.at,
            fix="write it as the library's own documentation has it, or leave it out",
        )


def _unknown_settings(specification: XGBoost | LightGBM, said: Sequence[str]) -> list[str]:
    """The names in `extra` that the library takes no notice of."""
    if isinstance(specification, XGBoost):
        unused = [text for text in said if "are not used" in text]
        return [name for text in unused for name in re.findall(r'"([^"]+)"', text)]
    lightgbm: Any = importlib.import_module("lightgbm")
    aliases = lightgbm.basic._ConfigAliases._get_all_param_aliases()  # noqa: SLF001 - it drops unknown names in silence, and tells known ones nowhere else
    known = {name for names in aliases.values() for name in names}
    return [name for name in specification.extra if name not in known]


def _fit_scorecard(
    specification: Scorecard,
    train: Examples,
    _validation: Examples | None,
    names: list[str],
    categorical: list[bool],
    progress: Callable[[int, int], None] | None,
) -> Fitted:
    card = fit_scorecard(
        specification, train.X, train.y, names=names, categorical=categorical, progress=progress
    )
    made_by = f"optbinning {version('optbinning')}, scikit-learn {version('scikit-learn')}"
    return Fitted(card.encoded(), "scorecard-json", len(card.features), made_by)


def _fit_xgboost(
    specification: XGBoost,
    train: Examples,
    validation: Examples | None,
    names: list[str],
    categorical: list[bool],
    progress: Callable[[int, int], None] | None,
) -> Fitted:
    xgboost: Any = importlib.import_module("xgboost")  # heavy, and needed in training only

    exact = specification.extra.get("tree_method") == "exact"
    kinds = ["c" if flag else "float" for flag in categorical]
    options = {"feature_names": names, "feature_types": kinds, "enable_categorical": True}
    bins = bins_of(specification)

    def matrix(examples: Examples, reference: Any = None) -> Any:
        if exact:
            return xgboost.DMatrix(examples.X, examples.y, **options)
        return xgboost.QuantileDMatrix(examples.X, examples.y, ref=reference, **options, **bins)

    class Progress(xgboost.callback.TrainingCallback):  # type: ignore[misc]  # loaded late, so without a type
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002 - the library's form
            if progress:
                progress(epoch + 1, specification.trees)
            return False

    fitted_on = matrix(train)
    watched = []
    if validation is not None:
        watched = [(matrix(validation, fitted_on), "validation")]
    stopping = specification.early_stopping if watched else None
    booster = xgboost.train(
        {
            **xgboost_settings(specification, names),
            "scale_pos_weight": positive_weight(train.y, specification.class_weight),
        },
        fitted_on,
        specification.trees,
        evals=watched,
        verbose_eval=False,
        early_stopping_rounds=stopping,
        callbacks=[Progress()],
    )
    if stopping is not None:
        booster = booster[: booster.best_iteration + 1]
    return Fitted(
        bytes(booster.save_raw(raw_format="json")),
        "xgboost-json",
        booster.num_boosted_rounds(),
        f"xgboost {xgboost.__version__}",
    )


def xgboost_settings(specification: XGBoost, names: Sequence[str]) -> dict[str, object]:
    """The settings by the library's names, but for the weights of classes."""
    return {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "max_depth": specification.max_depth,
        "learning_rate": specification.learning_rate,
        "min_child_weight": specification.min_child_weight,
        "subsample": specification.subsample,
        "colsample_bytree": specification.colsample,
        "reg_lambda": specification.l2,
        "seed": specification.seed,
        **_constraints(specification, names),
        **specification.extra,
    }


def bins_of(specification: XGBoost) -> dict[str, object]:
    """How many bins a feature is cut into, where it is said: matrix and trees must agree on it.

    >>> bins_of(XGBoost(extra={"max_bin": 64, "nthread": 1}))
    {'max_bin': 64}
    """
    return {name: value for name, value in specification.extra.items() if name == "max_bin"}


def _constraints(specification: XGBoost | LightGBM, names: Sequence[str]) -> dict[str, object]:
    """The directions of features in their order, where any is declared."""
    if not specification.monotone:
        return {}
    signs = [specification.monotone.get(name, 0) for name in names]
    return {"monotone_constraints": signs if isinstance(specification, LightGBM) else tuple(signs)}


def _fit_lightgbm(
    specification: LightGBM,
    train: Examples,
    validation: Examples | None,
    names: list[str],
    categorical: list[bool],
    progress: Callable[[int, int], None] | None,
) -> Fitted:
    try:
        lightgbm: Any = importlib.import_module("lightgbm")
    except ImportError as missing:
        raise DefinitionError(
            "the model is LightGBM, which is not installed", fix="pip install 'headrace[lightgbm]'"
        ) from missing

    places = [i for i, flag in enumerate(categorical) if flag]
    options = {"feature_name": names, "categorical_feature": places, "free_raw_data": False}
    data = lightgbm.Dataset(train.X, train.y, params={"verbose": -1}, **options)
    callbacks: list[Any] = [
        lambda state: progress(state.iteration + 1, specification.trees) if progress else None
    ]
    watched = []
    if validation is not None:
        watched = [lightgbm.Dataset(validation.X, validation.y, reference=data, **options)]
        if specification.early_stopping is not None:
            callbacks.append(lightgbm.early_stopping(specification.early_stopping, verbose=False))
    settings = {
        "objective": "binary",
        "metric": "binary_logloss",
        "max_depth": specification.max_depth,
        "num_leaves": specification.leaves or max(2**specification.max_depth - 1, 2),
        "learning_rate": specification.learning_rate,
        "min_sum_hessian_in_leaf": specification.min_child_weight,
        "bagging_fraction": specification.subsample,
        "bagging_freq": 1 if specification.subsample < 1.0 else 0,
        "feature_fraction": specification.colsample,
        "lambda_l2": specification.l2,
        "scale_pos_weight": positive_weight(train.y, specification.class_weight),
        "seed": specification.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
        **_constraints(specification, names),
        **specification.extra,
    }
    booster = lightgbm.train(
        settings, data, specification.trees, valid_sets=watched, callbacks=callbacks
    )
    kept = booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()
    return Fitted(
        booster.model_to_string(num_iteration=kept).encode(),
        "lightgbm-text",
        kept,
        f"lightgbm {lightgbm.__version__}",
    )


def model_matrix(values: Floats) -> Floats:
    """Features by rows as rows by features, contiguous, as the libraries take them."""
    return np.ascontiguousarray(values.T)
