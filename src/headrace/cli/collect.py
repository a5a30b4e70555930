"""`headrace collect`: segment files from a topic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headrace.cli.terminal import aside, console, progress
from headrace.journal.keys import PublicKey
from headrace.runtime.home import Home
from headrace.runtime.local_lane import lane_name, signing_key


def collect(
    use_case: str,
    /,
    *,
    from_: str,
    kafka_config: Path | None = None,
    public_key: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    home: Path | None = None,
) -> None:
    """Collect a use case's journal from its topic into the home, for verify, explain and replay.

    Every head and every link is checked on the way. The same command again adds what came since.

    Parameters
    ----------
    use_case
        Whose journal.
    from_
        The cluster that it is in, kafka://HOST:PORT.
    kafka_config
        A TOML file with settings of the Kafka client (librdkafka), such as those of security.
    public_key
        Keys to believe, instead of the home's own.
    home
        The folder that it is collected into.
    """
    from headrace.adapters.kafka.address import KafkaAddress, client_settings  # noqa: PLC0415 - an extra
    from headrace.adapters.kafka.cluster import Cluster  # noqa: PLC0415 - the same
    from headrace.adapters.kafka.journal_topic import (  # noqa: PLC0415 - the same
        JournalTopic,
        journal_topic,
    )
    from headrace.runtime.collecting import collect as collect_journal  # noqa: PLC0415 - the same

    place = Home.at(home)
    topic = journal_topic(use_case)
    address = KafkaAddress.of(f"{from_.rstrip('/')}/{topic}", frozenset())
    client = client_settings(kafka_config) if kafka_config is not None else {}
    cluster = Cluster(address.servers, client, aside.print)
    lanes = cluster.needed(topic)
    keys = [PublicKey.read(path) for path in public_key] or [signing_key(place).public]
    for lane in range(lanes):
        shown = use_case if lanes == 1 else lane_name(use_case, lane)
        folder = place.journal(use_case, lane)
        with progress(f"collecting {shown}") as done:
            found = collect_journal(JournalTopic(cluster, topic, lane), folder, keys, done)
        console.print(
            f"{shown}: {found.next_seq - found.first_seq:,} inputs added, {found.size:,} bytes;"
            f" {folder} holds {found.next_seq:,}"
        )
