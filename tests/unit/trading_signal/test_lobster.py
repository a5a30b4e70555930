"""LOBSTER's files: books as they are given, trades before what they leave behind."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace_solutions.trading_signal import market
from headrace_solutions.trading_signal.lobster import read_lobster

DATA = os.environ.get("HEADRACE_DATA")
DAY = dt.date(2012, 6, 21)
# a stock may be quiet for long: the book stays what it was
book = market.changes.book(snapshot="is_snapshot", ends="is_last", place="place", levels=10)
view = book.at(market.trades)
case = hr.UseCase(
    name="executions",
    on=market.trades,
    features=hr.features(
        bid=view.price("bid"),
        ask=view.price("ask"),
        book_status=view.status,
        crossings=view.crossings,
        price=market.trades.price,
    ),
)


def test_a_trade_is_known_before_the_book_that_it_leaves(tmp_path: Path) -> None:
    messages, books = tmp_path / "message.csv", tmp_path / "orderbook.csv"
    messages.write_text("34200.5,1,7,10,1000000,1\n34200.5,4,7,10,1000000,1\n")
    books.write_text("1000100,5,1000000,10\n1000100,5,-9999999999,0\n")
    feed = read_lobster(messages, books, symbol="X", day=DAY)
    frames = feed.frames
    decided = hr.decide(case, {name: frames[name] for name in ("changes", "trades")})
    assert decided["bid"].to_pylist() == [100.0]
    assert frames["trades"]["buyer_took"].to_pylist() == [False]
    assert frames["depth"]["at"].to_pylist()[0] == dt.datetime(
        2012, 6, 21, 13, 30, 0, 500_000, dt.UTC
    )
    assert frames["changes"]["price"].to_pylist()[2] is None


def test_files_of_other_lengths_are_refused(tmp_path: Path) -> None:
    messages, books = tmp_path / "message.csv", tmp_path / "orderbook.csv"
    messages.write_text("34200.5,1,7,10,1000000,1\n")
    books.write_text("1000100,5,1000000,10\n1000100,5,1000000,10\n")
    with pytest.raises(hr.DataError, match=r"1 messages and .* 2 books"):
        read_lobster(messages, books, symbol="X", day=DAY)


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="HEADRACE_DATA names no folder of market data")
def test_every_visible_execution_is_at_the_best_price_before_it() -> None:
    folder = Path(DATA or "") / "lob_lobster"
    names = (folder / f"AMZN_2012-06-21_{what}_1.parquet" for what in ("message", "orderbook"))
    feed = read_lobster(*names, symbol="AMZN", day=DAY)
    frames = feed.frames
    decided = hr.decide(case, {name: frames[name] for name in ("changes", "trades")})
    assert decided["status"].unique().to_pylist() == ["accepted"]
    visible = ~frames["trades"]["hidden"].to_numpy()
    buys = frames["trades"]["buyer_took"].to_numpy()
    best = np.where(buys, decided["ask"].to_numpy(), decided["bid"].to_numpy())
    assert (best == decided["price"].to_numpy())[visible].all()
    assert int(visible.sum()) == 4_282
    assert decided["crossings"].to_pylist()[-1] == 0


@pytest.mark.skipif(DATA is None, reason="HEADRACE_DATA names no folder of market data")
def test_text_and_parquet_of_one_day_are_the_same() -> None:
    folder = Path(DATA or "") / "lob_lobster"
    parts = ("message", "orderbook")
    whole = read_lobster(
        *(folder / f"AMZN_2012-06-21_{what}_1.parquet" for what in parts), symbol="A", day=DAY
    )
    text = read_lobster(
        *(folder / "raw" / f"AMZN_{what}_1_first2000.csv" for what in parts), symbol="A", day=DAY
    )
    for name in ("changes", "depth"):
        rows = text.frames[name].num_rows
        assert text.frames[name].equals(whole.frames[name].slice(0, rows))
