"""From tick to signal: a capture is replayed at ten times its rate, through books and models.

    HEADRACE_DATA=FOLDER python -m benchmarks.tick_to_signal [--seconds 150] [--times 10] [--runs 7]

Everything that was received goes through `step` at the moment at which it is due, together with
whatever else has become due by then. A signal is out when `step` returns: before it is recorded and
synced to the disk. Its time counts from when its tick was due, so it includes what it waited for
the work before it. What a door does (reading, checking types) is done before. One thread, with few
collections of garbage, as where it is served. Trades come in bursts of hundreds in a millisecond,
and a signal after each of them is worked out: there the wait is that of the burst. Every figure is
the median of several runs, from an empty state each; of the 99th percentile the least and the most
are shown too. Runs that the processor was fast in (`benchmarks.pace`) have a table of their own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from benchmarks.books import inputs_of
from benchmarks.next_move import CAPTURES, alone_case, captures
from benchmarks.pace import pace_us, slowest_fast
from benchmarks.report import surroundings, table
from benchmarks.trading import BOOSTING, LSTM

import headrace as hr
from headrace.core.columns import concatenated
from headrace.lifecycle.folds import FoldSettings
from headrace.lifecycle.training import TrainingSettings
from headrace.pipeline.inputs import Inputs
from headrace.pipeline.lane import Lane, LaneLimits
from headrace.pipeline.step import step
from headrace.runtime.models import served_model
from headrace.runtime.run import undisturbed
from headrace_solutions.trading_signal import lead_lag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Batch, Int64s

TIMES, SECONDS, RUNS = 10.0, 150.0, 7
#: The models, and the most that p99 may be, in ms. The net is not quantised: rows of one that is
#: change each other, so they go through one by one, which takes longer in a burst.
MODELS: dict[str, tuple[hr.XGBoost | hr.Lstm, float]] = {
    "boosting": (BOOSTING, 1.0),
    "LSTM": (replace(LSTM, quantise=False), 5.0),
}
#: The horizon that models are trained for, on how many seconds: quality is not looked at here.
AFTER, TRAINED = "200ms", 60.0
TRAINING = TrainingSettings(folds=FoldSettings(folds=1, embargo_ns=10**9))
HEAD = ("when, and model", "runs", "signals", "inputs/s", "price-level changes/s", "inputs a batch",
        "batch p50 ms", "tick to signal p50 ms", "p99 ms", "p99.9 ms", "goal for p99")  # fmt: skip
#: Share of what is played that does not count: books are made and caches filled.
WARM = 0.1


@dataclass(frozen=True, slots=True)
class Tape:
    """All inputs of a capture as one batch, and where each stream's rows begin.

    Attributes:
        inputs: In known order.
        rows: How many rows of each stream lie before each input: by stream, one more than inputs.
        names: Of the streams by rank.
    """

    inputs: Inputs
    rows: tuple[Int64s, ...]
    names: tuple[str, ...]

    @staticmethod
    def of(case: hr.UseCase, frames: Mapping[str, pa.Table]) -> Tape:
        """The frames as validated columns."""
        parts = inputs_of(case, frames)
        names = tuple(stream.name for stream in case.plan.streams)
        stream = np.concatenate([part.stream for part in parts])
        held = {name: [p.batches[name] for p in parts if p.batches.get(name)] for name in names}
        batches = {name: concatenated(batches) for name, batches in held.items() if batches}
        counted = tuple(
            np.concatenate([[0], np.cumsum(stream == rank)]) for rank in range(len(names))
        )
        row = np.zeros(len(stream), dtype=np.int32)
        for rank, counts in enumerate(counted):
            mine = stream == rank
            row[mine] = counts[:-1][mine]
        sources, positions, received, read = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("source", "position", "received_ns", "read_ns")
        )
        whole = Inputs(stream, row, sources, positions, received, read, batches)
        return Tape(whole, counted, names)

    def part(self, first: int, last: int) -> Inputs:
        """The inputs from one place to before another, as a batch of their own."""
        whole, piece = self.inputs, slice(first, last)
        begins = np.array([counts[first] for counts in self.rows])
        batches: dict[str, Batch] = {}
        for name, counts in zip(self.names, self.rows, strict=True):
            if counts[last] > counts[first]:
                batches[name] = whole.batches[name].take(np.arange(counts[first], counts[last]))
        stream = whole.stream[piece]
        return Inputs(
            stream=stream,
            row=(whole.row[piece] - begins[stream]).astype(np.int32),
            source=whole.source[piece],
            position=whole.position[piece],
            received_ns=whole.received_ns[piece],
            read_ns=whole.read_ns[piece],
            batches=batches,
        )


@dataclass(frozen=True, slots=True)
class Played:
    """What a replay came to.

    Attributes:
        waited: Of each signal, from when its tick was due, in ms.
        worked: Of each batch, in ms.
        sizes: Inputs of each batch.
        seconds: How long it lasted.
        pace_us: Of the processor, before or after, whichever was slower.
    """

    waited: NDArray[np.float64]
    worked: NDArray[np.float64]
    sizes: NDArray[np.int64]
    seconds: float
    pace_us: float = 0.0


@dataclass(frozen=True, slots=True)
class Replays:
    """The same replay, several times.

    Attributes:
        name: What is replayed, and through which model.
        runs: What each came to.
        changes: Price-level changes in it.
        most: The most that p99 may be, in ms.
    """

    name: str
    runs: Sequence[Played]
    changes: int
    most: float

    def row(self) -> tuple[str, ...]:
        """A line of the table."""
        runs = self.runs
        waits = np.array([np.percentile(one.waited, [50, 99, 99.9]) for one in runs])
        p50, p99, p999 = (f"{value:.2f}" for value in np.median(waits, axis=0))
        seconds = statistics.median(one.seconds for one in runs)
        return (
            self.name,
            f"{len(runs)}",
            f"{len(runs[0].waited):,}",
            f"{runs[0].sizes.sum() / seconds:,.0f}",
            f"{self.changes / seconds:,.0f}",
            f"{statistics.median(np.median(one.sizes) for one in runs):.0f}",
            f"{statistics.median(np.median(one.worked) for one in runs):.2f}",
            p50,
            f"{p99} ({waits[:, 1].min():.2f} to {waits[:, 1].max():.2f})",
            p999,
            f"{self.most:.0f}",
        )

    def fast(self, pace_us: float) -> Replays:
        """Those of the runs in which the processor was at least so fast."""
        return replace(self, runs=[run for run in self.runs if run.pace_us <= pace_us])


def play(lane: Lane, tape: Tape, times: float, on: str) -> Played:
    """Give the lane the inputs of a tape as they become due."""
    received, last = tape.inputs.received_ns, len(tape.inputs)
    due = ((received - received[0]) / times).astype(np.int64)
    looks = np.flatnonzero(tape.inputs.stream == tape.names.index(on))
    done = np.zeros(last, dtype=np.int64)
    worked, sizes = [], []
    first, began = 0, time.perf_counter_ns()
    while first < last:
        now = time.perf_counter_ns() - began
        place = int(np.searchsorted(due, now, side="right"))
        if place <= first:
            continue
        batch = tape.part(first, place)
        # cutting the tape is the benchmark's work: the clock stands still meanwhile
        began += time.perf_counter_ns() - began - now
        step(lane, batch)
        ended = time.perf_counter_ns() - began
        done[first:place] = ended
        worked.append(ended - now)
        sizes.append(place - first)
        first = place
    counted = looks[due[looks] >= WARM * due[-1]]
    waited = (done - due)[counted] / 1e6
    return Played(waited, np.array(worked) / 1e6, np.array(sizes), done[-1] / 1e9)


def first_seconds(frames: Mapping[str, pa.Table], seconds: float) -> dict[str, pa.Table]:
    """What was received within so many seconds of the first trade."""
    first = pc.min(frames["trades"]["received"]).cast(pa.int64()).as_py()
    end = pa.scalar(first + int(seconds * 1e9)).cast(frames["trades"]["received"].type)
    return {name: t.filter(pc.less(t["received"], end)) for name, t in frames.items()}


def replayed(
    feeds: list[Mapping[str, pa.Table]], seconds: float
) -> dict[str, tuple[dict[str, pa.Table], Callable[[Any], hr.UseCase]]]:
    """What is replayed: the frames, and the use case of a model."""
    perpetual = feeds[1]
    alone = {name: perpetual[name] for name in ("changes", "depth", "trades")}
    made = {"the perpetual's book, after each of its messages": (alone, alone_case)}
    for stream, title in (("depth", "message of its book"), ("trades", "trade")):
        moments = perpetual[stream]["received"]
        frames = lead_lag.frames_of(feeds, list(CAPTURES), moments=moments)
        made[f"three markets, after each {title}"] = (frames, _led)
    return {title: (first_seconds(frames, seconds), case) for title, (frames, case) in made.items()}


def _led(model: hr.XGBoost | hr.Lstm) -> hr.UseCase:
    return lead_lag.use_case(model, after=AFTER)


def measured(
    name: str,
    frames: Mapping[str, pa.Table],
    case: hr.UseCase,
    most: float,
    given: argparse.Namespace,
) -> Replays:
    """Train a use case on the first of the frames, and replay all of them as often as was asked."""
    trained = hr.train(case, first_seconds(frames, TRAINED), settings=TRAINING)
    scorer = served_model(case, trained.artefact)
    scorer.make_ready(reasons=True)
    tape = Tape.of(case, frames)
    made, before = [], pace_us()
    for _ in range(given.runs):
        lane = Lane(case.definition(scorer), (1, 2), LaneLimits(threads=1))
        with undisturbed():
            played = play(lane, tape, given.times, case.plan.on)
        after = pace_us()
        made.append(replace(played, pace_us=max(before, after)))
        before = after
    changes = sum(frames[stream].num_rows for stream in ("changes", "tops") if stream in frames)
    return Replays(name, made, changes, most)


def main() -> int:
    """Measure, and print tables of Markdown."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=SECONDS, help="of the capture")
    options.add_argument("--times", type=float, default=TIMES, help="the capture's rate")
    options.add_argument("--runs", type=int, default=RUNS, help="of each market and model")
    given = options.parse_args()
    folder = os.environ.get("HEADRACE_DATA")
    if folder is None:
        sys.exit("HEADRACE_DATA names no folder: it holds the captures that are replayed")
    feeds = captures(Path(folder))
    surroundings()
    made = [
        measured(f"{title}, {name}", frames, made_of(model), most, given)
        for title, (frames, made_of) in replayed(feeds, given.seconds).items()
        for name, (model, most) in MODELS.items()
    ]
    title = f"Tick to signal, at {given.times:g} times the rate of {given.seconds:g} s of capture"
    table(title, [HEAD, *[replays.row() for replays in made]])
    paces = [run.pace_us for replays in made for run in replays.runs]
    fast = [replays.fast(slowest_fast(paces)) for replays in made]
    table(
        f"Runs that the processor was fast in; its pace was {min(paces):.0f} to"
        f" {max(paces):.0f} us",
        [HEAD, *[replays.row() for replays in fast if replays.runs]],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
