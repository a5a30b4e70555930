"""Four kinds of streams at once into one use case, with errors put in from a seed.

    python -m benchmarks.streams [--folder FOLDER] [--seconds 20] [--seed 7]

`benchmarks.four_streams` decides orders with what market ticks, user events and bureau updates
say. All four come in live by HTTP at fixed rates, each over a connection of its own. Latency is
from when an event was due to be sent until it is on the disk. Window completeness is the share of
events that were in the windows of decisions, of those that would have been if everything had come
in order of event time and nothing had gone wrong. The error rate is what was quarantined of what
was sent.
"""

from __future__ import annotations

import argparse
import datetime as dt
import selectors
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from benchmarks.disorder import four_streams
from benchmarks.four_streams import case
from benchmarks.http_connection import HttpConnection
from benchmarks.report import surroundings, table
from benchmarks.service import served
from benchmarks.workload import FOLDER

import headrace as hr
from headrace.journal.tables import tables
from headrace.runtime.home import Home

if TYPE_CHECKING:
    from benchmarks.disorder import Sent
    from numpy.typing import NDArray

#: Events of each stream in a second.
RATES = {"orders": 1_000.0, "ticks": 4_000.0, "actions": 1_500.0, "reports": 100.0}
KINDS = {
    "orders": "transactions", "ticks": "market ticks", "actions": "user events",
    "reports": "bureau updates",
}  # fmt: skip
_AT_ONCE = 500
_LATE = "late"
_LEAD_SECONDS = 3.0
_TRIAL_SECONDS = 1.0


