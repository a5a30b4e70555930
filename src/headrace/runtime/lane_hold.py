"""A lane over Kafka that this process has taken over: its transactions, journal and vault."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING

from headrace.adapters.kafka.journal_topic import JournalTopic, journal_topic
from headrace.adapters.kafka.transactions import Transactions
from headrace.adapters.kafka.vault_topic import VaultTopic
from headrace.runtime.local_lane import Kept, key_mark, now_ns
from headrace.runtime.shared_snapshots import SharedSnapshots
from headrace.runtime.snapshots import Snapshots
from headrace.runtime.topic_journal import TopicJournal
from headrace.security.vault import Vault
from headrace.security.vault_log import VaultLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headrace.adapters.file_store import FileStore
    from headrace.adapters.kafka.cluster import Cluster
    from headrace.adapters.kafka.membership import Holder
    from headrace.adapters.kafka.transactions import LaneId, Outgoing
    from headrace.journal.header import JournalHeader
    from headrace.runtime.kafka_stage import WorkerKeys


class LaneHold:
    """What a lane is kept in; `kept` takes it over from whoever had it.

    Args:
        cluster: Where it is.
        lane: Which.
        holder: In whose name offsets are committed.
        keys: Of the lane.
        say: Told what a user should know while it goes on.
        stopped: Whether to give up where the cluster cannot be reached.
        snapshots: Where snapshots are shared; None where they are not.
        opens_bytes: Whether bytes that the vault keeps will be asked for; else they need not stay
            in memory.

    Attributes:
        transactions: Of the lane, once it is taken over.
        journal: The same.
    """

    transactions: Transactions
    journal: TopicJournal

    def __init__(
        self,
        cluster: Cluster,
        lane: LaneId,
        holder: Holder,
        keys: WorkerKeys,
        say: Callable[[str], None],
        stopped: Callable[[], bool],
        *,
        opens_bytes: bool = False,
        snapshots: FileStore | None = None,
    ) -> None:
        self._opens_bytes, self._store = opens_bytes, snapshots
        self._cluster, self._lane, self._holder = cluster, lane, holder
        self._keys, self._say, self._stopped = keys, say, stopped

    def kept(self, header: JournalHeader | None = None) -> Kept:
        """Take the lane over from whoever had it, and open its vault and journal.

        Args:
            header: What the batches to come are recorded under; None goes on as the journal does.

        Raises:
            JournalError: The journal there is not to be gone on with.
            SecurityError: A key is not the lane's.
        """
        cluster, lane, keys = self._cluster, self._lane, self._keys
        self.transactions = Transactions(cluster, lane, self._holder, self._say, self._stopped)
        with ExitStack() as opening:
            opening.callback(self.transactions.close)
            self.journal = TopicJournal(
                JournalTopic(cluster, journal_topic(lane.use_case), lane.number),
                self.transactions,
                header,
                keys.signing,
                key_mark(keys.dedupe),
            )
            self._vault_topic = VaultTopic(cluster, lane.use_case, lane.number)
            records = self._vault_topic.records()
            self._vault_log = VaultLog(
                self._vault_topic.place,
                records,
                keys.master,
                secrets.token_bytes,
                keep=self._opens_bytes,
            )
            vault = Vault.kept_in(self._vault_log)
            vault.purge(now_ns())
            opening.pop_all()
        return Kept(self.journal, vault, self._snapshots)

    def _snapshots(self, folder: Path, definition: str) -> Snapshots:
        if self._store is None:
            return Snapshots(folder, definition)
        under = f"snapshots/{self._lane}"
        return SharedSnapshots(folder, definition, self._store, under, self._say)

    def vault_records(self) -> list[Outgoing]:
        """What the vault took in since this was last asked for, to be committed with it."""
        return self._vault_topic.outgoing(self._vault_log.taken())
