"""`headrace run`: sources through `step` into the journal, and on to sinks."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from headrace.core.mapping import take_large_pages
from headrace.runtime.conveyor import Conveyor
from headrace.runtime.local_lane import Stepped
from headrace.runtime.meters import Sample
from headrace.runtime.stopping import stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from headrace.adapters.telemetry import Tracing
    from headrace.journal.batch import JournalBatch
    from headrace.pipeline.inputs import Inputs
    from headrace.runtime.local_lane import LocalLane
    from headrace.runtime.meters import Meters

#: New objects between two collections of garbage during a run.
_COLLECT_AFTER = 100_000
#: Up to so many rows, a batch is decided and committed by the thread that read it.
_SMALL_ROWS = 2_048
#: From so many bytes on, a batch is worth handing on while others are under way.
_WORTH_BYTES = 256 * 1024
#: How long a thread may keep the interpreter while another waits for it.
_SWITCH_SECONDS = 0.0005


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
        worth: Whether a batch of that size is worth handing on while others are under way; the
            size is that of which `takes` is asked.
        tracing: Makes spans of commits, where that is asked for.
    """

    def __init__(
        self,
        local: LocalLane,
        sinks: Sequence[Sink],
        meters: Meters,
        clock: Callable[[], int],
        worth: Callable[[int], bool] = lambda size: size >= _WORTH_BYTES,
        tracing: Tracing | None = None,
    ) -> None:
        self._local = local
        self._sinks = sinks
        self._meters = meters
        self._clock = clock
        self._worth = worth
        self._tracing = tracing
        self._conveyor: Conveyor[Inputs | Stepped, Stepped] = Conveyor(
            lambda item: item if isinstance(item, Stepped) else local.step(item),
            self._keep,
            lambda item: not isinstance(item, Stepped) and len(item) <= _SMALL_ROWS,
        )

    def takes(self, size: int) -> bool:
        """Whether a batch of that size should be handed over now, or rather grow.

        The size is in bytes, unless `worth` counts otherwise.

        While others are under way, one that is not worth a thread's turn waits for company.
        """
        return self._conveyor.idle() or (self._worth(size) and self._conveyor.room())

    def idle(self) -> bool:
        """Whether all that was read is kept."""
        return self._conveyor.idle()

    def stopped(self) -> bool:
        """Whether reading should end."""
        return self._conveyor.stopped()

    def stop(self) -> None:
        """End reading; what was read is decided, made durable and written to the sinks."""
        self._conveyor.stop()

    def over(self, batches: Iterable[Inputs | Stepped]) -> None:
        """Decide all batches; Ctrl-C and SIGTERM end it in good order.

        Where what comes next depends on what was decided, the iterable puts its inputs through
        `step` itself, all of them; what it gives is then kept as it is.
        """
        with stopping(self.stop), undisturbed():
            self.through(batches)

    def through(self, batches: Iterable[Inputs | Stepped]) -> None:
        """Decide all batches, as one of several runs of a process."""
        self._conveyor.run(batches)

    def close_sinks(self) -> None:
        """Tell the sinks that nothing more will come."""
        for sink in self._sinks:
            sink.close()

    def _keep(self, stepped: list[Stepped]) -> None:
        begun = self._clock()
        commit = self._local.record(stepped)
        durable = self._clock()
        batches = [item.batch for item in stepped]
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
            durable - begun,
        )
        for sink in self._sinks:
            sink.write(batches)
        self._local.catch_up()
        self._local.settle()
        if self._tracing is not None:
            self._trace(self._tracing, stepped, oldest, (begun, durable))

    def _trace(
        self, tracing: Tracing, stepped: list[Stepped], oldest: int, commit: tuple[int, int]
    ) -> None:
        """Tell of a commit: from when its oldest input was read until its sinks had it."""
        stages = [("step", item.begun_ns, item.begun_ns + item.spent_ns) for item in stepped]
        stages.append(("commit", *commit))
        if self._sinks:
            stages.append(("sinks", commit[1], self._clock()))
        facts: dict[str, int | str] = {
            "headrace.lane": self._local.header.lane,
            "headrace.first_seq": stepped[0].batch.first_seq,
            "headrace.events": sum(len(item.batch) for item in stepped),
            "headrace.decisions": sum(len(item.batch.decisions) for item in stepped),
        }
        tracing.batch(oldest, stages, (), facts)


@contextmanager
def undisturbed() -> Iterator[None]:
    """With few and short collections of garbage, and threads that soon make way for each other.

    A collection is a pause in which nothing is decided. A batch leaves no cycles, so there is next
    to nothing to find; and what was loaded before the run, most of all that there is, is not looked
    through again. It moves into large pages, where it is found faster.
    """
    before, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.freeze()
    take_large_pages()
    gc.set_threshold(_COLLECT_AFTER, *before[1:])
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*before)
        gc.unfreeze()
