"""A lane's journal in a topic: every commit is one transaction with all that a batch leaves behind.

Offsets of the sources, decisions, quarantined events and the journal's message are all in the
cluster, or nothing of them is. What the journal's message says is where the lane goes on; offsets
are sent along for those who watch the lag.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from headrace.adapters.kafka.cluster import Fenced
from headrace.adapters.kafka.journal_topic import JournalMessage
from headrace.core.errors import JournalError, SecurityError
from headrace.journal.chain import Chain
from headrace.journal.chain_writer import ChainWriter
from headrace.journal.group_reader import GroupReader
from headrace.journal.journal import Commit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from headrace.adapters.kafka.journal_topic import JournalTopic
    from headrace.adapters.kafka.messages import Partition, TopicMessages
    from headrace.adapters.kafka.transactions import Outgoing, Transactions
    from headrace.journal.batch import JournalBatch, Position
    from headrace.journal.chain_writer import Appended, FrameGroup
    from headrace.journal.header import JournalHeader
    from headrace.journal.keys import PublicKey, SigningKey
    from headrace.journal.recovery import UnvouchedTail


class TopicJournal:
    """The journal of one lane, in a topic; see `headrace.runtime.lane_journal.LaneJournal`.

    Args:
        topic: Where it is.
        transactions: Of the lane, open.
        header: What the batches to come are recorded under; None goes on under the last one.
        key: What signs the heads.
        dedupe: What tells the key of the hashes of ids from others.

    Raises:
        JournalError: What is there was changed, or not signed by `key`; or there is nothing to go
            on with.
        SecurityError: The key of the hashes of ids is another than the lane was begun with.
    """

    def __init__(
        self,
        topic: JournalTopic,
        transactions: Transactions,
        header: JournalHeader | None,
        key: SigningKey,
        dedupe: str,
    ) -> None:
        self.tails: Sequence[UnvouchedTail] = ()
        self._topic, self._transactions = topic, transactions
        self._keys: Sequence[PublicKey] = (key.public,)
        self._dedupe = dedupe
        chain = self._found()
        header = header or chain.header
        if header is None:
            raise JournalError(
                f"{topic.topic}/{topic.lane} holds no journal yet; headrace run begins it"
            )
        self._writer = ChainWriter(chain, header, key, time.time_ns)
        self._last_header = chain.header
        self._committed = Commit(chain.head, chain.next_seq, 0, durable=True)
        self._waiting: list[JournalBatch] = []
        self._left: Callable[[Sequence[JournalBatch]], list[Outgoing]] = lambda _batches: []
        self._messages: TopicMessages | None = None
        self._partitions: Mapping[str, Partition] = {}
        self._failed: BaseException | None = None
        #: Where the topic ended when nobody else had written to it.
        self._own_end = -1

    def _found(self) -> Chain:
        """The chain after the last message."""
        last = self._topic.last()
        if last is None:
            return Chain(self._keys)
        reader = GroupReader.at(last.content, self._keys)
        try:
            reader.follow(last.content)
        except JournalError as error:
            raise JournalError(
                f"the last message of {self._topic.topic}/{self._topic.lane}, offset {last.offset},"
                f" is not what this home's key vouches for ({error}). A lane is signed by one key:"
                " give every worker of it the same folder of keys (see Keep keys, and back up)"
            ) from error
        if last.dedupe != self._dedupe:
            raise SecurityError(
                f"the key of the hashes of ids, keys/dedupe.key, is another one than that of"
                f" {self._topic.topic}/{self._topic.lane} ({self._dedupe[:12]}, expected"
                f" {last.dedupe[:12]}), so workers could not take each other's snapshots. Give"
                " every worker the same folder of keys (see Keep keys, and back up)"
            )
        return reader.chain

    @property
    def next_seq(self) -> int:
        """The sequence number of the next input to append."""
        return self._writer.next_seq

    @property
    def committed(self) -> Commit:
        """The last commit, or where the journal stood when it was opened."""
        return self._committed

    @property
    def last_header(self) -> JournalHeader | None:
        """What the last batches were recorded under when it was opened; None if there were none."""
        return self._last_header

    @property
    def positions(self) -> Mapping[str, Position]:
        """Where every source goes on after what was appended."""
        return self._writer.positions

    def batches(self, from_seq: int) -> Iterator[tuple[JournalHeader, JournalBatch]]:
        """The committed batches with an input at or after `from_seq`, each once it is verified.

        With each comes the header that it was recorded under.

        Raises:
            JournalError: They do not follow each other, or do not lead to the last head.
        """
        reader: GroupReader | None = None
        for message in self._topic.messages(from_seq) if from_seq < self.next_seq else ():
            if reader is None:
                reader = GroupReader.at(message.content, self._keys)
                if message.first_seq == 0:
                    reader = GroupReader(Chain(self._keys))
            group = reader.follow(message.content)
            for (_, header, _), batch in zip(group.links, group.batches(), strict=True):
                if batch.next_seq > from_seq:
                    yield header, batch
        if reader is not None and reader.chain.head != self._committed.head:
            raise JournalError(
                f"{self._topic.topic}/{self._topic.lane} ends at input {reader.chain.next_seq} now,"
                f" and ended at {self._committed.next_seq} a moment ago: another worker writes it."
                " Run one worker for a lane"
            )

    def attach(
        self,
        messages: TopicMessages | None,
        partitions: Mapping[str, Partition],
        left: Callable[[Sequence[JournalBatch]], list[Outgoing]],
    ) -> None:
        """Say what is committed beside the journal.

        Args:
            messages: That batches are made of; closed with the journal. None where they are made
                of none.
            partitions: Whose offsets are kept, by the names of the sources.
            left: What batches leave behind in other topics.
        """
        self._messages, self._partitions, self._left = messages, partitions, left

    def describe(self, header: JournalHeader) -> None:
        """Record the batches to come under another header."""
        self._writer.describe(header)

    def append(self, batch: JournalBatch) -> Appended:
        """Hash a batch into the chain and hold it for the next commit."""
        appended = self._writer.append(batch)
        self._waiting.append(batch)
        return appended

    def commit(self, *, sealed: bool = False) -> Commit:
        """Sign what was appended, and commit it with all that it leaves behind.

        Args:
            sealed: Makes no difference: a message is never changed, so it is signed first.

        Raises:
            Fenced: Another worker has taken the lane over.
            JournalError: The cluster does not take it.
        """
        del sealed
        if self._failed is not None:
            raise JournalError(f"the lane failed ({self._failed}); run again") from self._failed
        batches, self._waiting = self._waiting, []
        group = self._writer.close_group()
        if group is None:
            return replace(self._committed, size=0)
        content = b"".join(group.frames()[0])
        message = JournalMessage(0, group.first_seq, group.next_seq, self._dedupe, content)
        offsets = {
            self._partitions[name]: position.ordinal
            for batch in batches
            for name, position in batch.positions.items()
            if name in self._partitions
        }
        try:
            self._transactions.commit(
                [*self._left(batches), self._topic.outgoing(message)],
                offsets,
                lambda: self._is_there(group),
            )
        except BaseException as error:
            self._failed = error
            raise
        self._committed = Commit(group.head, group.next_seq, len(content), durable=True)
        return self._committed

    def catch_up(self) -> None:
        """There is nothing that a commit leaves for later."""

    def look(self) -> None:
        """See that nobody else has written to the lane. A commit tells; this is for who has none.

        Raises:
            DataError: The cluster does not say.
            Fenced: Another worker has written to the lane since the last commit.
            Unavailable: It cannot be reached.
        """
        end = self._topic.end()
        if end != self._own_end:
            self._head_among({self._committed.head})
            self._own_end = end

    def _is_there(self, group: FrameGroup) -> bool:
        """Whether a group can be read already.

        Raises:
            Fenced: Another worker has written to the lane since the last commit.
        """
        return self._head_among({group.head, self._committed.head}) == group.head

    def _head_among(self, own: set[bytes]) -> bytes:
        """The head that the topic ends with, which is one of these unless another wrote it."""
        last = self._topic.last()
        head = Chain(self._keys).head
        if last is not None:
            reader = GroupReader.at(last.content, self._keys)
            reader.follow(last.content)
            head = reader.chain.head
        if head not in own:
            raise Fenced(
                f"another worker has written to {self._topic.topic}/{self._topic.lane} since, so"
                " this one lets go of the lane; nothing is lost or doubled"
            )
        return head

    def close(self) -> None:
        """Commit what was appended, and let go."""
        try:
            if self._failed is None:
                self.commit()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go; what was appended and not committed is not in the journal."""
        self._transactions.close()
        if self._messages is not None:
            self._messages.close()
            self._messages = None
