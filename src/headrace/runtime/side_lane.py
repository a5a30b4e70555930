"""A lane of a side stage over Kafka: what admission hands on, into windows by another key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.adapters.kafka.parts import in_parts
from headrace.adapters.kafka.whole_messages import WholeMessages
from headrace.pipeline.staging import answered
from headrace.runtime.intake import Assembly
from headrace.runtime.kafka_lane import KafkaLane
from headrace.runtime.local_lane import now_ns
from headrace.runtime.stage_intake import SideIntake
from headrace.runtime.stage_messages import encoded_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.adapters.kafka.messages import Partition, TopicMessages
    from headrace.adapters.kafka.transactions import Outgoing
    from headrace.journal.batch import JournalBatch
    from headrace.runtime.kafka_lane import Feed
    from headrace.runtime.kafka_staging import SideStageLanes


class SideLane(KafkaLane):
    """A lane of a side stage; see `KafkaLane`."""

    _stage: SideStageLanes

    def _connect(self, starts: Mapping[Partition, int | None]) -> tuple[Feed, TopicMessages]:
        stage = self._stage
        self._whole = messages = WholeMessages(stage.cluster, stage.group, starts)
        numbers = [self.local.source_number(name) for name in stage.other_sources(self.id.number)]
        self._asked_by = {number: lane for lane, number in enumerate(numbers)}
        plan = stage.definition.plan
        self._digest = plan.digest()
        intake = SideIntake(
            Assembly(plan, None),
            self._digest,
            sources=self._sources,
            lanes=numbers,
            messages=messages,
            clock=now_ns,
            fed=stage.fed,
            say=self._say,
        )
        return intake, messages

    def _taken(self, place: Partition) -> int:
        # what is no message, as the mark after each transaction, is never decided
        return self._whole.reached(place)

    def _left(self, batches: Sequence[JournalBatch]) -> list[Outgoing]:
        stage, found = self._stage, []
        for batch in batches:
            for number, answer in answered(batch, stage.side).items():
                content = encoded_values(answer, stage.side.name, self._digest)
                lane, most = self._asked_by[number], stage.cluster.part_bytes
                found.append(in_parts(stage.values_topic, lane, content, {}, most))
        return found
