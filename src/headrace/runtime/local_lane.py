"""A lane on one machine: state in memory; journal, snapshots and vault in a home."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from headrace import __version__
from headrace.core.durations import SECOND_NS, duration_ns
from headrace.core.errors import JournalError
from headrace.events import countries, currencies
from headrace.events.reasons import Reason
from headrace.journal.batch import JournalBatch, Position
from headrace.journal.header import JournalHeader
from headrace.journal.index import JournalIndex
from headrace.journal.journal import Journal
from headrace.journal.keys import SigningKey
from headrace.pipeline.lane import Lane, LaneLimits
from headrace.pipeline.step import step
from headrace.runtime.definitions import Definitions
from headrace.runtime.journals import dedupe_key, index_folder
from headrace.runtime.recovery import Opening
from headrace.runtime.snapshot_pace import Pace
from headrace.runtime.snapshot_writer import SnapshotWriter
from headrace.runtime.snapshots import Snapshots
from headrace.security.keys import LocalMasterKey
from headrace.security.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from headrace.journal.journal import Commit
    from headrace.journal.segments import Durability
    from headrace.pipeline.inputs import Inputs
    from headrace.pipeline.lane import Definition, FrozenLane
    from headrace.runtime.home import Home
    from headrace.runtime.lane_journal import LaneJournal
    from headrace.runtime.snapshot_writer import Written

#: Where it goes that nobody else takes.
LOG = logging.getLogger("headrace")

#: The artefact of a journal's header that says which decisions carry reason codes.
EXPLAINING = "explaining"
#: What the names of sources begin with whose lane has its journal in a topic.
FROM_TOPIC = "kafka:"


def lane_name(use_case: str, lane: int = 0) -> str:
    """Name of a lane of a use case, which has one on one machine; a decision is `<lane>/<input>`.

    >>> lane_name("card-fraud")
    'card-fraud/0'
    """
    return f"{use_case}/{lane}"


def admission_name(use_case: str) -> str:
    """What the lanes are called that judge events, where a use case is worked on in stages.

    >>> admission_name("card-fraud")
    'card-fraud.admission'
    """
    return f"{use_case}.admission"


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """How a lane is kept.

    Attributes:
        durability: When a commit counts: "fsync" (on disk), "os" or "async".
        recover_within: How long opening the lane again may take, also after a crash: snapshots are
            made as often as that asks for. The last is written on the way out.
        snapshot_every: Inputs between snapshots instead, for who wants to name them.
        limits: Of memory and threads.
    """

    durability: Durability = "fsync"
    recover_within: str = "30s"
    snapshot_every: int | None = None
    limits: LaneLimits = field(default_factory=LaneLimits)

    def pace(self) -> Pace:
        """How far apart snapshots are.

        Raises:
            DefinitionError: `recover_within` is no length of time.
        """
        within_ns = duration_ns(self.recover_within, what="recover_within")
        return Pace(within_ns / SECOND_NS, self.snapshot_every)


class Stepped(Struct, frozen=True):
    """A batch that `step` has decided and that no journal has yet.

    Attributes:
        batch: The inputs and their decisions.
        state: The lane's state just after it, where a snapshot is due.
        begun_ns: When `step` began with it, nanoseconds since 1970.
        spent_ns: How long that took.
    """

    batch: JournalBatch
    state: FrozenLane | None
    begun_ns: int = 0
    spent_ns: int = 0

    @staticmethod
    def joined(parts: Sequence[Stepped]) -> Stepped:
        """Batches that follow each other as one; only after the last may a snapshot be due."""
        batch = JournalBatch.joined([part.batch for part in parts])
        spent_ns = sum(part.spent_ns for part in parts)
        return Stepped(batch, parts[-1].state, parts[0].begun_ns, spent_ns)


def signing_key(home: Home) -> SigningKey:
    """The key that signs a home's journals; made when it is first needed."""
    return SigningKey.load_or_create(home.keys / "signing.pem")


def open_vault(home: Home) -> Vault:
    """The vault of a home; it and its master key are made when first needed."""
    return Vault.open(home.vault, master_key(home))


