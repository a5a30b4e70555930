"""The lane behind the service: what requests ask is gathered, decided, committed and answered.

It takes whatever has arrived, at once: a lone request never waits for company, and while a batch is
under way the next one gathers. Answers go out when the batch is as durable as the lane promises.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from headrace.core.errors import JournalError, invariant
from headrace.events.json_lines import JsonLines
from headrace.events.json_object import wrong_fields
from headrace.events.reasons import LONGEST_EVENT, Reason
from headrace.events.schema import Role
from headrace.journal.batch import InputKind, Position
from headrace.runtime.http.answers import DecisionWriter, receipts
from headrace.runtime.http.meters import Laps
from headrace.runtime.http.metrics import Metrics
from headrace.runtime.http.openapi import openapi
from headrace.runtime.http.problems import Problem, refused_fields
from headrace.runtime.http.wire import (
    Answered,
    Asked,
    FellBack,
    Frames,
    FromFront,
    Hello,
    Stopped,
    frame,
)
from headrace.runtime.intake import Assembly, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.core.columns import Int64s
    from headrace.events.parsed import Parsed
    from headrace.journal.batch import JournalBatch
    from headrace.pipeline.inputs import Inputs
    from headrace.runtime.http.meters import ServiceMeters
    from headrace.runtime.http.wire import FromLane
    from headrace.runtime.local_lane import LocalLane

_LOG = logging.getLogger("headrace.service")

#: The most events of one batch: requests beyond it make the next.
MOST_ROWS = 4_096
_DECODER = msgspec.msgpack.Decoder(list[FromFront])
_READ = 1 << 20
#: What a fallback is called in its control record.
FALLBACK = "fallback"
#: At least so many of the last answers are kept at hand, for requests that come again.
RECENT = 32_768


def source_name(stream: str) -> str:
    """The name that events of a stream have in the journal when they came by HTTP.

    >>> source_name("payments")
    'http:payments'
    """
    return f"http:{stream}"


@dataclass(slots=True)
class _Source:
    """Where events of one stream come in."""

    number: int
    name: str
    rank: int
    parser: JsonLines
    known_at: str | None
    position: Position


class ServedLane:
    """A lane that answers what the front asks, in the thread that calls `run`.

    Args:
        local: The lane.
        meters: What is counted.
        channel: The socket to the front.
        fallback: The outcome that requests get whose decision is not ready in time.
    """

    def __init__(
        self,
        local: LocalLane,
        meters: ServiceMeters,
        channel: socket.socket,
        fallback: str | None = None,
    ) -> None:
        self._local = local
        self._meters = meters
        self._channel = channel
        self._fallback = fallback
        plan = local.definition.plan
        self._assembly = Assembly(plan, local.vault)
        self._sources = [self._source(name) for name in self._assembly.names]
        self._writer = DecisionWriter(local.header, plan.features, local.settings.durability)
        self._recent: dict[int, bytes] = {}
        self._older: dict[int, bytes] = {}
        self._frames = Frames()
        self._failed: Problem | None = None

    def _source(self, stream: str) -> _Source:
        schema = self._assembly.schemas[stream]
        known_at = schema.having(Role.KNOWN_AT)
        name = source_name(stream)
        return _Source(
            self._local.source_number(name),
            name,
            self._assembly.rank(stream),
            JsonLines(schema),
            known_at.name if known_at else None,
            self._local.position(name),
        )

    def run(self) -> None:
        """Answer until the front says nothing more."""
        plan = self._local.definition.plan
        fallback = self._writer.fallback(self._fallback) if self._fallback else None
        name = self._local.definition.name
        metrics = Metrics(self._local, self._assembly.names, self._meters, self._fallback)
        document = openapi(name, plan.on, self._assembly.schemas)
        self._say([Hello(name, tuple(self._assembly.names), plan.on, fallback, document)])
        while (messages := self._heard()) is not None:
            asks = []
            for message in messages:
                if isinstance(message, Asked):
                    asks.append(message)
                elif isinstance(message, FellBack):
                    self._note(message)
                else:
                    page = metrics.page(message, failed=self._failed is not None)
                    self._say([page])
            if asks:
                self._say(self._answered(asks))
            elif any(isinstance(message, FellBack) for message in messages):
                self._keep_notes()

    def _say(self, messages: list[FromLane]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the front has gone: it is noticed in reading
            self._channel.sendall(frame(messages))

    def _heard(self) -> list[FromFront] | None:
        """All that the front has said by now, at least a part; None when it has ended."""
        messages: list[FromFront] = []
        flags, rows = 0, 0
        while rows < MOST_ROWS:
            try:
                piece = self._channel.recv(_READ, flags)
            except BlockingIOError:
                break
            if not piece:
                return messages or None
            for content in self._frames.taken(piece):
                messages += _DECODER.decode(content)
            rows = sum(message.count for message in messages if isinstance(message, Asked))
            if messages:
                flags = socket.MSG_DONTWAIT  # what has arrived is enough
        return messages

    def _answered(self, asks: Sequence[Asked]) -> list[FromLane]:
        """The answers to requests, or why there are none."""
        if self._failed is None:
            try:
                return [*self._decided(asks)]
            except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
                self._failed = _stopped(error)
        return [Stopped(self._failed)]

    def _keep_notes(self) -> None:
        """Make control records last when no batch does."""
        try:
            self._local.commit()
        except Exception as error:  # noqa: BLE001 - whoever comes next must hear of it
            self._failed = _stopped(error)

    def _note(self, note: FellBack) -> None:
        """Record a fallback; it lasts with what is committed next."""
        if self._failed is None and self._fallback is not None:
            self._local.control(
                {
                    "control": FALLBACK,
                    "first": note.first_seq,
                    "events": note.count,
                    "outcome": self._fallback,
                    "deadline_ms": note.deadline_ms,
                }
            )

    def _decided(self, asks: Sequence[Asked]) -> list[Answered]:
        """Decide and commit; the answers to each request."""
        laps = Laps()
        inputs, raw = self._inputs(asks)
        laps.end("parse")
        first = self._local.lane.next_seq
        stepped = self._local.step(inputs)
        laps.end("step")
        self._meters.journal_bytes += self._local.record([stepped]).size
        laps.end("commit")
        batch = stepped.batch
        header = self._local.header
        known = self._writer.written(batch) | receipts(header.lane, batch)
        self._remember(known)
        kinds = batch.inputs.kind.tolist()
        made: list[Answered] = []
        at = 0
        for ask in asks:
            answers: list[bytes | Problem] = [
                known.get(first + row) or self._otherwise(batch, row, kinds[row], raw)
                for row in range(at, at + ask.count)
            ]
            made.append(Answered(ask.number, first + at, answers))
            at += ask.count
        laps.end("answer")
        self._meters.decided(batch, header, [ask.arrived_ns for ask in asks], laps)
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
        stream = self._assembly.names[int(batch.inputs.stream[row])]
        schema = self._assembly.schemas[stream]
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
        stored = self._local.index.find(seq).stored
        batch = stored.batch()
        features = self._local.definition.plan.features
        if stored.header.definition == self._local.header.definition:
            writer = DecisionWriter(stored.header, features, self._local.settings.durability)
            if seq in (written := writer.written(batch)):
                return written[seq]
        elif seq in batch.decisions.seq.tolist():
            raise JournalError(f"input {seq} was decided under another definition")
        return receipts(stored.header.lane, batch)[seq]

    def _inputs(self, asks: Sequence[Asked]) -> tuple[Inputs, Callable[[int], bytes]]:
        """What was asked as inputs of the lane in order of arrival, and the bytes of each."""
        by_rank: dict[int, list[Asked]] = {}
        for ask in asks:
            by_rank.setdefault(ask.rank, []).append(ask)
        received = np.repeat(
            np.array([ask.arrived_ns for ask in asks]), np.array([ask.count for ask in asks])
        )
        parts = []
        positions = {}
        places = _places(asks) if len(by_rank) > 1 else {}
        for rank, mine in by_rank.items():
            source = self._sources[rank]
            lines = b"".join([ask.lines for ask in mine])
            parsed = source.parser.parse(lines)
            invariant(parsed.received == sum(ask.count for ask in mine), "every event is one line")
            before = source.position
            source.position = replace(
                before,
                ordinal=before.ordinal + parsed.received,
                offset=before.offset + len(lines),
            )
            positions[source.name] = source.position
            ordinals = np.arange(before.ordinal, source.position.ordinal)
            part = Part(source.number, rank, places.get(rank), ordinals, parsed, _lines_of(lines))
            _take_known_at(source, parsed, part, received)
            parts.append(part)
        read_ns = asks[0].arrived_ns
        inputs = self._assembly.inputs(parts, received, read_ns, positions)
        return inputs, _raw_of(parts)


def _stopped(error: Exception) -> Problem:
    """What is said once nothing can be decided any more."""
    _LOG.error("nothing is decided any more", exc_info=error)
    return Problem(
        503,
        f"nothing is decided any more: {error}. What was answered before is safe; the service must"
        " be started again",
    )


def _places(asks: Sequence[Asked]) -> dict[int, Int64s]:
    """For each stream, where in the batch its events stand."""
    ranks = np.repeat(np.array([ask.rank for ask in asks]), np.array([ask.count for ask in asks]))
    return {int(rank): np.flatnonzero(ranks == rank) for rank in np.unique(ranks)}


def _take_known_at(source: _Source, parsed: Parsed, part: Part, received: Int64s) -> None:
    """Where events say when they became known, that is when they were received."""
    if source.known_at is None or not len(parsed.rows):
        return
    column = parsed.batch.fixed(source.known_at)
    said = column.valid != 0
    received[part.placed(parsed.rows)[said]] = column.values[said]


def _lines_of(data: bytes) -> Callable[[int], bytes]:
    """The bytes of a row, split when the first is asked for."""
    lines: list[bytes] = []

    def raw(row: int) -> bytes:
        if not lines:
            lines.extend(data.split(b"\n"))
        return lines[row].removesuffix(b"\r")

    return raw


def _raw_of(parts: Sequence[Part]) -> Callable[[int], bytes]:
    """The bytes of an input by its place in the batch."""

    def raw(place: int) -> bytes:
        for part in parts:
            if part.places is None:
                return part.raw(place)
            row = int(np.searchsorted(part.places, place))
            if row < len(part.places) and part.places[row] == place:
                return part.raw(row)
        raise LookupError(place)

    return raw
