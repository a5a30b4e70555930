"""Diagnostics: series whose answer is known, and classes counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

import headrace as hr
from headrace_solutions.trading_signal import diagnostics
from headrace_solutions.trading_signal.diagnostic_plots import series_parts
from headrace_solutions.trading_signal.diagnostics import Told

SECOND = 1_000_000_000


def test_the_correlation_of_a_series_with_itself_is_that_of_its_making() -> None:
    random = np.random.default_rng(1)
    shocks = random.normal(size=20_000)
    values = np.empty_like(shocks)
    values[0] = shocks[0]
    for n in range(1, len(shocks)):
        values[n] = 0.6 * values[n - 1] + shocks[n]
    found = diagnostics.autocorrelation(values, 5)
    assert found.returns == pytest.approx(0.6 ** np.arange(1, 6), abs=0.03)
    noise = diagnostics.autocorrelation(shocks, 40)
    assert (np.abs(noise.returns) > noise.band).mean() < 0.15
    assert noise.band == pytest.approx(1.96 / np.sqrt(20_000), rel=1e-3)
    centred = values - values.mean()
    by_hand = (centred[1:] @ centred[:-1]) / (centred @ centred)
    assert found.returns[0] == pytest.approx(by_hand)


def test_wild_times_that_follow_each_other_show_in_absolute_returns_alone() -> None:
    random = np.random.default_rng(2)
    spread = np.repeat(random.choice([0.2, 3.0], 200), 50)
    found = diagnostics.autocorrelation(random.normal(size=10_000) * spread, 10)
    assert (found.absolute > 5 * found.band).all()
    assert (np.abs(found.returns) < 5 * found.band).all()


def test_a_season_is_found_and_where_there_is_none_it_is_weak() -> None:
    random = np.random.default_rng(3)
    wave = 10 * np.sin(2 * np.pi * np.arange(240) / 24)
    found = diagnostics.decomposition(50 + wave + random.normal(size=240), 24)
    assert np.abs(found.season - wave).mean() < 1.0
    assert found.strength > 0.9
    assert found.observed == pytest.approx(found.trend + found.season + found.rest)
    assert diagnostics.decomposition(50 + random.normal(size=240), 24).strength < 0.5
    with pytest.raises(hr.DataError, match="two periods"):
        diagnostics.decomposition(wave[:40], 24)


def test_a_random_walk_has_a_unit_root_and_its_steps_have_none() -> None:
    steps = np.random.default_rng(4).normal(size=2_000)
    assert diagnostics.stationarity(np.cumsum(steps)).says == "a unit root"
    assert diagnostics.stationarity(steps).says == "stationary"
    with pytest.raises(hr.DataError, match="not all alike"):
        diagnostics.stationarity(np.zeros(100))


def told_of(mid: list[float], told: list[int]) -> Told:
    at = np.arange(len(mid)) * SECOND
    key = np.zeros(len(mid), dtype=np.int64)
    before = np.array([10.0, 11.0, 12.0, 12.0, 11.0, 10.0, 10.0] * 20)
    times = np.arange(len(before)) * SECOND - 10_000 * SECOND
    return Told(
        at, key, np.array(mid), np.array(told), 0,
        (times, np.zeros(len(before), dtype=np.int64), before),
    )  # fmt: skip


def test_classes_come_true_by_a_threshold_of_the_time_before() -> None:
    # a third of the moves before are 0, so that a move of any size is none
    told = told_of([1.0, 2.0, 2.0, 1.5], [0, 0, 2, 2])
    assert told.truth(SECOND).tolist() == [0, 1, 2, -1]


def test_f1_by_horizon_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(6)
    mid = np.round(np.cumsum(random.normal(size=500)), 1)
    told = told_of(mid.tolist(), random.integers(0, 3, 500).tolist())
    (found,) = diagnostics.by_horizon(told, [2.0])
    truth = told.truth(2 * SECOND)
    rows = truth >= 0
    assert found.events == rows.sum() == 498
    assert found.apart == 249
    assert found.f1 == pytest.approx(
        metrics.f1_score(truth[rows], told.told[rows], average="macro")
    )
    assert 0.0 < found.error < 0.1


def test_a_signal_that_is_right_decays_when_it_is_acted_on_late() -> None:
    random = np.random.default_rng(7)
    mid = np.cumsum(random.choice([-1.0, 0.0, 1.0], 600))
    told = told_of(mid.tolist(), [0] * 600)
    right = told_of(mid.tolist(), np.maximum(told.truth(SECOND), 0).tolist())
    fresh, late = diagnostics.by_staleness(right, 1.0, [0.0, 3.0])
    assert fresh.f1 == 1.0
    assert late.f1 == pytest.approx(1 / 3, abs=0.08)
    assert late.events == fresh.events - 3


def test_regimes_part_events_in_thirds() -> None:
    random = np.random.default_rng(8)
    mid = np.cumsum(random.choice([-1.0, 0.0, 1.0], 602))
    told = told_of(mid.tolist(), [0] * 602)
    truth = np.maximum(told.truth(SECOND), 0)
    volatility = random.random(602)
    # right in wild times alone
    said = np.where(volatility > 2 / 3, truth, (truth + 1) % 3)
    found = diagnostics.by_regime(told_of(mid.tolist(), said.tolist()), 1.0, volatility)
    assert [score.name for score in found] == ["calm", "middle", "wild"]
    assert sum(score.events for score in found) == 601
    assert found[0].f1 < 0.1
    assert found[2].f1 > 0.9


def test_series_too_short_are_left_out_with_the_reason() -> None:
    said, tables, makers = series_parts(np.arange(5) * SECOND, np.full(5, 10.0))
    assert "Left out: 4 returns over 30 lags" in said
    assert "Left out: 4 s are too short for a season" in said
    assert (tables, makers) == ([], [])


def test_a_long_series_is_drawn_whole() -> None:
    random = np.random.default_rng(9)
    moments = np.sort(random.integers(0, 400 * SECOND, 3_000))
    mid = 100 * np.exp(np.cumsum(random.normal(0, 1e-4, 3_000)))
    said, tables, makers = series_parts(moments, mid)
    assert said == "Mids are sampled every second."
    assert [row[0] for row in tables[0][2]] == ["log mid", "returns"]
    titles = [make().title for make in makers]
    assert titles == [
        "Autocorrelation of returns",
        "Autocorrelation of absolute returns",
        "Season of activity",
        "Trend of activity",
    ]
