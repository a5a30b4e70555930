"""Intake from topics: messages as they arrive become batches of inputs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.events.json_payloads import JsonPayloads
from headrace.events.schema import Role
from headrace.journal.batch import Position
from headrace.runtime.intake import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from headrace.adapters.kafka.messages import ArrivedMessages, Messages, Partition, Piece
    from headrace.core.columns import Int64s
    from headrace.events.schema import Schema
    from headrace.journal.batch import JournalBatch
    from headrace.pipeline.inputs import Inputs
    from headrace.runtime.intake import Assembly


@dataclass(frozen=True, slots=True)
class TopicSource:
    """A partition as the journal knows it.

    Attributes:
        number: Of the source in the journal's header.
        name: How the journal calls it.
        stream: Which stream or table its messages are of.
        topic_id: What tells its topic from another of the same name.
    """

    number: int
    name: str
    stream: str
    topic_id: str


class MessagesAsTheyCame:
    """Contents of messages until their batch is committed, for those that are quarantined."""

    def __init__(self) -> None:
        self._held: dict[int, deque[tuple[Int64s, list[bytes]]]] = {}

    def hold(self, source: int, offsets: Int64s, values: list[bytes]) -> None:
        """Keep the messages of a batch."""
        self._held.setdefault(source, deque()).append((offsets, values))

    def find(self, source: int, offset: int) -> bytes | None:
        """The content of a message."""
        for offsets, values in self._held.get(source, ()):
            if offsets[0] <= offset <= offsets[-1]:
                return values[int(np.searchsorted(offsets, offset))]
        return None

    def release(self, batch: JournalBatch, numbers: Mapping[str, int]) -> None:
        """Let go of what came before the positions of a batch."""
        for name, position in batch.positions.items():
            waiting = self._held.get(numbers[name])
            while waiting and waiting[0][0][-1] < position.ordinal:
                waiting.popleft()


class TopicIntake:
    """Messages of partitions: the order of arrival is the known order.

    Where an event says when it was received (`KnownAt`), that is its receive time; else the clock
    at the door is.

    Args:
        assembly: Makes inputs.
        sources: What the journal knows each partition as.
        messages: As they arrive.
        came: Keeps them until they are committed.
    """

    def __init__(
        self,
        assembly: Assembly,
        sources: Mapping[Partition, TopicSource],
        messages: Messages,
        came: MessagesAsTheyCame,
    ) -> None:
        self._assembly = assembly
        self._sources = sources
        self._messages = messages
        self._came = came
        streams = {source.stream for source in sources.values()}
        self._parsers = {name: JsonPayloads(assembly.schemas[name]) for name in streams}

    def batches(
        self, takes: Callable[[int], bool], stopped: Callable[[], bool]
    ) -> Iterator[Inputs]:
        """Inputs, a batch at a time."""
        for arrived in self._messages.batches(takes, stopped):
            yield self._inputs(arrived)

    def _inputs(self, arrived: ArrivedMessages) -> Inputs:
        received = np.full(arrived.count, arrived.read_ns, dtype=np.int64)
        parts: list[Part] = []
        positions: dict[str, Position] = {}
        for piece in arrived.pieces:
            source = self._sources[piece.partition]
            parsed = self._parsers[source.stream].parse(piece.values)
            part = Part(
                source.number,
                self._assembly.rank(source.stream),
                piece.places,
                piece.offsets,
                parsed,
                piece.values.__getitem__,
            )
            received_at(received, self._assembly.schemas[source.stream], part)
            parts.append(part)
            self._came.hold(source.number, piece.offsets, piece.values)
            positions[source.name] = _after(piece, source)
        return self._assembly.inputs(parts, received, arrived.read_ns, positions)


def received_at(received: Int64s, schema: Schema, part: Part) -> None:
    """Put the receive times that events name in their places."""
    known = schema.having(Role.KNOWN_AT)
    if known is None:
        return
    said = part.parsed.batch.fixed(known.name)
    places = part.placed(part.parsed.rows)
    received[places] = np.where(said.valid, said.values, received[places])


def _after(piece: Piece, source: TopicSource) -> Position:
    return Position(int(piece.offsets[-1]) + 1, digest=source.topic_id)
