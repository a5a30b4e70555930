"""Tardis' CSVs: changes of books, snapshots of their best levels, quotes and trades.

Times are whole microseconds, of the exchange and of the receiver. Of `incremental_book_L2` lines
that were received in one moment, of one exchange time and kind, are one message. There are no
update ids: a gap cannot be seen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace import DataError
from headrace_solutions.trading_signal.feed import (
    QUOTE,
    TIME,
    TRADE,
    Feed,
    frames_of_levels,
    in_order,
)
from headrace_solutions.trading_signal.market import changes
from headrace_solutions.trading_signal.quarantine import Quarantine
from headrace_solutions.trading_signal.table_rows import (
    DECIMAL,
    DECIMAL_IF_ANY,
    MICROSECONDS,
    NAME,
    SIZE,
    SIZE_IF_ANY,
    Rows,
    csv_feed,
    csv_rows,
    one_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_EVERY = {
    "exchange": NAME,
    "symbol": NAME,
    "timestamp": MICROSECONDS,
    "local_timestamp": MICROSECONDS,
}
_CHANGE = {
    **_EVERY,
    "is_snapshot": one_of("true", "false"),
    "side": one_of("bid", "ask"),
    "price": DECIMAL,
    "amount": SIZE,
}
_TRADED = {
    **_EVERY,
    "id": NAME,
    "side": one_of("buy", "sell", "unknown"),
    "price": DECIMAL,
    "amount": SIZE,
}
_QUOTED = {
    **_EVERY,
    "ask_amount": SIZE,
    "ask_price": DECIMAL,
    "bid_price": DECIMAL,
    "bid_amount": SIZE,
}
_MICROSECOND = 1_000
_LEVEL = re.compile(r"(?:asks|bids)\[([0-9]{1,4})\]\.price")

#: Books of such changes: without update ids, a message that comes again is taken again.
book = changes.book(snapshot="is_snapshot", ends="is_last", place="place", levels=10_000)


def read_incremental(path: Path) -> Feed:
    """A file of `incremental_book_L2` as frames of changes and depth.

    Args:
        path: Of the CSV, compressed or not; its first line names the columns.

    Raises:
        DataError: If a column is missing.
    """
    return csv_feed(path, _CHANGE, _incremental, form="a file of incremental_book_L2")


def _incremental(kept: Rows) -> dict[str, pa.Table]:
    snapshot = pc.equal(kept.told["is_snapshot"], "true").to_numpy()
    levels = (
        _one(pc.equal(kept.told["side"], "bid")),
        _one(kept.told["price"]),
        _one(kept.told["amount"]),
    )
    return frames_of_levels(_times(kept), _symbols(kept), levels, snapshot)


def read_snapshots(path: Path) -> Feed:
    """A file of `book_snapshot_25` (or of another depth) as frames of changes and depth.

    Each line is a snapshot of the best levels of both sides; empty columns are no level.

    Args:
        path: Of the CSV, compressed or not; its first line names the columns.

    Raises:
        DataError: If a column is missing.
    """
    quarantine = Quarantine(path.name)
    form = "a file of book_snapshot_25"
    rows = csv_rows(path, list(_EVERY), quarantine, form=form)
    depth = 1 + max(
        (int(told[1]) for name in rows.told.column_names if (told := _LEVEL.fullmatch(name))),
        default=-1,
    )
    names = [
        (f"{side}[{level}].price", f"{side}[{level}].amount")
        for side in ("bids", "asks")
        for level in range(depth)
    ]
    lacking = [name for pair in names for name in pair if name not in rows.told.column_names]
    if lacking or not names:
        raise DataError(f"{path} lacks {', '.join(lacking) or 'bids[0].price'}: give {form}")
    forms = dict(_EVERY)
    for price, amount in names:
        forms |= {price: DECIMAL_IF_ANY, amount: SIZE_IF_ANY}
    kept = rows.checked(forms, quarantine)
    count, width = len(kept), len(names)
    price, amount = (
        pa.concat_arrays([_one(kept.told[pair[side]]) for pair in names]) for side in (0, 1)
    )
    # columns one after the other become rows: each of its levels in order, bids first
    order = np.arange(width * count).reshape(width, count).T.ravel()
    message = np.repeat(np.arange(count), width)
    there = pc.not_equal(price, "").to_numpy(zero_copy_only=False)[order]
    order, message = order[there], message[there]
    levels = (
        pa.array(order < width // 2 * count),
        price.take(pa.array(order)),
        amount.take(pa.array(order)),
    )
    at, received = _times(kept)
    frames = frames_of_levels(
        (at[message], received[message]),
        _symbols(kept).take(pa.array(message)),
        levels,
        np.ones(len(order), dtype=bool),
        message=message,
    )
    return Feed(frames, quarantine.table(), rows.count)


def read_trades(path: Path) -> Feed:
    """A file of `trades` as a frame of trades; a side that is unknown is missing.

    Args:
        path: Of the CSV, compressed or not; its first line names the columns.

    Raises:
        DataError: If a column is missing.
    """
    return csv_feed(path, _TRADED, _trades, form="a file of trades")


def _trades(kept: Rows) -> dict[str, pa.Table]:
    told, symbol = kept.told, _symbols(kept)
    side = told["side"]
    took = pc.if_else(pc.equal(side, "unknown"), pa.scalar(None, pa.bool_()), pc.equal(side, "buy"))
    columns = (
        pc.binary_join_element_wise(symbol, _one(told["id"]), "/"),
        *_known(kept),
        symbol,
        told["price"],
        told["amount"],
        took,
        pa.array(np.zeros(len(kept), dtype=bool)),
    )
    frame = pa.table(dict(zip(TRADE, columns, strict=True)))
    return {"trades": frame}


def read_quotes(path: Path) -> Feed:
    """A file of `quotes` as a frame of quotes.

    Args:
        path: Of the CSV, compressed or not; its first line names the columns.

    Raises:
        DataError: If a column is missing.
    """
    return csv_feed(path, _QUOTED, _quotes, form="a file of quotes")


def _quotes(kept: Rows) -> dict[str, pa.Table]:
    told = kept.told
    columns = (
        pc.cast(pa.array(kept.lines), pa.string()),
        *_known(kept),
        _symbols(kept),
        pa.nulls(len(kept), pa.int64()),
        *(told[name] for name in ("bid_price", "bid_amount", "ask_price", "ask_amount")),
    )
    frame = pa.table(dict(zip(QUOTE, columns, strict=True)))
    return {"quotes": frame}


def _times(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When each happened and was received, in nanoseconds."""
    at, received = (
        rows.told[name].cast(pa.int64()).to_numpy() * _MICROSECOND
        for name in ("timestamp", "local_timestamp")
    )
    return at, received


def _known(rows: Rows) -> tuple[pa.Array, pa.Array]:
    """The same as columns; what was received in one moment keeps its order."""
    at, received = _times(rows)
    return pa.array(at).cast(TIME), pa.array(in_order(received)).cast(TIME)


def _symbols(rows: Rows) -> pa.Array:
    """`EXCHANGE:SYMBOL`."""
    return _one(pc.binary_join_element_wise(rows.told["exchange"], rows.told["symbol"], ":"))


def _one(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
