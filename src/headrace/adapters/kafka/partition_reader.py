"""One look at a partition, from an offset to where it ends now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from headrace.adapters.kafka import codes
from headrace.adapters.kafka.cluster import KafkaException, TopicPartition
from headrace.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.adapters.kafka.cluster import Cluster, Consumer, Message

#: Seconds to wait for what is there before saying that it does not come: longer than a transaction
#: of a worker that hangs stays open.
_SILENT_POLLS = 90


class PartitionReader:
    """Reads committed messages of a partition, to the end that it has when `bounds` is called.

    A transaction that is open then is waited for: its worker may have had the answer to its commit
    while the broker was still writing it out.

    Args:
        cluster: Where it is.
        topic: Its topic.
        number: Of the partition.
    """

    def __init__(self, cluster: Cluster, topic: str, number: int) -> None:
        self._cluster = cluster
        self._topic, self._number = topic, number
        self._end = 0
        self._consumer: Consumer = cluster.consumer(
            # a name is needed, and nothing is kept under it
            group_id=f"{topic}.reading",
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="error",
            enable_partition_eof=True,
            # a broker says that a partition ends when it has waited so long for more
            fetch_wait_max_ms=20,
            fetch_queue_backoff_ms=10,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._consumer.close()

    def bounds(self) -> tuple[int, int]:
        """The first offset that is held, and that after the last.

        Raises:
            DataError: The cluster does not say.
            Unavailable: It does not answer.
        """
        low, self._end = self._cluster.bounds(self._topic, self._number)
        return low, self._end

    def messages(self, offset: int) -> Iterator[Message]:
        """Messages from an offset to that end, each as it lies there.

        Raises:
            Unavailable: The cluster does not give them.
        """
        self._consumer.assign([TopicPartition(self._topic, self._number, offset)])
        silent = 0
        while silent < _SILENT_POLLS:
            message = self._consumer.poll(1.0)
            if message is None:
                silent += 1
                continue
            silent = 0
            error = message.error()
            if error is None:
                if int(message.offset() or 0) >= self._end:
                    return  # it is written meanwhile, and has no end that could be waited for
                yield message
            elif error.code() == codes.PARTITION_END:
                if int(message.offset() or 0) >= self._end:
                    return
            elif not self._cluster.passes(error):
                raise self._cluster.failed(f"{self._topic}/{self._number}", KafkaException(error))
        raise Unavailable(
            f"{self._topic}/{self._number} does not answer; what it holds could not be read to its"
            " end. Check that Kafka runs, and has no transaction that hangs (kafka-transactions.sh"
            " find-hanging), and run again"
        )
