"""The vault of a lane over Kafka, looked into without taking the lane: nothing of it is changed."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headrace.adapters.kafka.vault_topic import VaultTopic
from headrace.security.vault import Vault
from headrace.security.vault_log import VaultLog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.adapters.kafka.cluster import Cluster
    from headrace.adapters.kafka.transactions import LaneId
    from headrace.security.keys import LocalMasterKey


@contextmanager
def looked_into(cluster: Cluster, lane: LaneId, master: LocalMasterKey) -> Iterator[Vault]:
    """The vault of a lane as it is committed now; it is closed at the end.

    Raises:
        SecurityError: The master key is another, or the vault was changed.
    """
    topic = VaultTopic(cluster, lane.use_case, lane.number)
    log = VaultLog(topic.place, topic.records(), master, secrets.token_bytes, keep=True)
    vault = Vault.kept_in(log)
    try:
        yield vault
    finally:
        vault.close()
