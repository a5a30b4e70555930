"""LOBSTER: NASDAQ's order messages, and the book after each of them (of which level 1 is read).

A message is time, type, order, size, price (dollars times 10,000) and direction; the same row of
the other file is the book after it. Types: 1 a new order, 2 a part of one is cancelled, 3 it is
deleted, 4 a visible order is executed, 5 a hidden one.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace import DataError
from headrace_solutions.trading_signal.capture_lines import opened
from headrace_solutions.trading_signal.feed import TIME, Feed, Tops, exact, in_order
from headrace_solutions.trading_signal.quarantine import Quarantine, Reason
from headrace_solutions.trading_signal.table_rows import (
    WHOLE,
    Form,
    Rows,
    csv_rows,
    one_of,
    parquet_rows,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_MESSAGE = ("time", "event_type", "order_id", "size", "price", "direction")
_BOOK = ("ask_price_1", "ask_size_1", "bid_price_1", "bid_size_1")
_PRICE = Form(r"-?[0-9]{1,11}", "a whole number of ten-thousandths")
_SIZE = Form(r"[0-9]{1,7}", "a whole number from 0 to 9,999,999")
_FORMS = {
    "time": Form(r"[0-9]{1,5}(?:\.[0-9]{1,9})?", "seconds after midnight", Reason.BAD_TIME),
    "event_type": one_of(*"1234567"),
    "order_id": WHOLE,
    "size": Form(r"-?[0-9]{1,7}", "a whole number below 10,000,000"),
    "price": _PRICE,
    "direction": one_of("-1", "1"),
    **{name: _PRICE if "price" in name else _SIZE for name in _BOOK},
}
_NANOSECONDS = Form(r"[0-9]{1,14}", "nanoseconds after midnight", Reason.BAD_TIME)
_SCALE = 4
_EXECUTED, _HIDDEN = (4, 5), 5
#: The price of a side that has no order, either sign.
_NO_PRICE = 9_999_999_999
_ZONE = ZoneInfo("America/New_York")


def read_lobster(messages: Path, books: Path, *, symbol: str, day: dt.date) -> Feed:
    """Messages and books as frames of changes, depth and trades.

    A trade is known before the book that it leaves behind. A message and its book are one line:
    where one of them is bad, both are left out.

    Args:
        messages: The messages: CSV, with a head or without one, or Parquet.
        books: The books after them, likewise.
        symbol: What they are of.
        day: On which; times are of New York.

    Raises:
        DataError: If the files have not as many rows, or cannot be read.
    """
    quarantine = Quarantine(messages.name)
    told = _rows(messages, _MESSAGE, quarantine)
    quarantine.source = books.name
    after = _rows(books, _BOOK, quarantine)
    if told.count != after.count:
        raise DataError(
            f"{messages} has {told.count:,} messages and {books} {after.count:,} books:"
            " give two files of the same day and symbol"
        )
    told, after = _paired(told, after, quarantine)
    midnight = dt.datetime.combine(day, dt.time(), _ZONE)
    start = int(midnight.timestamp()) * 10**9
    at = start + told.told["time"].cast(pa.int64()).to_numpy()
    known = in_order(at, 2)
    sides = {name: after.told[name].cast(pa.int64()).to_numpy() for name in _BOOK}
    levels = []
    for side in ("bid", "ask"):
        price, size = sides[f"{side}_price_1"], sides[f"{side}_size_1"]
        levels.append((price, np.where(np.abs(price) >= _NO_PRICE, 0, size)))
    symbols = pa.array([symbol], pa.string()).take(pa.array(np.zeros(len(at), dtype=np.int64)))
    tops = Tops(at, known + 1, symbols, levels[0], levels[1], _SCALE)
    frames = {
        "changes": tops.changes(),
        "depth": tops.depth(),
        "trades": _trades(told.told, at, known, symbols),
    }
    return Feed(frames, quarantine.table(), told.count)


def _trades(
    told: pa.Table, at: NDArray[np.int64], known: NDArray[np.int64], symbols: pa.Array
) -> pa.Table:
    """Executions; that of an order to sell is a buyer's."""
    whole = {name: told[name].cast(pa.int64()).to_numpy() for name in _MESSAGE[1:]}
    rows = np.flatnonzero(np.isin(whole["event_type"], _EXECUTED))
    return pa.table(
        {
            "trade_id": pc.cast(pa.array(rows), pa.string()),
            "at": pa.array(at[rows]).cast(TIME),
            "received": pa.array(known[rows]).cast(TIME),
            "symbol": symbols.take(pa.array(rows)),
            "price": exact(whole["price"][rows], _SCALE),
            "size": exact(whole["size"][rows], 0),
            "buyer_took": pa.array(whole["direction"][rows] == -1),
            "hidden": pa.array(whole["event_type"][rows] == _HIDDEN),
        }
    )


def _rows(path: Path, names: tuple[str, ...], quarantine: Quarantine) -> Rows:
    """The rows of a file that can be read; of messages with times in nanoseconds."""
    said = "a file of LOBSTER"
    if path.suffix == ".parquet":
        stored = tuple("time_ns" if name == "time" else name for name in names)
        rows = parquet_rows(path, stored, form=said)
        rows = Rows(rows.told.rename_columns(list(names)), rows.lines, rows.count)
        texts = [pc.cast(column, pa.string()) for column in rows.told.columns]
        forms = {**_FORMS, "time": _NANOSECONDS}
        rows = Rows(pa.table(texts, names=list(names)), rows.lines, rows.count)
        return rows.checked({name: forms[name] for name in names}, quarantine)
    with opened(path) as file:
        headed = file.read(1).isalpha()
    rows = csv_rows(path, names, quarantine, form=said, headed=headed, own_head=True)
    kept = rows.checked({name: _FORMS[name] for name in names}, quarantine)
    if "time" not in names:
        return kept
    exact_s = kept.told["time"].cast(pa.decimal128(14, 9))
    whole = pc.cast(pc.multiply(exact_s, pa.scalar(Decimal(10**9))), pa.int64())
    return Rows(kept.told.set_column(0, "time", whole), kept.lines, kept.count)


def _paired(told: Rows, after: Rows, quarantine: Quarantine) -> tuple[Rows, Rows]:
    """Messages whose books can be read, and these books.

    A line of which both are bad is in quarantine once, for its message.
    """
    good = np.intersect1d(told.lines, after.lines)
    messages = {each.line for each in quarantine.lines if each.source != quarantine.source}
    quarantine.lines[:] = [
        each
        for each in quarantine.lines
        if each.source != quarantine.source or each.line not in messages
    ]
    return (
        told.filtered(np.isin(told.lines, good)),
        after.filtered(np.isin(after.lines, good)),
    )
