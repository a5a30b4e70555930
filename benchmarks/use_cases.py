"""Decisions a second of each use case: card fraud, a probability of default, a net over sequences.

    HEADRACE_DATA=FOLDER python -m benchmarks.use_cases [--runs 3] [--seconds 345]

As in `benchmarks.throughput`, a run is the path of the command in a process of its own, from files
to decisions that are journaled, signed and synced to the disk, personal data sealed in the vault.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from benchmarks.next_move import CAPTURES, captures
from benchmarks.report import surroundings, table
from benchmarks.throughput import ROOT
from benchmarks.tick_to_signal import first_seconds
from benchmarks.workload import FOLDER, prepared

from headrace.lifecycle.folds import FoldSettings
from headrace.lifecycle.training import TrainingSettings
from headrace.runtime.home import Home
from headrace.runtime.loading import load_case
from headrace.runtime.sources import SourceName
from headrace.runtime.training import train_on_files
from headrace_solutions.credit_risk.files import STREAMS, simulate_to
from headrace_solutions.trading_signal import lead_lag

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Applications for a loan, and the days over which they come.
APPLICATIONS, DAYS = 20_000, 720
#: Streams of the capture, the decided one last.
MARKET = ("changes", "quotes", "trades", "tops", "looks")
#: Inputs to one decision differ between use cases; both are told.
HEAD = ("use case", "model", "decisions/s", "inputs/s", "inputs a decision",
        "processor us, an input", "journal bytes, a decision")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prepared:
    """A use case with its model in a home, and the files that it runs over.

    Attributes:
        title: For people.
        model: Likewise.
        case: As a command names it.
        home: With the model; None where the use case names its file.
        source: Of the decided stream.
        more: Of the other streams, as `STREAM=FILE`.
        environment: What it needs to be told.
    """

    title: str
    model: str
    case: str
    home: Path | None
    source: Path
    more: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


def card_fraud(folder: Path, events: int | None) -> Prepared:
    """The workload of the speed benchmark."""
    work = prepared(folder / "times-1", 1, events)
    settings = {"HEADRACE_BENCHMARK": str(work.settings(6))}
    return Prepared(
        "card fraud", "XGBoost, 200 trees of depth 6", str(ROOT / "benchmarks" / "payments.py"),
        None, work.parquet, (), settings,
    )  # fmt: skip


def credit_risk(folder: Path, events: int) -> Prepared:
    """A simulated loan book, and the model that is trained on it."""
    place = folder / f"credit-{events}"
    files = {name: place / f"{name}.parquet" for name in STREAMS}
    if not files["defaults"].exists():
        simulate_to(place, events=events, days=DAYS, seed=7)
    home = trained("credit-risk", place / "home", files)
    others = tuple(f"{name}={files[name]}" for name in STREAMS[1:])
    title = "XGBoost, 250 trees of depth 3, monotone, calibrated; reasons of what is declined"
    return Prepared("credit risk", title, "credit-risk", home, files["applications"], others)


def trading(folder: Path, seconds: float) -> Prepared:
    """A capture of three venues, and the net that is trained on it."""
    place = folder / f"capture-{seconds:g}"
    files = {name: place / f"{name}.parquet" for name in MARKET}
    if not files["looks"].exists():
        feeds = captures(Path(os.environ["HEADRACE_DATA"]))
        whole = lead_lag.frames_of(feeds, list(CAPTURES), moments=feeds[1]["trades"]["received"])
        place.mkdir(parents=True, exist_ok=True)
        for name, frame in first_seconds(whole, seconds).items():
            pq.write_table(frame, files[name])
    case = str(Path(lead_lag.__file__))
    home = trained(case, place / "home", files)
    others = tuple(f"{name}={path}" for name, path in files.items() if name != "looks")
    title = f"LSTM, bi-directional, over {lead_lag.LENGTH} vectors of {len(lead_lag.READ)} features"
    return Prepared("trading signals", title, case, home, files["looks"], others)


def trained(case: str, home: Path, files: Mapping[str, Path]) -> Path:
    """A home with the model of a use case, trained on files if it is not there yet."""
    if not home.exists():
        loaded = load_case(case)
        names = [SourceName.of(f"{name}={path}", loaded.plan.on) for name, path in files.items()]
        settings = TrainingSettings(folds=FoldSettings(folds=1, embargo_ns=10**9))
        train_on_files(loaded, Home(home), names, settings)
    return home


def run(folder: Path, made: Prepared) -> dict[str, Any]:
    """One run in a process of its own; its report."""
    home, report = folder / "home", folder / "report.json"
    shutil.rmtree(home, ignore_errors=True)
    if made.home is not None:
        shutil.copytree(made.home, home)
    command = [sys.executable, "-m", "benchmarks.one_run", str(home), str(made.source), str(report)]
    command += ["--case", made.case, "--more", *made.more]
    environment = {**os.environ, **made.environment}
    subprocess.run(command, env=environment, cwd=ROOT, check=True)
    told: dict[str, Any] = json.loads(report.read_text())
    return told


def row_of(made: Prepared, runs: list[dict[str, Any]]) -> tuple[str, ...]:
    """A line of the table."""
    last = runs[-1]
    decisions, inputs = last["decisions"], last["received"]
    rates = [item["rate"] for item in runs]
    spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
    return (
        made.title,
        made.model,
        f"{statistics.median(rates):,.0f} ({spread})",
        f"{statistics.median(rates) * inputs / decisions:,.0f}",
        f"{inputs / decisions:.1f}",
        f"{statistics.median(item['processor_s'] for item in runs) / inputs * 1e6:.1f}",
        f"{last['journal_bytes'] / decisions:,.0f}",
    )


def main() -> int:
    """Measure, and print a table of Markdown."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, default=FOLDER)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--events", type=int, default=None, help="fewer payments, for a trial")
    options.add_argument("--applications", type=int, default=APPLICATIONS)
    options.add_argument("--seconds", type=float, default=345.0, help="of the capture")
    given = options.parse_args()
    if "HEADRACE_DATA" not in os.environ:
        sys.exit("HEADRACE_DATA names no folder: it holds the captures that are decided over")
    given.folder.mkdir(parents=True, exist_ok=True)
    surroundings()
    made = (
        card_fraud(given.folder, given.events),
        credit_risk(given.folder, given.applications),
        trading(given.folder, given.seconds),
    )
    rows = [row_of(one, [run(given.folder, one) for _ in range(given.runs)]) for one in made]
    table("Use cases, from files to durable, signed decisions", [HEAD, *rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
