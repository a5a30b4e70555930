"""What it takes to keep a state, and to come back to it: pauses, sizes, times.

    python -m benchmarks.state [CARDS] [EVENTS]

Payments over thirty days go through a lane with the features of `benchmarks/payments.py`, journal
on, no model. A snapshot is asked for at every quarter; then the process forgets the lane, as if it
had been killed, and opens it again. Without arguments: 200,000 cards with a million payments, and
ten times both.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from benchmarks.payments import use_case

from headrace.core.columns import Batch, Column, Fixed, Text
from headrace.engine.layout import lay_out
from headrace.engine.state_bytes import opened
from headrace.pipeline.inputs import Inputs
from headrace.pipeline.lane import LaneState
from headrace.runtime.home import Home
from headrace.runtime.local_lane import LaneSettings, LocalLane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

DAY = 86_400 * 10**9
START = 1_700_000_000 * 10**9
BATCH = 16_384
CASE = use_case(None).definition(None)


def text(prefix: str, numbers: NDArray[np.int64]) -> Text:
    """Texts of sixteen letters."""
    names = np.char.add(prefix, np.char.zfill(numbers.astype("U15"), 15)).astype("S16")
    offsets = np.arange(0, 16 * len(numbers) + 1, 16, dtype=np.int32)
    data = np.frombuffer(names.tobytes(), dtype=np.uint8)
    return Text(offsets, data, np.ones(len(numbers), dtype=np.uint8))


def shares(many: int, exponent: float) -> NDArray[np.float64]:
    """Running shares of keys that are skewed as Zipf has it."""
    weights = np.cumsum(1 / np.arange(1, many + 1) ** exponent)
    return np.asarray(weights / weights[-1], dtype=np.float64)


def payments(cards: int, events: int, days: int = 30) -> Iterator[Inputs]:
    """Batches of payments, evenly over so many days."""
    drawn = np.random.default_rng(1)
    card, merchant = shares(cards, 0.6), shares(max(cards // 20, 1), 0.9)
    for first in range(0, events, BATCH):
        size = min(BATCH, events - first)
        valid = np.ones(size, dtype=np.uint8)
        number = first + np.arange(size)
        at = START + number * (days * DAY // events)
        amount = np.exp(drawn.normal(8, 1, size)).astype(np.int64) + 1
        columns: dict[str, Column] = {
            "payment_id": text("p", number),
            "at": Fixed(at, valid),
            "received": Fixed(at, valid),
            "card": text("c", np.searchsorted(card, drawn.random(size))),
            "merchant": text("m", np.searchsorted(merchant, drawn.random(size))),
            "amount": Fixed(amount, valid),
            "currency": Fixed(np.full(size, 2_972), valid),
            "country": Fixed(np.full(size, 82), valid),
        }
        yield Inputs(
            stream=np.zeros(size, dtype=np.uint8),
            row=np.arange(size, dtype=np.int32),
            source=np.zeros(size, dtype=np.uint16),
            position=number,
            received_ns=at,
            read_ns=at,
            batches={"payments": Batch(columns, size)},
        )


def run(home: Home, cards: int, events: int) -> list[float]:
    """Decide everything, then forget the lane without a word to the disk; seconds of batches."""
    settings = LaneSettings(durability="os", snapshot_every=events // 4)
    local = LocalLane(CASE, home, ["made"], settings, say=print)
    steps, newest = list[float](), None
    for inputs in payments(cards, events):
        begun = time.perf_counter()
        stepped = local.step(inputs)
        steps.append(time.perf_counter() - begun)
        local.record([stepped])
        local.catch_up()
        written = local.newest_snapshot
        if written is not None and written is not newest:
            newest = written
            print(
                f"  before input {written.next_seq:,}: {written.bytes / 1e6:.1f} MB in"
                f" {written.seconds:.2f} s, deciding paused {1e3 * written.pause_s:.1f} ms"
            )
    memory = local.lane.engine.memory()
    print(
        f"  keys {sum(memory.keys):,}, events held {sum(memory.held):,}:"
        f" {memory.total / 1e6:.1f} MB in memory, and {local.lane.acceptance.memory() / 1e6:.1f}"
        " MB of ids"
    )
    local.__exit__(RuntimeError, RuntimeError("forgotten"), None)
    return steps


def records(local: LocalLane) -> set[int]:
    """The records of the cards, as a snapshot holds them, by their hashes."""
    content = opened(LaneState.opened(local.lane.snapshot()).engine)[1][2]
    found, at = set[int](), 0
    words = np.frombuffer(content, dtype="<i8")
    row = lay_out(local.lane.engine.plan, 0).row
    while at < len(words):
        head = at + 1 + int(words[at])
        end = head + 1 + int(words[head]) * row
        found.add(hash(content[8 * at : 8 * end]))
        at = end
    return found


def increments(home: Home, cards: int, events: int) -> None:
    """Which part of the cards' records is another after so many more inputs."""
    ahead = payments(cards, 2 * events, 60)
    with suppress(StopIteration), LocalLane(CASE, home, ["made"]) as local:
        while local.lane.next_seq < events:
            local.decide(next(ahead))
        before, stood = records(local), local.lane.next_seq
        for part in (100, 20, 4):
            while local.lane.next_seq < stood + events // part:
                local.decide(next(ahead))
            now = records(local)
            fresh = len(now - before)
            print(f"  after {local.lane.next_seq - stood:,} inputs {fresh / len(now):.0%} differ")


def main() -> None:
    """Measure and print."""
    given = [int(word) for word in sys.argv[1:3]]
    sizes = [tuple(given)] if given else [(200_000, 1_000_000), (2_000_000, 10_000_000)]
    for cards, events in sizes:
        print(f"{cards:,} cards, {events:,} payments")
        with tempfile.TemporaryDirectory() as folder:
            home = Home(Path(folder))
            steps = run(home, cards, events)
            usual = 1e3 * float(np.median(steps))
            print(f"  a batch of {BATCH:,} takes {usual:.1f} ms, the median")
            with LocalLane(CASE, home) as again:
                print(f"  {again.recovery}")
            for path in home.snapshots(CASE.name).iterdir():
                path.unlink()
            with LocalLane(CASE, home) as again:
                print(f"  {again.recovery}")
        with tempfile.TemporaryDirectory() as folder:
            increments(Home(Path(folder)), cards, events)


if __name__ == "__main__":
    main()
