"""How a topic is named: `kafka://HOST:PORT[,HOST:PORT...]/TOPIC[?SETTING=VALUE&...]`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from headrace.core.errors import DataError, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEME = "kafka://"
#: What the names of a schema registry's settings begin with.
_REGISTRY = "schema.registry."

#: What exactly-once stands on; a user can't set these.
RESERVED = {
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "isolation.level",
    "partition.assignment.strategy",
    "transactional.id",
}


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """A topic of a cluster.

    Attributes:
        servers: Addresses to begin with, `host:port`, joined by commas.
        topic: Its name.
        settings: Headrace's own, those without a dot in their names.
        client: The client's (librdkafka), those with a dot.

    >>> found = KafkaAddress.of("kafka://127.0.0.1:9092/payments?single&security.protocol=SSL")
    >>> found.servers, found.topic, dict(found.settings), dict(found.client)
    ('127.0.0.1:9092', 'payments', {'single': ''}, {'security.protocol': 'SSL'})
    """

    servers: str
    topic: str
    settings: Mapping[str, str] = field(default_factory=dict)
    client: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(
        text: str, known: frozenset[str] = frozenset({"single", "until", "group"})
    ) -> KafkaAddress:
        """Read an address.

        Args:
            text: As a user writes it.
            known: Names of Headrace's own settings that it may have.

        Raises:
            DataError: When it is none, or has a setting that is unknown or may not be set.
        """
        parts = urlsplit(text)
        topic = unquote(parts.path.removeprefix("/"))
        if not text.startswith(SCHEME) or not parts.netloc or not topic or "/" in topic:
            raise DataError(
                f"{text}: expected kafka://HOST:PORT/TOPIC, as in kafka://localhost:9092/payments"
            )
        pairs = dict(parse_qsl(parts.query, keep_blank_values=True))
        settings = {name: value for name, value in pairs.items() if "." not in name}
        client = {name: value for name, value in pairs.items() if "." in name}
        for name in settings:
            if name not in known:
                raise DataError(
                    f"{text}: there is no setting {name!r}; there are {', '.join(sorted(known))},"
                    " and those of librdkafka, which have a dot in their names"
                )
        return KafkaAddress(parts.netloc, topic, settings, checked(client, text))


def cluster_servers(text: str) -> str:
    """The servers of an address that names a cluster and no topic.

    >>> cluster_servers("kafka://127.0.0.1:9092")
    '127.0.0.1:9092'

    Raises:
        DataError: It is no such address.
    """
    parts = urlsplit(text)
    if not text.startswith(SCHEME) or not parts.netloc or parts.path.strip("/") or parts.query:
        raise DataError(f"{text}: expected kafka://HOST:PORT, as in kafka://localhost:9092")
    return parts.netloc


def checked(client: Mapping[str, str], where: str) -> Mapping[str, str]:
    """Settings of the client, once none of them would undo what Headrace promises.

    Raises:
        DataError: One would.
    """
    for name in client:
        if name in RESERVED:
            raise DataError(
                f"{where}: {name} is Headrace's to set, because every decision is made exactly"
                " once by it; leave it out"
            )
    return client


def client_settings(path: Path) -> Mapping[str, str]:
    """Settings of the client in a TOML file, such as `security.protocol = "SASL_SSL"`.

    Raises:
        NotFound: There is no such file.
        DataError: It is no TOML, or has a setting that may not be set.
    """
    found = {name: value for name, value in _settings(path) if not name.startswith(_REGISTRY)}
    return checked(found, str(path))


def registry_settings(path: Path) -> Mapping[str, str]:
    """Settings of a schema registry in the same file, as in `schema.registry.url = "https://..."`.

    They are named as `headrace.adapters.registry_settings.RegistrySettings.of` takes them; none
    where the file has none. It raises what `client_settings` raises.
    """
    return {
        name.removeprefix(_REGISTRY): value
        for name, value in _settings(path)
        if name.startswith(_REGISTRY)
    }


def _settings(path: Path) -> list[tuple[str, str]]:
    """Every setting of a file, by its dotted name."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"no file {path}; check the name after --kafka-config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f'{path} is no TOML: {error}; expected lines such as security.protocol = "SSL"'
        ) from error
    return _flat(content)


def _flat(table: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Dotted names and values of a table and those in it."""
    found: list[tuple[str, str]] = []
    for name, value in table.items():
        if isinstance(value, dict):
            found += _flat(value, f"{before}{name}.")
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            found.append((before + name, text))
    return found
