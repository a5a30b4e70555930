"""Which lanes are a worker's own: those that its consumer group gives it, or all of them.

A group is joined through one topic, whose partitions stand for the lanes; the worker reads nothing
there by way of the group. What a lane reads, its own consumer is assigned, so lanes of several
topics stay together whatever the group's assignor does.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from headrace.adapters.kafka.cluster import KafkaException, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.adapters.kafka.cluster import Cluster, Consumer

    _Told = Callable[[Consumer, list[TopicPartition]], None]

#: The offset after the last message, as the client knows it: nothing is fetched from there.
_END = -1


class Holder(Protocol):
    """In whose name offsets are committed, and whether lanes are held still."""

    def metadata(self) -> object:
        """The member as the client describes it to a transaction."""

    def renew(self) -> None:
        """Have that asked for anew: the group has moved on."""

    def refresh(self) -> None:
        """Ask for it, where it is to be renewed; called by the thread that looks after lanes."""

    def holds(self, lane: int) -> bool:
        """Whether a lane may still be committed to."""


class Alone:
    """A worker that takes its lanes without asking; offsets are kept under a group's name.

    Args:
        cluster: Where the group is.
        group: Its name; it must have no members.
    """

    def __init__(self, cluster: Cluster, group: str) -> None:
        consumer = cluster.consumer(group_id=group, enable_auto_commit=False)
        self._metadata: object = consumer.consumer_group_metadata()
        consumer.close()

    def metadata(self) -> object:
        """The group, without a member."""
        return self._metadata

    def renew(self) -> None:
        """There is nothing that could have moved on."""

    def refresh(self) -> None:
        """Nor is there anything to ask for."""

    def holds(self, lane: int) -> bool:  # noqa: ARG002 - it holds every lane
        """Always: only another worker that takes the lane's transactional id ends it."""
        return True


class Membership:
    """A worker's membership of a consumer group.

    One thread polls it, and callbacks come from within `poll` and `close`. The client lets one
    thread at a time into a consumer, and one that polls hardly lets another in: so this thread
    alone asks it what the lanes' threads are told.

    Args:
        cluster: Where the group is.
        group: Its name.
        topic: Whose partitions stand for the lanes.
        assigned: Called with lanes that are the worker's from now on.
        revoked: Called with lanes that are to be given up in good order; they are another's as
            soon as it returns.
        lost: Called with lanes that were another's before the worker heard of it.
    """

    def __init__(
        self,
        cluster: Cluster,
        group: str,
        topic: str,
        *,
        assigned: Callable[[Sequence[int]], None],
        revoked: Callable[[Sequence[int]], None],
        lost: Callable[[Sequence[int]], None],
    ) -> None:
        self._cluster, self._group, self._topic = cluster, group, topic
        self._assigned, self._revoked, self._lost = assigned, revoked, lost
        self._held: frozenset[int] = frozenset()
        self._metadata: object = None
        self._stale = False
        self._failed: BaseException | None = None
        strategy = (
            {}
            if cluster.setting("group.protocol") == "consumer"
            else {"partition_assignment_strategy": "cooperative-sticky"}
        )
        self._consumer = cluster.consumer(
            group_id=group,
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            auto_offset_reset="latest",
            **strategy,
        )
        self._consumer.subscribe(
            [topic],
            on_assign=self._kept(self._on_assign),
            on_revoke=self._kept(self._on_revoke),
            on_lost=self._kept(self._on_lost),
        )

    def poll(self, seconds: float) -> None:
        """Let the group speak, for so long.

        Raises:
            DataError: It does not take the worker.
        """
        message = self._consumer.poll(seconds)
        self._raise()
        self.refresh()
        error = None if message is None else message.error()
        if error is not None and not self._cluster.passes(error):
            raise self._cluster.failed(f"group {self._group}", KafkaException(error))

    def metadata(self) -> object:
        """The member as the client describes it to a transaction."""
        return self._metadata

    def renew(self) -> None:
        """Have that asked for anew: the group has moved on."""
        self._stale = True

    def refresh(self) -> None:
        """Ask for it, where it is to be renewed; called by the thread that polls."""
        if self._stale:
            # it has none while it leaves the group; what it was then goes on being told
            with suppress(RuntimeError):
                self._metadata = self._consumer.consumer_group_metadata()
                self._stale = False

    def settled(self) -> bool:
        """Whether the group has given away every lane, and has no more to give this worker.

        It has not while it misses a member: the lanes of that one are to be given to others.
        """
        found = self._cluster.group(self._group)
        me = self._consumer.memberid()
        if found is None or me is None or me not in found:
            return False
        given = sum(len(places) for places in found.values())
        return set(_lanes(found[me])) == self._held and given == self._cluster.needed(self._topic)

    def holds(self, lane: int) -> bool:
        """Whether a lane is the worker's, as far as it has heard."""
        return lane in self._held

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        self._consumer.close()
        self._raise()

    def _kept(self, told: _Told) -> _Told:
        """The same callback, less what it raises: the client is not to see that.

        What C raises in a callback, the client of Kafka cannot pass on under Python 3.11.
        """

        def call(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            try:
                told(consumer, partitions)
            except BaseException as error:  # noqa: BLE001 - raised once the client has returned
                self._failed = self._failed or error

        return call

    def _raise(self) -> None:
        """Raise what a callback did."""
        if self._failed is None:
            return
        failed, self._failed = self._failed, None
        if isinstance(failed, KafkaException):
            raise self._cluster.failed(f"group {self._group}", failed) from failed
        raise failed

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            place.offset = _END
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)
        lanes = _lanes(partitions)
        self._held |= set(lanes)
        self.renew()
        self.refresh()
        self._assigned(lanes)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        lanes = _lanes(partitions)
        self.renew()
        self.refresh()
        self._revoked(lanes)
        self._held -= set(lanes)
        self.renew()
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        lanes = _lanes(partitions)
        self._held -= set(lanes)
        self.renew()
        self._lost(lanes)
        consumer.incremental_unassign(partitions)


def _lanes(partitions: Sequence[TopicPartition]) -> list[int]:
    return sorted(place.partition for place in partitions)
