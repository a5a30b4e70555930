"""A lane of a worker in threads of its own: opened, worked, closed."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from headrace.adapters.kafka.cluster import Fenced
from headrace.core.errors import Unavailable
from headrace.runtime.kafka_lane import LaneCalls
from headrace.runtime.meters import LaneStanding

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.adapters.kafka.membership import Holder
    from headrace.runtime.kafka_lane import KafkaLane
    from headrace.runtime.kafka_stage import LaneStage
    from headrace.runtime.meters import Meters


#: Between two tries to open a lane while the cluster does not answer.
_PAUSE_SECONDS = 1.0


class _GivenUp(Exception):
    """The lane was to be stopped before it was open."""


class LaneThread:
    """Opens a lane and works it, beside the worker's other lanes.

    Args:
        stage: Whose lane it is.
        number: Of the lane.
        holder: In whose name offsets are committed.
        meters: What is counted.
        say: Told what a user should know.

    Attributes:
        number: Of the lane.
        error: What ended it; None while it goes on, and where it ended in good order.
        ended_s: When it ended, by the monotonic clock.
    """

    def __init__(
        self,
        stage: LaneStage,
        number: int,
        holder: Holder,
        meters: Meters,
        say: Callable[[str], None],
    ) -> None:
        self.number = number
        self.error: BaseException | None = None
        self.ended_s = 0.0
        self._state = "opening"
        self._say = say
        self._asked = threading.Event()
        self._lane: KafkaLane | None = None
        calls = LaneCalls(self._replayed, say, self._asked.is_set)
        self._open = partial(stage.open, number, holder, meters, calls)
        self._thread = threading.Thread(target=self._work, name=f"lane {stage.name}/{number}")
        self._thread.start()

    @property
    def fenced(self) -> bool:
        """Whether another worker has taken the lane."""
        return isinstance(self.error, Fenced)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._thread.is_alive()

    def standing(self) -> LaneStanding:
        """How the lane is now."""
        lane = self._lane
        if lane is None:
            return LaneStanding(self.number, self._state, 0, 0)
        behind = lane.behind() if self.running else 0
        return LaneStanding(self.number, self._state, lane.next_seq, behind)

    @property
    def open_lane(self) -> KafkaLane | None:
        """The lane while it is open."""
        return self._lane if self.running else None

    def stop(self) -> None:
        """End it in good order: what was taken is committed, a snapshot is made."""
        self._asked.set()
        if self._lane is not None:
            self._lane.stop()

    def join(self, seconds: float) -> None:
        """Wait until it has ended, for so long at most."""
        self._thread.join(seconds)

    def _replayed(self, _done: int, _most: int) -> None:
        self._state = "replaying"
        if self._asked.is_set():
            raise _GivenUp

    def _opened(self) -> KafkaLane:
        """The lane, as soon as the cluster gives what it holds."""
        while True:
            try:
                return self._open()
            except Unavailable as error:
                self._say(f"lane {self.number} is not open yet: {error}; trying again")
            if self._asked.wait(_PAUSE_SECONDS):
                raise _GivenUp

    def _work(self) -> None:
        try:
            lane = self._lane = self._opened()
            self._state = "deciding"
            if self._asked.is_set():
                lane.stop()
            lane.go()
            self._state = "ended"
        except _GivenUp:
            self._state = "ended"
        except BaseException as error:  # noqa: BLE001 - the worker raises it again
            self.error = error
            self._state = "fenced" if self.fenced else "failed"
        finally:
            self.ended_s = time.monotonic()
