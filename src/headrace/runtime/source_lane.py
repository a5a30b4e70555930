"""A lane over partitions of sources: events as they came, through the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.adapters.kafka.messages import Messages, Partition
from headrace.adapters.kafka.quarantine_topic import QuarantineTopic, quarantine_topic
from headrace.runtime.intake import Assembly
from headrace.runtime.kafka_lane import KafkaLane
from headrace.runtime.local import lacking
from headrace.runtime.local_lane import now_ns
from headrace.runtime.topic_intake import MessagesAsTheyCame, TopicIntake

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.adapters.kafka.messages import TopicMessages
    from headrace.adapters.kafka.transactions import Outgoing
    from headrace.journal.batch import JournalBatch
    from headrace.runtime.kafka_lane import Feed
    from headrace.runtime.kafka_stage import KafkaStage


class SourceLane(KafkaLane):
    """A lane that reads sources; see `KafkaLane`."""

    _stage: KafkaStage

    def _words(self) -> list[str]:
        given = [stream for stream, _ in self._stage.topics.sources]
        return [
            f"warning: features read {stream}, and neither this run nor an earlier one was given"
            " it: what they make of it is missing or 0. Name its topic with --source"
            for stream in lacking(self._stage.case, self.local, given)
        ]

    def _connect(self, starts: Mapping[Partition, int | None]) -> tuple[Feed, TopicMessages]:
        stage, self._came = self._stage, MessagesAsTheyCame()
        messages = Messages(stage.cluster, stage.group, starts, now_ns, until_end=stage.until_end)
        assembly = Assembly(stage.definition.plan, self.local.vault)
        self.local.read_as({source.name: source.form.recorded for source in self._sources.values()})
        places = [Partition("", 0)] * len(self.local.header.sources)
        for name, source in self._sources.items():
            places[source.number] = name
        self._numbers = {source.name: source.number for source in self._sources.values()}
        self._decisions = stage.decision_topics([place.number for place in places])
        self._quarantine = QuarantineTopic(
            quarantine_topic(stage.case.name),
            self.id.number,
            places,
            self._came.find,
            stage.cluster.message_bytes // 2,
        )
        return TopicIntake(assembly, self._sources, messages, self._came, self._say), messages

    def _left(self, batches: Sequence[JournalBatch]) -> list[Outgoing]:
        found: list[Outgoing] = []
        for batch in batches:
            for topic in self._decisions:
                found += topic.outgoing(batch, self.local.header)
            found += self._quarantine.outgoing(batch, self.local.header)
            found += self._stage.handed_on(batch, self.id.number)
            self._came.release(batch, self._numbers)
        return found
