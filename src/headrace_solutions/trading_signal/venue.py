"""A paper venue: what orders would have come to in a market that did not know of them.

Its clock is the receiver's. An order that is sent at t acts on the book that is received at
t + `round_trip_ns`: it takes the way to the venue, and what the venue showed then takes the way
back. Its acknowledgement is received at that same moment.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from headrace import DataError
from headrace_solutions.trading_signal.tape import UNIT, Book, Trade

BUY, SELL = 1, -1
_HUNDREDTHS = 100
_TEN_THOUSAND = 10_000
_MICROSECOND = 1_000
_WHOLE_PCT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What is assumed of a venue; the market itself is as it was, whatever we do.

    Attributes:
        maker_fee_bp: Of what is traded by an order that waited, in basis points; negative is a
            rebate. To hundredths.
        taker_fee_bp: Of what is traded by an order that took.
        half_spread_bp: Charged to an order that takes, beside the price of the level that it takes:
            for what is shown and gone when the order comes.
        order_latency_us: From a decision to the venue, in microseconds.
        report_latency_us: From the venue to us.
        cancels_ahead_pct: The share of what is cancelled at our price that stood before us.
        lifetime_us: After so long at the venue an order is cancelled; None leaves it.

    >>> Assumptions(order_latency_us=300, report_latency_us=200).round_trip_ns
    500000
    """

    maker_fee_bp: float = 1.0
    taker_fee_bp: float = 4.0
    half_spread_bp: float = 0.0
    order_latency_us: int = 500
    report_latency_us: int = 500
    cancels_ahead_pct: int = 50
    lifetime_us: int | None = 10_000_000

    def __post_init__(self) -> None:
        for name in ("maker_fee_bp", "taker_fee_bp", "half_spread_bp"):
            value = getattr(self, name)
            if abs(value * _HUNDREDTHS - round(value * _HUNDREDTHS)) > 1e-9:
                raise DataError(f"{name}={value}: give basis points to hundredths, as in 0.25")
        if self.half_spread_bp < 0:
            raise DataError(f"half_spread_bp={self.half_spread_bp}: give 0 or more")
        for name in ("order_latency_us", "report_latency_us"):
            if getattr(self, name) < 0:
                raise DataError(f"{name}={getattr(self, name)}: give 0 or more microseconds")
        if not 0 <= self.cancels_ahead_pct <= _WHOLE_PCT:
            raise DataError(f"cancels_ahead_pct={self.cancels_ahead_pct}: give 0 to 100")
        if self.lifetime_us is not None and self.lifetime_us < 1:
            raise DataError(f"lifetime_us={self.lifetime_us}: give 1 or more, or None")

    @property
    def round_trip_ns(self) -> int:
        """From a decision until we know what it came to, in nanoseconds."""
        return (self.order_latency_us + self.report_latency_us) * _MICROSECOND

    def charged(self, price: int, quantity: int, *, took: bool) -> tuple[int, int]:
        """Fee and assumed half-spread of a fill, in 10⁻⁸ of the quote currency, rounded up.

        >>> Assumptions(taker_fee_bp=4.0).charged(100 * 10**8, 10**8, took=True)
        (4000000, 0)
        """
        fee = self.taker_fee_bp if took else self.maker_fee_bp
        return (
            _share(price * quantity, fee),
            _share(price * quantity, self.half_spread_bp) if took else 0,
        )


