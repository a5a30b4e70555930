"""A lane of the main stage over Kafka: what was admitted, with what side stages give for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.adapters.kafka.whole_messages import WholeMessages
from headrace.core.errors import DataError
from headrace.pipeline.staging import Joining
from headrace.runtime.kafka_lane import KafkaLane
from headrace.runtime.local_lane import FROM_TOPIC, signing_key
from headrace.runtime.quarantine import SOURCE
from headrace.runtime.stage_intake import MainIntake

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.adapters.kafka.messages import Partition, TopicMessages
    from headrace.adapters.kafka.transactions import Outgoing
    from headrace.journal.batch import JournalBatch
    from headrace.runtime.kafka_lane import Feed
    from headrace.runtime.kafka_staging import MainStageLanes


class MainLane(KafkaLane):
    """A lane of the main stage; see `KafkaLane`."""

    _stage: MainStageLanes

    def _connect(self, starts: Mapping[Partition, int | None]) -> tuple[Feed, TopicMessages]:
        stage = self._stage
        self._whole = messages = WholeMessages(stage.cluster, stage.group, starts)
        place = stage.admitted_place(self.id.number)
        begin = self.local.position(self._sources[place].name).rows
        self._decisions = stage.admission.sinks.topics(self._came_from())
        self._intake = intake = MainIntake(
            Joining(stage.stages, begin),
            admitted=(place, self._sources[place]),
            begin=begin,
            keys=[signing_key(stage.home).public],
            number=self._number,
            sides={
                where: (side, self._sources[where], starts[where] or 0)
                for where, side in stage.values_places(self.id.number).items()
            },
            messages=messages,
            fed=stage.fed,
        )
        return intake, messages

    def paused(self) -> int:
        """How many of its partitions are not fetched for now: much of them waits for values."""
        return len(self._whole.paused)

    def _taken(self, place: Partition) -> int:
        # what is no message, as the mark after each transaction, is never decided
        return super()._taken(place) if self._intake.waits else self._whole.reached(place)

    def _came_from(self) -> list[int]:
        """The partition of each source that events are of, by its number in the journal."""
        numbers = [0] * len(self.local.header.sources)
        for place in self._stage.admission.partitions_of(self.id.number):
            numbers[self.local.source_number(f"{FROM_TOPIC}{place}")] = place.number
        numbers[self.local.source_number(SOURCE)] = self.id.number
        return numbers

    def _number(self, source: str) -> int:
        """The number of a source of admission."""
        if source not in self.local.header.sources:
            raise DataError(
                f"lane {self.id}: admission has events of {source} that are not decided yet, and"
                " this run does not name it; name the topics of the earlier run with --source"
            )
        return self.local.source_number(source)

    def _left(self, batches: Sequence[JournalBatch]) -> list[Outgoing]:
        return [
            outgoing
            for batch in batches
            for topic in self._decisions
            for outgoing in topic.outgoing(batch, self.local.header)
        ]
