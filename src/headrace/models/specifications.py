"""All kinds of model that a use case can declare."""

from __future__ import annotations

from typing import TypeAlias

from headrace.models.net_specification import LogisticRegression, Lstm
from headrace.models.onnx_specification import Onnx
from headrace.models.specification import Fittable, LightGBM, ModelFile, Scorecard, XGBoost

ModelSpecification: TypeAlias = Fittable | ModelFile | Onnx | Lstm | LogisticRegression

#: The same, for checks.
KINDS: tuple[type, ...] = (
    XGBoost,
    LightGBM,
    Scorecard,
    ModelFile,
    Onnx,
    Lstm,
    LogisticRegression,
)

#: Those that are fitted to labels of direction.
CLASSIFIERS: tuple[type, ...] = (XGBoost, Lstm, LogisticRegression)
