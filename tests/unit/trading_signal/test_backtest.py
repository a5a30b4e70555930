"""Back-tests of signals: figures by hand, and against a plain reckoning of every cent."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace as hr
from headrace_solutions.trading_signal.backtest import (
    Signals,
    Variant,
    backtest_signals,
    by_latency,
    equity_curve,
    round_trips,
    signals_of,
    tried,
)
from headrace_solutions.trading_signal.gateway import Limits, OrderTerms
from headrace_solutions.trading_signal.tape import UNIT, Book, Tape, Trade, units
from headrace_solutions.trading_signal.venue import BUY, SELL, Assumptions, Report, Status

SECOND = 1_000_000_000
PLAIN = Assumptions(
    maker_fee_bp=1.0, taker_fee_bp=10.0, order_latency_us=1_000, report_latency_us=1_000
)
WIDE = Limits(position="1000", notional="1000000", loss="1000000")
ONE = OrderTerms(quantity="1")


def tape(rows: list[tuple[float, str, str]], trades: tuple[Trade, ...] = ()) -> Tape:
    """Books of ten at the best bid and ask, at seconds."""
    return Tape(
        tuple(
            Book(round(second * SECOND), round(second * SECOND), "X",
                 ((units(bid), 10 * UNIT),), ((units(ask), 10 * UNIT),))
            for second, bid, ask in rows
        ),
        trades,
    )  # fmt: skip


def signals(*told: tuple[float, int]) -> Signals:
    moments = np.array([round(second * SECOND) for second, _ in told], dtype=np.int64)
    return Signals(moments, ["X"] * len(told), np.array([side for _, side in told], dtype=np.int8))


def test_a_round_trip_by_hand() -> None:
    market = tape([(0, "99", "101"), (1, "109", "111"), (2, "109", "111"), (3, "99", "101")])
    found = backtest_signals(
        market, signals((0, BUY), (2, SELL)), assumptions=PLAIN, limits=WIDE, terms=ONE
    )
    # bought at 101 where the mid was 100, sold at 109 where it was 110; fees of 10 bp
    assert (found.orders, found.fills, found.round_trips) == (2, 2, 1)
    assert found.gross == pytest.approx(10.0)
    assert found.half_spread == pytest.approx(2.0)
    assert found.fees == pytest.approx(0.101 + 0.109)
    assert found.net == pytest.approx(8.0 - 0.21)
    assert found.turnover == pytest.approx(210.0)
    assert found.hit_rate == 1.0
    # by seconds: long one from 100 at 101 with its fee; then at 110; sold; nothing more
    assert found.equity.tolist() == pytest.approx([-1.101, 8.899, 7.79, 7.79])
    assert found.drawdown == pytest.approx(8.899 - 7.79)
    gains = np.array([-1.101, 10.0, -1.109, 0.0])
    ratio = found.sharpe
    assert ratio is not None
    assert ratio.ratio == pytest.approx(gains.mean() / gains.std(ddof=1))


def test_an_order_that_waits_earns_its_half_spread() -> None:
    market = tape(
        [(0, "99", "101"), (2, "99", "101")],
        (Trade(SECOND, SECOND, "X", 99 * UNIT, 50 * UNIT, buyer_took=False),),
    )
    found = backtest_signals(
        market, signals((0, BUY)), assumptions=PLAIN, limits=WIDE,
        terms=OrderTerms(quantity="1", joins=True),
    )  # fmt: skip
    assert found.half_spread == pytest.approx(-1.0)
    assert found.fees == pytest.approx(0.0099)
    assert found.net == pytest.approx(1.0 - 0.0099)
    assert found.gross == pytest.approx(0.0)
    assert math.isnan(found.hit_rate)


def test_an_assumed_half_spread_is_charged_beside_the_books_own() -> None:
    market = tape([(0, "99", "101"), (2, "99", "101")])
    assumed = Assumptions(taker_fee_bp=0.0, half_spread_bp=100.0)
    found = backtest_signals(market, signals((0, BUY)), assumptions=assumed, limits=WIDE, terms=ONE)
    assert found.half_spread == pytest.approx(1.0 + 1.01)
    assert found.net == pytest.approx(-2.01)


def test_a_fill_that_turns_a_position_belongs_to_two_round_trips() -> None:
    def fill(number: int, side: int, price: int, quantity: int) -> Report:
        about = (number, "X", side, Status.FILLED, price * UNIT, quantity * UNIT, 0)
        return Report(number, number, *about, fee=UNIT * quantity)

    trips = round_trips(
        [fill(1, BUY, 10, 2), fill(2, SELL, 13, 3), fill(3, BUY, 15, 1), fill(4, BUY, 9, 1)]
    )
    # 2 x 3 less fees of 2 and 2; then sold at 13, bought at 15, fees of 1 and 1
    assert [trip.profit / UNIT**2 for trip in trips] == [2.0, -4.0]
    assert [trip.ended for trip in trips] == [2, 3]


def test_refusals_are_counted_by_reason() -> None:
    market = tape([(second, "99", "101") for second in range(6)])
    found = backtest_signals(
        market, signals((0, BUY), (1, BUY), (2, BUY)), assumptions=PLAIN,
        limits=Limits(position="2"), terms=ONE,
    )  # fmt: skip
    assert (found.orders, found.fills) == (3, 2)
    assert found.rejected == {"position: the limit is 2 of a symbol": 1}


def test_a_signal_acted_on_late_buys_at_the_later_price() -> None:
    market = tape([(0, "99", "101"), (1, "104", "106"), (2, "109", "111"), (4, "109", "111")])
    found = by_latency(
        market, signals((0, BUY)), (0, 1_500_000), assumptions=PLAIN, limits=WIDE, terms=ONE
    )
    assert [each.gross for each in found] == pytest.approx([10.0, 5.0])


def test_a_market_without_a_book_has_no_prices() -> None:
    with pytest.raises(hr.DataError, match="nothing has a price"):
        equity_curve(Tape((), ()), [], SECOND)


def test_the_best_of_many_tried_is_deflated() -> None:
    random = np.random.default_rng(5)
    mids = 100 + np.cumsum(random.normal(0, 0.05, 400))
    market = tape(
        [(n, f"{mid - 0.01:.4f}", f"{mid + 0.01:.4f}") for n, mid in enumerate(mids.tolist())]
    )
    variants = {}
    for number in range(8):
        sides = random.choice([BUY, 0, SELL], 399)
        told = signals(*[(n, int(side)) for n, side in enumerate(sides.tolist())])
        variants[f"coin {number}"] = Variant(told, Assumptions(taker_fee_bp=0.0), ONE)
    found = tried(market, variants, limits=WIDE)
    ratios = [each.sharpe.ratio for each in found.backtests if each.sharpe]
    assert found.best == int(np.argmax(ratios))
    alone = found.backtests[found.best].sharpe
    assert alone is not None
    # what one try would have shown is more than what is left of the best of eight
    assert found.deflated < alone.probability_above(0.0)
    assert found.deflated == hr.deflated_sharpe(found.backtests[found.best].gains, ratios)


def test_signals_of_decisions_are_put_in_known_order() -> None:
    found = signals_of(np.array([3, 1, 2]), ["A", "B", "C"], ["buy", "sell", "hold"])
    assert found.received.tolist() == [1, 2, 3]
    assert list(found.symbol) == ["B", "C", "A"]
    assert found.side.tolist() == [SELL, 0, BUY]


steps = st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([BUY, 0, SELL])), min_size=3,
                 max_size=40)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(steps, st.sampled_from([0.0, 7.5]), st.sampled_from([0.0, 2.0]))
def test_a_plain_reckoning_comes_to_the_same(
    steps: list[tuple[int, int]], fee_bp: float, spread_bp: float
) -> None:
    """Takers of one, a book a second: each fill is at the touch of its own second, in Decimals."""
    mids = [Decimal(100)]
    for move, _ in steps:
        mids.append(mids[-1] + move)
    half = Decimal("0.5")
    market = tape([(n, str(mid - half), str(mid + half)) for n, mid in enumerate(mids)])
    found = backtest_signals(
        market,
        signals(*[(n, side) for n, (_, side) in enumerate(steps)]),
        assumptions=Assumptions(taker_fee_bp=fee_bp, half_spread_bp=spread_bp),
        limits=WIDE,
        terms=ONE,
    )
    cash, held, turnover, equity, trips = Decimal(0), 0, Decimal(0), [], []
    since = Decimal(0)
    for n, mid in enumerate(mids):
        side = steps[n][1] if n < len(steps) else 0
        if side:
            price = mid + side * half
            cost = price * (Decimal(str(fee_bp)) + Decimal(str(spread_bp))) / 10_000
            cash -= side * price + cost
            turnover += price
            held += side
            if held == 0:
                trips.append(cash - since)
                since = cash
        equity.append(cash + held * mid)
    assert found.equity.tolist() == pytest.approx([float(each) for each in equity], abs=1e-9)
    assert found.net == pytest.approx(float(equity[-1]), abs=1e-9)
    assert found.turnover == pytest.approx(float(turnover))
    assert found.round_trips == len(trips)
    if trips:
        assert found.hit_rate == pytest.approx(sum(each > 0 for each in trips) / len(trips))
    top, worst = Decimal(0), Decimal(0)
    for each in equity:
        top = max(top, each)
        worst = max(worst, top - each)
    assert found.drawdown == pytest.approx(float(worst), abs=1e-9)
    assert found.gross == pytest.approx(found.net + found.fees + found.half_spread)
