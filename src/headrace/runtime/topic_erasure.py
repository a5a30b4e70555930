"""Erasing a person over Kafka: out of the vault of every lane that knows the person.

Each lane has a vault of its own, so a person has another surrogate in each. What erases, and the
control record that says so, are one transaction of the lane: it is taken over for that moment, so
that whoever works it forgets the person too. A worker of a group takes it again by itself.

Between two lanes it may be stopped: those before are done, and the same command again does the
rest. The lane that a surrogate was named of comes last, since there alone is what it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.adapters.kafka.membership import Alone
from headrace.adapters.kafka.transactions import LaneId
from headrace.adapters.kafka.vault_topic import vault_topic
from headrace.core.errors import NotFound, SecurityError
from headrace.journal.batch import JournalBatch
from headrace.journal.checkpoint import LaneHead, make_checkpoint, write_checkpoint
from headrace.runtime.erasure import erasure_record
from headrace.runtime.journals import dedupe_key
from headrace.runtime.kafka_stage import WorkerKeys
from headrace.runtime.lane_hold import LaneHold
from headrace.runtime.local_lane import (
    admission_name,
    lane_name,
    master_key,
    now_ns,
    signing_key,
)
from headrace.runtime.topic_vault import looked_into
from headrace.security.vault import Erased

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headrace.adapters.kafka.cluster import Cluster
    from headrace.runtime.home import Home
    from headrace.security.keys import LocalMasterKey
    from headrace.security.vault import Vault


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """A person as one lane knows it.

    Attributes:
        lane: Which.
        surrogate: What stands for the person there.
        values: How many values are erased with the person, the person's own included.
    """

    lane: LaneId
    surrogate: str
    values: int


@dataclass(frozen=True, slots=True)
class LaneErasure:
    """What was erased in one lane.

    Attributes:
        person: Who, and in which lane.
        seq: The input of its journal that records it.
    """

    person: KnownPerson
    seq: int


class VaultsOverKafka:
    """The vaults of use cases' lanes, to be looked into; nothing of them is changed.

    Args:
        cluster: Where they are.
        use_cases: Whose. Where one is worked on in stages, personal data is with its admission.
        master: What they are sealed under.

    Raises:
        NotFound: The cluster has no vaults of one of them.
    """

    def __init__(self, cluster: Cluster, use_cases: Sequence[str], master: LocalMasterKey) -> None:
        self._cluster, self._master = cluster, master
        self._lanes: list[LaneId] = []
        for use_case in use_cases:
            cluster.needed(vault_topic(use_case))
            self._lanes += [
                LaneId(name, lane)
                for name in (admission_name(use_case), use_case)
                for lane in range(cluster.partitions(vault_topic(name)))
            ]

    def by_value(self, field: str, value: str) -> list[KnownPerson]:
        """Each lane's knowledge of the person with a value; none where no lane has it.

        Raises:
            SecurityError: It is a value of someone else's in a lane; the message names whose.
        """
        found = []
        for lane, vault in self._opened():
            surrogate = vault.find(field, value)
            if surrogate is not None:
                found.append(_known(lane, vault, surrogate))
        return found

    def by_surrogate(self, surrogate: str) -> list[KnownPerson]:
        """Each lane's knowledge of the person that one of them has this surrogate for; that last.

        Raises:
            Erased: That was done before.
            NotFound: No lane has such a surrogate.
            SecurityError: It stands for a value of someone else's; the message names whose.
        """
        gone: Erased | None = None
        for lane, vault in self._opened():
            try:
                person = _known(lane, vault, surrogate)
                value = vault.identified(surrogate)
            except Erased as error:
                gone = error
            except NotFound:
                continue
            else:
                others = [known for known in self.by_value(*value) if known != person]
                return [*others, person]
        raise gone or NotFound(
            f"no vault of these use cases has a surrogate {surrogate!r}; expected 16 characters of"
            " base64url, as they stand in the journal"
        )

    def _opened(self) -> Iterator[tuple[LaneId, Vault]]:
        """Each vault, open until the next one is."""
        for lane in self._lanes:
            with looked_into(self._cluster, lane, self._master) as vault:
                yield lane, vault


def _known(lane: LaneId, vault: Vault, surrogate: str) -> KnownPerson:
    try:
        return KnownPerson(lane, surrogate, vault.owned(surrogate))
    except SecurityError as error:
        raise SecurityError(f"lane {lane}: {error}") from error


def erase_over_kafka(
    home: Home, cluster: Cluster, people: Sequence[KnownPerson], say: Callable[[str], None]
) -> Iterator[LaneErasure]:
    """Erase a person lane by lane; each is done, whole, when it is given.

    Args:
        home: That has the workers' keys.
        cluster: Where the lanes are.
        people: The person, as each lane knows it.
        say: Told what a user should know.

    Raises:
        Erased: That was done meanwhile.
        JournalError: A journal is not to be gone on with, or another worker took the lane.
        SecurityError: A key is not the lane's.
    """
    keys = WorkerKeys(signing_key(home), master_key(home), dedupe_key(home))
    for person in people:
        yield _erase(home, cluster, person, keys, say)


def _erase(
    home: Home,
    cluster: Cluster,
    person: KnownPerson,
    keys: WorkerKeys,
    say: Callable[[str], None],
) -> LaneErasure:
    """Take a lane over, erase the person there with its record, and let go."""
    lane = person.lane
    holder = Alone(cluster, f"headrace.{lane.use_case}")
    hold = LaneHold(cluster, lane, holder, keys, say, lambda: False, opens_bytes=True)
    kept = hold.kept()
    try:
        values = kept.vault.erase(person.surrogate)
        hold.journal.attach(None, {}, lambda _batches: hold.vault_records())
        seq = hold.journal.next_seq
        record = erasure_record(person.surrogate, values)
        hold.journal.append(JournalBatch.of_control(seq, record, now_ns()))
        commit = hold.journal.commit()
    finally:
        hold.journal.abandon()
        kept.vault.close()
    head = LaneHead(lane_name(lane.use_case, lane.number), commit.next_seq, commit.head)
    write_checkpoint(home.witness, make_checkpoint([head], keys.signing, now_ns()))
    return LaneErasure(KnownPerson(lane, person.surrogate, values), seq)
