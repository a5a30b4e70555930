"""Vintages, term structure, roll rates, stability, grades, losses: against cases made by hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import DataError
from headrace_solutions.credit_risk.delinquency import CHARGED_OFF, simulate_delinquency
from headrace_solutions.credit_risk.grades import calibration_by_grade
from headrace_solutions.credit_risk.loss_given_default import LossModel, fit_loss
from headrace_solutions.credit_risk.open_data import lendingclub, lgd
from headrace_solutions.credit_risk.roll_rates import BUCKETS, roll_rates
from headrace_solutions.credit_risk.simulator import SimulationSettings, simulate
from headrace_solutions.credit_risk.stability import (
    read_as,
    stability_index,
    stability_over_time,
)
from headrace_solutions.credit_risk.term_structure import (
    balances,
    expected_loss,
    exposures,
    term_structure,
    vintage_curves,
)

NEVER = np.inf
DATA = Path(os.environ.get("HEADRACE_DATA", "data"))


def test_a_term_structure_counts_who_was_followed() -> None:
    """Ten loans: one defaults in each of the first two months; two are followed for one month."""
    wait = np.array([0.2, 1.7, *[NEVER] * 8])
    followed = np.array([3.0] * 8 + [1.0, 1.9])
    found = term_structure(wait, followed, 3)
    assert found.at_risk.tolist() == [10, 7, 6]
    assert found.defaults.tolist() == [1, 1, 0]
    assert found.hazard == pytest.approx([1 / 10, 1 / 7, 0])
    assert found.cumulative == pytest.approx([0.1, 1 - 0.9 * 6 / 7, 1 - 0.9 * 6 / 7])
    assert found.marginal == pytest.approx([0.1, 0.9 / 7, 0])


@given(st.lists(st.floats(0, 8), min_size=1, max_size=40), st.integers(1, 6))
def test_with_all_followed_it_is_the_share_that_defaulted(waits: list[float], months: int) -> None:
    wait = np.array(waits)
    found = term_structure(wait, np.full(len(wait), 9.0), months)
    for month in range(months):
        if not np.isnan(found.cumulative[month]):
            assert found.cumulative[month] == pytest.approx((wait < month + 1).mean())


def test_a_vintage_ends_where_none_of_it_was_followed() -> None:
    cohort = np.array([0, 0, 1, 1])
    wait = np.array([0.5, NEVER, NEVER, 1.5])
    curves = vintage_curves(cohort, wait, np.array([3.0, 3.0, 2.0, 2.0]), 3)
    assert curves[0].tolist() == [0.5, 0.5, 0.5]
    assert curves[1][:2].tolist() == [0.0, 0.5]
    assert np.isnan(curves[1][2])


def test_expected_loss_sums_over_months() -> None:
    found = expected_loss(
        np.array([0.1, 0.2]),
        np.array([0.25, 0.75]),
        np.array([0.5, 1.0]),
        np.array([[1000.0, 900.0], [100.0, 0.0]]),
    )
    assert found == pytest.approx([0.1 * 0.5 * (250 + 675), 0.2 * 25])


def test_balances_are_those_of_a_level_payment() -> None:
    """12 instalments at 1 % a month, paid one by one."""
    left = 1000.0
    payment = left * 0.01 / (1 - 1.01**-12)
    steps = []
    for _ in range(12):
        left = left * 1.01 - payment
        steps.append(left)
    found = balances(np.array([1000.0]), np.array([12.0]), 0.01, 14)[0]
    assert found[:12] == pytest.approx(steps, abs=1e-9)
    assert found[11:] == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)
    owed = exposures(np.array([1000.0]), np.array([12.0]), 0.01, 6)[0]
    assert owed == pytest.approx([1000.0] * 4 + steps[:2])


def test_roll_rates_of_three_accounts() -> None:
    """One rolls forward month by month, one is cured, one was not seen in a month between."""
    account = np.array([1, 1, 1, 2, 2, 3, 3])
    month = np.array([0, 1, 2, 0, 1, 0, 2])
    late = np.array([0, 29, 30, 90, 0, 5, 5])
    shuffled = np.random.default_rng(0).permutation(7)
    found = roll_rates(account[shuffled], month[shuffled], late[shuffled])
    names = list(BUCKETS)
    moved = {
        (names[i], names[j]): int(found.counts[i, j])
        for i, j in zip(*np.nonzero(found.counts))  # noqa: B905 - two of the same length
    }
    assert moved == {
        ("current", "1 to 29"): 1,
        ("1 to 29", "30 to 59"): 1,
        ("90 and over", "current"): 1,
    }
    assert found.forward[[0, 1, 4]].tolist() == [1.0, 1.0, 0.0]
    assert np.isnan(found.forward[2])
    assert np.nansum(found.rates, axis=1)[[0, 1, 4]].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("seed", [3, 7])
def test_accounts_of_the_simulated_book_roll_as_real_ones_do(seed: int) -> None:
    """Within what is published; see `headrace_solutions.credit_risk.delinquency`."""
    table = simulate(SimulationSettings(seed=seed)).repayments
    at = table["at"].cast("int64").to_numpy()
    account = table["applicant"].combine_chunks().dictionary_encode().indices.to_numpy()
    late = table["days_late"].to_numpy()
    found = roll_rates(account.astype(np.int64), (at - at.min()) // (30 * 86_400), late)
    assert (found.counts.sum(axis=1) > 1000).all()
    assert 0.05 < found.forward[0] < 0.15
    assert 0.1 < found.forward[1] < found.forward[2] < found.forward[3]
    assert 0.2 <= found.forward[2] <= 0.4
    assert 0.3 <= found.forward[3] <= 0.5
    cured = found.rates[:, 0]
    assert (np.diff(cured) < 0).all()
    assert cured[2:] == pytest.approx([0.25, 0.16, 0.03], abs=0.06)
    # nobody skips a stage, and nothing is paid by who rolls on
    assert found.counts[0, 2:].sum() == found.counts[1, 3:].sum() == found.counts[2, 4] == 0
    assert late.max() < CHARGED_OFF + 30


@given(st.integers(0, 2**32), st.floats(-3, 3), st.floats(2, 12))
def test_a_month_rolls_on_by_thirty_days_stays_or_is_cured(
    seed: int, quality: float, level: float
) -> None:
    random = np.random.default_rng(seed)
    found = simulate_delinquency(random, np.full(40, quality), np.full(30, level))
    for before, after, paid, is_open in zip(
        found.days, found.days[1:], found.paid[1:], found.open[1:], strict=False
    ):
        was, now, gave = before[is_open], after[is_open], paid[is_open]
        rolled = (now == was + 30) & (was > 0)
        assert ((now == 0) | (now == was) | rolled | ((was == 0) & (now < 30))).all()
        assert (gave[rolled] == 0).all()
        assert (gave[~rolled] >= 1).all()
        # all that is owed is paid by a cure
        cured = (was > 0) & (now == 0)
        assert (gave[cured] == 1 + was[cured] // 30).all()
    for month in range(1, 30):
        closed = ~found.open[month]
        assert (found.open[month - 1 :, closed].sum(axis=0) <= 1).all()
        over = (found.days[month - 1] >= CHARGED_OFF) & found.open[month - 1]
        assert not found.open[month, over].any()


def test_a_recession_rolls_more_and_cures_less() -> None:
    calm, worse = (
        simulate_delinquency(np.random.default_rng(1), np.zeros(5000), np.full(24, level))
        for level in (4.0, 9.0)
    )
    for found in (calm, worse):
        assert found.open[0].all()
    assert (worse.days >= 30).mean() > 3 * (calm.days >= 30).mean()


def test_a_stability_index_by_hand() -> None:
    """Two bins, of 50 and 50 before, of 80 and 20 after."""
    before = np.repeat([0.0, 1.0], 50)
    after = np.repeat([0.0, 1.0], [80, 20])
    by_hand = 0.3 * np.log(0.8 / 0.5) + -0.3 * np.log(0.2 / 0.5)
    found = stability_index(before, after, bins=2)
    # an empty bin of missing ones counts as half an event on both sides
    assert found == pytest.approx(by_hand, abs=1e-9)
    assert read_as(found) == "another population"
    assert (read_as(0.05), read_as(0.1)) == ("stable", "moved")


def test_missing_values_are_a_bin_of_their_own() -> None:
    before = np.arange(100.0)
    gone = before.copy()
    gone[::2] = np.nan
    assert stability_index(before, before) == 0.0
    assert stability_index(before, gone) > 1.0


def test_each_period_is_held_against_those_before_the_first() -> None:
    column = np.concatenate([np.arange(100.0), np.arange(100.0), np.arange(100.0) + 50])
    period = np.repeat([0, 1, 3], 100)
    found = stability_over_time({"score": column}, period, 1)["score"]
    assert found[0] == 0.0
    assert np.isnan(found[1])
    assert found[2] == stability_index(column[:100], column[200:])


def test_a_grade_says_how_far_it_is_off() -> None:
    score = np.array([0.1] * 100 + [0.5] * 4)
    bad = np.array([True] * 19 + [False] * 81 + [True, True, False, False])
    low, high = calibration_by_grade(score, bad, {"A": 0.05, "B": 0.2, "C": 1.01})
    assert (low.grade, low.count, low.observed) == ("B", 100, 0.19)
    assert low.errors_apart == pytest.approx(3.0)
    assert (high.grade, high.errors_apart) == ("C", 0.0)


def losses_made(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loans whose expected loss is known: more with loan-to-value."""
    random = np.random.default_rng(seed)
    ratio = random.uniform(0.0, 2.0, count)
    chance, share = 0.2 + 0.35 * ratio, 0.1 + 0.3 * ratio
    lost = np.where(random.random(count) < chance, random.beta(4 * share, 4 * (1 - share)), 0.0)
    return ratio[:, None], lost, chance * share


