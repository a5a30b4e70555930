"""Fitting trees that tell several classes apart."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from headrace.core.errors import DefinitionError
from headrace.models.net_training import class_weights
from headrace.models.training import Fitted, bins_of, xgboost_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.models.net_training import ClassExamples
    from headrace.models.specification import XGBoost


def fit_xgboost_classes(
    specification: XGBoost,
    train: ClassExamples,
    validation: ClassExamples,
    classes: int,
    *,
    names: Sequence[str],
    categorical: Sequence[bool],
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Fitted:
    """Fit gradient boosting with a margin for each class, stopping early on `validation`.

    Args:
        specification: What to fit; a number as its class weight means nothing here.
        train: Examples of every class.
        validation: Later examples that decide when to stop.
        classes: How many there are.
        names: Of the features, in the order of the columns.
        categorical: Which of them are categories.
        progress: Called with (rounds done, rounds at most).

    Raises:
        DefinitionError: The class weight is a number.
        DataError: A class is missing from `train`.
    """
    if specification.class_weight not in (None, "balanced"):
        raise DefinitionError(
            f"class_weight={specification.class_weight!r} of hr.XGBoost for {classes} classes",
            at=specification.at,
            fix='give "balanced" or None',
        )
    xgboost: Any = importlib.import_module("xgboost")  # heavy, and needed in training only
    weights = class_weights(train.y, classes, "balanced" if specification.class_weight else None)
    kinds = ["c" if flag else "float" for flag in categorical]
    options = {
        "feature_names": list(names),
        "feature_types": kinds,
        "enable_categorical": True,
        **bins_of(specification),
    }
    fitted_on = xgboost.QuantileDMatrix(train.X, train.y, weight=weights[train.y], **options)
    watched = xgboost.QuantileDMatrix(
        validation.X, validation.y, weight=weights[validation.y], ref=fitted_on, **options
    )

    class Progress(xgboost.callback.TrainingCallback):  # type: ignore[misc]  # loaded late, so without a type
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002 - the library's form
            progress(epoch + 1, specification.trees)
            return False

    settings = {
        **xgboost_settings(specification, names),
        "objective": "multi:softprob",
        "eval_metric": "mlogloss",
        "num_class": classes,
    }
    booster = xgboost.train(
        settings,
        fitted_on,
        specification.trees,
        evals=[(watched, "validation")],
        verbose_eval=False,
        early_stopping_rounds=specification.early_stopping,
        callbacks=[Progress()],
    )
    if specification.early_stopping is not None:
        booster = booster[: booster.best_iteration + 1]
    return Fitted(
        bytes(booster.save_raw(raw_format="json")),
        "xgboost-classes-json",
        booster.num_boosted_rounds() * classes,
        f"xgboost {xgboost.__version__}",
    )
