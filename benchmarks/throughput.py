"""Decisions a second, time to a durable decision, memory and bytes, beside two peers in one run.

    python -m benchmarks.throughput [--folder FOLDER] [--runs 3] [--times 1] [--only PART ...]

The workload is `benchmarks.workload`, the use case `benchmarks.payments`. Every run is the path of
the command in a process of its own: JSON lines by stdin or from a file, personal data sealed in the
vault, every decision in the journal, signed and synced to the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from benchmarks.peers import FEATURES, Peer, duckdb_batch, plain_python
from benchmarks.report import section, surroundings, table
from benchmarks.workload import FOLDER, Workload, prepared

from headrace.journal.reader import stored_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
#: Offered decisions a second, and the most that p99 may be without the disk's share, in ms.
OFFERED = {50_000: 20.0, 5_000: 3.0}
SECONDS_OFFERED = 20.0
#: Payments that plain Python decides: its rate does not change with more.
PLAIN_LINES = 200_000
_STAGES = (
    "parse", "surrogates", "refused rows", "accept", "features", "score", "policy", "reasons",
    "records and digests", "leaves", "Merkle tree", "pack columns", "commit of the vault",
    "write and fsync",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bench:
    """Where everything is, and how a run is started.

    Attributes:
        work: The workload.
        folder: For homes and reports.
    """

    work: Workload
    folder: Path

    @property
    def home(self) -> Path:
        """The home of the last run."""
        return self.folder / "home"

    def run(
        self,
        depth: int = 6,
        *,
        offered: float | None = None,
        stdin: bool = True,
        explain_all: bool = False,
        profile: bool = False,
    ) -> dict[str, Any]:
        """One run over the workload; its report.

        Args:
            depth: Of the model's trees.
            offered: Lines a second by stdin, for `SECONDS_OFFERED`; None for all at once.
            stdin: Whether lines come by stdin (as from `cat`), or from the file as history.
            explain_all: Whether every decision carries reason codes.
            profile: Whether the stages are timed, which takes time itself.
        """
        shutil.rmtree(self.home, ignore_errors=True)
        report = self.folder / "report.json"
        environment = {
            **os.environ,
            "HEADRACE_BENCHMARK": str(self.work.settings(depth, explain_all=explain_all)),
        }
        source = "-" if stdin or offered else str(self.work.json)
        command = [sys.executable, "-m", "benchmarks.one_run", str(self.home), source, str(report)]
        command += ["--profile"] if profile else []
        if offered:
            feed = [sys.executable, "-m", "benchmarks.paced", str(self.work.json)]
            feed += [str(offered), str(SECONDS_OFFERED), str(report.with_suffix(".began"))]
        else:
            feed = ["cat", str(self.work.json)] if stdin else ["true"]
        ready = report.with_suffix(".ready")
        ready.unlink(missing_ok=True)
        inside, outside = os.pipe()
        with subprocess.Popen(command, env=environment, cwd=ROOT, stdin=inside) as running:
            os.close(inside)
            # nothing is offered before the run can take it: loading is measured apart
            while not ready.exists() and running.poll() is None:
                time.sleep(0.001)
            subprocess.run(feed, stdout=outside, cwd=ROOT, check=True)
            os.close(outside)
        if running.returncode:
            raise subprocess.CalledProcessError(running.returncode, command)
        made: dict[str, Any] = json.loads(report.read_text())
        return made

    def synced(self, times: int = 2_000) -> NDArray[np.float64]:
        """What the disk alone takes to make 4 KB durable at the end of a file, in ms.

        There is a pause between two writes as there is between two small batches: a disk that is
        kept busy answers sooner.
        """
        path = self.folder / "synced"
        took = []
        with path.open("wb", buffering=0) as file:
            for _ in range(times):
                file.write(b"x" * 4_096)
                begun = time.perf_counter()
                os.fsync(file.fileno())
                took.append((time.perf_counter() - begun) * 1e3)
                time.sleep(0.002)
        path.unlink()
        return np.array(took)


def throughput(bench: Bench, runs: int) -> float:
    """Decisions a second by stdin, from a file, and with every decision explained."""
    rows = [("run", "decisions/s", "processor us", "peak MB", "journal bytes", "vault bytes",
             "not approved")]  # fmt: skip
    medians: list[float] = []
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("stdin, 200 x depth 6, reasons of what is not approved", {}),
        ("the same from a file", {"stdin": False}),
        ("stdin, 300 x depth 4, reasons of every decision", {"depth": 4, "explain_all": True}),
    ]
    for name, how in kinds:
        made = [bench.run(**how) for _ in range(runs)]
        median = statistics.median(item["rate"] for item in made)
        medians.append(median)
        last = made[-1]
        count = last["decisions"]
        touched = 1 - last["outcomes"]["approve"] / count
        spread = f"{min(m['rate'] for m in made):,.0f} to {max(m['rate'] for m in made):,.0f}"
        rows.append(
            (
                name,
                f"{median:,.0f} ({spread})",
                f"{statistics.median(m['processor_s'] for m in made) / count * 1e6:.1f}",
                f"{max(m['peak_mb'] for m in made):,.0f}",
                f"{last['journal_bytes'] / count:.0f}",
                f"{last['vault_bytes'] / count:.0f}",
                f"{touched:.1%}",
            )
        )
    table("Throughput", rows)
    return medians[0]


def shares(bench: Bench) -> None:
    """What each stage takes, by the clock and by the processor of its thread."""
    made = bench.run(stdin=False, profile=True)
    count = made["decisions"]
    total = made["processor_s"]
    rows = [("stage", "us of clock", "us of its thread's processor", "share of processor")]
    for stage in _STAGES:
        wall, processor = made["wall"].get(stage, 0.0), made["processor"].get(stage, 0.0)
        rows.append(
            (
                stage,
                f"{wall / count * 1e6:.2f}",
                f"{processor / count * 1e6:.2f}",
                f"{processor / total:.0%}",
            )
        )
    named = sum(made["processor"].get(stage, 0.0) for stage in _STAGES)
    rest = total - named
    rows.append(("threads of the engine, and the rest", "", f"{rest / count * 1e6:.2f}",
                 f"{rest / total:.0%}"))  # fmt: skip
    table("Stages, a decision", rows)


def latency(bench: Bench) -> None:
    """Time from read to durable at offered rates, beside the disk's own."""
    disk = bench.synced()
    p50, p99 = np.percentile(disk, [50, 99])
    rows = [("offered/s", "decided/s", "p50 ms", "p99 ms", "p99.9 ms", "goal for p99",
             "p99 ms since it was offered", "rows a commit")]  # fmt: skip
    for offered, most in OFFERED.items():
        made = bench.run(offered=float(offered))
        rows.append(
            (
                f"{offered:,}",
                f"{made['rate']:,.0f}",
                f"{made['p50_ms']:.2f}",
                f"{made['p99_ms']:.2f}",
                f"{made['p999_ms']:.2f}",
                f"{most:.0f} + 2 x {p99:.2f}",
                f"{since_offered(bench, made['commits'], offered):.2f}",
                f"{made['received'] / len(made['commits']):.0f}",
            )
        )
    table(f"Latency; fsync alone p50 {p50:.2f} ms, p99 {p99:.2f} ms", rows)


