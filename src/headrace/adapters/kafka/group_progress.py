"""How far a group has come, whoever works its lanes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.adapters.kafka.partition_reader import PartitionReader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.adapters.kafka.cluster import Cluster
    from headrace.adapters.kafka.messages import Partition


class GroupProgress:
    """Whether a group has decided all that lay in partitions when that was first asked.

    Args:
        cluster: Where the group is.
        group: Its name.
    """

    def __init__(self, cluster: Cluster, group: str) -> None:
        self._cluster, self._group = cluster, group
        self._ends: dict[Partition, int] = {}
        self._through: set[Partition] = set()

    def is_through(self, partitions: Iterable[Partition]) -> bool:
        """Whether it has, as far as these partitions go.

        Raises:
            DataError: The cluster does not let us look.
            Unavailable: It does not answer.
        """
        asked = [name for name in partitions if name not in self._through]
        if not asked:
            return True
        committed = self._cluster.committed(self._group, asked)
        for name in asked:
            if self._is_through(name, committed.get(name, 0)):
                self._through.add(name)
        return self._through.issuperset(asked)

    def _is_through(self, name: Partition, committed: int) -> bool:
        with PartitionReader(self._cluster, name.topic, name.number) as reader:
            low, high = reader.bounds()
            end = self._ends.setdefault(name, high)
            if committed >= end:
                return True
            # what is left may be marks of transactions alone
            left = next(reader.messages(max(low, committed)), None)
            return left is None or int(left.offset() or 0) >= end
