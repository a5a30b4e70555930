"""A worker's part in one stage: the lanes that a group gives it, each in threads of its own."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from headrace.adapters.kafka.group_progress import GroupProgress
from headrace.adapters.kafka.membership import Alone, Membership
from headrace.core.errors import HeadraceError
from headrace.runtime.lane_thread import LaneThread
from headrace.runtime.meters import Meters, WorkerMeters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.adapters.kafka.membership import Holder
    from headrace.runtime.kafka_lane import KafkaLane
    from headrace.runtime.kafka_stage import LaneStage

#: Between two looks at the lanes.
_LOOK_SECONDS = 0.1
#: A lane that was fenced and is the worker's still is opened again after so long.
_RETAKE_SECONDS = 15.0
#: A worker that is to end, and has had no lane for so long, looks at those of others.
_IDLE_SECONDS = 3.0
#: Between two looks at them.
_OTHERS_SECONDS = 1.0


class KafkaWorker:
    """Joins the group of a stage, works its lanes until it is stopped, and leaves.

    Args:
        stage: Whose lanes.
        say: Told what a user should know while it goes on.

    Attributes:
        meters: What is counted, over all lanes.
        lanes: How they are, and how they come and go.
        through: Set when it has reached the end that was asked for.
    """

    def __init__(self, stage: LaneStage, say: Callable[[str], None]) -> None:
        self.stage = stage
        self.meters = Meters()
        self.lanes = WorkerMeters(stage.lanes)
        self.through = threading.Event()
        self._say = say
        self._threads: dict[int, LaneThread] = {}
        self._stop = threading.Event()
        self._holder: Holder
        self._idle_since = time.monotonic()
        self._told_waiting = False
        self._next_look_s = 0.0
        self._progress = GroupProgress(stage.cluster, stage.group)

    def open_lanes(self) -> list[KafkaLane]:
        """The lanes that are open now; from any thread."""
        lanes = [thread.open_lane for thread in list(self._threads.values())]
        return [lane for lane in lanes if lane is not None]

    def stop(self) -> None:
        """End in good order: what was read is decided and committed."""
        self._stop.set()

    def work(self) -> None:
        """Work until it is stopped, or until the end where that was asked for.

        Raises:
            HeadraceError: A lane cannot go on; the others were closed in good order.
        """
        if self.stage.single:
            self._alone()
        else:
            self._in_group()
        if self.stage.tracing is not None:
            self.stage.tracing.close()
        self._raise()
        if not self._stop.is_set():
            self.through.set()

    def _alone(self) -> None:
        """Take the one lane, whoever has it."""
        self._holder = Alone(self.stage.cluster, self.stage.group)
        try:
            self._take([0])
            while not self._stop.is_set() and self._threads[0].running:
                self._stop.wait(_LOOK_SECONDS)
        finally:
            self._give_up([0])

    def _in_group(self) -> None:
        """Take the lanes that the group gives, for as long as it does."""
        membership = Membership(
            self.stage.cluster,
            self.stage.group,
            self.stage.leader,
            assigned=self._assigned,
            revoked=self._revoked,
            lost=self._lost,
        )
        self._holder = membership
        try:
            while not self._stop.is_set() and not self._done(membership):
                membership.poll(_LOOK_SECONDS)
                self._look_after()
        finally:
            self._give_up(list(self._threads))
            membership.close()

    def _done(self, membership: Membership) -> bool:
        """Whether a lane has failed, or all have reached the end where that was asked for."""
        threads = list(self._threads.values())
        if any(self._failed(thread) for thread in threads):
            return True
        if not self.stage.until_end:
            return False
        if any(thread.running or thread.fenced for thread in threads):
            return False
        return self._others_are_through(membership)

    def _others_are_through(self, membership: Membership) -> bool:
        """Whether other lanes have reached the end too; those of a worker that dies come here.

        A group that misses a member gives that one's lanes to nobody for a while.
        """
        now = time.monotonic()
        idle_s = now - self._idle_since
        if now < self._next_look_s or (not self._threads and idle_s < _IDLE_SECONDS):
            return False
        self._next_look_s = now + _OTHERS_SECONDS
        others = [
            place
            for lane in range(self.stage.lanes)
            if lane not in self._threads
            for place in self.stage.offsets_tell(lane)
        ]
        # the group is asked last, and so seldom: the client ends the whole process where a broker
        # leaves while it is asked (confluentinc/librdkafka issue 4605)
        if self._progress.is_through(others) and membership.settled():
            return True
        if not self._told_waiting and idle_s > _IDLE_SECONDS:
            self._told_waiting = True
            self._say(
                f"waiting for the lanes that group {self.stage.group} has not given to this worker;"
                " where a worker was killed, its lanes are free after session.timeout.ms (45 s"
                " unless it is set)"
            )
        return False

    def _failed(self, thread: LaneThread) -> bool:
        """Whether a lane has ended in a way that the worker cannot go on from."""
        return thread.error is not None and not (thread.fenced and not self.stage.single)

    def _look_after(self) -> None:
        """Say which lanes were fenced; open those again that are the worker's still."""
        for lane, thread in list(self._threads.items()):
            if not thread.fenced:
                continue
            if lane not in self.lanes.fenced_now:
                self.lanes.was_fenced(lane)
                self._say(f"{thread.error}; its other lanes go on")
            elif time.monotonic() - thread.ended_s > _RETAKE_SECONDS:
                self._say(f"lane {lane} was fenced, and is this worker's still: it is opened again")
                self._take([lane])

    def _assigned(self, lanes: Sequence[int]) -> None:
        self.lanes.rebalances += 1
        if lanes:
            self._say(f"the group gives this worker lane {_listed(lanes)}")
        self._take(lanes)

    def _revoked(self, lanes: Sequence[int]) -> None:
        if any(lane in self._threads and self._threads[lane].running for lane in lanes):
            self._say(f"lane {_listed(lanes)} goes to another worker")
        self._hand_over(lanes)

    def _lost(self, lanes: Sequence[int]) -> None:
        self.lanes.lost += len(lanes)
        if lanes:
            self._say(
                f"lane {_listed(lanes)} was given to another worker, because the group had not"
                " heard of this one for too long"
            )
        self._hand_over(lanes)

    def _take(self, lanes: Sequence[int]) -> None:
        """Open lanes, each beside the others."""
        for lane in lanes:
            self._threads[lane] = LaneThread(self.stage, lane, self._holder, self.meters, self._say)
        self.lanes.show(self._threads.values())

    def _give_up(self, lanes: Sequence[int]) -> None:
        """Close lanes: all at once, since each has something to finish."""
        ending = [self._threads[lane] for lane in lanes if lane in self._threads]
        for thread in ending:
            thread.stop()
        for thread in ending:
            while thread.running:
                self._holder.refresh()
                thread.join(_LOOK_SECONDS)

    def _hand_over(self, lanes: Sequence[int]) -> None:
        """Close lanes that are another worker's next; what they did not commit, that one does."""
        going = [lane for lane in lanes if lane in self._threads]
        failed = {lane for lane in going if self._failed(self._threads[lane])}
        self._give_up(going)
        for lane in going:
            error = self._threads[lane].error
            if lane in failed or not isinstance(error, HeadraceError | None):
                continue  # what ended it is still to be told
            if error is not None and not self._threads[lane].fenced:
                self._say(f"lane {lane} was let go of before it had committed all: {error}")
            del self._threads[lane]
        self._idle_since = time.monotonic()
        self.lanes.show(self._threads.values())

    def _raise(self) -> None:
        """Raise what the first lane that failed ended with."""
        for thread in self._threads.values():
            if thread.error is not None and self._failed(thread):
                raise thread.error


def _listed(lanes: Sequence[int]) -> str:
    return ", ".join(map(str, lanes))
