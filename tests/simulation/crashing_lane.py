"""A lane that crashes at random moments and is made anew, as a start does it from the journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.journal.canonical import records
from headrace.pipeline.lane import Lane, LaneLimits
from headrace.pipeline.step import step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader
    from headrace.pipeline.inputs import Inputs
    from headrace.pipeline.lane import Definition

KEY = (3, 4)
#: How likely a snapshot, and a crash, is after a batch.
SNAPSHOT, CRASH = 0.2, 0.2


@dataclass(frozen=True)
class CrashingLane:
    """A lane, with what it is fed.

    Attributes:
        definition: What decides.
        header: What its journal would begin with.
        inputs: Gives those from one place up to another.
        dice: Draws sizes, threads and moments.
    """

    definition: Definition
    header: JournalHeader
    inputs: Callable[[int, int], Inputs]
    dice: np.random.Generator

    def batches(self, count: int, most: int) -> Iterator[JournalBatch]:
        """Feed the lane so many inputs, fewer than `most` at a time.

        After a crash it starts from a snapshot, and the inputs since are put through again in
        other batches: what comes out must be what came out before.
        """
        lane, kept = self._lane(), list[bytes]()
        snapshot, since, begin = lane.snapshot(), 0, 0
        while begin < count:
            end = min(count, begin + int(self.dice.integers(1, most)))
            batch = step(lane, self.inputs(begin, end))
            kept += records(batch, self.header)
            yield batch
            begin = end
            if self.dice.random() < SNAPSHOT:
                snapshot, since = lane.snapshot(), begin
            if self.dice.random() < CRASH:
                lane = self._lane()
                lane.restore(snapshot)
                while since < begin:
                    upto = min(begin, since + int(self.dice.integers(1, most * 3 // 2)))
                    again = step(lane, self.inputs(since, upto))
                    assert records(again, self.header) == kept[since:upto], f"from input {since}"
                    since = upto
                snapshot = lane.snapshot()

    def _lane(self) -> Lane:
        return Lane(self.definition, KEY, LaneLimits(threads=int(self.dice.integers(1, 3))))
