"""A lane over Kafka: what it reads through `step` into its journal, and on to other topics."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from headrace.adapters.kafka.transactions import LaneId
from headrace.core.errors import DataError, Unavailable
from headrace.runtime.lane_hold import LaneHold
from headrace.runtime.local import bind_head
from headrace.runtime.local_lane import FROM_TOPIC, LocalLane, now_ns
from headrace.runtime.run import Run
from headrace.runtime.topic_intake import TopicSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from headrace.adapters.kafka.membership import Holder
    from headrace.adapters.kafka.messages import Partition, TopicMessages
    from headrace.adapters.kafka.transactions import Outgoing
    from headrace.journal.batch import JournalBatch
    from headrace.pipeline.inputs import Inputs
    from headrace.runtime.kafka_stage import LaneStage
    from headrace.runtime.meters import Meters

#: From so many messages on, a batch is worth handing on while others are under way.
_WORTH_MESSAGES = 4_096
#: A lane that has had nothing to commit for so long looks whether it was taken over, and again.
_LOOK_SECONDS = 10.0


class Feed(Protocol):
    """What gives a lane its inputs."""

    def batches(
        self, takes: Callable[[int], bool], stopped: Callable[[], bool]
    ) -> Iterator[Inputs]:
        """Inputs, a batch at a time."""


@dataclass(frozen=True, slots=True)
class LaneCalls:
    """What a lane tells and asks whoever works it.

    Attributes:
        progress: Called with (inputs replayed, inputs to replay) while the lane recovers; what it
            raises gives the lane up.
        say: Told what a user should know while it goes on.
        asked: Whether to stop, while it is being opened.
    """

    progress: Callable[[int, int], None]
    say: Callable[[str], None]
    asked: Callable[[], bool]


class KafkaLane(ABC):
    """A lane that is taken over, goes over its partitions until it is stopped, and is closed.

    Args:
        stage: Whose lane it is.
        number: Of the lane.
        holder: In whose name offsets are committed.
        meters: What is counted.
        calls: What it tells and asks.

    Raises:
        DataError: A topic does not fit.
        JournalError: The journal there is not to be gone on with.
    """

    def __init__(
        self,
        stage: LaneStage,
        number: int,
        holder: Holder,
        meters: Meters,
        calls: LaneCalls,
    ) -> None:
        self.id = LaneId(stage.name, number)
        self._stage: LaneStage = stage
        self._say = calls.say
        self._hold = LaneHold(
            stage.cluster,
            self.id,
            holder,
            stage.keys,
            calls.say,
            calls.asked,
            snapshots=stage.snapshots,
        )
        self._partitions = stage.partitions_of(number)
        names = {place: f"{FROM_TOPIC}{place}" for place in self._partitions}
        with ExitStack() as opening:
            self.local = LocalLane(
                stage.definition,
                stage.home,
                [*names.values(), *stage.other_sources(number)],
                stage.settings.lane,
                calls.progress,
                say=calls.say,
                kept=self._hold.kept,
                lane=number,
            )
            opening.callback(self.local.close, keep_state=False)
            self._tell()
            self._sources = {
                place: TopicSource(
                    self.local.source_number(names[place]),
                    names[place],
                    topic.stream,
                    topic.id,
                    stage.form_of(topic),
                )
                for place, topic in self._partitions.items()
            }
            self._feed, self._messages = self._connect(self._starts())
            self._attach()
            self._run = Run(self.local, (), meters, now_ns, self._worth, tracing=stage.tracing)
            self._look_s, self._looked_at = time.monotonic() + _LOOK_SECONDS, self.next_seq
            self._hold.transactions.stopped = self._run.stopped
            opening.pop_all()

    @abstractmethod
    def _connect(self, starts: Mapping[Partition, int | None]) -> tuple[Feed, TopicMessages]:
        """What gives inputs, and the messages that they are made of.

        Args:
            starts: The partitions, with the offset to go on from; None for the beginning.
        """

    @abstractmethod
    def _left(self, batches: Sequence[JournalBatch]) -> list[Outgoing]:
        """What batches leave behind in other topics."""

    def _all_left(self, batches: Sequence[JournalBatch]) -> list[Outgoing]:
        """The same, with what the vault took in."""
        return [*self._left(batches), *self._hold.vault_records()]

    def _words(self) -> list[str]:
        """What else is to be said before the first decision."""
        return []

    def stop(self) -> None:
        """End in good order: what was read is decided and committed."""
        self._run.stop()

    def go(self) -> None:
        """Decide until it is stopped, close the lane, and bind its head in a checkpoint.

        Raises:
            Fenced: Another worker has the lane now.
            HeadraceError: The lane cannot go on.
        """
        try:
            self._run.through(self._feed.batches(self._run.takes, self._is_to_end))
        except BaseException:
            self.local.__exit__(*sys.exc_info())
            raise
        head = self.local.journal.committed
        self.local.close()
        bind_head(self.local, head, self._stage.home, self._stage.settings.checkpoint)

    def _is_to_end(self) -> bool:
        """Whether reading should end; asked over and over by whoever reads.

        Raises:
            Fenced: Nothing came for a while, and another worker has the lane now.
        """
        now = time.monotonic()
        if now >= self._look_s:
            quiet = self._run.idle() and self.next_seq == self._looked_at
            if quiet:
                with suppress(DataError, Unavailable):  # then it is looked again
                    self._hold.journal.look()
            self._look_s, self._looked_at = now + _LOOK_SECONDS, self.next_seq
        return self._run.stopped()

    @property
    def next_seq(self) -> int:
        """The input that its journal goes on with."""
        return self.local.journal.committed.next_seq

    def behind(self) -> int:
        """How many messages lie in its partitions that it has not decided, as far as is known."""
        return sum(self.behind_by().values())

    def behind_by(self) -> dict[Partition, int]:
        """The same for each partition."""
        return {
            place: max(0, end - self._taken(place))
            for place, end in list(self._messages.ends.items())
        }

    def _taken(self, place: Partition) -> int:
        """Up to which offset of a partition all is decided."""
        return self.local.position(self._sources[place].name).ordinal

    def paused(self) -> int:
        """How many of its partitions are not fetched for now; those of sources never stop."""
        return 0

    @staticmethod
    def _worth(inputs: int) -> bool:
        return inputs >= _WORTH_MESSAGES

    def _tell(self) -> None:
        """Say what was found, before the first decision."""
        found = self.local.recovery
        words = [*found.words]
        if found.next_seq:
            words.append(f"going on at input {found.next_seq:,}; {found}")
        words += self._words()
        for word in words:
            self._say(f"lane {self.id}: {word}")

    def _starts(self) -> dict[Partition, int | None]:
        """Where each partition goes on.

        Raises:
            DataError: A topic was deleted and made anew since.
        """
        starts: dict[Partition, int | None] = {}
        for name, source in self._sources.items():
            position = self.local.position(source.name)
            if position.ordinal and position.digest != source.topic_id:
                raise DataError(
                    f"topic {name.topic} was made anew since {position.ordinal:,} messages of"
                    f" {name} were decided: its id was {position.digest}, and is"
                    f" {source.topic_id}. Name the new topic otherwise, or decide it under another"
                    " name of the use case"
                )
            starts[name] = position.ordinal or None
        return starts

    def _attach(self) -> None:
        """Say what is committed beside the journal, in the same transaction."""
        # of what every lane reads there is no one place to go on from
        own = {
            source.name: place
            for place, source in self._sources.items()
            if self._stage.single or not self._partitions[place].whole
        }
        self._hold.journal.attach(self._messages, own, self._all_left)
