"""Quotes and trades in the form of NYSE's TAQ: one exchange's best bid and ask, executions.

Times are New York's. A quote of 0 is no quote. Each exchange's quotes are a book of its own, named
`EXCHANGE:SYMBOL`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_solutions.trading_signal.feed import TIME, Feed, Tops, exact, in_order
from headrace_solutions.trading_signal.quarantine import Quarantine, Reason
from headrace_solutions.trading_signal.table_rows import Rows, parquet_rows, units

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_QUOTES = ("DT", "EX", "SYMBOL", "BID", "BIDSIZ", "OFR", "OFRSIZ")
_TRADES = ("DT", "EX", "SYMBOL", "PRICE", "SIZE", "CORR")
#: Digits of prices after the point.
_SCALE = 4
#: Trades that stand: neither corrected later nor cancelled.
_REGULAR = (0, 1)


def read_taq(quotes: Path, trades: Path) -> Feed:
    """Quotes and trades as frames of changes, depth and trades.

    Trades that were corrected or cancelled later (`CORR` above 1) go to quarantine.

    Args:
        quotes: Parquet with DT, EX, SYMBOL, BID, BIDSIZ, OFR, OFRSIZ.
        trades: Parquet with DT, EX, SYMBOL, PRICE, SIZE, CORR.

    Raises:
        DataError: If a column is missing.
    """
    quarantine = Quarantine(quotes.name)
    quoted = _sorted(quotes, _QUOTES, quarantine)
    quarantine.source = trades.name
    traded = _sorted(trades, _TRADES, quarantine)
    at = _times(quoted.told)
    bid, ask = (
        (price, np.where(price > 0, units(quoted.told[size], 0), 0))
        for price, size in (
            (units(quoted.told["BID"], _SCALE), "BIDSIZ"),
            (units(quoted.told["OFR"], _SCALE), "OFRSIZ"),
        )
    )
    tops = Tops(at, in_order(at), _books(quoted.told), bid, ask, _SCALE)
    corrected = ~np.isin(traded.told["CORR"].to_numpy(), _REGULAR)
    stands = traded.without(
        corrected, Reason.CANCELLED, "CORR above 1: corrected or cancelled later", quarantine
    )
    frames = {"changes": tops.changes(), "depth": tops.depth(), "trades": _trades(stands.told)}
    return Feed(frames, quarantine.table(), quoted.count + traded.count)


def _trades(traded: pa.Table) -> pa.Table:
    at = _times(traded)
    rows = pa.array(np.arange(len(at)))
    return pa.table(
        {
            "trade_id": pc.cast(rows, pa.string()),
            "at": pa.array(at).cast(TIME),
            "received": pa.array(in_order(at)).cast(TIME),
            "symbol": _books(traded),
            "price": exact(units(traded["PRICE"], _SCALE), _SCALE),
            "size": exact(units(traded["SIZE"], 0), 0),
            "buyer_took": pa.nulls(len(at), pa.bool_()),
            "hidden": pa.nulls(len(at), pa.bool_()),
        }
    )


def _sorted(path: Path, names: tuple[str, ...], quarantine: Quarantine) -> Rows:
    """A file's rows in the order of time, those of one moment as they stand."""
    rows = parquet_rows(path, names, form="a file in the form of TAQ")
    for name in ("DT", "EX", "SYMBOL"):
        missing = rows.told[name].is_null().to_numpy()
        rows = rows.without(missing, Reason.MISSING, f"{name} is missing", quarantine)
    numbers = [name for name in names if name not in ("DT", "EX", "SYMBOL")]
    rows = rows.floats_fit(numbers, quarantine, least=0.0)
    order = np.argsort(rows.told["DT"].cast(pa.int64()).to_numpy(), kind="stable")
    return Rows(rows.told.take(pa.array(order)).combine_chunks(), rows.lines[order], rows.count)


def _times(table: pa.Table) -> NDArray[np.int64]:
    """New York's times as nanoseconds; an hour that comes twice is its first."""
    local = table["DT"].cast(pa.timestamp("ns"))
    known = pc.assume_timezone(
        local, "America/New_York", ambiguous="earliest", nonexistent="latest"
    )
    times: NDArray[np.int64] = known.cast(pa.int64()).to_numpy()
    return times


def _books(table: pa.Table) -> pa.Array:
    """`EXCHANGE:SYMBOL`."""
    names = pc.binary_join_element_wise(
        table["EX"].cast(pa.string()), table["SYMBOL"].cast(pa.string()), ":"
    )
    return pa.concat_arrays(names.chunks) if isinstance(names, pa.ChunkedArray) else names
