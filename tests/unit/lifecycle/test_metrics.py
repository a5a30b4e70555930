from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headrace.core.errors import DataError
from headrace.lifecycle import metrics

EVENTS = st.lists(
    st.tuples(
        st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.51, 0.9, 1.0]) | st.floats(0, 1)
    ),
    min_size=1,
    max_size=60,
)


def columns(events: list[tuple[bool, float]]) -> tuple[Any, Any]:
    labels, scores = zip(*events, strict=True)
    return np.array(labels), np.array(scores)


@settings(max_examples=150, deadline=None)
@given(EVENTS)
def test_ranking_figures_equal_those_of_scikit_learn(events: list[tuple[bool, float]]) -> None:
    labels, scores = columns(events)
    assume(labels.any())
    assert metrics.average_precision(labels, scores) == pytest.approx(
        sklearn.metrics.average_precision_score(labels, scores), abs=1e-12
    )
    precision, recall, _ = sklearn.metrics.precision_recall_curve(labels, scores)
    mine = metrics.precision_recall_curve(labels, scores)
    assert np.allclose(mine.precision, precision[:-1][::-1], atol=1e-15)
    assert np.allclose(mine.recall, recall[:-1][::-1], atol=1e-15)
    assert metrics.brier(labels, scores) == pytest.approx(
        sklearn.metrics.brier_score_loss(labels, scores, pos_label=True), abs=1e-15
    )
    assume(not labels.all())
    assert metrics.roc_auc(labels, scores) == pytest.approx(
        sklearn.metrics.roc_auc_score(labels, scores), abs=1e-12
    )
    found = metrics.roc_curve(labels, scores)
    false, true, threshold = sklearn.metrics.roc_curve(labels, scores, drop_intermediate=False)
    assert np.allclose(found.false_positive, false, atol=1e-15)
    assert np.allclose(found.true_positive, true, atol=1e-15)
    assert np.array_equal(found.threshold, threshold)


@settings(max_examples=100, deadline=None)
@given(EVENTS, st.booleans())
def test_calibration_equals_that_of_scikit_learn(
    events: list[tuple[bool, float]],
    equal_counts: bool,  # noqa: FBT001 - drawn
) -> None:
    labels, scores = columns(events)
    mine = metrics.calibration(labels, scores, bins=5, equal_counts=equal_counts)
    assert mine.count.sum() == len(events)
    assume(labels.any() and not labels.all())
    observed, predicted = sklearn.calibration.calibration_curve(
        labels, scores, n_bins=5, strategy="quantile" if equal_counts else "uniform"
    )
    assert np.allclose(mine.predicted, predicted, atol=1e-12)
    assert np.allclose(mine.observed, observed, atol=1e-12)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from([0.1, 0.2, 0.3, 0.9]),
            st.integers(0, 5),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 4),
)
def test_card_precision_is_what_a_team_would_find(events: list[Any], k: int) -> None:
    found: set[int] = set()
    shares = []
    for day in sorted({event[3] for event in events}):
        highest: dict[int, float] = {}
        guilty = set()
        for fraud, score, card, when in events:
            if when == day and card not in found:
                highest[card] = max(highest.get(card, 0.0), score)
                if fraud:
                    guilty.add(card)
        top = sorted(sorted(highest), key=lambda card: -highest[card])[:k]
        caught = [card for card in top if card in guilty]
        shares.append(len(caught) / k)
        found |= set(caught)
    fraud, score, card, day = zip(*events, strict=True)
    assert metrics.card_precision_at(fraud, score, card, day, k) == pytest.approx(np.mean(shares))


