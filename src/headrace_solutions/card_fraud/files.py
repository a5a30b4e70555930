"""Simulations as files and as lines: what `headrace simulate` and `headrace demo` write."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace_solutions.card_fraud.lines import json_lines, paced, write_table
from headrace_solutions.card_fraud.simulator import Simulation, SimulationSettings, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Payments of a card, and of a merchant, on average.
_PER_CARD, _PER_MERCHANT = 25, 200


def settings_of(events: int, days: int, seed: int, start: dt.date | None) -> SimulationSettings:
    """A simulation of that size, with cards and merchants in proportion."""
    made = SimulationSettings(
        events=events,
        days=days,
        seed=seed,
        cards=max(50, events // _PER_CARD),
        merchants=max(20, events // _PER_MERCHANT),
    )
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
    """Simulate, and write payments.jsonl, chargebacks.csv, rates.csv and truth.csv.

    Args:
        folder: Made if need be.
        events: Payments.
        days: Days of event time.
        seed: The same seed gives the same files.
        start: The first day.
        parted_at: A day at which history ends: what was known before it goes to the folder
            `history`, the rest to `later`.
        progress: Called with (what is done, done, of how many).

    Returns:
        For each part, the file of each stream and table by its name.

    Raises:
        DefinitionError: When such a simulation makes no sense.
    """
    progress("drawing payments", 0, 0)
    made = simulate(settings_of(events, days, seed, start))
    folder.mkdir(parents=True, exist_ok=True)
    write_table(made.truth, folder / "truth.csv")
    if parted_at is None:
        parts = {folder: made}
    else:
        first = dt.datetime.combine(made.settings.start, dt.time(), dt.UTC)
        cut = first + dt.timedelta(days=parted_at)
        parts = {folder / "history": _until(made, cut), folder / "later": _since(made, cut)}
    rows = made.payments.num_rows
    done = 0
    files: list[dict[str, Path]] = []
    for place, part in parts.items():
        place.mkdir(parents=True, exist_ok=True)
        with (place / "payments.jsonl").open("wb") as file:
            for chunk in json_lines(part):
                file.write(chunk)
                done += chunk.count(b"\n")
                progress("writing payments", min(done, rows), rows)
        write_table(part.chargebacks, place / "chargebacks.csv")
        write_table(part.rates, place / "rates.csv")
        files.append(
            {
                "payments": place / "payments.jsonl",
                "chargebacks": place / "chargebacks.csv",
                "rates": place / "rates.csv",
            }
        )
    return tuple(files)


def simulate_lines(
    *, events: int, days: int, seed: int, start: dt.date | None = None, rate: float | None = None
) -> Iterator[bytes]:
    """Simulated payments as JSON lines in order of arrival, in chunks of whole lines.

    Args:
        events: Payments.
        days: Days of event time.
        seed: The same seed gives the same lines.
        start: The first day.
        rate: Lines a second; None gives them as fast as they are taken.
    """
    chunks = json_lines(simulate(settings_of(events, days, seed, start)))
    return chunks if rate is None else paced(chunks, rate)


def _until(made: Simulation, cut: dt.datetime) -> Simulation:
    """What was known before a moment."""
    return _part(made, cut, later=False)


def _since(made: Simulation, cut: dt.datetime) -> Simulation:
    """What was known only then or later."""
    return _part(made, cut, later=True)


def _part(made: Simulation, cut: dt.datetime, *, later: bool) -> Simulation:
    def chosen(table: pa.Table, known: str) -> pa.Table:
        before = pa.compute.less(table[known], pa.scalar(cut, table[known].type))
        return table.filter(pa.compute.invert(before) if later else before)

    payments = chosen(made.payments, "received")
    # payments stand in order of arrival, so a part of them is one stretch
    first = made.payments.num_rows - payments.num_rows if later else 0
    broken = made.broken - first
    inside = (broken >= 0) & (broken < payments.num_rows)
    return replace(
        made,
        payments=payments,
        chargebacks=chosen(made.chargebacks, "received"),
        rates=chosen(made.rates, "valid_from"),
        broken=broken[inside].astype(np.int64),
    )
