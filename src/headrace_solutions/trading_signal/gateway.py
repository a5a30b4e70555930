"""The gateway before a venue: makes orders of decisions, counts them, and may refuse.

It knows what we know: reports once they are received, and every order from the moment it is sent.
An order that is open, acknowledged or not, counts as if it were filled, so that no limit can be
passed by what is still under way.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from headrace import DataError
from headrace_solutions.trading_signal.tape import UNIT, units
from headrace_solutions.trading_signal.venue import (
    BUY,
    SELL,
    Order,
    PaperVenue,
    Report,
    Status,
)

_SECOND = 1_000_000_000
_ENDS = (Status.FILLED, Status.CANCELLED, Status.REJECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the gateway lets through.

    Attributes:
        open_orders: Of all symbols, acknowledged or not.
        orders_per_second: Within any second.
        position: Of a symbol, long or short, in its own units.
        notional: Of all symbols together, in the quote currency, at the mids last known.
        loss: At which the kill switch is thrown, in the quote currency.
    """

    open_orders: int = 10
    orders_per_second: int = 20
    position: str = "500"
    notional: str = "1000000"
    loss: str = "1000"

    def __post_init__(self) -> None:
        for name in ("position", "notional", "loss"):
            if units(getattr(self, name)) < 0:
                raise DataError(f"{name}={getattr(self, name)}: give 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTerms:
    """What kind of order a signal becomes.

    Attributes:
        quantity: Of each, in the symbol's units.
        joins: Whether it waits at the best price of its own side; else it takes at the market.
    """

    quantity: str = "100"
    joins: bool = False

    def __post_init__(self) -> None:
        if units(self.quantity) < 1:
            raise DataError(f"quantity={self.quantity}: give more than 0")


@dataclass(slots=True)
class Ledger:
    """What reports amount to: positions, and cash in 10⁻¹⁶ of the quote currency.

    >>> ledger = Ledger()
    >>> ledger.positions, ledger.cash
    ({}, 0)
    """

    positions: dict[str, int] = field(default_factory=dict)
    cash: int = 0
    fees: int = 0

    def take(self, report: Report) -> None:
        """Count one report; what is no fill changes nothing."""
        if report.quantity:
            held = self.positions.get(report.symbol, 0)
            self.positions[report.symbol] = held + report.side * report.quantity
            cost = (report.fee + report.spread) * UNIT
            self.cash -= report.side * report.quantity * (report.price or 0) + cost
            self.fees += cost

    def doubled_equity(self, doubled_mids: dict[str, int]) -> int:
        """Twice cash and positions at their mids, in 10⁻¹⁶."""
        held = sum(self.positions[name] * doubled_mids[name] for name in self.positions)
        return 2 * self.cash + held


class Gateway:
    """Sends orders to a venue within limits.

    Args:
        venue: Where they go; its market is told to it by others.
        limits: See `Limits`.
        terms: See `OrderTerms`.
    """

    def __init__(self, venue: PaperVenue, limits: Limits, terms: OrderTerms) -> None:
        self.venue, self.limits, self.terms = venue, limits, terms
        self.ledger = Ledger()
        self.killed: str | None = None
        self._open: dict[int, Order] = {}
        self._sent: deque[int] = deque()
        self._mids: dict[str, int] = {}
        self._numbers = 0
        self._learned = 0
        self._cancelling: set[int] = set()

    @property
    def orders(self) -> int:
        """How many were made of signals, those that were refused among them."""
        return self._numbers

    @property
    def open_orders(self) -> int:
        """How many may still be filled, as far as we know."""
        return len(self._open)

    def mark(self, moment: int, symbol: str, bid: int, ask: int) -> None:
        """Note the best prices that we know, and throw the switch where the loss is too much."""
        self.learn(moment)
        self._mids[symbol] = bid + ask
        if self.killed is None and self.ledger.positions:
            lost = -self.ledger.doubled_equity(self._mids)
            if lost > 0 and lost >= 2 * units(self.limits.loss) * UNIT:
                self.kill(moment, f"a loss of {self.limits.loss} or more")

    def order(self, moment: int, symbol: str, side: int, bid: int, ask: int) -> int:
        """Make an order of a signal, and send it or refuse it.

        Args:
            moment: Of the decision, in nanoseconds; never before that of an earlier call.
            symbol: Of what.
            side: `BUY` or `SELL`.
            bid: The best that is known.
            ask: The best that is known.

        Returns:
            The order's number; reports say what became of it.
        """
        self.mark(moment, symbol, bid, ask)
        price = (bid if side == BUY else ask) if self.terms.joins else None
        self._numbers += 1
        order = Order(self._numbers, symbol, side, units(self.terms.quantity), price, moment)
        reason = self._refusal(order)
        if reason is None:
            self._sent.append(moment)
            self.venue.send(order)
            # the venue works on its own; what we know of it comes by reports
            self._open[order.number] = replace(order)
        else:
            received = moment + self.venue.assumptions.round_trip_ns
            about = (order.number, symbol, side, Status.REJECTED, price, 0, order.quantity)
            self.venue.tell(Report(received, moment, *about, reason=reason))
        return order.number

    def halt(self, moment: int, symbol: str | None = None) -> None:
        """Ask that open orders be cancelled: all, or those of a symbol."""
        self.learn(moment)
        for number, order in self._open.items():
            if symbol in (None, order.symbol) and number not in self._cancelling:
                self._cancelling.add(number)
                self.venue.cancel(number, moment)

    def kill(self, moment: int, reason: str) -> None:
        """Throw the kill switch: cancel all, and send nothing any more."""
        self.killed = self.killed or reason
        self.halt(moment)

    def learn(self, moment: int) -> None:
        """Take note of what was reported until then."""
        reports = self.venue.reports
        while self._learned < len(reports) and reports[self._learned].received <= moment:
            report = reports[self._learned]
            self._learned += 1
            self.ledger.take(report)
            order = self._open.get(report.order)
            if order is not None:
                order.left = report.left
                if report.status in _ENDS:
                    del self._open[report.order]
                    self._cancelling.discard(report.order)

    def _refusal(self, order: Order) -> str | None:
        """Why an order is not sent; None where it is."""
        if self.killed is not None:
            return f"kill switch: {self.killed}"
        if len(self._open) >= self.limits.open_orders:
            return f"open orders: the limit is {self.limits.open_orders}"
        while self._sent and self._sent[0] <= order.sent - _SECOND:
            self._sent.popleft()
        if len(self._sent) >= self.limits.orders_per_second:
            return f"rate: the limit is {self.limits.orders_per_second} orders a second"
        long, short = self._reach(order.symbol)
        reached = long + order.quantity if order.side == BUY else order.quantity - short
        if reached > units(self.limits.position):
            return f"position: the limit is {self.limits.position} of a symbol"
        if self._notional_with(order) > 2 * units(self.limits.notional) * UNIT:
            return f"notional: the limit is {self.limits.notional}"
        return None

    def _reach(self, symbol: str) -> tuple[int, int]:
        """The position if all open buys were filled, and if all open sells were."""
        held = self.ledger.positions.get(symbol, 0)
        mine = [order for order in self._open.values() if order.symbol == symbol]
        return (
            held + sum(order.left for order in mine if order.side == BUY),
            held - sum(order.left for order in mine if order.side == SELL),
        )

    def _notional_with(self, order: Order) -> int:
        """Twice the most that could be held of all symbols, with an order more."""
        total = 0
        for symbol, mid in self._mids.items():
            long, short = self._reach(symbol)
            if symbol == order.symbol:
                long += order.quantity if order.side == BUY else 0
                short -= order.quantity if order.side == SELL else 0
            total += max(abs(long), abs(short)) * mid
        return total
