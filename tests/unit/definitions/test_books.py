"""Order books: what cannot be meant is said on the user's line; where they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import headrace as hr
from headrace.definitions.describe import BOOK_WORDS, book_bytes, worst_case_bytes
from headrace.definitions.plan import BookPart, BookStatus, Plan
from headrace.definitions.stages import plan_stages
from headrace.engine import book_words
from headrace.engine.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable


class Change(hr.Event):
    change_id: hr.Id
    at: hr.EventTime
    symbol: hr.Key
    venue: hr.Key
    bid: hr.Bool
    price: hr.Decimal | None = hr.field(scale=2)
    size: hr.Int
    weight: hr.Float
    order: hr.Int | None
    first: hr.Int | None
    last: hr.Int | None
    ends: hr.Bool


class Depth(hr.Event):
    depth_id: hr.Id
    at: hr.EventTime
    symbol: hr.Key
    venue: hr.Key
    level: hr.Int


changes, depth = hr.stream(Change, name="changes"), hr.stream(Depth, name="depth")
book = changes.book(first="first", last="last", ends="ends", levels=20)
view = book.at(depth)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: changes.book(price="weight"), "'weight' is a field of FLOAT"),
        (lambda: changes.book(price="prise"), "did you mean 'price'"),
        (lambda: changes.book(key="size"), "'size' is a field of INT"),
        (lambda: changes.book(size="last"), "'last' may be missing"),
        (lambda: changes.book(first="first"), "first= without last="),
        (lambda: changes.book(order="order"), "order= and orders="),
        (lambda: changes.book(reduces="ends"), "order= and orders="),
        (lambda: changes.book(levels=0), "levels=0"),
        (lambda: changes.book(levels=10, snapshot_levels=11), "snapshot_levels=11"),
        (lambda: changes.book(stale_after="soon"), "stale_after"),
        (lambda: book.at(depth, asked_by="level"), "'level' is a field of INT"),
        (lambda: view.price("offer"), "side 'offer'"),
        (lambda: view.price("bid", 21), "level 21"),
        (lambda: view.depth("bid", 0), "level 0"),
        (lambda: view.midd, "did you mean 'mid'"),
        (lambda: view.mid + changes.size, "an event of 'depth' and of 'changes'"),
    ],
)
def test_what_cannot_be_meant(wrong: Callable[[], Any], said: str) -> None:
    with pytest.raises(hr.DefinitionError) as error:
        wrong()
    assert said in str(error.value)
    assert "test_books.py" in str(error.value)


def test_a_plan_with_books_is_read_back_as_it_was() -> None:
    case = hr.UseCase(name="x", on=depth, features=hr.features(mid=view.mid, spread=view.spread))
    plan = case.plan
    assert Plan.from_canonical(plan.canonical()).canonical() == plan.canonical()
    assert [stream.name for stream in plan.streams] == ["changes", "depth"]
    assert [feature.text for feature in plan.features] == [
        "the mid price: {value}",
        "the spread: {value}",
    ]
    # the best prices are read once
    assert len(plan.book_values) == 2
    without = hr.UseCase(name="x", on=depth, features=hr.features(level=depth.level))
    assert b"book" not in without.plan.canonical()


def test_numbers_of_the_kernels_are_those_of_the_plan() -> None:
    for number, part in enumerate(BookPart):
        name = "PREVIOUS" if part is BookPart.PREVIOUS_PRICE else part.name
        assert getattr(book_words, f"PART_{name}") == number
    for status in BookStatus:
        assert getattr(book_words, status.name) == status
    assert book_words.HEAD == BOOK_WORDS


def test_books_weigh_what_is_said() -> None:
    case = hr.UseCase(name="x", on=depth, features=hr.features(mid=view.mid))
    assert worst_case_bytes(case.plan, keys=3) == 3 * book_bytes(case.plan.books[0])
    engine = Engine(case.plan, threads=1)
    assert engine.memory().bytes_by["order books"] < 10_000


def test_books_are_kept_where_their_topics_come_together() -> None:
    features = hr.features(
        mid=view.mid,
        flow=depth.by("symbol").sum(view.order_flow, "1s"),
        seen=depth.by("venue").count("1h"),
    )
    stages = plan_stages(on=depth, features=features, key="symbol")
    assert dict(stages.keyed) == {"depth": "symbol", "changes": "symbol"}
    assert [side.key for side in stages.sides] == ["venue"]
    assert stages.main.books == stages.whole.books
    assert not stages.sides[0].plan.books
    alone = plan_stages(on=depth, features=hr.features(mid=view.mid))
    assert alone.key == "symbol"


def test_a_book_that_would_be_elsewhere_is_refused() -> None:
    with pytest.raises(hr.DefinitionError, match="kept by 'symbol'"):
        plan_stages(on=depth, features=hr.features(mid=view.mid), key="venue")
    crossing = hr.features(mid=view.mid, flow=depth.by("venue").sum(view.order_flow, "1s"))
    with pytest.raises(hr.DefinitionError, match="reads order books"):
        plan_stages(on=depth, features=crossing, key="symbol")