def master_key(home: Home) -> LocalMasterKey:
    """The key that a home's vault is sealed under; made when it is first needed."""
    return LocalMasterKey.load_or_create(home.keys / "master.key")


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a lane is kept: both are open.

    Attributes:
        journal: Of the lane.
        vault: Where its personal data goes.
        snapshots: Keeps its snapshots, for a folder of the home and a definition.
    """

    journal: LaneJournal
    vault: Vault
    snapshots: Callable[[Path, str], Snapshots] = Snapshots


class LocalLane:
    """Opens a lane, brings it to where its journal ends, and drives it.

    Attributes:
        snapshots: The folder of its snapshots.
        folder: Of the home's journal.
        index: Of that journal.

    Args:
        definition: What decides.
        home: Where it is kept.
        sources: Names of the sources to come, added to those that the journal knows.
        settings: See `LaneSettings`.
        progress: Called with (inputs replayed, inputs to replay) while it recovers.
        say: Takes a sentence for whoever runs the lane, from any thread: a snapshot that could not
            be written, most of all. It goes to the log unless told otherwise.
        kept: Opens journal and vault, under a header, where they are not those of the home.
        lane: Its number.

    Raises:
        JournalError: Another process writes the journal, or it belongs to other schemas.
    """

    def __init__(
        self,
        definition: Definition,
        home: Home,
        sources: Sequence[str] = (),
        settings: LaneSettings | None = None,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
        *,
        say: Callable[[str], None] | None = None,
        kept: Callable[[JournalHeader], Kept] | None = None,
        lane: int = 0,
    ) -> None:
        self.definition = definition
        self.settings = settings or LaneSettings()
        self._pace = self.settings.pace()
        self.folder = home.journal(definition.name, lane)
        self._index = index_folder(home, definition.name, lane)
        self.index = JournalIndex(self.folder, self._index)
        self._durable = self.settings.durability == "fsync"
        bare = header_of(definition, (), lane)
        where = self._at_home(home, bare) if kept is None else kept(bare)
        self.journal, self.vault = where.journal, where.vault
        try:
            states = home.snapshots(definition.name, lane)
            self._snapshots = where.snapshots(states, definition.plan.digest())
            self._open(home, sources, lane, progress, say, self.folder if kept is None else None)
        except BaseException:
            self.journal.abandon()
            self.vault.close()
            raise

    def _at_home(self, home: Home, header: JournalHeader) -> Kept:
        """Journal and vault in the home."""
        vault = open_vault(home)
        try:
            journal = Journal.open(
                self.folder,
                header,
                signing_key(home),
                durability=self.settings.durability,
                index=self._index,
            )
            return Kept(journal, vault)
        except BaseException:
            vault.close()
            raise

    def _open(
        self,
        home: Home,
        sources: Sequence[str],
        lane: int,
        progress: Callable[[int, int], None],
        say: Callable[[str], None] | None,
        folder: Path | None,
    ) -> None:
        """Bring the lane to where its journal ends."""
        definition, pace = self.definition, self._pace
        last = self.journal.last_header
        if last is not None:
            _check_schemas(last, definition)
            if folder is not None:
                _check_is_no_copy(last)
        known = last.sources if last else ()
        fresh = tuple(name for name in sources if name not in known)
        self.header = replace(
            header_of(definition, known + fresh, lane), forms=last.forms if last else {}
        )
        self.journal.describe(self.header)
        snapshots = self._snapshots
        self.snapshots = snapshots.folder
        words = [str(tail) for tail in self.journal.tails]
        new_lane = partial(Lane, definition, dedupe_key(home), self.settings.limits)
        self.lane, self.recovery = Opening(
            new_lane,
            self.journal,
            snapshots,
            progress,
            Definitions(home.definitions),
            folder,
            changed=last is not None and last.definition != self.header.definition,
            words=words,
        ).recovered()
        own = 0 if self.recovery.carried else self.recovery.from_snapshot
        pace.stands_at(own, self.recovery.read_s)
        pace.worked(self.recovery.replayed, self.recovery.replay_s)
        self._writer = SnapshotWriter(
            self.lane, snapshots, pace, say or LOG.warning, self.recovery.judged_from
        )

    def read_as(self, forms: Mapping[str, str]) -> None:
        """Record in what form the events of sources come, by name; see `JournalHeader.forms`."""
        found = {**self.header.forms, **forms}
        self.header = replace(
            self.header, forms={name: form for name, form in found.items() if form != "json"}
        )
        self.journal.describe(self.header)

    def source_number(self, name: str) -> int:
        """The number of a source in the journal's header."""
        return self.header.sources.index(name)

    def position(self, source: str) -> Position:
        """Where a source goes on; at its start if it was never read."""
        return self.journal.positions.get(source, Position(0))

    def step(self, inputs: Inputs) -> Stepped:
        """Put inputs through `step`; nothing of them is recorded before `record`."""
        begun_ns, begun = now_ns(), time.perf_counter_ns()
        batch = step(self.lane, inputs)
        spent_ns = time.perf_counter_ns() - begun
        self._pace.worked(len(inputs), spent_ns / SECOND_NS)
        return Stepped(batch, self._writer.after_batch(), begun_ns, spent_ns)

    def record(self, stepped: Sequence[Stepped]) -> Commit:
        """Hash what was decided into the chain and make it durable, in the order of `step`.

        `catch_up` is to follow once decisions have gone out, which what does not wait for the disk
        is signed in. It may be called from another thread than `step`, which goes on meanwhile.
        """

        def hashed() -> None:
            for item in stepped:
                self.journal.append(item.batch)

        # the disk takes the surrogates while the records that name them are hashed
        self.vault.commit(durable=self._durable, meanwhile=hashed)
        commit = self.journal.commit(sealed=True)
        for item in stepped:
            if item.state is not None:  # never kept before the inputs that led to it
                self._writer.keep(item.state)
        return commit

    def decide(self, inputs: Inputs) -> JournalBatch:
        """Put inputs through `step` and hash them into the chain; `commit` makes them last."""
        batch = step(self.lane, inputs)
        self.journal.append(batch)
        return batch

    def control(self, record: Mapping[str, object]) -> Stepped:
        """A control record after what was stepped; `record` makes it last."""
        batch = JournalBatch.of_control(self.lane.next_seq, record, now_ns())
        self.lane.next_seq = batch.next_seq
        return Stepped(batch, None)

    def commit(self) -> Commit:
        """Make all that was decided durable: surrogates first, then the records that name them.

        As durable as the settings say; where that is less than on disk, `settle` is to follow.
        """
        self.vault.commit(durable=self._durable)
        return self.journal.commit()

    def catch_up(self) -> None:
        """Do what commits leave for later, once decisions have gone out.

        Raises:
            JournalError: What was committed could not be signed; the next start signs it.
        """
        self.journal.catch_up()

    def settle(self) -> None:
        """Sync surrogates to disk that were committed without, once decisions have gone out.

        What they stand for is so lost with a machine in the first milliseconds alone, where
        decisions may be lost for as long as its operating system holds them.
        """
        self.vault.sync()

    @property
    def newest_snapshot(self) -> Written | None:
        """The newest snapshot that was written since the lane was opened."""
        return self._writer.written

    def close(self, *, keep_state: bool = True) -> None:
        """Commit, write a snapshot, and let go of the folders."""
        try:
            self.commit()
            self.settle()
            if keep_state:
                self._writer.finish()
        finally:
            self._writer.abandon()
            self.journal.close()
            self.vault.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._writer.abandon()
            self.journal.abandon()
            self.vault.close()


