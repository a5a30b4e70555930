"""Loss given default in two stages: whether anything is lost, and how much of it then.

A good part of defaulted loans is cured or fully recovered, so that losses pile up at 0. The first
stage is the probability that anything is lost; the second the mean share that is, of those that
lose: a fractional response, which has the logistic link and quasi-likelihood of Papke and
Wooldridge (1996). Both are gradient boosting by XGBoost that keeps to declared directions, so that
their product does. A model is kept in the library's own format.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from headrace import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

#: A share that is lost at or below this is none.
NO_LOSS = 1e-4
_TREES = 120
_SETTINGS: Mapping[str, object] = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 3,
    "learning_rate": 0.05,
    "min_child_weight": 10,
    "subsample": 0.8,
    "seed": 7,
    "nthread": 1,
}


@dataclass(frozen=True, slots=True)
class LossModel:
    """A fitted model of loss given default.

    Attributes:
        stages: XGBoost's JSON of the chance of a loss, and of the mean share of those that lose.
    """

    stages: tuple[bytes, bytes]

    def predict(self, values: Floats) -> Floats:
        """The expected share of what is owed that is lost: float64[n], of 0 to 1.

        Args:
            values: float64[n, features], NaN missing.
        """
        chance, share = (_booster(content).inplace_predict(values) for content in self.stages)
        found: Floats = chance.astype(np.float64) * share.astype(np.float64)
        return found

    def save(self, folder: Path) -> None:
        """Write both stages to a folder, which is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in zip(_FILES, self.stages, strict=True):
            (folder / name).write_bytes(content)

    @staticmethod
    def load(folder: Path) -> LossModel:
        """A model as it was saved."""
        chance, share = ((folder / name).read_bytes() for name in _FILES)
        return LossModel((chance, share))


_FILES = ("loss.json", "severity.json")


def fit_loss(
    values: Floats,
    lost: Floats,
    names: Sequence[str],
    monotone: Mapping[str, int],
    *,
    trees: int = _TREES,
) -> LossModel:
    """Fit both stages.

    Args:
        values: float64[n, features], NaN missing.
        lost: float64[n]: the share of what was owed that was lost, of 0 to 1.
        names: Of the features.
        monotone: 1 where loss may only rise as a feature grows, -1 where it may only fall.
        trees: Of each stage.

    Raises:
        DataError: When a share is not of 0 to 1, or either kind of loan is lacking.
    """
    if not ((lost >= 0.0) & (lost <= 1.0)).all():
        raise DataError(
            f"shares that were lost range from {lost.min():g} to {lost.max():g}: expected 0 to 1;"
            " clip those of loans that came out ahead or cost more than was owed"
        )
    any_loss = lost > NO_LOSS
    if any_loss.all() or not any_loss.any():
        raise DataError(
            f"{int(any_loss.sum()):,} of {len(lost):,} loans lost something: both kinds are needed"
        )
    settings = {
        **_SETTINGS,
        "monotone_constraints": tuple(monotone.get(name, 0) for name in names),
    }
    return LossModel(
        (
            _fitted(settings, values, any_loss.astype(np.float64), names, trees),
            _fitted(settings, values[any_loss], lost[any_loss], names, trees),
        )
    )


def _fitted(
    settings: Mapping[str, object], values: Floats, target: Floats, names: Sequence[str], trees: int
) -> bytes:
    xgboost: Any = importlib.import_module("xgboost")  # heavy, and needed here only
    data = xgboost.DMatrix(values, target, feature_names=list(names))
    booster = xgboost.train({**settings, "base_score": float(target.mean())}, data, trees)
    return bytes(booster.save_raw(raw_format="json"))


def _booster(content: bytes) -> Any:
    xgboost: Any = importlib.import_module("xgboost")
    booster = xgboost.Booster()
    booster.load_model(bytearray(content))
    return booster
