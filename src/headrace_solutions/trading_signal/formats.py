"""Formats of market data that are read, and their files turned into those that commands take.

Each stream becomes a Parquet file; what was not accepted goes to `quarantine.parquet` beside them.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from pyarrow import parquet

import headrace as hr
from headrace_solutions.trading_signal import (
    bars,
    binance,
    binance_tables,
    bitstamp,
    bitstamp_orders,
    bybit,
    databento,
    hyperliquid,
    lobster,
    taq,
    tardis,
)
from headrace_solutions.trading_signal.quarantine import write_quarantine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from headrace_solutions.trading_signal.feed import Feed

QUARANTINE = "quarantine.parquet"


class Format(NamedTuple):
    """A format of market data.

    Attributes:
        said: What it is, in words.
        files: What its files are, in order.
        read: Reads them; its last two arguments are the symbol and the day.
        needs: Which of `symbol`, `day` it needs, since its files do not say.
    """

    said: str
    files: tuple[str, ...]
    read: Callable[[Sequence[Path], str, dt.date], Feed]
    needs: tuple[str, ...] = ()


def _one(read: Callable[[Path], Feed]) -> Callable[[Sequence[Path], str, dt.date], Feed]:
    """A reader of one file that says itself what it is of."""
    return lambda files, _symbol, _day: read(files[0])


FORMATS: Mapping[str, Format] = {
    "binance": Format(
        "captures of Binance's websockets: depth, bookTicker, trade, snapshots",
        ("capture",),
        lambda files, symbol, _day: binance.read_capture(files[0], venue=symbol),
    ),
    "binance-depth": Format(
        "Binance's depth archives, CSV", ("archive",), _one(binance_tables.read_depth)
    ),
    "binance-quotes": Format(
        "tables of Binance's best bids and asks, Parquet",
        ("table",),
        _one(binance_tables.read_quote_table),
    ),
    "binance-trades": Format(
        "tables of Binance's trades, Parquet",
        ("table",),
        lambda files, symbol, _day: binance_tables.read_trade_table(files[0], symbol=symbol),
        ("symbol",),
    ),
    "bitstamp": Format(
        "logs of Bitstamp's order feed",
        ("log",),
        lambda files, symbol, _day: bitstamp.read_log(files[0], symbol=symbol),
        ("symbol",),
    ),
    "bitstamp-orders": Format(
        "order events of Bitstamp as obAnalytics keeps them, Parquet",
        ("table",),
        lambda files, symbol, _day: bitstamp_orders.read_orders(files[0], symbol=symbol),
        ("symbol",),
    ),
    "bybit": Format("Bybit's archives of order books", ("archive",), _one(bybit.read_archive)),
    "hyperliquid": Format(
        "captures of Hyperliquid's websocket: l2Book, trades",
        ("capture",),
        _one(hyperliquid.read_hyperliquid),
    ),
    "databento-mbo": Format(
        "Databento's market by order, DBN", ("file",), _one(databento.read_mbo)
    ),
    "lobster": Format(
        "LOBSTER's messages and books of level 1, CSV or Parquet",
        ("messages", "books"),
        lambda files, symbol, day: lobster.read_lobster(*files, symbol=symbol, day=day),
        ("symbol", "day"),
    ),
    "taq": Format(
        "quotes and trades in the form of NYSE's TAQ, Parquet",
        ("quotes", "trades"),
        lambda files, _symbol, _day: taq.read_taq(*files),
    ),
    "tardis-changes": Format(
        "Tardis' incremental_book_L2, CSV", ("file",), _one(tardis.read_incremental)
    ),
    "tardis-snapshots": Format(
        "Tardis' book_snapshot_5 and book_snapshot_25, CSV",
        ("file",),
        _one(tardis.read_snapshots),
    ),
    "tardis-quotes": Format("Tardis' quotes, CSV", ("file",), _one(tardis.read_quotes)),
    "tardis-trades": Format("Tardis' trades, CSV", ("file",), _one(tardis.read_trades)),
    "truefx": Format(
        "TrueFX's bids and asks, CSV",
        ("file",),
        lambda files, symbol, _day: bars.read_truefx(files[0], symbol=symbol),
        ("symbol",),
    ),
    "minute-bars": Format(
        "bars of a minute, as of FXCM, Parquet",
        ("table",),
        lambda files, symbol, _day: bars.read_bars(files[0], symbol=symbol),
        ("symbol",),
    ),
}


def convert_to(
    folder: Path,
    form: str,
    files: Sequence[Path],
    *,
    symbol: str | None = None,
    day: dt.date | None = None,
) -> tuple[dict[str, Path], Path | None, str]:
    """Read files of a format, and write a file for each stream and one for what was refused.

    Args:
        folder: Made if need be.
        form: A name of `FORMATS`.
        files: As many as it has, in its order.
        symbol: What they are of, where they do not say; of "binance", the venue before symbols.
        day: Of which, likewise.

    Returns:
        The file of each stream by its name; that of quarantine, if there is something in it; and
        how many lines were accepted and were not, in words.

    Raises:
        DataError: If the format is unknown, files or something it needs are missing, or a file
            cannot be read.
    """
    found = FORMATS.get(form)
    if found is None:
        raise hr.DataError(f"no format {form!r}; those that are read: {', '.join(FORMATS)}")
    if len(files) != len(found.files):
        raise hr.DataError(
            f"{len(files)} files of {form}, expected {len(found.files)}:"
            f" {', '.join(found.files)}, in this order"
        )
    given = {"symbol": symbol, "day": day}
    lacking = [name for name in found.needs if given[name] is None]
    if lacking:
        raise hr.DataError(
            f"files of {form} do not say their {' and '.join(lacking)}:"
            f" give {' and '.join(f'--{name}' for name in lacking)}"
        )
    for file in files:
        if not file.is_file():
            raise hr.DataError(f"{file} is no file: name one of {form}")
    feed = found.read(files, symbol or "", day or dt.date.min)
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name, frame in feed.frames.items():
        written[name] = folder / f"{name}.parquet"
        parquet.write_table(frame, written[name])
    refused = folder / QUARANTINE
    write_quarantine(feed.quarantined, refused)
    return written, refused if feed.quarantined.num_rows else None, str(feed)
