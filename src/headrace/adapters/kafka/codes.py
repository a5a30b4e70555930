"""What the client's error codes mean for a lane; its own codes begin with an underscore."""

# ruff: noqa: SLF001 - the client's own codes have no other names

from __future__ import annotations

from confluent_kafka import KafkaError

PARTITION_END = KafkaError._PARTITION_EOF
#: What was to be read next is not there any more.
OFFSET_GONE = KafkaError._AUTO_OFFSET_RESET
#: A client can do nothing more, for a reason that it has told before.
FATAL = KafkaError._FATAL
ALL_DOWN = KafkaError._ALL_BROKERS_DOWN

#: No broker answers; one that was asked may have left the cluster meanwhile.
UNREACHABLE = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._DESTROY_BROKER,
    }
)

#: A topic or partition is not known yet, or not again, or was deleted.
UNKNOWN = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)

#: Brokers restart and leaders move: reading goes on by itself.
PASSING = (
    UNREACHABLE
    | UNKNOWN
    | {
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)

#: The broker that looks after a group is being found.
MOVING = frozenset(
    {
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
    }
)

#: A message, or all that was sent together, is larger than is taken.
TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})

#: Someone else has the transactional id now.
FENCED = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
    }
)

#: The group has moved on since it was asked who is in it.
MOVED_ON = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.REBALANCE_IN_PROGRESS,
    }
)

#: What undoes a transaction, and does not stand in the way of the next one.
UNDOES = (
    PASSING
    | MOVED_ON
    | MOVING
    | {
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._STATE,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNKNOWN_PRODUCER_ID,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.INVALID_TXN_STATE,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
    }
)
