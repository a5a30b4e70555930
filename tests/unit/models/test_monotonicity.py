from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace as hr
from headrace.core.errors import DefinitionError
from headrace.models.monotonicity import violations
from headrace.models.scorer import TreeScorer
from headrace.models.serving import read_model
from headrace.models.specification import LightGBM, XGBoost
from headrace.models.training import Examples, fit

if TYPE_CHECKING:
    from headrace.core.columns import Floats
    from headrace.models.ensemble import TreeEnsemble

NAMES = ["income", "utilisation", "region"]
CATEGORICAL = [False, False, True]
KINDS = [XGBoost, LightGBM]
MONOTONE = {"income": -1, "utilisation": 1}
THREADS = {XGBoost: {"nthread": 1}, LightGBM: {"num_threads": 1, "min_data_in_leaf": 5}}


def examples(seed: int, rows: int = 800) -> Examples:
    """Risk that falls with income and rises with utilisation, both not everywhere."""
    random = np.random.default_rng(seed)
    X = np.column_stack(
        [random.integers(0, 20, rows), random.integers(0, 20, rows), random.integers(0, 4, rows)]
    ).astype(np.float64)
    logit = -0.1 * X[:, 0] + 0.15 * X[:, 1] + 0.8 * np.sin(X[:, 0]) - np.cos(X[:, 1]) + X[:, 2] - 2
    X[random.random(rows) < 0.1, 1] = np.nan
    return Examples(X, (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.float64))


def grown(
    kind: type[XGBoost | LightGBM], *, monotone: dict[str, int], **more: object
) -> TreeEnsemble:
    held: dict[str, object] = {"trees": 30, "max_depth": 4, "learning_rate": 0.3}
    made = kind(monotone=monotone, extra=THREADS[kind], **{**held, **more})  # type: ignore[arg-type]  # settings by name
    fitted = fit(made, examples(1), None, names=NAMES, categorical=CATEGORICAL)
    return read_model(fitted.content, fitted.form)


def grid() -> Floats:
    """Every row that the trees can tell apart, missing values among them: features by rows."""
    steps = np.arange(-0.5, 20.5, 0.5)
    with_missing = np.append(steps, np.nan)
    axes = np.meshgrid(steps, with_missing, np.append(np.arange(4.0), np.nan), indexing="ij")
    return np.ascontiguousarray(np.stack([axis.ravel() for axis in axes]))


def falls(ensemble: TreeEnsemble, feature: int, sign: int) -> bool:
    """Whether the margin ever moves against the direction, by trying every row."""
    shape = (42, 43, 5)
    margins = sign * TreeScorer(ensemble).margins(grid()).reshape(shape)
    if feature == 1:
        margins = margins[:, :-1]  # the last is the missing one
    return bool((np.diff(margins, axis=feature) < 0).any())


@pytest.mark.parametrize("kind", KINDS)
def test_a_declared_direction_is_kept_by_every_row(kind: type[XGBoost | LightGBM]) -> None:
    free, held = grown(kind, monotone={}), grown(kind, monotone=MONOTONE)
    for feature, (name, sign) in enumerate(MONOTONE.items()):
        assert falls(free, feature, sign)
        assert violations(free, {name: sign})[name] > 0
        assert not falls(held, feature, sign)
    assert violations(held, MONOTONE) == {}
    assert set(violations(held, {"income": 1, "utilisation": -1})) == set(MONOTONE)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), trees=st.integers(1, 3), depth=st.integers(1, 4))
def test_what_is_proved_of_trees_is_what_rows_show(seed: int, trees: int, depth: int) -> None:
    """One tree at a time, the proof and every row agree; a sum of trees may only do better."""
    random = np.random.default_rng(seed)
    ensemble = grown(XGBoost, monotone={}, trees=trees, max_depth=depth, seed=seed, subsample=0.5)
    # other leaves, so that some trees keep to a direction and some do not
    values = np.where(ensemble.feature < 0, np.round(random.normal(size=len(ensemble.value)), 1), 0)
    for tree in range(ensemble.trees):
        first, last = ensemble.tree_start[tree : tree + 2]
        alone = np.zeros_like(values)
        alone[first:last] = values[first:last]
        one = replace(ensemble, value=alone)
        for feature, (name, sign) in enumerate(MONOTONE.items()):
            if falls(one, feature, sign):
                assert name in violations(one, {name: sign})
            elif not (ensemble.category_set[first:last] >= 0).any():
                assert violations(one, {name: sign}) == {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "monotone", [{"income": 2}, {"income": True}, {"income": "up"}, {3: 1}, ["income"]]
)
def test_a_direction_is_one_or_minus_one(kind: type[XGBoost | LightGBM], monotone: object) -> None:
    with pytest.raises(DefinitionError, match="monotone="):
        kind(monotone=monotone)  # type: ignore[arg-type]  # the mistake


@pytest.mark.parametrize("name", ["incme", "region"])
def test_a_direction_is_of_a_feature_that_is_a_number(name: str) -> None:
    class Application(hr.Event):
        application_id: hr.Id
        at: hr.EventTime
        income: hr.Float
        region: hr.Category

    applications = hr.stream(Application, name="applications")
    with pytest.raises(DefinitionError, match=f"names '{name}'") as caught:
        hr.UseCase(
            on=applications,
            features=hr.features(income=applications.income, region=applications.region),
            model=hr.XGBoost(monotone={name: 1}),
        )
    assert caught.value.at is not None
    assert caught.value.at.path == __file__


def test_an_unknown_calibration_is_refused() -> None:
    with pytest.raises(DefinitionError, match="isotonic, platt, beta"):
        XGBoost(calibration="sigmoid")  # type: ignore[arg-type]  # the mistake
