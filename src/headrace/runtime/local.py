"""One run on one machine, from what a command names to what it leaves behind."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from numba.core.event import install_timer

from headrace.adapters.live import LiveLines
from headrace.core.errors import DataError
from headrace.core.out_files import out_file
from headrace.events.json_lines import JsonLines
from headrace.journal.checkpoint import LaneHead, make_checkpoint, write_checkpoint
from headrace.runtime.clock import SteadyClock
from headrace.runtime.closed_loop import ClosedLoop, source_of
from headrace.runtime.definitions import Definitions
from headrace.runtime.intake import Assembly, HistoryIntake, LiveIntake
from headrace.runtime.kernels import load_all
from headrace.runtime.local_lane import (
    LOG,
    LaneSettings,
    LocalLane,
    Stepped,
    now_ns,
    signing_key,
)
from headrace.runtime.meters import Meters
from headrace.runtime.models import model_of
from headrace.runtime.run import Run
from headrace.runtime.sources import frames_of, historic_sources, named_sources, source_names
from headrace.runtime.traces import tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from headrace.journal.journal import Commit
    from headrace.pipeline.inputs import Inputs
    from headrace.pipeline.lane import Definition
    from headrace.pipeline.use_case import UseCase
    from headrace.runtime.closed_loop import Counterparty
    from headrace.runtime.home import Home
    from headrace.runtime.recovery import Recovery
    from headrace.runtime.run import Sink
    from headrace.runtime.sources import SourceName

#: Rows of a batch of history: large enough that a call costs nothing, small enough for the caches.
BATCH_ROWS = 16_384
#: Rows of stretches of a closed loop that are journaled as one batch.
_STRETCHES_ROWS = 1_024


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a run goes.

    Attributes:
        lane: How the lane is kept.
        model: The id of an artefact, in place of the current one.
        checkpoint: The witness file; None for the home's own.
        batch_rows: Rows of a batch of history.
        traces: Where traces go; see `traces_wanted`.
        snapshots: Where workers over Kafka share theirs: s3://BUCKET/PREFIX, or a folder.
    """

    lane: LaneSettings = field(default_factory=LaneSettings)
    model: str | None = None
    checkpoint: Path | None = None
    batch_rows: int = BATCH_ROWS
    traces: str | None = None
    snapshots: str | None = None


def definition_in_force(
    case: UseCase, home: Home, model: str | None, progress: Callable[[str, int, int], None]
) -> Definition:
    """What decides, with its kernels and tables loaded; the home keeps it under its digests.

    Args:
        case: The use case.
        home: Where models and definitions are.
        model: The id of an artefact, in place of the current one.
        progress: Called with (what is done, done, of how many).
    """
    served = model_of(case, home, model)
    definition = case.definition(served)
    if served is not None:
        progress("laying out the model", 0, 0)
        # made now: the first events should not wait for it
        served.make_ready(reasons=case.explaining.most > 0)
    progress("loading kernels", 0, 0)
    load_all()
    Definitions(home.definitions).keep(definition)
    return definition


def lacking(case: UseCase, local: LocalLane, given: Sequence[str]) -> tuple[str, ...]:
    """Streams and tables that features read, that are not given, and that were never read."""
    named = {case.plan.on, *given}
    return tuple(
        name for name in case.plan.read() if name not in named and not local.lane.knows(name)
    )


def bind_head(local: LocalLane, head: Commit, home: Home, checkpoint: Path | None) -> None:
    """Bind the head of a lane in a checkpoint, in the home's witness file or the one named."""
    if head.next_seq:
        lane = LaneHead(local.header.lane, head.next_seq, head.head)
        made = make_checkpoint([lane], signing_key(home), now_ns())
        write_checkpoint(checkpoint or home.witness, made)