def test_the_two_stages_find_the_expected_loss(tmp_path: Path) -> None:
    values, lost, expected = losses_made(6000, 1)
    model = fit_loss(values, lost, ["ltv"], {"ltv": 1})
    fresh, _, truth = losses_made(2000, 2)
    found = model.predict(fresh)
    assert np.abs(found - truth).mean() < 0.02
    assert np.abs(found - truth).mean() < 0.2 * np.abs(expected.mean() - truth).mean()
    steps = model.predict(np.linspace(-1.0, 3.0, 400)[:, None])
    assert (np.diff(steps) >= -1e-7).all()
    model.save(tmp_path / "lgd")
    assert LossModel.load(tmp_path / "lgd").predict(fresh).tobytes() == found.tobytes()


def test_losses_are_shares_of_both_kinds() -> None:
    values = np.zeros((4, 1))
    with pytest.raises(DataError, match=r"range from 0 to 1\.5"):
        fit_loss(values, np.array([0.0, 0.2, 1.5, 0.1]), ["ltv"], {})
    with pytest.raises(DataError, match="4 of 4 loans lost something"):
        fit_loss(values, np.full(4, 0.5), ["ltv"], {})


@pytest.mark.skipif(not (DATA / lgd.FILE).exists(), reason="HEADRACE_DATA has no credit data")
def test_the_public_sets_are_read_as_their_notes_say() -> None:
    values, lost = lgd.losses(DATA)
    assert values.shape == (2545, 2)
    assert 0.0 <= lost.min() < lost.max() <= 1.0
    found = lendingclub.loans(DATA)
    assert (len(found.bad), int(found.bad.sum())) == (31_766, 8_082)
    assert sorted(set(found.month.tolist())) == list(range(12))
    assert all(len(column) == len(found.bad) for column in found.columns.values())
