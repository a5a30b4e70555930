"""Paper orders: what is filled was there, nothing counts twice, limits hold whatever is asked."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace as hr
from headrace_solutions.trading_signal.gateway import Gateway, Ledger, Limits, OrderTerms
from headrace_solutions.trading_signal.tape import UNIT, Book, Trade, units
from headrace_solutions.trading_signal.venue import (
    BUY,
    SELL,
    Assumptions,
    Order,
    PaperVenue,
    Report,
    Status,
)

MS = 1_000_000
#: A millisecond to the venue and back, no fees.
PLAIN = Assumptions(
    maker_fee_bp=0.0,
    taker_fee_bp=0.0,
    order_latency_us=600,
    report_latency_us=400,
    cancels_ahead_pct=50,
    lifetime_us=None,
)


def book(ms: float, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> Book:
    """A book at a time in milliseconds."""
    return Book(round(ms * MS), round(ms * MS), "X", tuple(bids), tuple(asks))


def trade(ms: float, price: int, size: int, *, buyer: bool | None) -> Trade:
    return Trade(round(ms * MS), round(ms * MS), "X", price, size, buyer)


def fills(venue: PaperVenue) -> list[tuple[int, int | None, int, bool]]:
    return [(r.order, r.price, r.quantity, r.took) for r in venue.reports if r.quantity]


def statuses(venue: PaperVenue) -> list[str]:
    return [report.status.value for report in venue.reports]


def test_an_order_takes_the_book_that_is_there_when_it_comes() -> None:
    venue = PaperVenue(PLAIN)
    venue.market(book(0, [(99, 5)], [(101, 5)]))
    venue.send(Order(1, "X", BUY, 8, None, 0))
    venue.market(book(0.9, [(99, 5)], [(102, 3), (103, 9)]))
    venue.market(book(1.1, [(99, 5)], [(101, 50)]))
    assert fills(venue) == [(1, 102, 3, True), (1, 103, 5, True)]
    assert statuses(venue) == ["new", "partially_filled", "filled"]
    assert {report.received for report in venue.reports} == {MS}


def test_what_is_taken_is_not_taken_again_until_its_level_has_gone() -> None:
    venue = PaperVenue(PLAIN)
    venue.market(book(0, [(99, 5)], [(101, 5)]))
    for number in (1, 2):
        venue.send(Order(number, "X", BUY, 4, None, 0))
    venue.market(book(2, [(99, 5)], [(101, 6)]))
    venue.send(Order(3, "X", BUY, 4, None, 2 * MS))
    venue.market(book(4, [(99, 5)], [(102, 6)]))
    venue.market(book(5, [(99, 5)], [(101, 6)]))
    venue.send(Order(4, "X", BUY, 4, None, 5 * MS))
    venue.market(book(7, [(99, 5)], [(101, 6)]))
    assert fills(venue) == [(1, 101, 4, True), (2, 101, 1, True), (3, 101, 1, True),
                            (4, 101, 4, True)]  # fmt: skip
    assert [r.reason for r in venue.reports if r.status is Status.CANCELLED] == [
        "nothing is left to take"
    ] * 2


def test_an_order_waits_behind_what_is_shown_and_moves_up_by_trades_and_cancels() -> None:
    venue = PaperVenue(PLAIN)
    venue.market(book(0, [(99, 10)], [(101, 5)]))
    venue.send(Order(1, "X", BUY, 3, 99, 0))
    venue.market(trade(2, 99, 4, buyer=False))  # 6 ahead
    venue.market(book(2.1, [(99, 6)], [(101, 5)]))  # what was traded has left: none was cancelled
    venue.market(book(3, [(99, 2)], [(101, 5)]))  # 4 cancelled, 2 of them ahead; no more than 2
    venue.market(trade(4, 99, 2, buyer=True))  # a buyer took: not our side
    assert fills(venue) == []
    venue.market(trade(5, 99, 4, buyer=False))
    venue.market(trade(6, 98, 9, buyer=False))
    assert fills(venue) == [(1, 99, 2, False), (1, 99, 1, False)]
    assert statuses(venue)[-1] == "filled"


def test_an_order_beyond_what_is_seen_learns_its_place_when_it_comes_into_sight() -> None:
    venue = PaperVenue(PLAIN)
    venue.market(book(0, [(99, 1), (98, 1)], [(101, 5)]))
    venue.send(Order(1, "X", BUY, 3, 97, 0))
    venue.market(trade(2, 97, 50, buyer=False))
    assert fills(venue) == []
    venue.market(book(3, [(97, 7)], [(101, 5)]))
    venue.market(trade(4, 97, 8, buyer=False))
    assert fills(venue) == [(1, 97, 1, False)]


def test_orders_of_ours_share_a_trade() -> None:
    venue = PaperVenue(PLAIN)
    venue.market(book(0, [(99, 2)], [(101, 5)]))
    venue.send(Order(1, "X", BUY, 3, 99, 0))
    venue.send(Order(2, "X", BUY, 3, 99, 1))
    venue.send(Order(3, "X", BUY, 3, 100, 2))
    venue.market(trade(2, 99, 7, buyer=False))
    assert fills(venue) == [(3, 100, 3, False), (1, 99, 2, False)]


def test_the_other_side_coming_to_our_price_fills_at_our_price() -> None:
    venue = PaperVenue(PLAIN)
    venue.market(book(0, [(99, 9)], [(101, 5)]))
    venue.send(Order(1, "X", SELL, 3, 101, 0))
    venue.market(book(2, [(102, 2)], [(104, 5)]))
    assert fills(venue) == [(1, 101, 2, False)]


def test_a_trade_of_an_unknown_taker_is_told_by_the_book() -> None:
    venue = PaperVenue(PLAIN)
    venue.market(book(0, [(99, 1)], [(101, 1)]))
    venue.send(Order(1, "X", BUY, 3, 99, 0))
    venue.market(trade(2, 100, 9, buyer=None))
    assert fills(venue) == []
    venue.market(trade(3, 99, 9, buyer=None))
    assert fills(venue) == [(1, 99, 3, False)]


def test_an_order_is_cancelled_as_asked_and_at_the_end_of_its_life() -> None:
    venue = PaperVenue(Assumptions(order_latency_us=500, report_latency_us=500, lifetime_us=3_000))
    venue.market(book(0, [(99, 9)], [(101, 5)]))
    venue.send(Order(1, "X", BUY, 3, 99, 0))
    venue.send(Order(2, "X", BUY, 3, 99, 0))
    venue.cancel(1, 1)
    venue.advance(9 * MS)
    ended = [(r.order, r.received) for r in venue.reports if r.status is Status.CANCELLED]
    assert ended == [(1, MS + 1), (2, 4 * MS)]


def test_a_book_that_cannot_be_read_takes_no_orders() -> None:
    venue = PaperVenue(PLAIN)
    venue.market(book(0, [], []))
    venue.send(Order(1, "X", BUY, 3, 99, 0))
    venue.advance(2 * MS)
    assert [(r.status.value, r.reason) for r in venue.reports] == [
        ("rejected", "the book cannot be read")
    ]


def test_fees_are_rounded_up_to_the_last_digit_and_a_rebate_is_not_made_larger() -> None:
    assumed = Assumptions(maker_fee_bp=-0.25, taker_fee_bp=4.5, half_spread_bp=1.0)
    price, quantity = units("0.00012345"), units("7")
    exact = Fraction(price * quantity, UNIT)
    fee, spread = assumed.charged(price, quantity, took=True)
    assert fee - 1 < exact * Fraction(45, 100_000) <= fee
    assert spread - 1 < exact / 10_000 <= spread
    rebate, none = assumed.charged(price, quantity, took=False)
    assert rebate - 1 < -exact * Fraction(25, 1_000_000) <= rebate < 0
    assert none == 0


@pytest.mark.parametrize(
    ("given_name", "value"),
    [("taker_fee_bp", 0.123), ("half_spread_bp", -1.0), ("order_latency_us", -1),
     ("cancels_ahead_pct", 101), ("lifetime_us", 0)],
)  # fmt: skip
def test_assumptions_that_cannot_be_are_refused(given_name: str, value: float) -> None:
    with pytest.raises(hr.DataError, match=given_name):
        Assumptions(**{given_name: value})  # type: ignore[arg-type]  # a wrong one is the point


# what follows puts arbitrary markets and arbitrary wishes to a gateway and its venue

prices = st.integers(95, 105)
sizes = st.integers(1, 12)


@st.composite
def markets(draw: st.DrawFn) -> list[Book | Trade]:
    """Books whose best bid is below the best ask, and trades anywhere, some at the same moment."""
    moment = 0
    events: list[Book | Trade] = []
    for _ in range(draw(st.integers(1, 25))):
        moment += draw(st.sampled_from([0, 1, 3, 7])) * MS // 4
        if draw(st.integers(0, 2)) == 0:
            took = draw(st.sampled_from([True, False, None]))
            events.append(Trade(moment, moment, "X", draw(prices), draw(sizes), took))
            continue
        middle = draw(st.integers(96, 104))
        bids = sorted({draw(st.integers(90, middle - 1)) for _ in range(3)}, reverse=True)
        asks = sorted({draw(st.integers(middle + 1, 110)) for _ in range(3)})
        if draw(st.integers(0, 9)) == 0:
            bids = []
        events.append(
            Book(moment, moment, "X", tuple((p, draw(sizes)) for p in bids),
                 tuple((p, draw(sizes)) for p in asks))
        )  # fmt: skip
    return events


@dataclass
class Asked:
    """What is asked of a gateway after each event."""

    side: int
    joins: bool
    quantity: int
    cancels: bool
    kills: bool


asks_of = st.builds(
    Asked,
    st.sampled_from([BUY, SELL, 0]),
    st.booleans(),
    st.integers(1, 9),
    st.integers(0, 9).map(lambda n: n == 0),
    st.integers(0, 29).map(lambda n: n == 0),
)
assumptions = st.builds(
    Assumptions,
    maker_fee_bp=st.sampled_from([-1.0, 0.0, 2.5]),
    taker_fee_bp=st.sampled_from([0.0, 5.0]),
    half_spread_bp=st.sampled_from([0.0, 1.25]),
    order_latency_us=st.sampled_from([0, 200, 900]),
    report_latency_us=st.sampled_from([0, 300]),
    cancels_ahead_pct=st.sampled_from([0, 50, 100]),
    lifetime_us=st.sampled_from([None, 400, 5_000]),
)
#: Sizes and prices of these markets are single units of 10⁻⁸.
LIMITS = Limits(open_orders=3, orders_per_second=9, position="0.00000012")


@dataclass
class Traded:
    """A market, what was asked, and what came of it."""

    gateway: Gateway
    events: list[Book | Trade]
    killed_at: list[tuple[int, int]] = field(default_factory=list)


def run(events: list[Book | Trade], wishes: list[Asked], assumed: Assumptions) -> Traded:
    """Put every wish to the gateway after its event, at the best prices known."""
    venue = PaperVenue(assumed)
    gateway = Gateway(venue, LIMITS, OrderTerms(quantity="1"))
    traded = Traded(gateway, events)
    top: tuple[int, int] | None = None
    for place, (event, wish) in enumerate(zip(events, wishes, strict=False)):
        venue.market(event)
        if isinstance(event, Book):
            top = (event.bids[0][0], event.asks[0][0]) if event.bids and event.asks else None
        # what is due at a moment comes after all that the market says of it
        more = place + 1 < len(events) and events[place + 1].received == event.received
        if more or top is None:
            continue
        venue.advance(event.received)
        if wish.cancels:
            gateway.halt(event.received)
        if wish.kills:
            gateway.kill(event.received, "a person said so")
            traded.killed_at.append((event.received, gateway.orders))
        if wish.side:
            gateway.terms = OrderTerms(quantity=f"{wish.quantity}e-8", joins=wish.joins)
            gateway.order(event.received, "X", wish.side, *top)
    venue.advance(10**12)
    gateway.learn(10**12)
    return traded


cases = st.tuples(markets(), st.lists(asks_of, min_size=25, max_size=25), assumptions)


@settings(max_examples=120, deadline=None)
@given(cases)
def test_position_and_cash_are_the_sums_of_fills(
    case: tuple[list[Book | Trade], list[Asked], Assumptions],
) -> None:
    traded = run(*case)
    filled = [report for report in traded.gateway.venue.reports if report.quantity]
    ledger = traded.gateway.ledger
    assert ledger.positions.get("X", 0) == sum(r.side * r.quantity for r in filled)
    paid = sum(r.side * r.quantity * Fraction(r.price or 0) for r in filled)
    costs = sum(Fraction(r.fee + r.spread) * UNIT for r in filled)
    assert ledger.cash == -paid - costs
    again = Ledger()
    for report in traded.gateway.venue.reports:
        again.take(report)
    assert again == ledger


@settings(max_examples=120, deadline=None)
@given(cases)
def test_every_order_ends_once_and_comes_to_its_quantity(
    case: tuple[list[Book | Trade], list[Asked], Assumptions],
) -> None:
    traded = run(*case)
    by_order: dict[int, list[Report]] = defaultdict(list)
    for report in traded.gateway.venue.reports:
        by_order[report.order].append(report)
    received = [report.received for report in traded.gateway.venue.reports]
    assert received == sorted(received)
    assert sorted(by_order) == list(range(1, traded.gateway.orders + 1))
    for told in by_order.values():
        words = [report.status for report in told]
        assert words[0] in (Status.NEW, Status.REJECTED)
        ends = [w for w in words if w in (Status.FILLED, Status.CANCELLED, Status.REJECTED)]
        assert len(ends) <= 1
        assert not ends or words[-1] is ends[0]
        filled = sum(report.quantity for report in told)
        assert told[0].left == filled + told[-1].left
        assert (told[-1].left == 0) == (words[-1] is Status.FILLED)


@settings(max_examples=120, deadline=None)
@given(cases)
def test_nothing_is_filled_that_was_not_there(
    case: tuple[list[Book | Trade], list[Asked], Assumptions],
) -> None:
    """By brute force: each fill against the books and trades of its moment, and no size twice."""
    traded = run(*case)
    events, reports = traded.events, traded.gateway.venue.reports
    sent = {r.order: r for r in reports if r.status is Status.NEW}
    used: dict[int, int] = defaultdict(int)
    for fill in (r for r in reports if r.quantity):
        new = sent[fill.order]
        if new.price is not None:
            assert fill.side * (new.price - (fill.price or 0)) >= 0
        if fill.took:
            shown = last_book(events, fill.received)
            levels = dict(shown.asks if fill.side == BUY else shown.bids)
            assert fill.quantity <= levels[fill.price or 0]
            continue
        assert fill.price == new.price
        causes = [
            (place, event)
            for place, event in enumerate(events)
            if event.received == fill.received and comes_to(event, fill)
        ]
        assert causes
        used[causes[0][0]] += fill.quantity
    for place, quantity in used.items():
        same = [e for e in events if e.received == events[place].received]
        assert quantity <= sum(most_of(event) for event in same)


def last_book(events: list[Book | Trade], moment: int) -> Book:
    return [e for e in events if isinstance(e, Book) and e.received <= moment][-1]


def comes_to(event: Book | Trade, fill: Report) -> bool:
    """Whether the other side came to a waiting order's price or through it."""
    limit = fill.price or 0
    if isinstance(event, Trade):
        aggressor_sells = event.buyer_took is not True
        aggressor_buys = event.buyer_took is not False
        may = aggressor_sells if fill.side == BUY else aggressor_buys
        return may and fill.side * (limit - event.price) >= 0
    levels = event.asks if fill.side == BUY else event.bids
    return any(fill.side * (limit - price) >= 0 for price, _ in levels)


