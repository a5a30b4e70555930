"""The stages of a use case over Kafka: their topics, groups and lanes.

    sources -> admission -> headrace.CASE.events.KEY -> side -> headrace.CASE.features.KEY -> main
                  |                                                                            ^
                  +---- headrace.CASE.admission.journal ---------------------------------------+

Every message is written in the transaction of the lane that made it, beside its journal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headrace.adapters.kafka.journal_topic import SETTINGS, journal_topic
from headrace.adapters.kafka.messages import Partition
from headrace.adapters.kafka.parts import in_parts
from headrace.adapters.kafka.topic_form import TopicForm
from headrace.adapters.kafka.vault_topic import SETTINGS as VAULT_SETTINGS
from headrace.adapters.kafka.vault_topic import vault_topic
from headrace.pipeline.lane import Definition
from headrace.pipeline.staging import forwarded
from headrace.runtime.definitions import Definitions
from headrace.runtime.kafka_stage import KafkaStage, ReadTopic
from headrace.runtime.local import definition_in_force
from headrace.runtime.local_lane import FROM_TOPIC, admission_name, header_of
from headrace.runtime.main_lane import MainLane
from headrace.runtime.quarantine import SOURCE
from headrace.runtime.side_lane import SideLane
from headrace.runtime.stage_messages import encoded_events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.adapters.kafka.cluster import Cluster
    from headrace.adapters.kafka.decision_topic import DecisionTopic
    from headrace.adapters.kafka.membership import Holder
    from headrace.adapters.kafka.transactions import Outgoing
    from headrace.adapters.telemetry import Tracing
    from headrace.definitions.stages import SideStage, Stages
    from headrace.journal.batch import JournalBatch
    from headrace.pipeline.use_case import UseCase
    from headrace.runtime.home import Home
    from headrace.runtime.kafka_lane import KafkaLane, LaneCalls
    from headrace.runtime.kafka_topics import Topics
    from headrace.runtime.local import RunSettings
    from headrace.runtime.meters import Meters


def events_topic(use_case: str, side: str) -> str:
    """The topic of events that are handed on to a side stage.

    >>> events_topic("card-fraud", "merchant")
    'headrace.card-fraud.events.merchant'
    """
    return f"headrace.{use_case}.events.{side}"


def values_topic(use_case: str, side: str) -> str:
    """The topic of values that a side stage gives back.

    >>> values_topic("card-fraud", "merchant")
    'headrace.card-fraud.features.merchant'
    """
    return f"headrace.{use_case}.features.{side}"


def side_name(use_case: str, side: str) -> str:
    """What the lanes of a side stage are called by.

    >>> side_name("card-fraud", "merchant")
    'card-fraud.by-merchant'
    """
    return f"{use_case}.by-{side}"


class Forwarding:
    """What a batch of admission sends to side stages.

    Args:
        cluster: Where they are.
        use_case: Name of the use case.
        stages: Of it.
        lanes: How many a stage has.
    """

    def __init__(self, cluster: Cluster, use_case: str, stages: Stages, lanes: int) -> None:
        self._cluster, self._stages, self._lanes = cluster, stages, lanes
        self._sides = [
            (side, events_topic(use_case, side.name), side.plan.digest()) for side in stages.sides
        ]

    def outgoing(self, batch: JournalBatch, lane: int) -> list[Outgoing]:
        """The messages of a batch, as a lane of admission journaled it."""
        return [
            in_parts(topic, target, encoded_events(inputs, digest), {}, self._cluster.part_bytes)
            for side, topic, digest in self._sides
            for target, inputs in forwarded(
                batch, self._stages.admission, side, lane, self._lanes
            ).items()
        ]


class AdmissionStage(KafkaStage):
    """The first stage: judges events of the sources, and hands them on; see `KafkaStage`.

    Args:
        stages: Of the use case.
    """

    def __init__(
        self,
        case: UseCase,
        stages: Stages,
        home: Home,
        topics: Topics,
        settings: RunSettings,
        progress: Callable[[str, int, int], None],
        *,
        say: Callable[[str], None],
    ) -> None:
        self.stages = stages
        super().__init__(case, home, topics, settings, progress, say)
        self.group += ".admission"
        like = self.reads[0].name
        for side in stages.sides:
            for topic in (events_topic(case.name, side.name), values_topic(case.name, side.name)):
                self.cluster.ensure(topic, self.lanes, {}, like)
        self._forwarding = Forwarding(self.cluster, case.name, stages, self.lanes)

    @property
    def name(self) -> str:
        """What its lanes are called by."""
        return admission_name(self.case.name)

    def decision_topics(self, _came_from: Sequence[int]) -> list[DecisionTopic]:
        """None: it decides nothing."""
        return []

    def _ready_sinks(self) -> None:
        """The main stage does so: what it decides is of its own definition."""

    def handed_on(self, batch: JournalBatch, lane: int) -> list[Outgoing]:
        """What a batch sends to side stages."""
        return self._forwarding.outgoing(batch, lane)

    def _in_force(self, _progress: Callable[[str, int, int], None]) -> Definition:
        return _kept(self.home, admission_definition(self.case.name, self.stages))


def admission_definition(use_case: str, stages: Stages) -> Definition:
    """What lanes of admission run: they judge, and decide nothing."""
    return Definition(admission_name(use_case), stages.admission, None, None)


def _kept(home: Home, definition: Definition) -> Definition:
    """A definition that the home keeps, for replay."""
    Definitions(home.definitions).keep(definition)
    return definition


@dataclass
class StageLanes:
    """What lanes of a later stage share; see `LaneStage`.

    Attributes:
        admission: The first stage.
        fed: Whether those who feed it are through; None where it goes on for good.
    """

    admission: AdmissionStage
    definition: Definition
    group: str
    leader: str
    fed: Callable[[], bool] | None = None
    single: bool = False

    def __post_init__(self) -> None:
        admission = self.admission
        self.case: UseCase = admission.case
        self.home: Home = admission.home
        self.settings: RunSettings = admission.settings
        self.cluster: Cluster = admission.cluster
        self.lanes, self.until_end = admission.lanes, admission.until_end
        self.snapshots, self.keys = admission.snapshots, admission.keys
        self.tracing: Tracing | None = None
        self.header = header_of(self.definition, (), 0)
        self.stages = admission.stages
        like = admission.reads[0].name
        self.cluster.ensure(journal_topic(self.name), self.lanes, SETTINGS, like)
        # it stays empty: personal data ends at admission
        self.cluster.ensure(vault_topic(self.name), self.lanes, VAULT_SETTINGS, like)

    @property
    def name(self) -> str:
        """What its lanes are called by."""
        return self.definition.name

    def form_of(self, topic: ReadTopic) -> TopicForm:
        """In what form the messages of a topic are; those of stages are in none that has a name."""
        return self.admission.forms.get(topic.name, TopicForm())

    def offsets_tell(self, _lane: int) -> list[Partition]:
        """None: a message may hold nothing for the stage, and its offset is not committed then."""
        return []

    def _own(self, topic: str) -> ReadTopic:
        """A topic that stages write, of which a lane reads its partition."""
        return ReadTopic(topic, "", self.cluster.topic_id(topic), self.lanes, whole=False)


class SideStageLanes(StageLanes):
    """A side stage: takes events by another key, and gives values back.

    Args:
        admission: The first stage.
        side: What is kept there.
    """

    def __init__(self, admission: AdmissionStage, side: SideStage) -> None:
        self.side = side
        case = admission.case.name
        self.values_topic = values_topic(case, side.name)
        name = side_name(case, side.name)
        super().__init__(
            admission,
            _kept(admission.home, Definition(name, side.plan, None, None)),
            group=f"{admission.group.removesuffix('.admission')}.by-{side.name}",
            leader=events_topic(case, side.name),
        )
        tables = {table.name for table in side.plan.tables}
        self._reads = [
            self._own(self.leader),
            *(topic for topic in admission.reads if topic.stream in tables),
        ]

    def partitions_of(self, lane: int) -> dict[Partition, ReadTopic]:
        """The partitions that a lane reads: of events, and of all tables."""
        return {place: topic for topic in self._reads for place in topic.of(lane)}

    def other_sources(self, _lane: int) -> Sequence[str]:
        """The lanes of admission: an event's position there is its sequence number."""
        return [f"{self.admission.name}/{lane}" for lane in range(self.admission.lanes)]

    def open(
        self,
        number: int,
        holder: Holder,
        meters: Meters,
        calls: LaneCalls,
    ) -> KafkaLane:
        """A lane, taken over from whoever had it."""
        return SideLane(self, number, holder, meters, calls)


