"""A closed loop: what is decided is answered, and the answers are inputs of the same lane.

A counterparty hears decisions and answers with events of a stream: a paper venue with what became
of orders, say. An answer is known a while after the decision that it is to, never sooner than the
round trip. So history goes through `step` in stretches no longer than that: all answers that are
known within a stretch are there before it begins, and take their place in known order as rows of
one more source. The journal holds them like any input. A replay reads them there and asks nobody,
and a counterparty comes back to where it stood by hearing the journal's decisions again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from msgspec.structs import replace

from headrace.adapters.opening import open_frame
from headrace.core.errors import DataError, DefinitionError
from headrace.journal.batch import MARK_BACKFILLED, Position
from headrace.pipeline.inputs import Inputs, interleaved
from headrace.runtime.intake import Part
from headrace.runtime.quarantine import SOURCE as RETRIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from headrace.core.columns import Batch, Int64s
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader
    from headrace.pipeline.lane import Definition
    from headrace.runtime.intake import Assembly, HistoryIntake


@dataclass(frozen=True, slots=True)
class Heard:
    """Decisions as a counterparty hears them, in known order.

    Attributes:
        received_ns: When the event of each was known, nanoseconds since 1970, int64.
        outcomes: Of each, by name.
        events: Of the decided stream, these among them; see `texts`.
        rows: Which of them each decision is on.
    """

    received_ns: Int64s
    outcomes: Sequence[str]
    events: Batch
    rows: NDArray[np.integer]

    def texts(self, field: str) -> list[str | None]:
        """A text field of the decided events, such as their key; None where missing."""
        return self.events.text(field).take(self.rows).strings()


class Counterparty(Protocol):
    """What hears decisions and answers them with events of a stream.

    It draws nothing at random and reads no clock: the same decisions get the same answers.
    """

    @property
    def stream(self) -> str:
        """The stream that its answers are events of; not the one that is decided."""

    @property
    def round_trip_ns(self) -> int:
        """The least time from a decision until an answer to it is known, in nanoseconds."""

    @property
    def since_ns(self) -> int:
        """Decisions on events known before, nanoseconds since 1970, are not told to it."""

    @property
    def next_ns(self) -> int | None:
        """When it may next have an answer that no event of history brings about; None: never."""

    def answers(self, until_ns: int) -> pa.Table | None:
        """What it says that is known until then and was not said before, as rows of its stream.

        Rows are known after the `until_ns` of the call before, and in known order.
        """

    def hear(self, heard: Heard) -> None:
        """Take decisions, those of one stretch."""


class MakeCounterparty(Protocol):
    """`counterparty`: what a module with a use case calls the one that answers on paper."""

    def __call__(self, frames: Mapping[str, Any], since_ns: int) -> Counterparty:
        """Returns a counterparty that has heard nothing.

        Args:
            frames: Tables of all that a run reads, by stream.
            since_ns: From when on decisions are told to it.
        """


def source_of(counterparty: Counterparty) -> str:
    """What the journal calls the source of its answers."""
    return f"counterparty:{counterparty.stream}"


class ClosedLoop:
    """History, and between its rows what a counterparty answers to the decisions on them.

    Every batch of `inputs` must be decided, and told to `heard`, before the next is asked for.

    Args:
        definition: What decides.
        assembly: Makes inputs of answers.
        history: It keeps times.
        counterparty: See `Counterparty`.
        numbers: Of sources by name, as the journal has them, the counterparty's among them.
        clock: For the measured part alone.

    Raises:
        DefinitionError: When there is no order of time between decisions and answers, or the
            answers are events of the stream that is decided.
    """

    def __init__(
        self,
        definition: Definition,
        assembly: Assembly,
        history: HistoryIntake,
        counterparty: Counterparty,
        numbers: Mapping[str, int],
        clock: Callable[[], int],
    ) -> None:
        if counterparty.round_trip_ns < 1:
            raise DefinitionError(
                f"a round trip of {counterparty.round_trip_ns} ns: a decision cannot know what it"
                " sets off",
                fix="give the counterparty a latency of 1 us or more",
            )
        if counterparty.stream == definition.plan.on:
            raise DefinitionError(
                f"the counterparty answers with events of {counterparty.stream!r}, which are"
                " decided",
                fix="have it answer with events of another stream",
            )
        self._on = definition.plan.on
        self._outcomes = definition.policy.outcomes if definition.policy else ("undecided",)
        self._assembly, self._history, self._clock = assembly, history, clock
        self._counterparty = counterparty
        self._numbers = numbers
        self._rank = assembly.rank(counterparty.stream)
        stream = next(s for s in definition.plan.streams if s.name == counterparty.stream)
        self._arrives_after_ns = stream.arrives_after_ns
        self._answered = 0
        self._before = np.iinfo(np.int64).min

    @property
    def source(self) -> str:
        """What the journal calls the source of the answers."""
        return source_of(self._counterparty)

    def inputs(self, begin: int, size: int) -> Iterator[Inputs]:
        """Inputs from place `begin` of history on, at most `size` at once before the loop begins.

        It ends with history: what is known later stays unsaid.
        """
        known = self._history.known
        first = int(np.searchsorted(known, self._counterparty.since_ns))
        if begin < first:
            yield from self._history.batches(begin, size, first)
        place = max(begin, first)
        feed = _Feed(self._history, place, size, self._numbers, self._assembly.names)
        while place < len(known):
            due = self._counterparty.next_ns
            # what is due may come before the next event, and must not wait for it
            start = int(known[place]) if due is None else min(int(known[place]), due)
            until = min(start + self._counterparty.round_trip_ns - 1, int(known[-1]))
            end = int(np.searchsorted(known, until, side="right"))
            said = self._said(until)
            if end > place or said is not None:
                yield self._stretch(feed, place, end, said)
            place = end

    def heard(self, batch: JournalBatch, begin: int = 0, end: int | None = None) -> None:
        """Tell the counterparty what was decided.

        Args:
            batch: With the decisions.
            begin: The first of its inputs to tell of.
            end: After the last; None is all of them.
        """
        made = batch.decisions
        index = made.seq - batch.first_seq
        within = slice(*np.searchsorted(index, [begin, len(batch) if end is None else end]))
        index, outcome = index[within], made.outcome[within]
        received = batch.inputs.received_ns[index]
        told = received >= self._counterparty.since_ns
        told &= made.marks[within] & MARK_BACKFILLED == 0
        if told.any():
            self._counterparty.hear(
                Heard(
                    received[told],
                    [self._outcomes[code] for code in outcome[told].tolist()],
                    batch.events[self._on],
                    batch.inputs.row[index[told]],
                )
            )

    def hear_again(self, batches: Iterable[tuple[JournalHeader, JournalBatch]]) -> None:
        """Bring the counterparty to where it stood when the journal ended.

        Raises:
            DataError: When it answers otherwise than the journal has it.
        """
        for header, batch in batches:
            # what was retried, and records of control, stand in batches of their own
            fed = not batch.controls and header.sources[batch.inputs.source[0]] != RETRIED
            if fed and self.source in header.sources:
                self._hear_again(batch, header.sources.index(self.source))

    def _hear_again(self, batch: JournalBatch, number: int) -> None:
        """Hear a batch in stretches no longer than the round trip.

        Args:
            batch: As journaled.
            number: Of the source of answers.
        """
        inputs, begin = batch.inputs, 0
        while begin < len(inputs):
            until = int(inputs.received_ns[begin]) + self._counterparty.round_trip_ns - 1
            end = int(np.searchsorted(inputs.received_ns, until, side="right"))
            recorded = int((inputs.source[begin:end] == number).sum())
            self._before = int(inputs.received_ns[end - 1])
            said = self._counterparty.answers(self._before)
            count = 0 if said is None else len(said)
            if count != recorded:
                raise DataError(
                    f"inputs {batch.first_seq + begin:,} to {batch.first_seq + end - 1:,} of the"
                    f" journal hold {recorded:,} answers of {self.source}, and it gives"
                    f" {count:,} now: it goes on only as it was, after decisions that it heard all"
                    " of. Run with the same use case and with --closed-loop as before, or in"
                    " another home (--home)"
                )
            self._answered += count
            self.heard(batch, begin, end)
            begin = end

    def _said(self, until: int) -> tuple[Inputs, Int64s] | None:
        """What the counterparty says until then, and when each answer happened."""
        before, self._before = self._before, until
        table = self._counterparty.answers(until)
        if table is None or len(table) == 0:
            return None
        stream = self._counterparty.stream
        source = open_frame(table, stream, self._assembly.schemas[stream])
        at, known = source.times(self._arrives_after_ns, lambda _rows: None)
        if bool((known <= before).any()) or bool((known > until).any()):
            raise DataError(
                f"{self.source} says what is known from {int(known.min())} to {int(known.max())}"
                f" ns, and was asked for what is known after {before} and until {until}: answers"
                " are known a round trip after the decision or later"
            )
        rows = np.arange(len(table))
        source.expect(rows)
        part = Part(
            self._numbers[self.source],
            self._rank,
            None,
            self._answered + rows,
            source.read(rows),
            source.raw,
        )
        self._answered += len(rows)
        goes_on = {self.source: Position(self._answered)}
        return self._assembly.inputs([part], known, self._clock(), goes_on), at

    def _stretch(
        self, feed: _Feed, begin: int, end: int, said: tuple[Inputs, Int64s] | None
    ) -> Inputs:
        """Rows of history from `begin` to before `end`, and answers, in known order."""
        parts = feed.parts(begin, end)
        if said is None and len(parts) == 1:
            return parts[0]
        history = self._history
        known, at = [history.known[begin:end]], [history.happened(begin, end)]
        ranks = [history.ranks(begin, end)]
        if said is not None:
            answers, answered_at = said
            parts = [*parts, answers]
            known.append(answers.received_ns)
            at.append(answered_at)
            ranks.append(np.full(len(answers), self._rank))
        keys = [np.concatenate(each) for each in (ranks, at, known)]
        order = np.lexsort((np.arange(len(keys[0])), *keys))
        return interleaved(parts, order, self._assembly.names)


class _Feed:
    """History that is read in large batches and given in small ones.

    Args:
        history: In known order.
        begin: The place that it is read from.
        size: Of the batches that are read.
        numbers: Of its sources, by name.
        names: Of streams and tables, by rank.
    """

    def __init__(
        self,
        history: HistoryIntake,
        begin: int,
        size: int,
        numbers: Mapping[str, int],
        names: Sequence[str],
    ) -> None:
        self._batches = history.batches(begin, size)
        self._names = names
        self._sources = {number: name for name, number in numbers.items()}
        self._read: Inputs | None = None
        self._begin = self._end = begin

    def parts(self, begin: int, end: int) -> list[Inputs]:
        """The inputs at these places, which follow those that were given before."""
        found = []
        while begin < end:
            if begin == self._end:
                self._read = next(self._batches)
                self._begin, self._end = self._end, self._end + len(self._read)
            assert self._read is not None
            stop = min(end, self._end)
            first = begin - self._begin
            part = self._read.part(first, first + stop - begin, self._names)
            found.append(replace(part, next_positions=self._goes_on(part, first + len(part))))
            begin = stop
        return found

    def _goes_on(self, part: Inputs, end: int) -> dict[str, Position]:
        """Where the sources of a part go on after it; it ends at `end` of what was read."""
        assert self._read is not None
        after = self._read.source[end:]
        goes_on = {}
        for number in np.unique(part.source).tolist():
            position = self._read.next_positions.get(self._sources.get(number, ""))
            if position is not None:
                ordinal = position.ordinal - int((after == number).sum())
                goes_on[self._sources[number]] = replace(position, ordinal=ordinal)
        return goes_on