@pytest.mark.slow
def test_the_handbooks_published_tree_comes_out_as_published() -> None:
    folder = os.environ.get("HEADRACE_DATA")
    if folder is None:
        pytest.skip("HEADRACE_DATA names no folder")
    pl = pytest.importorskip("polars")
    from sklearn.tree import DecisionTreeClassifier  # noqa: PLC0415 - for this test alone

    source = Path(folder) / "fraud_handbook"
    raw = pl.read_parquet(source / "transactions_dev_2018-04-01_2018-09-04.parquet")
    inputs = pl.read_parquet(source / "feature_oracle_2018-07-25_2018-08-14.parquet")
    frame = raw.join(inputs, on="TRANSACTION_ID", how="inner", suffix="_again")
    frame = frame.with_columns(day=pl.col("TX_TIME_DAYS").cast(pl.Int64))
    first = int(frame["day"].min())
    train = frame.filter(pl.col("day") < first + 7)
    known = set(train.filter(pl.col("TX_FRAUD") == 1)["CUSTOMER_ID"].to_list())
    parts = []
    for later in range(7):
        told = frame.filter((pl.col("day") == first + 6 + later) & (pl.col("TX_FRAUD") == 1))
        known |= set(told["CUSTOMER_ID"].to_list())
        today = frame.filter(pl.col("day") == first + 14 + later)
        parts.append(today.filter(~pl.col("CUSTOMER_ID").is_in(sorted(known))))
    test = pl.concat(parts)
    assert (train.height, test.height) == (67_240, 58_264)
    assert int(test["TX_FRAUD"].sum()) == 385
    names = [
        "TX_AMOUNT",
        *(
            name
            for name in inputs.columns
            if "WEEKEND" in name or "NIGHT" in name or "WINDOW" in name
        ),
    ]
    assert len(names) == 15
    tree = DecisionTreeClassifier(max_depth=2, random_state=0).fit(
        train.select(names).to_numpy(), train["TX_FRAUD"].to_numpy()
    )
    scores = tree.predict_proba(test.select(names).to_numpy())[:, 1]
    labels = test["TX_FRAUD"].to_numpy() == 1
    assert round(metrics.roc_auc(labels, scores), 3) == 0.763
    assert round(metrics.average_precision(labels, scores), 3) == 0.496
    precision = metrics.card_precision_at(labels, scores, test["CUSTOMER_ID"], test["day"], 100)
    assert precision == pytest.approx(0.241, abs=0.002)


def test_money_is_saved_above_a_threshold_and_lost_below_it() -> None:
    labels = [True, True, False, True]
    scores = [0.9, 0.5, 0.5, 0.1]
    curve = metrics.money_curve(
        labels,
        scores,
        [100.0, 40.0, 9.0, 7.0],
        cost_per_alarm=5.0,
        thresholds=[0.05, 0.5, 0.6, 1.0],
    )
    assert curve.alarms.tolist() == [4, 3, 1, 0]
    assert curve.saved.tolist() == [147.0, 140.0, 100.0, 0.0]
    assert curve.missed.tolist() == [0.0, 7.0, 47.0, 147.0]
    assert curve.net.tolist() == [127.0, 125.0, 95.0, 0.0]
    assert curve.best == 0


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(DataError, match="all 2 events are frauds"):
        metrics.roc_auc([True, True], [0.1, 0.2])
    with pytest.raises(DataError, match="none of 1 events"):
        metrics.average_precision([False], [0.1])
    with pytest.raises(DataError, match="1 scores are missing"):
        metrics.brier([True], [float("nan")])
    with pytest.raises(DataError, match="one of each"):
        metrics.brier([True], [0.5, 0.5])
    with pytest.raises(DataError, match="probabilities"):
        metrics.calibration([True], [1.5])
    with pytest.raises(DataError, match="at least 1"):
        metrics.precision_at([True], [0.5], 0)
    with pytest.raises(DataError, match="amounts"):
        metrics.money_curve([True], [0.5], [1.0, 2.0], cost_per_alarm=1.0)
    with pytest.raises(DataError, match="a card and a day"):
        metrics.card_precision_at([True], [0.5], [1, 2], [1])


def test_calibration_error_weighs_every_bin_the_same() -> None:
    scores = np.repeat([0.1, 0.3, 0.8], [10, 10, 10])
    labels = np.concatenate([np.arange(10) < 2, np.arange(10) < 3, np.arange(10) < 6])
    found = metrics.calibration_error(labels, scores, bins=3)
    assert found == pytest.approx(np.sqrt((0.1**2 + 0.0**2 + 0.2**2) / 3))
    wide = metrics.calibration_error(labels, scores, bins=2, equal_counts=False)
    assert wide == pytest.approx(np.sqrt((0.05**2 + 0.2**2) / 2))
