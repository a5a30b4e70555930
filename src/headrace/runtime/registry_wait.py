"""Waiting for a schema registry that does not answer, ever more slowly, until it does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.core.errors import Unavailable

_FIRST_SECONDS, _LONGEST_SECONDS = 0.1, 5.0
#: How soon a wait ends once it is to stop.
_STEP_SECONDS = 0.1
#: Between two words on the same outage.
_QUIET_SECONDS = 60.0


class RegistryWait:
    """One outage, if it is one.

    Args:
        say: Told when it begins, every minute, and when it ends.
        stopped: Whether to give up.
        clock: Seconds that only go up.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        stopped: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._say, self._stopped, self._clock, self._sleep = say, stopped, clock, sleep
        self._begun: float | None = None
        self._told = 0.0
        self._pause = _FIRST_SECONDS

    def goes_on(self, error: Unavailable) -> bool:
        """Wait until it is worth asking again; False when it is to stop instead."""
        now = self._clock()
        if self._begun is None:
            self._begun = now
            self._told = now - _QUIET_SECONDS
        if now - self._told >= _QUIET_SECONDS:
            self._told = now
            self._say(
                f"messages wait for their schema: {error}. Those whose schema is known go on;"
                " asking again"
            )
        end = now + self._pause
        self._pause = min(2 * self._pause, _LONGEST_SECONDS)
        while not self._stopped() and self._clock() < end:
            self._sleep(_STEP_SECONDS)
        return not self._stopped()

    def ends(self) -> None:
        """It answered; said, where it was said that it did not."""
        if self._begun is not None:
            waited = self._clock() - self._begun
            self._say(f"the schema registry answers again, after {waited:.0f} seconds")
            self._begun = None
            self._pause = _FIRST_SECONDS
