"""The same work done by plain Python and by DuckDB, to be measured beside Headrace.

Both read the same payments and compute the same twenty features, score them by the same model with
XGBoost, choose the outcome by the same thresholds, and write a log. Neither seals personal data,
signs, explains, or survives a crash.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import math
import os
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import xgboost

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CARD_WINDOWS = (300, 3_600, 86_400, 604_800)
MERCHANT_WINDOWS = (3_600, 86_400)
#: The columns of both peers, in the order of the use case's features.
FEATURES = (
    *(f"card_count_{w}" for w in CARD_WINDOWS),
    *(f"card_sum_{w}" for w in CARD_WINDOWS),
    *(f"card_mean_{w}" for w in CARD_WINDOWS),
    "card_max_24h",
    "card_seconds_since_last",
    "merchant_count_1h",
    "merchant_count_24h",
    "merchant_sum_1h",
    "merchant_sum_24h",
    "hour",
    "log_amount",
)
_BATCH = 1_000
_LATE_MS = 600_000


@dataclass(frozen=True, slots=True)
class Peer:
    """What a peer gave.

    Attributes:
        seconds: For all of it, the model's loading not counted.
        ids: Of the payments it decided.
        features: float32 [payments, 20].
        scores: float32 [payments].
    """

    seconds: float
    ids: list[str]
    features: NDArray[np.float32]
    scores: NDArray[np.float32]

    @property
    def rate(self) -> float:
        """Decisions a second."""
        return len(self.ids) / self.seconds


class Windows:
    """Exact windows of one key: a deque for each length, with its count and its sum in cents."""

    __slots__ = ("lengths", "queues", "sums")

    def __init__(self, seconds: tuple[int, ...]) -> None:
        self.lengths = [1_000 * length for length in seconds]
        self.queues: list[deque[tuple[int, int]]] = [deque() for _ in seconds]
        self.sums = [0 for _ in seconds]

    def add(self, at: int, cents: int) -> tuple[list[int], list[int]]:
        """Counts and sums over the windows that end with this payment, itself included."""
        longest = self.queues[-1]
        if longest and at < longest[-1][0]:
            return self._late(at, cents)
        counts = []
        for i, length in enumerate(self.lengths):
            queue = self.queues[i]
            queue.append((at, cents))
            self.sums[i] += cents
            # a late payment may still ask for what has just left the longest window
            edge = at - length - (_LATE_MS if queue is longest else 0)
            while queue[0][0] <= edge:
                self.sums[i] -= queue.popleft()[1]
            counts.append(len(queue))
        if longest[0][0] > at - self.lengths[-1]:
            return counts, list(self.sums)
        return self._counted(at, counts)

    def _counted(self, at: int, counts: list[int]) -> tuple[list[int], list[int]]:
        gone = 0
        total = self.sums[-1]
        for held, cents in self.queues[-1]:
            if held > at - self.lengths[-1]:
                break
            gone += 1
            total -= cents
        return [*counts[:-1], counts[-1] - gone], [*self.sums[:-1], total]

    def _late(self, at: int, cents: int) -> tuple[list[int], list[int]]:
        """A payment behind others: it is put in its place, and its own windows are added up."""
        newest = self.queues[-1][-1][0]
        for i, (length, queue) in enumerate(zip(self.lengths, self.queues, strict=True)):
            slack = _LATE_MS if i == len(self.queues) - 1 else 0
            if at > newest - length - slack:
                place = bisect.bisect_right(queue, at, key=lambda item: item[0])
                queue.insert(place, (at, cents))
                self.sums[i] += cents
        counts, sums = [], []
        for length in self.lengths:
            inside = [paid for held, paid in self.queues[-1] if at - length < held <= at]
            counts.append(len(inside))
            sums.append(sum(inside))
        return counts, sums

    def greatest(self, at: int, index: int) -> int:
        """The largest amount in one window that ends at a time."""
        edge = at - self.lengths[index]
        if self.queues[-1][-1][0] > at:
            return max(cents for held, cents in self.queues[-1] if edge < held <= at)
        return max(cents for _, cents in self.queues[index])

    def before(self, at: int) -> int | None:
        """When the one before the payment at `at` was; None if none was within the longest."""
        last: int | None = None
        for held, _ in reversed(self.queues[-1]):
            if held <= at:
                if last is not None:
                    return held if held > at - self.lengths[-1] else None
                last = held
        return None


class PlainLog:
    """Scores rows in batches of 1,000, and writes each decision to a hashed log, synced."""

    def __init__(self, settings: dict[str, Any], log: Path) -> None:
        self._settings = settings
        self._model = xgboost.Booster(model_file=settings["model"])
        self._model.set_param({"nthread": 1})
        self._out = log.open("wb")
        self._chain = b""
        self._names: list[str] = []
        self._rows: list[list[float]] = []
        self.ids: list[str] = []
        self.values: list[NDArray[np.float32]] = []
        self.scores: list[NDArray[np.float32]] = []

    def add(self, name: str, row: list[float]) -> None:
        """One payment with its features."""
        self._names.append(name)
        self._rows.append(row)
        if len(self._rows) == _BATCH:
            self.decide()

    def decide(self) -> None:
        """Decide what has gathered."""
        x = np.array(self._rows, dtype=np.float32).reshape(-1, len(FEATURES))
        score = self._model.inplace_predict(x)
        for name, row, value in zip(self._names, self._rows, score.tolist(), strict=True):
            outcome = "approve"
            if value >= self._settings["block"]:
                outcome = "block"
            elif value >= self._settings["review"] or row[0] > 40:
                outcome = "review"
            record = json.dumps([name, outcome, value, row]).encode()
            self._chain = hashlib.sha256(self._chain + record).digest()
            self._out.write(record + b"\n")
        self._out.flush()
        os.fsync(self._out.fileno())
        self.ids += self._names
        self.values.append(x)
        self.scores.append(score)
        self._names, self._rows = [], []


def plain_python(
    source: Path, settings: dict[str, Any], log: Path, lines: int | None = None
) -> Peer:
    """Dicts and deques, line by line; XGBoost in batches of 1,000; a log hashed and written.

    Args:
        source: JSON lines.
        settings: Of the use case: model and thresholds.
        log: Where decisions go.
        lines: Stop after so many.
    """
    decisions = PlainLog(settings, log)
    begun = time.perf_counter()
    cards: dict[str, Windows] = {}
    merchants: dict[str, Windows] = {}
    seen: set[str] = set()
    with source.open("rb") as file:
        for line in islice(file, lines):
            read = _payment(line)
            if read is None or read[0] in seen:
                continue
            name, at, card, merchant, cents = read
            seen.add(name)
            if card not in cards:
                cards[card] = Windows(CARD_WINDOWS)
            if merchant not in merchants:
                merchants[merchant] = Windows(MERCHANT_WINDOWS)
            decisions.add(name, _features(cards[card], merchants[merchant], at, cents))
    decisions.decide()
    seconds = time.perf_counter() - begun
    values, scores = np.concatenate(decisions.values), np.concatenate(decisions.scores)
    return Peer(seconds, decisions.ids, values, scores)


def _features(card: Windows, merchant: Windows, at: int, cents: int) -> list[float]:
    """The features of one payment, which the windows then hold."""
    counts, sums = card.add(at, cents)
    before = card.before(at)
    many, amounts = merchant.add(at, cents)
    return [
        *counts,
        *[total / 100 for total in sums],
        *[total / 100 / count for total, count in zip(sums, counts, strict=True)],
        card.greatest(at, 2) / 100,
        math.nan if before is None else (at - before) / 1000,
        *many,
        *[total / 100 for total in amounts],
        at // 3_600_000 % 24,
        math.log1p(cents / 100),
    ]


def _payment(line: bytes) -> tuple[str, int, str, str, int] | None:
    """Id, time in milliseconds, card, merchant, cents; None for what is no payment."""
    try:
        event = json.loads(line, parse_float=str, parse_int=str)
        at = round(datetime.fromisoformat(event["at"]).timestamp() * 1000)
        whole, _, rest = event["amount"].partition(".")
        cents = int(whole) * 100 + int(rest.ljust(2, "0"))
        if len(event["currency"]) != 3:
            return None
        return event["payment_id"], at, event["card"], event["merchant"], cents
    except (ValueError, KeyError):
        return None


def _windows_sql() -> str:
    """The features as SQL over `payments`, with named windows of RANGE."""
    columns = []
    windows = []
    since = "ms - lag(ms) OVER in_order"
    for key, lengths in (("card", CARD_WINDOWS), ("merchant", MERCHANT_WINDOWS)):
        for length in lengths:
            span = f"RANGE BETWEEN {length * 1000 - 1} PRECEDING AND CURRENT ROW"
            windows += [f"{key}_{length} AS (PARTITION BY {key} ORDER BY ms {span})"]
    columns += [f"count(*) OVER card_{w}" for w in CARD_WINDOWS]
    columns += [f"sum(cents) OVER card_{w} / 100.0" for w in CARD_WINDOWS]
    columns += [f"sum(cents) OVER card_{w} / 100.0 / count(*) OVER card_{w}" for w in CARD_WINDOWS]
    columns += ["max(cents) OVER card_86400 / 100.0"]
    columns += [f"CASE WHEN {since} < 604800000 THEN ({since}) / 1000.0 END"]
    columns += [f"count(*) OVER merchant_{w}" for w in MERCHANT_WINDOWS]
    columns += [f"sum(cents) OVER merchant_{w} / 100.0" for w in MERCHANT_WINDOWS]
    columns += ["(ms // 3600000) % 24", "ln(1 + cents / 100.0)"]
    windows.append("in_order AS (PARTITION BY card ORDER BY ms)")
    named = ", ".join(f"CAST({column} AS FLOAT) AS f{i}" for i, column in enumerate(columns))
    return f"SELECT payment_id, {named} FROM payments WINDOW {', '.join(windows)}"


def duckdb_batch(source: Path, settings: dict[str, Any], threads: int = 2) -> Peer:
    """One SQL query over all payments at once, then the model over its result.

    It sees the whole file before its first answer, so a late payment counts in windows of payments
    that were decided before it came: that is what a batch gives.
    """
    model = xgboost.Booster(model_file=settings["model"])
    model.set_param({"nthread": threads})
    begun = time.perf_counter()
    connection = duckdb.connect()
    connection.execute(f"SET threads = {threads}")
    connection.execute(
        'CREATE VIEW payments AS SELECT payment_id, card, merchant, epoch_ms("at") AS ms,'
        f" CAST(amount * 100 AS BIGINT) AS cents FROM read_parquet('{source}')"
    )
    found = connection.sql(_windows_sql()).to_arrow_table()
    x = np.column_stack(
        [found[f"f{i}"].to_numpy(zero_copy_only=False) for i in range(len(FEATURES))]
    ).astype(np.float32)
    scores = model.inplace_predict(x)
    np.select([scores >= settings["block"], scores >= settings["review"]], [2, 1])
    seconds = time.perf_counter() - begun
    return Peer(seconds, found["payment_id"].to_pylist(), x, scores)
