"""Reading and writing JSON lines, in microseconds an event, against what else there is.

Payments of nine fields; all read the same bytes in the same run, in turns, on one thread, and the
figures are medians of processor time. Not all do the same work: Headrace reads exact amounts in
minor units, times to the nanosecond, currencies and countries, and checks every value and limit;
the others give doubles or text, as they find them. msgspec decodes to typed structs, which are
then transposed.

    python benchmarks/json_lines.py [--events 200000] [--repeat 7]
"""

from __future__ import annotations

import argparse
import io
import os
import random
import statistics
import sys
import time
from typing import TYPE_CHECKING

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.json

from headrace.core.columns import Kind
from headrace.events.json_lines import JsonLines
from headrace.events.json_writer import lines_of, list_texts
from headrace.events.schema import Field, Role, Schema

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = Schema(
    "Payment",
    (
        Field("payment_id", Kind.TEXT, Role.ID),
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("card", Kind.TEXT, Role.KEY),
        Field("merchant", Kind.TEXT, Role.KEY),
        Field("amount", Kind.MONEY, currency_field="currency"),
        Field("currency", Kind.CURRENCY),
        Field("country", Kind.COUNTRY),
        Field("risk", Kind.FLOAT, optional=True),
        Field("online", Kind.BOOL),
    ),
)


class Payment(msgspec.Struct):
    """The same payment for msgspec."""

    payment_id: str
    at: str
    card: str
    merchant: str
    amount: float
    currency: str
    country: str
    online: bool
    risk: float | None = None


def payments(events: int) -> bytes:
    """Lines of payments; one in four goes without a risk."""
    rng = random.Random(7)
    lines = []
    for number in range(events):
        moment = np.datetime64(1_767_225_600_000 + 37 * number, "ms")
        risk = f',"risk":{rng.random():.4f}' if rng.randrange(4) else ""
        lines.append(
            f'{{"payment_id":"pay_{number:012x}","at":"{moment}Z",'
            f'"card":"4{rng.randrange(10**15):015d}","merchant":"m{rng.randrange(10**5):05d}",'
            f'"amount":{rng.paretovariate(0.8) % 1e6:.2f},"currency":"EUR",'
            f'"country":"{rng.choice(["DE", "FR", "NL"])}"{risk},'
            f'"online":{rng.choice(["true", "false"])}}}\n'
        )
    return "".join(lines).encode()


def readers(data: bytes) -> dict[str, Callable[[], object]]:
    """Ways to columns from lines."""
    ours = JsonLines(SCHEMA)
    one_thread = pyarrow.json.ReadOptions(use_threads=False)
    decoder = msgspec.json.Decoder(Payment)

    def structs() -> list[list[object]]:
        decoded = decoder.decode_lines(data)
        return [[getattr(item, name) for item in decoded] for name in SCHEMA.names]

    return {
        "headrace": lambda: ours.parse(data),
        "pyarrow": lambda: pyarrow.json.read_json(pa.BufferReader(data), read_options=one_thread),
        "polars": lambda: pl.read_ndjson(io.BytesIO(data)),
        "msgspec, to columns": structs,
    }


def writers(data: bytes) -> dict[str, Callable[[], object]]:
    """Ways to lines from columns: of the payments, and of decisions about them."""
    batch = JsonLines(SCHEMA).parse(data).batch
    rows = len(batch)
    rng = np.random.default_rng(1)
    score = pa.array(rng.random(rows))
    outcome = pa.array(rng.choice(["approve", "review", "block"], rows))
    identity = pa.array(batch.text("payment_id").strings())
    places = pa.array(np.arange(0, 3 * rows + 1, 3, dtype=np.int32))
    codes = pa.array(rng.choice(["over_usual", "burst", "new_merchant", "hour"], 3 * rows))
    sequence = pa.array(np.arange(rows))

    def decisions() -> bytes:
        return lines_of(
            [
                ("sequence", sequence),
                ("id", identity),
                ("score", score),
                ("outcome", outcome),
                ("reasons", list_texts(places, codes)),
            ]
        )

    frame = pl.DataFrame({"sequence": sequence, "id": identity, "score": score, "outcome": outcome})
    return {
        "headrace, decisions": decisions,
        "polars, decisions, no reasons": frame.write_ndjson,
    }


def race(ways: dict[str, Callable[[], object]], events: int, repeat: int) -> None:
    """Run all in turns, and print what each took."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeat + 1):
        for name, way in ways.items():
            begun = time.process_time()
            way()
            taken[name].append((time.process_time() - begun) / events * 1e6)
    # the first round compiles and warms up
    medians = {name: statistics.median(times[1:]) for name, times in taken.items()}
    first = next(iter(medians.values()))
    for name, middle in medians.items():
        print(f"{name:32} {middle:7.3f} us   {middle / first:6.1f} x")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=7)
    options = parser.parse_args()
    data = payments(options.events)
    parsed = JsonLines(SCHEMA).parse(data)
    if len(parsed.rows) != options.events:
        sys.exit(f"{len(parsed.rejections)} payments were refused")
    print(f"{options.events} events of {len(data) / options.events:.0f} bytes")
    race(readers(data), options.events, options.repeat)
    race(writers(data), options.events, options.repeat)


if __name__ == "__main__":
    main()
