"""What the journal costs per decision on one core, and where: `python benchmarks/journal.py`.

Payments of eight fields, each decided with twenty features, some blocked or reviewed with five
reasons; batches of 4,096 (or `--rows`). Stages are timed one by one over the same batches, then the
whole of `append` and `commit`. Medians of processor time.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import Batch, Fixed, Kind, Text
from headrace.core.sha256 import leaves_of, libcrypto, merkle_root
from headrace.events.schema import Field, Role, Schema
from headrace.journal.batch import Decisions, Inputs, JournalBatch
from headrace.journal.canonical import RecordWriter
from headrace.journal.header import JournalHeader, StreamHeader
from headrace.journal.journal import Journal
from headrace.journal.keys import SigningKey
from headrace.journal.payload import encode_payload
from headrace.journal.verification import verify

if TYPE_CHECKING:
    from collections.abc import Callable

FEATURES = 20
SCHEMA = Schema(
    "Payment",
    (
        Field("payment_id", Kind.TEXT, Role.ID),
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("card", Kind.TEXT, Role.KEY, pii=True),
        Field("merchant", Kind.TEXT, Role.KEY),
        Field("amount", Kind.MONEY, currency_field="currency"),
        Field("currency", Kind.CURRENCY),
        Field("country", Kind.COUNTRY),
        Field("received", Kind.TIME, Role.KNOWN_AT),
    ),
)
HEADER = JournalHeader(
    use_case="card_fraud",
    lane="lane-0",
    definition="0" * 64,
    model="1" * 64,
    policy="2" * 64,
    engine="0.1.0",
    streams=(StreamHeader("payments", SCHEMA),),
    on="payments",
    features=tuple(f"feature_{i}" for i in range(FEATURES)),
    outcomes=("approve", "review", "block"),
    rules=("high", "burst"),
)


def texts(numbers: np.ndarray, width: int) -> Text:
    """Texts of one width, made from numbers."""
    rows = len(numbers)
    digits = (numbers[:, None] // 10 ** np.arange(width - 1, -1, -1)[None, :] % 10 + 48).astype(
        np.uint8
    )
    return Text(
        np.arange(rows + 1, dtype=np.int32) * width, digits.reshape(-1), np.ones(rows, np.uint8)
    )


def batch(random: np.random.Generator, first_seq: int, rows: int) -> JournalBatch:
    """Payments and their decisions."""
    ones = np.ones(rows, np.uint8)
    at = 1_700_000_000_000_000_000 + np.sort(random.integers(0, 10**10, rows))
    fixed = {
        "at": at,
        "amount": random.integers(100, 10**6, rows),
        "currency": np.full(rows, 3241),
        "country": random.integers(0, 676, rows),
        "received": at + 10**9,
    }
    events: dict[str, Fixed | Text] = {
        "payment_id": texts(random.integers(0, 10**12, rows), 16),
        "card": texts(random.integers(0, 200_000, rows), 16),
        "merchant": texts(random.integers(0, 10_000, rows), 8),
    }
    events |= {name: Fixed(values.astype(np.int64), ones) for name, values in fixed.items()}
    events = {name: events[name] for name in SCHEMA.names}
    features = random.integers(0, 1000, (FEATURES, rows)).astype(np.float64)
    features[: FEATURES // 4] = random.normal(size=(FEATURES // 4, rows)).astype(np.float32)
    told = (random.random(rows) < 0.05)[None, :] & np.ones((5, 1), bool)
    decisions = Decisions(
        seq=np.arange(first_seq, first_seq + rows),
        features=features,
        margin=random.normal(size=rows).astype(np.float32).astype(np.float64),
        score=random.random(rows),
        reason_feature=np.where(told, random.integers(0, FEATURES, told.shape), -1).astype(
            np.int16
        ),
        reason_contribution=np.where(told, random.normal(size=told.shape), 0.0),
        rules=random.integers(0, 2, rows).astype(np.uint64),
        rule=random.integers(-1, 1, rows).astype(np.int16),
        outcome=random.integers(0, 2, rows).astype(np.uint8),
        arm=np.zeros(rows, np.uint8),
        marks=np.zeros(rows, np.uint8),
    )
    inputs = Inputs(
        stream=np.zeros(rows, np.uint8),
        kind=np.zeros(rows, np.uint8),
        row=np.arange(rows, dtype=np.int32),
        source=np.zeros(rows, np.uint16),
        position=np.arange(first_seq, first_seq + rows),
        received_ns=at + 10**9,
        reason=np.zeros(rows, np.uint16),
        original_seq=np.full(rows, -1),
        read_ns=np.full(rows, time.time_ns()),
    )
    return JournalBatch(
        first_seq,
        inputs,
        {"payments": Batch({name: events[name] for name in SCHEMA.names}, rows)},
        decisions,
    )


def timed(work: Callable[[], object], rows: int) -> float:
    """Microseconds of this thread's processor time per row."""
    start = time.thread_time()
    work()
    return (time.thread_time() - start) * 1e6 / rows


