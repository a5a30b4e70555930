"""Sharpe ratios against their sources' examples and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from headrace.core.errors import DataError
from headrace.lifecycle.sharpe import (
    Sharpe,
    annualised_sharpe,
    deflated_sharpe,
    expected_maximum,
    sharpe,
)


def test_moments_are_those_of_the_returns() -> None:
    returns = np.array([0.02, -0.01, 0.03, 0.0, -0.02])
    found = sharpe(returns)
    assert found.ratio == pytest.approx(returns.mean() / returns.std(ddof=1))
    centred = returns - returns.mean()
    spread = math.sqrt(float(np.mean(centred**2)))
    assert found.skewness == pytest.approx(float(np.mean(centred**3)) / spread**3)
    assert found.kurtosis == pytest.approx(float(np.mean(centred**4)) / spread**4)


def test_the_error_for_normal_returns_is_that_of_lo() -> None:
    # Lo (2002), equation 9: sqrt((1 + SR ** 2 / 2) / T), here with T - 1
    found = Sharpe(ratio=0.5, count=61, skewness=0.0, kurtosis=3.0)
    assert found.error == pytest.approx(math.sqrt((1 + 0.5 * 0.25) / 60))


def test_the_error_is_the_spread_of_ratios_that_were_drawn() -> None:
    random = np.random.default_rng(1)
    # skewed and with heavy tails
    drawn = random.exponential(1.0, (4_000, 250)) - 0.8
    ratios = drawn.mean(axis=1) / drawn.std(axis=1, ddof=1)
    errors = [sharpe(row).error for row in drawn[:200]]
    assert float(np.mean(errors)) == pytest.approx(float(ratios.std()), rel=0.1)


def test_the_probabilistic_ratio_is_the_worked_example_of_its_source() -> None:
    # Bailey and López de Prado (2014), "A numerical example": an annualised ratio of 2.5 over 1250
    # daily returns, skewness -3, kurtosis 10; 100 trials with a variance of 1/2 annualised
    found = Sharpe(ratio=2.5 / math.sqrt(250), count=1_250, skewness=-3.0, kurtosis=10.0)
    benchmark = expected_maximum(100, math.sqrt(0.5 / 250))
    assert benchmark == pytest.approx(0.1132, abs=5e-5)
    assert found.probability_above(benchmark) == pytest.approx(0.9004, abs=5e-5)


def test_the_best_of_many_is_as_high_as_simulation_finds_it() -> None:
    best = np.random.default_rng(2).normal(size=(20_000, 50)).max(axis=1).mean()
    assert expected_maximum(50, 1.0) == pytest.approx(float(best), rel=0.02)
    assert expected_maximum(1, 1.0) == 0.0


def test_luck_among_many_trials_is_seen_through() -> None:
    random = np.random.default_rng(3)
    trials = random.normal(0.0, 0.01, (200, 500))
    ratios = np.array([sharpe(row).ratio for row in trials])
    best = trials[ratios.argmax()]
    # alone it looks certain; among all that was tried it does not
    assert sharpe(best).probability_above(0.0) > 0.99
    assert deflated_sharpe(best, ratios) < 0.9
    good = random.normal(0.003, 0.01, 500)
    assert deflated_sharpe(good, np.append(ratios, sharpe(good).ratio)) > 0.95


def test_a_year_of_independent_returns_goes_by_the_root_and_of_trending_ones_by_less() -> None:
    random = np.random.default_rng(4)
    shocks = random.normal(0.05, 1.0, 20_000)
    independent = annualised_sharpe(shocks, 12) / (sharpe(shocks).ratio * math.sqrt(12))
    assert independent == pytest.approx(1.0, abs=0.05)
    trending = np.empty_like(shocks)
    trending[0] = shocks[0]
    for n in range(1, len(shocks)):
        trending[n] = 0.5 * trending[n - 1] + shocks[n]
    # Lo (2002), equation 20 for an AR(1): sqrt(q) * (1 + 2 rho / (1 - rho) (1 - ...)) ** -1/2
    rho, q = 0.5, 12
    eta = (1 + 2 * rho / (1 - rho) * (1 - (1 - rho**q) / (q * (1 - rho)))) ** -0.5
    found = annualised_sharpe(trending, q) / (sharpe(trending).ratio * math.sqrt(q))
    assert found == pytest.approx(eta, rel=0.05)


@pytest.mark.parametrize(
    ("returns", "said"),
    [([0.1, 0.2], "three or more"), ([0.1, math.nan, 0.2], "three or more"), ([0.1] * 5, "same")],
)
def test_returns_without_a_ratio_are_refused(returns: list[float], said: str) -> None:
    with pytest.raises(DataError, match=said):
        sharpe(returns)
