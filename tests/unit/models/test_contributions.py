from __future__ import annotations

import itertools
import math
import os
import time
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray

from headrace.models import contributions as module
from headrace.models.contributions import ContributionScorer, cover_ratio
from headrace.models.ensemble import Missing, TreeEnsemble
from headrace.models.lightgbm_format import ZERO_MAX, read_lightgbm
from headrace.models.scorer import TreeScorer
from headrace.models.xgboost_format import read_xgboost

Random = np.random.Generator
Table = NDArray[np.float64]


def make_table(random: Random, rows: int, categorical: list[int], features: int) -> Table:
    """Numbers of several kinds: normal, skewed, whole, with zeros, missing or categories."""
    table = random.normal(size=(rows, features))
    for column in range(features):
        kind = random.integers(4)
        if kind == 1:
            table[:, column] = np.exp(3 * table[:, column])
        elif kind == 2:
            table[:, column] = np.round(2 * table[:, column])
        if column in categorical:
            table[:, column] = random.integers(0, random.integers(2, 40), rows)
        if random.random() < 0.6:
            table[random.random(rows) < random.uniform(0, 0.4), column] = np.nan
    return table


def strange_rows(random: Random, table: Table, ensemble: TreeEnsemble) -> Table:
    """Rows with what training never saw: thresholds met exactly, zeros, denormals, extremes."""
    rows = table[random.integers(0, len(table), 150)].copy()
    for row in rows:
        column = int(random.integers(rows.shape[1]))
        thresholds = ensemble.threshold[ensemble.feature == column]
        near = [0.0, -0.0, 1e-40, -1e-40, 5e-324, 1e-35, -1e-35, 2e-35, 1e30, -1e30, math.nan]
        if ensemble.feature_types[column] == "c":
            near = [-1.0, 0.0, -0.0, 2.7, 39.0, 40.0, 1e6, math.nan]
        elif len(thresholds):
            held = float(random.choice(thresholds))
            near += [held, math.nextafter(held, math.inf), math.nextafter(held, -math.inf)]
            near += [float(np.nextafter(np.float32(held), np.float32(-3e38)))]
        row[column] = random.choice(near)
        if random.random() < 0.1:
            row[:] = math.nan
    return rows


def labels_for(random: Random, table: Table) -> NDArray[np.int64]:
    """Labels that depend on the columns, with noise."""
    total = np.nan_to_num(table) @ random.normal(size=table.shape[1])
    return (total + random.normal(size=len(table)) > np.median(total)).astype(np.int64)


def random_xgboost(random: Random) -> tuple[TreeEnsemble, Any, Table]:
    features = int(random.integers(1, 7))
    categorical = [c for c in range(features) if random.random() < 0.25]
    rows = int(random.integers(30, 600))
    table = make_table(random, rows, categorical, features)
    types = ["c" if column in categorical else "float" for column in range(features)]
    parameters: dict[str, Any] = {
        "objective": str(random.choice(["binary:logistic", "binary:logitraw", "reg:squarederror"])),
        "max_depth": int(random.choice([1, 2, 3, 4, 6, 9, 12])),
        "min_child_weight": float(random.choice([0, 0.1, 1, 5])),
        "gamma": float(random.choice([0, 0, 0.5, 50])),
        "subsample": float(random.choice([1, 0.6])),
        "eta": float(random.choice([0.05, 0.3, 1])),
        "lambda": float(random.choice([0, 1])) + 1e-3,
        "max_cat_to_onehot": int(random.choice([1, 4, 50])),
        "num_parallel_tree": int(random.choice([1, 1, 3])),
        "scale_pos_weight": float(random.choice([1, 20])),
        "max_bin": int(random.choice([8, 256])),
        "seed": int(random.integers(1000)),
        "nthread": 1,
        "tree_method": "hist" if categorical else str(random.choice(["hist", "exact", "approx"])),
        "booster": str(random.choice(["gbtree", "gbtree", "gbtree", "dart"])),
    }
    if parameters["booster"] == "dart":
        parameters["rate_drop"] = 0.4
    if random.random() < 0.4:
        parameters["base_score"] = float(random.uniform(0.01, 0.99))
    if parameters["tree_method"] == "hist" and random.random() < 0.3:
        parameters |= {"grow_policy": "lossguide", "max_leaves": 40, "max_depth": 0}
    data = xgboost.DMatrix(
        table, labels_for(random, table), feature_types=types, enable_categorical=True
    )
    booster = xgboost.train(parameters, data, int(random.integers(1, 12)))
    return read_xgboost(booster), booster, table


