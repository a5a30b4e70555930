"""Simulated loan books as files: what `headrace simulate` and `headrace demo` write."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from headrace_solutions.credit_risk.simulator import SimulationSettings, simulate
from headrace_solutions.simulated_tables import json_lines, write_parts

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Streams as they are simulated, the decided one first.
STREAMS = ("applications", "bureau", "balances", "repayments", "defaults")


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
    tables = {name: getattr(book, name) for name in STREAMS}
    return write_parts(folder, tables, settings.start, parted_at)


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
    return json_lines(simulate(_settings(events, days, seed, start)).applications, rate)


def _settings(events: int, days: int, seed: int, start: dt.date | None) -> SimulationSettings:
    usual = {field.name: field.default for field in fields(SimulationSettings)}
    return SimulationSettings(events, days, start or usual["start"], seed)  # type: ignore[arg-type]  # a day
