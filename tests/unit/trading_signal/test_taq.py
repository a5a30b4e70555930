"""Quotes and trades in the form of TAQ: a book for each exchange."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import headrace as hr
from headrace_solutions.trading_signal import market
from headrace_solutions.trading_signal.taq import read_taq

DATA = os.environ.get("HEADRACE_DATA")
book = market.changes.book(snapshot="is_snapshot", ends="is_last", place="place", levels=10)
view = book.at(market.depth)
case = hr.UseCase(
    name="quotes",
    on=market.depth,
    features=hr.features(
        bid=view.price("bid"),
        ask=view.price("ask"),
        spread=view.spread,
        book_status=view.status,
        open=market.depth.at.is_open("XNYS"),
        since_open=market.depth.at.seconds_since_open("XNYS"),
    ),
)


def files(folder: Path) -> tuple[Path, Path]:
    """Two quotes, the later first; three trades, of which one was cancelled."""
    quotes, trades = folder / "quotes.parquet", folder / "trades.parquet"
    times = [dt.datetime(2018, 1, 2, 9, 30, second) for second in (2, 1)]  # noqa: DTZ001 - as it stands in the files
    quoted = {"DT": times, "EX": ["P", "Q"], "SYMBOL": ["X", "X"], "BID": [10.01, 0.0]}
    quoted |= {"BIDSIZ": [1, 1], "OFR": [10.02, 10.03], "OFRSIZ": [2, 3]}
    traded = {"DT": [*times, times[0]], "EX": ["P"] * 3, "SYMBOL": ["X"] * 3, "SIZE": [1, 2, 3]}
    traded |= {"PRICE": [10.0, 10.1, 10.2], "CORR": [0, 0, 8]}
    parquet.write_table(pa.table(quoted), quotes)
    parquet.write_table(pa.table(traded), trades)
    return quotes, trades


def test_each_exchange_has_a_book_of_its_own(tmp_path: Path) -> None:
    feed = read_taq(*files(tmp_path))
    frames = feed.frames
    decided = hr.decide(case, {name: frames[name] for name in ("changes", "depth")})
    assert frames["depth"]["symbol"].to_pylist() == ["Q:X", "P:X"]
    assert decided["bid"].to_pylist() == [None, 10.01]
    assert decided["ask"].to_pylist() == [10.03, 10.02]
    assert decided["since_open"].to_pylist() == [1.0, 2.0]
    assert frames["trades"].num_rows == 2
    assert feed.quarantined["detail"].to_pylist() == ["CORR above 1: corrected or cancelled later"]


def test_a_file_without_a_column_is_refused(tmp_path: Path) -> None:
    quotes, trades = files(tmp_path)
    parquet.write_table(parquet.read_table(quotes).drop_columns(["BID"]), quotes)
    with pytest.raises(hr.DataError, match="lacks BID"):
        read_taq(quotes, trades)


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="HEADRACE_DATA names no folder of market data")
def test_two_days_of_quotes_and_their_sessions() -> None:
    folder = Path(DATA or "") / "ticks_taq_highfrequency"
    feed = read_taq(folder / "sampleQDataRaw.parquet", folder / "sampleTDataRaw.parquet")
    frames = feed.frames
    assert frames["depth"].num_rows == 131_401
    assert frames["trades"].num_rows + feed.quarantined.num_rows == 77_263
    decided = hr.decide(case, {name: frames[name] for name in ("changes", "depth")})
    assert decided["status"].unique().to_pylist() == ["accepted"]
    is_open = decided["open"].to_numpy(zero_copy_only=False)
    since = decided["since_open"].to_numpy(zero_copy_only=False).astype(np.float64)
    assert 0 < is_open.mean() < 1
    assert np.isnan(since[~is_open]).all()
    assert since[is_open].min() >= 0
    assert since[is_open].max() < 6.5 * 3600
