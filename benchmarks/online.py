"""Requests a second and their latency, beside the server's ceiling and a peer, in one run.

    python -m benchmarks.online [--folder FOLDER] [--seconds 4] [--runs 5] [--connections 64 500]
                                [--only PART ...]

The workload is `benchmarks.workload`, the use case `benchmarks.payments`: each request is a payment
that was not sent before. The load comes from `wrk` (Debian's package of that name), which shares
the cores with the server. Each figure is the median of several runs, which numbers of connections
have in turns; those that the processor was fast in (`benchmarks.pace`) have a table of their own.
The ceiling is Granian, which answers the same bytes without looking; the peer is
FastAPI with two workers, that scores ready-made features with XGBoost and keeps nothing.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
from benchmarks.http_connection import HttpConnection
from benchmarks.pace import pace_us, slowest_fast
from benchmarks.ports import free_port
from benchmarks.report import surroundings, table
from benchmarks.service import running, served
from benchmarks.throughput import Bench
from benchmarks.workload import FOLDER, prepared

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CONNECTIONS = (64, 500)
#: Goals: at least so many requests a second at so many connections.
LEAST = {64: 11_000, 500: 15_000}
_BATCH = 100
#: Between two rare requests; and how many of them do not count.
_PAUSE_SECONDS, _NOT_COUNTED = 0.01, 50
_LUA = """
local bodies, n, i = {}, 0, 0
function init(args)
  local file = io.open("%(bodies)s", "r")
  for line in file:lines() do n = n + 1; bodies[n] = line end
  file:close()
  wrk.headers["Content-Type"] = "application/json"
  -- to look through all bodies for garbage would stop the load for a tenth of a second
  collectgarbage("stop")
end
function request()
  i = i + 1
  return wrk.format("POST", nil, nil, bodies[(%(skip)d + i) %% n + 1])
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What a load gave.

    Attributes:
        rate: Requests a second.
        p50_ms: Median latency.
        p99_ms: The 99th percentile.
        refused: Answers that were no success.
        pace_us: Of the processor, before or after, whichever was slower.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    refused: int
    pace_us: float = 0.0


def load(url: str, bodies: Path, connections: int, seconds: int, skip: int = 0) -> Load:
    """Ask over so many connections that stay open, each with one request under way."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_LUA % {"bodies": bodies, "skip": skip})
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
        command += ["-s", script.name, url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    assert rate is not None, said
    return Load(
        float(rate[1]),
        _milliseconds(said, "50%"),
        _milliseconds(said, "99%"),
        int(refused[1]) if refused else 0,
    )


def _cells(loads: Sequence[Load], each: int = 1) -> tuple[str, str, str]:
    """The median of what comes a second, with the least and the most; and of the latencies."""
    rates = sorted(one.rate * each for one in loads)
    middle = statistics.median(rates)
    return (
        f"{middle:,.0f} ({rates[0]:,.0f} to {rates[-1]:,.0f})",
        f"{statistics.median(one.p50_ms for one in loads):.2f}",
        f"{statistics.median(one.p99_ms for one in loads):.2f}",
    )


def _milliseconds(said: str, name: str) -> float:
    found = re.search(rf"{name}\s+([\d.]+)(us|ms|s)\b", said)
    assert found is not None, said
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]


@dataclass(frozen=True, slots=True)
class Online:
    """Where everything is.

    Attributes:
        bench: Workload and folder.
        seconds: Of each load.
        runs: Of each number of connections.
        connections: Their numbers.
    """

    bench: Bench
    seconds: int
    runs: int = 1
    connections: tuple[int, ...] = CONNECTIONS

    def turns(
        self, url: str, bodies: Path, counts: Sequence[int], seconds: int
    ) -> dict[int, list[Load]]:
        """Loads over each number of connections in turns, none of which sends a body again."""
        made: dict[int, list[Load]] = {connections: [] for connections in counts}
        skip, before = 0, pace_us()
        for _ in range(self.runs):
            for connections in counts:
                one = load(url, bodies, connections, seconds, skip)
                skip += int(one.rate * seconds) + connections
                after = pace_us()
                made[connections].append(replace(one, pace_us=max(before, after)))
                before = after
        return made

    @contextmanager
    def headrace(self, *options: str) -> Iterator[str]:
        """A service over an empty home; the address of its decisions."""
        settings = {"HEADRACE_BENCHMARK": str(self.bench.work.settings(6))}
        home = self.bench.home
        with served("benchmarks/payments.py", home, settings, *options) as service:
            yield f"{service.url}/v1/benchmark/decisions"

    def batches(self) -> Path:
        """The payments as JSON arrays of a hundred, one on a line."""
        path = self.bench.folder / "batches.jsonl"
        if not path.exists():
            with self.bench.work.json.open() as lines, path.open("w") as out:
                held: list[str] = []
                for line in lines:
                    held.append(line.rstrip("\n"))
                    if len(held) == _BATCH:
                        out.write(f"[{','.join(held)}]\n")
                        held = []
        return path


def single(online: Online) -> None:
    """Requests of one event, at many connections and at one."""
    disk = online.bench.synced()
    p50, p99 = np.percentile(disk, [50, 99])
    made: dict[tuple[str, int], list[Load]] = {}
    for durability in ("fsync", "os"):
        with online.headrace("--durability", durability) as url:
            counts = (1, *online.connections)
            turns = online.turns(url, online.bench.work.json, counts, online.seconds)
        made |= {(durability, connections): loads for connections, loads in turns.items()}
    table(
        f"Requests of one event; fsync alone p50 {p50:.2f} ms, p99 {p99:.2f} ms", _rows(made, p99)
    )
    paces = [one.pace_us for loads in made.values() for one in loads]
    most = slowest_fast(paces)
    quick = {at: [one for one in loads if one.pace_us <= most] for at, loads in made.items()}
    pace = f"{min(paces):.0f} to {max(paces):.0f} us"
    table(f"Turns that the processor was fast in; its pace was {pace}", _rows(quick, p99))


def _rows(made: Mapping[tuple[str, int], Sequence[Load]], p99: float) -> list[tuple[str, ...]]:
    """Lines of the table of `single`, by durability and connections; `p99` is the disk's."""
    rows: list[tuple[str, ...]] = [
        ("durability", "connections", "turns", "requests/s", "p50 ms", "p99 ms", "no 2xx", "goal")
    ]
    for (durability, connections), loads in made.items():
        if loads:
            about = (durability, str(connections), str(len(loads)))
            refused = f"{sum(one.refused for one in loads):,}"
            goal = _goal(durability, connections, p99)
            rows.append((*about, *_cells(loads), refused, goal))
    return rows


