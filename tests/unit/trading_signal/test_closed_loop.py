"""A closed loop: what comes of orders is known to later decisions, and to a replay of it all."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import headrace as hr
from headrace_solutions.trading_signal import market
from headrace_solutions.trading_signal.closed_loop import run_closed_loop
from headrace_solutions.trading_signal.feed import TIME, Tops
from headrace_solutions.trading_signal.gateway import Limits, OrderTerms
from headrace_solutions.trading_signal.venue import Assumptions

MS = 1_000_000
book = market.changes.book(snapshot="is_snapshot", ends="is_last", place="place", levels=10)
_view, _orders = book.at(market.depth), market.orders.by("symbol")
_side = hr.when(market.orders.buy).then(1).otherwise(-1)
_filled = market.orders.status.is_in(["filled", "partially_filled"])
features = hr.features(
    mid=_view.mid,
    imbalance=_view.imbalance(),
    position=_orders.sum(_side * market.orders.quantity, "1h", where=_filled),
    fees=_orders.sum(market.orders.fee, "1h"),
    updates=_orders.count("1h"),
)
#: Buys and sells by the imbalance, and stops at three: by its own position, which comes back.
case = hr.UseCase(
    name="loop",
    on=market.depth,
    features=features,
    policy=hr.Policy(
        hr.outcome("full", severity=0)(
            "full", (features.position >= 3) | (features.position <= -3)
        ),
        hr.outcome("buy", severity=40)("up", features.imbalance > 0.2),
        hr.outcome("sell", severity=40)("down", features.imbalance < -0.2),
        otherwise=hr.outcome("hold", severity=0),
    ),
)
ASSUMED = Assumptions(order_latency_us=1_500, report_latency_us=1_500, lifetime_us=40_000)
LIMITS = Limits(orders_per_second=10_000, position="5", notional="100000", loss="100000")


def frames(count: int, seed: int) -> dict[str, pa.Table]:
    """A walk of best prices, a message every two milliseconds or so, and trades at them."""
    random = np.random.default_rng(seed)
    at = 1_767_225_600_000_000_000 + np.cumsum(random.integers(1, 4 * MS, count))
    bid = 10_000 + np.cumsum(random.integers(-1, 2, count))
    size = random.integers(1, 9, (2, count))
    symbol = pa.array(["X"] * count)
    tops = Tops(at, at, symbol, (bid, size[0]), (bid + 1, size[1]), 2)
    rows = np.flatnonzero(random.random(count) < 0.3)
    took = random.random(len(rows)) < 0.5
    price = np.where(took, bid[rows] + 1, bid[rows])
    trades = pa.table(
        {
            "trade_id": [f"t{row}" for row in rows],
            "at": pa.array(at[rows] + 1).cast(TIME),
            "received": pa.array(at[rows] + 1).cast(TIME),
            "symbol": ["X"] * len(rows),
            "price": [f"{each / 100:.2f}" for each in price.tolist()],
            "size": [str(each) for each in random.integers(1, 9, len(rows)).tolist()],
            "buyer_took": took,
            "hidden": [False] * len(rows),
        }
    )
    return {"changes": tops.changes(), "depth": tops.depth(), "trades": trades}


@pytest.mark.parametrize("joins", [False, True])
def test_what_comes_back_is_known_to_decisions_and_a_replay_decides_the_same(
    *, joins: bool
) -> None:
    market_frames = frames(400, seed=3)
    read = {name: market_frames[name] for name in ("changes", "depth", "trades")}
    use_case = hr.UseCase(
        name=case.name, on=market.depth, features=features, policy=case.policy,
        beside=(market.trades,),
    )  # fmt: skip
    terms = OrderTerms(quantity="1", joins=joins)
    found = run_closed_loop(
        use_case, read, assumptions=ASSUMED, limits=LIMITS, terms=terms, book=book
    )
    # decided as one history, the orders among it, it comes to the same
    again = hr.decide(use_case, {**read, "orders": found.orders})
    assert again.equals(found.decisions.combine_chunks().cast(again.schema))
    assert found.orders["status"].to_pylist().count("filled") > 3
    # the policy stops by the position that came back; what was under way may still be filled
    position = np.array(found.decisions["position"].to_pylist(), dtype=float)
    assert np.abs(position).max() >= 3
    assert np.abs(position).max() <= 5
    outcomes = np.array(found.decisions["outcome"].to_pylist())
    assert (outcomes[np.abs(position) >= 3] == "full").all()
    # no decision knows of an order earlier than a round trip after the decision that made it
    held = found.gateway.ledger.positions["X"]
    known = [report for report in found.reports if report.quantity]
    assert held == sum(report.side * report.quantity for report in known)


def test_a_loop_comes_to_the_same_each_time() -> None:
    read = {name: table for name, table in frames(150, seed=5).items() if name != "trades"}
    both = [
        run_closed_loop(
            case, read, assumptions=ASSUMED, limits=LIMITS, terms=OrderTerms(quantity="1"),
            book=book,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert both[0].orders.equals(both[1].orders)
    assert both[0].decisions.equals(both[1].decisions)
    assert both[0].orders.num_rows > 0


def test_a_loop_without_latency_is_refused() -> None:
    read = {name: table for name, table in frames(20, seed=5).items() if name != "trades"}
    with pytest.raises(hr.DataError, match="a round trip of 0 us"):
        run_closed_loop(
            case,
            read,
            assumptions=Assumptions(order_latency_us=0, report_latency_us=0),
            limits=LIMITS,
            terms=OrderTerms(),
            book=book,
        )
