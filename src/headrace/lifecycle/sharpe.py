"""Sharpe ratios with their errors, and what is left of one after many things were tried.

Ratios here are per period, as the returns are; `annualised_sharpe` scales one. Sources: A. W. Lo,
*The Statistics of Sharpe Ratios*, Financial Analysts Journal 58, 2002; D. H. Bailey and M. López de
Prado, *The Sharpe Ratio Efficient Frontier*, Journal of Risk 15, 2012 (probabilistic ratio), and
*The Deflated Sharpe Ratio*, Journal of Portfolio Management 40, 2014.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_NORMAL = NormalDist()
_EULER = 0.5772156649015329


@dataclass(frozen=True, slots=True)
class Sharpe:
    """The Sharpe ratio of returns, less a free rate of 0.

    Attributes:
        ratio: Mean by standard deviation.
        count: How many returns.
        skewness: Of the returns.
        kurtosis: Of the returns; 3 of normal ones.
    """

    ratio: float
    count: int
    skewness: float
    kurtosis: float

    @property
    def error(self) -> float:
        """The standard error for independent returns, normal or not (Mertens; Lo for normal)."""
        spread = (
            1.0 - self.skewness * self.ratio + (self.kurtosis - 1.0) / 4.0 * self.ratio * self.ratio
        )
        return math.sqrt(max(spread, 0.0) / (self.count - 1))

    def probability_above(self, benchmark: float) -> float:
        """The probabilistic Sharpe ratio: the chance that the true one is above a benchmark."""
        error = self.error
        if error == 0.0:
            return float(self.ratio > benchmark)
        return _NORMAL.cdf((self.ratio - benchmark) / error)


def sharpe(returns: ArrayLike) -> Sharpe:
    """The Sharpe ratio of returns, one for each period.

    Raises:
        DataError: Fewer than three, some missing, or all the same.

    >>> found = sharpe([0.01, -0.01, 0.02, 0.0])
    >>> round(found.ratio, 4), found.count
    (0.3873, 4)
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1 or len(values) < 3 or not np.isfinite(values).all():
        raise DataError(
            f"a Sharpe ratio of {values.shape} returns, {int((~np.isfinite(values)).sum())} of them"
            " no finite numbers: give three or more"
        )
    spread = float(values.std(ddof=1))
    if spread == 0.0:
        raise DataError("all returns are the same: their Sharpe ratio has no meaning")
    centred = values - values.mean()
    variance = float(np.mean(centred**2))
    return Sharpe(
        ratio=float(values.mean()) / spread,
        count=len(values),
        skewness=float(np.mean(centred**3)) / variance**1.5,
        kurtosis=float(np.mean(centred**4)) / variance**2,
    )


def annualised_sharpe(returns: ArrayLike, periods: int) -> float:
    """The Sharpe ratio over `periods` periods, with regard to autocorrelation (Lo's eta).

    For independent returns it is the root of `periods` times the ratio of one.

    Args:
        returns: One for each period.
        periods: In a year; fewer than there are returns.

    Raises:
        DataError: As `sharpe`; or the returns are fewer than `periods`, or their autocorrelations
            make a variance that is not above 0.
    """
    values = np.asarray(returns, dtype=np.float64)
    found = sharpe(values)
    if not 1 <= periods < found.count:
        raise DataError(
            f"{found.count} returns over {periods} periods: give more returns than that"
        )
    centred = values - values.mean()
    total = float(centred @ centred)
    lags = np.arange(1, periods)
    correlations = np.array([float(centred[lag:] @ centred[:-lag]) / total for lag in lags])
    variance = periods + 2.0 * float(((periods - lags) * correlations).sum())
    if variance <= 0.0:
        raise DataError(
            f"the autocorrelations of {found.count} returns leave no variance over {periods}"
            " periods: give more returns, or fewer periods"
        )
    return found.ratio * periods / math.sqrt(variance)


def expected_maximum(trials: int, spread: float) -> float:
    """The Sharpe ratio that the best of so many tried things shows where none has any.

    Args:
        trials: How many independent ones were tried.
        spread: The standard deviation of their ratios.

    >>> round(expected_maximum(100, 0.1), 4)
    0.2531
    """
    if trials < 1 or spread < 0.0:
        raise DataError(
            f"{trials} trials with a spread of {spread}: expected 1 or more, and 0 or more"
        )
    if trials == 1:
        return 0.0
    return spread * (
        (1.0 - _EULER) * _NORMAL.inv_cdf(1.0 - 1.0 / trials)
        + _EULER * _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    )


def deflated_sharpe(returns: ArrayLike, trials: ArrayLike) -> float:
    """The deflated Sharpe ratio: the chance that returns are better than luck among many trials.

    Args:
        returns: Of what was chosen.
        trials: The Sharpe ratio, per period, of everything that was tried, the chosen among them.
            Things that hardly differ count as one: give one ratio for each cluster of them.

    Raises:
        DataError: As `sharpe`; or there are no trials.
    """
    ratios = np.asarray(trials, dtype=np.float64)
    if ratios.ndim != 1 or len(ratios) == 0 or not np.isfinite(ratios).all():
        raise DataError("give the Sharpe ratio of each trial: there is one at least")
    spread = float(ratios.std(ddof=1)) if len(ratios) > 1 else 0.0
    return sharpe(returns).probability_above(expected_maximum(len(ratios), spread))
