"""What ends a round: what was decided is committed, answered, and counted.

Answers go out when the batch is as durable as the lane promises.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import JournalError
from headrace.events.json_object import wrong_fields
from headrace.events.reasons import LONGEST_EVENT, Reason
from headrace.journal.batch import InputKind
from headrace.journal.reader import find
from headrace.runtime.http.answers import DecisionWriter, receipts
from headrace.runtime.http.metrics import Metrics
from headrace.runtime.http.problems import Problem, refused_fields
from headrace.runtime.http.wire import Answered, Stopped, frame

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from headrace.events.schema import Schema
    from headrace.journal.batch import JournalBatch
    from headrace.runtime.http.meters import Laps, ServiceMeters
    from headrace.runtime.http.wire import Asked, FromLane, Measure
    from headrace.runtime.local_lane import LocalLane, Stepped

_LOG = logging.getLogger("headrace.service")

#: At least so many of the last answers are kept at hand, for requests that come again.
RECENT = 32_768


@dataclass(frozen=True, slots=True)
class Decided:
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
    """Commits rounds in their order, and answers them; in any thread, but never in two at once.

    Args:
        local: The lane.
        schemas: Of its streams and tables, in the order of their ranks.
        meters: What is counted.
        channel: The socket to the front.
        fallback: The outcome that requests get whose decision is not ready in time.

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
    ) -> None:
        self._local = local
        self._schemas, self._names = schemas, list(schemas)
        self._meters = meters
        self._metrics = Metrics(local, self._names, meters, fallback)
        self._channel = channel
        plan = local.definition.plan
        self._writer = DecisionWriter(local.header, plan.features, local.settings.durability)
        self._recent: dict[int, bytes] = {}
        self._older: dict[int, bytes] = {}
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

    def _commit(self, made: Round) -> None:
        decided, laps = made.decided, made.laps
        if decided is None:
            if made.notes:
                self._local.record(made.notes)
            return
        laps.end("wait")
        commit = self._local.record([*made.notes, decided.stepped])
        laps.end("commit")
        batch, header = decided.stepped.batch, self._local.header
        known = self._writer.written(batch) | receipts(header.lane, batch)
        self._remember(known)
        self.say([*self._answers(made.asks, decided, known)])
        laps.end("answer")
        self._local.settle()
        self._meters.journal_bytes += commit.size
        self._meters.decided(batch, header, [ask.arrived_ns for ask in made.asks], laps)

    def _answers(
        self, asks: Sequence[Asked], decided: Decided, known: Mapping[int, bytes]
    ) -> list[Answered]:
        """The answers to each request."""
        batch = decided.stepped.batch
        kinds = batch.inputs.kind.tolist()
        made: list[Answered] = []
        at = 0
        for ask in asks:
            answers: list[bytes | Problem] = [
                known.get(batch.first_seq + row)
                or self._otherwise(batch, row, kinds[row], decided.raw)
                for row in range(at, at + ask.count)
            ]
            made.append(Answered(ask.number, batch.first_seq + at, answers))
            at += ask.count
        return made

    def _remember(self, answers: dict[int, bytes]) -> None:
        """Keep answers at hand; the older half goes when there are too many."""
        self._recent |= answers
        if len(self._recent) > RECENT:
            self._older, self._recent = self._recent, {}

    def _otherwise(
        self, batch: JournalBatch, row: int, kind: int, raw: Callable[[int], bytes]
    ) -> bytes | Problem:
        """What is answered to an event that was no new one, or was refused."""
        if kind == InputKind.DUPLICATE:
            return self._earlier(int(batch.inputs.original_seq[row]))
        reason = Reason(int(batch.inputs.reason[row]))
        stream = self._names[int(batch.inputs.stream[row])]
        schema = self._schemas[stream]
        members = {"quarantined": f"{self._local.header.lane}/{batch.first_seq + row}"}
        if reason is Reason.ID_CONFLICT:
            return Problem(
                409,
                "an event of this id was accepted before with other content; give a new event a new"
                " id, or send the same content again for the same decision",
                members=members,
            )
        if batch.inputs.row[row] >= 0:
            return Problem(
                422,
                f"the event is {reason.text}: it was quarantined, and can be retried from there",
                [{"field": "", "reason": reason.text, "value": "", "expected": ""}],
                members,
            )
        line = np.frombuffer(raw(row), dtype=np.uint8)
        wrong = wrong_fields(schema, line, LONGEST_EVENT)
        unreadable = bool(wrong) and not wrong[0].field
        return Problem(
            400 if unreadable else 422,
            f"this is no event of {stream}: it was quarantined; send it again as expected",
            refused_fields(schema, wrong),
            members,
        )

    def _earlier(self, seq: int) -> bytes:
        """The answer that an earlier event got, by its sequence number."""
        known = self._recent.get(seq) or self._older.get(seq)
        if known is not None:
            return known
        stored, _ = find(self._local.folder, seq)
        batch = stored.batch()
        features = self._local.definition.plan.features
        if stored.header.definition == self._local.header.definition:
            writer = DecisionWriter(stored.header, features, self._local.settings.durability)
            if seq in (written := writer.written(batch)):
                return written[seq]
        elif seq in batch.decisions.seq.tolist():
            raise JournalError(f"input {seq} was decided under another definition")
        return receipts(stored.header.lane, batch)[seq]
