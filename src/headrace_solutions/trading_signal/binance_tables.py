"""Tables of Binance's data: its depth archives (CSV), and quotes and trades kept as Parquet.

There is no receive time: rows are known in the order of the file, when the exchange sent them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_solutions.trading_signal.feed import (
    QUOTE,
    TIME,
    TRADE,
    Feed,
    exact,
    frames_of_levels,
    in_order,
)
from headrace_solutions.trading_signal.quarantine import Quarantine, Reason
from headrace_solutions.trading_signal.table_rows import (
    DECIMAL,
    MILLISECONDS,
    NAME,
    SCALE,
    SIGNED,
    SIZE,
    WHOLE,
    Rows,
    csv_feed,
    one_of,
    parquet_rows,
    units,
)

if TYPE_CHECKING:
    from pathlib import Path

_DEPTH = {
    "symbol": NAME,
    "timestamp": MILLISECONDS,
    "first_update_id": WHOLE,
    "last_update_id": WHOLE,
    "side": one_of("a", "b"),
    "update_type": one_of("snap", "set"),
    "price": DECIMAL,
    "qty": SIZE,
    "pu": SIGNED,
}
_QUOTES = ("timestamp", "symbol", "bid", "bid_size", "ask", "ask_size")
_TRADES = ("timestamp", "trade_id", "price", "quantity", "buyer_maker")
_MILLISECOND = 1_000_000


def read_depth(path: Path) -> Feed:
    """An archive of depth (`symbol,timestamp,first_update_id,...`) as frames of changes and depth.

    Args:
        path: Of the CSV, compressed or not; its first line names the columns.

    Raises:
        DataError: If a column is missing.
    """
    return csv_feed(path, _DEPTH, _depth, form="an archive of Binance's depth")


def _depth(kept: Rows) -> dict[str, pa.Table]:
    told = kept.told.combine_chunks()
    whole = {
        name: told[name].cast(pa.int64()).to_numpy()
        for name in ("timestamp", "first_update_id", "last_update_id", "pu")
    }
    snapshot = pc.equal(told["update_type"], "snap").to_numpy()
    # futures say which update came before; a snapshot is as of its last
    first = np.where(snapshot, whole["last_update_id"], whole["pu"] + 1)
    first = np.where(~snapshot & (whole["pu"] < 0), whole["first_update_id"], first)
    at = whole["timestamp"] * _MILLISECOND
    column = {name: pa.concat_arrays(told[name].chunks or [pa.array([], pa.string())])
              for name in ("symbol", "side", "price", "qty")}  # fmt: skip
    return frames_of_levels(
        (at, at),
        column["symbol"],
        (pc.equal(column["side"], "b"), column["price"], column["qty"]),
        snapshot,
        (first, whole["last_update_id"]),
    )


def read_quote_table(path: Path) -> Feed:
    """A table of the best bids and asks as a frame of quotes.

    Args:
        path: Parquet with timestamp, symbol, bid, bid_size, ask, ask_size.

    Raises:
        DataError: If a column is missing.
    """
    quarantine = Quarantine(path.name)
    rows = parquet_rows(path, _QUOTES, form="a table of quotes")
    kept = _present(rows, ("timestamp", "symbol"), quarantine)
    kept = kept.floats_fit(("bid", "bid_size", "ask", "ask_size"), quarantine, least=0.0)
    at = _times(kept)
    columns = (
        pc.cast(pa.array(kept.lines), pa.string()),
        pa.array(at).cast(TIME),
        pa.array(in_order(at)).cast(TIME),
        kept.told["symbol"],
        pa.nulls(len(kept), pa.int64()),
        *(exact(units(kept.told[n]), SCALE) for n in ("bid", "bid_size", "ask", "ask_size")),
    )
    frame = pa.table(dict(zip(QUOTE, columns, strict=True)))
    return Feed({"quotes": frame}, quarantine.table(), rows.count)


def read_trade_table(path: Path, *, symbol: str) -> Feed:
    """A table of trades as a frame of trades.

    Args:
        path: Parquet with timestamp, trade_id, price, quantity, buyer_maker.
        symbol: What they are of.

    Raises:
        DataError: If a column is missing.
    """
    quarantine = Quarantine(path.name)
    rows = parquet_rows(path, _TRADES, form="a table of trades")
    kept = _present(rows, ("timestamp", "trade_id"), quarantine)
    maker = pc.utf8_lower(kept.told["buyer_maker"].cast(pa.string()))
    odd = ~pc.fill_null(pc.is_in(maker, pa.array(["true", "false"])), fill_value=False).to_numpy()
    kept = kept.without(odd, Reason.WRONG_TYPE, "buyer_maker is neither true nor false", quarantine)
    kept = kept.floats_fit(("price", "quantity"), quarantine, least=0.0)
    maker = pc.utf8_lower(kept.told["buyer_maker"].cast(pa.string()))
    at, count = _times(kept), len(kept)
    columns = (
        pc.cast(kept.told["trade_id"], pa.string()),
        pa.array(at).cast(TIME),
        pa.array(in_order(at)).cast(TIME),
        pa.repeat(pa.scalar(symbol), count),
        exact(units(kept.told["price"]), SCALE),
        exact(units(kept.told["quantity"]), SCALE),
        pc.equal(maker, "false"),
        pa.repeat(pa.scalar(value=False), count),
    )
    frame = pa.table(dict(zip(TRADE, columns, strict=True)))
    return Feed({"trades": frame}, quarantine.table(), rows.count)


def _present(rows: Rows, names: tuple[str, ...], quarantine: Quarantine) -> Rows:
    """Rows that have these."""
    for name in names:
        missing = rows.told[name].is_null().to_numpy()
        rows = rows.without(missing, Reason.MISSING, f"{name} is missing", quarantine)
    return rows


def _times(rows: Rows) -> np.ndarray:
    """Event times in nanoseconds."""
    found: np.ndarray = rows.told["timestamp"].cast(TIME).cast(pa.int64()).to_numpy()
    return found
