"""Messages of one stage to another as they arrive: whole, in the order of each partition.

They are few and large, beside those of sources: each holds a batch. What is not asked for stays
with the client, whose queue is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.adapters.kafka import codes
from headrace.adapters.kafka.cluster import KafkaException, TopicPartition
from headrace.adapters.kafka.messages import Partition, PartitionEnds
from headrace.adapters.kafka.parts import Gathering, headers_of
from headrace.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.adapters.kafka.cluster import Cluster, Consumer, Message

#: The offset of the first message that a partition holds, as the client knows it.
_BEGINNING = -2
_MOST_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class WholeMessage:
    """A message with all its parts.

    Attributes:
        partition: Where it lies.
        offset: Of its first part.
        next_offset: After its last part.
        headers: Of its first part.
        content: Of all parts.
    """

    partition: Partition
    offset: int
    next_offset: int
    headers: Mapping[str, str]
    content: bytes


class WholeMessages:
    """The messages of partitions that one lane alone reads.

    Args:
        cluster: Where they are.
        group: A name for the client; nothing is kept under it.
        starts: Each partition, with the offset to go on from; None for its beginning.

    Attributes:
        ends: The offset after the last message of each partition, as the client last heard of it.
        paused: Partitions that are not fetched for now.
    """

    def __init__(
        self, cluster: Cluster, group: str, starts: Mapping[Partition, int | None]
    ) -> None:
        self._cluster = cluster
        self._gathering = {name: Gathering() for name in starts}
        self._reached = {name: at or 0 for name, at in starts.items()}
        self._ends = PartitionEnds(starts)
        self.ends = self._ends.known
        self.paused: frozenset[Partition] = frozenset()
        self._consumer: Consumer = cluster.consumer(
            group_id=group,
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            isolation_level="read_committed",
            auto_offset_reset="error",
            enable_partition_eof=True,
            fetch_wait_max_ms=20,
            fetch_queue_backoff_ms=10,
            fetch_error_backoff_ms=100,
        )
        self._consumer.assign(
            [
                TopicPartition(name.topic, name.number, _BEGINNING if at is None else at)
                for name, at in starts.items()
            ]
        )

    def poll(self, seconds: float) -> list[WholeMessage]:
        """What has arrived; waits for the first for so long.

        Raises:
            DataError: Messages that were to be read are gone, or may not be read.
        """
        found: list[WholeMessage] = []
        got = self._consumer.consume(1, seconds)
        if got:
            got += self._consumer.consume(_MOST_AT_ONCE, 0)
        for message in got:
            if not self._is_event(message):
                found += self._whole(message)
        self._ends.look(self._consumer)
        return found

    def pause(self, partition: Partition) -> None:
        """Fetch nothing of it for now."""
        self._consumer.pause([TopicPartition(partition.topic, partition.number)])
        self.paused |= {partition}

    def resume(self, partition: Partition) -> None:
        """Fetch it again."""
        self._consumer.resume([TopicPartition(partition.topic, partition.number)])
        self.paused -= {partition}

    def expect_ends(self) -> dict[Partition, int]:
        """Where every partition ends now, with what is not committed yet.

        Raises:
            DataError: The cluster does not say.
            Unavailable: It does not answer.
        """
        return {name: self._cluster.bounds(*name)[1] for name in self._gathering}

    def has_reached(self, ends: Mapping[Partition, int]) -> bool:
        """Whether all up to these offsets was handed over, or is no message."""
        return all(self._reached[name] >= end for name, end in ends.items())

    def reached(self, partition: Partition) -> int:
        """Up to which offset all was handed over, or is no message."""
        return self._reached[partition]

    def close(self) -> None:
        """Let go of the partitions."""
        self._consumer.close()

    def _whole(self, message: Message) -> list[WholeMessage]:
        name = Partition(str(message.topic()), int(message.partition() or 0))
        self._reached[name] = int(message.offset() or 0) + 1
        parts = self._gathering[name].take(message)
        if not parts:
            return []
        content = b"".join([part.value() or b"" for part in parts])
        first = int(parts[0].offset() or 0)
        return [WholeMessage(name, first, self._reached[name], headers_of(parts[0]), content)]

    def _is_event(self, message: Message) -> bool:
        """Whether it is no message but word of something; raises where that is bad."""
        error = message.error()
        if error is None:
            return False
        name = Partition(str(message.topic()), int(message.partition() or 0))
        if error.code() == codes.PARTITION_END:
            # what lies up to here besides are marks of transactions
            self._reached[name] = max(self._reached[name], int(message.offset() or 0))
            return True
        if error.code() == codes.OFFSET_GONE:
            raise DataError(
                f"{name}: the messages to go on with, from offset {message.offset()}, are not"
                f" there any more ({error.str()}). A stage would lose events: raise the topic's"
                " retention, and decide the sources from their beginning under another name of"
                " the use case"
            )
        if self._cluster.passes(error):
            return True
        raise self._cluster.failed(str(name), KafkaException(error))
