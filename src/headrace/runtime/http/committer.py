"""What ends a round: what was decided is committed, answered, and counted.

Answers go out when the batch is as durable as the lane promises.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct

from headrace.core.errors import JournalError, invariant
from headrace.runtime.http.answers import DecisionWriter
from headrace.runtime.http.batch_refusals import BatchRefusals
from headrace.runtime.http.metrics import Metrics
from headrace.runtime.http.problems import Problem
from headrace.runtime.http.recent_answers import RecentAnswers
from headrace.runtime.http.wire import Answered, Stopped, frame

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from headrace.adapters.telemetry import Tracing
    from headrace.events.schema import Schema
    from headrace.journal.batch import JournalBatch
    from headrace.runtime.http.answers import Answers
    from headrace.runtime.http.meters import Laps, ServiceMeters
    from headrace.runtime.http.wire import Asked, FromLane, Measure
    from headrace.runtime.local_lane import LocalLane, Stepped

_LOG = logging.getLogger("headrace.service")


class Decided(Struct, frozen=True):
    """A batch that was decided and is in no journal yet.

    Attributes:
        stepped: The batch.
        raw: Gives the bytes of an input by its place in it.
    """

    stepped: Stepped
    raw: Callable[[int], bytes]


@dataclass(slots=True)
class Round:
    """What the front said at once, and what came of it so far.

    Attributes:
        laps: Of its stages.
        asks: The requests.
        measures: Requests for the page of metrics.
        notes: Control records to keep.
        decided: What the requests asked; None where there are none, or nothing is decided any more.
        failed: Why what they asked could not be decided.
    """

    laps: Laps
    asks: list[Asked]
    measures: list[Measure]
    notes: list[Stepped]
    decided: Decided | None = None
    failed: Exception | None = None


class Committer:
    """Commits rounds in their order, and answers them.

    Args:
        local: The lane.
        schemas: Of its streams and tables, in the order of their ranks.
        meters: What is counted.
        channel: The socket to the front.
        fallback: The outcome that requests get whose decision is not ready in time.
        tracing: Makes spans of batches, where that is asked for.

    Attributes:
        failed: Why nothing is decided any more; None while all is well.
        fallback: The answer to a request whose decision is not ready in time, if there is one.
    """

    def __init__(
        self,
        local: LocalLane,
        schemas: Mapping[str, Schema],
        meters: ServiceMeters,
        channel: socket.socket,
        fallback: str | None,
        tracing: Tracing | None = None,
    ) -> None:
        self._local = local
        self._schemas = schemas
        self._meters = meters
        self._metrics = Metrics(local, meters, fallback)
        self._channel = channel
        self._tracing = tracing
        plan = local.definition.plan
        self._writer = DecisionWriter(local.header, plan.features, local.settings.durability)
        self._recent = RecentAnswers()
        self.failed: Problem | None = None
        self.fallback = self._writer.fallback(fallback) if fallback else None

    def say(self, messages: list[FromLane]) -> None:
        """Tell the front."""
        with contextlib.suppress(BrokenPipeError):  # it has gone: that is noticed in reading
            self._channel.sendall(frame(messages))

    def _fail(self, error: Exception) -> None:
        """Decide nothing from now on, and say so to whoever asks."""
        _LOG.error("nothing is decided any more", exc_info=error)
        self.failed = Problem(
            503,
            f"nothing is decided any more: {error}. What was answered before is safe; the service"
            " must be started again",
        )

    def end(self, made: Round) -> None:
        """Commit what a round decided, and answer whoever asked."""
        if self.failed is None:
            try:
                self._commit(made)
                if made.failed is not None:
                    self._fail(made.failed)
            except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
                self._fail(error)
        if made.asks and self.failed is not None:
            self.say([Stopped(self.failed)])
        if made.measures:
            failed = self.failed is not None
            self.say([self._metrics.page(message, failed=failed) for message in made.measures])

    def catch_up(self) -> None:
        """Do what commits leave for later, now that answers are out."""
        if self.failed is None:
            try:
                self._local.catch_up()
            except Exception as error:  # noqa: BLE001 - whoever asks next must hear of it
                self._fail(error)

    def _commit(self, made: Round) -> None:
        decided, laps = made.decided, made.laps
        if decided is None:
            if made.notes:
                self._local.record(made.notes)
            return
        commit = self._local.record([*made.notes, decided.stepped])
        laps.end("commit")
        batch, header = decided.stepped.batch, self._local.header
        known = self._writer.written(batch)
        self._recent.add(batch.first_seq, known)
        self.say([*self._answers(made.asks, decided, known)])
        laps.end("answer")
        self._meters.journal_bytes += commit.size
        self._meters.decided(batch, header, laps)
        if self._tracing is not None:
            self._trace(self._tracing, made.asks, batch, laps)

    def _trace(
        self, tracing: Tracing, asks: Sequence[Asked], batch: JournalBatch, laps: Laps
    ) -> None:
        """Tell of a batch if one of its requests is sampled."""
        if requests := [ask.trace for ask in asks if ask.trace]:
            facts: dict[str, int | str] = {
                "headrace.lane": self._local.header.lane,
                "headrace.first_seq": batch.first_seq,
                "headrace.events": len(batch),
                "headrace.decisions": len(batch.decisions),
                "headrace.requests": len(asks),
            }
            tracing.batch(laps.begun_ns, laps.stretches(), requests, facts)

    def _answers(
        self, asks: Sequence[Asked], decided: Decided, known: Answers
    ) -> Iterator[Answered]:
        """The answers to each request."""
        batch = decided.stepped.batch
        problems: dict[int, Problem] = {}
        if len(known) < len(batch):
            others: dict[int, bytes] = {}
            refusals = BatchRefusals(batch, self._local.header.lane, self._schemas, decided.raw)
            for seq in known.missing(batch.first_seq, batch.next_seq):
                original = refusals.original(seq)
                if original is not None:
                    others[seq] = self._earlier(original)
                    continue
                problems[seq] = refusals.problem(seq)
                others[seq] = problems[seq].encoded()
            known = known.joined(others)
        invariant(len(known) == len(batch), "every input has an answer")
        each, at = known.each, 0
        for ask in asks:
            end, first = at + ask.count, batch.first_seq + at
            if ask.count == 1:
                yield Answered(ask.number, first, each[at], problems.get(first))
            else:
                yield Answered(ask.number, first, b",".join(each[at:end]))
            at = end

    def _earlier(self, seq: int) -> bytes:
        """The answer that an earlier event got, by its sequence number."""
        if (recent := self._recent.get(seq)) is not None:
            return recent
        stored = self._local.index.find(seq).stored
        batch = stored.batch()
        if (
            stored.header.definition != self._local.header.definition
            and seq in batch.decisions.seq.tolist()
        ):
            raise JournalError(f"input {seq} was decided under another definition")
        features = self._local.definition.plan.features
        writer = DecisionWriter(stored.header, features, self._local.settings.durability)
        answer = writer.written(batch).get(seq)
        invariant(answer is not None, f"input {seq} was accepted")
        return answer  # type: ignore[return-value]  # the invariant above has looked
