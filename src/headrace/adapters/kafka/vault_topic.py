"""The vault of a lane as a partition of a compacted topic: keyed records, the last of each counts.

A record that is larger than the cluster takes is cut into parts, each under a key of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.adapters.kafka.partition_reader import PartitionReader
from headrace.adapters.kafka.transactions import Outgoing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.adapters.kafka.cluster import Cluster

#: Compacted for good; within a day of an erasure, what was erased is gone from the topic.
SETTINGS = {
    "cleanup.policy": "compact",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": "86400000",
    "delete.retention.ms": "86400000",
}
#: Between the key of a record and the number of a part, the first of which has none.
_PART = "#"


def vault_topic(use_case: str) -> str:
    """The topic that the vaults of a use case's lanes are in.

    >>> vault_topic("card-fraud")
    'headrace.card-fraud.vault'
    """
    return f"headrace.{use_case}.vault"


class VaultTopic:
    """Reads and lays out the vault of one lane.

    Args:
        cluster: Where it is.
        use_case: Whose.
        lane: Number of the lane, which is its partition.
    """

    def __init__(self, cluster: Cluster, use_case: str, lane: int) -> None:
        self._cluster, self._topic, self._lane = cluster, vault_topic(use_case), lane
        #: How many parts those records have that have several.
        self._parts: dict[str, int] = {}

    @property
    def place(self) -> str:
        """The name of the partition."""
        return f"{self._topic}/{self._lane}"

    def records(self) -> dict[str, bytes]:
        """The last value of each key, as it was committed."""
        values: dict[str, bytes] = {}
        with PartitionReader(self._cluster, self._topic, self._lane) as reader:
            low, high = reader.bounds()
            for message in reader.messages(low) if high > low else ():
                name = (message.key() or b"").decode()
                value = message.value()
                if value is None:
                    values.pop(name, None)
                else:
                    values[name] = value
        whole: dict[str, bytes] = {}
        for name, value in values.items():
            if _PART in name:
                continue
            count, rest = value[0], value[1:]
            if count > 1:
                self._parts[name] = count
                rest += b"".join(values[f"{name}{_PART}{part}"] for part in range(1, count))
            whole[name] = rest
        return whole

    def outgoing(self, changes: Sequence[tuple[str, bytes | None]]) -> list[Outgoing]:
        """The messages that leave these records behind."""
        if not changes:
            return []
        keys: list[bytes] = []
        values: list[bytes | None] = []
        for name, value in changes:
            parts = self._cut(value)
            # what an earlier and longer value has more is removed
            parts += [None] * (self._parts.get(name, 1) - len(parts))
            self._parts[name] = len(parts)
            for number, part in enumerate(parts):
                keys.append((f"{name}{_PART}{number}" if number else name).encode())
                values.append(part)
        return [Outgoing(self._topic, self._lane, values, keys=keys)]

    def _cut(self, value: bytes | None) -> list[bytes | None]:
        """The parts of a value; the first begins with how many there are."""
        if value is None:
            return [None]
        size = self._cluster.part_bytes
        parts = [value[at : at + size] for at in range(0, max(len(value), 1), size)]
        return [bytes([len(parts)]) + parts[0], *parts[1:]]
