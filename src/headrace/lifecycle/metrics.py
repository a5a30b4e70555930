"""How good scores are: ranking, calibration, alert budgets and money, in plain NumPy.

Everywhere `labels` is bool[n] (true is fraud, or whatever the model looks for) and `scores` is
float64[n], higher meaning more likely. Equal scores are one threshold: no figure depends on the
order of equal scores, except those that take a fixed number from the top, where ties go by
position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from headrace.core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Labels: TypeAlias = NDArray[np.bool_]
    Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RocCurve:
    """Share of frauds found against share of genuine events alarmed, by falling threshold.

    Attributes:
        false_positive: float64[m], from 0 to 1.
        true_positive: float64[m], from 0 to 1.
        threshold: float64[m]; the first is infinite, where nothing is alarmed.
    """

    false_positive: Floats
    true_positive: Floats
    threshold: Floats

    @property
    def area(self) -> float:
        """The area under the curve: the chance that a fraud scores above a genuine event."""
        return float(np.trapezoid(self.true_positive, self.false_positive))


@dataclass(frozen=True, slots=True)
class PrecisionRecallCurve:
    """Precision and recall by falling threshold.

    Attributes:
        precision: float64[m]: of those alarmed, the share that is fraud.
        recall: float64[m]: of the frauds, the share alarmed.
        threshold: float64[m].
    """

    precision: Floats
    recall: Floats
    threshold: Floats

    @property
    def average_precision(self) -> float:
        """Precision weighted by the gain in recall, not interpolated."""
        return float(np.sum(np.diff(self.recall, prepend=0.0) * self.precision))


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was predicted and what came true, by bin of score; empty bins are left out.

    Attributes:
        predicted: float64[b]: mean score.
        observed: float64[b]: share of frauds.
        count: int64[b]: events.
    """

    predicted: Floats
    observed: Floats
    count: Integers


@dataclass(frozen=True, slots=True)
class MoneyCurve:
    """What alarming at a threshold is worth.

    Attributes:
        threshold: float64[t].
        alarms: int64[t]: events with a score at or over it.
        saved: float64[t]: amounts of frauds alarmed.
        missed: float64[t]: amounts of frauds let through.
        cost: float64[t]: what the alarms cost.
    """

    threshold: Floats
    alarms: Integers
    saved: Floats
    missed: Floats
    cost: Floats

    @property
    def net(self) -> Floats:
        """Saved less cost."""
        return self.saved - self.cost

    @property
    def best(self) -> int:
        """Where the net is greatest (of several, the highest threshold)."""
        net = self.net
        return len(net) - 1 - int(np.argmax(net[::-1]))


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[Labels, Floats]:
    truth = np.asarray(labels, dtype=np.bool_)
    given = np.asarray(scores, dtype=np.float64)
    if truth.shape != given.shape or truth.ndim != 1:
        raise DataError(f"{truth.shape} labels and {given.shape} scores; give one of each an event")
    if np.isnan(given).any():
        raise DataError(
            f"{int(np.isnan(given).sum())} scores are missing; judge only events with a score"
        )
    return truth, given


def _both_present(truth: Labels) -> None:
    if truth.all() or not truth.any():
        what = "frauds" if truth.all() else "genuine events"
        raise DataError(f"all {len(truth)} events are {what}; a ranking needs some of each")


