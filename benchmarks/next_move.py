"""What the benchmark of trading signals is asked: captures of markets, and where prices go next.

Features are computed by the engine, as they would be served. The label is made of the price alone:
where it is after the horizon, less where it is now. Times are the receiver's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from benchmarks.books import given_book, inputs_of

import headrace as hr
from headrace.lifecycle.directions import Moves
from headrace.lifecycle.training_set import training_set
from headrace.pipeline.lane import Lane
from headrace_solutions.trading_signal import lead_lag, lobster, market
from headrace_solutions.trading_signal.binance import read_capture
from headrace_solutions.trading_signal.feed import exact_units

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from headrace.core.columns import Floats, Int64s

MILLISECOND = 1_000_000
#: Captures in the order of `lead_lag.VENUES`, and what their books are called.
CAPTURES = {
    "spot:BTCUSDT": "spot/btcusdt_20240808.gz",
    "usdm:BTCUSDT": "usdm/btcusdt_20240808.gz",
    "cm:BTCUSD_PERP": "cm/btcusd_perp_20240808.gz",
}
#: Until prices can be compared with those of five seconds before.
WARM_NS = 5_000 * MILLISECOND
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Price:
    """A price as it came to be known.

    Attributes:
        at: When, ascending, in nanoseconds.
        units: Bid and ask added, in whole units: twice the mid, exactly.
        unit: What one of them is of the mid, in money.
    """

    at: Int64s
    units: Int64s
    unit: float

    def after(self, at: Int64s, horizon_ns: int) -> Moves:
        """Where it is a horizon later, less where it is."""
        now, then = (np.searchsorted(self.at, t, side="right") - 1 for t in (at, at + horizon_ns))
        there = (now >= 0) & (at + horizon_ns <= self.at[-1])
        size = np.where(there, (self.units[then] - self.units[now]) * self.unit, np.nan)
        return Moves(size, np.where(there, at + horizon_ns, _NEVER))


@dataclass(frozen=True, slots=True)
class Question:
    """Which way a price goes, asked at many moments.

    Attributes:
        title: For people.
        at: When it is asked, ascending, in nanoseconds.
        values: Features that models read: float64 [moments, features].
        sequences: The last vectors of them: float32 [moments, length, features].
        names: Of the features.
        price: Whose moves are asked for.
        unit: "ms" for horizons in time, else what is counted.
        horizons: All that are asked, ascending.
        deep: Those that nets are trained for.
    """

    title: str
    at: Int64s
    values: Floats
    sequences: NDArray[np.float32]
    names: tuple[str, ...]
    price: Price
    unit: str
    horizons: tuple[int, ...]
    deep: tuple[int, ...]

    def moves(self, horizon: int) -> Moves:
        """The move from each moment to its horizon."""
        if self.unit == "ms":
            return self.price.after(self.at, horizon * MILLISECOND)
        now = self.price.units[np.searchsorted(self.price.at, self.at, side="right") - 1]
        size, settled = np.full(len(now), np.nan), np.full(len(now), _NEVER)
        size[:-horizon] = (now[horizon:] - now[:-horizon]) * self.price.unit
        settled[:-horizon] = self.at[horizon:]
        return Moves(size, settled)

    def thinned(self, every: int) -> Question:
        """Fewer moments, for a trial; horizons that are counted mean as many of these."""
        rows = np.arange(0, len(self.at), every)
        return replace(
            self,
            at=self.at[rows],
            values=self.values[rows],
            sequences=self.sequences[rows],
            horizons=self.deep[:1],
            deep=self.deep[:1],
        )


def given_case() -> hr.UseCase:
    """What is read of a book that is given, at the end of every message."""
    view, symbol = given_book.at(market.depth), market.depth.by("symbol")
    traded = market.trades.by("symbol")
    size, bought = market.trades.size, market.trades.buyer_took
    windows = ("100ms", "1s", "10s", "1m")
    features = hr.features(
        mid=view.mid,
        spread=view.spread,
        micro=view.micro_price - view.mid,
        imbalance=view.imbalance(),
        bid_size=view.size("bid"),
        ask_size=view.size("ask"),
        bid_change=view.queue_change("bid"),
        ask_change=view.queue_change("ask"),
        since_move=view.seconds_since_move,
        since_message=symbol.seconds_since_last("10m"),
        volatility_10s=symbol.std(view.log_return, "10s"),
        **{f"flow_{w}": symbol.sum(view.order_flow, w) for w in windows},
        **{f"messages_{w}": symbol.count(w) for w in windows},
        **{f"move_{w}": view.mid - symbol.first(view.mid, w) for w in windows},
        **{
            f"trades_{w}": traded.sum(size, w, where=bought) - traded.sum(size, w, where=~bought)
            for w in windows
        },
    )
    read = tuple(name for name in features if name != "mid")
    return hr.UseCase(
        name="given-book",
        on=market.depth,
        features=features,
        sequence=hr.sequence(
            features, key="symbol", length=lead_lag.LENGTH, within="10m", only=read
        ),
    )


def alone_case(model: hr.XGBoost | hr.Lstm) -> hr.UseCase:
    """One market by itself: its book after each of its messages, and its trades."""
    view, symbol = market.book.at(market.depth), market.depth.by("symbol")
    traded, size = market.trades.by("symbol"), market.trades.size
    bought = market.trades.buyer_took
    features = hr.features(
        mid=view.mid,
        spread=view.spread,
        micro=view.micro_price - view.mid,
        imbalance_1=view.imbalance(),
        imbalance_5=view.imbalance(5),
        imbalance_20=view.imbalance(20),
        order_flow=view.order_flow,
        order_flow_1s=symbol.sum(view.order_flow, "1s"),
        order_flow_10s=symbol.sum(view.order_flow, "10s"),
        volatility_10s=symbol.std(view.log_return, "10s"),
        since_move=view.seconds_since_move,
        bought_1s=traded.sum(size, "1s", where=bought),
        sold_1s=traded.sum(size, "1s", where=~bought),
    )
    read = tuple(name for name in features if name != "mid")
    sequence = hr.sequence(features, key="symbol", length=lead_lag.LENGTH, within="1m", only=read)
    return hr.UseCase(
        name="one-market",
        on=market.depth,
        features=features,
        sequence=sequence if isinstance(model, hr.Lstm) else None,
        label=hr.direction(features.mid, key="symbol", after="200ms"),
        model=model,
        policy=lead_lag.POLICY,
    )


def _asked(
    case: hr.UseCase,
    frames: Mapping[str, pa.Table],
    price: Price,
    asked: tuple[str, str, tuple[int, ...], tuple[int, ...]],
) -> Question:
    """The features of a use case over frames, and what is asked of them."""
    data = training_set(Lane(case.definition(None), (1, 2)), None, inputs_of(case, frames))
    names = list(case.features)
    assert case.plan.sequence is not None
    assert data.sequences is not None
    read = list(case.plan.sequence.features)
    rows = np.flatnonzero(data.known_ns >= data.known_ns[0] + WARM_NS)
    title, unit, horizons, deep = asked
    return Question(
        title,
        data.known_ns[rows],
        np.ascontiguousarray(data.values[read][:, rows].T),
        data.sequences.vectors[rows],
        tuple(names[place] for place in read),
        price,
        unit,
        horizons,
        deep,
    )


def captures(folder: Path) -> list[Mapping[str, pa.Table]]:
    """The frames of each capture, in the order of `lead_lag.VENUES`."""
    return [
        read_capture(folder / "lob_binance_ws" / path, venue=symbol.partition(":")[0]).frames
        for symbol, path in CAPTURES.items()
    ]


def mid_of(quotes: pa.Table) -> Price:
    """The mid of quotes as they were received, in digits of eight."""
    both = [exact_units(quotes[f"{side}_price"], 8) for side in ("bid", "ask")]
    return Price(quotes["received"].cast(pa.int64()).to_numpy(), both[0] + both[1], 0.5e-8)


def spot_by_trades(folder: Path) -> Question:
    """The spot price, asked when somebody trades where the price is led."""
    spot, perpetual, _ = feeds = captures(folder)
    title = "BTC spot, asked after each trade of the perpetual"
    asked = (title, "ms", (5, 20, 50, 100, 200, 500, 1_000), (50, 200))
    return _led(feeds, spot, perpetual["trades"], asked)


def perpetual_by_trades(folder: Path) -> Question:
    """The perpetual's price, asked when somebody trades at the spot market."""
    spot, perpetual, _ = feeds = captures(folder)
    title = "BTC perpetual, asked after each trade of the spot"
    asked = (title, "ms", (5, 20, 50, 100, 200, 500, 1_000), (200,))
    return _led(feeds, perpetual, spot["trades"], asked)


