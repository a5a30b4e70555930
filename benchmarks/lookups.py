"""What it takes to find a decision in a long journal: `python -m benchmarks.lookups`.

Journals of `--events` payments with twenty features each, in batches as `run` makes them (4,096)
and as `serve` does (32), with the index and without. Shown are the time of a commit, a look-up by
the decision's number and by the event's id in a process that has just started and in one that has
asked before, and the same by reading the journal.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from benchmarks.journal import HEADER, batch

from headrace.journal.frames import segment_paths
from headrace.journal.index import JournalIndex
from headrace.journal.index_files import IndexFolder
from headrace.journal.journal import Journal
from headrace.journal.keys import SigningKey
from headrace.journal.reader import find

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.journal.batch import JournalBatch

_SEGMENT_BYTES = 64 << 20
_LOOKUPS = 200


def milliseconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e3


def write(
    folder: Path, index: IndexFolder | None, events: int, rows: int
) -> tuple[list[str], float]:
    """Write a journal; the ids of its events, and the median microseconds of a batch."""
    random, seq = np.random.default_rng(1), 0
    ids: list[str] = []
    took = []
    with Journal.open(
        folder,
        HEADER,
        SigningKey.from_seed(bytes(32)),
        durability="os",
        segment_bytes=_SEGMENT_BYTES,
        index=index,
    ) as journal:
        while seq < events:
            made: JournalBatch = batch(random, seq, rows)
            ids += [name or "" for name in made.events["payments"].text("payment_id").strings()]
            begun = time.perf_counter()
            journal.append(made)
            journal.commit()
            took.append((time.perf_counter() - begun) * 1e6)
            seq = made.next_seq
    return ids, statistics.median(took)


def show(events: int, rows: int, folder: Path) -> None:
    """Measure journals in batches of `rows`."""
    kept = IndexFolder(folder / "index", (1, 2))
    ids, with_index = write(folder / "journal", kept, events, rows)
    _, without = write(folder / "bare", None, events, rows)
    segments = folder / "journal"
    size = sum(path.stat().st_size for path in segments.iterdir())
    extra = sum(path.stat().st_size for path in kept.path.iterdir())
    print(
        f"batches of {rows:,}: {len(ids):,} events, {size / 1e6:,.0f} MB in"
        f" {len(segment_paths(segments))} segments, index {extra / 1e6:,.1f} MB"
    )
    print(f"  append + commit of a batch: {without:,.0f} us, with the index {with_index:,.0f} us")
    seqs = np.random.default_rng(2).integers(0, len(ids), _LOOKUPS).tolist()
    fresh = JournalIndex(segments, kept)
    print(f"  by number, the first look-up: {milliseconds(lambda: fresh.find(seqs[0])):.1f} ms")
    print(f"  by id, the first look-up: {milliseconds(lambda: fresh.seq_of(ids[seqs[0]])):.1f} ms")
    by_seq = [milliseconds(lambda seq=seq: fresh.find(seq)) for seq in seqs]  # type: ignore[misc]  # bound now
    by_id = [milliseconds(lambda seq=seq: fresh.seq_of(ids[seq])) for seq in seqs]  # type: ignore[misc]  # bound now
    read = [milliseconds(lambda seq=seq: find(segments, seq)) for seq in seqs[:20]]  # type: ignore[misc]  # bound now
    for name, times in (("by number", by_seq), ("by id", by_id), ("by reading", read)):
        most = max(times)
        print(f"  {name}: median {statistics.median(times):.2f} ms, longest {most:.1f} ms")
    absent = milliseconds(lambda: fresh.seq_of("an id that is nowhere"))
    print(f"  by an id that is nowhere: {absent:.2f} ms")


def main() -> None:
    """Measure both sorts of batches."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=500_000)
    given = options.parse_args()
    for rows in (4_096, 32):
        with tempfile.TemporaryDirectory() as name:
            show(given.events, rows, Path(name))


if __name__ == "__main__":
    main()