class Stages:
    """Times of the stages of a batch of `rows`."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.times: dict[str, list[float]] = {}

    def time(self, name: str, work: Callable[[], object]) -> None:
        """Time one stage once."""
        self.times.setdefault(name, []).append(timed(work, self.rows))

    def median(self, name: str) -> float:
        """The median of a stage."""
        return statistics.median(self.times[name])

    def parts(self, item: JournalBatch) -> None:
        """Time what `append` does, part by part."""
        self.time("tables of addresses", lambda: RecordWriter(item, HEADER))
        writer = RecordWriter(item, HEADER)
        self.time("canonical bytes", lambda: sum(len(o) for _, o in writer.chunks(0, self.rows)))
        self.time("canonical bytes + digests", lambda: RecordWriter(item, HEADER).digests())
        digests = writer.digests()
        self.time("leaves", partial(leaves_of, digests, item.inputs.read_ns))
        leaves = leaves_of(digests, item.inputs.read_ns)
        self.time("Merkle tree", partial(merkle_root, leaves))
        self.time("Arrow", partial(encode_payload, item, HEADER, leaves))
        payload = b"".join(encode_payload(item, HEADER, leaves))
        self.time("payload SHA-256", partial(hashlib.sha256, payload))


def main() -> None:
    """Time the stages, then the whole."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=4096)
    options.add_argument("--batches", type=int, default=40)
    options.add_argument("--durability", choices=("fsync", "os", "async"), default="fsync")
    options.add_argument("--folder", default=None, help="where the journal is written")
    given = options.parse_args()
    random = np.random.default_rng(1)
    rows = given.rows
    batches = [batch(random, i * rows, rows) for i in range(given.batches)]
    stages = Stages(rows)
    for item in batches:
        stages.parts(item)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name) / "journal"
        key = SigningKey.from_seed(os.urandom(32))
        with Journal.open(folder, HEADER, key, durability=given.durability) as journal:
            for item in batches:
                stages.time("append", partial(journal.append, item))
                start = time.perf_counter()
                stages.time("commit", journal.commit)
                elapsed = (time.perf_counter() - start) * 1e6 / rows
                stages.times.setdefault("commit, with waiting", []).append(elapsed)
        size = sum(path.stat().st_size for path in folder.iterdir())
        seconds = timed(lambda: verify(folder, key.public).require(), 1) / 1e6
    canonical = sum(int(o[-1]) for _, o in RecordWriter(batches[0], HEADER).chunks(0, rows)) / rows
    found = "found" if libcrypto()[0] else "not found"
    print(f"libcrypto {found}; batches of {rows}, {given.durability}")
    for label, values in stages.times.items():
        print(f"  {label:28s} {statistics.median(values):7.3f} us/decision")
    whole = stages.median("append") + stages.median("commit")
    print(f"  append + commit on one core: {whole:.3f} us/decision")
    print(f"  {size / (rows * len(batches)):.0f} bytes on disk, {canonical:.0f} canonical each")
    print(f"  verify: {seconds * 1e6 / (rows * len(batches)):.2f} us/decision")


if __name__ == "__main__":
    main()
