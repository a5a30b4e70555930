"""Roll rates: how accounts move between buckets of delinquency from one month to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]

#: Days behind from which on an account is in each bucket.
BUCKETS = {"current": 0, "1 to 29": 1, "30 to 59": 30, "60 to 89": 60, "90 and over": 90}


@dataclass(frozen=True, slots=True)
class RollRates:
    """Moves between buckets.

    Attributes:
        counts: int64[buckets, buckets]: accounts in a bucket (row) that were in another (column)
            the month after.
    """

    counts: Integers

    @property
    def rates(self) -> Floats:
        """The share of each bucket's accounts that went to each; NaN where it held none."""
        total = self.counts.sum(axis=1, keepdims=True)
        rate: Floats = np.where(total > 0, self.counts / np.maximum(total, 1), np.nan)
        return rate

    @property
    def forward(self) -> Floats:
        """The share of each bucket that rolled into a worse one."""
        worse: Floats = np.nansum(np.triu(self.rates, 1), axis=1)
        return np.where(self.counts.sum(axis=1) > 0, worse, np.nan)


def roll_rates(account: Integers, month: Integers, days_late: Integers) -> RollRates:
    """Count moves between buckets, of accounts that were seen in both of two months in a row.

    Args:
        account: Of each observation.
        month: Likewise; one observation of an account in a month.
        days_late: Days behind, from 0.

    >>> moved = roll_rates(np.array([1, 1, 1]), np.array([0, 1, 3]), np.array([0, 31, 0]))
    >>> moved.counts.sum(), moved.counts[0, 2]
    (np.int64(1), np.int64(1))
    """
    edges = np.array(list(BUCKETS.values()))
    bucket = np.searchsorted(edges, days_late, side="right") - 1
    order = np.lexsort((month, account))
    account, month, bucket = account[order], month[order], bucket[order]
    follows = (account[1:] == account[:-1]) & (month[1:] == month[:-1] + 1)
    counts = np.zeros((len(edges), len(edges)), dtype=np.int64)
    np.add.at(counts, (bucket[:-1][follows], bucket[1:][follows]), 1)
    return RollRates(counts)
