"""Simulated accounts that fall behind: month by month they roll on, stay behind, or are cured.

An account is a chain over the days that it is behind. It rolls on by 30 days when nothing is paid,
stays when one instalment is, and is cured when all is; the worse its owner's quality and the higher
unemployment, the more it rolls and the less it is cured. At 180 days it is charged off, as
regulators of the United States ask of revolving credit, and nothing is heard of it again.

What is aimed at, over all accounts:

- From 30 to 60 days behind roll 20 % to 40 % in a month, from 60 to 90 days at least 30 %, and each
  stage rolls more than the one before it. Those are the figures by which Investopedia ("Roll Rate")
  explains the word; "about one in five" from 30 to 60 days is also said to be the industry's.
- Cures become rarer as accounts fall behind. Of the 30,000 real card accounts of Yeh and Lien
  (2009; April to September 2005, `credit_taiwan`) that were two months behind, 25 % were no longer
  behind a month later, of those three months behind 16 %, and of those four or more behind 3 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]

#: Days behind at which an account is charged off.
CHARGED_OFF = 180
#: Log-odds of rolling on in a month, of an account of middling quality in a normal economy, by the
#: days behind from which on they hold: 1, 30, 60, 90. Who falls far behind is worse than middling.
ROLLS = (-2.2, -1.7, -1.1, 0.1)
#: Likewise of being cured, where it does not roll on.
CURES = (0.9, 0.1, -0.5, -2.2)
#: Of falling behind at all, by some days.
_FALLS = -2.6
_QUALITY, _UNEMPLOYMENT = 1.1, 0.25
#: How much less these weigh once an account is behind.
_ONCE_BEHIND = 0.4


@dataclass(frozen=True, slots=True)
class Delinquency:
    """Accounts over months, each `[months, accounts]`.

    Attributes:
        days: int64: days behind after the month's instalment was due.
        paid: float64: instalments that were paid in the month; 0 where none was.
        open: Whether the account was not charged off before the month.
    """

    days: Integers
    paid: Floats
    open: NDArray[np.bool_]


def simulate_delinquency(
    rng: np.random.Generator, quality: Floats, unemployment: Floats
) -> Delinquency:
    """Simulate accounts that begin with nothing behind.

    Args:
        rng: Of all randomness.
        quality: float64[accounts]: of the owners, 0 on average.
        unemployment: float64[months], in per cent.

    >>> found = simulate_delinquency(np.random.default_rng(1), np.zeros(100), np.full(12, 5.0))
    >>> found.days.shape, bool(found.days[0].max() < 30)
    ((12, 100), True)
    """
    days = np.zeros((len(unemployment), len(quality)), dtype=np.int64)
    paid = np.ones(days.shape)
    is_open = np.ones(days.shape, dtype=bool)
    before = np.zeros(len(quality), dtype=np.int64)
    for month, level in enumerate(unemployment.tolist()):
        is_open[month] = before < CHARGED_OFF
        risk = -_QUALITY * quality + _UNEMPLOYMENT * (level - 5.0)
        days[month], paid[month] = _month(rng, before, risk)
        before = np.where(is_open[month], days[month], CHARGED_OFF)
    return Delinquency(days, paid, is_open)


def _month(rng: np.random.Generator, before: Integers, risk: Floats) -> tuple[Integers, Floats]:
    """Days behind after a month, and instalments paid in it."""
    stage = np.searchsorted([1, 30, 60, 90], before, side="right") - 1
    behind = stage >= 0
    weighed = np.where(behind, _ONCE_BEHIND, 1.0) * risk
    chance = rng.random((2, len(before)))
    rolls = chance[0] < _logistic(np.where(behind, np.array(ROLLS)[stage], _FALLS) + weighed)
    cured = chance[1] < _logistic(np.array(CURES)[stage] - weighed)
    some_days = np.minimum(rng.geometric(0.08, len(before)), 29)
    falls_on = np.where(behind, before + 30, some_days)
    stays = np.where(behind, before, 0)
    days = np.where(rolls, falls_on, np.where(cured, 0, stays))
    # nothing while it rolls on, else an instalment, if some days late; a cure pays what is owed too
    paid = np.where(behind & rolls, 0.0, 1.0 + np.where(cured & ~rolls, before // 30, 0))
    return days, paid


def _logistic(value: Floats) -> Floats:
    found: Floats = 1.0 / (1.0 + np.exp(-value))
    return found
