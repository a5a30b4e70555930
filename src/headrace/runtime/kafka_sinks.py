"""The topics that decisions go to, as their addresses say.

?columns=all                    event and features too
?messages=batch                 many decisions in a message, as lines of JSON
?format=avro&registry=URL       in a schema registry's wire format; or protobuf
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.adapters.kafka.decision_topic import DecisionTopic, columns_of
from headrace.adapters.kafka.topic_form import forms_of
from headrace.adapters.row_writers import row_writer
from headrace.adapters.sinks import nothing_decided
from headrace.core.errors import DataError
from headrace.runtime.kafka_topics import chosen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.adapters.kafka.address import KafkaAddress
    from headrace.adapters.kafka.cluster import Cluster
    from headrace.adapters.row_writers import RowWriter
    from headrace.journal.header import JournalHeader

#: Forms of decisions; each but the first has a schema, which a registry keeps.
_FORMS = ("json", "avro", "protobuf")
#: What a decision is called as a record or a message.
_NAME = "Decision"


class DecisionSinks:
    """The topics that decisions go to; lanes share it.

    Args:
        addresses: Of the topics.
        cluster: Where they are.
        registry: Settings of a schema registry, for those that name none themselves.

    Raises:
        NotFound: A topic is not there.
        DataError: A setting means nothing, or two do not go together.
    """

    def __init__(
        self, addresses: Sequence[KafkaAddress], cluster: Cluster, registry: Mapping[str, str]
    ) -> None:
        self._addresses, self._cluster = addresses, cluster
        self._partitions = [cluster.needed(address.topic) for address in addresses]
        for address in addresses:
            form = chosen(address, "format", _FORMS)
            if form != _FORMS[0] and self._most_bytes(address) is not None:
                raise DataError(
                    f"topic {address.topic}: messages=batch is of lines of JSON; leave it out, or"
                    f" format={form}"
                )
        self._forms = forms_of(addresses, registry)
        for address in addresses:
            found = self._forms[address.topic]
            if (found.form == _FORMS[0]) != (found.registry is None):
                raise DataError(
                    f"topic {address.topic}, format={found.form}: decisions in Avro or Protobuf are"
                    " in the wire format of a schema registry, those in JSON are not; write"
                    " registry=http://HOST:PORT for the first, registry=none for the other"
                )
        self._writers: dict[str, RowWriter] = {}

    def register(self, header: JournalHeader) -> None:
        """Give the registries the schemas of decisions, before there are any.

        The schema of a topic is registered under `TOPIC-value`.

        Args:
            header: Of the lanes' journals.

        Raises:
            DataError: The registry refuses a schema.
            Unavailable: It does not answer.
        """
        for address in self._addresses:
            form = self._forms[address.topic]
            if form.registry is not None:
                table = columns_of(nothing_decided(header), header, whole=_whole(address))
                self._writers[address.topic] = row_writer(
                    form.form, _NAME, table.schema, form.registry, f"{address.topic}-value"
                )

    def topics(self, came_from: Sequence[int]) -> list[DecisionTopic]:
        """The topics, for a lane.

        Args:
            came_from: The partition of each source, by its number in the journal's header.
        """
        return [
            DecisionTopic(
                address.topic,
                partitions,
                came_from,
                self._most_bytes(address),
                whole=_whole(address),
                writer=self._writers.get(address.topic),
            )
            for address, partitions in zip(self._addresses, self._partitions, strict=True)
        ]

    def _most_bytes(self, address: KafkaAddress) -> int | None:
        """How large a message of decisions may be; None for one decision in each."""
        batch = chosen(address, "messages", ("decision", "batch")) == "batch"
        return self._cluster.message_bytes // 2 if batch else None


def _whole(address: KafkaAddress) -> bool:
    return chosen(address, "columns", ("answer", "all")) == "all"
