"""A run from topics to topics: one lane, whose journal and decisions are in the cluster."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numba.core.event import install_timer

from headrace.adapters.kafka.address import SCHEME, KafkaAddress
from headrace.adapters.kafka.cluster import Cluster
from headrace.adapters.kafka.decision_topic import DecisionTopic
from headrace.adapters.kafka.journal_topic import SETTINGS, JournalTopic, journal_topic
from headrace.adapters.kafka.messages import Messages, Partition
from headrace.adapters.kafka.quarantine_topic import QuarantineTopic, quarantine_topic
from headrace.adapters.kafka.topic_form import forms_of
from headrace.adapters.kafka.transactions import Transactions
from headrace.core.errors import DataError
from headrace.runtime.intake import Assembly
from headrace.runtime.local import bind_head, definition_in_force, lacking
from headrace.runtime.local_lane import LocalLane, lane_name, now_ns, signing_key
from headrace.runtime.meters import Meters
from headrace.runtime.run import Run
from headrace.runtime.sources import named_sources
from headrace.runtime.topic_intake import MessagesAsTheyCame, TopicIntake, TopicSource
from headrace.runtime.topic_journal import TopicJournal, VaultMark

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headrace.adapters.kafka.transactions import Outgoing
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader
    from headrace.pipeline.use_case import UseCase
    from headrace.runtime.home import Home
    from headrace.runtime.local import RunSettings
    from headrace.runtime.recovery import Recovery
    from headrace.security.vault import Vault

#: Number of the lane that everything goes through, where sources are declared `single`.
_LANE = 0
#: From so many messages on, a batch is worth handing on while others are under way.
_WORTH_MESSAGES = 4_096
_SOURCE_SETTINGS = frozenset({"single", "until", "group", "format", "registry"})
_SINK_SETTINGS = frozenset({"messages", "columns"})


@dataclass(frozen=True, slots=True)
class Topics:
    """What a run reads and writes, as a user names it.

    Attributes:
        sources: The topics that are read, each with the stream of its events.
        sinks: The topics that decisions go to.
        client: Settings of the client, for all of them.
        registry: Settings of a schema registry, for those that use one.
    """

    sources: Sequence[tuple[str, KafkaAddress]]
    sinks: Sequence[KafkaAddress]
    client: Mapping[str, str]
    registry: Mapping[str, str]

    @staticmethod
    def named(
        sources: Sequence[str],
        sinks: Sequence[str],
        client: Mapping[str, str],
        decided: str,
        registry: Mapping[str, str] | None = None,
    ) -> Topics:
        """Read the addresses of a command.

        Raises:
            DataError: One is no topic, they are of several clusters, or a topic is named twice.
        """
        names = named_sources(sources, decided)
        for name in names:
            if not name.place.startswith(SCHEME):
                raise DataError(
                    f"--source {name.place}: topics are live, and files are history; a sink in"
                    " Kafka, or a source there, goes with sources in Kafka alone"
                )
        found = Topics(
            [(name.stream, KafkaAddress.of(name.place, _SOURCE_SETTINGS)) for name in names],
            [KafkaAddress.of(sink, _SINK_SETTINGS) for sink in sinks],
            client,
            registry or {},
        )
        servers = {address.servers for address in found.addresses}
        if len(servers) > 1:
            raise DataError(
                f"sources and sinks are of several clusters ({', '.join(sorted(servers))}); a"
                " transaction is of one. Name topics of one cluster, by the same HOST:PORT"
            )
        topics = [address.topic for address in found.addresses]
        for topic in topics:
            if topics.count(topic) > 1:
                raise DataError(f"topic {topic} is named twice; name each source and sink once")
        return found

    @property
    def addresses(self) -> list[KafkaAddress]:
        """All of them."""
        return [*(address for _, address in self.sources), *self.sinks]

    def setting(self, name: str) -> str | None:
        """A setting of the sources; None where none has it."""
        values = [address.settings.get(name) for _, address in self.sources]
        return next((value for value in values if value is not None), None)

    def cluster(self, say: Callable[[str], None]) -> Cluster:
        """The cluster that they are of."""
        client = dict(self.client)
        for address in self.addresses:
            client |= address.client
        return Cluster(self.addresses[0].servers, client, say)


class KafkaRun:
    """A run that is opened, goes over its topics until it is stopped, and is closed.

    Args:
        case: The use case.
        home: Where keys, vault, models and snapshots are; the journal is in the cluster.
        topics: What is read and written.
        settings: See `RunSettings`.
        progress: Called with (what is done, done, of how many) before the first decision.
        say: Told what a user should know while it goes on.

    Raises:
        DataError: The cluster cannot be reached, or a topic does not fit.
        JournalError: The journal there is not to be gone on with.
    """

    def __init__(
        self,
        case: UseCase,
        home: Home,
        topics: Topics,
        settings: RunSettings,
        progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
        say: Callable[[str], None] = lambda _word: None,
    ) -> None:
        self.settings, self.home = settings, home
        if settings.lane.durability != "fsync":
            raise DataError(
                f"--durability {settings.lane.durability}: over Kafka a decision counts when its"
                " transaction is committed; leave the setting out"
            )
        self._topics, self._say = topics, say
        self._cluster = topics.cluster(say)
        partitions = self._partitions()
        forms = forms_of([address for _, address in topics.sources], topics.registry)
        until = topics.setting("until")
        if until not in (None, "end"):
            raise DataError(f"until={until}: expected until=end, or nothing to go on for good")
        definition = definition_in_force(case, home, settings.model, progress)
        self.meters = Meters()
        self.total: int | None = None
        names = {name: f"kafka:{name}" for name in partitions}
        with ExitStack() as opening:
            self.local = LocalLane(
                definition,
                home,
                list(names.values()),
                settings.lane,
                lambda done, most: progress("replaying the journal", done, most),
                say=say,
                journal=self._journal,
            )
            opening.callback(self.local.close, keep_state=False)
            self.lacking = lacking(case, self.local, [stream for stream, _ in topics.sources])
            self._sources = {
                name: TopicSource(
                    self.local.source_number(text), text, *partitions[name], forms[name.topic]
                )
                for name, text in names.items()
            }
            self.local.read_as({text: forms[name.topic].recorded for name, text in names.items()})
            self._numbers = {source.name: source.number for source in self._sources.values()}
            messages = Messages(
                self._cluster,
                topics.setting("group") or f"headrace.{case.name}",
                self._starts(),
                now_ns,
                until_end=until == "end",
            )
            came = MessagesAsTheyCame()
            self._attach(messages, came)
            assembly = Assembly(case.plan, self.local.vault)
            self._intake = TopicIntake(assembly, self._sources, messages, came, say)
            self._run = Run(self.local, (), self.meters, now_ns, self._worth)
            self._transactions.stopped = self._run.stopped
            opening.pop_all()

    @property
    def recovery(self) -> Recovery:
        """What was found when the lane was opened."""
        return self.local.recovery

    @property
    def begins_at(self) -> int:
        """The input that this run begins with."""
        return self.local.recovery.next_seq

    @property
    def journal(self) -> str:
        """Where the journal is, for people."""
        return f"topic {journal_topic(self.local.header.use_case)} of {self._cluster.servers}"

    def stop(self) -> None:
        """End in good order: what was read is decided and committed."""
        self._run.stop()

    def go(self) -> None:
        """Decide until it is stopped, close the lane, and bind its head in a checkpoint."""
        try:
            with install_timer("numba:compile", self.meters.compiled):
                self._run.over(self._intake.batches(self._run.takes, self._run.stopped))
        except BaseException:
            self.local.__exit__(*sys.exc_info())
            raise
        head = self.local.journal.committed
        self.local.close()
        bind_head(self.local, head, self.home, self.settings.checkpoint)

    @staticmethod
    def _worth(inputs: int) -> bool:
        return inputs >= _WORTH_MESSAGES

    def _partitions(self) -> dict[Partition, tuple[str, str]]:
        """Every partition that is read, with its stream and the id of its topic.

        Raises:
            NotFound: A topic is not there.
            DataError: A topic has several partitions, and is not declared `single`.
        """
        found: dict[Partition, tuple[str, str]] = {}
        single = self._topics.setting("single") is not None
        for stream, address in self._topics.sources:
            count = self._cluster.needed(address.topic)
            if count > 1 and not single:
                raise DataError(
                    f"topic {address.topic} has {count} partitions, and one lane takes them all in"
                    " the order of their arrival. Say that it may: write"
                    f" kafka://{address.servers}/{address.topic}?single"
                )
            made = self._cluster.topic_id(address.topic)
            found |= {Partition(address.topic, at): (stream, made) for at in range(count)}
        for address in self._topics.sinks:
            self._cluster.needed(address.topic)
        return found

    def _journal(self, header: JournalHeader, vault: Vault) -> TopicJournal:
        """Take the lane over from whoever had it, and open its journal."""
        like = self._topics.sources[0][1].topic
        topic = journal_topic(header.use_case)
        self._cluster.ensure(topic, _LANE + 1, SETTINGS, like)
        self._cluster.ensure(quarantine_topic(header.use_case), _LANE + 1, {}, like)
        lane = lane_name(header.use_case)
        name = f"headrace.{header.use_case}.{_LANE}"
        self._transactions = Transactions(self._cluster, name, lane, self._say)
        personal = any(field.pii for stream in header.streams for field in stream.schema.fields)
        self._opened = TopicJournal(
            JournalTopic(self._cluster, topic, _LANE),
            self._transactions,
            header,
            signing_key(self.home),
            VaultMark(vault.mark, personal),
        )
        return self._opened

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

    def _attach(self, messages: Messages, came: MessagesAsTheyCame) -> None:
        """Say what is committed beside the journal, in the same transaction."""
        places = [Partition("", 0)] * len(self.local.header.sources)
        for name, source in self._sources.items():
            places[source.number] = name
        numbers = [place.number for place in places]
        decisions = [
            DecisionTopic(
                address.topic,
                self._cluster.needed(address.topic),
                numbers,
                _most_bytes(address, self._cluster),
                whole=_chosen(address, "columns", ("answer", "all")) == "all",
            )
            for address in self._topics.sinks
        ]
        quarantine = QuarantineTopic(
            quarantine_topic(self.local.header.use_case),
            _LANE,
            places,
            came.find,
            self._cluster.message_bytes // 2,
        )

        def left(batches: Sequence[JournalBatch]) -> list[Outgoing]:
            found: list[Outgoing] = []
            for batch in batches:
                for topic in decisions:
                    found += topic.outgoing(batch, self.local.header)
                found += quarantine.outgoing(batch, self.local.header)
                came.release(batch, self._numbers)
            return found

        self._opened.attach(
            messages, {source.name: name for name, source in self._sources.items()}, left
        )


def _most_bytes(address: KafkaAddress, cluster: Cluster) -> int | None:
    """How large a message of decisions may be; None for one decision in each."""
    batch = _chosen(address, "messages", ("decision", "batch")) == "batch"
    return cluster.message_bytes // 2 if batch else None


def _chosen(address: KafkaAddress, name: str, choices: Sequence[str]) -> str:
    """A setting that is one of several words; the first where it is not set."""
    value = address.settings.get(name, choices[0])
    if value not in choices:
        raise DataError(
            f"kafka://{address.servers}/{address.topic}?{name}={value}: expected"
            f" {' or '.join(f'{name}={choice}' for choice in choices)}"
        )
    return value