def _steps(truth: Labels, scores: Floats) -> tuple[Integers, Integers, Floats]:
    """Frauds and genuine events at or over each distinct score, falling."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    ends = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    found = np.cumsum(truth[order], dtype=np.int64)[ends]
    return found, ends + 1 - found, falling[ends]


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> RocCurve:
    """The receiver operating characteristic.

    Raises:
        DataError: When the labels are all of one kind, or do not fit the scores.

    >>> roc_curve([False, True, False, True], [0.1, 0.4, 0.35, 0.8]).area
    1.0
    """
    truth, given = _checked(labels, scores)
    _both_present(truth)
    found, alarmed, threshold = _steps(truth, given)
    return RocCurve(
        np.concatenate([[0.0], alarmed / alarmed[-1]]),
        np.concatenate([[0.0], found / found[-1]]),
        np.concatenate([[np.inf], threshold]),
    )


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """The area under the receiver operating characteristic; ties count one half."""
    return roc_curve(labels, scores).area


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> PrecisionRecallCurve:
    """Precision and recall at every distinct score.

    Raises:
        DataError: When there is no fraud, or labels and scores do not fit.
    """
    truth, given = _checked(labels, scores)
    if not truth.any():
        raise DataError(f"none of {len(truth)} events is a fraud; recall needs one")
    found, alarmed, threshold = _steps(truth, given)
    return PrecisionRecallCurve(found / (found + alarmed), found / found[-1], threshold)


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """The area under precision and recall as a sum of steps."""
    return precision_recall_curve(labels, scores).average_precision


def precision_at(labels: ArrayLike, scores: ArrayLike, k: int) -> float:
    """The share of frauds among the `k` highest scores (all, if there are fewer).

    >>> precision_at([True, False, True], [0.9, 0.8, 0.1], k=2)
    0.5
    """
    truth, given = _checked(labels, scores)
    if k < 1 or len(truth) == 0:
        raise DataError(f"the best {k} of {len(truth)} events; ask for at least 1 of at least 1")
    top = np.argsort(-given, kind="stable")[:k]
    return float(truth[top].mean())


def card_precision_at(
    labels: ArrayLike, scores: ArrayLike, cards: ArrayLike, days: ArrayLike, k: int = 100
) -> float:
    """Card Precision@k: what a team that can check `k` cards a day would find.

    Each day a card's score is the highest of its events; of the `k` highest cards the share with a
    fraud that day counts, over `k` even where there are fewer; a card once found is left out on
    later days; the result is the mean over days. (Le Borgne and others, Reproducible Machine
    Learning for Credit Card Fraud Detection, 2022, section 4.4.)

    Args:
        labels: bool[n].
        scores: float64[n].
        cards: [n]: numbers or texts that name the card of each event.
        days: [n]: numbers or texts, in the order of days, of the day of each event.
        k: Cards checked a day.
    """
    truth, given = _checked(labels, scores)
    _, card = np.unique(np.asarray(cards), return_inverse=True)
    _, day = np.unique(np.asarray(days), return_inverse=True)
    if len(card) != len(truth) or len(day) != len(truth) or k < 1 or len(truth) == 0:
        raise DataError(
            f"{len(truth)} events, {len(card)} cards, {len(day)} days, {k} a day; "
            "give a card and a day for every event, and check at least one card"
        )
    known = np.zeros(int(card.max()) + 1, dtype=np.bool_)
    shares: list[float] = []
    for number in range(int(day.max()) + 1):
        today = np.flatnonzero((day == number) & ~known[card])
        names, member = np.unique(card[today], return_inverse=True)
        highest = np.full(len(names), -np.inf)
        np.maximum.at(highest, member, given[today])
        guilty = np.zeros(len(names), dtype=np.bool_)
        np.logical_or.at(guilty, member, truth[today])
        top = np.argsort(-highest, kind="stable")[:k]
        shares.append(float(guilty[top].sum()) / k)
        known[names[top[guilty[top]]]] = True
    return float(np.mean(shares))


def calibration(
    labels: ArrayLike, scores: ArrayLike, *, bins: int = 10, equal_counts: bool = False
) -> Calibration:
    """Predicted against observed, in `bins` of equal width, or of about equal counts.

    Args:
        labels: bool[n].
        scores: float64[n], probabilities from 0 to 1.
        bins: How many.
        equal_counts: Whether bins hold about as many events each.
    """
    truth, given = _checked(labels, scores)
    if len(given) == 0 or given.min() < 0.0 or given.max() > 1.0:
        raise DataError("calibration is of probabilities; give at least one score, from 0 to 1")
    edges = np.linspace(0.0, 1.0, bins + 1)
    if equal_counts:
        edges = np.quantile(given, edges)
    place = np.searchsorted(edges[1:-1], given)
    count = np.bincount(place, minlength=bins)
    kept = count > 0
    predicted = np.bincount(place, weights=given, minlength=bins)[kept] / count[kept]
    observed = np.bincount(place, weights=truth, minlength=bins)[kept] / count[kept]
    return Calibration(predicted, observed, count[kept].astype(np.int64))


def calibration_error(
    labels: ArrayLike, scores: ArrayLike, *, bins: int = 20, equal_counts: bool = True
) -> float:
    """The root mean square, over bins, of predicted less observed; each bin counts the same.

    Args:
        labels: bool[n].
        scores: float64[n], probabilities from 0 to 1.
        bins: How many.
        equal_counts: Whether bins hold about as many events each; else they are of equal width,
            and those that hold none are left out.

    >>> calibration_error([True, False], [0.75, 0.75], bins=1)
    0.25
    """
    found = calibration(labels, scores, bins=bins, equal_counts=equal_counts)
    return float(np.sqrt(np.mean((found.predicted - found.observed) ** 2)))


def brier(labels: ArrayLike, scores: ArrayLike) -> float:
    """The mean squared difference of probability and truth: 0 is perfect.

    >>> brier([True, False], [0.5, 0.5])
    0.25
    """
    truth, given = _checked(labels, scores)
    return float(np.mean((given - truth) ** 2))


def money_curve(
    labels: ArrayLike,
    scores: ArrayLike,
    amounts: ArrayLike,
    *,
    cost_per_alarm: ArrayLike,
    thresholds: ArrayLike | None = None,
) -> MoneyCurve:
    """What alarming at each threshold saves and costs.

    Args:
        labels: bool[n].
        scores: float64[n].
        amounts: float64[n]: what a fraud that is let through loses.
        cost_per_alarm: In the same currency, of checking any event; or float64[n], what an alarm at
            each of them costs, such as what a good customer would have earned.
        thresholds: float64[t]; a hundred steps from 0.01 to 1 by default.
    """
    truth, given = _checked(labels, scores)
    worth = np.asarray(amounts, dtype=np.float64)
    if worth.shape != given.shape:
        raise DataError(f"{worth.shape} amounts for {given.shape} events; give one each")
    asked = np.linspace(0.01, 1.0, 100) if thresholds is None else np.asarray(thresholds)
    steps: Floats = np.sort(asked.astype(np.float64))
    order = np.argsort(given, kind="stable")
    lost = np.concatenate([[0.0], np.cumsum(np.where(truth, worth, 0.0)[order])])
    each = np.broadcast_to(np.asarray(cost_per_alarm, dtype=np.float64), given.shape)
    cost = np.concatenate([[0.0], np.cumsum(each[order])])
    below = np.searchsorted(given[order], steps, side="left")
    alarms = (len(given) - below).astype(np.int64)
    return MoneyCurve(
        steps,
        alarms,
        lost[-1] - lost[below],
        lost[below],
        cost[-1] - cost[below],
    )
