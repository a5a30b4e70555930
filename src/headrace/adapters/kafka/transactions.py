"""Transactions: what a batch leaves behind is all in the cluster, or nothing of it is.

One transactional id belongs to one lane. Whoever opens it last has it: the broker refuses the
transactions of those who had it before.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from headrace.adapters.kafka import codes
from headrace.adapters.kafka.cluster import (
    ANSWER_SECONDS,
    Fenced,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from headrace.adapters.kafka.patient_calls import NoAnswer, PatientCalls
from headrace.core.errors import JournalError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headrace.adapters.kafka.cluster import Cluster
    from headrace.adapters.kafka.membership import Holder
    from headrace.adapters.kafka.messages import Partition

#: How long one call to the cluster may take before it is made again.
_CALL_SECONDS = 10.0
#: The broker undoes a transaction that is open for longer.
_TRANSACTION_MS = 60_000
_PAUSE_SECONDS = 0.1
#: Whoever is to stop waits so long for a cluster that does not take a transaction.
_LAST_SECONDS = 20.0
#: A call that has not returned by then, well after the time it was given, never will.
_PATIENCE_SECONDS = 2 * _CALL_SECONDS


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Messages to one partition of a topic.

    Attributes:
        topic: Its name.
        partition: Which.
        values: Of each message.
        headers: Of each message; none where it is empty.
        keys: Of each message; none where it is empty.
    """

    topic: str
    partition: int
    values: Sequence[bytes | None]
    headers: Sequence[Sequence[tuple[str, bytes]]] = field(default_factory=tuple)
    keys: Sequence[bytes] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class LaneId:
    """A lane of a use case.

    Attributes:
        use_case: Its name.
        number: Of the lane.

    >>> lane = LaneId("card-fraud", 3)
    >>> str(lane), lane.transactional_id
    ('card-fraud/3', 'headrace.card-fraud.3')
    """

    use_case: str
    number: int

    def __str__(self) -> str:
        return f"{self.use_case}/{self.number}"

    @property
    def transactional_id(self) -> str:
        """What its transactions are fenced by."""
        return f"headrace.{self.use_case}.{self.number}"


