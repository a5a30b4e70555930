"""Messages of topics as they arrive, in batches that grow with the rate.

What is not yet wanted downstream stays with the client, whose queue is bounded: when it is full,
nothing more is fetched, so a slow lane holds back its partitions and drops nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from headrace.adapters.kafka import codes
from headrace.adapters.kafka.cluster import KafkaException, TopicPartition
from headrace.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from headrace.adapters.kafka.cluster import Cluster, Consumer, Message
    from headrace.core.columns import Int64s

_POLL_SECONDS = 0.05
_GATHER_SECONDS = 0.001
#: Between two looks at how far the partitions reach.
_LOOK_SECONDS = 1.0
#: The most messages of a batch.
MOST = 16_384
#: The offset of the first message that a partition holds, as the client knows it.
_BEGINNING = -2


class Partition(NamedTuple):
    """A partition of a topic.

    >>> str(Partition("payments", 3))
    'payments/3'
    """

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


@dataclass(frozen=True, slots=True)
class Piece:
    """What one partition gives to a batch.

    Attributes:
        partition: Which.
        places: Where in the batch its messages stand; None where they are all of it.
        offsets: Of its messages.
        values: Their contents; of one without, no bytes.
    """

    partition: Partition
    places: Int64s | None
    offsets: Int64s
    values: list[bytes]

    def part(self, rows: slice, before: int) -> Piece:
        """Some of its messages, in a batch that begins `before` messages later."""
        places = None if self.places is None else self.places[rows] - before
        return Piece(self.partition, places, self.offsets[rows], self.values[rows])


@dataclass(frozen=True, slots=True)
class ArrivedMessages:
    """Messages in the order of their arrival, and when the first of them was read."""

    pieces: Sequence[Piece]
    count: int
    read_ns: int

    def parted(self, at: int) -> list[ArrivedMessages]:
        """The first `at` messages, and the others.

        >>> three = Piece(Partition("p", 0), None, np.arange(3), [b"a", b"b", b"c"])
        >>> [part.pieces[0].values for part in ArrivedMessages([three], 3, 0).parted(1)]
        [[b'a'], [b'b', b'c']]
        """
        first: list[Piece] = []
        then: list[Piece] = []
        for piece in self.pieces:
            places = np.arange(self.count) if piece.places is None else piece.places
            many = int(np.searchsorted(places, at))
            if many:
                first.append(piece.part(slice(None, many), 0))
            if many < len(places):
                then.append(piece.part(slice(many, None), at))
        return [
            ArrivedMessages(first, at, self.read_ns),
            ArrivedMessages(then, self.count - at, self.read_ns),
        ]


class PartitionEnds:
    """How far partitions reach, as their client last heard of it.

    Args:
        names: The partitions.

    Attributes:
        known: The offset after the last message of each, once it is known.
    """

    def __init__(self, names: Iterable[Partition]) -> None:
        self._names = tuple(names)
        self.known: dict[Partition, int] = {}
        self._looked_s = 0.0

    def look(self, consumer: Consumer) -> None:
        """Note what the client knows, once in a while; it is not asked anew."""
        now = time.monotonic()
        if now - self._looked_s < _LOOK_SECONDS:
            return
        self._looked_s = now
        for name in self._names:
            place = TopicPartition(name.topic, name.number)
            bounds = consumer.get_watermark_offsets(place, cached=True)
            if bounds is not None and bounds[1] >= 0:
                self.known[name] = bounds[1]


class TopicMessages(Protocol):
    """Messages of partitions as a lane's journal knows them.

    Attributes:
        ends: The offset after the last message of each partition, as the client last heard of it.
    """

    ends: dict[Partition, int]

    def close(self) -> None:
        """Let go of the partitions."""


class Messages:
    """The messages of partitions that this process alone reads.

    Args:
        cluster: Where they are.
        group: That offsets are kept for.
        starts: Each partition, with the offset to go on from; None for its beginning.
        clock: Nanoseconds since 1970.
        until_end: Whether to end once all that was there has been read.

    Attributes:
        ends: The offset after the last message of each partition, as the client last heard of it.
    """

    def __init__(
        self,
        cluster: Cluster,
        group: str,
        starts: Mapping[Partition, int | None],
        clock: Callable[[], int],
        *,
        until_end: bool = False,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._until_end = until_end
        self._ends = PartitionEnds(starts)
        self.ends = self._ends.known
        self._unended: dict[Partition, int] = dict.fromkeys(starts, 0)
        self._consumer: Consumer = cluster.consumer(
            group_id=group,
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            isolation_level="read_committed",
            auto_offset_reset="error",
            enable_partition_eof=until_end,
            # a broker says that a partition ends when it has waited so long for more
            fetch_wait_max_ms=20 if until_end else 500,
            queued_min_messages=100_000,
            fetch_queue_backoff_ms=10,
            fetch_error_backoff_ms=100,
        )
        self._consumer.assign(
            [
                TopicPartition(name.topic, name.number, _BEGINNING if at is None else at)
                for name, at in starts.items()
            ]
        )

        if until_end:
            self._unended = {name: cluster.bounds(*name)[1] for name in starts}

    def batches(
        self, takes: Callable[[int], bool], stopped: Callable[[], bool]
    ) -> Iterator[ArrivedMessages]:
        """Batches until `stopped`, or until the end where that was asked for.

        Args:
            takes: Whether what is downstream wants a batch of so many messages now.
            stopped: Whether to end; what was read by then is handed over.

        Raises:
            DataError: Messages that were not yet decided are gone, or may not be read.
        """
        held: list[Message] = []
        read_ns = 0
        while not stopped() and (held or self._unended or not self._until_end):
            got = self._some(MOST - len(held), wait=not held)
            read_ns = read_ns if held else self._clock()
            held += got
            self._ends.look(self._consumer)
            if held and (len(held) >= MOST or takes(len(held))):
                yield self._counted(_arrived(held, read_ns))
                held = []
        if held:
            yield self._counted(_arrived(held, read_ns))

    def _counted(self, arrived: ArrivedMessages) -> ArrivedMessages:
        """The same, once it is known whose end it reaches."""
        for piece in arrived.pieces if self._until_end else ():
            if piece.offsets[-1] >= self._unended.get(piece.partition, 0) - 1:
                self._unended.pop(piece.partition, None)
        return arrived

    def _some(self, most: int, *, wait: bool) -> list[Message]:
        """What has arrived; with `wait`, once something has, or after a while."""
        if wait:
            got = self._consumer.consume(1, _POLL_SECONDS)
            if got:
                got += self._consumer.consume(most - 1, 0)
        else:
            got = self._consumer.consume(most, _GATHER_SECONDS)
        if any([message.error() for message in got]):  # noqa: C419 - a list is looked through faster
            got = [message for message in got if not self._is_event(message)]
        return got

    def _is_event(self, message: Message) -> bool:
        """Whether it is no message but word of something; raises where that is bad."""
        error = message.error()
        if error is None:
            return False
        name = Partition(str(message.topic()), int(message.partition() or 0))
        if error.code() == codes.PARTITION_END:
            # a transaction that was open when the end was asked for may lie between here and there
            if int(message.offset() or 0) >= self._unended.get(name, 0):
                self._unended.pop(name, None)
            return True
        if error.code() == codes.OFFSET_GONE:
            raise DataError(
                f"{name}: the messages to go on with, from offset {message.offset()}, are not"
                f" there any more ({error.str()}). Events would be lost: raise the topic's"
                " retention, and decide the topic from its beginning under another name of the"
                " use case"
            )
        if self._cluster.passes(error):
            return True
        raise self._cluster.failed(str(name), KafkaException(error))

    def close(self) -> None:
        """Let go of the partitions."""
        self._consumer.close()


def _arrived(messages: list[Message], read_ns: int) -> ArrivedMessages:
    """Messages by their partitions, in the order of arrival."""
    count = len(messages)
    values = [message.value() or b"" for message in messages]
    offsets = np.fromiter([message.offset() for message in messages], np.int64, count)
    numbers = np.fromiter([message.partition() for message in messages], np.int64, count)
    topics = [message.topic() for message in messages]
    pieces: list[Piece] = []
    for topic in dict.fromkeys(topics):
        mine = np.fromiter([name == topic for name in topics], np.bool_, count)
        for number in np.unique(numbers[mine]).tolist():
            name = Partition(str(topic), number)
            places = np.flatnonzero(mine & (numbers == number))
            if len(places) == count:
                pieces.append(Piece(name, None, offsets, values))
            else:
                chosen = [values[place] for place in places.tolist()]
                pieces.append(Piece(name, places, offsets[places], chosen))
    return ArrivedMessages(pieces, count, read_ns)
