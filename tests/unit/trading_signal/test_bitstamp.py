"""Bitstamp's log: orders become a book, snapshots of its best levels are compared with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import headrace as hr
from headrace_solutions.trading_signal.bitstamp import moments, order_book, read_log

DATA = os.environ.get("HEADRACE_DATA")
view = order_book.at(moments)
case = hr.UseCase(
    name="orders",
    on=moments,
    features=hr.features(
        bid=view.price("bid"),
        bid_size=view.size("bid"),
        ask=view.price("ask"),
        book_status=view.status,
        snapshots=view.snapshots,
        corrections=view.corrections,
    ),
)


def order(at: int, what: str, number: int, side: int, price: str, amount: str) -> bytes:
    return (
        f'{at} order_{what} {{"price": "{price}", "amount": "{amount}", "datetime": "1", '
        f'"id": {number}, "order_type": {side}}}'
    ).encode()


def snapshot(at: int, bids: str, asks: str) -> bytes:
    return f'{at} order_book {{"bids": {bids}, "asks": {asks}}}'.encode()


def test_orders_between_snapshots_are_counted_and_differences_are_seen() -> None:
    first = snapshot(1000, '[["10", "1"], ["9", "2"]]', '[["11", "1"]]')
    lines = [
        first,
        order(1001, "created", 1, 0, "10", "3"),
        order(1002, "changed", 1, 0, "10", "1"),
        # of an order that was there before the first snapshot only its level is known
        order(1003, "deleted", 99, 0, "9", "2"),
        snapshot(1004, '[["10", "2"]]', '[["11", "1"]]'),
        order(1005, "deleted", 1, 0, "10", "1"),
        snapshot(1006, '[["10", "5"]]', '[["11", "1"]]'),
    ]
    feed = read_log(Path("x"), lines=lines)
    assert feed.quarantined.num_rows == 0
    decided = hr.decide(case, {name: feed.frames[name] for name in ("order_changes", "moments")})
    assert decided["status"].unique().to_pylist() == ["accepted"]
    assert decided["book_status"].to_pylist() == [1, 0, 0, 0, 0, 0]
    assert decided["bid_size"].to_pylist() == [None, 1.0, 2.0, 2.0, 1.0, 5.0]
    assert decided["corrections"].to_pylist() == [0, 0, 0, 0, 0, 1]


def test_what_cannot_be_read_is_refused_with_its_reason() -> None:
    lines = [b"x", b"5 shout {}", order(6, "created", 1, 2, "1", "1"), b"7 order_book {"]
    feed = read_log(Path("x"), lines=lines)
    assert feed.quarantined["line"].to_pylist() == [1, 2, 3, 4]
    assert "order_type 2" in feed.quarantined["detail"].to_pylist()[2]


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="HEADRACE_DATA names no folder of market data")
def test_the_book_of_a_day_agrees_with_its_snapshots() -> None:
    feed = read_log(Path(DATA or "") / "lob_bitstamp_obanalytics" / "2015-05-01.log.xz")
    assert feed.quarantined.num_rows == 0
    decided = hr.decide(case, {name: feed.frames[name] for name in ("order_changes", "moments")})
    last = decided.slice(decided.num_rows - 1).to_pylist()[0]
    # all 20 levels of both sides are equal at 4,879 of 5,010; the first is what the book began with
    assert last["snapshots"] == 5_011
    assert last["corrections"] == 131
    assert set(decided["book_status"].to_pylist()[1::2]) == {0}
