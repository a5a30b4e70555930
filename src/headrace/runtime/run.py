"""`headrace run`: sources through `step` into the journal, and on to sinks."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from headrace.runtime.conveyor import Conveyor
from headrace.runtime.meters import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from headrace.journal.batch import JournalBatch
    from headrace.pipeline.inputs import Inputs
    from headrace.runtime.local_lane import LocalLane
    from headrace.runtime.meters import Meters


class Sink(Protocol):
    """Where decisions go once the journal has them."""

    def write(self, batches: Sequence[JournalBatch]) -> None:
        """Take decided batches, in order."""

    def close(self) -> None:
        """Nothing more will come."""


class Run:
    """One run of a lane over one intake.

    Args:
        local: The lane.
        sinks: Where decisions go.
        meters: What it counts itself with.
        clock: Nanoseconds since 1970.
    """

    def __init__(
        self, local: LocalLane, sinks: Sequence[Sink], meters: Meters, clock: Callable[[], int]
    ) -> None:
        self._local = local
        self._sinks = sinks
        self._meters = meters
        self._clock = clock
        self._conveyor: Conveyor[Inputs, JournalBatch] = Conveyor(self._decide, self._keep)

    def room(self) -> bool:
        """Whether the next batch would be taken at once."""
        return self._conveyor.room()

    def stopped(self) -> bool:
        """Whether reading should end."""
        return self._conveyor.stopped()

    def stop(self) -> None:
        """End reading; what was read is decided, made durable and written to the sinks."""
        self._conveyor.stop()

    def over(self, batches: Iterable[Inputs]) -> None:
        """Decide all batches; Ctrl-C and SIGTERM end it in good order."""
        with _stopping(self.stop):
            self._conveyor.run(batches)

    def close_sinks(self) -> None:
        """Tell the sinks that nothing more will come."""
        for sink in self._sinks:
            sink.close()

    def _decide(self, inputs: Inputs) -> JournalBatch:
        batch = self._local.decide(inputs)
        self._local.snapshot_if_due()
        return batch

    def _keep(self, batches: list[JournalBatch]) -> None:
        commit = self._local.commit()
        durable = self._clock()
        header = self._local.header
        for batch in batches:
            self._meters.count(batch, header.outcomes, header.reasons)
        oldest = min(int(batch.inputs.read_ns.min()) for batch in batches)
        self._meters.committed(
            Sample(
                durable,
                sum(len(batch) for batch in batches),
                sum(len(batch.decisions) for batch in batches),
                durable - oldest,
            ),
            commit.size,
        )
        for sink in self._sinks:
            sink.write(batches)


@contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into a call of `stop`, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, lambda *_: stop())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
