"""Faults put into tables of events: some come late, twice, changed, cut off."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Faults:
    """How many events are disturbed, as shares of all.

    Attributes:
        late: Come after `delay`.
        delay: Should be longer than the stream's lateness.
        repeated: Are sent a second time.
        again: How long after the first.
    changed: Are sent a second time, saying something else.
        broken: Are cut off, where they are written as lines.
        seed: Of which.
    """

    late: float = 0.03
    delay: dt.timedelta = dt.timedelta(days=3)
    repeated: float = 0.02
    again: dt.timedelta = dt.timedelta(minutes=2)
    changed: float = 0.01
    broken: float = 0.01
    seed: int = 1


def disturbed(table: pa.Table, faults: Faults) -> pa.Table:
    """A table, whose first column is the id, with events late and repeated, by `received`."""
    dice = np.random.default_rng(faults.seed)
    received = table.schema.field("received").type

    def later(rows: pa.Table, by: dt.timedelta) -> pa.Table:
        known = pc.add(rows["received"], pa.scalar(by, pa.duration(received.unit)))
        place = rows.schema.get_field_index("received")
        return rows.set_column(place, "received", known.cast(received))

    def drawn(share: float) -> pa.Array:
        return pa.array(np.flatnonzero(dice.random(table.num_rows) < share))

    late = dice.random(table.num_rows) < faults.late
    moved = later(table.filter(pa.array(late)), faults.delay)
    twice = later(table.take(drawn(faults.repeated)), faults.again)
    rows = 1 + np.flatnonzero(dice.random(table.num_rows - 1) < faults.changed)
    changed = table.take(pa.array(rows - 1))  # what another event says
    for name in (table.column_names[0], "at", "received"):
        place = table.schema.get_field_index(name)
        changed = changed.set_column(place, name, table[name].take(pa.array(rows)))
    changed = later(changed, faults.again)
    whole = pa.concat_tables([table.filter(pa.array(~late)), moved, twice, changed])
    return whole.sort_by([("received", "ascending"), ("at", "ascending")]).combine_chunks()


def lines(table: pa.Table, faults: Faults | None = None) -> Iterator[bytes]:
    """Events as lines of JSON; with faults, some are cut off in the midst."""
    dice = np.random.default_rng(0 if faults is None else faults.seed + 1)
    for row in table.to_pylist():
        line = json.dumps(row, default=_plain).encode()
        if faults is not None and dice.random() < faults.broken:
            line = line[: len(line) // 2]
        yield line + b"\n"


def _plain(value: object) -> str:
    """A time or an exact amount as JSON has it: text."""
    return value.isoformat() if isinstance(value, dt.datetime) else str(value)