def check_xgboost(seed: int) -> None:
    random = np.random.default_rng(seed)
    ensemble, booster, table = random_xgboost(random)
    rows = strange_rows(random, table, ensemble)
    rows[np.abs(rows) > 3e38] = np.nan  # the library takes no infinite values
    types = list(ensemble.feature_types)
    data = xgboost.DMatrix(rows, feature_types=types, enable_categorical=True)
    X = np.ascontiguousarray(rows.T)
    margins = booster.predict(data, output_margin=True).astype(np.float64)
    ours = TreeScorer(ensemble)
    assert ours.margins(X).tobytes() == margins.tobytes()
    assert ours.margins(X, high=5).tobytes() == margins[:5].tobytes()
    assert np.allclose(ours.probabilities(margins), booster.predict(data), rtol=0, atol=1e-6)
    expected = booster.predict(data, pred_contribs=True).astype(np.float64).T
    found = ContributionScorer(ensemble).contributions(X)
    scale = np.maximum(1, np.abs(expected).sum(axis=0))
    assert (np.abs(found - expected) / scale).max() < 1e-5


def random_lightgbm(random: Random) -> tuple[TreeEnsemble, Any, Table]:
    features = int(random.integers(1, 7))
    categorical = [c for c in range(features) if random.random() < 0.25]
    table = make_table(random, int(random.integers(60, 800)), categorical, features)
    parameters: dict[str, Any] = {
        "objective": str(random.choice(["binary", "regression"])),
        "num_leaves": int(random.choice([2, 4, 16, 31, 255])),
        "min_data_in_leaf": int(random.choice([1, 5, 20])),
        "min_data_per_group": int(random.choice([1, 50])),
        "cat_smooth": float(random.choice([0.1, 10])),
        "max_cat_to_onehot": int(random.choice([1, 4, 50])),
        "zero_as_missing": bool(random.random() < 0.3),
        "use_missing": bool(random.random() < 0.8),
        "max_bin": int(random.choice([8, 255])),
        "boosting": str(random.choice(["gbdt", "gbdt", "dart", "rf"])),
        "bagging_freq": 1,
        "bagging_fraction": 0.7,
        "seed": int(random.integers(1000)),
        "num_threads": 1,
        "verbose": -1,
        "sigmoid": float(random.choice([1, 2.5])),
    }
    data = lightgbm.Dataset(
        table, labels_for(random, table), categorical_feature=categorical or "auto"
    )
    booster = lightgbm.train(parameters, data, int(random.integers(1, 12)))
    return read_lightgbm(booster), booster, table


def check_lightgbm(seed: int) -> None:
    random = np.random.default_rng(seed)
    ensemble, booster, table = random_lightgbm(random)
    rows = strange_rows(random, table, ensemble)
    X = np.ascontiguousarray(rows.T)
    margins = booster.predict(rows, raw_score=True, num_threads=1)
    ours = TreeScorer(ensemble)
    predicted = booster.predict(rows, num_threads=1)
    assert np.allclose(ours.probabilities(margins), predicted, rtol=1e-12, atol=0)
    assert ours.margins(X).tobytes() == margins.tobytes()
    assert ours.margins(X, high=5).tobytes() == margins[:5].tobytes()
    expected = booster.predict(rows, pred_contrib=True, num_threads=1).T
    found = ContributionScorer(ensemble).contributions(X)
    scale = np.maximum(1, np.abs(expected).sum(axis=0))
    assert (np.abs(found - expected) / scale).max() < 1e-9


