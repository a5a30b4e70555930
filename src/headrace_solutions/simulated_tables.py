"""Tables of a simulation as files, whole or parted where history ends, and as lines at a rate."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_CHUNK = 2_000


def write_parts(
    folder: Path, tables: Mapping[str, pa.Table], start: dt.date, parted_at: int | None
) -> tuple[dict[str, Path], ...]:
    """Write a Parquet file for each table; returns those of each part, by the table's name.

    Args:
        folder: Made if need be.
        tables: By name; the column `received` says when a row was known.
        start: The first day.
        parted_at: A day at which history ends: what was known before it goes to the folder
            `history`, the rest to `later`. None: all goes to `folder`.
    """
    places: list[tuple[Path, dt.datetime | None, bool]] = [(folder, None, False)]
    if parted_at is not None:
        ends = dt.datetime.combine(start, dt.time(), dt.UTC) + dt.timedelta(days=parted_at)
        places = [(folder / "history", ends, False), (folder / "later", ends, True)]
    files = []
    for place, cut, later in places:
        place.mkdir(parents=True, exist_ok=True)
        written = {}
        for name, table in tables.items():
            part = table
            if cut is not None:
                before = pc.less(table["received"], pa.scalar(cut, table["received"].type))
                part = table.filter(pc.invert(before) if later else before)
            written[name] = place / f"{name}.parquet"
            pq.write_table(part, written[name])
        files.append(written)
    return tuple(files)


def json_lines(table: pa.Table, rate: float | None) -> Iterator[bytes]:
    """Rows as JSON lines, in chunks of whole lines.

    Args:
        table: Times and exact amounts become text.
        rate: Lines a second; None gives them as fast as they are taken.
    """
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
    if isinstance(value, dt.datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)
