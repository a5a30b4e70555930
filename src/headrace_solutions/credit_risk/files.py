"""Simulated loan books as files: what `headrace simulate` and `headrace demo` write."""

from __future__ import annotations

import datetime as dt
import json
import time
from dataclasses import fields
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace_solutions.credit_risk.simulator import SimulationSettings, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Streams as they are simulated, the decided one first.
STREAMS = ("applications", "bureau", "balances", "repayments", "defaults")
_CHUNK = 2_000


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
    """Simulate, and write a file for each stream, with economy.parquet and truth.parquet.

    Args:
        folder: Made if need be.
        events: Applications.
        days: Days over which they come.
        seed: The same seed gives the same files.
        start: The first day.
        parted_at: A day at which history ends: what was known before it goes to the folder
            `history`, the rest to `later`.
        progress: Called with (what is done, done, of how many).

    Returns:
        For each part, the file of each stream by its name.

    Raises:
        DefinitionError: When such a simulation makes no sense.
    """
    progress("drawing people and loans", 0, 0)
    settings = _settings(events, days, seed, start)
    book = simulate(settings)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("economy", "truth"):
        pq.write_table(getattr(book, name), folder / f"{name}.parquet")
    places: list[tuple[Path, dt.datetime | None, bool]] = [(folder, None, False)]
    if parted_at is not None:
        first = dt.datetime.combine(settings.start, dt.time(), dt.UTC)
        ends = first + dt.timedelta(days=parted_at)
        places = [(folder / "history", ends, False), (folder / "later", ends, True)]
    files = []
    for place, cut, later in places:
        place.mkdir(parents=True, exist_ok=True)
        written = {}
        for stream in STREAMS:
            table = getattr(book, stream)
            if cut is not None:
                before = pc.less(table["received"], pa.scalar(cut, table["received"].type))
                table = table.filter(pc.invert(before) if later else before)
            written[stream] = place / f"{stream}.parquet"
            pq.write_table(table, written[stream])
        files.append(written)
    return tuple(files)


def simulate_lines(
    *, events: int, days: int, seed: int, start: dt.date | None = None, rate: float | None = None
) -> Iterator[bytes]:
    """Simulated applications as JSON lines in order of time, in chunks of whole lines.

    Args:
        events: Applications.
        days: Days over which they come.
        seed: The same seed gives the same lines.
        start: The first day.
        rate: Lines a second; None gives them as fast as they are taken.
    """
    table = simulate(_settings(events, days, seed, start)).applications
    size = _CHUNK if rate is None else max(1, int(rate / 20))
    began, offered = time.monotonic(), 0
    for first in range(0, table.num_rows, size):
        rows = table.slice(first, size).to_pylist()
        wait = 0.0 if rate is None else began + offered / rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        offered += len(rows)
        yield b"".join(json.dumps(row, default=_plain).encode() + b"\n" for row in rows)


def _plain(value: object) -> str:
    """A time or an exact amount as JSON has it: text."""
    if isinstance(value, dt.datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def _settings(events: int, days: int, seed: int, start: dt.date | None) -> SimulationSettings:
    usual = {field.name: field.default for field in fields(SimulationSettings)}
    return SimulationSettings(events, days, start or usual["start"], seed)  # type: ignore[arg-type]  # a day
