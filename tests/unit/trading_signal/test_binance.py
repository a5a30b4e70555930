"""Captures of Binance: what is read, what is refused, and books that agree with the venue's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import headrace as hr
from headrace_solutions.trading_signal import market
from headrace_solutions.trading_signal.binance import read_capture
from headrace_solutions.trading_signal.clocks import clock_skew
from headrace_solutions.trading_signal.feed import TIME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

DATA = os.environ.get("HEADRACE_DATA")
CAPTURES = ("spot/btcusdt_20240808.gz", "usdm/btcusdt_20240808.gz", "cm/btcusd_perp_20240808.gz")

view = market.book.at(market.depth)
SIDES = {"bid_price": "bid", "bid_size": "bid", "ask_price": "ask", "ask_size": "ask"}
case = hr.UseCase(
    name="books",
    on=market.depth,
    features=hr.features(
        **{
            name: view.price(side) if "price" in name else view.size(side)
            for name, side in SIDES.items()
        },
        book_status=view.status,
        gaps=view.gaps,
    ),
)

DEPTH = (
    b'1000000000 {"stream":"x@depth@0ms","data":{"e":"depthUpdate","E":2000,"s":"X","U":11,"u":12,'
    b'"pu":9,"b":[["1.50","2"],["1.40","0"]],"a":[]}}'
)
NOTHING = (
    b'1000000001 {"stream":"x@depth@0ms","data":{"E":2001,"s":"X","U":13,"u":13,"pu":12,'
    b'"b":[],"a":[]}}'
)
SNAPSHOT = b'1000000002 {"lastUpdateId":14,"bids":[["1.5","2"]],"asks":[["1.6","3"],["1.7","1"]]}'
TRADE = (
    b'1000000003 {"stream":"x@trade","data":{"E":2002,"s":"X","t":7,"p":"1.6","q":"1","m":false}}'
)


def test_levels_are_read_as_they_were_written() -> None:
    feed = read_capture(Path("x"), lines=[DEPTH, NOTHING, SNAPSHOT, TRADE], venue="V")
    rows = feed.frames["changes"].to_pylist()
    assert [row["price"] for row in rows] == ["1.50", "1.40", None, "1.5", "1.6", "1.7"]
    assert [row["size"] for row in rows] == ["2", "0", "0", "2", "3", "1"]
    assert [row["bid"] for row in rows] == [True, True, False, True, False, False]
    assert [row["place"] for row in rows] == [0, 1, 0, 0, 1, 2]
    assert [row["is_last"] for row in rows] == [False, True, True, False, False, True]
    assert [(row["first_update"], row["last_update"]) for row in rows[:3:2]] == [(10, 12), (13, 13)]
    assert {row["symbol"] for row in rows} == {"V:X"}
    # a message that tells no event time has that of the one before it
    assert rows[3]["at"] == rows[2]["at"]
    assert len({row["change_id"] for row in rows}) == len(rows)
    assert feed.frames["depth"]["last_update"].to_pylist() == [12, 13, 14]
    assert feed.frames["trades"]["buyer_took"].to_pylist() == [True]


def test_what_cannot_be_read_is_refused_with_its_reason() -> None:
    odd = DEPTH.replace(b'["1.40","0"]', b'["1.40"]')
    lines = [b"", b"x {}", b"1 {", b"1 {}", odd, DEPTH.replace(b"depth@", b"candle@"), DEPTH]
    feed = read_capture(Path("x"), lines=lines)
    assert feed.quarantined["line"].to_pylist() == [1, 2, 3, 4, 5, 6]
    reasons = feed.quarantined["detail"].to_pylist()
    assert "receive time" in reasons[0]
    assert "pairs of price and size" in reasons[4]
    assert "'x@candle@0ms'" in reasons[5]
    read = feed.frames["depth"].num_rows
    assert read + feed.quarantined.num_rows == feed.lines


def test_a_clock_that_is_behind_is_measured_and_breaks_nothing() -> None:
    feed = read_capture(Path("x"), lines=[DEPTH, NOTHING, SNAPSHOT])
    skew = clock_skew(feed.frames["depth"])
    assert skew.received_before == 1.0
    assert skew.quantiles[2] == pytest.approx(-1.001, abs=1e-3)
    given = {name: feed.frames[name] for name in ("changes", "depth")}
    decided = hr.decide(case, given)
    assert decided["status"].to_pylist() == ["accepted"] * 3
    assert decided["book_status"].to_pylist() == [1, 1, 0]
    assert decided["bid_price"].to_pylist() == [None, None, 1.5]


def books_and_quotes(
    frames: Mapping[str, pa.Table],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], pa.Table]:
    """Whether each book is in sync; whether it then agrees with the last quote not after it."""
    given = {name: frames[name] for name in ("changes", "depth")}
    decided = hr.decide(case, given)
    assert decided["status"].unique().to_pylist() == ["accepted"]
    updates = frames["depth"]["last_update"].to_numpy()
    quoted = frames["quotes"]["update"].to_numpy()
    assert (np.diff(quoted) > 0).all()
    place = np.searchsorted(quoted, updates, side="right") - 1
    same = place >= 0
    for name in SIDES:
        price = frames["quotes"][name].cast(pa.float64()).to_numpy()
        same &= decided[name].to_numpy(zero_copy_only=False) == price[np.maximum(place, 0)]
    return decided["book_status"].to_numpy() == 0, same, decided


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="HEADRACE_DATA names no folder of market data")
@pytest.mark.parametrize(
    ("capture", "received", "replayed"),
    [(CAPTURES[0], 3_448, 3_449), (CAPTURES[1], 6_545, 6_547), (CAPTURES[2], 26_822, 26_824)],
)
def test_the_best_prices_are_those_that_the_venue_quotes(
    capture: str, received: int, replayed: int
) -> None:
    """After every update: as it was received, and with the snapshot known from the start."""
    feed = read_capture(Path(DATA or "") / "lob_binance_ws" / capture)
    assert feed.quarantined.num_rows == 0
    frames = dict(feed.frames)
    rows = frames["changes"].filter(frames["changes"]["is_snapshot"])
    told, begun = pc.unique(rows["received"]), rows["last_update"][0].as_py()
    for known in (received, replayed):
        snapshot = pc.is_in(frames["depth"]["received"], told).to_numpy()
        in_sync, same, decided = books_and_quotes(frames)
        # an update that is older than the snapshot is behind the book that it is compared with
        later = frames["depth"]["last_update"].to_numpy() > begun
        updates = in_sync & ~snapshot & later
        assert int(updates.sum()) == known
        assert same[updates].all()
        assert decided["gaps"].to_pylist()[-1] == 0
        first = pa.scalar(pc.min(frames["depth"]["received"]).value - 1).cast(TIME)
        for name in ("changes", "depth"):
            times = frames[name]["received"]
            moved = pc.if_else(pc.is_in(times, told), first, times)
            place = frames[name].column_names.index("received")
            frames[name] = frames[name].set_column(place, "received", moved)
        told = pa.array([first.value]).cast(TIME)
