"""A Kafka cluster: its topics, and the clients that Headrace opens on it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from headrace.core.errors import DataError, JournalError, NotFound, Unavailable

try:
    from confluent_kafka import (
        Consumer,
        ConsumerGroupState,
        KafkaError,
        KafkaException,
        Message,
        Producer,
        TopicCollection,
        TopicPartition,
    )
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    from headrace.adapters.kafka import codes
except ModuleNotFoundError as error:
    raise DataError("kafka:// needs the client of Kafka: pip install 'headrace[kafka]'") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: What the client has to say; nobody hears it unless logging is set up.
_LOG = logging.getLogger("headrace.kafka")
_LOG.addHandler(logging.NullHandler())

#: How long to wait for the first answer of a cluster.
ANSWER_SECONDS = 15.0
#: A cluster that does not answer within this is away.
PRESENT_SECONDS = 3.0
#: How long a cluster that is away is waited for by whoever cannot go on without an answer.
_PATIENCE_SECONDS = 150.0
#: Between two tries.
_PAUSE_SECONDS = 2.0
#: What a message has around its content, at most.
_AROUND_BYTES = 16_384
#: Between two words on the same thing.
_QUIET_SECONDS = 10.0


class Fenced(JournalError):
    """Another worker has taken the lane over; this one can do nothing more in it."""


class Cluster:
    """What is known of a cluster, and clients of it.

    Args:
        servers: Addresses to begin with.
        client: Settings of the client (librdkafka): security, timeouts.
        say: Told when the cluster cannot be reached, and when it can again.
    """

    def __init__(
        self,
        servers: str,
        client: Mapping[str, str],
        say: Callable[[str], None] = lambda _word: None,
    ) -> None:
        self.servers = servers
        self._settings: dict[str, Any] = {"bootstrap.servers": servers, **client}
        self._say = say
        self._told_s = -1e9
        self._admin = AdminClient(dict(self._settings), logger=_LOG)

    def _on_error(self, error: KafkaError) -> None:
        now = time.monotonic()
        if error.code() == codes.ALL_DOWN and now - self._told_s > _QUIET_SECONDS:
            self._told_s = now
            self._say(f"Kafka at {self.servers} cannot be reached; waiting for it")

    def consumer(self, **settings: object) -> Consumer:
        """A consumer; underscores in names stand for dots.

        Raises:
            DataError: The client does not take the settings together.
        """
        try:
            return Consumer(self._all(settings), logger=_LOG)
        except KafkaException as error:
            raise DataError(
                f"the client of Kafka does not take these settings: {error.args[0].str()}; change"
                " what was set after ? or in --kafka-config"
            ) from error

    def producer(self, **named: object) -> Producer:
        """A producer; underscores in names stand for dots."""
        # it tells nothing, neither logs nor errors (consumers do): they would wait in its queue,
        # and with word of lost connections there a transaction is committed late, or never
        settings = self._all(named) | {"log_level": 0}
        del settings["error_cb"]
        return Producer(settings)

    def _all(self, settings: Mapping[str, object]) -> dict[str, Any]:
        named = {name.replace("_", "."): value for name, value in settings.items()}
        named["reconnect.backoff.max.ms"] = 1_000
        # what a user sets goes before what Headrace would choose; what may not be set was refused
        return {**named, **self._settings, "error_cb": self._on_error}

    def setting(self, name: str) -> str | None:
        """A setting of the client that a user has made; None where none has."""
        found = self._settings.get(name)
        return None if found is None else str(found)

    @staticmethod
    def passes(error: KafkaError) -> bool:
        """Whether an error of reading goes by itself: brokers restart, and leaders move."""
        return error.retriable() or error.code() in codes.PASSING

    @property
    def message_bytes(self) -> int:
        """The most bytes of one message, with what is around it."""
        return int(self._settings.get("message.max.bytes", 1_000_000))

    @property
    def part_bytes(self) -> int:
        """The most bytes of a content that is cut into parts, a message for each."""
        return max(self.message_bytes - _AROUND_BYTES, self.message_bytes // 2)

    def answers(self) -> bool:
        """Whether it answers now."""
        try:
            self._admin.describe_cluster(request_timeout=PRESENT_SECONDS).result()
        except KafkaException:
            return False
        return True

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has; 0 where there is no such topic.

        Raises:
            DataError: The cluster cannot be reached, or does not let us look.
        """
        try:
            found = self._admin.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic]
        except KafkaException as error:
            raise self.failed(f"topic {topic}", error) from error
        if found.error is not None and found.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise self.failed(f"topic {topic}", KafkaException(found.error))
        return len(found.partitions)

    def needed(self, topic: str) -> int:
        """The partitions of a topic that must be there.

        Raises:
            NotFound: It is not.
        """
        count = self.partitions(topic)
        if count == 0:
            raise NotFound(
                f"Kafka at {self.servers} has no topic {topic!r}; check the name, or create it"
            )
        return count

    def bounds(
        self, topic: str, partition: int, within_s: float = _PATIENCE_SECONDS
    ) -> tuple[int, int]:
        """The first offset of a partition that is held, and that after the last.

        The last may belong to a transaction that is still open, or one whose commit has been
        answered and is being written out: a reader of what is committed comes to it a little later.

        Args:
            topic: Its topic.
            partition: Its number.
            within_s: Seconds for brokers to come back, and for leaders to be found.

        Raises:
            DataError: The cluster does not say.
            Unavailable: It does not answer in time.
        """
        end = time.monotonic() + within_s
        while True:
            try:
                return self._bounds(TopicPartition(topic, partition), end - time.monotonic())
            except KafkaException as error:
                in_time = time.monotonic() + _PAUSE_SECONDS < end
                if not (in_time and self.passes(error.args[0])):
                    raise self.failed(f"{topic}/{partition}", error) from error
            time.sleep(_PAUSE_SECONDS)

    def _bounds(self, place: TopicPartition, within_s: float) -> tuple[int, int]:
        """The same, asked once.

        A consumer of its own asks: the client's administrator goes on asking for the leader that
        was, long after another took over.
        """
        asking = self.consumer(
            # a name is needed, and nothing is kept under it
            group_id=f"{place.topic}.reading",
            isolation_level="read_uncommitted",
        )
        try:
            timeout = min(within_s, ANSWER_SECONDS)
            return asking.get_watermark_offsets(place, timeout=timeout) or (0, 0)
        finally:
            asking.close()

    def topic_id(self, topic: str) -> str:
        """What tells a topic from another of the same name, made when this one was deleted."""
        asked = self._admin.describe_topics(
            TopicCollection([topic]), request_timeout=ANSWER_SECONDS
        )
        try:
            return str(asked[topic].result().topic_id)
        except KafkaException as error:
            raise self.failed(f"topic {topic}", error) from error

    def group(self, name: str) -> dict[str, list[TopicPartition]] | None:
        """What each member of a group has, by the member's id; None where it is not settled."""
        asked = self._admin.describe_consumer_groups([name], request_timeout=ANSWER_SECONDS)
        try:
            found = asked[name].result()
        except KafkaException as error:
            if self._is_looked_for(error):
                return None
            raise self.failed(f"group {name}", error) from error
        if found.state != ConsumerGroupState.STABLE:
            return None
        return {member.member_id: member.assignment.topic_partitions for member in found.members}

    def committed(
        self, group: str, partitions: Sequence[tuple[str, int]]
    ) -> dict[tuple[str, int], int]:
        """The offset that a group goes on from, of each of these partitions that it has one of.

        Args:
            group: Its name.
            partitions: Topic and number of each.

        Raises:
            DataError: The cluster does not let us look.
            Unavailable: It does not answer.
        """
        places = [TopicPartition(*name) for name in partitions]
        # not by the client's administrator, which ends the whole process where a broker leaves at
        # the wrong moment (confluentinc/librdkafka issue 4605)
        asking = self.consumer(
            group_id=group,
            # what a transaction holds that is still open is not waited for
            isolation_level="read_uncommitted",
        )
        try:
            found = asking.committed(places, timeout=ANSWER_SECONDS)
        except KafkaException as error:
            if self._is_looked_for(error):
                return {}
            raise self.failed(f"group {group}", error) from error
        finally:
            asking.close()
        return {(at.topic, at.partition): at.offset for at in found if at.offset >= 0}

    def _is_looked_for(self, error: KafkaException) -> bool:
        """Whether a group has nobody to look after it for now."""
        said = error.args[0]
        return self.passes(said) or said.code() in codes.MOVING

    def ensure(self, topic: str, partitions: int, settings: Mapping[str, str], like: str) -> None:
        """Create one of Headrace's own topics if it is not there.

        Args:
            topic: Its name.
            partitions: How many it has.
            settings: Of the topic.
            like: The topic whose replication it takes.

        Raises:
            DataError: It cannot be created, or has another number of partitions.
        """
        there = self.partitions(topic)
        if there == 0:
            first = self._admin.list_topics(like, timeout=ANSWER_SECONDS).topics[like].partitions[0]
            new = NewTopic(topic, partitions, len(first.replicas), config=dict(settings))
            try:
                self._admin.create_topics([new], request_timeout=ANSWER_SECONDS)[topic].result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self.failed(f"topic {topic}", error) from error
            there = self._seen(topic)
        if there != partitions:
            raise DataError(
                f"topic {topic} has {there} partitions; expected {partitions}, one for each lane."
                " Lanes cannot change their number: give the use case another name"
            )

    def _seen(self, topic: str) -> int:
        """The partitions of a topic that was just made, once every broker knows of it."""
        end = time.monotonic() + ANSWER_SECONDS
        while (count := self.partitions(topic)) == 0 and time.monotonic() < end:
            time.sleep(0.05)
        return count

    def failed(self, what: str, error: KafkaException) -> DataError | Unavailable:
        """The error to raise when something could not be done."""
        said = error.args[0]
        if self.passes(said) and said.code() not in codes.UNKNOWN:
            return Unavailable(
                f"Kafka at {self.servers} does not answer ({said.str()}); check the address, that"
                " it runs, and the security settings (--kafka-config)"
            )
        return DataError(f"Kafka at {self.servers}, {what}: {said.str()}")


__all__ = [
    "Cluster",
    "Consumer",
    "Fenced",
    "KafkaError",
    "KafkaException",
    "Message",
    "Producer",
    "TopicPartition",
]