def most_of(event: Book | Trade) -> int:
    if isinstance(event, Trade):
        return event.size
    return sum(size for _, size in (*event.bids, *event.asks))


@settings(max_examples=120, deadline=None)
@given(cases)
def test_limits_hold_whatever_is_asked(
    case: tuple[list[Book | Trade], list[Asked], Assumptions],
) -> None:
    traded = run(*case)
    reports = traded.gateway.venue.reports
    position, most = 0, units(LIMITS.position)
    for report in reports:
        position += report.side * report.quantity
        assert abs(position) <= most
    # a sent order is open from its decision until its end is received
    trip = traded.gateway.venue.assumptions.round_trip_ns
    begins = [r.received - trip for r in reports if r.status is Status.NEW]
    ends = {r.order: r.received for r in reports if r.status in (Status.FILLED, Status.CANCELLED)}
    orders = [r.order for r in reports if r.status is Status.NEW]
    for moment in begins:
        still = sum(
            begin <= moment < ends.get(order, 10**18)
            for begin, order in zip(begins, orders, strict=True)
        )
        assert still <= LIMITS.open_orders
        within = sum(moment - 10**9 < begin <= moment for begin in begins)
        assert within <= LIMITS.orders_per_second


@settings(max_examples=120, deadline=None)
@given(cases)
def test_after_the_kill_switch_nothing_is_sent_and_all_is_cancelled(
    case: tuple[list[Book | Trade], list[Asked], Assumptions],
) -> None:
    traded = run(*case)
    if not traded.killed_at:
        return
    moment, orders = traded.killed_at[0]
    trip = traded.gateway.venue.assumptions.round_trip_ns
    reports = traded.gateway.venue.reports
    later = [r for r in reports if r.order > orders]
    assert all(r.status is Status.REJECTED and r.reason.startswith("kill") for r in later)
    assert traded.gateway.open_orders == 0
    assert not [r for r in reports if r.quantity and r.received > moment + trip]


