"""The probability of default over a loan's life, vintages, and what is expected to be lost.

A loan is followed up to a month: later ones have not been seen for as long as earlier ones. So
rates of default are hazards, of those still there in a month (Kaplan and Meier, 1958), and a loan
counts for as long as it was followed and no longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

#: Instalments that are missed when a loan is in default.
MISSED = 3


@dataclass(frozen=True, slots=True)
class TermStructure:
    """Default by month on the book; index 0 is the first month.

    Attributes:
        at_risk: Loans that were still there, and followed, when the month began.
        defaults: Of them, those that defaulted in it.
    """

    at_risk: NDArray[np.int64]
    defaults: NDArray[np.int64]

    @property
    def hazard(self) -> Floats:
        """The chance to default in a month, of those still there; NaN where nobody was."""
        there = np.maximum(self.at_risk, 1).astype(np.float64)
        rate: Floats = self.defaults.astype(np.float64) / there
        rate[self.at_risk == 0] = np.nan
        return rate

    @property
    def survival(self) -> Floats:
        """The share that has not defaulted by the end of a month."""
        left: Floats = np.cumprod(1.0 - self.hazard, dtype=np.float64)
        return left

    @property
    def cumulative(self) -> Floats:
        """The probability of default by the end of a month."""
        return 1.0 - self.survival

    @property
    def marginal(self) -> Floats:
        """The probability of default in a month, as seen from the start."""
        before: Floats = np.concatenate([[1.0], self.survival[:-1]])
        return before * self.hazard


def term_structure(wait: Floats, followed: Floats, months: int) -> TermStructure:
    """Count defaults by month on the book.

    Args:
        wait: Months from the start of each loan to its default; infinite where there is none.
        followed: Months for which each was followed.
        months: How many to count.

    >>> found = term_structure(np.array([0.5, 1.5, np.inf]), np.array([3.0, 3.0, 1.0]), 2)
    >>> found.at_risk.tolist(), found.defaults.tolist(), found.cumulative.round(3).tolist()
    ([3, 1], [1, 1], [0.333, 1.0])
    """
    risk = np.empty(months, dtype=np.int64)
    struck = np.empty(months, dtype=np.int64)
    for month in range(months):
        # whoever was not followed to its end says nothing of a month
        there = (wait >= month) & (followed >= month + 1)
        risk[month] = there.sum()
        struck[month] = (there & (wait < month + 1)).sum()
    return TermStructure(risk, struck)


def vintage_curves(
    cohort: NDArray[np.int64], wait: Floats, followed: Floats, months: int
) -> dict[int, Floats]:
    """The cumulative rate of default of each cohort by month on the book.

    Args:
        cohort: Of each loan: the month or quarter in which it began.
        wait: As of `term_structure`.
        followed: Likewise.
        months: Likewise.

    Returns:
        By cohort, float64[months]; NaN from the month on to which none of it was followed.
    """
    return {
        int(number): term_structure(
            wait[cohort == number], followed[cohort == number], months
        ).cumulative
        for number in np.unique(cohort)
    }


def expected_loss(
    probability: Floats, profile: Floats, loss_given_default: Floats, exposure: Floats
) -> Floats:
    """Expected loss of each loan: over months, default in it times what is owed then and lost.

    Args:
        probability: float64[n]: of default within the months of `profile`.
        profile: float64[m]: how a default falls on months; it sums to 1.
        loss_given_default: float64[n]: share of what is owed that is lost.
        exposure: float64[n, m]: what is owed in each month, in money.

    >>> expected_loss(
    ...     np.array([0.1]), np.array([0.5, 0.5]), np.array([0.4]), np.array([[100.0, 50.0]])
    ... ).round(9).tolist()
    [3.0]
    """
    owed: Floats = exposure @ profile
    return probability * loss_given_default * owed


def balances(amount: Floats, term: Floats, monthly_rate: float, months: int) -> Floats:
    """What is owed of instalment loans after each month, payments level: float64[n, months].

    Args:
        amount: float64[n]: at first.
        term: float64[n]: instalments.
        monthly_rate: Interest a month; above 0.
        months: How many.

    >>> balances(np.array([1200.0]), np.array([12.0]), 1e-9, 3).round(2).tolist()
    [[1100.0, 1000.0, 900.0]]
    """
    paid = np.minimum(np.arange(1, months + 1), term[:, None])
    grown, final = (1.0 + monthly_rate) ** paid, ((1.0 + monthly_rate) ** term)[:, None]
    left: Floats = amount[:, None] * (final - grown) / (final - 1.0)
    return left


def exposures(amount: Floats, term: Floats, monthly_rate: float, months: int) -> Floats:
    """What is owed at a default in each month: float64[n, months].

    A loan is in default when three instalments are missed, so that those before them are paid.

    >>> exposures(np.array([1200.0]), np.array([12.0]), 1e-9, 6).round(2).tolist()
    [[1200.0, 1200.0, 1200.0, 1200.0, 1100.0, 1000.0]]
    """
    whole = np.repeat(amount[:, None], MISSED + 1, axis=1)
    left = balances(amount, term, monthly_rate, max(months - MISSED - 1, 1))
    owed: Floats = np.concatenate([whole, left], axis=1)[:, :months]
    return owed