def spot_by_quotes(folder: Path) -> Question:
    """The spot price, asked all the time."""
    spot, _, _ = feeds = captures(folder)
    title = "BTC spot, asked after each of its quotes"
    return _led(feeds, spot, spot["quotes"], (title, "quotes", (3, 10, 30, 60, 100, 300), (30,)))


def _led(
    feeds: list[Mapping[str, pa.Table]],
    venue: Mapping[str, pa.Table],
    moments: pa.Table,
    asked: tuple[str, str, tuple[int, ...], tuple[int, ...]],
) -> Question:
    """The price of a venue, asked at moments, with what is known of all venues."""
    frames = lead_lag.frames_of(feeds, list(CAPTURES), moments=moments["received"])
    return _asked(lead_lag.use_case(None), frames, mid_of(venue["quotes"]), asked)


def amazon(folder: Path) -> Question:
    """What is asked of a day's messages of one share."""
    names = (
        folder / "lob_lobster" / f"AMZN_2012-06-21_{w}_1.parquet" for w in ("message", "orderbook")
    )
    feed = lobster.read_lobster(*names, symbol="AMZN", day=date(2012, 6, 21))
    told = feed.frames["changes"]
    units = [
        exact_units(told.filter(pa.compute.equal(told["bid"], side))["price"], 8)
        for side in (True, False)
    ]
    at = feed.frames["depth"]["received"].cast(pa.int64()).to_numpy()
    return _asked(
        given_case(),
        feed.frames,
        Price(at, units[0] + units[1], 0.5e-8),
        ("AMZN, asked after each message", "messages", (1, 3, 10, 30, 100, 300), (1, 30)),
    )


QUESTIONS: dict[str, Callable[[Path], Question]] = {
    "spot-by-trades": spot_by_trades,
    "perpetual-by-trades": perpetual_by_trades,
    "spot-by-quotes": spot_by_quotes,
    "amazon": amazon,
}
