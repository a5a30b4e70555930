"""What a service measures of itself: requests, stages and batches, beside what every run counts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from headrace.runtime.histogram import Histogram
from headrace.runtime.meters import Meters

if TYPE_CHECKING:
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader

#: What a batch goes through, in this order.
STAGES = ("parse", "step", "commit", "answer")

#: Seconds of one stage of one batch.
STAGE_BOUNDS = (
    *(0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
#: Events of one batch.
BATCH_BOUNDS = tuple(float(1 << bit) for bit in range(13))


class Laps:
    """Stretches of the time of one batch, one after the other.

    Attributes:
        begun_ns: When the first began, nanoseconds since 1970.
        spent: Name of a stage to its duration in nanoseconds, in the order of time.
    """

    __slots__ = ("_last", "begun_ns", "spent")

    def __init__(self) -> None:
        self.begun_ns = time.time_ns()
        self._last = time.perf_counter_ns()
        self.spent: dict[str, int] = {}

    def end(self, stage: str) -> None:
        """A stage ends now: it began where the one before it ended."""
        now = time.perf_counter_ns()
        self.spent[stage] = now - self._last
        self._last = now

    def stretches(self) -> list[tuple[str, int, int]]:
        """Name, begin and end of each stage, nanoseconds since 1970."""
        told, at = [], self.begun_ns
        for stage, spent in self.spent.items():
            told.append((stage, at, at + spent))
            at += spent
        return told


class ServiceMeters(Meters):
    """Counts of a service's lane.

    Attributes:
        stages: For each of `STAGES`, seconds that a batch spent in it.
        batches: Events of a batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stages = {stage: Histogram(STAGE_BOUNDS) for stage in STAGES}
        self.batches = Histogram(BATCH_BOUNDS)

    def decided(self, batch: JournalBatch, header: JournalHeader, laps: Laps) -> None:
        """Add a batch whose answers go out now.

        Args:
            batch: What was decided.
            header: What its numbers stand for.
            laps: Of its stages.
        """
        self.count(batch, header.outcomes, header.reasons)
        for stage, spent_ns in laps.spent.items():
            self.stages[stage].add_one(spent_ns / 1e9)
        self.batches.add_one(len(batch))
