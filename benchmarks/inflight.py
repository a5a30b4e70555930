"""Latency, processor and memory at so many events in flight, and a minute of stress.

    python -m benchmarks.inflight [--folder FOLDER] [--seconds 10] [--stress 60] [--only PART ...]

The workload is `benchmarks.workload`, the use case `benchmarks.payments`. A client keeps exactly so
many events in flight: whatever is answered is followed by as much again. It has two ways in: the
pipe (`headrace run --source - --sink -`) and HTTP (`headrace serve`, requests of a hundred events).
Every answer means that the decision is signed and on the disk. The client shares the cores with the
service; what it takes is printed too.
"""

from __future__ import annotations

import argparse
import itertools
import math
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from benchmarks.closed_loop import Answers, Http, Pipe, Taken, load
from benchmarks.endless import EndlessPayments
from benchmarks.report import second_by_second, surroundings, table
from benchmarks.service import piped, served
from benchmarks.workload import FOLDER, prepared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.closed_loop import Transport
    from benchmarks.processes import Processes
    from benchmarks.workload import Workload

CASE = "benchmarks/payments.py"
#: Events in flight, and the goal for their median in milliseconds.
IN_FLIGHT = {500: 12.0, 1_000: 17.0, 2_500: 25.0, 5_000: 41.0}
#: Goals of the minute of stress: decisions a second (must, should), and memory in MB.
LEAST_RATE, AIMED_RATE, MOST_MB = 100_000, 200_000, 4_096
TRANSPORTS = ("pipe", "HTTP")
_STRESSED = 5_000
_WARM_SECONDS = 2.0
_BATCH = 100


@dataclass(frozen=True, slots=True)
class Bench:
    """Where everything is.

    Attributes:
        work: The workload.
        folder: For homes.
        warm: Seconds before anything is measured.
    """

    work: Workload
    folder: Path
    warm: float = _WARM_SECONDS

    @contextmanager
    def client(
        self, transport: str, in_flight: int, answers: Answers
    ) -> Iterator[tuple[Transport, Processes]]:
        """A client of a fresh service, and the service's processes."""
        settings = {"HEADRACE_BENCHMARK": str(self.work.settings(6))}
        home = self.folder / "home"
        lines = EndlessPayments(self.work.json)
        if transport == "pipe":
            with piped(CASE, home, settings) as run:
                yield Pipe(lines, run.write, run.read, in_flight, answers), run.processes
        else:
            with served(CASE, home, settings) as service:
                path = "/v1/benchmark/decisions"
                batch = min(_BATCH, in_flight)
                client = Http(lines, service.port, path, in_flight, answers, batch)
                yield client, service.processes
        shutil.rmtree(home, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a load took and gave.

    Attributes:
        whole: Rate and latencies of all of it.
        seconds: The same of each second.
        cores: Processor seconds of the service in a second.
        client_cores: Those of the client.
        peak_mb: The most memory of the service's processes.
        refused: Requests without a decision.
    """

    whole: Taken
    seconds: list[Taken]
    cores: float
    client_cores: float
    peak_mb: float
    refused: int


def measured(bench: Bench, transport: str, in_flight: int, seconds: float) -> Measured:
    """One load on a fresh service."""
    answers = Answers()
    with bench.client(transport, in_flight, answers) as (client, processes):
        # it has loaded its kernels and tables once the first answers are there
        client.begin()
        while not answers.rows:
            client.turn()
        load(client, bench.warm)
        answers.rows.clear()
        before, own = processes.processor_seconds(), time.process_time()
        begun, ended = load(client, seconds)
        took, own = processes.processor_seconds() - before, time.process_time() - own
        peak = processes.peak_mb()
    rows = answers.columns()
    wall = (ended - begun) / 1e9
    each = [
        Taken.of(rows, begun + second * 10**9, begun + (second + 1) * 10**9)
        for second in range(math.floor(seconds))
    ]
    whole = Taken.of(rows, begun, ended)
    return Measured(whole, each, took / wall, own / wall, peak, answers.refused)


def in_flight(
    bench: Bench, seconds: float, transports: Sequence[str], counts: Sequence[int]
) -> None:
    """A table of transports at each number of events in flight."""
    rows = [("transport", "in flight", "decisions/s", "p50 ms", "goal", "p99 ms",
             "cores of the service", "of the client", "peak MB")]  # fmt: skip
    for transport, count in itertools.product(transports, counts):
        made = measured(bench, transport, count, seconds)
        rows.append(
            (transport, f"{count:,}", f"{made.whole.rate:,.0f}", f"{made.whole.p50_ms:.1f}",
             f"{IN_FLIGHT[count]:.0f}", f"{made.whole.p99_ms:.1f}", f"{made.cores:.2f}",
             f"{made.client_cores:.2f}", f"{made.peak_mb:,.0f}")
        )  # fmt: skip
    table("Events in flight", rows)


def stress(bench: Bench, seconds: float) -> None:
    """A minute at the most events in flight over the faster transport, second by second."""
    made = measured(bench, "pipe", _STRESSED, seconds)
    rates = [second.rate for second in made.seconds]
    slowest, fastest = min(rates), max(rates)
    table(
        f"A stress of {seconds:.0f} s, {_STRESSED:,} events in flight through the pipe",
        [
            ("decisions/s", "slowest second", "fastest second", "p50 ms", "p99 ms",
             "cores of the service", "of the client", "peak MB"),
            (f"{made.whole.rate:,.0f}", f"{slowest:,.0f}", f"{fastest:,.0f}",
             f"{made.whole.p50_ms:.1f}", f"{made.whole.p99_ms:.1f}", f"{made.cores:.2f}",
             f"{made.client_cores:.2f}", f"{made.peak_mb:,.0f}"),
        ],
    )  # fmt: skip
    short = sum(rate < LEAST_RATE for rate in rates)
    print(
        f"\n{short} of {len(rates)} seconds were below {LEAST_RATE:,} decisions;"
        f" {sum(rate >= AIMED_RATE for rate in rates)} reached {AIMED_RATE:,}."
        f" Memory may be {MOST_MB:,} MB."
    )
    second_by_second(
        f"Decisions of each of {seconds:.0f} seconds, and their latency",
        "stress",
        rates,
        np.array([second.p50_ms for second in made.seconds]),
        np.array([second.p99_ms for second in made.seconds]),
    )


def main() -> None:
    """Measure, and print tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, default=FOLDER)
    options.add_argument("--seconds", type=float, default=10.0)
    options.add_argument("--stress", type=float, default=60.0, help="seconds of stress")
    options.add_argument("--warm", type=float, default=_WARM_SECONDS, help="seconds before each")
    options.add_argument("--events", type=int, default=None, help="fewer events, for a trial")
    options.add_argument(
        "--in-flight", nargs="*", type=int, choices=IN_FLIGHT, default=list(IN_FLIGHT)
    )
    options.add_argument("--transports", nargs="*", choices=TRANSPORTS, default=TRANSPORTS)
    options.add_argument("--only", nargs="*", choices=("table", "stress"))
    given = options.parse_args()
    surroundings()
    bench = Bench(prepared(given.folder / "times-1", events=given.events), given.folder, given.warm)
    if "table" in (given.only or ["table"]):
        in_flight(bench, given.seconds, given.transports, given.in_flight)
    if "stress" in (given.only or ["stress"]):
        stress(bench, given.stress)


if __name__ == "__main__":
    main()
