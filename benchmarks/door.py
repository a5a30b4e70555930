"""What the door costs: interning, acceptance and the vault, in microseconds a row.

A million payments of 200,000 cards (Zipf, exponent 0.6) and 10,000 merchants, a millisecond apart,
in batches as they come live; ids are held for 200 seconds. Each figure is the median of the
repetitions; the worst batch is the worst of all.

    python benchmarks/door.py [--events 1000000] [--cards 200000] [--batch 4096] [--repeat 3]
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import Batch, Fixed, Kind, Text
from headrace.core.interning import TextTable
from headrace.definitions.plan import Program, StreamPlan
from headrace.events.schema import Field, Role, Schema
from headrace.pipeline.acceptance import Acceptance, Verdict
from headrace.pipeline.inputs import Inputs
from headrace.security.keys import LocalMasterKey
from headrace.security.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 10**9
SCHEMA = Schema(
    "Payment",
    (
        Field("payment_id", Kind.TEXT, Role.ID),
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("card", Kind.TEXT, Role.KEY, pii=True, subject=True),
        Field("merchant", Kind.TEXT, Role.KEY),
        Field("amount", Kind.MONEY, currency_field="currency"),
        Field("currency", Kind.CURRENCY),
        Field("country", Kind.COUNTRY),
    ),
)
STREAM = StreamPlan(
    "payments", SCHEMA, 100 * SECOND, 600 * SECOND, 200 * SECOND, 0, Program((), (), 0)
)


def payments(events: int, cards: int, size: int) -> list[Inputs]:
    """The payments, in batches."""
    random = np.random.default_rng(7)
    weight = 1.0 / np.arange(1, cards + 1) ** 0.6
    drawn = random.choice(cards, size=events, p=weight / weight.sum())
    card = Text.of([f"4{number * 7_919 % 10**15:015d}" for number in drawn.tolist()])
    identity = Text.of([f"pay_{number:012x}" for number in range(events)])
    merchant = Text.of([f"m{n:05d}" for n in random.integers(0, 10_000, events).tolist()])
    amount = random.integers(1, 100_000, events)
    at = np.arange(events, dtype=np.int64) * 10**6
    present = np.ones(events, dtype=np.uint8)
    batches = []
    for start in range(0, events, size):
        rows = np.arange(start, min(start + size, events))
        valid = present[rows]
        columns: dict[str, Text | Fixed] = {
            "payment_id": identity.take(rows),
            "at": Fixed(at[rows], valid),
            "card": card.take(rows),
            "merchant": merchant.take(rows),
            "amount": Fixed(amount[rows], valid),
            "currency": Fixed(np.full(len(rows), 3_241), valid),
            "country": Fixed(np.full(len(rows), 82), valid),
        }
        batches.append(
            Inputs(
                stream=np.zeros(len(rows), dtype=np.uint8),
                row=np.arange(len(rows), dtype=np.int32),
                source=np.zeros(len(rows), dtype=np.uint16),
                position=rows.astype(np.int64),
                received_ns=at[rows],
                read_ns=at[rows],
                batches={"payments": Batch(columns, len(rows))},
            )
        )
    return batches


def timed(batches: list[Inputs], work: Callable[[Inputs, int], None]) -> tuple[float, float]:
    """Seconds for all batches, and for the slowest."""
    seconds = []
    first = 0
    for batch in batches:
        begun = time.perf_counter()
        work(batch, first)
        seconds.append(time.perf_counter() - begun)
        first += len(batch)
    return sum(seconds), max(seconds)


def interning(batches: list[Inputs]) -> dict[str, tuple[float, float]]:
    """Card and merchant to dense codes; the second pass knows them all."""
    found = {}
    for name in ("card", "merchant"):
        table = TextTable()

        def work(batch: Inputs, _: int, name: str = name, table: TextTable = table) -> None:
            table.intern(batch.batches["payments"].text(name))

        found[f"intern {name}"] = timed(batches, work)
        found[f"intern {name}, all known"] = timed(batches, work)
    return found


def judging(batches: list[Inputs]) -> dict[str, tuple[float, float]]:
    """Verdicts on payments that are new, and on the same ones once more, batch after batch."""
    acceptance = Acceptance((STREAM,), "payments", (1, 2), 2**30)
    counted = dict.fromkeys(Verdict, 0)
    seconds: dict[str, list[float]] = {"judge, new": [], "judge, seen": []}
    first = 0
    for batch in batches:
        for taken in seconds.values():
            begun = time.perf_counter()
            verdicts = acceptance.judge(batch, first)
            taken.append(time.perf_counter() - begun)
            first += len(batch)
            for verdict in Verdict:
                counted[verdict] += verdicts.count(verdict)
    events = sum(len(batch) for batch in batches)
    if counted != {Verdict.ACCEPTED: events, Verdict.DUPLICATE: events, Verdict.QUARANTINED: 0}:
        sys.exit(f"the verdicts are wrong: {counted}")
    return {name: (sum(taken), max(taken)) for name, taken in seconds.items()}


def keeping(batches: list[Inputs], folder: Path) -> dict[str, tuple[float, float]]:
    """Surrogates for cards: all new at first, committed batch by batch; then all known."""
    key = LocalMasterKey.create(folder / "master.key")
    vault = Vault.open(folder / "vault", key, secrets.token_bytes)

    def work(batch: Inputs, _: int) -> None:
        vault.surrogates("card", batch.batches["payments"].text("card"))
        vault.commit()

    first = timed(batches, work)
    known = timed(batches, work)
    cards = Text.of([f"5{number:015d}" for number in range(200_000)])
    begun = time.perf_counter()
    vault.surrogates("card", cards)
    drawn = time.perf_counter() - begun
    begun = time.perf_counter()
    vault.commit()
    written = time.perf_counter() - begun
    vault.close()
    begun = time.perf_counter()
    Vault.open(folder / "vault", key, secrets.token_bytes).close()
    opened = time.perf_counter() - begun
    rows = sum(len(batch) for batch in batches) / len(cards)
    return {
        "vault, mixed, commit each batch": first,
        "vault, all known": known,
        "vault, 200,000 new: draw, seal": (drawn * rows, drawn),
        "vault, 200,000 new: write, fsync": (written * rows, written),
        "vault, open (per value held)": (opened * rows, opened),
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--cards", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=4_096)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    batches = payments(options.events, options.cards, options.batch)
    runs: list[dict[str, tuple[float, float]]] = []
    for _ in range(options.repeat + 1):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(interning(batches) | judging(batches) | keeping(batches, Path(folder)))
    print(f"{'':36} us/row   worst batch ms")
    for name in runs[0]:
        # the first run compiles and warms up
        row = statistics.median(run[name][0] for run in runs[1:]) / options.events * 1e6
        worst = max(run[name][1] for run in runs[1:]) * 1e3
        print(f"{name:36} {row:6.3f}   {worst:8.2f}")


if __name__ == "__main__":
    main()
