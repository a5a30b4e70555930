"""A lane under a changed definition: the state is kept where it can be, and the rest made anew."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.durations import SECOND_NS, duration_words
from headrace.core.errors import ArtefactError
from headrace.journal.reader import segment_starts, stored_batches
from headrace.pipeline.change import Change, Horizon, Rebuilding, times_of
from headrace.pipeline.replay import ranks_under

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from headrace.definitions.plan import Plan
    from headrace.journal.reader import StoredBatch
    from headrace.pipeline.lane import Lane
    from headrace.runtime.snapshots import Snapshot

#: Batches at the start of a segment that are looked at for where to begin.
_LOOK = 32
#: Names that a sentence spells out.
_NAMED = 8


@dataclass(slots=True)
class CarryOver:
    """Takes a state of another definition over.

    Args:
        snapshot: With the state.
        lane: That takes it; it has seen nothing, and has seen nothing after a failure too.
        folder: The journal.
        progress: Called with (inputs read, inputs to read).
    """

    snapshot: Snapshot
    lane: Lane
    folder: Path
    progress: Callable[[int, int], None]

    def carried(self, old: Plan) -> str:
        """Take the state over; a sentence on what was kept and what was made anew.

        Args:
            old: The plan of the state.

        Raises:
            ArtefactError: It cannot be taken over; the message says why.
        """
        begun = time.perf_counter()
        reason = Change.whole(old, self.lane.definition.plan)
        if reason:
            raise ArtefactError(reason)
        change = Change.between(old, self.lane.definition.plan)
        rebuilding = Rebuilding(change, self.snapshot.state, self.lane.limits, self.lane.key)
        begin = self._begin(change, rebuilding.watermark) if change.rebuilt else self._end
        if begin < min(self.snapshot.judged_from, self._end):
            raise ArtefactError(
                f"inputs before {self.snapshot.judged_from:,} were judged under a definition with"
                " other rules for late and early events"
            )
        earliest = self._rebuild(rebuilding, begin)
        self.lane.restore(rebuilding.state())
        told = _told(change, begin, time.perf_counter() - begun)
        if begin == 0:
            told += _incomplete(change, rebuilding.watermark, earliest)
        return told

    @property
    def _end(self) -> int:
        return self.snapshot.next_seq

    def _begin(self, change: Change, watermark: int) -> int:
        """The first input that has to be read: the start of a segment."""
        for start in reversed(segment_starts(self.folder)):
            horizon = Horizon(change, watermark)
            for stored in islice(self._before_end(start), _LOOK):
                horizon.look(stored.batch(), ranks_under(stored.header, change.new))
                if horizon.reached:
                    return start
        return 0

    def _before_end(self, start: int) -> Iterator[StoredBatch]:
        """The batches from an input on that the state has seen."""
        batches = stored_batches(self.folder, start)
        return takewhile(lambda stored: stored.link.next_seq <= self._end, batches)

    def _rebuild(self, rebuilding: Rebuilding, begin: int) -> dict[str, int]:
        """Read the journal; the earliest event of each stream that was read."""
        plan = self.lane.definition.plan
        earliest: dict[str, int] = {}
        if begin >= self._end:
            return earliest
        for stored in self._before_end(begin):
            batch = stored.batch()
            rebuilding.take(batch, ranks_under(stored.header, plan))
            for stream in plan.streams:
                if batch.events.get(stream.name):
                    first = int(times_of(plan, batch, stream.name).min())
                    earliest[stream.name] = min(earliest.get(stream.name, first), first)
            self.progress(batch.next_seq - begin, self._end - begin)
        return earliest


def _told(change: Change, begin: int, seconds: float) -> str:
    """What was kept, and what made anew."""
    kept, rebuilt = change.kept_features(), list(change.rebuilt_features())
    parts = []
    if kept:
        parts.append(f"the state of {_named(kept)} is kept")
    if rebuilt:
        origin = f"input {begin:,} on" if begin else "its first input on"
        parts.append(
            f"that of {_named(rebuilt)} was rebuilt from the journal, {origin}, in {seconds:.1f} s"
        )
    return f"the definition has changed: {'; '.join(parts) or 'no window is concerned'}"


def _incomplete(change: Change, watermark: int, earliest: dict[str, int]) -> str:
    """Which features look back further than the journal goes, and from when on they do not."""
    told = ""
    for name, windows in change.rebuilt_features().items():
        for item in sorted(windows, key=lambda item: -(item.window_ns + item.delay_ns))[:1]:
            back = item.window_ns + item.delay_ns
            first = earliest.get(change.new.groups[item.group].stream, watermark)
            if first > watermark - back:
                told += (
                    f"; {name} looks back {duration_words(back)}, the journal begins at"
                    f" {_date(first)}: complete from {_date(first + back)} on"
                )
    return told


def _date(at_ns: int) -> str:
    return f"{np.datetime64(at_ns // SECOND_NS, 's')}Z"


def _named(names: list[str]) -> str:
    """Some of these names.

    >>> _named(["a", "b", "c"])
    'a, b and c'
    """
    if len(names) > _NAMED:
        return f"{', '.join(names[: _NAMED - 1])} and {len(names) - _NAMED + 1} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
