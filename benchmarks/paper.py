"""Paper trading on real markets: one page for each, of what a model's signals would have come to.

    HEADRACE_DATA=FOLDER python -m benchmarks.paper OUT [--only spot usdm amzn]

The model learns from the first six tenths of a market's messages and is judged on the rest.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

import headrace as hr
from headrace_solutions.trading_signal import market
from headrace_solutions.trading_signal.binance import read_capture
from headrace_solutions.trading_signal.case import trading_signal
from headrace_solutions.trading_signal.gateway import Limits, OrderTerms
from headrace_solutions.trading_signal.lobster import read_lobster
from headrace_solutions.trading_signal.report import decided_of, sections_of
from headrace_solutions.trading_signal.tape import tape_of
from headrace_solutions.trading_signal.venue import Assumptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headrace_solutions.trading_signal.feed import Feed

LEARNED = 0.6


class Market(NamedTuple):
    """A market that is traded on paper.

    Attributes:
        title: What the page is called.
        said: What a reader should know of the data.
        feed: Reads them, below the folder of data.
        assumed: Of the venue.
        limits: Of the gateway; None takes those of the use case.
        terms: Of orders; likewise.
        book: As it is declared over `market.changes`.
    """

    title: str
    said: str
    feed: Callable[[Path], Feed]
    assumed: Assumptions
    limits: Limits | None = None
    terms: OrderTerms | None = None
    book: Any = market.book


def _binance(file: str) -> Callable[[Path], Feed]:
    return lambda folder: read_capture(folder / "lob_binance_ws" / file)


def _amazon(folder: Path) -> Feed:
    names = (f"AMZN_2012-06-21_{what}_1.parquet" for what in ("message", "orderbook"))
    paths = (folder / "lob_lobster" / name for name in names)
    return read_lobster(*paths, symbol="AMZN", day=dt.date(2012, 6, 21))


def _coin(title: str, file: str) -> Market:
    return Market(
        title,
        "Five minutes of 2024-08-08.",
        _binance(file),
        Assumptions(maker_fee_bp=2.0, taker_fee_bp=5.0, order_latency_us=5_000),
        Limits(position="0.1", notional="10000", loss="100"),
        OrderTerms(quantity="0.01"),
    )


MARKETS = {
    "spot": _coin("Binance BTC/USDT, spot", "spot/btcusdt_20240808.gz"),
    "usdm": _coin("Binance BTC/USDT, perpetual", "usdm/btcusdt_20240808.gz"),
    "amzn": Market(
        "NASDAQ AMZN",
        "The morning of 2012-06-21, from LOBSTER. One level of the book is given: what lies behind"
        " the best prices is missing, and an order can only wait at them.",
        _amazon,
        # 0.003 dollars a share to take, and no rebate; a share cost some 220
        Assumptions(maker_fee_bp=0.0, taker_fee_bp=0.14, order_latency_us=1_000),
        # NASDAQ's book is given, and quiet for long: it is never stale
        book=market.changes.book(snapshot="is_snapshot", ends="is_last", place="place", levels=10),
    ),
}


def page_of(traded: Market, frames: Mapping[str, pa.Table | None]) -> hr.Report:
    """Learn from a market's beginning, decide on all of it, and report on the rest."""
    depth = frames["depth"]
    assert depth is not None
    known = pc.sort_indices(depth["received"])
    split = depth["received"].take(known)[int(LEARNED * depth.num_rows)].as_py()
    since = dt.datetime.fromtimestamp(split.timestamp(), tz=dt.UTC)
    early = {
        stream: None if table is None else table.filter(pc.less(table["received"], since))
        for stream, table in frames.items()
    }
    trained = hr.train(trading_signal, early)
    decided = hr.decide(trading_signal, frames, model=trained.artefact)
    beside = decided
    for column in ("at", "received", "symbol"):
        beside = beside.append_column(column, depth[column])
    page = hr.Report(
        f"{traded.title}: signals on paper",
        f"{traded.said} The model learned from what was before {since:%H:%M:%S} UTC; all that is"
        " shown comes after.",
        [
            hr.KeyFigure("Messages", f"{depth.num_rows:,}", "of the book"),
            hr.KeyFigure("Learned from", f"{LEARNED:.0%}", "of them"),
        ],
    )
    sections = sections_of(
        tape_of(frames, book=traded.book),
        decided_of(beside),
        since,
        assumptions=traded.assumed,
        limits=traded.limits,
        terms=traded.terms,
    )
    for title, text, parts in sections:
        page.add(title, text, *parts)
    return page


def main(out: Path, only: Sequence[str]) -> None:
    """Write a page for each market."""
    folder = Path(os.environ["HEADRACE_DATA"])
    out.mkdir(parents=True, exist_ok=True)
    for name in only:
        traded = MARKETS[name]
        feed = traded.feed(folder)
        sys.stdout.write(f"{traded.title}: {feed}\n")
        frames = dict.fromkeys(("quotes", "orders", "switches")) | dict(feed.frames)
        path = out / f"{name}.html"
        page_of(traded, frames).write(path)
        sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("out", type=Path, help="the folder to write to")
    options.add_argument("--only", nargs="+", choices=MARKETS, default=list(MARKETS))
    given = options.parse_args()
    if "HEADRACE_DATA" not in os.environ:
        sys.exit("HEADRACE_DATA names no folder: it holds the data that are learned from")
    main(given.out, given.only)
