"""Rows a second of the tree scorer and its exact contributions, beside XGBoost's own, one thread.

    python benchmarks/scorer.py

Twenty features, 5 % missing; both sides in the same process on one thread. Times are the processor
time of that thread, so that other work on the machine does not count; medians of several runs.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
import xgboost

from headrace.models.contributions import ContributionScorer
from headrace.models.scorer import TreeScorer
from headrace.models.xgboost_format import read_xgboost

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ROWS = 16_384
EXPLAINED_BY_XGBOOST = 200
CALLS = 100
FEATURES = 20
RUNS = 7


def seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    """The median time of a piece of work, after one run to warm up."""
    work()
    times = []
    for _ in range(runs):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return statistics.median(times)


def calls(work: Callable[[], object]) -> float:
    """The microseconds of one call, when it is called many times."""

    def many() -> None:
        for _ in range(CALLS):
            work()

    return seconds(many) * 1e6 / CALLS


def compare(trees: int, depth: int, table: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
    """Train one model and print what both sides take for it."""
    data = xgboost.DMatrix(table, labels)
    parameters = {"objective": "binary:logistic", "max_depth": depth, "nthread": 1}
    booster = xgboost.train(parameters, data, trees)
    booster.set_param({"nthread": 1})
    ensemble = read_xgboost(booster)
    scorer = TreeScorer(ensemble)
    explainer = ContributionScorer(ensemble, scorer)
    X = np.ascontiguousarray(table.T)
    one = np.ascontiguousarray(X[:, :1])
    few = table[:EXPLAINED_BY_XGBOOST]

    score = ROWS / seconds(lambda: scorer.margins(X))
    explain = ROWS / seconds(lambda: explainer.explain(X))
    theirs = ROWS / seconds(lambda: booster.predict(xgboost.DMatrix(table, nthread=1)), 3)
    few_matrix = xgboost.DMatrix(few, nthread=1)
    contributions = len(few) / seconds(lambda: booster.predict(few_matrix, pred_contribs=True), 3)
    alone = calls(lambda: scorer.margins(one))
    explained_alone = calls(lambda: explainer.contributions(one))
    print(f"{trees} trees of depth {depth}, tables {explainer.table_bytes / 1e6:.1f} MB")
    print(f"  score          {score:>10,.0f} rows/s {score / theirs:>6.1f} x XGBoost {theirs:,.0f}")
    ratio = explain / contributions
    print(f"  and reasons    {explain:>10,.0f} rows/s {ratio:>6.0f} x XGBoost {contributions:,.0f}")
    print(
        f"  one row alone  {alone:.1f} us, its contributions {explained_alone:.0f} us", flush=True
    )


def main() -> None:
    """Compare both on three shapes of model."""
    random = np.random.default_rng(7)
    table = random.normal(size=(ROWS, FEATURES))
    table[:, 10:] = np.exp(table[:, 10:])
    table[random.random(table.shape) < 0.05] = np.nan
    total = np.nan_to_num(table[:, 0] + table[:, 1] * table[:, 2]) + random.normal(size=ROWS)
    labels = (total > 1.5).astype(np.int64)
    for trees, depth in ((400, 3), (300, 4), (200, 6)):
        compare(trees, depth, table, labels)


if __name__ == "__main__":
    main()
