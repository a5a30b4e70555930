"""Figures of classes against scikit-learn's, and errors against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as known

from headrace.core.errors import DataError
from headrace.lifecycle.classification import (
    block_error,
    blocks,
    class_metrics,
    macro_f1,
    paired_test,
)

NAMES = ("up", "flat", "down")


def drawn(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, count)
    scores = random.random((3, count))
    scores[truth, np.arange(count)] += 0.3
    return truth, scores / scores.sum(axis=0)


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_the_field(seed: int) -> None:
    truth, scores = drawn(seed)
    told = scores.argmax(axis=0)
    found = class_metrics(truth, scores, NAMES)
    precision, recall, f1, _ = known.precision_recall_fscore_support(truth, told, labels=range(3))
    np.testing.assert_array_equal(found.confusion, known.confusion_matrix(truth, told))
    np.testing.assert_allclose(found.precision, precision)
    np.testing.assert_allclose(found.recall, recall)
    np.testing.assert_allclose(found.f1, f1)
    assert found.macro_f1 == pytest.approx(known.f1_score(truth, told, average="macro"))
    for place in range(3):
        area = known.roc_auc_score(truth == place, scores[place])
        assert found.auc[place] == pytest.approx(area)
    assert set(found.plain()) >= {"macro-F1", "precision up", "recall flat", "AUC down"}


def test_a_class_that_is_not_there_counts_as_nothing() -> None:
    truth = np.array([0, 0, 1])
    scores = np.array([[0.9, 0.2, 0.1], [0.1, 0.8, 0.9], [0.0, 0.0, 0.0]])
    found = class_metrics(truth, scores, NAMES)
    assert found.f1[2] == 0.0
    assert np.isnan(found.auc[2])
    with pytest.raises(DataError, match="1 of them missing"):
        class_metrics(truth, np.where(scores == 0.9, np.nan, scores)[:, :1], NAMES)


def test_blocks_are_neighbours_round_the_end() -> None:
    for rows in blocks(10, 4, 20, seed=1):
        assert len(rows) == 10
        for first in (0, 4):
            assert (np.diff(rows[first : first + 4]) % 10).tolist() == [1, 1, 1]
    with pytest.raises(DataError, match="blocks of 11 among 10"):
        next(blocks(10, 11, 1, seed=0))


def test_the_error_of_a_mean_knows_that_neighbours_depend_on_each_other() -> None:
    random = np.random.default_rng(3)
    shocks = random.normal(size=6_000)
    values = np.empty_like(shocks)
    values[0] = shocks[0]
    for n in range(1, len(values)):
        values[n] = 0.8 * values[n - 1] + shocks[n]

    def mean(rows: np.ndarray) -> float:
        return float(values[rows].mean())

    # the mean of such a series has a standard deviation of 1 / (1 - 0.8) / sqrt(n)
    true = 5.0 / np.sqrt(len(values))
    assert block_error(mean, len(values), length=100, draws=300) == pytest.approx(true, rel=0.25)
    assert block_error(mean, len(values), length=1, draws=300) < 0.6 * true


def test_a_better_model_is_found_better_and_an_equal_one_is_not() -> None:
    truth, scores = drawn(9, 1_500)
    told = scores.argmax(axis=0)
    random = np.random.default_rng(5)
    spoilt = np.where(random.random(len(truth)) < 0.3, random.integers(0, 3, len(truth)), told)
    better = paired_test(truth, told, spoilt, 3, length=20, draws=200)
    assert better.difference > 0
    assert better.p < 0.05
    assert better.difference == macro_f1(truth, told, 3) - macro_f1(truth, spoilt, 3)
    same = paired_test(truth, told, told, 3, length=20, draws=200)
    assert (same.difference, same.p) == (0.0, 1.0)


def test_models_of_the_same_worth_are_seldom_told_apart() -> None:
    refused = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        truth = random.integers(0, 3, 300)
        one, other = (
            np.where(random.random(300) < 0.5, truth, random.integers(0, 3, 300)) for _ in range(2)
        )
        refused += paired_test(truth, one, other, 3, length=5, draws=99, seed=seed).p <= 0.05
    # 2 of 40 are expected; 8 or more come about once in a thousand such tests
    assert refused < 8