class Transactions:
    """The transactions of one lane, one after the other.

    Args:
        cluster: Where they are made.
        lane: Of which.
        holder: Who holds the lane.
        say: Told when the cluster does not take them, and waits.
        stopped: Whether to give up where the cluster cannot be reached.

    Attributes:
        stopped: The same, from now on.

    Raises:
        JournalError: The cluster does not let us make transactions.
    """

    def __init__(
        self,
        cluster: Cluster,
        lane: LaneId,
        holder: Holder,
        say: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> None:
        self._cluster, self._holder = cluster, holder
        self._lane = lane
        self._say = say
        self.stopped = stopped
        self._stopped_s: float | None = None
        self._open()

    def _open(self) -> None:
        """A producer, and what makes its calls; whoever had its name before is fenced.

        What that one had begun is undone, or completed, when this returns.
        """
        self._calls = PatientCalls(f"commits of {self._lane}")
        self._producer = self._cluster.producer(
            transactional_id=self._lane.transactional_id,
            transaction_timeout_ms=_TRANSACTION_MS,
            compression_type="lz4",
            linger_ms=5,
            batch_size=1_000_000,
            batch_num_messages=20_000,
            queue_buffering_max_messages=2_000_000,
            queue_buffering_max_kbytes=1_048_576,
        )
        try:
            self._again(partial(self._producer.init_transactions, ANSWER_SECONDS))
        except KafkaException as error:
            raise self._error(error) from error

    def commit(
        self,
        outgoing: Sequence[Outgoing],
        offsets: Mapping[Partition, int],
        is_there: Callable[[], bool],
    ) -> None:
        """Make messages and offsets durable together.

        It goes on for as long as the cluster cannot be reached.

        Args:
            outgoing: The messages.
            offsets: For each partition that was read, the offset to go on from.
            is_there: Whether the messages can be read already; asked where the cluster lost track
                of the transaction while it was being committed.

        Raises:
            Fenced: Another worker has taken the lane over.
            JournalError: The cluster refuses the messages.
            Unavailable: It cannot be reached, and this worker is to stop.
        """
        positions = [TopicPartition(name.topic, name.number, at) for name, at in offsets.items()]
        while True:
            if not self._holder.holds(self._lane.number):
                raise self._fenced()
            send_offsets = partial(
                self._producer.send_offsets_to_transaction,
                positions,
                self._holder.metadata(),
                _CALL_SECONDS,
            )
            commit = partial(self._producer.commit_transaction, _CALL_SECONDS)
            try:
                self._producer.begin_transaction()
                for item in outgoing:
                    self._produce(item)
                if positions:
                    self._again(partial(self._calls.made, send_offsets, _PATIENCE_SECONDS))
                self._again(commit, _PATIENCE_SECONDS)
            except NoAnswer:
                self._replace()
            except KafkaException as error:
                self._undo(error)
            else:
                return
            if is_there():
                return

    def _replace(self) -> None:
        """Go on with another producer, where the client does not answer any more.

        The one before it is left behind, with the call that does not return, if there is one.
        """
        if not self._holder.holds(self._lane.number):
            raise self._fenced()
        self._say(
            f"the client of Kafka gave no answer for {_PATIENCE_SECONDS:.0f} s while it committed a"
            f" batch of lane {self._lane}; another client takes its place"
        )
        self.close()
        self._open()

    def _produce(self, item: Outgoing) -> None:
        """Hand messages to the client, which sends them."""
        produce, topic, partition = self._producer.produce, item.topic, item.partition
        headers, keys = item.headers, item.keys
        for index, value in enumerate(item.values):
            while True:
                try:
                    if headers:
                        produce(topic, value, None, partition, headers=list(headers[index]))
                    else:
                        produce(topic, value, keys[index] if keys else None, partition)
                    break
                except BufferError:
                    self._producer.poll(_PAUSE_SECONDS)

    def _again(self, call: Callable[[], None], within_s: float = inf) -> None:
        """Make a call until it goes through, as long as only time stands in its way.

        Raises:
            NoAnswer: It does not, though the cluster has answered other calls for so long.
        """
        began = time.monotonic()
        while True:
            try:
                call()
            except KafkaException as error:
                said = error.args[0]
                if not said.retriable() or said.fatal() or said.txn_requires_abort():
                    raise
                if not self._cluster.answers():
                    began = time.monotonic()
                elif time.monotonic() - began >= within_s:
                    raise NoAnswer from error
                self._waits(said)
            else:
                return

    def _undo(self, error: KafkaException) -> None:
        """Undo the transaction, so that it can be made again; raises where it cannot."""
        said = error.args[0]
        undone = said.txn_requires_abort() or said.code() in codes.MOVED_ON
        if said.fatal() or said.code() in codes.FENCED or not undone:
            raise self._error(error) from error
        try:
            abort = partial(self._producer.abort_transaction, _CALL_SECONDS)
            self._again(abort, _PATIENCE_SECONDS)
        except NoAnswer:
            self._replace()
        except KafkaException as failed:
            raise self._error(failed) from failed
        if said.code() not in codes.UNDOES:
            # the broker refused a message, and would refuse it again
            raise self._error(error) from error
        if said.code() in codes.MOVED_ON:
            self._holder.renew()
        self._waits(said)

    def _waits(self, said: KafkaError) -> None:
        if not self._holder.holds(self._lane.number):
            raise self._fenced()
        if said.code() not in codes.MOVED_ON | {KafkaError.CONCURRENT_TRANSACTIONS}:
            # those pass within moments, and what was taken is to be committed on the way out too
            self._give_up_late(said)
            self._say(f"Kafka does not take the transaction yet ({said.str()}); trying again")
        time.sleep(_PAUSE_SECONDS)

    def _give_up_late(self, said: KafkaError) -> None:
        """Raise, where this worker was to stop long ago."""
        if not self.stopped():
            return
        now = time.monotonic()
        self._stopped_s = self._stopped_s or now
        if now - self._stopped_s >= _LAST_SECONDS:
            raise Unavailable(
                f"Kafka at {self._cluster.servers} did not commit a batch of lane {self._lane} for"
                f" {_LAST_SECONDS:.0f} s after this worker was to stop: {said.str()}. What was"
                " committed before is safe, and the rest is decided by the next run"
            )

    def _error(self, error: KafkaException) -> JournalError:
        said = self._reason(error.args[0])
        if said.code() in codes.FENCED or self._producer_is_fenced(said):
            return self._fenced()
        if said.code() in codes.TOO_LARGE:
            return JournalError(
                f"a message of lane {self._lane} is larger than Kafka at {self._cluster.servers}"
                f" takes ({said.str()}). What was committed before is safe. Write"
                " ?message.max.bytes=N after the source's address, no more than the topics'"
                " max.message.bytes, or raise that of the topics, and run again"
            )
        return JournalError(
            f"Kafka at {self._cluster.servers} did not commit a batch of lane {self._lane}:"
            f" {said.str()}. What was committed before is safe: mend it, and run again"
        )

    def _reason(self, said: KafkaError) -> KafkaError:
        """Why no message is taken any more: that itself says so alone, the next call says why."""
        if said.code() == codes.FATAL:
            try:
                self._producer.begin_transaction()
            except KafkaException as error:
                return error.args[0]  # type: ignore[no-any-return]  # the client does not say
        return said

    def _fenced(self) -> Fenced:
        return Fenced(
            f"another worker has taken over lane {self._lane} (transactional.id"
            f" {self._lane.transactional_id}), so this one lets go of it; nothing is lost or"
            " doubled"
        )

    @staticmethod
    def _producer_is_fenced(said: KafkaError) -> bool:
        return bool(said.fatal()) and "fenced" in said.str().lower()

    def close(self) -> None:
        """Let go; what was not committed is not in the cluster."""
        if self._calls.stuck:
            return  # the client lets nobody in any more
        self._calls.end()
        with suppress(KafkaException):  # of one that was fenced: there is nothing to let go of
            self._producer.purge()
