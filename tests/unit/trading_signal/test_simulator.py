"""The simulated market: reproducible, sound as a feed, and like a market where it matters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import headrace as hr
from headrace import DefinitionError
from headrace_solutions.trading_signal import simulate_lines, simulate_to
from headrace_solutions.trading_signal.market import book, depth
from headrace_solutions.trading_signal.order_flow import Flow, order_flow
from headrace_solutions.trading_signal.order_flow_kernels import SOUND
from headrace_solutions.trading_signal.simulator import (
    LOT,
    SYMBOLS,
    Market,
    SimulationSettings,
    simulate,
)

SMALL = SimulationSettings(events=9_000, days=2, seed=5, faults=1 / 300)
SEEN = book.at(depth)
LOOKS = hr.UseCase(
    name="looks",
    on=depth,
    features=hr.features(
        bid=SEEN.price("bid"),
        bid_size=SEEN.size("bid"),
        ask=SEEN.price("ask"),
        ask_size=SEEN.size("ask"),
        book_status=SEEN.status,
    ),
)


@pytest.fixture(scope="module")
def made() -> Market:
    return simulate(SMALL)


@pytest.fixture(scope="module")
def flow() -> Flow:
    """One long session without faults."""
    faults = np.full(60_000, SOUND, dtype=np.int8)
    return order_flow(np.random.default_rng(11), faults, 10_000, pace=1.0)


def test_one_seed_is_one_market(made: Market, tmp_path: Any) -> None:
    again = simulate(SMALL)
    assert all(again.tables[name].equals(table) for name, table in made.tables.items())
    assert not simulate(replace(SMALL, seed=6)).tables["changes"].equals(made.tables["changes"])
    for place in ("one", "two"):
        simulate_to(tmp_path / place, events=900, days=1, seed=3)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_parts_are_the_whole(tmp_path: Any) -> None:
    (whole,) = simulate_to(tmp_path / "whole", events=1_800, days=2, seed=3)
    parts = simulate_to(tmp_path / "parts", events=1_800, days=2, seed=3, parted_at=1)
    for stream, path in whole.items():
        both = pa.concat_tables([pq.read_table(part[stream]) for part in parts])
        assert both.equals(pq.read_table(path))
    assert all(pq.read_table(part["depth"]).num_rows > 800 for part in parts)
    lines = b"".join(simulate_lines(events=1_800, days=2, seed=3)).splitlines()
    assert len(lines) == pq.read_table(whole["depth"]).num_rows
    assert lines[0].startswith(b'{"depth_id": "')


def test_books_built_from_the_feed_are_the_books_of_the_venue(made: Market) -> None:
    seen = hr.compute(LOOKS, books_of(made)).to_pylist()
    told = {row["update"]: row for row in _quotes_of(made, "ALFA")}
    statuses = {hr.BookStatus(row["book_status"]).name for row in seen}
    # the feed's faults are met: books are lost, and come back with the next snapshot
    assert {"GAP", "CROSSED", "IN_SYNC"} <= statuses
    updates, symbols = (
        made.tables["depth"][name].to_pylist() for name in ("last_update", "symbol")
    )
    best, agreed = None, 0
    for row, update, symbol in zip(seen, updates, symbols, strict=True):
        if symbol != "ALFA":
            continue
        best = told.get(update, best)
        if row["book_status"] == hr.BookStatus.IN_SYNC and update in told:
            assert best is not None
            assert [row[name] for name in ("bid", "bid_size", "ask", "ask_size")] == [
                float(best[name]) for name in ("bid_price", "bid_size", "ask_price", "ask_size")
            ]
            agreed += 1
    assert agreed > 500


def books_of(market: Market) -> dict[str, pa.Table]:
    return {name: market.tables[name] for name in ("changes", "depth")}


def _quotes_of(market: Market, symbol: str) -> list[dict[str, Any]]:
    quotes = market.tables["quotes"]
    rows: list[dict[str, Any]] = quotes.filter(pc.equal(quotes["symbol"], symbol)).to_pylist()
    return rows


def test_faults_are_counted_and_quarantined(made: Market) -> None:
    assert all(made.faults[name] > 0 for name in ("lost", "late", "crossed", "malformed"))
    answers = hr.compute(LOOKS, books_of(made))
    assert len(answers) == made.tables["depth"].num_rows
    assert set(SYMBOLS) == set(made.tables["depth"]["symbol"].to_pylist())
    negative = pc.sum(pc.less(made.tables["changes"]["size"], 0)).as_py()
    assert negative == made.faults["malformed"]
    events = SMALL.events - made.faults["lost"] - made.faults["late"]
    assert made.tables["depth"].num_rows == events
    sound = simulate(replace(SMALL, faults=0.0))
    assert sound.faults["sound"] == SMALL.events
    status = hr.compute(LOOKS, books_of(sound))["book_status"].to_pylist()
    assert set(status) == {int(hr.BookStatus.IN_SYNC)}


def test_prices_are_ticks_and_sizes_lots(flow: Flow) -> None:
    bid, bid_size, ask, ask_size = flow.top.T
    assert (bid < ask).all()
    assert (bid_size > 0).all()
    assert (ask_size > 0).all()
    assert LOT == 100
    # a stock of large ticks: the spread is one tick at least four times in five
    assert 0.8 < ((ask - bid) == 1).mean() < 0.99
    assert (ask - bid).max() < 10


def test_volume_comes_in_clusters(flow: Flow) -> None:
    seconds = flow.at_s[flow.trade[:, 0]]
    volume = np.bincount((seconds // 5).astype(int), weights=flow.trade[:, 2])
    assert _correlation(volume[:-1], volume[1:]) > 0.15
    # more than Poisson: counts vary more than their mean
    counts = np.bincount((seconds // 5).astype(int))
    assert counts.var() > 1.5 * counts.mean()


def test_signs_of_trades_persist(flow: Flow) -> None:
    sign = 2.0 * flow.trade[:, 3] - 1.0
    assert _correlation(sign[:-1], sign[1:]) > 0.2
    assert _correlation(sign[:-5], sign[5:]) > 0.05
    assert abs(sign.mean()) < 0.3


def test_returns_have_fat_tails_and_volatility_clusters(flow: Flow) -> None:
    moved = np.diff(_mid_each(flow, 1.0))
    kurtosis = ((moved - moved.mean()) ** 4).mean() / moved.var() ** 2
    assert kurtosis > 4.0
    assert _correlation(np.abs(moved[:-1]), np.abs(moved[1:])) > 0.05


def test_order_flow_tells_of_moves_now_and_next(flow: Flow) -> None:
    bid, bid_size, ask, ask_size = flow.top.T.astype(float)
    mid = (bid + ask) / 2
    change = np.flatnonzero(np.diff(mid) != 0)
    following = np.searchsorted(change, np.arange(len(mid) - 1))
    there = following < len(change)
    goes_up = np.diff(mid)[change[following[there]]] > 0
    imbalance = ((bid_size - ask_size) / (bid_size + ask_size))[:-1][there]
    # the side with less goes first (Gould and Bonart, Queue imbalance as a one-tick-ahead price
    # predictor, 2016): by chance it would be 0.5
    assert 0.58 < _auc(imbalance, goes_up) < 0.85
    # the change of the mid is about linear in order-flow imbalance (Cont, Kukanov, Stoikov, 2014)
    flow_sum = np.concatenate([[0.0], np.cumsum(_order_flow(flow.top))])
    at = np.searchsorted(flow.at_s, np.arange(0.0, flow.at_s[-1], 5.0), side="right") - 1
    assert _correlation(np.diff(flow_sum[at]), np.diff(mid[at])) ** 2 > 0.3


def _order_flow(top: Any) -> Any:
    """What came to the best bid less what left it, less the same of the ask, by the paper."""
    (bid, bids, ask, asks), before = top.T[:, 1:], top.T[:, :-1]
    came = np.where(bid >= before[0], bids, 0) - np.where(bid <= before[0], before[1], 0)
    offered = np.where(ask <= before[2], asks, 0) - np.where(ask >= before[2], before[3], 0)
    return came - offered


def _mid_each(flow: Flow, seconds: float) -> Any:
    at = np.searchsorted(flow.at_s, np.arange(0.0, flow.at_s[-1], seconds), side="right") - 1
    return (flow.top[at, 0] + flow.top[at, 2]) / 2


def _correlation(one: Any, other: Any) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def _auc(score: Any, positive: Any) -> float:
    """The chance that a positive has the higher score, ties counted half."""
    _, ranks, counts = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    high = middle[ranks][positive].sum() - positive.sum() * (positive.sum() + 1) / 2
    return float(high / (positive.sum() * (~positive).sum()))


def test_what_makes_no_market_is_refused() -> None:
    with pytest.raises(DefinitionError, match="ask for 1 session"):
        SimulationSettings(events=100, days=1)
    with pytest.raises(DefinitionError, match=r"share from 0 to 0\.1"):
        SimulationSettings(faults=0.5)
