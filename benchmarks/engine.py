"""The engine alone: twenty features over cards and merchants, one thread and two, with shares.

    python benchmarks/engine.py [EVENTS]

Prints microseconds per event for the whole plan and for its parts (each part run as a plan of its
own), medians of three runs in one process, and bytes per key and per held event.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from headrace.core.columns import Batch, Fixed, Kind, Text
from headrace.definitions.plan import (
    Aggregate,
    Calendar,
    Feature,
    Function,
    Group,
    Instruction,
    Op,
    Plan,
    Program,
    StreamPlan,
)
from headrace.engine.engine import Engine
from headrace.engine.rows import StreamRows
from headrace.events.schema import Field, Role, Schema

SECOND = 1_000_000_000
HOUR, DAY = 3600 * SECOND, 86_400 * SECOND
SPANS = (300 * SECOND, HOUR, DAY, 7 * DAY)
BATCH = 4096
SCHEMA = Schema(
    "Payment",
    (
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("card", Kind.TEXT, Role.KEY),
        Field("merchant", Kind.TEXT, Role.KEY),
        Field("amount", Kind.MONEY, scale=2, currency="EUR"),
    ),
)


def plan_of(parts: frozenset[str]) -> Plan:
    """The plan with only some of: card, merchant, expressions."""
    groups = (
        Group("p", ("card",), ("card",), 0, ()),
        Group("p", ("merchant",), ("merchant",), 0, ()),
    )
    items: list[Aggregate] = []
    if "card" in parts:
        for span in SPANS:
            items.append(Aggregate(Function.COUNT, 0, window_ns=span))
            items.append(Aggregate(Function.SUM, 0, value=0, scale=2, window_ns=span))
            items.append(Aggregate(Function.MEAN, 0, value=0, scale=2, window_ns=span))
        items.append(Aggregate(Function.MAX, 0, value=0, scale=2, window_ns=DAY))
        items.append(Aggregate(Function.SECONDS_SINCE_LAST, 0, window_ns=30 * DAY))
    if "merchant" in parts:
        for span in (HOUR, DAY):
            items.append(Aggregate(Function.COUNT, len(groups) - 1, window_ns=span))
            items.append(Aggregate(Function.SUM, len(groups) - 1, value=0, scale=2, window_ns=span))
    used = tuple(g for g, name in zip(groups, ("card", "merchant"), strict=True) if name in parts)
    if "card" not in parts:
        items = [
            Aggregate(i.function, 0, i.value, i.where, scale=i.scale, window_ns=i.window_ns)
            for i in items
        ]
    loads = [f"aggregate:{n}" for n in range(len(items))]
    features = [Feature(f"a{n}", n, _kind(item)) for n, item in enumerate(items)]
    steps: list[Instruction] = []
    if "expressions" in parts:
        loads += ["field:at", "field:amount"]
        n = len(items)
        steps = [
            Instruction(Op.CALENDAR, n + 2, (n,), 0),
            Instruction(Op.TO_FLOAT, n + 3, (n + 1,), 2),
            Instruction(Op.LOG_F, n + 4, (n + 3,)),
        ]
        features += [Feature("hour", n + 2, Kind.INT), Feature("log", n + 4, Kind.FLOAT)]
    program = Program(tuple(loads), tuple(steps), len(loads) + len(steps))
    row = Program(("amount",), (), 1)
    stream = StreamPlan("p", SCHEMA, 600 * SECOND, 0, 0, 0, row)
    zone = Calendar("hour", "Europe/Berlin", (-(2**63),), (3600,), "benchmark")
    return Plan("p", (stream,), (), used, tuple(items), program, tuple(features), calendars=(zone,))


def _kind(item: Aggregate) -> Kind:
    if item.function in {Function.COUNT, Function.MAX}:
        return Kind.INT
    return Kind.FLOAT


def events(count: int) -> list[StreamRows]:
    """Batches of payments over thirty days, cards and merchants skewed as Zipf has it."""
    drawn = np.random.default_rng(1)

    def keys(prefix: str, many: int, exponent: float) -> Text:
        weights = 1 / np.arange(1, many + 1) ** exponent
        chosen = np.searchsorted(np.cumsum(weights) / weights.sum(), drawn.random(count))
        names = np.array([f"{prefix}{n:015d}".encode() for n in range(many + 1)])
        data = np.frombuffer(names[chosen].tobytes(), dtype=np.uint8)
        offsets = np.arange(0, 16 * count + 1, 16, dtype=np.int32)
        return Text(offsets, data, np.ones(count, dtype=np.uint8))

    at = np.sort(drawn.integers(0, 30 * DAY, count))
    valid = np.ones(count, dtype=np.uint8)
    whole = Batch(
        {
            "at": Fixed(at, valid),
            "card": keys("c", max(count // 5, 1), 0.6),
            "merchant": keys("m", max(count // 100, 1), 0.9),
            "amount": Fixed(np.exp(drawn.normal(8, 1, count)).astype(np.int64) + 1, valid),
        },
        count,
    )
    batches = []
    for first in range(0, count, BATCH):
        rows = np.arange(first, min(first + BATCH, count))
        batch = whole.take(rows)
        batches.append(StreamRows(batch, rows, batch.fixed("at").values))
    return batches


def measure(plan: Plan, batches: list[StreamRows], threads: int) -> tuple[float, float, Engine]:
    """Microseconds per event by the clock and of all processors, and the engine after it."""
    engine = Engine(plan, threads=threads)
    events_given = sum(len(b.batch) for b in batches)
    start, used = time.perf_counter(), time.process_time()
    for batch in batches:
        engine.compute({"p": batch})
    spent, used = time.perf_counter() - start, time.process_time() - used
    return spent * 1e6 / events_given, used * 1e6 / events_given, engine


def one_by_one(engine: Engine, batches: list[StreamRows]) -> float:
    """Microseconds that a batch of one event takes, the median of 500 events."""
    last = int(batches[-1].sequence[-1])
    taken = []
    for n in range(500):
        row = np.array([n % len(batches[0].batch)])
        given = StreamRows(
            batches[0].batch.take(row), np.array([last + 1 + n]), batches[-1].watermark_ns[-1:]
        )
        start = time.thread_time()
        engine.compute({"p": given})
        taken.append(time.thread_time() - start)
    return statistics.median(taken) * 1e6


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    batches = events(count)
    everything = frozenset({"card", "merchant", "expressions"})
    measure(plan_of(everything), batches[:2], 2)
    print(f"{count:,} events, {max(count // 5, 1):,} cards, {max(count // 100, 1):,} merchants")
    for name, parts, threads in [
        ("nothing", frozenset[str](), 1),
        ("expressions", frozenset({"expressions"}), 1),
        ("card", frozenset({"card"}), 1),
        ("merchant", frozenset({"merchant"}), 1),
        ("all, one thread", everything, 1),
        ("all, two threads", everything, 2),
    ]:
        runs = [measure(plan_of(parts), batches, threads) for _ in range(3)]
        clock = statistics.median(run[0] for run in runs)
        used = statistics.median(run[1] for run in runs)
        engine = runs[-1][2]
        print(f"{name:18} {clock:7.3f} us/event by the clock, {used:7.3f} of processors")
        if parts in ({"card"}, {"merchant"}):
            memory = engine.memory()
            share = memory.bytes_by["keys and events"]
            keys, held = sum(memory.keys), sum(memory.held)
            print(f"{'':18} {share / keys:.0f} bytes per key, {share / held:.0f} per held event")
    print(f"a batch of one event {one_by_one(engine, batches):.0f} us")


if __name__ == "__main__":
    main()
