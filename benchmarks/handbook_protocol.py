"""How the Fraud Detection Handbook parts days and judges scores.

(Le Borgne, Siblini, Lebichot and Bontempi, Reproducible Machine Learning for Credit Card Fraud
Detection, 2022.) A fold that starts on day s trains on the days s to s + 6. For seven days no label
is known. It is tested on the days s + 14 to s + 20, on customers that are not known to be
compromised: a customer with a fraud in the training days is left out altogether, and one with a
fraud on day s + 6 + k from test day s + 14 + k on, when its label is a week old.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.lifecycle.metrics import average_precision, card_precision_at, roc_auc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WEEK = 7


@dataclass(frozen=True, slots=True)
class Payments:
    """What the protocol asks of payments, in order of time.

    Attributes:
        day: int64[n], days since 1970.
        customer: int64[n], one number for each customer.
        fraud: bool[n].
    """

    day: NDArray[np.int64]
    customer: NDArray[np.int64]
    fraud: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows that are trained and tested on.

    Attributes:
        start: First day of training.
        train: Ascending.
        test: Ascending.
    """

    start: dt.date
    train: NDArray[np.int64]
    test: NDArray[np.int64]

    @property
    def end(self) -> dt.date:
        """The last day of the test."""
        return self.start + dt.timedelta(days=3 * WEEK - 1)


@dataclass(frozen=True, slots=True)
class Figures:
    """How good the scores of a fold's test are.

    Attributes:
        roc_auc: Area under the receiver operating characteristic.
        average_precision: Area under precision and recall.
        card_precision: Of the 100 highest cards of a day, the share with a fraud.
    """

    roc_auc: float
    average_precision: float
    card_precision: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean and (population) standard deviation of figures over folds."""

    mean: Figures
    deviation: Figures


def fold(payments: Payments, start: dt.date) -> Fold:
    """The fold that starts on a day."""
    first = (start - dt.date(1970, 1, 1)).days

    def on(day: int) -> NDArray[np.int64]:
        low, high = np.searchsorted(payments.day, [day, day + 1])
        return np.arange(low, high)

    train = np.concatenate([on(first + k) for k in range(WEEK)])
    compromised = np.zeros(int(payments.customer.max()) + 1, dtype=np.bool_)
    compromised[payments.customer[train[payments.fraud[train]]]] = True
    test = []
    for k in range(WEEK):
        labelled = on(first + WEEK - 1 + k)
        compromised[payments.customer[labelled[payments.fraud[labelled]]]] = True
        today = on(first + 2 * WEEK + k)
        test.append(today[~compromised[payments.customer[today]]])
    return Fold(start, train, np.concatenate(test))


def judge(payments: Payments, rows: NDArray[np.int64], scores: NDArray[np.float64]) -> Figures:
    """The handbook's three figures of the scores of `rows`."""
    truth = payments.fraud[rows]
    return Figures(
        roc_auc(truth, scores),
        average_precision(truth, scores),
        card_precision_at(truth, scores, payments.customer[rows], payments.day[rows]),
    )


def summary(figures: Sequence[Figures]) -> Summary:
    """Mean and standard deviation over folds."""
    table = np.array([[f.roc_auc, f.average_precision, f.card_precision] for f in figures])
    return Summary(Figures(*table.mean(axis=0)), Figures(*table.std(axis=0)))
