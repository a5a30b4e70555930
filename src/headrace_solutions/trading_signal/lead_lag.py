"""One asset at several venues: which way the spot price goes, told from books and trades of all.

What is decided are looks: moments at which all books are looked at, say after each trade of the
venue that leads. All times are the receiver's, since the clocks of venues differ: what is known is
known in the order and at the time at which it was received.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import headrace as hr
from headrace_solutions.trading_signal import market
from headrace_solutions.trading_signal.feed import TIME, Tops, exact_units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    #: What can be fitted to directions.
    Model = hr.XGBoost | hr.Lstm | hr.LogisticRegression


#: Fields of a look that name a book, in the order in which venues are given.
VENUES = ("spot", "perpetual", "coin")
#: How far back prices and trades are compared with now.
BACK = ("10ms", "50ms", "200ms", "1s", "5s")
#: Digits of prices and sizes after the point.
_SCALE = 8
#: Vectors of a sequence.
LENGTH = 8


class Look(hr.Event):
    """A moment at which the books of an asset are looked at."""

    look_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    asset: hr.Key
    spot: hr.Key
    perpetual: hr.Key
    coin: hr.Key


looks = hr.stream(Look, name="looks", lateness="1s", dedupe="1m")
tops = hr.stream(market.LevelChange, name="tops", lateness="1s", dedupe="1m")
top_book = tops.book(snapshot="is_snapshot", ends="is_last", place="place", levels=2)


def _of_venue(venue: str) -> dict[str, hr.Expression]:
    """What is known of one venue at a look."""
    top = top_book.at(looks, asked_by=venue)
    deep = market.book.at(looks, asked_by=venue)
    quoted = market.quotes.by("symbol", asked_by=venue)
    traded = market.trades.by("symbol", asked_by=venue)
    mid = (market.quotes.bid_price + market.quotes.ask_price) / 2.0
    size, bought = market.trades.size, market.trades.buyer_took
    made = {
        "spread": top.spread,
        "micro": top.micro_price - top.mid,
        "imbalance": top.imbalance(),
        "bid_size": top.size("bid"),
        "ask_size": top.size("ask"),
        "since_move": top.seconds_since_move,
        "imbalance_5": deep.imbalance(5),
        "imbalance_20": deep.imbalance(20),
        "order_flow": deep.order_flow,
        "volatility_5s": quoted.std(mid, "5s"),
    }
    for back in BACK:
        made[f"move_{back}"] = top.mid - quoted.last(mid, "1m", delay=back)
        buys, sells = (traded.sum(size, back, where=side) for side in (bought, ~bought))
        made[f"trades_{back}"] = buys - sells
        made[f"volume_{back}"] = buys + sells
    if venue != VENUES[0]:
        apart = top.mid - top_book.at(looks, asked_by=VENUES[0]).mid
        for window in ("1s", "10s"):
            made[f"basis_{window}"] = apart - looks.by("asset").mean(apart, window)
    return {f"{venue}_{name}": value for name, value in made.items()}


features = hr.features(
    mid=top_book.at(looks, asked_by=VENUES[0]).mid,
    **{name: value for venue in VENUES for name, value in _of_venue(venue).items()},
)
#: What models read: the price itself says nothing of where it goes.
READ = tuple(name for name in features if name != "mid")


SEQUENCE = hr.sequence(features, key="asset", length=LENGTH, within="1m", only=READ)
POLICY = hr.Policy(
    hr.outcome("buy")("up", hr.score_of("up") >= 0.6),
    hr.outcome("sell")("down", hr.score_of("down") >= 0.6),
    otherwise=hr.approve(),
)


def use_case(model: Model | None, *, after: str = "200ms") -> hr.UseCase:
    """The use case, with a label of where the spot price is after a time.

    Args:
        model: To be fitted; None for features alone, with their sequence. Nets alone read one.
        after: The horizon of the label, in event time.
    """
    if model is None:
        return hr.UseCase(name="lead-lag", on=looks, features=features, sequence=SEQUENCE)
    return hr.UseCase(
        name="lead-lag",
        on=looks,
        features=features,
        sequence=SEQUENCE if isinstance(model, hr.Lstm) else None,
        label=hr.direction(features.mid, key="asset", after=after),
        model=model,
        policy=POLICY,
    )


lead_lag = use_case(
    hr.Lstm(hidden=16, epochs=12, early_stopping=3, learning_rate=2e-3, dropout=0.3, seed=7)
)


def frames_of(
    feeds: Sequence[Mapping[str, pa.Table]],
    symbols: Sequence[str],
    *,
    moments: pa.ChunkedArray,
    asset: str = "BTC",
) -> dict[str, pa.Table]:
    """The feeds of all venues as frames of the use case, in the receiver's time.

    Args:
        feeds: Frames of each venue, in the order of `VENUES`.
        symbols: What each venue's books are called.
        moments: Times in nanoseconds right after which to look, ascending.
        asset: What the looks are of.
    """
    made = {
        name: pa.concat_tables([_received(feed[name]) for feed in feeds])
        for name in ("changes", "quotes", "trades")
    }
    made["tops"] = pa.concat_tables([_tops(feed["quotes"]) for feed in feeds])
    for name, table in made.items():
        made[name] = table.sort_by("received").combine_chunks()
    made["looks"] = _looks(moments, symbols, asset)
    return made


def _received(frame: pa.Table) -> pa.Table:
    """A frame whose events happen when they are received."""
    return frame.set_column(frame.column_names.index("at"), "at", frame["received"])


def _tops(quotes: pa.Table) -> pa.Table:
    """Quotes as books of one level a side."""
    received = quotes["received"].cast(pa.int64()).to_numpy()
    units = {
        name: exact_units(quotes[name], _SCALE)
        for name in ("bid_price", "bid_size", "ask_price", "ask_size")
    }
    symbol = quotes["symbol"].combine_chunks()
    sides = [(units[f"{side}_price"], units[f"{side}_size"]) for side in ("bid", "ask")]
    made = Tops(received, received, symbol, sides[0], sides[1], _SCALE, _SCALE).changes()
    place = made.column_names.index("change_id")
    named = pc.binary_join_element_wise(made["symbol"], made["change_id"], "/")
    return made.set_column(place, "change_id", named)


def _looks(moments: pa.ChunkedArray, symbols: Sequence[str], asset: str) -> pa.Table:
    """Looks a nanosecond after moments, each time once."""
    at: NDArray[np.int64] = np.unique(moments.cast(pa.int64()).to_numpy()) + 1
    times = pa.array(at).cast(TIME)
    same = pa.array(np.zeros(len(at), dtype=np.int32))
    return pa.table(
        {
            "look_id": pc.cast(pa.array(np.arange(len(at))), pa.string()),
            "at": times,
            "received": times,
            "asset": pa.array([asset]).take(same),
            **{
                venue: pa.array([symbol]).take(same)
                for venue, symbol in zip(VENUES, symbols, strict=True)
            },
        }
    )
