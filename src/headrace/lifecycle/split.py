"""Parting history in time, so that a model is judged as it would have been used.

    |---- train ----|- validation -|--- gap ---|---- test ----|  not yet mature  |
                                               ^ cut                             ^ end of history

A model that goes to work at the *cut* can only have learned from labels known then. An event
whose label had not matured by the cut (its time plus the label's maturity lies after it) is not a
negative, it is not known: the gap is as long as the maturity, and events in it are left out.
Validation, which decides when to stop growing trees, is the latest part of what may be learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Int64s

DAY_NS = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """How history is parted.

    Attributes:
        test: Share of the mature events that come last and are only judged on.
        validation: Share of the rest that decides when to stop.
    """

    test: float = 0.25
    validation: float = 0.15

    def __post_init__(self) -> None:
        for name in ("test", "validation"):
            share = getattr(self, name)
            if not 0.0 < share < 1.0:
                raise DataError(f"share of {name} is {share}: expected between 0 and 1")


@dataclass(frozen=True, slots=True)
class Split:
    """Which events are learned from, and which are judged on.

    Attributes:
        train: Indices into the events, ascending.
        validation: Likewise.
        test: Likewise.
        cut_ns: When the model would have gone to work: labels known later are not learned from.
        end_ns: End of the history: labels known until then judge the test part.
    """

    train: Int64s
    validation: Int64s
    test: Int64s
    cut_ns: int
    end_ns: int


def split_in_time(at: Int64s, *, maturity_ns: int, end_ns: int, settings: SplitSettings) -> Split:
    """Part events by their times `at`, leaving a gap of `maturity_ns` before the test part.

    Raises:
        DataError: When the history is too short to leave events on each side of the gap.

    >>> day = DAY_NS
    >>> at = np.arange(100) * day
    >>> split = split_in_time(at, maturity_ns=10 * day, end_ns=99 * day, settings=SplitSettings())
    >>> len(split.train), len(split.validation), len(split.test)
    (51, 8, 22)
    >>> int(split.test[0] - split.validation[-1])
    10
    """
    mature = np.flatnonzero(at + maturity_ns <= end_ns)
    by_time = mature[np.argsort(at[mature], kind="stable")]
    tested = int(len(by_time) * settings.test)
    if tested == 0 or tested == len(by_time):
        raise _too_short(at, maturity_ns, end_ns)
    cut = int(at[by_time[len(by_time) - tested]])
    learned = by_time[at[by_time] + maturity_ns <= cut]
    validated = int(len(learned) * settings.validation)
    if validated == 0 or validated == len(learned):
        raise _too_short(at, maturity_ns, end_ns)
    return Split(
        train=np.sort(learned[:-validated]),
        validation=np.sort(learned[-validated:]),
        test=np.sort(by_time[at[by_time] >= cut]),
        cut_ns=cut,
        end_ns=end_ns,
    )


def _too_short(at: NDArray[np.int64], maturity_ns: int, end_ns: int) -> DataError:
    days = (end_ns - int(at.min())) / DAY_NS if len(at) else 0.0
    return DataError(
        f"{len(at)} events over {days:.1f} days leave none on one side of a gap of"
        f" {maturity_ns / DAY_NS:.1f} days, in which labels are not yet known;"
        " give a longer history, or a shorter `within` of the label"
    )
