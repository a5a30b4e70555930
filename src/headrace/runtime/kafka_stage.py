"""A stage over Kafka: what all of its lanes share, whichever worker has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from headrace.adapters.file_store import file_store
from headrace.adapters.kafka.journal_topic import SETTINGS, journal_topic
from headrace.adapters.kafka.messages import Partition
from headrace.adapters.kafka.quarantine_topic import quarantine_topic
from headrace.adapters.kafka.topic_form import forms_of
from headrace.adapters.kafka.vault_topic import SETTINGS as VAULT_SETTINGS
from headrace.adapters.kafka.vault_topic import vault_topic
from headrace.core.errors import DataError
from headrace.runtime.journals import dedupe_key
from headrace.runtime.kafka_sinks import DecisionSinks
from headrace.runtime.local import definition_in_force
from headrace.runtime.local_lane import header_of, master_key, signing_key
from headrace.runtime.source_lane import SourceLane
from headrace.runtime.traces import tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.adapters.file_store import FileStore
    from headrace.adapters.kafka.cluster import Cluster
    from headrace.adapters.kafka.decision_topic import DecisionTopic
    from headrace.adapters.kafka.membership import Holder
    from headrace.adapters.kafka.topic_form import TopicForm
    from headrace.adapters.kafka.transactions import Outgoing
    from headrace.adapters.telemetry import Tracing
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader
    from headrace.journal.keys import SigningKey
    from headrace.pipeline.lane import Definition
    from headrace.pipeline.use_case import UseCase
    from headrace.runtime.home import Home
    from headrace.runtime.kafka_lane import KafkaLane, LaneCalls
    from headrace.runtime.kafka_topics import Topics
    from headrace.runtime.local import RunSettings
    from headrace.runtime.meters import Meters
    from headrace.security.keys import LocalMasterKey


@dataclass(frozen=True, slots=True)
class ReadTopic:
    """A topic that lanes read.

    Attributes:
        name: Of the topic.
        stream: The stream or table that its messages are of.
        id: What tells it from another of the same name.
        partitions: How many it has.
        whole: Whether every lane reads all of it, as it does the rows of a table.
    """

    name: str
    stream: str
    id: str
    partitions: int
    whole: bool

    def of(self, lane: int) -> list[Partition]:
        """The partitions that a lane reads."""
        numbers = range(self.partitions) if self.whole else [lane]
        return [Partition(self.name, number) for number in numbers]


@dataclass(frozen=True, slots=True)
class WorkerKeys:
    """The keys of a home, which every worker has the same of.

    Attributes:
        signing: Signs the heads of journals.
        master: Vaults are sealed under it.
        dedupe: Of the hashes of ids.
    """

    signing: SigningKey
    master: LocalMasterKey
    dedupe: tuple[int, int]


class LaneStage(Protocol):
    """What lanes of a stage share, and a worker needs of it.

    Attributes:
        name: What its lanes, journal and transactions are called by.
        case: The use case.
        home: Where keys, vault, models and snapshots are.
        settings: See `RunSettings`.
        cluster: Where its topics are.
        group: Name of the consumer group.
        definition: What its lanes run.
        lanes: How many there are.
        single: Whether one lane takes all partitions, without a group.
        until_end: Whether to end once all that was there is done.
        snapshots: Where snapshots are shared; None where they are not.
        keys: Of the home.
        header: Of the lanes' journals, less what each has of its own.
        tracing: Makes spans of commits, where that is asked for.
    """

    snapshots: FileStore | None
    keys: WorkerKeys
    header: JournalHeader
    tracing: Tracing | None
    case: UseCase
    home: Home
    settings: RunSettings
    cluster: Cluster
    group: str
    definition: Definition
    lanes: int
    single: bool
    until_end: bool

    @property
    def name(self) -> str:
        """See above."""

    @property
    def leader(self) -> str:
        """The topic whose partitions stand for the lanes in the group."""

    def partitions_of(self, lane: int) -> dict[Partition, ReadTopic]:
        """The partitions that a lane reads."""

    def offsets_tell(self, lane: int) -> list[Partition]:
        """The partitions whose committed offsets tell how far a lane is."""

    def form_of(self, topic: ReadTopic) -> TopicForm:
        """In what form the messages of a topic are."""

    def other_sources(self, lane: int) -> Sequence[str]:
        """Names of sources that its inputs are of, beside those partitions."""

    def open(
        self,
        number: int,
        holder: Holder,
        meters: Meters,
        calls: LaneCalls,
    ) -> KafkaLane:
        """A lane, taken over from whoever had it; see `KafkaLane`."""


class KafkaStage:
    """The stage that reads the sources of a use case: its topics, and its lanes.

    A lane is a partition number over all topics of events; the rows of tables go to every lane.
    Where a source is declared `single` there is one lane, which takes all partitions.

    Args:
        case: The use case.
        home: Where keys, vault, models and snapshots are; the journal is in the cluster.
        topics: What is read and written.
        settings: See `RunSettings`.
        progress: Called with (what is done, done, of how many) while kernels are loaded.
        say: Told what a user should know.

    Attributes:
        lanes: How many there are.
        single: Whether one lane takes all partitions, without a group.
        until_end: Whether to end once all that was there is decided.
        group: Name of the consumer group.
        forms: Of the messages of each topic that is read.
        definition: What decides.
        sinks: Where decisions go.
        snapshots: Where snapshots are shared; None where they are not.

    Raises:
        NotFound: A topic is not there.
        DataError: The cluster cannot be reached, or its topics do not fit together.
    """

    def __init__(
        self,
        case: UseCase,
        home: Home,
        topics: Topics,
        settings: RunSettings,
        progress: Callable[[str, int, int], None],
        say: Callable[[str], None],
    ) -> None:
        self.case, self.home, self.topics, self.settings = case, home, topics, settings
        if settings.lane.durability != "fsync":
            raise DataError(
                f"--durability {settings.lane.durability}: over Kafka a decision counts when its"
                " transaction is committed; leave the setting out"
            )
        until = topics.setting("until")
        if until not in (None, "end"):
            raise DataError(f"until={until}: expected until=end, or nothing to go on for good")
        self.until_end = until == "end"
        self.single = topics.setting("single") is not None
        self.group = topics.setting("group") or f"headrace.{case.name}"
        self.snapshots = None if settings.snapshots is None else file_store(settings.snapshots)
        self.cluster = topics.cluster(say)
        self.forms = forms_of([address for _, address in topics.sources], topics.registry)
        self.reads = self._read_topics()
        self.lanes = 1 if self.single else self._common_count()
        self.sinks = DecisionSinks(topics.sinks, self.cluster, topics.registry)
        self.definition = self._in_force(progress)
        self.header = header_of(self.definition, (), 0)
        self.tracing = tracing(settings.traces, case.name, "run")
        self._ready_sinks()
        self._make_topics()
        # once, before lanes ask for them side by side
        self.keys = WorkerKeys(signing_key(home), master_key(home), dedupe_key(home))

    @property
    def name(self) -> str:
        """What its lanes are called by: the use case."""
        return self.case.name

    def other_sources(self, _lane: int) -> Sequence[str]:
        """It reads sources alone."""
        return ()

    def form_of(self, topic: ReadTopic) -> TopicForm:
        """In what form the messages of a topic are."""
        return self.forms[topic.name]

    def handed_on(self, _batch: JournalBatch, _lane: int) -> list[Outgoing]:
        """What a batch sends to other stages: there are none."""
        return []

    def open(
        self,
        number: int,
        holder: Holder,
        meters: Meters,
        calls: LaneCalls,
    ) -> KafkaLane:
        """A lane, taken over from whoever had it."""
        return SourceLane(self, number, holder, meters, calls)

    def _in_force(self, progress: Callable[[str, int, int], None]) -> Definition:
        """What its lanes run."""
        return definition_in_force(self.case, self.home, self.settings.model, progress)

    @property
    def leader(self) -> str:
        """The topic whose partitions stand for the lanes in the group: of the decided stream."""
        events = [topic for topic in self.reads if not topic.whole]
        decided = [topic for topic in events if topic.stream == self.case.plan.on]
        return min(topic.name for topic in decided or events)

    def partitions_of(self, lane: int) -> dict[Partition, ReadTopic]:
        """The partitions that a lane reads."""
        return {place: topic for topic in self.reads for place in topic.of(lane)}

    def offsets_tell(self, lane: int) -> list[Partition]:
        """Those of events: each message there is an input; rows of tables go to every lane."""
        return [place for place, topic in self.partitions_of(lane).items() if not topic.whole]

    def decision_topics(self, came_from: Sequence[int]) -> list[DecisionTopic]:
        """The topics that decisions go to.

        Args:
            came_from: The partition of each source, by its number in the journal's header.
        """
        return self.sinks.topics(came_from)

    def _ready_sinks(self) -> None:
        """Make ready what decisions go to."""
        self.sinks.register(self.header)

    def _read_topics(self) -> list[ReadTopic]:
        tables = {table.name for table in self.case.plan.tables}
        return [
            ReadTopic(
                address.topic,
                stream,
                self.cluster.topic_id(address.topic),
                count,
                self.single or stream in tables,
            )
            for stream, address in self.topics.sources
            for count in [self.cluster.needed(address.topic)]
        ]

    def _common_count(self) -> int:
        """How many partitions every topic of events has.

        Raises:
            DataError: There is no such topic, or their numbers differ.
        """
        counts = {topic.name: topic.partitions for topic in self.reads if not topic.whole}
        if not counts:
            raise DataError(
                "the sources are tables alone; name a topic of events, whose partitions are the"
                " lanes, or declare a source ?single"
            )
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name} has {count}" for name, count in counts.items())
            raise DataError(
                f"topics of events differ in their partitions: {told}. A lane is one partition of"
                " each, written by the same key: give them equally many, or write ?single after"
                " one of them, and one lane takes all"
            )
        return next(iter(counts.values()))

    def _make_topics(self) -> None:
        """Make Headrace's own topics where they are not there, a partition for each lane."""
        like = self.reads[0].name
        self.cluster.ensure(journal_topic(self.name), self.lanes, SETTINGS, like)
        self.cluster.ensure(quarantine_topic(self.case.name), self.lanes, {}, like)
        self.cluster.ensure(vault_topic(self.name), self.lanes, VAULT_SETTINGS, like)
