"""`headrace collect`: segment files from a topic, and on to a store of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.adapters.file_store import file_store
from headrace.cli.terminal import aside, console, progress
from headrace.core.errors import DataError, NotFound
from headrace.journal.frames import segment_paths
from headrace.journal.keys import PublicKey
from headrace.runtime.evidence import keep_evidence
from headrace.runtime.home import Home
from headrace.runtime.local_lane import lane_name, signing_key
from headrace.runtime.stored_journal import stored_journals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.adapters.file_store import FileStore
    from headrace.adapters.kafka.cluster import Cluster


def collect(
    use_case: str,
    /,
    *,
    from_: str | None = None,
    to: str | None = None,
    kafka_config: Path | None = None,
    public_key: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    home: Path | None = None,
) -> None:
    """Collect a use case's journal from its topic into the home, or from the home into a store.

    Every head and every link is checked on the way. The same command again adds what came since.

    Parameters
    ----------
    use_case
        Whose journal.
    from_
        The cluster that it is in, kafka://HOST:PORT; without it, what the home has is put.
    to
        s3://BUCKET/PREFIX or a folder that the journal is put into, with definitions and models.
    kafka_config
        A TOML file with settings of the Kafka client (librdkafka), such as those of security.
    public_key
        Keys to believe, instead of the home's own.
    home
        The folder that it is collected into.
    """
    if from_ is None and to is None:
        raise DataError("nothing to collect: name a cluster with --from, or a store with --to")
    place = Home.at(home)
    store = None if to is None else file_store(to)
    if store is not None and from_ is not None:
        _go_on_from(store, place, use_case)
    if from_ is not None:
        keys = [PublicKey.read(path) for path in public_key] or [signing_key(place).public]
        collected(use_case, named_cluster(from_, kafka_config), keys, place)
    if store is not None:
        _into_store(use_case, place, store)


def _go_on_from(store: FileStore, home: Home, use_case: str) -> None:
    """Begin an empty home with what the store has, so that the topic need not be read from 0."""
    with progress(f"fetching {use_case}") as done:
        for stored in stored_journals(store, use_case):
            folder = home.journal(use_case, stored.lane)
            if not segment_paths(folder):
                stored.fetch(folder, done)


def named_cluster(servers: str, config: Path | None) -> Cluster:
    """The cluster of an address that names no topic.

    Raises:
        DataError: It is no address.
    """
    from headrace.adapters.kafka.address import client_settings, cluster_servers  # noqa: PLC0415 - an extra
    from headrace.adapters.kafka.cluster import Cluster  # noqa: PLC0415 - the same

    client = client_settings(config) if config is not None else {}
    return Cluster(cluster_servers(servers), client, aside.print)


def collected(use_case: str, cluster: Cluster, keys: Sequence[PublicKey], home: Home) -> None:
    """Bring a home to what a use case's topic has of all lanes, and say what was added.

    Raises:
        DataError: Nothing answers at the cluster's address.
        NotFound: The cluster has no journal of that use case.
    """
    from headrace.adapters.kafka.journal_topic import JournalTopic, journal_topic  # noqa: PLC0415 - an extra
    from headrace.runtime.collecting import collect as collect_journal  # noqa: PLC0415 - the same

    topic = journal_topic(use_case)
    lanes = cluster.needed(topic)
    for lane in range(lanes):
        shown = use_case if lanes == 1 else lane_name(use_case, lane)
        folder = home.journal(use_case, lane)
        with progress(f"collecting {shown}") as done:
            found = collect_journal(JournalTopic(cluster, topic, lane), folder, keys, done)
        console.print(
            f"{shown}: {found.next_seq - found.first_seq:,} inputs added, {found.size:,} bytes;"
            f" {folder} holds {found.next_seq:,}"
        )


def _into_store(use_case: str, home: Home, store: FileStore) -> None:
    if not home.lanes(use_case):
        raise NotFound(f"no journal of {use_case!r} in {home.folder}")
    with progress(f"putting {use_case}") as done:
        put = keep_evidence(home, store, use_case, done)
    console.print(f"{use_case}: {put:,} bytes put into {store.place}")
