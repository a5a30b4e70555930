"""What a worker reads and writes, as a command names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.adapters.kafka.address import SCHEME, KafkaAddress
from headrace.adapters.kafka.cluster import Cluster
from headrace.core.errors import DataError
from headrace.runtime.sources import named_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SOURCE_SETTINGS = frozenset({"single", "until", "group", "key", "format", "registry"})
#: What may stand behind the address of a topic that decisions go to.
SINK_SETTINGS = frozenset({"messages", "columns", "format", "registry"})


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
            [KafkaAddress.of(sink, SINK_SETTINGS) for sink in sinks],
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


def chosen(address: KafkaAddress, name: str, choices: Sequence[str]) -> str:
    """A setting of an address that is one of several words; the first where it is not set.

    Raises:
        DataError: It is another word.
    """
    value = address.settings.get(name, choices[0])
    if value not in choices:
        raise DataError(
            f"kafka://{address.servers}/{address.topic}?{name}={value}: expected"
            f" {' or '.join(f'{name}={choice}' for choice in choices)}"
        )
    return value
