"""The lane behind the service: what requests ask is gathered and decided, batch by batch.

It takes whatever has arrived, at once: a lone request never waits for company, and while a batch is
under way the next one gathers. To commit a batch in another thread while the next is decided was
tried and is no faster: nearly all that both do is done in turns, in one interpreter.

Where requests are rare it waits awake for the next, for a moment. A core that sleeps is lent to
others, who use its caches, and the next answer would take a quarter longer.
"""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from headrace.core.errors import invariant
from headrace.events.json_lines import JsonLines
from headrace.events.schema import Role
from headrace.journal.batch import Position
from headrace.runtime.http.committer import Committer, Decided, Round
from headrace.runtime.http.meters import Laps
from headrace.runtime.http.openapi import openapi
from headrace.runtime.http.wire import Asked, FellBack, Frames, FromFront, Hello, Measure
from headrace.runtime.intake import Assembly, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.adapters.telemetry import Tracing
    from headrace.core.columns import Int64s
    from headrace.events.parsed import Parsed
    from headrace.pipeline.inputs import Inputs
    from headrace.runtime.http.meters import ServiceMeters
    from headrace.runtime.local_lane import LocalLane, Stepped

#: The most events of one batch: requests beyond it make the next.
MOST_ROWS = 4_096
#: Where answers do not wait for the disk, how long surrogates may; and the pause that is used.
_SETTLED_SECONDS, _MOMENT_MS = 0.02, 1
#: Requests so far apart are rare: nobody else needs the core that waits for more.
_RARE_NS = 400_000
_DECODER = msgspec.msgpack.Decoder(list[FromFront])
#: What a fallback is called in its control record.
FALLBACK = "fallback"


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
    """A lane that decides what the front asks, in the thread that calls `run`.

    Args:
        local: The lane.
        meters: What is counted.
        channel: The socket to the front.
        fallback: The outcome that requests get whose decision is not ready in time.
        tracing: Makes spans of batches, where that is asked for.
        awake_ms: How long it waits awake.
    """

    def __init__(
        self,
        local: LocalLane,
        meters: ServiceMeters,
        channel: socket.socket,
        fallback: str | None = None,
        tracing: Tracing | None = None,
        awake_ms: float = 0.0,
    ) -> None:
        self._local = local
        self._awake_ns = int(awake_ms * 1e6)
        self._channel = channel
        self._fallback = fallback
        self._assembly = Assembly(local.definition.plan, local.vault)
        self._sources = [self._source(name) for name in self._assembly.names]
        self._committer = Committer(
            local, self._assembly.schemas, meters, channel, fallback, tracing
        )
        self._frames = Frames()
        self._requests = select.poll()
        self._requests.register(channel, select.POLLIN)
        #: When surrogates must be on the disk that were committed and not synced; 0: none were.
        self._settle_by = 0.0

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
        plan, committer = self._local.definition.plan, self._committer
        name = self._local.definition.name
        document = openapi(name, plan.on, self._assembly.schemas)
        committer.say(
            [Hello(name, tuple(self._assembly.names), plan.on, committer.fallback, document)]
        )
        before = 0
        while (messages := self._heard()) is not None:
            heard = time.monotonic_ns()
            committer.end(self._round(messages))
            committer.catch_up()
            self._rest(rare=heard - before > _RARE_NS * len(messages))
            before = heard

    def _rest(self, *, rare: bool) -> None:
        """Wait a moment for more, and sync what was committed without if none comes, or soon after.

        Args:
            rare: Whether little is asked.
        """
        until = time.monotonic_ns() + (self._awake_ns if rare else 0)
        if self._local.settings.durability != "fsync":
            now = time.monotonic()
            self._settle_by = self._settle_by or now + _SETTLED_SECONDS
            if now < self._settle_by and self._is_asked_soon(until):
                return
            self._local.settle()
            self._settle_by = 0.0
        self._is_asked_awake(until)

    def _is_asked_soon(self, until: int) -> bool:
        """Whether more is asked within a moment, of which it is awake until then."""
        moment = time.monotonic_ns() + _MOMENT_MS * 1_000_000
        if self._is_asked_awake(min(until, moment)):
            return True
        return until < moment and bool(self._requests.poll(_MOMENT_MS))

    def _is_asked_awake(self, until: int) -> bool:
        """Whether more is asked before that time, until which it does not sleep."""
        while time.monotonic_ns() < until:
            if self._requests.poll(0):
                return True
        return False

    def _heard(self) -> list[FromFront] | None:
        """All that the front has said by now, at least a part; None when it has ended."""
        messages: list[FromFront] = []
        flags, rows = 0, 0
        while rows < MOST_ROWS:
            try:
                contents = self._frames.received(self._channel, flags)
            except BlockingIOError:
                break
            except ConnectionResetError:  # it has ended, and left something unread
                contents = None
            if contents is None:
                return messages or None
            for content in contents:
                messages += _DECODER.decode(content)
            if messages:  # what has arrived is enough
                if self._frames.drained:
                    break
                flags = socket.MSG_DONTWAIT
            rows = sum(message.count for message in messages if isinstance(message, Asked))
        return messages

    def _round(self, messages: Sequence[FromFront]) -> Round:
        """Decide what was heard."""
        laps = Laps()
        asks = [message for message in messages if isinstance(message, Asked)]
        notes = [self._noted(message) for message in messages if isinstance(message, FellBack)]
        measures = [message for message in messages if isinstance(message, Measure)]
        made = Round(laps, asks, measures, [note for note in notes if note is not None])
        if asks and self._committer.failed is None:
            try:
                inputs, raw = self._inputs(asks)
                laps.end("parse")
                made.decided = Decided(self._local.step(inputs), raw)
                laps.end("step")
            except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
                made.failed = error
        return made

    def _noted(self, note: FellBack) -> Stepped | None:
        """A fallback as a record of its own."""
        if self._committer.failed is not None:
            return None
        return self._local.control(
            {
                "control": FALLBACK,
                "first": note.first_seq,
                "events": note.count,
                "outcome": self._fallback,
                "deadline_ms": note.deadline_ms,
            }
        )

    def _inputs(self, asks: Sequence[Asked]) -> tuple[Inputs, Callable[[int], bytes]]:
        """What was asked as inputs of the lane in order of arrival, and the bytes of each."""
        by_rank: dict[int, list[Asked]] = {}
        for ask in asks:
            by_rank.setdefault(ask.rank, []).append(ask)
        received = np.array([ask.arrived_ns for ask in asks])
        if any([ask.count != 1 for ask in asks]):  # noqa: C419 - a list is looked through faster
            received = np.repeat(received, np.array([ask.count for ask in asks]))
        parts = []
        positions = {}
        places = _places(asks) if len(by_rank) > 1 else {}
        for rank, mine in by_rank.items():
            source = self._sources[rank]
            lines = b"".join([ask.lines for ask in mine])
            parsed = source.parser.parse(lines)
            invariant(parsed.received == sum(ask.count for ask in mine), "every event is one line")
            before = source.position
            source.position = Position(
                before.ordinal + parsed.received,
                before.offset + len(lines),
                before.digest,
                before.rows,
            )
            positions[source.name] = source.position
            ordinals = np.arange(before.ordinal, source.position.ordinal)
            part = Part(source.number, rank, places.get(rank), ordinals, parsed, _lines_of(lines))
            _take_known_at(source, parsed, part, received)
            parts.append(part)
        read_ns = asks[0].arrived_ns
        inputs = self._assembly.inputs(parts, received, read_ns, positions)
        return inputs, _raw_of(parts)


def _places(asks: Sequence[Asked]) -> dict[int, Int64s]:
    """For each stream, where in the batch its events stand."""
    ranks = np.repeat(np.array([ask.rank for ask in asks]), np.array([ask.count for ask in asks]))
    return {int(rank): np.flatnonzero(ranks == rank) for rank in np.unique(ranks)}


def _take_known_at(source: _Source, parsed: Parsed, part: Part, received: Int64s) -> None:
    """Where events say when they became known, that is when they were received."""
    if source.known_at is None or not len(parsed.rows):
        return
    column = parsed.batch.fixed(source.known_at)
    if len(parsed.rows) == len(received):
        np.copyto(received, column.values, where=column.valid.view(np.bool_))
        return
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
