"""Books that are told of each order are what all orders together amount to."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from test_books import FEW, QUIET, Feed, told
from ways import Prepared


def case(orders: int) -> dict[str, Any]:
    """Each change is decided, and sees what it did."""
    fields = {
        "change_id": {"type": "id"},
        "at": {"type": "event_time"},
        "received": {"type": "known_at"},
        "symbol": {"type": "key"},
        "order": {"type": "int"},
        "bid": {"type": "bool"},
        "price": {"type": "int", "optional": True},
        "size": {"type": "int"},
        **{name: {"type": "bool"} for name in ("reduces", "removes", "is_snapshot", "is_last")},
    }
    view = ["book", "book", "changes"]
    features: dict[str, Any] = {
        f"{side}_{part}_{number}": [*view, part, side, number]
        for side in ("bid", "ask")
        for part in ("price", "size")
        for number in (1, 2, 3)
    }
    features["book_status"] = [*view, "status"]
    return {
        "name": "orders",
        "on": "changes",
        "streams": {"changes": {"fields": fields}},
        "books": {
            "book": {
                "of": "changes",
                "order": "order",
                "reduces": "reduces",
                "removes": "removes",
                "snapshot": "is_snapshot",
                "ends": "is_last",
                "orders": orders,
                "levels": 60,
                "starts_empty": True,
            }
        },
        "features": features,
    }


@st.composite
def feeds(draw: st.DrawFn) -> Feed:
    """Orders that come, change, move, are reduced and go; snapshots of all orders."""
    feed = Feed()
    kinds = ["new"] * 6 + ["change", "move", "reduce", "remove", "remove", "unknown", "snapshot"]
    known: dict[int, int] = {}
    numbers = iter(range(7, 10_000, 13))

    def row(order: int, **more: Any) -> None:
        bid = draw(st.booleans())
        price = draw(st.integers(90, 100) if bid else st.integers(101, 110))
        plain = {"bid": bid, "price": price, "size": draw(st.integers(1, 5)), "order": order}
        plain |= dict.fromkeys(("reduces", "removes", "is_snapshot"), False)
        feed.row("changes", "A", **{**plain, "is_last": True, **more})

    for _ in range(draw(st.integers(1, 50))):
        kind = draw(st.sampled_from(kinds))
        if kind == "snapshot":
            known = {next(numbers): 3 for _ in range(draw(st.integers(1, 4)))}
            for place, order in enumerate(known):
                row(order, size=3, is_snapshot=True, is_last=place == len(known) - 1)
        elif kind == "new" or not known:
            order = next(numbers)
            known[order] = draw(st.integers(1, 5))
            row(order, size=known[order])
        elif kind == "unknown":
            row(next(numbers), removes=True, price=None)
        else:
            order = draw(st.sampled_from(sorted(known)))
            before, known[order] = known[order], draw(st.integers(1, 5))
            more: dict[str, Any] = {"size": known[order]}
            if kind == "change":
                more["price"] = None
            if kind == "reduce":
                more = {"reduces": True, "size": 1}
                known[order] = before - 1
            if kind == "remove" or known[order] == 0:
                more |= {"removes": True} if kind == "remove" else {}
                del known[order]
            row(order, **more)
    return feed


def take(orders: dict[int, tuple[bool, int, int]], line: dict[str, Any]) -> None:
    """What an event does to all orders."""
    order, held = line["order"], orders.get(line["order"])
    if held is None:
        if not line["removes"] and not line["reduces"]:
            orders[order] = (line["bid"], line["price"], line["size"])
    elif line["removes"] or (line["reduces"] and held[2] == line["size"]):
        del orders[order]
    elif line["reduces"]:
        orders[order] = (*held[:2], held[2] - line["size"])
    elif line["price"] is None:
        orders[order] = (*held[:2], line["size"])
    else:
        orders[order] = (line["bid"], line["price"], line["size"])


def expected(feed: Feed) -> list[dict[str, Any]]:
    """All orders, added up anew after each change."""
    orders: dict[int, tuple[bool, int, int]] = {}
    open_snapshot = False
    found = []
    for line in feed.lines["changes"]:
        if line["is_snapshot"] and not open_snapshot:
            orders.clear()
        open_snapshot = not line["is_last"]
        take(orders, line)
        said: dict[str, Any] = {"book_status": 5 if open_snapshot else 0}
        for side, is_bid in (("bid", True), ("ask", False)):
            levels: Counter[int] = Counter()
            for bid, price, size in orders.values():
                levels[price] += size if bid == is_bid else 0
            best = sorted((p for p in levels if levels[p]), reverse=is_bid)
            for number in (1, 2, 3):
                there = number <= len(best) and not open_snapshot
                said[f"{side}_price_{number}"] = best[number - 1] if there else None
                said[f"{side}_size_{number}"] = levels[best[number - 1]] if there else None
        found.append(said)
    return found


@QUIET
@given(feeds())
def test_levels_are_what_orders_amount_to(feed: Feed) -> None:
    made = Prepared.of(case(200), {"changes": feed.lines["changes"]})
    for mine, contract in zip(told(made), expected(feed), strict=True):
        crossed = mine["book_status"] == 3
        if crossed:
            continue
        assert mine == contract


@FEW
@given(feeds())
def test_every_way_to_run_gives_the_same_records(feed: Feed) -> None:
    made = Prepared.of(case(3), {"changes": feed.lines["changes"]})
    intake = made.intake()
    records = made.records(made.steps(intake, 10_000))
    assert made.records(made.with_a_stop(intake, 3, len(records) // 6)) == records
    assert made.records(made.steps(intake, 7, threads=2)) == records


def test_one_order_too_many_breaks_a_book_until_the_next_snapshot() -> None:
    feed = Feed()
    plain = {"bid": True, "size": 1, "reduces": False, "removes": False}
    for number in range(5):
        whole = {"price": 90 + number, "order": number, "is_snapshot": number == 4}
        feed.row("changes", "A", **plain, **whole, is_last=True)
    said = told(Prepared.of(case(3), {"changes": feed.lines["changes"]}))
    assert [line["book_status"] for line in said] == [0, 0, 0, 6, 0]
    assert [line["bid_price_1"] for line in said] == [90, 91, 92, None, 94]
    assert said[4]["bid_price_2"] is None
