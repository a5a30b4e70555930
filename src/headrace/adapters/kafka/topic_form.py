"""In what form the messages of a topic are, as its address and the settings file say.

    ?format=avro                    one of `payload_forms.FORMS`; JSON unless told
    ?registry=http://HOST:PORT      messages are in a registry's wire format, whatever their form
    ?registry                       the same, by the registry of the settings file
    ?registry=none                  they are not, though the settings file names a registry

A registry in the settings file stands for every topic in Avro or Protobuf.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headrace.adapters.payload_forms import FORMS, FRAMED, payload_codec
from headrace.adapters.registry_settings import RegistrySettings
from headrace.adapters.schema_registry import SchemaRegistry
from headrace.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headrace.adapters.kafka.address import KafkaAddress
    from headrace.adapters.payloads import PayloadCodec
    from headrace.events.schema import Schema

#: Forms that a registry of the settings file stands for.
_WITH_SCHEMAS = ("avro", "protobuf")


@dataclass(frozen=True, slots=True)
class TopicForm:
    """The form of a topic's messages.

    Attributes:
        form: One of `payload_forms.FORMS`.
        registry: Of messages in its wire format; None where they are in none.
    """

    form: str = "json"
    registry: SchemaRegistry | None = None

    @property
    def recorded(self) -> str:
        """How the journal says it."""
        return self.form if self.registry is None else FRAMED

    def codec(self, schema: Schema) -> PayloadCodec:
        """What reads them as events of a schema.

        Raises:
            DataError: The library of the form is not installed.
        """
        return payload_codec(self.form, schema, registry=self.registry)


def forms_of(addresses: Iterable[KafkaAddress], told: Mapping[str, str]) -> dict[str, TopicForm]:
    """The form of each topic; topics that name the same registry share its client.

    Args:
        addresses: Of the topics.
        told: Settings of a registry, as `RegistrySettings.of` takes them; none where it is empty.

    Raises:
        DataError: A form or a registry that there is not.
    """
    registries: dict[str, SchemaRegistry] = {}
    found: dict[str, TopicForm] = {}
    for address in addresses:
        form = address.settings.get("format", "json")
        if form not in FORMS:
            raise DataError(
                f"topic {address.topic}, format={form}: expected one of {', '.join(FORMS)}"
            )
        url = _registry_url(address, form, told)
        if url and url not in registries:
            registries[url] = registry({**told, "url": url})
        found[address.topic] = TopicForm(form, registries.get(url))
    return found


def registry(told: Mapping[str, str]) -> SchemaRegistry:
    """A client that says at once when a registry does not answer: whoever asks waits, or stops.

    Raises:
        DataError: A setting means nothing, or the address is none.
    """
    return SchemaRegistry(replace(RegistrySettings.of(told), patience_seconds=0.0))


def _registry_url(address: KafkaAddress, form: str, told: Mapping[str, str]) -> str:
    """Where the registry of a topic is; "" for none."""
    named = address.settings.get("registry")
    if named == "none" or (named is None and form not in _WITH_SCHEMAS):
        return ""
    if named:
        return named
    if named is not None and "url" not in told:
        raise DataError(
            f"topic {address.topic}, registry: which? Write registry=http://HOST:PORT, or"
            " schema.registry.url into the file of --kafka-config"
        )
    return told.get("url", "")
