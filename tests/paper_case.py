"""A use case that trades on paper by what is seen of a book, and stops at its own position.

Commands take this file; tests take what it makes, and the market to run it over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

import headrace as hr
from headrace_solutions.trading_signal import market
from headrace_solutions.trading_signal.closed_loop import PaperTrading
from headrace_solutions.trading_signal.feed import TIME, Tops
from headrace_solutions.trading_signal.gateway import Limits, OrderTerms
from headrace_solutions.trading_signal.tape import tape_of
from headrace_solutions.trading_signal.venue import Assumptions

if TYPE_CHECKING:
    from collections.abc import Mapping

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
            "full",
            ((features.position >= 3) & (features.imbalance > 0.2))
            | ((features.position <= -3) & (features.imbalance < -0.2)),
        ),
        hr.outcome("buy", severity=40)("up", features.imbalance > 0.2),
        hr.outcome("sell", severity=40)("down", features.imbalance < -0.2),
        otherwise=hr.outcome("hold", severity=0),
    ),
    beside=(market.trades,),
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


def counterparty(frames: Mapping[str, Any], since_ns: int = 0) -> PaperTrading:
    """A venue to which an order takes a millisecond and a half, and its report as long."""
    return PaperTrading(
        tape_of(frames, book=book),
        assumptions=ASSUMED,
        limits=LIMITS,
        terms=OrderTerms(quantity="1"),
        since_ns=since_ns,
    )
