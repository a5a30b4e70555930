"""Rates of approval by group: against counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.core.errors import DataError
from headrace.lifecycle.impact import LEAST, bands, impact


def of(**counts: tuple[int, int]) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], list[str]]:
    """Approvals and groups of {group: (applications, approved)}."""
    approved = [number < yes for all_, yes in counts.values() for number in range(all_)]
    groups = [name for name, (all_, _) in counts.items() for _ in range(all_)]
    return np.array(approved), groups


def test_the_ratio_is_the_lowest_rate_over_the_highest() -> None:
    found = impact(*of(f=(200, 120), m=(400, 300), x=(100, 70)), "sex")
    assert {group.name: (group.count, group.approved) for group in found.groups} == {
        "f": (200, 120),
        "m": (400, 300),
        "x": (100, 70),
    }
    assert (found.worst.name, found.best.name) == ("f", "m")
    assert found.ratio == pytest.approx(0.6 / 0.75)
    assert found.difference == pytest.approx(0.15)
    assert found.error == pytest.approx(0.8 * np.sqrt(0.4 / 120 + 0.25 / 300))


def test_the_error_is_that_of_draws() -> None:
    random = np.random.default_rng(1)
    low, high = random.binomial(500, 0.6, 4000), random.binomial(800, 0.75, 4000)
    said = impact(*of(a=(500, 300), b=(800, 600)), "group").error
    assert said == pytest.approx(np.std((low / 500) / (high / 800)), rel=0.05)


def test_small_groups_are_shown_and_not_compared() -> None:
    found = impact(*of(a=(100, 90), b=(100, 80), few=(LEAST - 1, 0)), "group")
    assert "few" in {group.name for group in found.groups}
    assert found.ratio == pytest.approx(8 / 9)
    with pytest.raises(DataError, match="no two groups of 50"):
        impact(*of(a=(100, 90), few=(LEAST - 1, 0)), "group")


def test_a_group_of_which_nobody_is_approved() -> None:
    found = impact(*of(a=(100, 50), b=(100, 0)), "group")
    assert (found.ratio, found.error) == (0.0, 0.0)
    assert impact(*of(a=(100, 0), b=(100, 0)), "group").ratio == 1.0


def test_an_edge_belongs_to_the_band_above_it() -> None:
    ages = np.array([29.0, 30.0, 61.9, 62.0, np.nan])
    assert bands(ages, (30, 62)).tolist() == [
        "under 30",
        "30 to under 62",
        "30 to under 62",
        "62 and over",
        "not known",
    ]
