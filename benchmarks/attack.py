"""What hostile clients do to the others: latency with and without them, in turns of one run.

    python -m benchmarks.attack [--folder FOLDER] [--seconds 5] [--rounds 5] [--only KIND ...]

The others are 32 connections that ask the real `headrace serve` for a thousand decisions a second,
whatever happens; latency is from when a request was due. Attackers run in a process of their own on
the same cores (`benchmarks.attackers`), so what they take of the processor is in the figures too.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.attackers import ATTACKS, IDLE_CONNECTIONS, SLOW_CONNECTIONS
from benchmarks.endless import EndlessPayments
from benchmarks.open_loop import OpenLoop
from benchmarks.processes import Processes
from benchmarks.report import surroundings, table
from benchmarks.service import ROOT, served
from benchmarks.workload import FOLDER, prepared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.open_loop import Waited
    from benchmarks.service import Service

PATH = "/v1/benchmark/decisions"
CONNECTIONS, RATE = 32, 1_000.0
#: The 99th percentile may be so many times that without the attack.
MOST = 2.0
_SETTLE_SECONDS = 0.5
_WARM_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Compared:
    """What the others waited without and with an attack, turn by turn.

    Attributes:
        without: While nobody attacked.
        with_: While somebody did.
        attacker_cores: Processor seconds that the attacker took in a second.
    """

    without: list[Waited]
    with_: list[Waited]
    attacker_cores: float

    @property
    def ratio(self) -> float:
        """The 99th percentile with the attack by that of the turn before: the median of turns."""
        turns = zip(self.without, self.with_, strict=True)
        return statistics.median(
            with_.percentile(99) / without.percentile(99) for without, with_ in turns
        )

    @property
    def refused(self) -> int:
        """How many of the others got no answer while somebody attacked."""
        return sum(turn.refused for turn in self.with_)


@contextmanager
def attacked(kind: str, port: int) -> Iterator[Processes]:
    """An attacker under way."""
    command = [sys.executable, "-m", "benchmarks.attackers", kind, str(port), PATH]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as attacker:
        assert attacker.stdout is not None
        try:
            if attacker.stdout.readline() != b"attacking\n":
                raise RuntimeError(f"{kind} did not begin")
            yield Processes(attacker.pid)
        finally:
            attacker.kill()


def compared(
    kind: str, service: Service, others: OpenLoop, seconds: float, rounds: int
) -> Compared:
    """Turns without and with an attack."""
    without, with_ = [], []
    took = 0.0
    for _ in range(rounds):
        without.append(others.run(seconds))
        with attacked(kind, service.port) as attacker:
            time.sleep(_SETTLE_SECONDS)
            before = attacker.processor_seconds()
            with_.append(others.run(seconds))
            took += attacker.processor_seconds() - before
        time.sleep(_SETTLE_SECONDS)
    return Compared(without, with_, took / (seconds * rounds))


def _median(turns: list[Waited], which: float) -> str:
    """The median over turns of a percentile."""
    return f"{statistics.median(turn.percentile(which) for turn in turns):.1f} ms"


def main() -> None:
    """Measure, and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, default=FOLDER)
    options.add_argument("--seconds", type=float, default=5.0, help="of each turn")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--events", type=int, default=None, help="fewer events, for a trial")
    options.add_argument("--only", nargs="*", choices=ATTACKS, default=list(ATTACKS))
    given = options.parse_args()
    surroundings()
    rows = [("attack", "p50 without", "p50 with", "p99 without", "p99 with",
             f"p99, times (at most {MOST:.0f})", "no answer", "cores of the attacker")]  # fmt: skip
    work = prepared(given.folder / "times-1", events=given.events)
    settings = {"HEADRACE_BENCHMARK": str(work.settings(6))}
    lines = EndlessPayments(work.json)
    with served("benchmarks/payments.py", given.folder / "home", settings) as service:
        others = OpenLoop(lines, service.port, PATH, CONNECTIONS, RATE)
        others.run(min(_WARM_SECONDS, given.seconds))
        for kind in given.only:
            made = compared(kind, service, others, given.seconds, given.rounds)
            rows.append(
                (kind, *(_median(turns, which) for which in (50, 99)
                         for turns in (made.without, made.with_)),
                 f"{made.ratio:.2f}", f"{made.refused}", f"{made.attacker_cores:.2f}")
            )  # fmt: skip
        others.close()
    table(f"Others under attack: {RATE:,.0f} requests/s over {CONNECTIONS} connections", rows)
    print(
        f"\nThe slow loris has {SLOW_CONNECTIONS:,} connections, of the idle ones there are"
        f" {IDLE_CONNECTIONS:,}."
    )


if __name__ == "__main__":
    main()
