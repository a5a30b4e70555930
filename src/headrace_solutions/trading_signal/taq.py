"""Quotes and trades in the form of NYSE's TAQ: one exchange's best bid and ask, executions.

Times are New York's. A quote of 0 is no quote. Each exchange's quotes are a book of its own, named
`EXCHANGE:SYMBOL`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from headrace import DataError
from headrace_solutions.trading_signal.feed import TIME, Feed, Refused, Tops, exact, in_order

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

    Trades that were corrected or cancelled later (`CORR` above 1) are left out, and named in
    `refused` by their row.

    Args:
        quotes: Parquet with DT, EX, SYMBOL, BID, BIDSIZ, OFR, OFRSIZ.
        trades: Parquet with DT, EX, SYMBOL, PRICE, SIZE, CORR.

    Raises:
        DataError: If a column is missing.
    """
    quoted, traded = _sorted(quotes, _QUOTES), _sorted(trades, _TRADES)
    at = _times(quoted)
    bid, ask = (
        (_units(quoted[price]), np.where(_units(quoted[price]) > 0, quoted[size].to_numpy(), 0))
        for price, size in (("BID", "BIDSIZ"), ("OFR", "OFRSIZ"))
    )
    tops = Tops(at, in_order(at), _books(quoted), bid, ask, _SCALE)
    refused = Refused()
    stands = np.isin(traded["CORR"].to_numpy(), _REGULAR)
    for row in np.flatnonzero(~stands).tolist():
        refused.add(row + 1, f"CORR {traded['CORR'][row]}: corrected or cancelled later", b"")
    frames = {
        "changes": tops.changes(),
        "depth": tops.depth(),
        "trades": _trades(traded.filter(pa.array(stands))),
    }
    return Feed(frames, refused.table(), quoted.num_rows + traded.num_rows)


def _trades(traded: pa.Table) -> pa.Table:
    at = _times(traded)
    rows = pa.array(np.arange(len(at)))
    return pa.table(
        {
            "trade_id": pc.cast(rows, pa.string()),
            "at": pa.array(at).cast(TIME),
            "received": pa.array(in_order(at)).cast(TIME),
            "symbol": _books(traded),
            "price": exact(_units(traded["PRICE"]), _SCALE),
            "size": exact(traded["SIZE"].to_numpy(), 0),
            "buyer_took": pa.nulls(len(at), pa.bool_()),
            "hidden": pa.nulls(len(at), pa.bool_()),
        }
    )


def _sorted(path: Path, names: tuple[str, ...]) -> pa.Table:
    """A file's rows in the order of time, those of one moment as they stand."""
    table = parquet.read_table(path)
    lacking = [name for name in names if name not in table.column_names]
    if lacking:
        raise DataError(
            f"{path} lacks {', '.join(lacking)}; it has {', '.join(table.column_names)}:"
            " give a file in the form of TAQ"
        )
    order = np.argsort(table["DT"].cast(pa.int64()).to_numpy(), kind="stable")
    return table.take(pa.array(order)).combine_chunks()


def _times(table: pa.Table) -> NDArray[np.int64]:
    """New York's times as nanoseconds; an hour that comes twice is its first."""
    local = table["DT"].cast(pa.timestamp("ns"))
    known = pc.assume_timezone(
        local, "America/New_York", ambiguous="earliest", nonexistent="latest"
    )
    times: NDArray[np.int64] = known.cast(pa.int64()).to_numpy()
    return times


def _units(prices: pa.ChunkedArray) -> NDArray[np.int64]:
    """Prices that were read as floats, in the units that they were printed in."""
    units: NDArray[np.int64] = np.rint(prices.to_numpy() * 10**_SCALE).astype(np.int64)
    return units


def _books(table: pa.Table) -> pa.Array:
    """`EXCHANGE:SYMBOL`."""
    names = pc.binary_join_element_wise(
        table["EX"].cast(pa.string()), table["SYMBOL"].cast(pa.string()), ":"
    )
    return pa.concat_arrays(names.chunks) if isinstance(names, pa.ChunkedArray) else names
