"""Files of every format that is read, as vendors and venues have written them."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from pyarrow import parquet

import headrace as hr
from headrace_solutions.trading_signal import (
    bitstamp,
    bitstamp_orders,
    databento,
    hyperliquid,
    market,
    tardis,
)
from headrace_solutions.trading_signal.binance import read_capture
from headrace_solutions.trading_signal.bybit import read_archive
from headrace_solutions.trading_signal.formats import FORMATS, QUARANTINE, convert_to

DATA = Path(os.environ.get("HEADRACE_DATA", "data"))
SAMPLES = DATA / "ticks_nautilus_samples"
has_data = pytest.mark.skipif(not SAMPLES.exists(), reason="HEADRACE_DATA has no market data")
LOBSTER = [f"lob_lobster/raw/AMZN_{what}_1_first2000.csv" for what in ("message", "orderbook")]
TAQ = [f"ticks_taq_highfrequency/sample{what}DataRaw.parquet" for what in "QT"]
TARDIS = "ticks_nautilus_samples/tardis"
#: Files of a format, and how many rows each stream has.
REAL: list[tuple[str, list[str], dict[str, int]]] = [
    ("binance", ["lob_binance_ws/spot/btcusdt_20240808.gz"],
     {"changes": 126_090, "depth": 3_452, "quotes": 28_040, "trades": 9_757}),
    ("binance-depth", ["ticks_nautilus_samples/binance/btcusdt-depth-snap.csv"],
     {"changes": 100, "depth": 1}),
    ("binance-depth", ["ticks_nautilus_samples/binance/btcusdt-depth-update.csv"],
     {"changes": 100, "depth": 1}),
    ("binance-quotes", ["ticks_nautilus_samples/binance/btcusdt-quotes.parquet"], {"quotes": 451}),
    ("binance-trades", ["ticks_nautilus_samples/binance/btcusdt-trades.parquet"],
     {"trades": 2_001}),
    ("bitstamp", ["lob_bitstamp_obanalytics/2015-05-01.log.xz"],
     {"order_changes": 250_854, "moments": 10_022, "trades": 575}),
    ("bitstamp-orders", ["lob_bitstamp_obanalytics/orders.parquet"],
     {"order_changes": 50_414, "executions": 1_135}),
    ("bybit", ["ticks_nautilus_samples/bybit/xrpusdt-ob500.data.zip"],
     {"changes": 3_966, "depth": 50}),
    ("hyperliquid", ["lob_binance_ws/hyperliquid/btcusd_20250126.gz"],
     {"changes": 1_840, "depth": 46, "trades": 64}),
    ("databento-mbo", ["ticks_nautilus_samples/databento/esh4-glbx-mdp3-20231225.mbo.dbn.zst"],
     {"order_changes": 59_448, "depth": 47_023, "trades": 2_973}),
    ("lobster", LOBSTER, {"changes": 3_998, "depth": 1_999, "trades": 539}),
    ("taq", TAQ, {"changes": 262_802, "depth": 131_401, "trades": 77_261}),
    ("tardis-changes", [f"{TARDIS}/deribit_incremental_book_L2_BTC-PERPETUAL.csv"],
     {"changes": 15, "depth": 1}),
    ("tardis-snapshots", [f"{TARDIS}/binance-futures_book_snapshot_25_BTCUSDT.csv"],
     {"changes": 500, "depth": 10}),
    ("tardis-quotes", [f"{TARDIS}/huobi-dm-swap_quotes_BTC-USD.csv"], {"quotes": 10}),
    ("tardis-trades", [f"{TARDIS}/bitmex_trades_XBTUSD.csv"], {"trades": 10}),
    ("truefx", ["ticks_nautilus_samples/truefx/usdjpy-ticks.csv"], {"prices": 1_000}),
    ("minute-bars", ["ticks_nautilus_samples/fxcm/gbpusd-m1-ask-2012.parquet"], {"bars": 30_117}),
    ("minute-bars", ["ticks_nautilus_samples/fxcm/usdjpy-m1-bid-2013.parquet"], {"bars": 28_761}),
    ("minute-bars", ["ticks_nautilus_samples/btc-perp-20211231-20220201_1m.parquet"],
     {"bars": 45_031}),
]  # fmt: skip


@has_data
@pytest.mark.slow
@pytest.mark.parametrize(("form", "files", "rows"), REAL)
def test_a_real_file_is_read_whole(
    form: str, files: list[str], rows: dict[str, int], tmp_path: Path
) -> None:
    paths = [DATA / file for file in files]
    found = convert_to(tmp_path, form, paths, symbol="X", day=dt.date(2012, 6, 21))
    written, quarantine, said = found
    assert {name: parquet.read_metadata(path).num_rows for name, path in written.items()} == rows
    if form == "taq":
        assert quarantine is not None
        assert said.endswith("2 in quarantine (2 cancelled later)")
    else:
        assert quarantine is None, said
        assert "none in quarantine" in said


def test_every_format_is_tried_on_a_real_file() -> None:
    assert {form for form, _, _ in REAL} == set(FORMATS)


def test_what_is_not_accepted_is_beside_what_is(tmp_path: Path) -> None:
    ticks, out = tmp_path / "ticks.csv", tmp_path / "out"
    ticks.write_text("timestamp,bid,ask\n2013-01-01 22:00:00Z,86.655,86.728\nnever,1,2\n")
    written, quarantine, said = convert_to(out, "truefx", [ticks], symbol="USDJPY")
    assert said == "2 lines: 1 accepted, 1 in quarantine (1 bad time)"
    assert quarantine == out / QUARANTINE
    (bad,) = parquet.read_table(quarantine).to_pylist()
    assert (bad["line"], bad["content"]) == (3, b"never,1,2")
    assert parquet.read_table(written["prices"]).num_rows == 1
    ticks.write_text("timestamp,bid,ask\n2013-01-01 22:00:00Z,86.655,86.728\n")
    # quarantine of before does not stay beside what is converted anew
    assert convert_to(out, "truefx", [ticks], symbol="USDJPY")[1] is None
    assert not (out / QUARANTINE).exists()


@pytest.mark.parametrize(
    ("form", "files", "given", "said"),
    [
        ("morse", ["x"], {}, "no format 'morse'; those that are read: binance,"),
        ("taq", ["x"], {}, "1 files of taq, expected 2: quotes, trades"),
        ("lobster", ["x", "y"], {"symbol": "X"}, "do not say their day: give --day"),
        ("bybit", ["x"], {}, "x is no file"),
    ],
)
def test_what_cannot_be_converted_is_said(
    form: str, files: list[str], given: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(hr.DataError, match=said):
        convert_to(tmp_path, form, [tmp_path / file for file in files], **given)


def tops(book: Any, frames: dict[str, Any], changes: str = "changes") -> Any:
    """The best prices and the state of a book at the end of each message."""
    view = book.at(market.depth)
    features = {
        "bid": view.price("bid"),
        "ask": view.price("ask"),
        "book_status": view.status,
        "gaps": view.gaps,
        "crossings": view.crossings,
    }
    case = hr.UseCase(name="tops", on=market.depth, features=hr.features(**features))
    found = hr.compute(case, {name: frames[name] for name in (changes, "depth")})
    assert found["status"].unique().to_pylist() == ["accepted"]
    return found


@has_data
def test_books_of_venues_follow_without_a_gap() -> None:
    bybit = read_archive(SAMPLES / "bybit" / "xrpusdt-ob500.data.zip")
    liquid = hyperliquid.read_hyperliquid(
        DATA / "lob_binance_ws" / "hyperliquid" / "btcusd_20250126.gz"
    )
    best = tardis.read_snapshots(
        SAMPLES / "tardis" / "binance-futures_book_snapshot_25_BTCUSDT.csv"
    )
    for book, feed in (
        (market.book, bybit),
        (hyperliquid.book, liquid),
        (tardis.book, best),
    ):
        found = tops(book, dict(feed.frames))
        assert set(found["book_status"].to_pylist()) == {0}
        assert (found["gaps"][-1].as_py(), found["crossings"][-1].as_py()) == (0, 0)


@has_data
@pytest.mark.slow
def test_trades_of_databento_are_at_the_best_price_of_its_book() -> None:
    feed = databento.read_mbo(SAMPLES / "databento" / "esh4-glbx-mdp3-20231225.mbo.dbn.zst")
    # as counted by Databento's own decoder
    assert feed.lines == 68_792
    assert pc.sum(feed.frames["trades"]["size"]).as_py() == 9_892
    changed = sum(order or 0 for order in feed.frames["order_changes"]["order"].to_pylist())
    assert changed == 381_226_696_631_432_564
    found = tops(databento.order_book, dict(feed.frames), "order_changes")
    assert set(found["book_status"].to_pylist()) <= {0, 3}
    view = databento.order_book.at(market.trades)
    features = {"bid": view.price("bid"), "ask": view.price("ask"), "price": market.trades.price}
    case = hr.UseCase(name="trades", on=market.trades, features=hr.features(**features))
    given = {name: feed.frames[name] for name in ("order_changes", "trades")}
    seen = hr.compute(case, given)
    took = feed.frames["trades"]["buyer_took"].to_numpy(zero_copy_only=False)
    best = np.where(took == True, seen["ask"].to_numpy(), seen["bid"].to_numpy())  # noqa: E712 - None is neither
    # the others are further levels that one order took at once
    assert int((best == seen["price"].to_numpy()).sum()) >= 2_890


@has_data
@pytest.mark.slow
def test_executions_of_orders_are_both_sides_of_trades() -> None:
    folder = DATA / "lob_bitstamp_obanalytics"
    orders = bitstamp_orders.read_orders(folder / "orders.parquet").frames["executions"]
    trades = bitstamp.read_log(folder / "2015-05-01.log.xz").frames["trades"]
    executed, traded = (float(pc.sum(frame["size"]).as_py()) for frame in (orders, trades))
    # of orders that were there before the table begins it is not known
    assert 1.85 * traded < executed <= 2 * traded


@has_data
def test_a_capture_of_one_venue_and_another_are_two_books() -> None:
    path = DATA / "lob_binance_ws" / "spot" / "btcusdt_20240808.gz"
    assert set(read_capture(path, venue="spot").frames["depth"]["symbol"].to_pylist()) == {
        "spot:BTCUSDT"
    }
