"""The journal of a use case as a topic: a partition for each lane, a message for each group commit.

A message is a header, batches and a signed head, as frames of the journal (`headrace.journal`);
each has the header that it is recorded under, so it can be read without those before it. One that
is larger than the cluster takes is cut into parts, one after the other in the same transaction.
Headers of the message tell what inputs it holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.adapters.kafka.cluster import PRESENT_SECONDS
from headrace.adapters.kafka.partition_reader import PartitionReader
from headrace.adapters.kafka.parts import Gathering, headers_of, in_parts
from headrace.core.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headrace.adapters.kafka.cluster import Cluster, Message
    from headrace.adapters.kafka.transactions import Outgoing

#: Kept for good: it is the record of every decision.
SETTINGS = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}


def journal_topic(use_case: str) -> str:
    """The topic that a use case's journal is in.

    >>> journal_topic("card-fraud")
    'headrace.card-fraud.journal'
    """
    return f"headrace.{use_case}.journal"


@dataclass(frozen=True, slots=True)
class JournalMessage:
    """A group commit as it lies in the topic.

    Attributes:
        offset: Of its first part.
        first_seq: Sequence number of its first input.
        next_seq: That after its last.
        dedupe: What tells the key of the hashes of ids from others.
        content: The frames.
    """

    offset: int
    first_seq: int
    next_seq: int
    dedupe: str
    content: bytes


class JournalTopic:
    """Reads and lays out the journal of one lane.

    Args:
        cluster: Where it is.
        topic: Its name.
        lane: Number of the lane, which is its partition.
    """

    def __init__(self, cluster: Cluster, topic: str, lane: int) -> None:
        self.topic, self.lane = topic, lane
        self._cluster = cluster

    def outgoing(self, message: JournalMessage) -> Outgoing:
        """The parts of a message, to be sent in one transaction."""
        told = {
            "first_seq": message.first_seq,
            "next_seq": message.next_seq,
            "dedupe": message.dedupe,
        }
        size = self._cluster.part_bytes
        return in_parts(self.topic, self.lane, message.content, told, size)

    def end(self) -> int:
        """Where the lane's partition ends now; it grows with whatever is written there.

        Raises:
            DataError: The cluster does not say.
            Unavailable: It does not answer at once.
        """
        return self._cluster.bounds(self.topic, self.lane, PRESENT_SECONDS)[1]

    def last(self) -> JournalMessage | None:
        """The last message that was committed; None where there is none."""
        with _Reading(self._cluster, self.topic, self.lane) as reading:
            low, high = reading.bounds()
            back = 4
            while high > low:
                start = max(low, high - back)
                found = None
                for found in reading.commits(start):  # noqa: B007 - the last one is wanted
                    pass
                if found is not None or start == low:
                    return found
                back *= 8
        return None

    def messages(self, from_seq: int = 0) -> Iterator[JournalMessage]:
        """The messages that reach beyond an input, in order, up to the last that was committed.

        Raises:
            JournalError: The topic does not reach back to it.
        """
        with _Reading(self._cluster, self.topic, self.lane) as reading:
            low, high = reading.bounds()
            begin = reading.offset_before(from_seq, low, high)
            first = True
            for message in reading.commits(begin):
                if message.next_seq <= from_seq:
                    continue
                if first and message.first_seq > from_seq:
                    raise JournalError(
                        f"{self.topic}/{self.lane} begins at input {message.first_seq}; expected"
                        f" {from_seq}: what lies before was deleted from the topic. Keep it for"
                        " good (retention.ms=-1), and start from a home that has a newer snapshot"
                    )
                first = False
                yield message


class _Reading(PartitionReader):
    """One look at a partition of a journal, as it is now."""

    def commits(self, offset: int) -> Iterator[JournalMessage]:
        """Whole messages from an offset to where the partition ended when `bounds` was called."""
        gathering = Gathering()
        for message in self.messages(offset):
            told = _told(message)
            parts = gathering.take(message)
            if parts:
                yield JournalMessage(
                    int(parts[0].offset() or 0),
                    int(told["first_seq"]),
                    int(told["next_seq"]),
                    told["dedupe"],
                    b"".join([part.value() or b"" for part in parts]),
                )

    def offset_before(self, seq: int, low: int, high: int) -> int:
        """Where the message that holds an input begins, or one before it: a search by halves."""
        begin = low
        while high - low > 1:
            middle = (low + high) // 2
            first = next(self.messages(middle), None)
            told = _told(first) if first is not None else None
            if first is None or told is None or int(told["first_seq"]) > seq:
                high = middle
            else:
                # the parts of a message lie one after the other, and it is read from the first on
                begin, low = int(first.offset() or 0) - int(told["part"]), middle
        return begin


def _told(message: Message) -> Mapping[str, str]:
    """The headers of a message of the journal.

    Raises:
        JournalError: They are not there.
    """
    headers = headers_of(message)
    if not {"first_seq", "next_seq", "part", "parts", "dedupe"} <= set(headers):
        raise JournalError(
            f"{message.topic()}/{message.partition()}, offset {message.offset()}: this is no"
            " message of a journal; nothing else may be written to that topic"
        )
    return headers