class MainStageLanes(StageLanes):
    """The main stage: takes what was admitted with the values of side stages, and decides.

    Args:
        admission: The first stage.
        progress: Called with (what is done, done, of how many) while kernels are loaded.
    """

    def __init__(
        self, admission: AdmissionStage, progress: Callable[[str, int, int], None]
    ) -> None:
        case, home = admission.case, admission.home
        whole = definition_in_force(case, home, admission.settings.model, progress)
        super().__init__(
            admission,
            _kept(home, replace(whole, plan=admission.stages.main)),
            group=admission.group.removesuffix(".admission"),
            leader=journal_topic(admission.name),
        )
        admission.sinks.register(self.header)
        # spans are of decisions
        self.tracing, admission.tracing = admission.tracing, None
        self._admitted = self._own(self.leader)
        self._values = {
            side.name: self._own(values_topic(case.name, side.name)) for side in self.stages.sides
        }

    def admitted_place(self, lane: int) -> Partition:
        """Where what was admitted lies."""
        return Partition(self._admitted.name, lane)

    def values_places(self, lane: int) -> dict[Partition, SideStage]:
        """Where what side stages give lies."""
        return {Partition(self._values[side.name].name, lane): side for side in self.stages.sides}

    def partitions_of(self, lane: int) -> dict[Partition, ReadTopic]:
        """The partitions that a lane reads."""
        topics = [self._admitted, *self._values.values()]
        return {place: topic for topic in topics for place in topic.of(lane)}

    def other_sources(self, lane: int) -> Sequence[str]:
        """The sources of admission: events keep their places there, those retried too."""
        return [*(f"{FROM_TOPIC}{place}" for place in self.admission.partitions_of(lane)), SOURCE]

    def open(
        self,
        number: int,
        holder: Holder,
        meters: Meters,
        calls: LaneCalls,
    ) -> KafkaLane:
        """A lane, taken over from whoever had it."""
        return MainLane(self, number, holder, meters, calls)
