"""How well classes are told apart, and how sure that is where examples depend on each other.

`truth` and `told` are numbers of classes; `scores` is one row for each class. Events that follow
each other share most of what they are made of, so errors come from resampling whole blocks of them
(H. R. Künsch, *The jackknife and the bootstrap for general stationary observations*, Annals of
Statistics 17, 1989; circular: D. N. Politis and J. P. Romano, 1992).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import DataError
from headrace.lifecycle.metrics import roc_auc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Floats, Int64s

    Classes = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """How well each class is told from the others.

    Attributes:
        classes: Their names.
        confusion: int64 [classes, classes]: events by (true class, told class).
        precision: Of those told to be of a class, the share that is; 0 where none was told.
        recall: Of a class, the share that was told; 0 where there is none of it.
        f1: The harmonic mean of both.
        auc: The chance that one of a class scores above one of the others; NaN without either.
    """

    classes: tuple[str, ...]
    confusion: Int64s
    precision: Floats
    recall: Floats
    f1: Floats
    auc: Floats

    @property
    def macro_f1(self) -> float:
        """The mean of F1 over classes, each of the same weight."""
        return float(self.f1.mean())

    def plain(self) -> dict[str, object]:
        """The figures as plain data, for manifests."""
        found: dict[str, object] = {"macro-F1": self.macro_f1}
        for place, name in enumerate(self.classes):
            found[f"precision {name}"] = float(self.precision[place])
            found[f"recall {name}"] = float(self.recall[place])
            found[f"AUC {name}"] = float(self.auc[place])
        return found


def confusion_of(truth: Classes, told: Classes, classes: int) -> Int64s:
    """Events by (true class, told class).

    >>> confusion_of(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    flat = truth.astype(np.int64) * classes + told
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def _rates(confusion: NDArray[np.integer]) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each class; 0 where nothing stands below the line."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    told, there = confusion.sum(axis=-2), confusion.sum(axis=-1)
    precision = np.divide(right, told, out=np.zeros_like(right), where=told > 0)
    recall = np.divide(right, there, out=np.zeros_like(right), where=there > 0)
    both = told + there
    return precision, recall, np.divide(2 * right, both, out=np.zeros_like(right), where=both > 0)


def class_metrics(truth: Classes, scores: Floats, names: Sequence[str]) -> ClassMetrics:
    """The figures of scores, of which the greatest tells the class (of several, the first).

    Args:
        truth: Number of the true class of each event.
        scores: float64 [classes, events].
        names: Of the classes.

    Raises:
        DataError: Scores are missing, or of another shape.
    """
    if scores.shape != (len(names), len(truth)) or np.isnan(scores).any() or len(truth) == 0:
        raise DataError(
            f"scores of shape {scores.shape}, {int(np.isnan(scores).sum())} of them missing, for"
            f" {len(names)} classes and {len(truth)} events: judge events that have all scores"
        )
    told = scores.argmax(axis=0)
    confusion = confusion_of(truth, told, len(names))
    precision, recall, f1 = _rates(confusion)
    areas = []
    for place in range(len(names)):
        mine = truth == place
        one_sided = mine.all() or not mine.any()
        areas.append(float("nan") if one_sided else roc_auc(mine, scores[place]))
    return ClassMetrics(tuple(names), confusion, precision, recall, f1, np.array(areas))


def macro_f1(truth: Classes, told: Classes, classes: int) -> float:
    """The mean of F1 over classes.

    >>> macro_f1(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1]), 3)
    0.7777777777777777
    """
    return float(_rates(confusion_of(truth, told, classes))[2].mean())


def blocks(count: int, length: int, draws: int, seed: int) -> Iterator[Int64s]:
    """Rows of so many resamples: blocks of neighbours, round the end, until as many are drawn.

    Args:
        count: Events, in time order.
        length: Of a block: at least so long as neighbours depend on each other.
        draws: How many resamples.
        seed: Of what is drawn.

    Raises:
        DataError: When a block is longer than the events, or of nothing.
    """
    if not 1 <= length <= count:
        raise DataError(f"blocks of {length} among {count} events: expected 1 to {count}")
    random = np.random.default_rng(seed)
    for _ in range(draws):
        starts = random.integers(0, count, -(-count // length))
        yield ((starts[:, None] + np.arange(length)) % count).reshape(-1)[:count]


def block_error(
    statistic: Callable[[Int64s], float],
    count: int,
    *,
    length: int,
    draws: int = 500,
    seed: int = 0,
) -> float:
    """The standard error of a statistic over rows, by the circular block bootstrap.

    >>> values = np.random.default_rng(1).normal(size=400)
    >>> error = block_error(lambda rows: float(values[rows].mean()), 400, length=1)
    >>> bool(0.04 < error < 0.06)
    True
    """
    return float(np.std([statistic(rows) for rows in blocks(count, length, draws, seed)], ddof=1))


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Whether one model is better than another on the same events.

    Attributes:
        difference: Macro-F1 of the one less that of the other.
        error: Its standard error.
        p: The chance of a difference as large where there is none (two-sided).
    """

    difference: float
    error: float
    p: float


def paired_test(
    truth: Classes,
    one: Classes,
    other: Classes,
    classes: int,
    *,
    length: int,
    draws: int = 500,
    seed: int = 0,
) -> PairedTest:
    """Compare what two models told of the same events in macro-F1.

    Both are judged on the same resampled blocks. The differences are centred, and `p` is the share
    of them that is at least as far from 0 as the one seen (B. Efron and R. Tibshirani, *An
    Introduction to the Bootstrap*, 1993, chapter 16); at least 1 / (draws + 1).

    Args:
        truth: Number of the true class of each event, in time order.
        one: The class that one model told.
        other: The class that the other told.
        classes: How many there are.
        length: Of the blocks.
        draws: How many resamples.
        seed: Of what is drawn.
    """

    def apart(rows: Int64s) -> float:
        return macro_f1(truth[rows], one[rows], classes) - macro_f1(
            truth[rows], other[rows], classes
        )

    seen = apart(np.arange(len(truth)))
    drawn = np.array([apart(rows) for rows in blocks(len(truth), length, draws, seed)])
    further = np.abs(drawn - drawn.mean()) >= abs(seen)
    return PairedTest(seen, float(drawn.std(ddof=1)), float((further.sum() + 1) / (len(drawn) + 1)))
