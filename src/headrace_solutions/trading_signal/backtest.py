"""A back-test of signals: what paper orders would have come to, and how sure that is.

No profit is claimed. The market is replayed as it was; what is assumed of the venue is part of the
result, and so is how many things were tried.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

import headrace as hr
from headrace_solutions.trading_signal.gateway import Gateway, Limits, OrderTerms
from headrace_solutions.trading_signal.tape import UNIT, Book
from headrace_solutions.trading_signal.venue import (
    BUY,
    SELL,
    Assumptions,
    PaperVenue,
    Report,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from headrace_solutions.trading_signal.tape import Tape

    Floats: TypeAlias = NDArray[np.float64]
    Int64s: TypeAlias = NDArray[np.int64]

_SECOND = 1_000_000_000
#: Cash is reckoned in units of price times units of quantity.
_CASH = float(UNIT) * UNIT


@dataclass(frozen=True, slots=True)
class Signals:
    """What a model said, and when.

    Attributes:
        received: When the event that it was said of was known, in nanoseconds, ascending.
        symbol: Of which.
        side: `BUY`, `SELL`, or 0 for neither.
    """

    received: Int64s
    symbol: Sequence[str]
    side: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """From no position in a symbol to none again, or to one on the other side.

    Attributes:
        symbol: Of which.
        ended: When, in nanoseconds.
        profit: After fees and spread, in 10⁻¹⁶ of the quote currency.
    """

    symbol: str
    ended: int
    profit: int


@dataclass(frozen=True, slots=True)
class Backtest:
    """What signals would have come to, under what is assumed; in the quote currency.

    Attributes:
        assumptions: Of the venue.
        limits: Of the gateway.
        terms: Of the orders.
        orders: How many were made of signals.
        fills: How many fills came of them.
        rejected: Orders that were refused, by reason.
        gross: At mids: what positions gained, as if all had been traded at the mid.
        fees: Paid, less rebates.
        half_spread: What fills were worse than the mid by, with the half-spread that is assumed
            beside; negative where more was earned by waiting than paid by taking.
        net: Gross less fees and half-spread; open positions are worth their mid.
        turnover: Of all fills, price times quantity.
        drawdown: The most that equity fell from a height before it.
        hit_rate: The share of round trips that ended with a profit; NaN without one.
        round_trips: How many there were.
        interval_ns: Of the curve.
        equity: At the end of each interval.
        killed: Why the kill switch was thrown; None where it was not.
    """

    assumptions: Assumptions
    limits: Limits
    terms: OrderTerms
    orders: int
    fills: int
    rejected: dict[str, int]
    gross: float
    fees: float
    half_spread: float
    net: float
    turnover: float
    drawdown: float
    hit_rate: float
    round_trips: int
    interval_ns: int
    equity: Floats
    killed: str | None

    @property
    def gains(self) -> Floats:
        """What each interval added."""
        return np.diff(self.equity, prepend=0.0)

    @property
    def sharpe(self) -> hr.Sharpe | None:
        """Of the gains of an interval, not annualised; None where nothing was gained or lost."""
        gains = self.gains
        if len(gains) < 3 or np.ptp(gains) == 0.0:
            return None
        return hr.sharpe(gains)

    def sharpe_block_error(self, length: int, *, draws: int = 300, seed: int = 0) -> float:
        """The standard error of that ratio where neighbours depend on each other; NaN without it.

        Args:
            length: Of the blocks that are drawn, in intervals.
            draws: How many resamples.
            seed: Of what is drawn.
        """
        gains = self.gains
        if self.sharpe is None:
            return float("nan")

        def ratio(rows: Int64s) -> float:
            spread = float(gains[rows].std(ddof=1))
            return float(gains[rows].mean()) / spread if spread else 0.0

        return hr.block_error(ratio, len(gains), length=length, draws=draws, seed=seed)


def backtest_signals(
    tape: Tape,
    signals: Signals,
    *,
    assumptions: Assumptions,
    limits: Limits,
    terms: OrderTerms,
    interval: float = 1.0,
) -> Backtest:
    """Trade on paper by signals that do not depend on what is traded.

    Args:
        tape: The market.
        signals: Of a model on events that it had not learned from.
        assumptions: Of the venue.
        limits: Of the gateway.
        terms: Of the orders.
        interval: Of the equity curve, in seconds.

    Raises:
        DataError: When the market has no book that can be read.
    """
    gateway = Gateway(PaperVenue(assumptions), limits, terms)
    place, count, tops = 0, len(signals.received), dict[str, tuple[int, int]]()

    def act(until: int) -> None:
        nonlocal place
        while place < count and signals.received[place] < until:
            moment, symbol = int(signals.received[place]), signals.symbol[place]
            side = int(signals.side[place])
            place += 1
            top = tops.get(symbol)
            if top is None:
                continue
            gateway.venue.advance(moment)
            if side:
                gateway.order(moment, symbol, side, *top)
            else:
                gateway.mark(moment, symbol, *top)

    for event in tape.events():
        act(event.received)
        gateway.venue.market(event)
        if isinstance(event, Book):
            if event.bids and event.asks:
                tops[event.symbol] = (event.bids[0][0], event.asks[0][0])
            else:
                tops.pop(event.symbol, None)
    last = max((each[-1].received for each in (tape.books, tape.trades) if each), default=0)
    act(last + 1)
    gateway.venue.advance(last)
    return judged(tape, gateway, interval=interval)


def judged(tape: Tape, gateway: Gateway, *, interval: float = 1.0) -> Backtest:
    """The figures of what a gateway did on a market, in a closed loop or not.

    Args:
        tape: The market.
        gateway: When all is done.
        interval: Of the equity curve, in seconds.

    Raises:
        DataError: When the market has no book that can be read.
    """
    reports = gateway.venue.reports
    fills = [report for report in reports if report.quantity]
    width = round(interval * _SECOND)
    equity = equity_curve(tape, fills, width)
    fees = sum(fill.fee for fill in fills) / UNIT
    worse = sum(
        fill.side * fill.quantity * (2 * (fill.price or 0) - fill.doubled_mid) for fill in fills
    )
    half_spread = worse / 2 / _CASH + sum(fill.spread for fill in fills) / UNIT
    net = float(equity[-1])
    heights = np.maximum.accumulate(np.concatenate([[0.0], equity]))[1:]
    trips = round_trips(fills)
    refused = [report for report in reports if report.status is Status.REJECTED]
    return Backtest(
        assumptions=gateway.venue.assumptions,
        limits=gateway.limits,
        terms=gateway.terms,
        orders=gateway.orders,
        fills=len(fills),
        rejected=dict(Counter(report.reason for report in refused).most_common()),
        gross=net + fees + half_spread,
        fees=fees,
        half_spread=half_spread,
        net=net,
        turnover=sum(fill.quantity * (fill.price or 0) for fill in fills) / _CASH,
        drawdown=float((heights - equity).max()),
        hit_rate=sum(trip.profit > 0 for trip in trips) / len(trips) if trips else float("nan"),
        round_trips=len(trips),
        interval_ns=width,
        equity=equity,
        killed=gateway.killed,
    )


def equity_curve(tape: Tape, fills: Iterable[Report], width: int) -> Floats:
    """Cash and positions at their mids, at the end of each interval of so many nanoseconds.

    A position is worth the last mid of a book that could be read.

    Raises:
        DataError: When there is none.
    """
    books = [book for book in tape.books if book.bids and book.asks]
    if not books:
        raise hr.DataError("no book of this market can be read: nothing has a price")
    fills = list(fills)
    begin = books[0].received
    last = max([books[-1].received, *(fill.received for fill in fills[-1:])])
    ends = np.arange(begin, last + width, width) + width
    equity = np.zeros(len(ends))
    by_symbol: dict[str, list[Report]] = {}
    for fill in fills:
        by_symbol.setdefault(fill.symbol, []).append(fill)
    for symbol, mine in by_symbol.items():
        shown = [book for book in books if book.symbol == symbol]
        times = np.array([book.received for book in shown])
        mids = np.array([(book.bids[0][0] + book.asks[0][0]) / 2 / UNIT for book in shown])
        cash = held = 0
        steps: list[tuple[int, int]] = []
        for fill in mine:
            held += fill.side * fill.quantity
            cash -= fill.side * fill.quantity * (fill.price or 0) + (fill.fee + fill.spread) * UNIT
            steps.append((held, cash))
        after = np.searchsorted(np.array([fill.received for fill in mine]), ends, side="left") - 1
        mid = mids[np.maximum(np.searchsorted(times, ends, side="left") - 1, 0)]
        positions = np.array([0.0, *(position / UNIT for position, _ in steps)])[after + 1]
        amounts = np.array([0.0, *(amount / _CASH for _, amount in steps)])[after + 1]
        equity += amounts + positions * mid
    return equity


def round_trips(fills: Iterable[Report]) -> list[RoundTrip]:
    """The round trips of fills; a fill that turns a position belongs to two, cost in proportion.

    What is still open in the end is none.
    """
    held: dict[str, int] = {}
    profit: dict[str, int] = {}
    found = []
    for fill in fills:
        symbol, cost = fill.symbol, (fill.fee + fill.spread) * UNIT
        position = held.get(symbol, 0)
        closing = min(abs(position), fill.quantity) if position * fill.side < 0 else 0
        parts = [(closing, cost * closing // fill.quantity)]
        parts.append((fill.quantity - closing, cost - parts[0][1]))
        for quantity, share in parts:
            if quantity == 0:
                continue
            position += fill.side * quantity
            gained = -fill.side * quantity * (fill.price or 0) - share
            profit[symbol] = profit.get(symbol, 0) + gained
            if position == 0:
                found.append(RoundTrip(symbol, fill.received, profit.pop(symbol)))
        held[symbol] = position
    return found


@dataclass(frozen=True, slots=True)
class Trials:
    """Everything that was tried, and what is left of the best for it.

    Attributes:
        names: Of what was tried.
        backtests: Of each.
        best: The place of the one with the highest Sharpe ratio; of the first where none has one.
        deflated: The chance that the best is better than luck among so many; NaN without a ratio.
    """

    names: tuple[str, ...]
    backtests: tuple[Backtest, ...]
    best: int
    deflated: float


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing that is tried.

    Attributes:
        signals: Of a model.
        assumptions: Of the venue.
        terms: Of the orders.
    """

    signals: Signals
    assumptions: Assumptions
    terms: OrderTerms