def since_offered(bench: Bench, commits: list[tuple[int, int]], rate: float) -> float:
    """The 99th percentile of the time from when a line was due to be written, in ms.

    It counts what lines wait in the pipe too. As in the run's own figure, all lines of a commit are
    counted with the wait of the oldest.
    """
    began = int((bench.folder / "report.began").read_text())
    durable, lines = np.array(commits).T
    oldest = began + (np.cumsum(lines) - lines) / rate * 1e9
    waited = (durable - oldest) / 1e6
    order = np.argsort(waited)
    reached = np.cumsum(lines[order]) / lines.sum()
    return float(waited[order][np.searchsorted(reached, 0.99)])


def decided(home: Path) -> Iterator[tuple[list[str | None], NDArray[np.float64]]]:
    """Ids and features [rows, features] of what is in the journal of a home, batch by batch."""
    for stored in stored_batches(home / "journal" / "benchmark" / "0"):
        batch = stored.batch()
        rows = batch.inputs.row[batch.decisions.seq - batch.first_seq]
        if len(rows):
            yield (
                batch.events["payments"].text("payment_id").take(rows).strings(),
                (batch.decisions.features.T),
            )


def peers(bench: Bench, ours: float) -> None:
    """Plain Python and DuckDB on the same payments, and whether they agree."""
    settings = json.loads(bench.work.settings(6).read_text())
    plain = plain_python(bench.work.json, settings, bench.folder / "plain.log", PLAIN_LINES)
    batch = duckdb_batch(bench.work.parquet, settings)
    rows = [("", "decisions/s", "Headrace is faster by")]
    rows.append(("Headrace, from JSON to a durable, signed decision", f"{ours:,.0f}", ""))
    for name, peer in (
        ("plain Python: dict and deque, XGBoost in batches of 1,000", plain),
        ("DuckDB: SQL windows over Parquet as one batch, then XGBoost", batch),
    ):
        rows.append((name, f"{peer.rate:,.0f}", f"{ours / peer.rate:.1f}"))
    table("Peers, the same run", rows)
    bench.run()
    ids: list[str | None] = []
    parts: list[NDArray[np.float64]] = []
    for names, values in decided(bench.home):
        ids += names
        parts.append(values)
    features = np.concatenate(parts).astype(np.float32)
    print(f"\n{agreement(ids, features, plain, np.ones(len(plain.ids), bool), range(20))}")
    untouched = undisturbed(bench.work.parquet, "card", batch.ids)
    print(agreement(ids, features, batch, untouched, range(14)))
    untouched = undisturbed(bench.work.parquet, "merchant", batch.ids)
    print(agreement(ids, features, batch, untouched, range(14, 18)))


