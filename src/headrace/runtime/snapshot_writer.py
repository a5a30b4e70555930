"""Snapshots in the background: deciding stops for a copy in memory, and for nothing else."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.errors import LimitReached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headrace.pipeline.lane import FrozenLane, Lane, LaneRoom
    from headrace.runtime.snapshot_pace import Pace
    from headrace.runtime.snapshots import Snapshots

#: What a full disk, a folder that cannot be written, or too little memory raise.
_UNWRITTEN = (OSError, MemoryError, LimitReached)


@dataclass(frozen=True, slots=True)
class Written:
    """The newest snapshot.

    Attributes:
        next_seq: The input that it stands before.
        bytes: Of the state.
        seconds: From the copy to the disk.
        pause_s: How long deciding stood still for the copy.
    """

    next_seq: int
    bytes: int
    seconds: float
    pause_s: float


class _Job:
    """One snapshot on its way: room is made ready, the state comes in, it is written.

    Args:
        make_room: Makes the room.
        write: Takes the state to disk.
        failed: Called with what went wrong.
    """

    def __init__(
        self,
        make_room: Callable[[], LaneRoom],
        write: Callable[[queue.SimpleQueue[FrozenLane | None]], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._make_room, self._write, self._failed = make_room, write, failed
        self._handed: queue.SimpleQueue[FrozenLane | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[LaneRoom] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="snapshot", daemon=True)
        self.thread.start()

    def room(self) -> LaneRoom | None:
        """The room, once, when it is ready."""
        try:
            return self._ready.get_nowait()
        except queue.Empty:
            return None

    def hand(self, frozen: FrozenLane | None) -> None:
        """Give the state that is to be written; None gives it up."""
        self._handed.put(frozen)

    def _work(self) -> None:
        try:
            room = self._make_room()
            room.make_ready()
            self._ready.put(room)
            del room  # its memory is to go once the state is bytes
            self._write(self._handed)
        except BaseException as error:  # noqa: BLE001 - said, or raised again where deciding goes on
            self._failed(error)


class SnapshotWriter:
    """Makes snapshots of a lane while it goes on; one is under way at most.

    A disk that is full or cannot be written stops nothing: that is said, and tried again.

    Args:
        lane: Whose state is kept.
        snapshots: Where.
        pace: When.
        say: Takes a sentence for whoever runs the lane.
        judged_from: The input from which on the journal's verdicts are the state's own.
    """

    def __init__(
        self,
        lane: Lane,
        snapshots: Snapshots,
        pace: Pace,
        say: Callable[[str], None],
        judged_from: int = 0,
    ) -> None:
        self._judged_from = judged_from
        self._lane, self._snapshots, self._pace, self._say = lane, snapshots, pace, say
        self._job: _Job | None = None
        self._bug: BaseException | None = None
        self._pause_s = 0.0
        self._told = False
        self.written: Written | None = None

    def after_batch(self) -> FrozenLane | None:
        """The lane's state, where it is time for it: called after each batch, by who decides it.

        It must be handed to `keep` when the journal holds what led to it.
        """
        if self._bug is not None:
            raise self._bug
        if self._job is not None and not self._job.thread.is_alive():
            self._job = None
        if self._job is None:
            if self._pace.due(self._lane.next_seq):
                self._job = _Job(self._lane.room, self._write_handed, self._failed)
            return None
        room = self._job.room()
        if room is None:
            return None
        begun = time.perf_counter()
        frozen = self._lane.freeze(room)
        self._pause_s = time.perf_counter() - begun
        return frozen

    def keep(self, frozen: FrozenLane) -> None:
        """Write a state that `after_batch` gave; returns at once."""
        if self._job is not None:
            self._job.hand(frozen)

    def finish(self) -> None:
        """Wait for what is under way, and write the state as it is now, unless that is written."""
        self.abandon()
        if self._pace.since(self._lane.next_seq) > 0:
            self._pause_s = 0.0
            begun = time.perf_counter()
            try:
                self._write(begun, self._lane.next_seq, *self._lane.freeze().content())
            except _UNWRITTEN as error:
                self._failed(error)
        if self._bug is not None:
            raise self._bug

    def abandon(self) -> None:
        """Wait for what is under way; a state that was not handed over yet is given up."""
        if self._job is not None:
            self._job.hand(None)
            self._job.thread.join()
            self._job = None

    def _write_handed(self, handed: queue.SimpleQueue[FrozenLane | None]) -> None:
        frozen = handed.get()
        if frozen is None:
            return
        begun = time.perf_counter()
        next_seq, (size, pieces) = frozen.next_seq, frozen.content()
        del frozen  # and with it the copy
        self._write(begun, next_seq, size, pieces)

    def _write(self, begun: float, next_seq: int, size: int, pieces: Iterator[bytes]) -> None:
        self._snapshots.write(next_seq, size, pieces, self._judged_from)
        seconds = time.perf_counter() - begun
        self._pace.stands_at(next_seq, seconds)
        self.written = Written(next_seq, size, seconds, self._pause_s)
        if not self._pace.can_be_kept and not self._told:
            self._told = True
            self._say(
                f"a snapshot takes {seconds:.1f} s to write, and about as long to read: opening"
                " this lane again can take longer than recover_within; name a longer one, or hold"
                " fewer keys in a lane"
            )

    def _failed(self, error: BaseException) -> None:
        self._pace.failed()
        if not isinstance(error, _UNWRITTEN):
            self._bug = error
            return
        self._say(
            f"no snapshot was written: {error}. Decisions go on and nothing is lost, since the"
            " journal holds all; the last good snapshot stays, and it will be tried again. Free"
            f" space, or make {self._snapshots.folder} writable"
        )
