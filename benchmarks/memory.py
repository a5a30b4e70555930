"""What keyed state weighs: bytes for each key and each held event, and what they are made of.

    python -m benchmarks.memory [EVENTS]

Payments with keys of 16 letters, all inside the longest window. An event's bytes are those of its
own row, its share of its key's block, and its share of the rest: the table that finds the key, and
room that is free, in rings and in rings that were outgrown and wait for another key.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from benchmarks.engine import DAY, plan_of

from headrace.core.columns import Batch, Fixed, Kind, Text
from headrace.definitions.plan import Aggregate, Feature, Function, Group, Plan, Program
from headrace.engine.engine import Engine
from headrace.engine.layout import lay_out
from headrace.engine.rows import StreamRows

BATCH = 4096
EVENTS_PER_KEY = (1, 2, 5, 20, 100, 1000)
KEY_BYTES = 24  # the length of a text key and its letters, in words


@dataclass(frozen=True)
class Weight:
    """What one run's state weighed: keys and events in number, the rest in bytes."""

    keys: int
    held: int
    total: int
    rows: int
    blocks: int

    def __str__(self) -> str:
        parts = (self.rows, self.blocks, self.total - self.rows - self.blocks)
        shares = " ".join(f"{part / self.held:9.1f}" for part in parts)
        return (
            f"{self.keys:9,} {self.held / self.keys:9,.0f} {self.total / self.keys:11,.0f}"
            f" {self.total / self.held:11,.1f} {shares}"
        )


def plans() -> dict[str, Plan]:
    """A count alone; and counts, sums and means over four windows, with two more."""
    card = plan_of(frozenset({"card"}))
    count = Plan(
        "p",
        card.streams,
        (),
        (Group("p", ("card",), ("card",), 0, ()),),
        (Aggregate(Function.COUNT, 0, window_ns=30 * DAY),),
        Program(("aggregate:0",), (), 1),
        (Feature("count", 0, Kind.INT),),
    )
    return {"a count": count, "fourteen features of a card": card}


def weighed(plan: Plan, events: int, per_key: int) -> Weight:
    """The state after so many payments, each key's spread evenly over a day."""
    keys = max(events // per_key, 1)
    drawn = np.random.default_rng(1)
    chosen = np.concatenate([drawn.permutation(keys) for _ in range(per_key)])
    names = np.array([f"c{number:015d}".encode() for number in range(keys)])
    count = len(chosen)
    valid = np.ones(count, dtype=np.uint8)
    text = Text(
        np.arange(0, 16 * count + 1, 16, dtype=np.int32),
        np.frombuffer(names[chosen].tobytes(), dtype=np.uint8),
        valid,
    )
    at = Fixed(np.arange(count, dtype=np.int64) * (DAY // count), valid)
    amount = Fixed(np.exp(drawn.normal(8, 1, count)).astype(np.int64) + 1, valid)
    whole = Batch({"at": at, "card": text, "merchant": text, "amount": amount}, count)
    engine = Engine(plan, threads=1)
    for first in range(0, count, BATCH):
        rows = np.arange(first, min(first + BATCH, count))
        batch = whole.take(rows)
        engine.compute({"p": StreamRows(batch, rows, batch.fixed("at").values)})
    layout, memory = lay_out(plan, 0), engine.memory()
    (found,), (held,) = memory.keys, memory.held
    block = -(-(layout.key_at + KEY_BYTES) // 32) * 32
    total = memory.bytes_by["keys and events"]
    return Weight(found, held, total, 8 * layout.row * held, block * found)


def main() -> None:
    """Measure and print."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for name, plan in plans().items():
        print(f"{name}, {events:,} payments")
        print(
            f"{'keys':>9} {'events':>9} {'bytes a key':>11} {'an event':>11}"
            f" {'row':>9} {'key':>9} {'rest':>9}"
        )
        for per_key in EVENTS_PER_KEY:
            print(weighed(plan, events, per_key))


if __name__ == "__main__":
    main()
