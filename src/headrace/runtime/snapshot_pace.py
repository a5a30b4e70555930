"""When the next snapshot is due, so that a lane is soon open again."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Inputs after which what was measured before counts half.
_HALF = 1_000_000
#: Between two snapshots, as many times as long as one took passes: they take a fifth at most.
_REST = 4
#: Seconds until a snapshot that failed is tried again.
RETRY_S = 30.0


class Pace:
    """How far apart snapshots are.

    Opening a lane reads the newest state, and puts the inputs since through again. Deciding is what
    takes time in both, so what an input takes to decide says what it will take then. A snapshot is
    due when reading, these inputs, and those that come while it is written would together take as
    long as is allowed. Where writing one takes so long that this cannot be kept, replay gets half
    of the time all the same.

    Args:
        within_s: How long opening may take.
        every: Inputs between snapshots instead, for who wants to name them.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        within_s: float,
        every: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._within, self._every, self._clock = within_s, every, clock
        self._lock = threading.Lock()
        self._inputs = self._seconds = 0.0
        self._stands_at = 0
        self._takes = 0.0
        self._not_before = clock()

    def stands_at(self, next_seq: int, takes_s: float) -> None:
        """There is a good snapshot before this input, which took so long to read or write."""
        with self._lock:
            self._stands_at, self._takes = next_seq, takes_s
            self._not_before = self._clock() + _REST * takes_s

    def failed(self) -> None:
        """A snapshot could not be written."""
        with self._lock:
            self._not_before = self._clock() + RETRY_S

    def worked(self, inputs: int, seconds: float) -> None:
        """So many inputs were decided, or put through again, in so many seconds."""
        kept = 0.5 ** (inputs / _HALF)
        self._inputs = self._inputs * kept + inputs
        self._seconds = self._seconds * kept + seconds

    @property
    def input_seconds(self) -> float:
        """What an input takes to put through again; 0 while nothing is known."""
        return self._seconds / self._inputs if self._inputs else 0.0

    @property
    def can_be_kept(self) -> bool:
        """Whether opening surely takes no longer than is allowed, as far as is known."""
        return 2 * self._takes <= self._within / 2

    def since(self, next_seq: int) -> int:
        """Inputs that no snapshot covers yet."""
        return next_seq - self._stands_at

    def due(self, next_seq: int) -> bool:
        """Whether a snapshot should be made."""
        with self._lock:
            since = next_seq - self._stands_at
            if since <= 0 or self._clock() < self._not_before:
                return False
            if self._every is not None:
                return since >= self._every
            allowed = max(self._within - 2 * self._takes, self._within / 2)
            return since * self.input_seconds >= allowed
