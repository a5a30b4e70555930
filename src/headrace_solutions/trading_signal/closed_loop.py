"""A closed loop: decisions make orders, and what becomes of these is known to later decisions.

The paper venue is a counterparty (`hr.Counterparty`) of the lane that decides. What a decision sets
off is known a round trip later, never sooner; so the frames that went in, orders among them, are a
history like any other: decided again, it gives the same decisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

import headrace as hr
from headrace_solutions.trading_signal.case import LOSS_MOST, LOT, NOTIONAL_MOST, POSITION_MOST
from headrace_solutions.trading_signal.feed import TIME
from headrace_solutions.trading_signal.gateway import Gateway, Limits, OrderTerms
from headrace_solutions.trading_signal.tape import SCALE, Book, tape_of
from headrace_solutions.trading_signal.venue import BUY, SELL, Assumptions, PaperVenue, Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace_solutions.trading_signal.tape import Tape

Frames: TypeAlias = Mapping[str, Any]
#: What a decision asks of the gateway.
SIDES = {"buy": BUY, "sell": SELL}
#: What the use case's own paper orders go by.
ASSUMPTIONS = Assumptions()
LIMITS = Limits(position=str(POSITION_MOST), notional=str(NOTIONAL_MOST), loss=str(LOSS_MOST))
TERMS = OrderTerms(quantity=str(LOT))
_ORDERS = {
    "update_id": pa.string(),
    "at": TIME,
    "received": TIME,
    "symbol": pa.string(),
    "order_id": pa.string(),
    "buy": pa.bool_(),
    "quantity": pa.decimal128(19, SCALE),
    "price": pa.decimal128(19, SCALE),
    "status": pa.string(),
    "fee": pa.decimal128(19, SCALE),
    "reason": pa.string(),
}


def orders_frame(reports: Sequence[Report], first: int = 0) -> pa.Table:
    """Reports as events of the stream `orders`; a fee holds the assumed half-spread too.

    Args:
        reports: In the order in which they are known.
        first: How many were there before.
    """
    rows = []
    for number, report in enumerate(reports, first):
        quantity = report.quantity or report.left
        price = None if report.price is None else _decimal(report.price)
        rows.append(
            (f"u{number}", report.at, report.received, report.symbol, f"o{report.order}",
             report.side == BUY, _decimal(quantity), price, report.status.value,
             _decimal(report.fee + report.spread), report.reason or None)
        )  # fmt: skip
    columns = zip(*rows, strict=True) if rows else ((),) * len(_ORDERS)
    return pa.table(
        {
            name: pa.array(column, pa.int64() if kind == TIME else kind).cast(kind)
            for (name, kind), column in zip(_ORDERS.items(), columns, strict=True)
        }
    )


def _decimal(whole: int) -> Decimal:
    return Decimal(whole).scaleb(-SCALE)


class PaperTrading:
    """A gateway and its paper venue, as the counterparty of decisions on a market.

    Args:
        tape: The market, as it was whatever we do.
        assumptions: Of the venue.
        limits: Of the gateway.
        terms: Of the orders.
        since_ns: Decisions on events known before make no orders.

    Attributes:
        gateway: With its ledger, as it stands.
    """

    stream = "orders"

    def __init__(
        self,
        tape: Tape,
        *,
        assumptions: Assumptions = ASSUMPTIONS,
        limits: Limits = LIMITS,
        terms: OrderTerms = TERMS,
        since_ns: int = 0,
    ) -> None:
        self.gateway = Gateway(PaperVenue(assumptions), limits, terms)
        self.since_ns = since_ns
        self._events = list(tape.events())
        # how far the market was told to the venue, and how far we have looked at its books
        self._told = self._seen = 0
        self._said = 0
        self._tops: dict[str, tuple[int, int]] = {}

    @property
    def round_trip_ns(self) -> int:
        """See `hr.Counterparty`."""
        return self.gateway.venue.assumptions.round_trip_ns

    @property
    def next_ns(self) -> int | None:
        """See `hr.Counterparty`."""
        return self.gateway.venue.next_due

    @property
    def reports(self) -> tuple[Report, ...]:
        """What was said so far, as the venue told it."""
        return tuple(self.gateway.venue.reports[: self._said])

    def answers(self, until_ns: int) -> pa.Table | None:
        """See `hr.Counterparty`."""
        venue = self.gateway.venue
        while self._told < len(self._events) and self._events[self._told].received <= until_ns:
            venue.market(self._events[self._told])
            self._told += 1
        venue.advance(until_ns)
        fresh = venue.reports[self._said :]
        if not fresh:
            return None
        table = orders_frame(fresh, self._said)
        self._said += len(fresh)
        return table

    def hear(self, heard: hr.Heard) -> None:
        """Give decisions to the gateway, each with the best prices that it was made by."""
        moments = heard.received_ns.tolist()
        for moment, symbol, outcome in zip(
            moments, heard.texts("symbol"), heard.outcomes, strict=True
        ):
            self._look(moment)
            top = None if symbol is None else self._tops.get(symbol)
            if outcome == "halt":
                self.gateway.halt(moment, symbol)
            elif symbol is None or top is None:
                continue
            elif outcome in SIDES:
                self.gateway.order(moment, symbol, SIDES[outcome], *top)
            else:
                self.gateway.mark(moment, symbol, *top)

    def _look(self, moment: int) -> None:
        """Note the best prices of every book that is known by then."""
        while self._seen < len(self._events) and self._events[self._seen].received <= moment:
            book = self._events[self._seen]
            self._seen += 1
            if not isinstance(book, Book):
                continue
            if book.bids and book.asks:
                self._tops[book.symbol] = (book.bids[0][0], book.asks[0][0])
            else:
                self._tops.pop(book.symbol, None)


def counterparty(frames: Frames, since_ns: int = 0) -> PaperTrading:
    """The paper venue of the use case, which has heard nothing.

    Args:
        frames: Of `changes`, `depth` and `trades`.
        since_ns: Decisions on events known before make no orders.
    """
    return PaperTrading(tape_of(frames), since_ns=since_ns)


@dataclass(frozen=True, slots=True)
class LoopResult:
    """What a closed loop came to.

    Attributes:
        decisions: On every event of `depth`, in the order of its frame.
        orders: The stream that came back.
        reports: The same, as the venue told it.
        gateway: With its ledger, as it stands in the end.
    """

    decisions: pa.Table
    orders: pa.Table
    reports: tuple[Report, ...]
    gateway: Gateway


def run_closed_loop(
    case: hr.UseCase,
    frames: Frames,
    *,
    assumptions: Assumptions,
    limits: Limits,
    terms: OrderTerms,
    model: hr.Artefact | None = None,
    book: Any = None,
) -> LoopResult:
    """Decide a market's events and trade on paper by the decisions.

    Args:
        case: Whose outcomes are `buy`, `sell`, `halt` (cancel what is open) and others, which do
            nothing; decided is `depth`.
        frames: Of every stream that the use case reads, but for `orders`.
        assumptions: Of the venue.
        limits: Of the gateway.
        terms: Of the orders.
        model: As in `hr.decide`.
        book: As in `tape_of`.

    Raises:
        DefinitionError: When the round trip takes no time: no order of time would be left.
    """
    tape = tape_of(frames) if book is None else tape_of(frames, book=book)
    paper = PaperTrading(tape, assumptions=assumptions, limits=limits, terms=terms)
    decisions = hr.decide(case, frames, model=model, counterparty=paper)
    reports = paper.reports
    return LoopResult(decisions, orders_frame(reports), reports, paper.gateway)
