"""The clock at the door: receive times never go back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.durations import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Callable

#: A step back by less is what time servers do all day.
_WORTH_TELLING_NS = SECOND_NS


class SteadyClock:
    """A clock that stands still while the system's has stepped back, until it has caught up.

    An event is refused where it lies too far ahead of its receive time. With a clock that has gone
    back, the events of the last moments would all be.

    Args:
        clock: The system's, nanoseconds since 1970.
        say: Takes a sentence for whoever runs this.

    >>> times = iter([5, 3, 6])
    >>> clock = SteadyClock(lambda: next(times), print)
    >>> clock(), clock(), clock()
    (5, 5, 6)
    """

    def __init__(self, clock: Callable[[], int], say: Callable[[str], None]) -> None:
        self._clock, self._say = clock, say
        self._latest = -(2**63)
        self._told = False

    def __call__(self) -> int:
        """The time, and never an earlier one than before."""
        now = self._clock()
        if now >= self._latest:
            self._latest, self._told = now, False
        elif not self._told and self._latest - now > _WORTH_TELLING_NS:
            self._told = True
            self._say(
                f"the clock stepped back by {(self._latest - now) / SECOND_NS:,.1f} s, to"
                f" {np.datetime64(now // SECOND_NS, 's')}Z: receive times stay at"
                f" {np.datetime64(self._latest // SECOND_NS, 's')}Z until it has passed that;"
                " look at the machine's time server"
            )
        return self._latest
