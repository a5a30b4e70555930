"""Measures against a plain reading of their papers over the same market, event by event."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

import headrace as hr
from headrace_solutions.trading_signal.case import trading_signal
from headrace_solutions.trading_signal.simulator import SimulationSettings, simulate

SECOND = 10**9


class Seen(NamedTuple):
    """A book at the end of a message: times, sides as [(price, size)] with the best first."""

    at: int
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


class Traded(NamedTuple):
    at: int
    known: int
    price: float
    signed: float


def nanoseconds(table: pa.Table, name: str) -> list[int]:
    return table[name].cast(pa.int64()).to_pylist()  # type: ignore[no-any-return]  # pyarrow has no types


def books(changes: pa.Table, symbol: str) -> list[Seen]:
    """A book in plain Python: what stands at each price after each message."""
    sides: dict[bool, dict[float, float]] = {True: {}, False: {}}
    found = []
    for row, at in zip(changes.to_pylist(), nanoseconds(changes, "at"), strict=True):
        if row["symbol"] != symbol:
            continue
        if row["is_snapshot"] and row["place"] == 0:
            sides = {True: {}, False: {}}
        level = sides[row["bid"]]
        level.pop(float(row["price"]), None)
        if row["size"]:
            level[float(row["price"])] = float(row["size"])
        if row["is_last"]:
            bids, asks = sorted(sides[True].items(), reverse=True), sorted(sides[False].items())
            found.append(Seen(at, bids, asks))
    return found


def order_flow(before: Seen | None, now: Seen) -> float:
    """Cont, Kukanov and Stoikov (2014): e_n of two successive books."""
    if before is None:
        return 0.0
    (bid, bids), (ask, asks) = now.bids[0], now.asks[0]
    (old_bid, old_bids), (old_ask, old_asks) = before.bids[0], before.asks[0]
    came = bids * (bid >= old_bid) - old_bids * (bid <= old_bid)
    return came - asks * (ask <= old_ask) + old_asks * (ask >= old_ask)


def mid(book: Seen) -> float:
    return (book.bids[0][0] + book.asks[0][0]) / 2


def expected(looked: list[Seen], trades: list[Traded], place: int, known: int) -> dict[str, Any]:
    """Every measure at the end of one message, from all that was known then."""
    now = looked[place]
    flows = [order_flow(looked[n - 1] if n else None, looked[n]) for n in range(place + 1)]
    moves = [math.log(mid(looked[n]) / mid(looked[n - 1])) if n else None for n in range(place + 1)]
    heard = [trade for trade in trades if trade.known < known]

    def told(values: list[Any], window: int, delay: int = 0) -> list[float]:
        end = now.at - delay * SECOND
        inside = [end - window * SECOND < looked[n].at <= end for n in range(place + 1)]
        return [v for v, yes in zip(values, inside, strict=True) if yes and v is not None]

    def signed(window: int, delay: int = 0) -> list[float]:
        end = now.at - delay * SECOND
        return [t.signed for t in heard if end - window * SECOND < t.at <= end]

    def price(delay: int) -> float | None:
        end = now.at - delay * SECOND
        inside = [t.price for t in heard if end - 30 * SECOND < t.at <= end]
        return inside[-1] if inside else None

    squares = sum(move**2 for move in told(moves, 60))
    fourth = sum(move**4 for move in told(moves, 60))
    seconds = [(sum(told(moves, 1, n)), sum(signed(1, n))) for n in range(10)]
    volume = sum(flow**2 for _, flow in seconds)
    prices = [price(n) for n in range(11)]
    roll = None
    if None not in prices:
        steps = [later - earlier for later, earlier in pairwise(prices)]  # type: ignore[operator]  # none is missing
        pairs = list(pairwise(steps))
        means = [sum(pair[side] for pair in pairs) / len(pairs) for side in (0, 1)]
        covariance = sum(a * b for a, b in pairs) / len(pairs) - means[0] * means[1]
        roll = 2 * math.sqrt(max(0.0, -covariance)) if covariance <= 1e-18 else None
    taken = signed(10)
    sizes = [sum(s for _, s in look.bids[:5]) + sum(s for _, s in look.asks[:5]) for look in looked]
    liquid = told(sizes[: place + 1], 10)
    second = [side[1][1] for side in (now.bids, now.asks)]
    return {
        "order_flow_1s": sum(told(flows, 1)),
        "order_flow_10s": sum(told(flows, 10)),
        "trade_imbalance_10s": sum(taken) / sum(map(abs, taken)) if taken else None,
        "volatility_10s": math.sqrt(sum(move**2 for move in told(moves, 10))),
        "volatility_of_volatility": math.sqrt(2 / 3 * fourth) / squares if squares else None,
        "liquidity_10s": sum(liquid) / len(liquid),
        "imbalance_at_2": (second[0] - second[1]) / (second[0] + second[1]),
        "roll_spread": roll,
        "kyle_lambda": sum(a * b for a, b in seconds) / volume if volume else None,
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_measures_are_those_of_their_papers(seed: int) -> None:
    market = simulate(SimulationSettings(events=1_800, days=1, seed=seed, faults=0.0)).tables
    frames = {name: market[name] for name in market if name != "quotes"}
    rows = hr.compute(trading_signal, frames).to_pylist()
    depth, traded = market["depth"], market["trades"]
    times = nanoseconds(depth, "received")
    compared: dict[str, int] = {}
    for symbol in ("ALFA", "CARGO"):
        looked = books(market["changes"], symbol)
        trades = [
            Traded(
                at,
                known,
                float(row["price"]),
                float(row["size"]) * (1 if row["buyer_took"] else -1),
            )
            for row, at, known in zip(
                traded.to_pylist(),
                nanoseconds(traded, "at"),
                nanoseconds(traded, "received"),
                strict=True,
            )
            if row["symbol"] == symbol
        ]
        mine = [n for n, name in enumerate(depth["symbol"].to_pylist()) if name == symbol]
        assert len(mine) == len(looked)
        for place in range(0, len(mine), 7):
            wanted = expected(looked, trades, place, times[mine[place]])
            for name, value in wanted.items():
                got = rows[mine[place]][name]
                # the root makes much of what rounding leaves of a covariance
                rounding = 1e-7 if name == "roll_spread" else 1e-14
                if value is None or got is None:
                    # what is 0 but for rounding has either sign under the root
                    assert (value or 0.0, got or 0.0) == pytest.approx((0.0, 0.0), abs=1e-6), name
                else:
                    assert got == pytest.approx(value, rel=1e-8, abs=rounding), (name, place)
                    compared[name] = compared.get(name, 0) + 1
    assert min(compared.values()) > 20, compared
    assert len(compared) == 9
