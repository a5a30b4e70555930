"""The lane behind the service: what requests ask is gathered, decided, committed and answered.

One thread has the lane. It takes whatever has arrived, at once: a lone request never waits for
company, and while a batch is under way the next one gathers. Answers go out when the batch is as
durable as the lane promises.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import JournalError, invariant
from headrace.events.json_lines import JsonLines
from headrace.events.json_object import wrong_fields
from headrace.events.reasons import LONGEST_EVENT, Reason
from headrace.events.schema import Role
from headrace.journal.batch import InputKind, Position
from headrace.journal.reader import find
from headrace.runtime.http.answers import DecisionWriter, receipts
from headrace.runtime.http.asks import FellBack
from headrace.runtime.http.meters import Laps
from headrace.runtime.http.problems import Problem, refused_fields
from headrace.runtime.intake import Assembly, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.core.columns import Int64s
    from headrace.events.parsed import Parsed
    from headrace.journal.batch import JournalBatch
    from headrace.pipeline.inputs import Inputs
    from headrace.runtime.http.asks import Answer, Ask
    from headrace.runtime.http.meters import ServiceMeters
    from headrace.runtime.local_lane import LocalLane

_LOG = logging.getLogger("headrace.service")

#: The most events of one batch: requests beyond it make the next.
MOST_ROWS = 4_096
#: What a fallback is called in its control record.
FALLBACK = "fallback"
#: How many of the last answers are kept at hand, for requests that come again.
RECENT = 65_536


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
    """A lane that answers what it is asked.

    Args:
        local: The lane. It is this object's until `close`.
        meters: What is counted.
        clock: Nanoseconds since 1970.

    Attributes:
        meters: What is counted.
        clock: Nanoseconds since 1970.
        waiting: Events that were asked for and have no answer yet.
    """

    def __init__(self, local: LocalLane, meters: ServiceMeters, clock: Callable[[], int]) -> None:
        self._local = local
        self.meters = meters
        self.clock = clock
        plan = local.definition.plan
        self._assembly = Assembly(plan, local.vault)
        self._sources = [self._source(name) for name in self._assembly.names]
        self._writer = DecisionWriter(local.header, plan.features, local.settings.durability)
        self._recent: dict[int, bytes] = {}
        self._asked: queue.SimpleQueue[Ask | FellBack | None] = queue.SimpleQueue()
        self._failed: Problem | None = None
        self._thread = threading.Thread(target=self._answering, name="lane")
        self.waiting = 0
        self._counting = threading.Lock()

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

    @property
    def streams(self) -> list[str]:
        """Names of the streams and tables, by rank."""
        return self._assembly.names

    def fallback(self, outcome: str) -> bytes:
        """The answer to an event whose decision was not ready in time."""
        return self._writer.fallback(outcome)

    @property
    def failed(self) -> Problem | None:
        """Why nothing is decided any more; None while all is well."""
        return self._failed

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def ask(self, ask: Ask) -> None:
        """Put events before the lane; `ask.done` is called from its thread."""
        if self._failed is not None:
            ask.done(self._failed)
            return
        with self._counting:
            self.waiting += ask.count
        self._asked.put(ask)

    def fell_back(self, note: FellBack) -> None:
        """Record that a request got the fallback outcome before its events were decided."""
        self._asked.put(note)

    def close(self) -> None:
        """Answer what was asked so far, make the state last, and let go of the lane."""
        self._asked.put(None)
        self._thread.join()
        self._local.close()

    def _answering(self) -> None:
        while (asks := self._gathered()) is not None:
            if not asks:
                self._keep_notes()
                continue
            answers: Sequence[list[Answer] | Problem]
            try:
                answers = [self._failed] * len(asks) if self._failed else self._decided(asks)
            except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
                self._failed = _stopped(error)
                answers = [self._failed] * len(asks)
            for ask, answer in zip(asks, answers, strict=True):
                ask.done(answer)
            with self._counting:
                self.waiting -= sum(ask.count for ask in asks)

    def _gathered(self) -> list[Ask] | None:
        """All that is asked by now; None when nothing more will be."""
        asks: list[Ask] = []
        rows = 0
        item = self._asked.get()
        while True:
            if item is None:
                if not asks:
                    return None
                self._asked.put(None)  # for the next call, which ends with it
                return asks
            if isinstance(item, FellBack):
                self._note(item)
            else:
                asks.append(item)
                rows += item.count
            if rows >= MOST_ROWS:
                return asks
            try:
                item = self._asked.get_nowait()
            except queue.Empty:
                return asks

    def _keep_notes(self) -> None:
        """Make control records last when no batch does."""
        try:
            self._local.commit()
        except Exception as error:  # noqa: BLE001 - whoever comes next must hear of it
            self._failed = _stopped(error)

    def _note(self, note: FellBack) -> None:
        """Record a fallback; it is it lasts with what is committed next."""
        first = note.ask.first_seq
        if self._failed is None and first >= 0:
            self._local.control(
                {
                    "control": FALLBACK,
                    "first": first,
                    "events": note.ask.count,
                    "outcome": note.outcome,
                    "deadline_ms": note.deadline_ms,
                }
            )

    def _decided(self, asks: Sequence[Ask]) -> list[list[Answer]]:
        """Decide and commit; the answers to each ask."""
        laps = Laps()
        inputs, raw = self._inputs(asks)
        laps.end("parse")
        first = self._local.lane.next_seq
        stepped = self._local.step(inputs)
        laps.end("step")
        self.meters.journal_bytes += self._local.record([stepped]).size
        laps.end("commit")
        batch = stepped.batch
        header = self._local.header
        known = self._writer.written(batch) | receipts(header.lane, batch)
        self._remember(known)
        kinds = batch.inputs.kind.tolist()
        answers: list[list[Answer]] = []
        at = 0
        for ask in asks:
            ask.first_seq = first + at
            answers.append(
                [
                    known.get(first + row) or self._otherwise(batch, row, kinds[row], raw)
                    for row in range(at, at + ask.count)
                ]
            )
            at += ask.count
        laps.end("answer")
        self.meters.decided(batch, header, [ask.arrived_ns for ask in asks], laps)
        return answers

    def _remember(self, answers: dict[int, bytes]) -> None:
        self._recent |= answers
        for _ in range(len(self._recent) - RECENT):
            del self._recent[next(iter(self._recent))]

    def _otherwise(
        self, batch: JournalBatch, row: int, kind: int, raw: Callable[[int], bytes]
    ) -> Answer:
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
        if seq in self._recent:
            return self._recent[seq]
        stored, _ = find(self._local.journal.folder, seq)
        batch = stored.batch()
        features = self._local.definition.plan.features
        if stored.header.definition == self._local.header.definition:
            writer = DecisionWriter(stored.header, features, self._local.settings.durability)
            if seq in (written := writer.written(batch)):
                return written[seq]
        elif seq in batch.decisions.seq.tolist():
            raise JournalError(f"input {seq} was decided under another definition")
        return receipts(stored.header.lane, batch)[seq]

    def _inputs(self, asks: Sequence[Ask]) -> tuple[Inputs, Callable[[int], bytes]]:
        """What was asked as inputs of the lane in order of arrival, and the bytes of each."""
        by_rank: dict[int, list[Ask]] = {}
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


def _places(asks: Sequence[Ask]) -> dict[int, Int64s]:
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


def now_ns() -> int:
    """The clock of the service."""
    return time.time_ns()