@dataclass(slots=True)
class Feed:
    """A stream on its way: one connection, and what is due goes with the next request.

    Attributes:
        sent: The stream.
        connection: That it goes over.
        next: Its first line that was not sent yet.
        under_way: Lines of the request that has no answer yet.
        waited_ms: For each line that was answered, since it was due.
    """

    sent: Sent
    connection: HttpConnection
    next: int = 0
    under_way: int = 0
    waited_ms: list[NDArray[np.float64]] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether all of it was sent and answered."""
        return self.next == len(self.sent.lines) and not self.under_way

    def send(self, now_us: int) -> None:
        """Send what is due, unless a request is under way."""
        if not self.under_way:
            due = int(np.searchsorted(self.sent.due_us, now_us, side="right"))
            last = min(due, self.next + _AT_ONCE)
            if last > self.next:
                self.connection.send(b"".join(self.sent.lines[self.next : last]))
                self.under_way = last - self.next
                self.next = last

    def answered(self, now_us: int) -> None:
        """Note that the request under way was answered.

        Raises:
            RuntimeError: It was refused as a whole.
        """
        if self.connection.status != 200:
            raise RuntimeError(f"{self.sent.name}: status {self.connection.status}")
        due = self.sent.due_us[self.next - self.under_way : self.next]
        self.waited_ms.append((now_us - due) / 1e3)
        self.under_way = 0


def offer(feeds: list[Feed], begin_us: int) -> None:
    """Send all streams, each line when it is due, and wait for the answers."""
    with selectors.DefaultSelector() as selector:
        for feed in feeds:
            selector.register(feed.connection, selectors.EVENT_READ, feed)
        while not all(feed.done for feed in feeds):
            for feed in feeds:
                feed.send(_now_us() - begin_us)
            for key, _ in selector.select(timeout=0.001):
                if key.data.connection.receive():
                    key.data.answered(_now_us() - begin_us)


def _now_us() -> int:
    return time.time_ns() // 1_000


def completeness(streams: list[Sent], journal: Path) -> dict[str, float]:
    """For each stream, the events in the windows of decisions, of those that should have been."""
    made = tables(journal)["decisions"]
    ideal = hr.compute(case, {sent.name: sent.whole for sent in streams})
    place = pa.compute.index_in(made["order_id"], ideal["id"].combine_chunks())
    shares = {}
    for sent in streams:
        name = f"{sent.name}_in_window"
        should = ideal[name].take(place)
        shares[sent.name] = pa.compute.sum(made[name]).as_py() / pa.compute.sum(should).as_py()
    return shares


def found(journal: Path) -> dict[str, Counter[str]]:
    """What became of the inputs of each stream, in the words of what can go wrong."""
    told: dict[str, Counter[str]] = {name: Counter() for name in RATES}
    inputs = tables(journal)["inputs"].select(["stream", "kind", "reason"])
    counted = inputs.group_by(["stream", "kind", "reason"]).aggregate([([], "count_all")])
    for row in counted.to_pylist():
        kind = row["kind"]
        if kind == "quarantined":
            kind = "late" if row["reason"] == _LATE else "bad"
        told[row["stream"]][kind] += row["count_all"]
    return told


def expected(sent: Sent) -> dict[str, int]:
    """What should become of a stream, in the same words."""
    wrong = {kind: sent.injected[kind] for kind in ("bad", "late", "duplicate")}
    return {"accepted": len(sent.lines) - sum(wrong.values()), **wrong}


def measured(folder: Path, seconds: float, seed: int) -> tuple[list[Feed], Path]:
    """Send the streams to a fresh service; what was answered, and its journal."""
    home = folder / "home"
    with served("benchmarks/four_streams.py", home, {}) as service:
        begin = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=_LEAD_SECONDS)
        feeds = []
        for sent in four_streams(RATES, seconds, begin, seed):
            path = f"/v1/orders/events/{sent.name}"
            feeds.append(Feed(sent, HttpConnection(service.port, path)))
        offer(feeds, int(begin.timestamp() * 1e6))
        for feed in feeds:
            feed.connection.close()
    return feeds, Home(home).journal(case.name)


def report(feeds: list[Feed], journal: Path, seconds: float) -> bool:
    """Print the tables; whether what was found is what was put in."""
    told, whole = found(journal), completeness([feed.sent for feed in feeds], journal)
    head = ("stream", "sent", "events/s", "mean ms", "p99 ms", "window completeness", "error rate")
    rows: list[tuple[str, ...]] = [head]
    errors: list[tuple[str, ...]] = [
        ("stream", "bad: put in, found", "late: put in, found", "duplicates: put in, found",
         "out of order, and accepted")
    ]  # fmt: skip
    for feed in feeds:
        sent, counts = feed.sent, told[feed.sent.name]
        waited = np.concatenate(feed.waited_ms)
        lines = len(sent.lines)
        wrong = counts["bad"] + counts["late"]
        rows.append(
            (KINDS[sent.name], f"{lines:,}", f"{lines / seconds:,.0f}", f"{waited.mean():.1f}",
             f"{np.percentile(waited, 99):.1f}", f"{whole[sent.name]:.2%}", f"{wrong / lines:.2%}")
        )  # fmt: skip
        pairs = [f"{sent.injected[kind]}, {counts[kind]}" for kind in ("bad", "late", "duplicate")]
        errors.append((KINDS[sent.name], *pairs, f"{sent.injected['out of order']}"))
    table("Four streams at once", rows)
    table("Errors put in, and errors found", errors)
    return all(+told[feed.sent.name] == +Counter(expected(feed.sent)) for feed in feeds)


def main() -> None:
    """Measure, and print tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, default=FOLDER)
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--seed", type=int, default=7)
    given = options.parse_args()
    surroundings()
    # kernels that this use case is the first to need are compiled before anything is measured
    measured(given.folder, _TRIAL_SECONDS, given.seed + 1)
    feeds, journal = measured(given.folder, given.seconds, given.seed)
    if not report(feeds, journal, given.seconds):
        sys.exit("what was found is not what was put in")
    print("\nWhat was found is what was put in, stream by stream and kind by kind.")


if __name__ == "__main__":
    main()