def _goal(durability: str, connections: int, p99: float) -> str:
    if connections == 1:
        return f"p50 under {1.5 if durability == 'fsync' else 0.8} ms"
    if durability != "fsync":
        return ""
    latency = f", p50 under 6 ms, p99 under 15 + 2 x {p99:.2f} ms" if connections == 64 else ""
    return f"{LEAST[connections]:,}/s{latency}"


def rare(online: Online) -> None:
    """Requests of one event, each after a pause, in which others use the processor's caches."""
    rows: list[tuple[str, ...]] = [("durability", "requests", "p50 ms", "p90 ms", "p99 ms")]
    for durability in ("fsync", "os"):
        waited: list[float] = []
        for _ in range(online.runs):
            with online.headrace("--durability", durability) as url:
                waited += after_pauses(url, online.bench.work.json, online.seconds)
        quantiles = (f"{value:.2f}" for value in np.percentile(waited, [50, 90, 99]))
        rows.append((durability, f"{len(waited):,}", *quantiles))
    table(f"One request every {_PAUSE_SECONDS * 1e3:.0f} ms", rows)


def after_pauses(url: str, bodies: Path, seconds: float) -> list[float]:
    """How long requests took that were sent one by one with pauses, in ms, but for the first."""
    at = urlsplit(url)
    connection = HttpConnection(at.port or 80, at.path, "application/json")
    waited = []
    with bodies.open("rb") as lines:
        for line in islice(lines, _NOT_COUNTED + int(seconds / _PAUSE_SECONDS)):
            time.sleep(_PAUSE_SECONDS)
            connection.send(line.rstrip(b"\n"))
            while not connection.receive():
                pass
            waited.append((time.monotonic_ns() - connection.sent_ns) / 1e6)
    connection.close()
    return waited[_NOT_COUNTED:]


def batched(online: Online) -> None:
    """Requests of a hundred events."""
    rows = [("connections", "decisions/s", "p50 ms", "p99 ms", "goal")]
    with online.headrace() as url:
        # a second each: there are ten thousand bodies
        turns = online.turns(url, online.batches(), (4, 16, 40), min(1, online.seconds))
    for connections, loads in turns.items():
        rows.append((str(connections), *_cells(loads, _BATCH), "80,000/s"))
    table(f"Requests of {_BATCH} events, fsync", rows)


def peers(online: Online) -> None:
    """The ceiling of the server, and FastAPI with XGBoost."""
    model = Path(online.bench.work.folder) / "model-6.json"
    rows = [("", "connections", "requests/s", "p50 ms", "p99 ms")]
    port = free_port()
    ceiling = [sys.executable, "-m", "benchmarks.online_peers", "ceiling", str(port)]
    other = free_port()
    fastapi = [sys.executable, "-m", "uvicorn", "benchmarks.online_peers:fastapi", "--factory"]
    fastapi += ["--port", str(other), "--workers", "2", "--log-level", "error"]
    for name, command, at in (
        ("Granian, an answer without looking", ceiling, port),
        ("FastAPI, 2 workers, XGBoost on ready-made features", fastapi, other),
    ):
        with running(command, at, {"HEADRACE_BENCHMARK_MODEL": str(model)}) as peer:
            turns = online.turns(
                f"{peer.url}/decide", online.bench.work.json, online.connections, online.seconds
            )
        for connections, loads in turns.items():
            rows.append((name, str(connections), *_cells(loads)))
    table("The ceiling and a peer, the same run", rows)


PARTS = {"single": single, "rare": rare, "batched": batched, "peers": peers}


def main() -> None:
    """Measure, and print tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, default=FOLDER)
    options.add_argument("--seconds", type=int, default=4, help="of each run")
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--events", type=int, default=None, help="fewer events, for a trial")
    options.add_argument("--connections", type=int, nargs="*", choices=LEAST, default=CONNECTIONS)
    options.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    given = options.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("the load comes from wrk: apt-get install wrk")
    surroundings()
    work = prepared(given.folder / "times-1", events=given.events)
    bench = Bench(work, given.folder)
    online = Online(bench, given.seconds, given.runs, tuple(given.connections))
    for name in given.only:
        PARTS[name](online)


if __name__ == "__main__":
    main()