def _share(notional: int, basis_points: float) -> int:
    """So many basis points of price times quantity, rounded up to 10⁻⁸ of the currency."""
    hundredths = round(basis_points * _HUNDREDTHS)
    return -(-notional * hundredths // (UNIT * _HUNDREDTHS * _TEN_THOUSAND))


class Status(StrEnum):
    """What became of an order, in the words of FIX's OrdStatus."""

    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


@dataclass(slots=True)
class Order:
    """An order on its way or at the venue.

    Attributes:
        number: Of the order, from 1.
        symbol: Of what.
        side: `BUY` or `SELL`.
        quantity: In units.
        price: The limit, in units; None takes what there is.
        sent: When it was decided, in nanoseconds.
        left: What is not filled.
        ahead: What stands before it at its price; None where that is not known yet.
        seen: What the book last showed at its price.
        traded: What was traded at its price and not yet seen to have left the book.
    """

    number: int
    symbol: str
    side: int
    quantity: int
    price: int | None
    sent: int
    left: int = 0
    ahead: int | None = None
    seen: int = 0
    traded: int = 0


class Report(NamedTuple):
    """What the venue, or the gateway before it, tells of an order.

    Attributes:
        received: When we know it, in nanoseconds.
        at: The market's time of what it came of.
        order: Its number.
        symbol: Of what.
        side: `BUY` or `SELL`.
        status: What became of it.
        price: Of this fill, in units; else the order's limit, None without one.
        quantity: Filled now, in units; 0 if this is no fill.
        left: What is still to be filled.
        fee: Of this fill, in 10⁻⁸ of the quote currency.
        spread: The assumed half-spread that is charged beside it.
        took: Whether this fill took from the book.
        doubled_mid: Twice the mid at a fill, in units; 0 if this is none.
        reason: Why it was refused or cancelled.
    """

    received: int
    at: int
    order: int
    symbol: str
    side: int
    status: Status
    price: int | None
    quantity: int
    left: int
    fee: int = 0
    spread: int = 0
    took: bool = False
    doubled_mid: int = 0
    reason: str = ""


@dataclass(slots=True)
class PaperVenue:
    """Matches orders with a market that is told event by event.

    Attributes:
        assumptions: What is assumed.
        reports: All that was told so far, in order of when we know it.
    """

    assumptions: Assumptions
    reports: list[Report] = field(default_factory=list)
    _books: dict[str, Book] = field(default_factory=dict)
    _resting: dict[str, list[Order]] = field(default_factory=lambda: defaultdict(list))
    # what we took of a level, until that level has gone: the market does not know that it went
    _taken: dict[str, dict[tuple[int, int], int]] = field(default_factory=dict)
    _due: list[tuple[int, int, Order | int | Report]] = field(default_factory=list)
    _told: int = 0
    _now: tuple[int, int] = (0, 0)

    def send(self, order: Order) -> None:
        """Put an order on its way."""
        order.left = order.quantity
        self._later(order.sent + self.assumptions.round_trip_ns, order)

    def cancel(self, number: int, sent: int) -> None:
        """Ask that an order be cancelled, if it is still there then."""
        self._later(sent + self.assumptions.round_trip_ns, number)

    def tell(self, report: Report) -> None:
        """Have a report of the gateway told among the venue's own, when it is known."""
        self._later(report.received, report)

    def _later(self, moment: int, what: Order | int | Report) -> None:
        self._told += 1
        heapq.heappush(self._due, (moment, self._told, what))

    def market(self, event: Book | Trade) -> None:
        """Take the market's next event, after all that was due before it."""
        self.advance(event.received - 1)
        self._now = (event.received, event.at)
        if isinstance(event, Book):
            self._books[event.symbol] = event
            self._forget(event)
            for order in list(self._resting[event.symbol]):
                self._queue(order, event)
                self._cross(order, event)
        else:
            self._traded(event)

    def advance(self, moment: int) -> None:
        """Do what is due until then."""
        while self._due and self._due[0][0] <= moment:
            due, _, what = heapq.heappop(self._due)
            self._now = (due, self._now[1])
            if isinstance(what, Order):
                self._arrive(what)
            elif isinstance(what, Report):
                self.reports.append(what._replace(at=self._now[1]))
            else:
                self._withdraw(what, "cancelled as asked or after its lifetime")

    @property
    def next_due(self) -> int | None:
        """When something is next due by itself; None where nothing is."""
        return self._due[0][0] if self._due else None

    def _arrive(self, order: Order) -> None:
        book = self._books.get(order.symbol)
        if book is None or not (book.bids and book.asks):
            self._report(order, Status.REJECTED, reason="the book cannot be read")
            return
        self._report(order, Status.NEW)
        self._take(order, book)
        if order.left == 0:
            return
        if order.price is None:
            self._report(order, Status.CANCELLED, reason="nothing is left to take")
            return
        order.ahead = _visible(book, order.side, order.price)
        order.seen = order.ahead or 0
        waiting = self._resting[order.symbol]
        waiting.append(order)
        # in the order in which a trade reaches them
        waiting.sort(key=lambda each: (each.side, -each.side * (each.price or 0), each.number))
        if self.assumptions.lifetime_us is not None:
            self._later(self._now[0] + self.assumptions.lifetime_us * _MICROSECOND, order.number)

    def _take(self, order: Order, book: Book) -> None:
        """Fill from the other side, level by level, each at its own price."""
        for price, size in book.asks if order.side == BUY else book.bids:
            if order.left == 0 or not _reaches(order, price):
                return
            quantity = min(order.left, self._free(book.symbol, -order.side, price, size))
            if quantity:
                self._note(book.symbol, -order.side, price, quantity)
                self._fill(order, price, quantity, took=True)

    def _cross(self, order: Order, book: Book) -> None:
        """Fill at its own limit what waits where the other side has come to it."""
        for price, size in book.asks if order.side == BUY else book.bids:
            if order.left == 0 or not _reaches(order, price):
                break
            quantity = min(order.left, self._free(book.symbol, -order.side, price, size))
            if quantity:
                self._note(book.symbol, -order.side, price, quantity)
                self._fill(order, order.price or 0, quantity, took=False)
        self._drop_if_done(order)

    def _free(self, symbol: str, side: int, price: int, size: int) -> int:
        """What is there for us at a level."""
        return max(0, size - self._taken.get(symbol, {}).get((side, price), 0))

    def _note(self, symbol: str, side: int, price: int, quantity: int) -> None:
        taken = self._taken.setdefault(symbol, {})
        taken[side, price] = taken.get((side, price), 0) + quantity

    def _forget(self, book: Book) -> None:
        """Forget what was taken of levels that have gone."""
        taken = self._taken.get(book.symbol)
        if taken:
            there = {(BUY, price) for price, _ in book.bids}
            there |= {(SELL, price) for price, _ in book.asks}
            self._taken[book.symbol] = {key: taken[key] for key in taken if key in there}

    def _queue(self, order: Order, book: Book) -> None:
        """Move an order up its queue by what was cancelled."""
        size = _visible(book, order.side, order.price or 0)
        if size is None:
            return
        if order.ahead is None:
            order.ahead = size
        else:
            gone = max(0, order.seen - size)
            by_trades = min(gone, order.traded)
            order.traded -= by_trades
            cancelled = (gone - by_trades) * self.assumptions.cancels_ahead_pct // _WHOLE_PCT
            order.ahead = max(0, min(order.ahead - cancelled, size))
        order.seen = size

    def _traded(self, trade: Trade) -> None:
        took = self._who_took(trade)
        if took is None:
            return
        used = 0
        for order in list(self._resting[trade.symbol]):
            if order.side == took or not _reaches(order, trade.price):
                continue
            if order.price == trade.price:
                free = max(0, trade.size - (trade.size if order.ahead is None else order.ahead))
                order.ahead = None if order.ahead is None else max(0, order.ahead - trade.size)
                order.traded += trade.size
            else:
                # it went through our price: whoever stood there was served before
                free, order.ahead = trade.size, 0
            quantity = min(order.left, max(0, free - used))
            if quantity:
                used += quantity
                self._fill(order, order.price or 0, quantity, took=False)
            self._drop_if_done(order)

    def _who_took(self, trade: Trade) -> int | None:
        """The side that took, by the feed or else by the book; None where neither tells."""
        if trade.buyer_took is not None:
            return BUY if trade.buyer_took else SELL
        book = self._books.get(trade.symbol)
        if book is None or not (book.bids and book.asks):
            return None
        if trade.price >= book.asks[0][0]:
            return BUY
        return SELL if trade.price <= book.bids[0][0] else None

    def _fill(self, order: Order, price: int, quantity: int, *, took: bool) -> None:
        order.left -= quantity
        fee, spread = self.assumptions.charged(price, quantity, took=took)
        status = Status.PARTIALLY_FILLED if order.left else Status.FILLED
        book = self._books[order.symbol]
        # a book that cannot be read now has no mid: the fill's own price stands in
        mid = book.bids[0][0] + book.asks[0][0] if book.bids and book.asks else 2 * price
        self._report(order, status, price, quantity, (fee, spread, took, mid))

    def _withdraw(self, number: int, reason: str) -> None:
        for waiting in self._resting.values():
            for order in waiting:
                if order.number == number:
                    waiting.remove(order)
                    self._report(order, Status.CANCELLED, reason=reason)
                    return

    def _drop_if_done(self, order: Order) -> None:
        if order.left == 0:
            self._resting[order.symbol].remove(order)

    def _report(
        self,
        order: Order,
        status: Status,
        price: int | None = None,
        quantity: int = 0,
        cost: tuple[int, int, bool, int] = (0, 0, False, 0),
        *,
        reason: str = "",
    ) -> None:
        received, at = self._now
        about = (order.number, order.symbol, order.side, status)
        shown = order.price if price is None else price
        self.reports.append(
            Report(received, at, *about, shown, quantity, order.left, *cost, reason)
        )


def _reaches(order: Order, price: int) -> bool:
    """Whether an order takes, or is served at, a price of the other side."""
    return order.price is None or order.side * (order.price - price) >= 0


def _visible(book: Book, side: int, price: int) -> int | None:
    """What a side shows at a price; None where that is further than is seen."""
    levels = book.bids if side == BUY else book.asks
    for level, size in levels:
        if level == price:
            return size
    if not levels or side * (levels[-1][0] - price) > 0:
        return None
    return 0