def undisturbed(path: Path, key: str, ids: list[str]) -> NDArray[np.bool_]:
    """Which payments are of a key none of whose payments came late or shares its time."""
    made = pq.read_table(path, columns=["payment_id", "at", "received", key])
    late = pc.greater(pc.milliseconds_between(made["at"], made["received"]), 1_000)
    counted = made.group_by([key, "at"]).aggregate([("payment_id", "count")])
    shared = counted.filter(pc.greater(counted["payment_id_count"], 1))[key]
    gone = pc.or_(
        pc.is_in(made[key], made.filter(late)[key].combine_chunks()),
        pc.is_in(made[key], shared.combine_chunks()),
    )
    kept = made.filter(pc.invert(gone))["payment_id"].combine_chunks()
    found: NDArray[np.bool_] = pc.is_in(pa.array(ids), kept).to_numpy(zero_copy_only=False)
    return found


def agreement(
    ids: list[str | None],
    features: NDArray[np.float32],
    peer: Peer,
    rows: NDArray[np.bool_],
    columns: range,
) -> str:
    """How many of a peer's values are ours, over its payments in `rows`."""
    place = pc.index_in(pa.array(peer.ids), pa.array(ids)).to_numpy(zero_copy_only=False)
    chosen = np.flatnonzero(rows & ~np.isnan(place.astype(np.float64)))
    mine = features[place[chosen].astype(np.int64)][:, columns]
    theirs = peer.features[chosen][:, columns]
    same = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))
    close = np.isclose(mine, theirs, rtol=1e-6, atol=0.0, equal_nan=True)
    worst = [FEATURES[columns[i]] for i in np.flatnonzero(~close.all(axis=0))]
    return (
        f"{len(chosen):,} payments, {len(columns)} features: {same.mean():.6%} are the same bits as"
        f" 32-bit floats, {close.mean():.6%} within 1e-6; features that differ: {worst or 'none'}"
    )


def cold() -> None:
    """How long the command takes to say what it can do."""
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", "from headrace.cli import main; main()", "--help"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        took.append(time.perf_counter() - begun)
    section("From the start")
    print(f"`headrace --help`: {statistics.median(took):.2f} s.")


def first_decision(bench: Bench) -> None:
    """From the start of the process to the first durable decision, with compiled kernels."""
    took = bench.run()["first_decision_s"]
    print(f"\nFrom the start of a run to the first durable decision: {took:.2f} s.")


def main() -> None:
    """Measure, and print tables of Markdown."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, default=FOLDER)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--times", type=int, default=1, help="times the events and the keys")
    options.add_argument("--events", type=int, default=None, help="fewer events, for a trial")
    options.add_argument(
        "--only", nargs="*", default=["throughput", "shares", "latency", "peers", "cold"]
    )
    given = options.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    work = prepared(given.folder / f"times-{given.times}", given.times, given.events)
    bench = Bench(work, given.folder)
    surroundings()
    ours = throughput(bench, given.runs) if "throughput" in given.only else 0.0
    if "shares" in given.only:
        shares(bench)
    if "latency" in given.only:
        latency(bench)
    if "peers" in given.only:
        peers(bench, ours or bench.run()["rate"])
    if "cold" in given.only:
        cold()
        first_decision(bench)


if __name__ == "__main__":
    main()
