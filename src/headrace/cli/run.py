"""`headrace run`: decide events."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from headrace.adapters.answer_stream import AnswerStream
from headrace.adapters.sinks import open_sink
from headrace.cli.compile import compiled_once
from headrace.cli.live_view import LiveView
from headrace.cli.terminal import aside, console, stages
from headrace.core.errors import DataError
from headrace.definitions.describe import EVENTS_PER_KEY, KEYS, worst_case_bytes
from headrace.runtime.home import Home
from headrace.runtime.loading import load_case, load_counterparty
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.local_lane import LaneSettings
from headrace.runtime.traces import traces_wanted

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from rich.console import Console

    from headrace.pipeline.use_case import UseCase
    from headrace.runtime.kafka_run import KafkaRun
    from headrace.runtime.local_lane import LocalLane
    from headrace.runtime.run import Sink

    #: What watches a run while it goes on.
    Watching: TypeAlias = Callable[[LocalRun | KafkaRun], AbstractContextManager[None]]

#: What is in the address of a topic.
KAFKA = "kafka://"
#: What stands for stdout.
STDOUT = "-"


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Lasting:
    """What lasts, and how soon.

    Attributes:
        durability: When a decision counts: on disk (fsync), with the operating system (os), or at
            once (async); the last two may lose decisions in a crash of the machine.
        recover_within: How long it may take to go on after a crash, as in 30s or 5m: the state is
            kept as often as that asks for.
        checkpoint: The witness file that the journal's head is written to at the end.
        snapshots: Where workers over Kafka share their snapshots: s3://BUCKET/PREFIX, or a folder.
    """

    durability: Literal["fsync", "os", "async"] = "fsync"
    recover_within: str = "30s"
    checkpoint: Path | None = None
    snapshots: str | None = None


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Watched:
    """How others watch the run.

    Attributes:
        metrics: Give metrics for Prometheus here meanwhile, to whoever asks: HOST:PORT.
        traces: Send traces by OTLP over HTTP to this collector, as in http://localhost:4318; the
            standard variables (OTEL_EXPORTER_OTLP_ENDPOINT and others) say so too.
    """

    metrics: str | None = None
    traces: str | None = None


def run(  # noqa: PLR0913 - each is asked for by name
    case: str,
    /,
    *,
    source: Annotated[tuple[str, ...], Parameter(negative="", allow_leading_hyphen=True)],
    sink: Annotated[tuple[str, ...], Parameter(negative="", allow_leading_hyphen=True)] = (),
    closed_loop: Annotated[bool, Parameter(negative="")] = False,
    kafka_config: Path | None = None,
    model: str | None = None,
    lasting: Lasting | None = None,
    watched: Watched | None = None,
    home: Path | None = None,
) -> None:
    """Decide the events of files, stdin or topics; each decision is signed into the journal.

    The same command again goes on where it ended, also after a crash: sources are read from
    where the journal stands. Ctrl-C ends it in good order.

    Parameters
    ----------
    case
        A Python file with the use case (FILE.py, or FILE.py:NAME), or a ready-made one.
    source
        FILE or folder of the decided stream, - for stdin, kafka://HOST:PORT/TOPIC for a topic;
        STREAM=FILE, or STREAM=kafka://HOST:PORT/TOPIC, for any other stream.
    sink
        Write decisions here too: a name that ends in .jsonl, .csv, .parquet or .arrow; - for
        stdout, which gets a line for each event as soon as its decision is durable; with a source
        in Kafka, kafka://HOST:PORT/TOPIC.
    closed_loop
        Have the counterparty that the use case brings answer the decisions, on paper: its answers
        are inputs too, and later decisions know of them. With files alone.
    kafka_config
        A TOML file with settings of the Kafka client (librdkafka), such as those of security.
    model
        The id of a trained model, in place of the current one.
    home
        The folder of journal, models, vault and keys.
    """
    for path in sink:
        if sink.count(path) > 1:
            raise DataError(f"--sink {path} is named twice; expected a file for each")
    watched = watched or Watched()
    watching = _watching(watched.metrics)
    place = Home.at(home)
    use_case = load_case(case)
    aside.print(
        f"state at worst: {worst_case_bytes(use_case.plan):,} bytes with {KEYS:,} keys and"
        f" {EVENTS_PER_KEY} events of each in its windows; headrace plan says more"
    )
    compiled_once()
    lasting = lasting or Lasting()
    settings = RunSettings(
        lane=LaneSettings(durability=lasting.durability, recover_within=lasting.recover_within),
        model=model,
        checkpoint=lasting.checkpoint,
        traces=traces_wanted(watched.traces),
        snapshots=lasting.snapshots,
    )
    over_kafka = any(KAFKA in name for name in (*source, *sink))
    _check_fits(lasting, over_kafka=over_kafka, closed_loop=closed_loop)
    if over_kafka:
        with stages() as stage:
            worker = _over_kafka(use_case, place, (source, sink), kafka_config, settings, stage)
        _work(use_case.name, worker, watching)
        return
    with stages() as stage:
        makers = [partial(_sink, name) for name in sink]
        made = partial(load_counterparty(case), since_ns=0) if closed_loop else None
        opened = LocalRun(
            use_case, place, source, makers, settings, stage, counterparty=made, say=aside.print
        )
    # where answers went to stdout, nothing else does
    _decide(use_case.name, opened, watching, aside if STDOUT in sink else console)


def _work(name: str, worker: KafkaRun, watching: Watching) -> None:
    """Work over Kafka until it is through, or asked to end, and say what came of it."""
    lanes = {stage: one.lanes for stage, one in worker.stages.items()}
    with watching(worker), LiveView(name, worker.meters, lanes=lanes):
        worker.go()
    LiveView.summary(console, name, worker.meters, worker.journal)


def _decide(name: str, opened: LocalRun, watching: Watching, summary: Console) -> None:
    """Decide all that an opened run reads, and say what came of it."""
    _say_what_was_found(opened)
    with watching(opened), LiveView(name, opened.meters, opened.total):
        opened.go()
    LiveView.summary(summary, name, opened.meters, opened.journal)


def _check_fits(lasting: Lasting, *, over_kafka: bool, closed_loop: bool) -> None:
    """Look whether settings fit where events come from.

    Raises:
        DataError: One does not.
    """
    if lasting.snapshots is not None and not over_kafka:
        raise DataError(
            f"--snapshots {lasting.snapshots}: workers over Kafka share their snapshots; a run on"
            " one machine keeps them in its home. Leave the setting out"
        )
    if over_kafka and closed_loop:
        raise DataError(
            "--closed-loop: topics are live, and a closed loop puts answers among finished history"
            " by their times: give files, or leave it out"
        )


def _watching(address: str | None) -> Watching:
    """What gives the metrics of a run at an address, if one was named."""
    if address is None:
        return lambda _opened: nullcontext()
    try:
        from headrace.runtime import run_metrics, worker_metrics  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise DataError(
            "--metrics needs the extra `serve`; install it: pip install 'headrace[serve]'"
        ) from error
    host, port = run_metrics.host_and_port(address)

    def watching(opened: LocalRun | KafkaRun) -> AbstractContextManager[None]:
        if isinstance(opened, LocalRun):
            gather = run_metrics.RunMetrics(opened.local, opened.meters).gather
        else:
            gather = worker_metrics.WorkerMetrics(opened.stages).gather
        return run_metrics.served(gather, host, port)

    return watching


def _over_kafka(
    case: UseCase,
    home: Home,
    named: tuple[tuple[str, ...], tuple[str, ...]],
    config: Path | None,
    settings: RunSettings,
    stage: Callable[[str, int, int], None],
) -> KafkaRun:
    """A worker over topics; the client of Kafka is loaded here, and nowhere else."""
    from headrace.adapters.kafka.address import (  # noqa: PLC0415 - an extra
        client_settings,
        registry_settings,
    )
    from headrace.runtime.kafka_run import KafkaRun  # noqa: PLC0415 - the same
    from headrace.runtime.kafka_topics import Topics  # noqa: PLC0415 - the same

    client = client_settings(config) if config is not None else {}
    registry = registry_settings(config) if config is not None else {}
    topics = Topics.named(*named, client, case.plan.on, registry)
    return KafkaRun(case, home, topics, settings, stage, aside.print)


def _say_what_was_found(opened: LocalRun) -> None:
    """What a user should know before the first decision."""
    for word in opened.recovery.words:
        aside.print(word)
    if opened.recovery.next_seq:
        aside.print(str(opened.recovery))
    for lacking in opened.lacking:
        aside.print(
            f"warning: features read {lacking}, and neither this run nor an earlier one was given"
            f" it: what they make of it is missing or 0. Run --source {lacking}=FILE first"
        )
    if opened.begins_at:
        aside.print(f"going on at input {opened.begins_at:,}: those before it were decided")
    if opened.total == 0:
        further = "further " if opened.begins_at else ""
        aside.print(f"the sources hold no {further}events")


def _sink(name: str, local: LocalLane) -> Sink:
    if name == STDOUT:
        return AnswerStream(sys.stdout.fileno(), local.header)
    return open_sink(Path(name), local.folder, local.header, local.journal.next_seq)