@settings(max_examples=100, deadline=None)
@given(cases)
def test_the_same_market_and_wishes_come_to_the_same(
    case: tuple[list[Book | Trade], list[Asked], Assumptions],
) -> None:
    assert run(*case).gateway.venue.reports == run(*case).gateway.venue.reports


def gateway_on(limits: Limits, terms: OrderTerms) -> Gateway:
    venue = PaperVenue(PLAIN)
    venue.market(Book(0, 0, "X", ((99 * UNIT, 50 * UNIT),), ((101 * UNIT, 50 * UNIT),)))
    return Gateway(venue, limits, terms)


def reasons(gateway: Gateway) -> list[str]:
    gateway.venue.advance(10**12)
    return [r.reason for r in gateway.venue.reports if r.status is Status.REJECTED]


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(open_orders=1), "open orders: the limit is 1"),
        (Limits(orders_per_second=1), "rate: the limit is 1 orders a second"),
        (Limits(position="3"), "position: the limit is 3 of a symbol"),
        (Limits(notional="399.99"), "notional: the limit is 399.99"),
    ],
)
def test_an_order_under_way_counts_and_a_refusal_has_its_reason(limits: Limits, says: str) -> None:
    gateway = gateway_on(limits, OrderTerms(quantity="2"))
    for _ in range(2):
        gateway.order(0, "X", BUY, 99 * UNIT, 101 * UNIT)
    assert reasons(gateway) == [says]


def test_an_order_that_reduces_a_full_position_is_sent() -> None:
    gateway = gateway_on(Limits(position="2", notional="200"), OrderTerms(quantity="2"))
    gateway.order(0, "X", BUY, 99 * UNIT, 101 * UNIT)
    gateway.venue.advance(5 * MS)
    gateway.order(5 * MS, "X", SELL, 99 * UNIT, 101 * UNIT)
    assert reasons(gateway) == []
    gateway.learn(10**12)
    assert gateway.ledger.positions == {"X": 0}


def test_a_loss_throws_the_switch() -> None:
    gateway = gateway_on(Limits(loss="10"), OrderTerms(quantity="2"))
    gateway.order(0, "X", BUY, 99 * UNIT, 101 * UNIT)
    gateway.venue.advance(5 * MS)
    gateway.mark(5 * MS, "X", 96 * UNIT, 98 * UNIT)  # bought 2 at 101, worth 97
    assert gateway.killed is None
    gateway.mark(6 * MS, "X", 95 * UNIT, 97 * UNIT)
    assert gateway.killed == "a loss of 10 or more"
    gateway.order(7 * MS, "X", SELL, 95 * UNIT, 97 * UNIT)
    assert reasons(gateway) == ["kill switch: a loss of 10 or more"]
