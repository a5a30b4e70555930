"""Walk-forward folds that cannot leak: purged and embargoed.

    |---------- train ----------|- validation -| embargo |---- test ----|
                         purged ^       purged ^

A label spans the time from its event to the end of its horizon. An event whose span reaches the
test part shares information with it and is *purged* from training; the *embargo* leaves out more,
for what features remember. (M. López de Prado, *Advances in Financial Machine Learning*, 2018,
chapter 7; walking forward, training lies before the test part alone.) The validation part, which
decides when to stop, is parted from training in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.core.columns import Int64s


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of walking forward.

    Attributes:
        train: Indices of events that are learned from, ascending.
        validation: Of those that decide when to stop, likewise.
        test: Of those that are judged on, likewise.
    """

    train: Int64s
    validation: Int64s
    test: Int64s


@dataclass(frozen=True, slots=True)
class FoldSettings:
    """How history is parted.

    Attributes:
        folds: How many test parts there are; with the first training part they are of about equal
            counts of events.
        embargo_ns: Nanoseconds left out between the end of a span and what comes after it.
        validation: Share of what may be learned from that decides when to stop.
    """

    folds: int = 4
    embargo_ns: int = 0
    validation: float = 0.2

    def __post_init__(self) -> None:
        if self.folds < 1:
            raise DataError(f"{self.folds} folds: expected 1 or more")
        if self.embargo_ns < 0:
            raise DataError(f"an embargo of {self.embargo_ns} ns: expected 0 or more")
        if not 0.0 < self.validation < 1.0:
            raise DataError(f"share of validation is {self.validation}: expected between 0 and 1")


def walk_forward(
    at_ns: Int64s, settled_ns: Int64s, settings: FoldSettings | None = None
) -> Iterator[Fold]:
    """Folds over events, each tested on later ones than it learned from.

    Events of one time are never parted. One whose label is never settled is in no fold.

    Args:
        at_ns: When each event was, in any order.
        settled_ns: When its label was settled; the last representable time where it never was.
        settings: See `FoldSettings`.

    Raises:
        DataError: When the history is too short for so many folds.

    >>> at = np.arange(10) * 10
    >>> for fold in walk_forward(at, at + 15, FoldSettings(folds=1, validation=0.5)):
    ...     print(fold.train.tolist(), fold.validation.tolist(), fold.test.tolist())
    [0] [2, 3] [5, 6, 7, 8, 9]
    """
    settings = settings or FoldSettings()
    usable = np.flatnonzero(settled_ns < np.iinfo(np.int64).max)
    times = np.sort(at_ns[usable])
    parts = settings.folds + 1
    if len(np.unique(times)) < 2 * parts:
        raise _too_short(len(usable), settings)
    cuts = [int(times[len(times) * part // parts]) for part in range(1, parts)]
    for number, begin in enumerate(cuts):
        end = cuts[number + 1] if number + 1 < len(cuts) else int(times[-1]) + 1
        test = usable[(at_ns[usable] >= begin) & (at_ns[usable] < end)]
        known = _before(usable, at_ns, settled_ns, begin, settings.embargo_ns)
        if len(known) == 0 or len(test) == 0:
            raise _too_short(len(usable), settings)
        by_time = np.sort(at_ns[known])
        middle = int(by_time[int(len(by_time) * (1.0 - settings.validation))])
        validation = known[at_ns[known] >= middle]
        train = _before(known, at_ns, settled_ns, middle, settings.embargo_ns)
        if len(train) == 0:
            raise _too_short(len(usable), settings)
        yield Fold(train, validation, test)


def _before(rows: Int64s, at_ns: Int64s, settled_ns: Int64s, begin: int, embargo_ns: int) -> Int64s:
    """Those rows whose spans, with the embargo, end before a time."""
    whole = np.maximum(settled_ns[rows], at_ns[rows])
    return rows[whole < begin - embargo_ns]


def _too_short(events: int, settings: FoldSettings) -> DataError:
    return DataError(
        f"{events} labelled events are too few for {settings.folds} folds with an embargo of"
        f" {settings.embargo_ns / 1e9:g} s; give a longer history, a shorter horizon or fewer folds"
    )
