"""What becomes of the events of a use case: the contract of time, read aloud, over a journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace.core.columns import Text
from headrace.events.reasons import Reason
from headrace.events.schema import Role
from headrace.journal.batch import InputKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headrace.core.columns import Batch
    from headrace.definitions.plan import Plan, StreamPlan
    from headrace.journal.batch import JournalBatch

    Content = tuple[object, ...]


@dataclass(frozen=True)
class Event:
    """What an event says.

    Attributes:
        name: Its id.
        at: When it was.
        content: All fields but when it was known, and what was worked out of them.
    """

    name: str | None
    at: int
    content: Content


def events_of(plan: StreamPlan, batch: Batch) -> list[Event]:
    """The events of a stream."""
    columns = []
    for item in plan.schema.fields:
        if item.role not in (Role.KNOWN_AT, Role.GIVEN):
            column = batch.columns[item.name]
            there: Iterable[object]
            if isinstance(column, Text):
                there = column.strings()
            else:
                bits = zip(column.values.tolist(), column.valid.tolist(), strict=True)
                there = [value if valid else None for value, valid in bits]
            columns.append(there)
    identity = plan.schema.having(Role.ID)
    assert identity is not None
    names = batch.text(identity.name).strings()
    times = batch.fixed(plan.event_time).values.tolist()
    contents = zip(*columns, strict=True)
    return [Event(*found) for found in zip(names, times, contents, strict=True)]


@dataclass
class StreamByHand:
    """What a stream has accepted."""

    plan: StreamPlan
    watermark: int | None = None
    seen: dict[str | None, tuple[Content, int]] = field(default_factory=dict)

    def judge(self, event: Event, received: int, *, retried: bool) -> tuple[InputKind, int]:
        """What becomes of an event, and why it is not accepted."""
        first = self.seen.get(event.name)
        if first is not None and self.watermark is not None:
            said, mark = first
            if self.watermark - mark <= self.plan.dedupe_ns:
                if said == event.content:
                    return InputKind.DUPLICATE, 0
                return InputKind.QUARANTINED, Reason.ID_CONFLICT
        if event.at > received + self.plan.max_ahead_ns:
            return InputKind.QUARANTINED, Reason.EARLY
        late = self.watermark is not None and event.at < self.watermark - self.plan.lateness_ns
        if late and not retried:
            return InputKind.QUARANTINED, Reason.LATE
        self.watermark = max(event.at, event.at if self.watermark is None else self.watermark)
        self.seen[event.name] = (event.content, self.watermark)
        return (InputKind.BACKFILL if retried else InputKind.ACCEPTED), 0


class UseCaseByHand:
    """The streams of a use case; its tables take every row that can be read."""

    def __init__(self, plan: Plan) -> None:
        self._streams = [StreamByHand(stream) for stream in plan.streams]
        self._names = [stream.name for stream in plan.streams]
        self._names += [table.name for table in plan.tables]

    def judged(
        self, batch: JournalBatch, retried: int | None = None
    ) -> Iterator[tuple[InputKind, int]]:
        """What becomes of each input of a batch: of what it says alone.

        Args:
            batch: Of the journal.
            retried: The number of the source of what comes back from quarantine.
        """
        events = {
            stream.plan.name: events_of(stream.plan, batch.events[stream.plan.name])
            for stream in self._streams
            if stream.plan.name in batch.events
        }
        given = batch.inputs
        for index in range(len(batch)):
            rank, row = int(given.stream[index]), int(given.row[index])
            if row < 0:  # nobody could read it
                yield InputKind.QUARANTINED, int(given.reason[index])
            elif rank >= len(self._streams):
                yield InputKind.ACCEPTED, 0
            else:
                stream = self._streams[rank]
                yield stream.judge(
                    events[stream.plan.name][row],
                    int(given.received_ns[index]),
                    retried=int(given.source[index]) == retried,
                )
