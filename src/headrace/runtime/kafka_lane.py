"""One lane over Kafka: its partitions through `step` into its journal and out to its sinks."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from headrace.adapters.kafka.journal_topic import JournalTopic, journal_topic
from headrace.adapters.kafka.messages import Messages, Partition
from headrace.adapters.kafka.quarantine_topic import QuarantineTopic, quarantine_topic
from headrace.adapters.kafka.transactions import LaneId, Transactions
from headrace.core.errors import DataError
from headrace.runtime.intake import Assembly
from headrace.runtime.local import bind_head, lacking
from headrace.runtime.local_lane import Kept, LocalLane, now_ns, signing_key
from headrace.runtime.run import Run
from headrace.runtime.topic_intake import MessagesAsTheyCame, TopicIntake, TopicSource
from headrace.runtime.topic_journal import TopicJournal, VaultMark

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.adapters.kafka.membership import Holder
    from headrace.adapters.kafka.transactions import Outgoing
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader
    from headrace.runtime.kafka_stage import KafkaStage
    from headrace.runtime.meters import Meters
    from headrace.security.vault import Vault

#: From so many messages on, a batch is worth handing on while others are under way.
_WORTH_MESSAGES = 4_096


class KafkaLane:
    """A lane that is taken over, goes over its partitions until it is stopped, and is closed.

    Args:
        stage: Whose lane it is.
        number: Of the lane.
        holder: In whose name offsets are committed.
        vault: Where personal data goes; it is not closed with the lane.
        meters: What is counted.
        progress: Called with (inputs replayed, inputs to replay) while the lane recovers; what it
            raises gives the lane up.
        say: Told what a user should know while it goes on.

    Raises:
        DataError: A topic does not fit.
        JournalError: The journal there is not to be gone on with.
    """

    def __init__(
        self,
        stage: KafkaStage,
        number: int,
        holder: Holder,
        vault: Vault,
        meters: Meters,
        *,
        progress: Callable[[int, int], None],
        say: Callable[[str], None],
    ) -> None:
        self._stage = stage
        self.id = LaneId(stage.case.name, number)
        self._holder, self._vault, self._say = holder, vault, say
        self._partitions = stage.partitions_of(number)
        names = {place: f"kafka:{place}" for place in self._partitions}
        with ExitStack() as opening:
            self.local = LocalLane(
                stage.definition,
                stage.home,
                list(names.values()),
                stage.settings.lane,
                progress,
                say=say,
                kept=self._kept,
                lane=number,
            )
            opening.callback(self.local.close, keep_state=False)
            self._tell()
            self._sources = {
                place: TopicSource(
                    self.local.source_number(names[place]), names[place], topic.stream, topic.id
                )
                for place, topic in self._partitions.items()
            }
            self._messages = Messages(
                stage.cluster, stage.group, self._starts(), now_ns, until_end=stage.until_end
            )
            came = MessagesAsTheyCame()
            self._attach(came)
            assembly = Assembly(stage.case.plan, vault)
            self._intake = TopicIntake(assembly, self._sources, self._messages, came)
            self._run = Run(self.local, (), meters, now_ns, self._worth)
            self._transactions.stopped = self._run.stopped
            opening.pop_all()

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
            self._run.through(self._intake.batches(self._run.takes, self._run.stopped))
        except BaseException:
            self.local.__exit__(*sys.exc_info())
            raise
        head = self.local.journal.committed
        self.local.close()
        bind_head(self.local, head, self._stage.home, self._stage.settings.checkpoint)

    @property
    def next_seq(self) -> int:
        """The input that its journal goes on with."""
        return self.local.journal.committed.next_seq

    def behind(self) -> int:
        """How many messages lie in its partitions that it has not decided, as far as is known."""
        return sum(
            max(0, end - self.local.position(self._sources[place].name).ordinal)
            for place, end in list(self._messages.ends.items())
        )

    @staticmethod
    def _worth(inputs: int) -> bool:
        return inputs >= _WORTH_MESSAGES

    def _tell(self) -> None:
        """Say what was found, before the first decision."""
        found = self.local.recovery
        words = [*found.words]
        if found.next_seq:
            words.append(f"going on at input {found.next_seq:,}; {found}")
        given = [stream for stream, _ in self._stage.topics.sources]
        words += [
            f"warning: features read {stream}, and neither this run nor an earlier one was given"
            " it: what they make of it is missing or 0. Name its topic with --source"
            for stream in lacking(self._stage.case, self.local, given)
        ]
        for word in words:
            self._say(f"lane {self.id}: {word}")

    def _kept(self, header: JournalHeader) -> Kept:
        """Take the lane over from whoever had it, and open its journal."""
        cluster = self._stage.cluster
        self._transactions = Transactions(cluster, self.id, self._holder, self._say)
        personal = any(field.pii for stream in header.streams for field in stream.schema.fields)
        try:
            self._opened = TopicJournal(
                JournalTopic(cluster, journal_topic(header.use_case), self.id.number),
                self._transactions,
                header,
                signing_key(self._stage.home),
                VaultMark(self._vault.mark, personal),
            )
        except BaseException:
            self._transactions.close()
            raise
        return Kept(self._opened, self._vault, shares_vault=True)

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

    def _attach(self, came: MessagesAsTheyCame) -> None:
        """Say what is committed beside the journal, in the same transaction."""
        places = [Partition("", 0)] * len(self.local.header.sources)
        for name, source in self._sources.items():
            places[source.number] = name
        numbers = {source.name: source.number for source in self._sources.values()}
        decisions = self._stage.decision_topics([place.number for place in places])
        quarantine = QuarantineTopic(
            quarantine_topic(self.id.use_case), self.id.number, places, came.find
        )

        def left(batches: Sequence[JournalBatch]) -> list[Outgoing]:
            found: list[Outgoing] = []
            for batch in batches:
                for topic in decisions:
                    found += topic.outgoing(batch, self.local.header)
                found += quarantine.outgoing(batch, self.local.header)
                came.release(batch, numbers)
            return found

        # of what every lane reads there is no one place to go on from
        own = {
            source.name: place
            for place, source in self._sources.items()
            if self._stage.single or not self._partitions[place].whole
        }
        self._opened.attach(self._messages, own, left)
