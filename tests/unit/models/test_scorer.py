from __future__ import annotations

import numpy as np
import pytest
import xgboost

from headrace.core.errors import DataError
from headrace.models.scorer import TreeScorer
from headrace.models.xgboost_format import read_xgboost


@pytest.mark.parametrize(("trees", "depth"), [(1, 1), (7, 3), (20, 6), (3, 10)])
def test_the_margin_is_xgboosts_in_every_bit(trees: int, depth: int) -> None:
    random = np.random.default_rng(trees)
    table = random.normal(size=(9000, 6))
    table[random.random(table.shape) < 0.1] = np.nan
    labels = np.nan_to_num(table[:, 0] * table[:, 1]) + random.normal(size=9000) > 0.5
    data = xgboost.DMatrix(table, labels)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": depth}, data, trees)
    scorer = TreeScorer(read_xgboost(booster))
    X = np.ascontiguousarray(table.T)
    expected = booster.predict(data, output_margin=True).astype(np.float64)
    assert scorer.margins(X).tobytes() == expected.tobytes()
    for low, high in [(0, 1), (5, 17), (400, 1000), (4090, 8999)]:
        part = scorer.margins(X, low=low, high=high)
        assert part.tobytes() == expected[low:high].tobytes()
    rows = random.integers(0, 9000, 5000)
    assert scorer.margins(X, rows=rows).tobytes() == expected[rows].tobytes()


def test_what_a_kernel_could_not_read_is_refused() -> None:
    random = np.random.default_rng(1)
    table = random.normal(size=(50, 3))
    data = xgboost.DMatrix(table, table[:, 0] > 0)
    scorer = TreeScorer(read_xgboost(xgboost.train({"objective": "binary:logistic"}, data, 2)))
    X = np.ascontiguousarray(table.T)
    with pytest.raises(DataError, match="C-contiguous float64"):
        scorer.margins(X.astype(np.float32))
    with pytest.raises(DataError, match="C-contiguous float64"):
        scorer.margins(table.T)
    with pytest.raises(DataError, match="X has 2 features"):
        scorer.margins(X[:2])
    with pytest.raises(DataError, match="X has 50 rows"):
        scorer.margins(X, rows=np.array([50]))
    with pytest.raises(DataError, match="rows 3 to 51"):
        scorer.margins(X, low=3, high=51)
    with pytest.raises(DataError, match="float64 with 50 places"):
        scorer.margins(X, np.empty(3))
    with pytest.raises(DataError, match="contiguous float64"):
        scorer.margins(X, np.empty(100)[::2])