def header_of(definition: Definition, sources: tuple[str, ...], lane: int = 0) -> JournalHeader:
    """What a lane's journal says its numbers stand for."""
    reasons = [""] * (max(Reason) + 1)
    for reason in Reason:
        reasons[reason] = reason.text
    policy = definition.policy
    return JournalHeader.of_plan(
        definition.plan,
        use_case=definition.name,
        lane=lane_name(definition.name, lane),
        features=tuple(column.name for column in definition.columns),
        model=definition.model.artefact.id if definition.model else "",
        policy=policy.policy.digest() if policy else "",
        engine=__version__,
        outcomes=tuple(policy.outcomes) if policy else ("undecided",),
        rules=tuple(rule.name for rule in policy.policy.rules) if policy else (),
        reasons=tuple(reasons),
        sources=sources,
        tables={
            EXPLAINING: definition.explaining.digest(),
            f"currencies {currencies.VERSION}": currencies.digest(),
            f"countries {countries.VERSION}": countries.digest(),
        },
    )


def _check_is_no_copy(last: JournalHeader) -> None:
    """A journal that lies in a topic is not gone on with in a folder that it was collected into.

    Raises:
        JournalError: This is such a copy.
    """
    topics = [name for name in last.sources if name.startswith(FROM_TOPIC)]
    if topics:
        raise JournalError(
            f"the journal of {last.lane} is in Kafka ({topics[0]}), and this home has a copy of"
            " it: what was added here would be missing there. Go on over Kafka: headrace run with"
            " --source kafka://HOST:PORT/TOPIC, headrace quarantine retry with"
            " --from kafka://HOST:PORT"
        )


def _check_schemas(last: JournalHeader, definition: Definition) -> None:
    """The events of the journal must be readable under the definition.

    Raises:
        JournalError: A stream's schema has changed.
    """
    now = {stream.name: stream.schema for stream in definition.plan.streams}
    now |= {table.name: table.schema for table in definition.plan.tables}
    for stream in last.streams:
        if stream.name not in now or now[stream.name].canonical() != stream.schema.canonical():
            raise JournalError(
                f"the journal of {definition.name} holds events of {stream.name!r} with other"
                " fields than the use case has now; give the use case another name, or another"
                " home (--home), and run its history through it"
            )


def key_mark(key: tuple[int, int]) -> str:
    """What tells a key of the hashes of ids from others; it says nothing of what it is."""
    halves = b"".join(half.to_bytes(8, "little") for half in key)
    return hashlib.sha256(b"headrace/dedupe-key/mark/v1\0" + halves).hexdigest()


def now_ns() -> int:
    """The clock of the runners, nanoseconds since 1970."""
    return time.time_ns()
