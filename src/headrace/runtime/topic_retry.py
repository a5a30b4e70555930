"""A lane over Kafka that is taken over for what came back from quarantine, and let go of again.

Its transactions fence whoever holds the lane, so nothing is decided beside them. A worker of a
group takes the lane again by itself; one that has it alone is to be stopped before. Where a use
case is worked on in stages, that is a lane of admission: what is accepted there goes on to the
other stages, as all events do.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.adapters.kafka.journal_topic import JournalTopic, journal_topic
from headrace.adapters.kafka.membership import Alone
from headrace.adapters.kafka.messages import Partition
from headrace.adapters.kafka.quarantine_topic import QuarantineTopic, quarantine_topic
from headrace.adapters.kafka.transactions import LaneId
from headrace.core.errors import DataError, DefinitionError
from headrace.journal.group_reader import GroupReader
from headrace.runtime.journals import dedupe_key
from headrace.runtime.kafka_stage import WorkerKeys
from headrace.runtime.kafka_staging import Forwarding, admission_definition, side_name
from headrace.runtime.lane_hold import LaneHold
from headrace.runtime.local_lane import (
    LocalLane,
    admission_name,
    header_of,
    master_key,
    signing_key,
)
from headrace.runtime.models import model_of
from headrace.runtime.quarantine import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headrace.adapters.kafka.cluster import Cluster
    from headrace.adapters.kafka.transactions import Outgoing
    from headrace.definitions.stages import SideStage, Stages
    from headrace.journal.batch import JournalBatch
    from headrace.pipeline.lane import Definition
    from headrace.pipeline.use_case import UseCase
    from headrace.runtime.home import Home
    from headrace.runtime.kafka_sinks import DecisionSinks


def judging_lanes(cluster: Cluster, use_case: str) -> str:
    """What the lanes of a use case are called that judge its events."""
    admission = admission_name(use_case)
    return admission if cluster.partitions(journal_topic(admission)) else use_case


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where events enter a use case over Kafka.

    Attributes:
        use_case: Its name.
        definition: What the lanes there run.
        forwarding: What goes on to side stages; None where the use case has no stages.
    """

    use_case: str
    definition: Definition
    forwarding: Forwarding | None

    @staticmethod
    def of(case: UseCase, home: Home, cluster: Cluster, key: str | None) -> Entrance:
        """The entrance of a use case.

        Args:
            case: Which.
            home: That has its model, and the workers' keys.
            cluster: Where its lanes are.
            key: The field that its topics are written by; None finds it by the stages there are.

        Raises:
            DataError: Its workers run other stages than those of `case`.
        """
        name = judging_lanes(cluster, case.name)
        if name == case.name:
            return Entrance(case.name, case.definition(model_of(case, home)), None)
        stages = case.stages(key) if key is not None else _stages_there(cluster, case)
        for side in stages.sides:
            _check_side(cluster, home, case.name, side)
        lanes = cluster.needed(journal_topic(name))
        forwarding = Forwarding(cluster, case.name, stages, lanes)
        return Entrance(case.name, admission_definition(case.name, stages), forwarding)


def _stages_there(cluster: Cluster, case: UseCase) -> Stages:
    """The stages of a use case by the key whose side stages the cluster has.

    Raises:
        DataError: Those of several keys are there, or of none.
    """
    found = {}
    for name in case.on.definition.schema.names:
        with suppress(DefinitionError):
            found[name] = case.stages(name)
    there = {
        key: stages
        for key, stages in found.items()
        if stages.sides and all(_side_lanes(cluster, case.name, side) for side in stages.sides)
    }
    if len(there) == 1:
        return next(iter(there.values()))
    raise DataError(
        f"{case.name} is worked on in stages, and these could be for topics that are written by"
        f" {' or '.join(there) or 'none of its keys'}; name the field with --key, as in the"
        " worker's ?key="
    )


def _side_lanes(cluster: Cluster, use_case: str, side: SideStage) -> int:
    """How many lanes a side stage has; 0 where the cluster has no such stage."""
    return cluster.partitions(journal_topic(side_name(use_case, side.name)))


def _check_side(cluster: Cluster, home: Home, use_case: str, side: SideStage) -> None:
    """A side stage must run what is going to be handed on to it.

    Raises:
        DataError: It runs another definition, or there is none.
    """
    name = side_name(use_case, side.name)
    lanes = _side_lanes(cluster, use_case, side)
    if lanes == 0:
        raise DataError(
            f"{use_case} is worked on in stages, and none is kept by {side.name}: name the field"
            " that its topics are written by with --key, as in the worker's ?key="
        )
    for lane in range(lanes):
        last = JournalTopic(cluster, journal_topic(name), lane).last()
        if last is None:
            continue
        reader = GroupReader.at(last.content, [signing_key(home).public])
        reader.follow(last.content)
        header = reader.chain.header
        if header is not None and header.definition != side.plan.digest():
            raise DataError(
                f"the workers of {name} run another definition ({header.definition[:12]}, this is"
                f" {side.plan.digest()[:12]}) and could not take what is retried; retry with the"
                " file that they run"
            )
        return


@contextmanager
def taken_over(
    entrance: Entrance,
    home: Home,
    cluster: Cluster,
    number: int,
    sinks: DecisionSinks,
    *,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> Iterator[LocalLane]:
    """A lane, open for this process alone; it is closed at the end.

    Args:
        entrance: Whose.
        home: That has the keys, and a copy of the journal up to now.
        cluster: Where the journal is.
        number: Of the lane.
        sinks: Where decisions go.
        say: Told what a user should know.
        progress: Called with (inputs replayed, inputs to replay).

    Raises:
        NotFound: A topic is not there.
        JournalError: The journal is not to be gone on with.
    """
    lane = LaneId(entrance.definition.name, number)
    cluster.needed(journal_topic(lane.use_case))
    sinks.register(header_of(entrance.definition, (), number))
    holder = Alone(cluster, f"headrace.{lane.use_case}")
    keys = WorkerKeys(signing_key(home), master_key(home), dedupe_key(home))
    hold = LaneHold(cluster, lane, holder, keys, say, lambda: False, opens_bytes=True)
    local = LocalLane(
        entrance.definition, home, [SOURCE], None, progress, say=say, kept=hold.kept, lane=number
    )
    with local:
        came_from = [number] * len(local.header.sources)
        decisions = sinks.topics(came_from)
        quarantine = QuarantineTopic(
            quarantine_topic(entrance.use_case),
            number,
            [Partition(SOURCE, number)] * len(came_from),
            lambda _source, _seq: None,  # its bytes are sealed since it came at first
            0,
        )

        def left(batches: Sequence[JournalBatch]) -> list[Outgoing]:
            found: list[Outgoing] = []
            for batch in batches:
                for topic in decisions:
                    found += topic.outgoing(batch, local.header)
                found += quarantine.outgoing(batch, local.header)
                if entrance.forwarding is not None:
                    found += entrance.forwarding.outgoing(batch, number)
            return found + hold.vault_records()

        hold.journal.attach(None, {}, left)
        yield local
