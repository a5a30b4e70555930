"""Measures of a market's microstructure, made of what the language of features has.

All look back from the end of a message of a book. What a venue's book cannot say, because it is not
in sync, is missing, not made up.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeAlias

import headrace as hr
from headrace_solutions.trading_signal.market import book, depth, trades

#: An expression of the language of features.
Measure: TypeAlias = Any

#: Intervals of a second that Roll's and Kyle's measures are taken over.
INTERVALS = 10

seen = book.at(depth)
symbol, traded = depth.by("symbol"), trades.by("symbol")
_seen_by_trade = book.at(trades)

#: 1 where a buyer took, -1 where a seller did: as the venue says, else by the quote rule of C. Lee
#: and M. Ready (*Inferring trade direction from intraday data*, 1991): above the mid a buyer took,
#: below it a seller. A trade at the mid counts for neither.
trade_sign = hr.coalesce(
    hr.when(trades.buyer_took).then(1).otherwise(None),
    hr.when(~trades.buyer_took).then(-1).otherwise(None),
    hr.when(trades.price > _seen_by_trade.mid).then(1).otherwise(None),
    hr.when(trades.price < _seen_by_trade.mid).then(-1).otherwise(0),
)


def level_imbalance(level: int) -> Measure:
    """The bid's share of the size at one level less the ask's, from -1 to 1."""
    bid, ask = seen.size("bid", level), seen.size("ask", level)
    return ((bid - ask) / (bid + ask)).described(f"the imbalance of level {level}: {{value:.2f}}")


def order_flow(window: str) -> Measure:
    """Order-flow imbalance over a window.

    What came to the best bid less what left it, less the same of the ask, summed over messages
    (R. Cont, A. Kukanov, S. Stoikov, *The price impact of order book events*, 2014, equation 10).
    """
    said = f"in {window} the best bids gained {{value:,.0f}} more than the best asks"
    return symbol.sum(seen.order_flow, window).described(said)


def trade_imbalance(window: str) -> Measure:
    """What buyers took less what sellers took, over all that was traded; from -1 to 1."""
    bought = traded.sum(trade_sign * trades.size, window)
    said = f"buyers took {{value:.0%}} more of the volume of {window} than sellers"
    return (bought / traded.sum(trades.size, window)).described(said)


def realised_volatility(window: str) -> Measure:
    """The root of the sum of squared log returns of the mid (T. Andersen and others, 2001)."""
    said = f"the realised volatility of {window} is {{value:.2e}}"
    return symbol.sum(seen.log_return**2, window).sqrt().described(said)


def volatility_of_volatility(window: str) -> Measure:
    """How unevenly a window's variance came: the standard error of realised variance over itself.

    The root of two thirds of the sum of fourth powers of returns, over the sum of their squares
    (O. Barndorff-Nielsen and N. Shephard, *Econometric analysis of realized volatility*, 2002).
    """
    fourth = symbol.sum(seen.log_return**4, window)
    squares = symbol.sum(seen.log_return**2, window)
    said = f"volatility came unevenly over {window}: {{value:.2f}}"
    return ((fourth * (2.0 / 3.0)).sqrt() / squares).described(said)


def liquidity(window: str, levels: int = 5) -> Measure:
    """The mean size of the best levels of both sides over a window's messages."""
    both = seen.depth("bid", levels) + seen.depth("ask", levels)
    said = f"{{value:,.0f}} stood on the best {levels} levels over {window}"
    return symbol.mean(both, window).described(said)


def roll_spread() -> Measure:
    """Roll's spread: what trades bounce between bid and ask.

    Twice the root of minus the covariance of successive price changes, of the last price of each
    of ten seconds; missing where the covariance is positive (R. Roll, *A simple implicit measure of
    the effective bid-ask spread in an efficient market*, 1984).
    """
    prices = [traded.last(trades.price, "30s", delay=_ago(back)) for back in range(INTERVALS + 1)]
    moves = [later - earlier for later, earlier in pairwise(prices)]
    products = [one * other for one, other in pairwise(moves)]
    covariance = _sum(products) / len(products) - (
        (_sum(moves[:-1]) / len(products)) * (_sum(moves[1:]) / len(products))
    )
    return (2.0 * (-covariance).sqrt()).described("the spread by Roll's measure is {value:.4f}")


def kyle_lambda() -> Measure:
    """Kyle's lambda: how far the mid moves for what is bought net.

    The slope of the log return of each of ten seconds on the signed volume of that second, through
    the origin; missing where nothing was traded (A. Kyle, *Continuous auctions and insider
    trading*, 1985; J. Hasbrouck, *Trading costs and returns for U.S. equities*, 2009).
    """
    moves = [symbol.sum(seen.log_return, "1s", delay=_ago(back)) for back in range(INTERVALS)]
    flows = [
        traded.sum(trade_sign * trades.size, "1s", delay=_ago(back)) for back in range(INTERVALS)
    ]
    both = _sum([move * flow for move, flow in zip(moves, flows, strict=True)])
    slope = both / _sum([flow**2 for flow in flows])
    return slope.described("the mid moves by {value:.2e} for a share bought net")


def _ago(seconds: int) -> str:
    return f"{seconds}s"


def _sum(values: list[Measure]) -> Measure:
    total = values[0]
    for value in values[1:]:
        total += value
    return total
