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
from pyarrow import csv, parquet

from headrace import DataError
from headrace_solutions.trading_signal.feed import TIME, Feed, Refused, Tops, exact, in_order

if TYPE_CHECKING:
    from pathlib import Path

_MESSAGE = ("time", "event_type", "order_id", "size", "price", "direction")
_BOOK = ("ask_price_1", "ask_size_1", "bid_price_1", "bid_size_1")
_SCALE = 4
_EXECUTED, _HIDDEN = (4, 5), 5
#: The price of a side that has no order, either sign.
_NO_PRICE = 9_999_999_999
_ZONE = ZoneInfo("America/New_York")


def read_lobster(messages: Path, books: Path, *, symbol: str, day: dt.date) -> Feed:
    """Messages and books as frames of changes, depth and trades.

    A trade is known before the book that it leaves behind.

    Args:
        messages: The messages: CSV, with a head or without one, or Parquet.
        books: The books after them, likewise.
        symbol: What they are of.
        day: On which; times are of New York.

    Raises:
        DataError: If the files have not as many rows.
    """
    told, after = _table(messages, _MESSAGE), _table(books, _BOOK)
    if told.num_rows != after.num_rows:
        raise DataError(
            f"{messages} has {told.num_rows:,} messages and {books} {after.num_rows:,} books:"
            " give two files of the same day and symbol"
        )
    midnight = dt.datetime.combine(day, dt.time(), _ZONE)
    start = int(midnight.timestamp()) * 10**9
    at = start + told["time"].to_numpy()
    known = in_order(at, 2)
    sides = {name: after[name].to_numpy().astype(np.int64) for name in _BOOK}
    levels = []
    for side in ("bid", "ask"):
        price, size = sides[f"{side}_price_1"], sides[f"{side}_size_1"]
        levels.append((price, np.where(np.abs(price) >= _NO_PRICE, 0, size)))
    symbols = pa.array([symbol], pa.string()).take(pa.array(np.zeros(len(at), dtype=np.int64)))
    tops = Tops(at, known + 1, symbols, levels[0], levels[1], _SCALE)
    frames = {
        "changes": tops.changes(),
        "depth": tops.depth(),
        "trades": _trades(told, at, known, symbols),
    }
    return Feed(frames, Refused().table(), told.num_rows)


def _trades(told: pa.Table, at: np.ndarray, known: np.ndarray, symbols: pa.Array) -> pa.Table:
    """Executions; that of an order to sell is a buyer's."""
    rows = np.flatnonzero(np.isin(told["event_type"].to_numpy(), _EXECUTED))
    return pa.table(
        {
            "trade_id": pc.cast(pa.array(rows), pa.string()),
            "at": pa.array(at[rows]).cast(TIME),
            "received": pa.array(known[rows]).cast(TIME),
            "symbol": symbols.take(pa.array(rows)),
            "price": exact(told["price"].to_numpy()[rows], _SCALE),
            "size": exact(told["size"].to_numpy()[rows], 0),
            "buyer_took": pa.array(told["direction"].to_numpy()[rows] == -1),
            "hidden": pa.array(told["event_type"].to_numpy()[rows] == _HIDDEN),
        }
    )


def _table(path: Path, names: tuple[str, ...]) -> pa.Table:
    """A file's columns; of messages with times in nanoseconds."""
    if path.suffix == ".parquet":
        table = parquet.read_table(path)
        return table.rename_columns(
            ["time" if name == "time_ns" else name for name in table.column_names]
        )
    with path.open("rb") as file:
        heads = int(file.read(1).isalpha())
    options = csv.ReadOptions(column_names=list(names), skip_rows=heads)
    kinds = csv.ConvertOptions(column_types={"time": pa.decimal128(14, 9)})
    table = csv.read_csv(path, read_options=options, convert_options=kinds)
    if "time" in names:
        nanoseconds = pc.cast(pc.multiply(table["time"], pa.scalar(Decimal(10**9))), pa.int64())
        table = table.set_column(0, "time", nanoseconds)
    return table