def tried(
    tape: Tape, variants: Mapping[str, Variant], *, limits: Limits, interval: float = 1.0
) -> Trials:
    """Back-test every variant, and deflate the best for their number.

    Args:
        tape: The market.
        variants: By name.
        limits: Of the gateway.
        interval: Of the equity curves, in seconds.
    """
    found = [
        backtest_signals(
            tape,
            each.signals,
            assumptions=each.assumptions,
            limits=limits,
            terms=each.terms,
            interval=interval,
        )
        for each in variants.values()
    ]
    ratios = [each.sharpe.ratio if each.sharpe else float("-inf") for each in found]
    best = int(np.argmax(ratios))
    known = [ratio for ratio in ratios if np.isfinite(ratio)]
    deflated = hr.deflated_sharpe(found[best].gains, known) if found[best].sharpe else float("nan")
    return Trials(tuple(variants), tuple(found), best, deflated)


def by_latency(
    tape: Tape,
    signals: Signals,
    latencies_us: Sequence[int],
    *,
    assumptions: Assumptions,
    limits: Limits,
    terms: OrderTerms,
    interval: float = 1.0,
) -> list[Backtest]:
    """The same back-test with other latencies from a decision to the venue, in microseconds."""
    return [
        backtest_signals(
            tape,
            signals,
            assumptions=replace(assumptions, order_latency_us=latency),
            limits=limits,
            terms=terms,
            interval=interval,
        )
        for latency in latencies_us
    ]


def signals_of(
    received: Int64s, symbol: Sequence[str], outcome: Sequence[str] | NDArray[np.str_]
) -> Signals:
    """Signals of decisions, in known order.

    >>> signals_of(np.array([5, 4]), ["A", "A"], ["hold", "buy"]).side.tolist()
    [1, 0]
    """
    order = np.argsort(received, kind="stable")
    words = np.asarray(outcome)[order]
    side = np.where(words == "buy", BUY, np.where(words == "sell", SELL, 0)).astype(np.int8)
    return Signals(received[order], [symbol[row] for row in order.tolist()], side)