@pytest.mark.parametrize("seed", [*range(40), 1119])
def test_any_xgboost_model_is_repeated(seed: int) -> None:
    check_xgboost(seed)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_lightgbm_model_is_repeated(seed: int) -> None:
    check_lightgbm(seed)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_models_are_repeated_for_as_long_as_asked() -> None:
    end = time.monotonic() + float(os.environ.get("HEADRACE_PROPERTY_SECONDS", "5"))
    for seed in itertools.count(1000):
        check_xgboost(seed)
        check_lightgbm(seed)
        if time.monotonic() > end:
            break


def goes_right(ensemble: TreeEnsemble, node: int, x: float) -> bool:
    """One split, as the libraries document it."""
    missing = Missing(int(ensemble.missing[node]))
    number = int(ensemble.category_set[node])
    x = float(np.float32(x)) if ensemble.single else 0.0 if abs(x) <= ZERO_MAX else x
    if number >= 0:
        if math.isnan(x):
            return missing == Missing.RIGHT
        start, end = ensemble.set_start[number : number + 2]
        inside = int(x) in ensemble.set_codes[start:end] and (x >= 0 or not ensemble.single)
        return bool(inside == ensemble.inside_right)
    if missing in {Missing.LEFT_WITH_ZERO, Missing.RIGHT_WITH_ZERO}:
        if math.isnan(x) or x == 0:
            return missing == Missing.RIGHT_WITH_ZERO
    elif math.isnan(x):
        if missing != Missing.AS_ZERO:
            return missing == Missing.RIGHT
        x = 0.0
    return bool(x >= ensemble.threshold[node])


def expectation(ensemble: TreeEnsemble, node: int, row: Table, known: set[int]) -> float:
    """What a tree is expected to add, when only some features of the row are known."""
    feature = int(ensemble.feature[node])
    if feature < 0:
        return float(ensemble.value[node])
    children = int(ensemble.left[node]), int(ensemble.right[node])
    if feature in known:
        right = goes_right(ensemble, node, float(row[feature]))
        return expectation(ensemble, children[right], row, known)
    return sum(
        cover_ratio(ensemble, node, child) * expectation(ensemble, child, row, known)
        for child in children
    )


def brute_force(ensemble: TreeEnsemble, row: Table) -> list[float]:
    """Shapley values by their definition: every subset of features."""
    features = ensemble.features
    worth = {}
    for size in range(features + 1):
        for known in itertools.combinations(range(features), size):
            worth[known] = sum(
                expectation(ensemble, int(root), row, set(known))
                for root in ensemble.tree_start[:-1]
            )
    values = []
    for feature in range(features):
        total = 0.0
        for known, held in worth.items():
            if feature not in known:
                weight = math.factorial(len(known)) * math.factorial(features - len(known) - 1)
                joined = tuple(sorted((*known, feature)))
                total += weight / math.factorial(features) * (worth[joined] - held)
        values.append(total)
    return [*values, worth[()] + ensemble.base_margin]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("bound", [module.TABLE_BYTES_MAX, 0])
def test_contributions_are_shapley_values_by_definition(
    seed: int, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TABLE_BYTES_MAX", bound)
    random = np.random.default_rng(500 + seed)
    make = random_xgboost if seed % 2 else random_lightgbm
    ensemble, _, table = make(random)
    rows = strange_rows(random, table, ensemble)[:3]
    scorer = ContributionScorer(ensemble)
    if bound == 0:
        splits = [ensemble.depth(tree) > 0 for tree in range(ensemble.trees)]
        assert scorer.walked_trees == sum(splits)
    found = scorer.contributions(np.ascontiguousarray(rows.T))
    for column, row in zip(found.T, rows, strict=True):
        expected = np.array(brute_force(ensemble, row))
        scale = max(1.0, float(np.abs(expected).sum()))
        assert np.abs(column - expected).max() < scale * (2e-6 if ensemble.single else 1e-12)
