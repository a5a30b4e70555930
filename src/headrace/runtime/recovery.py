"""Opening a lane: the newest good state, and the journal from there on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import ArtefactError, JournalError, NotFound
from headrace.journal.batch import InputKind
from headrace.pipeline.replay import inputs_of, ranks_under
from headrace.pipeline.step import accept
from headrace.runtime.carry_over import CarryOver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headrace.pipeline.lane import Lane
    from headrace.runtime.definitions import Definitions
    from headrace.runtime.lane_journal import LaneJournal
    from headrace.runtime.snapshots import Snapshot, Snapshots


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found when a lane was opened.

    Attributes:
        next_seq: The input it goes on with.
        from_snapshot: Where the snapshot stood; 0 for none.
        replayed: Inputs that were put through again.
        words: On damaged snapshots, unvouched tails, a changed definition.
        state_bytes: Of the snapshot.
        read_s: Seconds that reading it took.
        replay_s: Seconds that the inputs since took.
        judged_from: The input from which on the journal holds this state's own verdicts. Under an
            earlier definition, other events may have been late.
        carried: Whether the snapshot was of another definition, and its state carried over.
    """

    next_seq: int
    from_snapshot: int
    replayed: int
    words: tuple[str, ...]
    state_bytes: int = 0
    read_s: float = 0.0
    replay_s: float = 0.0
    judged_from: int = 0
    carried: bool = False

    def __str__(self) -> str:
        """What was recovered, from where, and how long it took.

        >>> print(Recovery(1_200, 0, 1_200, (), replay_s=0.5))
        recovered in 0.5 s: 1,200 inputs of the journal, from its start (0.5 s, 2,400 a second)
        """
        parts = []
        if self.from_snapshot:
            parts.append(
                f"a state of {self.state_bytes / 1e6:,.1f} MB before input {self.from_snapshot:,}"
                f" ({self.read_s:.1f} s)"
            )
        if self.replayed:
            since = " since" if self.from_snapshot else ", from its start"
            rate = self.replayed / self.replay_s if self.replay_s else 0.0
            parts.append(
                f"{self.replayed:,} inputs of the journal{since}"
                f" ({self.replay_s:.1f} s, {rate:,.0f} a second)"
            )
        return f"recovered in {self.seconds:.1f} s: {', and '.join(parts) or 'nothing was there'}"

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.read_s + self.replay_s


@dataclass(slots=True)
class Opening:
    """One opening of a lane.

    Args:
        new_lane: Makes a lane that has seen nothing.
        journal: Of the lane.
        snapshots: Of the lane under its definition.
        progress: Called with (inputs replayed, inputs to replay).
        definitions: Those that were ever in force.
        folder: Of the journal, where it is kept in one: state under another definition is carried
            over from there.
        changed: Whether the last inputs were decided under another definition.
        words: Takes what a user should know.
    """

    new_lane: Callable[[], Lane]
    journal: LaneJournal
    snapshots: Snapshots
    progress: Callable[[int, int], None]
    definitions: Definitions
    folder: Path | None
    changed: bool = False
    words: list[str] = field(default_factory=list)

    def recovered(self) -> tuple[Lane, Recovery]:
        """The lane where its journal ends, and how it came there.

        Raises:
            JournalError: The journal's batches do not reach to its end.
        """
        end = self.journal.next_seq
        self.words += self.snapshots.settle(end)
        begun = time.perf_counter()
        lane, snapshot = self._restored(end)
        read_s = time.perf_counter() - begun
        begin = lane.next_seq
        judged_from = self._replay(lane, end, snapshot.judged_from if snapshot else 0)
        return lane, Recovery(
            next_seq=end,
            from_snapshot=begin,
            replayed=end - begin,
            words=tuple(self.words),
            state_bytes=len(snapshot.state) if snapshot else 0,
            read_s=read_s,
            replay_s=time.perf_counter() - begun - read_s,
            judged_from=judged_from,
            carried=snapshot is not None and snapshot.definition != self.snapshots.definition,
        )

    def _restored(self, end: int) -> tuple[Lane, Snapshot | None]:
        """A lane with the newest state that can be taken."""
        for snapshot in self.snapshots.usable(end, self.words.append):
            lane = self.new_lane()
            try:
                lane.restore(snapshot.state)
            except ArtefactError as error:
                self.words.append(f"{snapshot.path} cannot be taken: {error}")
            else:
                return lane, snapshot
        lane = self.new_lane()
        others = self.snapshots.of_others(end, self.words.append) if self.folder else ()
        for snapshot in others:
            assert self.folder is not None
            carrying = CarryOver(snapshot, lane, self.folder, self.progress)
            try:
                self.words.append(carrying.carried(self.definitions.plan(snapshot.definition)))
            except (ArtefactError, NotFound) as error:
                self.words.append(f"{snapshot.path} cannot be carried over: {error}")
            else:
                return lane, snapshot
        if self.changed:
            self.words.append("the definition has changed: its state is rebuilt from the journal")
        return lane, None

    def _replay(self, lane: Lane, end: int, judged_from: int) -> int:
        """Put the journal's inputs through again; from where on its verdicts are the lane's."""
        begin, plan = lane.next_seq, lane.definition.plan
        for header, batch in self.journal.batches(begin):
            if batch.controls:
                lane.next_seq = batch.next_seq
            else:
                verdicts = accept(lane, inputs_of(batch, ranks_under(header, plan))).verdicts
                kind = np.where(batch.inputs.kind == InputKind.BACKFILL, 0, batch.inputs.kind)
                if not np.array_equal(verdicts.verdict, kind):
                    judged_from = lane.next_seq
            self.progress(lane.next_seq - begin, end - begin)
        if lane.next_seq != end:
            raise JournalError(
                f"the journal goes on at input {end}, its batches end at {lane.next_seq};"
                " run `headrace verify`"
            )
        return judged_from
