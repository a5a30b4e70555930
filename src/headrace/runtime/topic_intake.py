"""Intake from topics: messages as they arrive become batches of inputs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import Unavailable
from headrace.events.schema import Role
from headrace.journal.batch import Position
from headrace.runtime.intake import Part
from headrace.runtime.refusal_words import RefusalWords
from headrace.runtime.registry_wait import RegistryWait

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from headrace.adapters.kafka.messages import ArrivedMessages, Messages, Partition, Piece
    from headrace.adapters.kafka.topic_form import TopicForm
    from headrace.core.columns import Int64s
    from headrace.events.parsed import Parsed
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
        form: Of its messages.
    """

    number: int
    name: str
    stream: str
    topic_id: str
    form: TopicForm


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
    at the door is. While a schema registry that has to be asked does not answer, what came before
    is handed on, and what waits for it stays where it is.

    Args:
        assembly: Makes inputs.
        sources: What the journal knows each partition as.
        messages: As they arrive.
        came: Keeps them until they are committed.
        say: Told what a user should know while it goes on.
    """

    def __init__(
        self,
        assembly: Assembly,
        sources: Mapping[Partition, TopicSource],
        messages: Messages,
        came: MessagesAsTheyCame,
        say: Callable[[str], None] = lambda _word: None,
    ) -> None:
        self._assembly = assembly
        self._sources = sources
        self._messages = messages
        self._came = came
        self._say = say
        forms = {place.topic: (source.stream, source.form) for place, source in sources.items()}
        self._codecs = {
            topic: form.codec(assembly.schemas[stream]) for topic, (stream, form) in forms.items()
        }
        self._words = {
            topic: RefusalWords(topic, say, framed=form.registry is not None)
            for topic, (_, form) in forms.items()
        }

    def batches(
        self, takes: Callable[[int], bool], stopped: Callable[[], bool]
    ) -> Iterator[Inputs]:
        """Inputs, a batch at a time."""
        for arrived in self._messages.batches(takes, stopped):
            if not (yield from self._handed_on(arrived, stopped)):
                return  # what is left is in no journal, so it is read again

    def _handed_on(
        self, arrived: ArrivedMessages, stopped: Callable[[], bool]
    ) -> Generator[Inputs, None, bool]:
        """Inputs of messages; returns whether they are all, and not stopped on the way."""
        wait = RegistryWait(self._say, stopped)
        left = [arrived]
        while left:
            try:
                parsed = [self._parsed(piece) for piece in left[0].pieces]
            except Unavailable as error:
                ready = self._readable(left[0])
                if 0 < ready < left[0].count:
                    left[:1] = left[0].parted(ready)
                elif ready == 0 and not wait.goes_on(error):
                    return False
                continue
            wait.ends()
            yield self._inputs(left.pop(0), parsed)
        return True

    def _parsed(self, piece: Piece) -> Parsed:
        return self._codecs[piece.partition.topic].parse(piece.values)

    def _readable(self, arrived: ArrivedMessages) -> int:
        """How many of the first messages can be read without asking a registry."""
        first = arrived.count
        for piece in arrived.pieces:
            many = self._codecs[piece.partition.topic].readable(piece.values)
            if many < len(piece.values):
                first = min(first, many if piece.places is None else int(piece.places[many]))
        return first

    def _inputs(self, arrived: ArrivedMessages, parsed: Sequence[Parsed]) -> Inputs:
        received = np.full(arrived.count, arrived.read_ns, dtype=np.int64)
        parts: list[Part] = []
        positions: dict[str, Position] = {}
        for piece, read in zip(arrived.pieces, parsed, strict=True):
            source = self._sources[piece.partition]
            part = Part(
                source.number,
                self._assembly.rank(source.stream),
                piece.places,
                piece.offsets,
                read,
                piece.values.__getitem__,
            )
            received_at(received, self._assembly.schemas[source.stream], part)
            parts.append(part)
            self._words[piece.partition.topic].look(read, piece.values, piece.offsets)
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
