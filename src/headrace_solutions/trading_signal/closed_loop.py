"""A closed loop: decisions make orders, and what becomes of these is known to later decisions.

Events go through `step` in stretches no longer than the round trip to the venue. What a decision of
one stretch sets off is known in a later one, never before it could be; so the frames that went in,
orders among them, are a history like any other: decided again, it gives the same decisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

import headrace as hr
from headrace_solutions.trading_signal.feed import TIME
from headrace_solutions.trading_signal.gateway import Gateway, Limits, OrderTerms
from headrace_solutions.trading_signal.tape import SCALE, Book, tape_of
from headrace_solutions.trading_signal.venue import BUY, SELL, Assumptions, PaperVenue, Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace_solutions.trading_signal.tape import Trade

Frames: TypeAlias = Mapping[str, Any]
#: What a decision asks of the gateway.
SIDES = {"buy": BUY, "sell": SELL}
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


@dataclass(frozen=True, slots=True)
class LoopResult:
    """What a closed loop came to.

    Attributes:
        decisions: On every event of `depth`, in known order.
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
        DataError: When the round trip takes no time: no order of time would be left.
    """
    if assumptions.round_trip_ns == 0:
        raise hr.DataError(
            "a round trip of 0 us: a closed loop needs 1 or more, as a decision cannot know what"
            " it sets off"
        )
    tape = tape_of(frames) if book is None else tape_of(frames, book=book)
    gateway = Gateway(PaperVenue(assumptions), limits, terms)
    lane = hr.open_lane(case, model=model)
    loop = _Loop(gateway, lane, list(tape.events()))
    for moment, stretch in _stretches(frames, assumptions.round_trip_ns, gateway):
        loop.go_on(moment, stretch)
    reports = tuple(gateway.venue.reports)
    return LoopResult(
        pa.concat_tables(loop.decisions), orders_frame(reports[: loop.fed]), reports, gateway
    )


class _Loop:
    """One closed loop while it runs."""

    def __init__(self, gateway: Gateway, lane: hr.OpenLane, events: Sequence[Book | Trade]) -> None:
        self.gateway, self.lane = gateway, lane
        self.decisions: list[pa.Table] = []
        self.fed = 0
        self._events = events
        self._place = 0
        self._tops: dict[str, tuple[int, int]] = {}

    def go_on(self, moment: int, stretch: Frames) -> None:
        """Decide what is known until a moment, and act on it."""
        venue = self.gateway.venue
        begin = self._place
        while self._place < len(self._events) and self._events[self._place].received <= moment:
            venue.market(self._events[self._place])
            self._place += 1
        venue.advance(moment)
        fresh = venue.reports[self.fed :]
        orders = orders_frame(fresh, self.fed)
        self.fed += len(fresh)
        found = self.lane.decide({**stretch, "orders": orders})
        self.decisions.append(found)
        books = [each for each in self._events[begin : self._place] if isinstance(each, Book)]
        self._act(found, books, stretch["depth"])

    def _act(self, found: pa.Table, books: Sequence[Book], depth: pa.Table) -> None:
        """Give decisions to the gateway, each with the best prices that it was made by."""
        received = depth["received"].cast(pa.int64()).to_pylist()
        symbols, outcomes = depth["symbol"].to_pylist(), found["outcome"].to_pylist()
        place = 0
        for moment, symbol, outcome in zip(received, symbols, outcomes, strict=True):
            while place < len(books) and books[place].received <= moment:
                self._note(books[place])
                place += 1
            top = self._tops.get(symbol)
            if outcome == "halt":
                self.gateway.halt(moment, symbol)
            elif top is not None and outcome in SIDES:
                self.gateway.order(moment, symbol, SIDES[outcome], *top)
            elif top is not None:
                self.gateway.mark(moment, symbol, *top)

    def _note(self, book: Book) -> None:
        if book.bids and book.asks:
            self._tops[book.symbol] = (book.bids[0][0], book.asks[0][0])
        else:
            self._tops.pop(book.symbol, None)


def _stretches(
    frames: Frames, length: int, gateway: Gateway
) -> Iterator[tuple[int, dict[str, pa.Table | None]]]:
    """The frames cut by receive time, and the end of each stretch; empty ones are passed over."""
    tables, known = {}, {}
    absent = {name: None for name, frame in frames.items() if frame is None}
    for name, frame in frames.items():
        if frame is None:
            continue
        table = frame if isinstance(frame, pa.Table) else pa.table(frame)
        times = table["received"].cast(TIME).cast(pa.int64()).to_numpy()
        order = np.argsort(times, kind="stable")
        tables[name] = table.take(pa.array(order)).set_column(
            table.column_names.index("received"), "received", pa.array(times[order]).cast(TIME)
        )
        known[name] = times[order]
    every = np.sort(np.concatenate(list(known.values())))
    places = dict.fromkeys(tables, 0)
    place = 0
    while place < len(every):
        # what is due may come before the market's next event, and must not wait for it
        due = gateway.venue.next_due
        begin = int(every[place]) if due is None else min(int(every[place]), due)
        moment = begin + length - 1
        ends = {
            name: int(np.searchsorted(times, moment, side="right")) for name, times in known.items()
        }
        cut = {name: tables[name].slice(places[name], ends[name] - places[name]) for name in tables}
        yield moment, {**absent, **cut}
        places = ends
        place = int(np.searchsorted(every, moment, side="right"))
