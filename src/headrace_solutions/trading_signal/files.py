"""Simulated markets as files: what `headrace simulate` and `headrace demo` write."""

from __future__ import annotations

import datetime as dt
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace_solutions.trading_signal.simulator import SimulationSettings, names_of, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CHUNK = 2_000


def settings_of(events: int, days: int, seed: int, start: dt.date | None) -> SimulationSettings:
    """A simulation of that size."""
    made = SimulationSettings(events=events, days=days, seed=seed)
    return made if start is None else replace(made, start=start)


def simulate_to(
    folder: Path,
    *,
    events: int,
    days: int,
    seed: int,
    start: dt.date | None = None,
    parted_at: int | None = None,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
) -> tuple[dict[str, Path], ...]:
    """Simulate, and write a file for each stream of a market.

    Args:
        folder: Made if need be.
        events: Messages of all books.
        days: Sessions, one a day.
        seed: The same seed gives the same files.
        start: The first day.
        parted_at: A day at which history ends: what was received before it goes to the folder
            `history`, the rest to `later`.
        progress: Called with (what is done, done, of how many).

    Returns:
        For each part, the file of each stream by its name.

    Raises:
        DefinitionError: When such a simulation makes no sense.
    """
    progress("drawing orders", 0, 0)
    settings = settings_of(events, days, seed, start)
    market = simulate(settings)
    places: list[tuple[Path, pa.Scalar | None, bool]] = [(folder, None, False)]
    if parted_at is not None:
        first = dt.datetime.combine(settings.start, dt.time(), dt.UTC)
        ends = pa.scalar(first + dt.timedelta(days=parted_at), pa.timestamp("ns", "UTC"))
        places = [(folder / "history", ends, False), (folder / "later", ends, True)]
    files = []
    for place, cut, later in places:
        place.mkdir(parents=True, exist_ok=True)
        written = {}
        for stream in names_of(market):
            table = market.tables[stream]
            if cut is not None:
                before = pc.less(table["received"], cut)
                table = table.filter(pc.invert(before) if later else before)
            written[stream] = place / f"{stream}.parquet"
            pq.write_table(table, written[stream])
        files.append(written)
    return tuple(files)


def simulate_lines(
    *, events: int, days: int, seed: int, start: dt.date | None = None, rate: float | None = None
) -> Iterator[bytes]:
    """The ends of messages as JSON lines in order of receipt, in chunks of whole lines.

    Args:
        events: Messages of all books.
        days: Sessions, one a day.
        seed: The same seed gives the same lines.
        start: The first day.
        rate: Lines a second; None gives them as fast as they are taken.
    """
    table = simulate(settings_of(events, days, seed, start)).tables["depth"]
    # times keep their nanoseconds as text
    for name in ("at", "received"):
        table = table.set_column(
            table.schema.get_field_index(name), name, pc.strftime(table[name], "%Y-%m-%dT%H:%M:%SZ")
        )
    size = _CHUNK if rate is None else max(1, int(rate / 20))
    began, offered = time.monotonic(), 0
    for first in range(0, table.num_rows, size):
        rows = table.slice(first, size).to_pylist()
        wait = 0.0 if rate is None else began + offered / rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        offered += len(rows)
        yield b"".join(json.dumps(row).encode() + b"\n" for row in rows)
