"""Simulated markets as files: what `headrace simulate` and `headrace demo` write."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from headrace_solutions.simulated_tables import json_lines, write_parts
from headrace_solutions.trading_signal.simulator import SimulationSettings, names_of, simulate

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator
    from pathlib import Path


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
    tables = {name: market.tables[name] for name in names_of(market)}
    return write_parts(folder, tables, settings.start, parted_at)


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
    return json_lines(table, rate)
