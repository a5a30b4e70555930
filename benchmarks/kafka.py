"""Decisions a second from topic to topic, through one worker beside the broker on this machine.

    python -m benchmarks.kafka [--folder FOLDER] [--runs 3] [--partitions 1] [--profile]
    python -m benchmarks.kafka --partitions 2 --stages [--events 300000]

The workload and use case are those of `benchmarks.throughput`. Every payment is a message of JSON;
a decision is one when its transaction is committed: offsets, decisions and the journal's message.

One lane takes all partitions; with `--stages`, each has lanes of its own, and features by merchant
are computed in a stage of their own (docs/concepts/stages.md), all by the one worker.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.broker import NO_KAFKA, Broker, make_topic
from benchmarks.processes import Processes
from benchmarks.report import surroundings, table
from benchmarks.workload import FOLDER, prepared
from confluent_kafka import Producer

if TYPE_CHECKING:
    from benchmarks.workload import Workload

ROOT = Path(__file__).parent.parent
CARD = re.compile(rb'"card": ?"([^"]*)"')


def main() -> int:
    """Run, and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, default=FOLDER)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--events", type=int, default=None, help="fewer events, for a trial")
    options.add_argument("--partitions", type=int, default=1)
    options.add_argument("--stages", action="store_true")
    options.add_argument("--profile", action="store_true")
    options.add_argument("--worker", nargs=3, metavar=("HOME", "SERVERS", "REPORT"))
    options.add_argument("--sink", default="decisions")
    given = options.parse_args()
    if given.worker:
        worker(Path(given.worker[0]), given.worker[1], Path(given.worker[2]), given)
        return 0
    if "HEADRACE_KAFKA_BROKER" not in os.environ:
        print(NO_KAFKA)
        return 0
    if given.stages and given.partitions < 2:
        options.error("--stages needs --partitions 2 or more: one partition is in one order")
    events = f"events-{given.events}" if given.events else "times-1"
    work = prepared(given.folder / events, events=given.events)
    surroundings()
    broker = Broker(given.folder / "kafka")
    shutil.rmtree(broker.folder, ignore_errors=True)
    broker.start()
    try:
        head = (
            "messages of the sink",
            "decisions/s, median",
            "worker, us",
            "broker, us",
            "commit p50",
        )
        fed = feed(broker.servers, work, given.partitions)
        print(f"{work.lines:,} messages fed at {work.lines / fed:,.0f} a second")
        sinks = ("", "decisions", "batches")
        rows = [measured(given, broker, work, sink) for sink in sinks]
        stages = ", in stages" if given.stages else ""
        table(f"From topic to topic, one worker{stages}", [head, *rows])
    finally:
        broker.stop()
        shutil.rmtree(broker.folder, ignore_errors=True)
    return 0


def feed(servers: str, work: Workload, partitions: int) -> float:
    """Send the payments as messages, card by card to its partition; how long it took."""
    make_topic(servers, "payments", partitions)
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 20,
            "queue.buffering.max.messages": 2_000_000,
            "queue.buffering.max.kbytes": 1_000_000,
        }
    )
    begun = time.perf_counter()
    with work.json.open("rb") as lines:
        for line in lines:
            found = CARD.search(line)
            place = zlib.crc32(found[1]) % partitions if found else 0
            producer.produce("payments", line[:-1], partition=place)
    producer.flush()
    return time.perf_counter() - begun


def measured(
    given: argparse.Namespace, broker: Broker, work: Workload, sink: str
) -> tuple[str, ...]:
    """A row of the table: several runs with a kind of sink."""
    reports = []
    for run in range(given.runs):
        topic = f"{sink or 'none'}-{run}"
        if sink:
            make_topic(broker.servers, topic, given.partitions)
        reports.append(one_run(given, broker, work, topic))
    rates = [report["rate"] for report in reports]
    middle = statistics.median

    def each(name: str) -> str:
        return f"{middle(report[name] / report['decisions'] * 1e6 for report in reports):.1f}"

    print(sink, [f"{rate:,.0f}" for rate in rates], file=sys.stderr)
    return (
        {"": "none", "decisions": "one for each", "batches": "a batch in one"}[sink],
        f"{middle(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})",
        each("processor_s"),
        each("broker_s"),
        f"{middle(report['p50_ms'] for report in reports):.0f} ms",
    )


def one_run(
    given: argparse.Namespace, broker: Broker, work: Workload, topic: str
) -> dict[str, Any]:
    """One worker over all messages, in a process and under a name of its own."""
    home, report = given.folder / "kafka-home", given.folder / "kafka-report.json"
    shutil.rmtree(home, ignore_errors=True)
    environment = {
        **os.environ,
        "HEADRACE_BENCHMARK": str(work.settings(6)),
        "HEADRACE_BENCHMARK_NAME": topic,
    }
    assert broker.process is not None
    brokers = Processes(broker.process.pid)
    before = brokers.processor_seconds()
    command = [sys.executable, "-m", "benchmarks.kafka", "--sink", topic]
    command += ["--profile"] if given.profile else []
    command += ["--stages"] if given.stages else []
    command += ["--worker", str(home), broker.servers, str(report)]
    subprocess.run(command, env=environment, cwd=ROOT, check=True)
    told: dict[str, Any] = json.loads(report.read_text())
    return told | {"broker_s": brokers.processor_seconds() - before}


def worker(home: Path, servers: str, report: Path, given: argparse.Namespace) -> None:
    """Open, run and close a worker; what it says of itself."""
    from headrace.runtime.home import Home  # noqa: PLC0415 - in the worker alone
    from headrace.runtime.kafka_run import KafkaRun  # noqa: PLC0415 - the same
    from headrace.runtime.kafka_topics import Topics  # noqa: PLC0415 - the same
    from headrace.runtime.loading import load_case  # noqa: PLC0415 - the same
    from headrace.runtime.local import RunSettings  # noqa: PLC0415 - the same

    watched: dict[str, Any] = {}
    if given.profile:
        from benchmarks.stages import Stopwatch  # noqa: PLC0415 - the same

        watch = Stopwatch()
        watch.watch_all()
        watched = {"wall": watch.wall, "processor": watch.processor}
    case = load_case(str(Path(__file__).with_name("payments.py")))
    batch = "?messages=batch" if given.sink.startswith("batches") else ""
    sinks = [] if given.sink.startswith("none") else [f"kafka://{servers}/{given.sink}{batch}"]
    how = "key=card" if given.stages else "single"
    source = f"kafka://{servers}/payments?{how}&until=end"
    topics = Topics.named([source], sinks, {}, case.plan.on)
    run = KafkaRun(case, Home(home), topics, RunSettings())
    processor = time.process_time()
    run.go()
    meters = run.meters
    told = {
        "decisions": meters.decisions,
        "rate": meters.rate(),
        "processor_s": time.process_time() - processor,
        "p50_ms": meters.latency_ms(50.0)[0],
        "commits": len(meters.samples),
        "journal_bytes": meters.journal_bytes,
    }
    print(told | watched, file=sys.stderr)
    report.write_text(json.dumps(told | watched))


if __name__ == "__main__":
    sys.exit(main())