class LocalRun:
    """A run that is opened, goes over its sources, and is closed.

    `lacking` names the streams and tables that features read, of which there is no source, and of
    which no earlier run has read anything; `answers_stream` the stream of its counterparty, if it
    has one.

    Args:
        case: The use case.
        home: Where everything is kept.
        sources: As a user names them; see `headrace.runtime.sources`.
        sinks: Where decisions go; each is made when the lane is open.
        settings: See `RunSettings`.
        progress: Called with (what is done, done, of how many) before the first decision.
        counterparty: Makes what answers the decisions, of tables of all sources by stream; its
            answers are inputs of the lane.
        say: Takes a sentence for whoever runs this, from any thread.

    Raises:
        DataError: When stdin has a counterparty: it has no order of time with it.
    """

    def __init__(
        self,
        case: UseCase,
        home: Home,
        sources: Sequence[str],
        sinks: Sequence[Callable[[LocalLane], Sink]] = (),
        settings: RunSettings | None = None,
        progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
        *,
        counterparty: Callable[[Mapping[str, pa.Table]], Counterparty] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings or RunSettings()
        self.home = home
        if self.settings.checkpoint is not None:
            out_file(self.settings.checkpoint)
        names = named_sources(sources, case.plan.on)
        definition = definition_in_force(case, home, self.settings.model, progress)
        self._tracing = tracing(self.settings.traces, case.name, "run")
        self.meters = Meters()
        say = say or LOG.warning
        clock = SteadyClock(now_ns, say)
        answering = _answering(counterparty, names, case, progress) if counterparty else None
        self.answers_stream = None if answering is None else answering.stream
        progress("recovering the state", 0, 0)
        with ExitStack() as opening:
            self.local = LocalLane(
                definition,
                home,
                source_names(names) + ([] if answering is None else [source_of(answering)]),
                self.settings.lane,
                lambda done, most: progress("replaying the journal", done, most),
                say=say,
            )
            opening.callback(self.local.close, keep_state=False)
            given = [name.stream for name in names]
            self.lacking = lacking(case, self.local, [*given, self.answers_stream or case.plan.on])
            assembly = Assembly(case.plan, self.local.vault)
            self._live: LiveIntake | None = None
            self._history: HistoryIntake | None = None
            self._loop: ClosedLoop | None = None
            if names[0].is_stdin:
                self._live = self._stdin(names[0], assembly, clock)
                self._begin = self.local.position(names[0].stdin_name).ordinal
            else:
                opened = historic_sources(names, assembly)
                self._history = HistoryIntake(
                    assembly,
                    [(self.local.source_number(item.name), item) for item in opened],
                    {item.name: item.arrives_after_ns for item in case.plan.streams},
                    clock,
                    lambda done: progress("reading times", done, 0),
                    self.local.journal.positions,
                    keeps_times=answering is not None,
                )
                self._begin = self._history.begin
                if answering is not None:
                    numbers = {name: at for at, name in enumerate(self.local.header.sources)}
                    self._loop = ClosedLoop(
                        definition, assembly, self._history, answering, numbers, clock
                    )
                    self._loop.hear_again(self.local.journal.batches(0))
            self._run = Run(
                self.local,
                [make(self.local) for make in sinks],
                self.meters,
                clock,
                tracing=self._tracing,
            )
            opening.pop_all()

    def _stdin(self, source: SourceName, assembly: Assembly, clock: SteadyClock) -> LiveIntake:
        name = source.stdin_name
        assembly.rank(source.stream)
        return LiveIntake(
            assembly,
            (self.local.source_number(name), name),
            source.stream,
            JsonLines(assembly.schemas[source.stream]),
            LiveLines(sys.stdin.fileno(), clock),
            clock=clock,
            earlier=self.local.position(name),
        )

    @property
    def recovery(self) -> Recovery:
        """What was found when the lane was opened."""
        return self.local.recovery

    @property
    def total(self) -> int | None:
        """How many inputs there will be; None when they arrive live."""
        return len(self._history) - self._begin if self._history is not None else None

    @property
    def begins_at(self) -> int:
        """The place in the sources that this run begins with: what is before it was decided."""
        return self._begin

    @property
    def journal(self) -> str:
        """Where the journal is, for people."""
        return str(self.local.folder)

    def stop(self) -> None:
        """End in good order: what was read is decided and made durable."""
        self._run.stop()

    def go(self) -> None:
        """Decide everything, close the lane, and bind its head in a checkpoint."""
        try:
            with install_timer("numba:compile", self.meters.compiled):
                self._run.over(self._batches())
        except BaseException:
            self.local.__exit__(*sys.exc_info())
            raise
        self._run.close_sinks()
        head = self.local.journal.committed
        self.local.close()
        bind_head(self.local, head, self.home, self.settings.checkpoint)
        if self._tracing is not None:
            self._tracing.close()

    def _batches(self) -> Iterator[Inputs | Stepped]:
        if self._loop is not None:
            return self._answered(self._loop)
        if self._history is not None:
            return self._history.batches(self._begin, self.settings.batch_rows)
        assert self._live is not None
        return self._live.batches(self._run.takes, self._run.stopped)

    def _answered(self, loop: ClosedLoop) -> Iterator[Stepped]:
        """Batches that are decided here: what comes next depends on it.

        The counterparty may hear what is not durable yet: it lives in this process, and comes back
        by the journal.
        """
        waiting: list[Stepped] = []
        size = 0
        for inputs in loop.inputs(self._begin, self.settings.batch_rows):
            stepped = self.local.step(inputs)
            loop.heard(stepped.batch)
            waiting.append(stepped)
            size += len(inputs)
            # a stretch is short, and as a batch of the journal it would cost much
            stopped = self._run.stopped()
            if size >= _STRETCHES_ROWS or stepped.state is not None or stopped:
                yield Stepped.joined(waiting)
                waiting, size = [], 0
            if stopped:
                return
        if waiting:
            yield Stepped.joined(waiting)


def _answering(
    counterparty: Callable[[Mapping[str, pa.Table]], Counterparty],
    names: Sequence[SourceName],
    case: UseCase,
    progress: Callable[[str, int, int], None],
) -> Counterparty:
    """A counterparty that has heard nothing.

    Raises:
        DataError: When there is no finished history for it.
    """
    if names[0].is_stdin:
        raise DataError(
            "stdin is live, and a closed loop puts answers among finished history by their times:"
            " give files"
        )
    progress("reading for the counterparty", 0, 0)
    return counterparty(frames_of(names, Assembly(case.plan, None)))
