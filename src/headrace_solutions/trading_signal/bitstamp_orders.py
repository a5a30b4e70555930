"""Order events of Bitstamp as the R package obAnalytics keeps them: a row for each.

An order is created, changed (a part of it was executed) or deleted: with volume left it was
cancelled, with none it was executed. `volume` is what remains, in units of 10⁻⁸. The book before
the first row is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_solutions.trading_signal.feed import TIME, Feed, exact, in_order
from headrace_solutions.trading_signal.order_changes import (
    books_of,
    changes_of,
    numbered,
)
from headrace_solutions.trading_signal.quarantine import Quarantine, Reason
from headrace_solutions.trading_signal.table_rows import Rows, parquet_rows, units

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_COLUMNS = ("id", "timestamp", "price", "volume", "action", "direction")
_WORDS = {"action": ("created", "changed", "deleted"), "direction": ("bid", "ask")}
_MILLISECOND, _SCALE = 1_000_000, 8
_LATEST_MS = 9_000_000_000_000

#: Such a book begins empty, so it lacks what was there before: it agrees with the venue's only
#: once these orders are gone.
order_book = books_of(levels=5_000, orders=20_000, starts_empty=True)


def read_orders(path: Path, *, symbol: str = "BTCUSD") -> Feed:
    """A table of order events as frames of order changes and executions.

    Executions are what an order was reduced by; of an order that was there before the first row the
    size is not known, and there is none.

    Args:
        path: Parquet with id, timestamp (of receipt, in milliseconds), price, volume, action,
            direction.
        symbol: Of the one book that it is of.

    Raises:
        DataError: If a column is missing.
    """
    quarantine = Quarantine(path.name)
    rows = parquet_rows(path, _COLUMNS, form="orders as obAnalytics keeps them")
    kept = _checked(rows, quarantine)
    told = kept.told
    received = told["timestamp"].cast(pa.int64()).to_numpy() * _MILLISECOND
    known = in_order(received)
    times = (known, known)
    price = exact(units(told["price"], _SCALE), _SCALE)
    left = told["volume"].cast(pa.int64()).to_numpy()
    order = told["id"].cast(pa.int64()).combine_chunks()
    bid = pc.equal(told["direction"], "bid").combine_chunks()
    deleted = pc.equal(told["action"], "deleted").combine_chunks()
    changes = changes_of(
        numbered(kept.lines),
        times,
        symbol,
        order=order,
        bid=bid,
        price=price,
        size=exact(left, _SCALE),
        removes=deleted,
    )
    filled = _executed(order.to_numpy(), left, _word(told, "action"))
    made = np.flatnonzero(filled > 0)
    at = pa.array(known[made]).cast(TIME)
    executions = pa.table(
        {
            "execution_id": numbered(kept.lines[made]),
            "at": at,
            "received": at,
            "symbol": pa.repeat(pa.scalar(symbol), len(made)),
            "order": order.take(pa.array(made)),
            "bid": bid.take(pa.array(made)),
            "price": price.take(pa.array(made)),
            "size": exact(filled[made], _SCALE),
        }
    )
    return Feed(
        {"order_changes": changes, "executions": executions}, quarantine.table(), rows.count
    )


def _checked(rows: Rows, quarantine: Quarantine) -> Rows:
    """Rows of which every value is there and can be."""
    for name, words in _WORDS.items():
        bad = ~pc.is_in(rows.told[name], pa.array(words, rows.told[name].type)).to_numpy()
        detail = f"{name} is none of {', '.join(words)}"
        rows = rows.without(bad, Reason.WRONG_TYPE, detail, quarantine)
    for name, most in (("id", 2**53), ("timestamp", _LATEST_MS), ("volume", 2**53)):
        value = pc.cast(rows.told[name], pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        bad = ~((value >= 0) & (value < most))
        detail = f"{name} is no whole number from 0 to {most:,}"
        rows = rows.without(bad, Reason.OUT_OF_RANGE, detail, quarantine)
    return rows.floats_fit(["price"], quarantine, least=0.0)


def _word(told: pa.Table, name: str) -> NDArray[np.int64]:
    """Which of its words a column has."""
    column = told[name]
    found: NDArray[np.int64] = (
        pc.index_in(column, pa.array(_WORDS[name], column.type)).to_numpy().astype(np.int64)
    )
    return found


def _executed(
    order: NDArray[np.int64], left: NDArray[np.int64], action: NDArray[np.int64]
) -> NDArray[np.int64]:
    """What each row says was executed of its order; 0 where it says nothing, or of an unknown one.

    >>> _executed(np.array([7, 7, 7]), np.array([5, 3, 0]), np.array([0, 1, 2])).tolist()
    [0, 2, 3]
    """
    created, changed, deleted = range(3)
    by_order = np.argsort(order, kind="stable")
    before = np.zeros(len(order), dtype=np.int64)
    same = order[by_order][1:] == order[by_order][:-1]
    before[by_order[1:]] = np.where(same, left[by_order][:-1], 0)
    executes = (action == changed) | ((action == deleted) & (left == 0))
    return np.where(executes & (action != created), np.maximum(before - left, 0), 0)
