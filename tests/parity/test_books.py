"""Order books: what features read is what the contract says, however inputs are run."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from book_contract import IN_MESSAGE, IN_SYNC, PlainBook
from hypothesis import given, settings
from hypothesis import strategies as st
from ways import Prepared

from headrace.engine import books, engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

QUIET = settings(
    max_examples=15,
)
#: Each goes through `step` half a dozen times.
FEW = settings(QUIET, max_examples=8)
SECOND = 10**9
STALE = 3 * SECOND


@pytest.fixture(autouse=True, scope="module")
def _threads_share_every_batch() -> Iterator[None]:
    """Small batches are not worth a second thread; here they get one all the same."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine, "_SMALL", 1)
        patched.setattr(books, "_SMALL", 1)
        yield


def case(levels: int, partial: int = 0) -> dict[str, Any]:
    """Books of levels, decided at the ends of messages, and read at trades too."""
    common = {"at": {"type": "event_time"}, "received": {"type": "known_at"}}
    common["symbol"] = {"type": "key"}
    changes = {
        "change_id": {"type": "id"},
        **common,
        "bid": {"type": "bool"},
        "price": {"type": "decimal", "scale": 2, "optional": True},
        "size": {"type": "decimal", "scale": 1},
        **{name: {"type": "int"} for name in ("first_id", "last_id", "place")},
        **{name: {"type": "bool"} for name in ("is_snapshot", "is_last")},
    }
    view, traded = ["book", "book", "depth"], ["book", "book", "trades"]
    features: dict[str, Any] = {
        f"{side}_{part}_{number}": [*view, part, side, number]
        for side in ("bid", "ask")
        for part in ("price", "size")
        for number in (1, 2)
    }
    features |= {f"{side}_depth": [*view, "depth", side, 3] for side in ("bid", "ask")}
    features |= {f"{side}_flow": [*view, "queue_change", side] for side in ("bid", "ask")}
    names = ("mid", "spread", "micro_price", "order_flow", "log_return", "in_sync")
    features |= {name: [*view, name] for name in names}
    counts = ("gaps", "crossings", "snapshots", "corrections")
    features |= {name: [*view, name] for name in counts}
    features |= {name: [*view, name] for name in ("seconds_since_move", "seconds_since_update")}
    features |= {
        "book_status": [*view, "status"],
        "imbalance": [*view, "imbalance", 2],
        "flow_5s": [
            "sum",
            [*view, "order_flow"],
            {"of": "depth", "by": ["symbol"], "window": "5s"},
        ],
        "traded_inside_5s": [
            "count",
            {
                "of": "trades",
                "by": ["symbol"],
                "window": "5s",
                "where": ["<", ["field", "trades", "price"], [*traded, "mid"]],
            },
        ],
    }
    price = {"price": {"type": "decimal", "scale": 2}}
    return {
        "name": "books",
        "on": "depth",
        "streams": {
            "changes": {"fields": changes},
            "depth": {"fields": {"depth_id": {"type": "id"}, **common}},
            "trades": {"fields": {"trade_id": {"type": "id"}, **common, **price}},
        },
        "books": {
            "book": {
                "of": "changes",
                "first": "first_id",
                "last": "last_id",
                "snapshot": "is_snapshot",
                "ends": "is_last",
                "place": "place",
                "levels": levels,
                "stale_after": "3s",
                "snapshot_levels": partial,
            }
        },
        "features": features,
        "policy": {"rules": [["review", "up", [">", ["feature", "imbalance"], 0]]]}
        | {"otherwise": "approve"},
    }


def iso(at: int) -> str:
    """A time in text."""
    seconds = datetime.fromtimestamp(at // SECOND, UTC)
    return f"{seconds:%Y-%m-%dT%H:%M:%S}.{at % SECOND:09d}Z"


class Feed:
    """Writes what an exchange would send: messages, the ends of messages, trades."""

    def __init__(self) -> None:
        self.lines: dict[str, list[dict[str, Any]]] = {"changes": [], "depth": [], "trades": []}
        self.last = {"A": 10, "B": 10}
        self.at = 1_700_000_000 * SECOND

    def row(self, stream: str, symbol: str, **more: Any) -> None:
        lines = self.lines[stream]
        identity = {"changes": "change_id", "depth": "depth_id", "trades": "trade_id"}[stream]
        common = {"at": iso(self.at), "received": iso(self.at), "symbol": symbol}
        lines.append({identity: f"{stream[0]}{len(lines)}", **common, **more})

    def message(
        self,
        symbol: str,
        first: int,
        last: int,
        changes: Sequence[tuple[bool, int | None, int]],
        *,
        snapshot: bool,
        lost: int | None,
    ) -> None:
        for place, (bid, price, size) in enumerate(changes):
            if place == lost:
                continue
            self.row(
                "changes",
                symbol,
                bid=bid,
                price=None if price is None else f"{price / 100:.2f}",
                size=f"{size / 10:.1f}",
                first_id=first,
                last_id=last,
                place=place,
                is_snapshot=snapshot,
                is_last=place == len(changes) - 1,
            )


@st.composite
def feeds(draw: st.DrawFn, *, behind: bool) -> Feed:
    """A feed of two symbols with every fault."""
    feed = Feed()
    kinds = ["update"] * 12 + ["snapshot"] * 4 + ["gap", "again", "trade", "lost", "unsaid"]
    for _ in range(draw(st.integers(1, 40))):
        feed.at += draw(st.sampled_from([0, 1, SECOND // 2, SECOND, 4 * SECOND]))
        symbol, kind = draw(st.sampled_from("AB")), draw(st.sampled_from(kinds))
        if kind == "trade":
            feed.row("trades", symbol, price=f"{draw(st.integers(90, 110)) / 100:.2f}")
            continue
        snapshot = kind == "snapshot"
        sizes = st.integers(0, 4) if kind != "unsaid" else st.integers(-1, 4)
        # bids and asks overlap a little, so that books are crossed at times
        bids = st.tuples(st.just(True), st.integers(94, 101), sizes)
        asks = st.tuples(st.just(False), st.integers(100, 107), sizes)
        nothing = st.tuples(st.just(True), st.none(), st.just(0))
        changes = draw(st.lists(st.one_of(bids, asks, nothing), min_size=1, max_size=8))
        first = last = feed.last[symbol]
        if snapshot:
            last -= draw(st.integers(0, 6)) if behind else 0
            last += draw(st.sampled_from([0, 0, 0, 3]))
            first = last
            feed.last[symbol] = max(feed.last[symbol], last)
        elif kind != "again":
            first += 1 + (draw(st.integers(1, 3)) if kind == "gap" else 0)
            first -= draw(st.sampled_from([0, 0, 0, 1]))
            last = feed.last[symbol] = max(first, feed.last[symbol] + 1) + draw(st.integers(0, 2))
        lost = draw(st.integers(0, len(changes) - 1)) if kind == "lost" else None
        feed.message(symbol, first, last, changes, snapshot=snapshot, lost=lost)
        if draw(st.integers(0, 3)):
            feed.row("depth", symbol)
    return feed


def expected(feed: Feed, levels: int, partial: int) -> list[dict[str, Any]]:
    """What the features of each depth event are by the contract."""
    plain: dict[str, PlainBook] = defaultdict(lambda: PlainBook(levels, STALE, partial))
    flows: dict[str, list[tuple[int, int]]] = defaultdict(list)
    inside: dict[str, list[int]] = defaultdict(list)
    ranks = {"changes": 0, "depth": 1, "trades": 2}
    inputs = [
        (nanoseconds(line["at"]), ranks[stream], place, stream, line)
        for stream, lines in feed.lines.items()
        for place, line in enumerate(lines)
    ]
    found = []
    for at, _, _, stream, line in sorted(inputs, key=lambda item: item[:3]):
        book = plain[line["symbol"]]
        if stream == "changes":
            exact = {"price": line["price"] and round(float(line["price"]) * 100)}
            book.take({**line, **exact, "at": at, "size": round(float(line["size"]) * 10)})
            continue
        said = read(book, at)
        if stream == "trades":
            if said["mid"] is not None and float(line["price"]) < said["mid"]:
                inside[line["symbol"]].append(at)
            continue
        if said["order_flow"] is not None:
            flows[line["symbol"]].append((at, round(said["order_flow"] * 10)))
        recent = [flow for when, flow in flows[line["symbol"]] if when > at - 5 * SECOND]
        said["flow_5s"] = sum(recent) / 10
        said["traded_inside_5s"] = sum(when > at - 5 * SECOND for when in inside[line["symbol"]])
        found.append(said)
    return found


def nanoseconds(text: str) -> int:
    """The inverse of `iso`."""
    seconds = datetime.fromisoformat(f"{text[:19]}+00:00")
    return int(seconds.timestamp()) * SECOND + int(text[20:29])


def read(book: PlainBook, at: int) -> dict[str, Any]:
    """All that can be read of a book but what windows give."""
    status = book.status(at)
    said: dict[str, Any] = {"book_status": status, "in_sync": status == IN_SYNC, **book.counts}
    said["seconds_since_update"] = None if book.updated is None else (at - book.updated) / SECOND
    for side in ("bid", "ask"):
        for number in (1, 2):
            level = book.level(side, number) if status == IN_SYNC else None
            said[f"{side}_price_{number}"] = level and level[0] / 100
            said[f"{side}_size_{number}"] = level and level[1] / 10
        depth = book.depth(side, 3) if status == IN_SYNC else None
        said[f"{side}_depth"] = None if depth is None else depth / 10
        flow = book.flow(side) if status == IN_SYNC else None
        said[f"{side}_flow"] = None if flow is None else flow / 10
    names = ("mid", "spread", "micro_price", "order_flow", "log_return", "imbalance")
    said |= dict.fromkeys((*names, "seconds_since_move"))
    if status != IN_SYNC:
        return said
    if book.moved is not None:
        said["seconds_since_move"] = (at - book.moved) / SECOND
    bid, ask = book.level("bid", 1), book.level("ask", 1)
    if bid and ask:
        said["mid"] = (bid[0] + ask[0]) / 100 / 2
        said["spread"] = (ask[0] - bid[0]) / 100
        weighted = bid[0] / 100 * (ask[1] / 10) + ask[0] / 100 * (bid[1] / 10)
        said["micro_price"] = weighted / ((bid[1] + ask[1]) / 10)
    flows = [book.flow(side) for side in ("bid", "ask")]
    if book.top and book.before:
        said["order_flow"] = ((flows[0] or 0) - (flows[1] or 0)) / 10
        change = [sum(side[0] for side in top) / 100 for top in (book.top, book.before)]
        said["log_return"] = change[0] / change[1]
    bids, asks = (book.depth(side, 2) for side in ("bid", "ask"))
    if bids is not None and asks is not None and bids + asks > 0:
        said["imbalance"] = ((bids - asks) / 10) / ((bids + asks) / 10)
    return said


def told(made: Prepared, size: int = 10_000, threads: int = 1) -> list[dict[str, Any]]:
    """The features that come out of `step`."""
    lane, batches = made.run(made.intake(), size, threads)
    lines = [line["features"] for line in made.told(lane, batches) if "features" in line]
    return [
        {name: None if value is None else float.fromhex(value) for name, value in line.items()}
        for line in lines
    ]


def check(feed: Feed, levels: int, partial: int = 0) -> None:
    made = Prepared.of(case(levels, partial), feed.lines)
    assert made.names == ["changes", "depth", "trades"]
    for mine, contract in zip(told(made), expected(feed, levels, partial), strict=True):
        if contract["book_status"] == IN_MESSAGE or mine["book_status"] == IN_MESSAGE:
            assert mine["book_status"] != IN_SYNC
            assert mine["mid"] is None
            continue
        for name, value in contract.items():
            if name == "log_return" and value is not None:
                assert math.isclose(mine[name] or 0, math.log(value), rel_tol=1e-15, abs_tol=1e-18)
            else:
                assert mine[name] == value, name


@QUIET
@given(feeds(behind=True))
def test_a_book_says_what_the_contract_says(feed: Feed) -> None:
    check(feed, 50)


@QUIET
@given(feeds(behind=False), st.integers(3, 5))
def test_a_side_drops_its_farthest_levels(feed: Feed, levels: int) -> None:
    check(feed, levels)


@QUIET
@given(feeds(behind=True), st.integers(1, 3))
def test_a_snapshot_of_the_best_levels_leaves_the_others(feed: Feed, partial: int) -> None:
    check(feed, 50, partial)


@FEW
@given(feeds(behind=True), st.data())
def test_every_way_to_run_gives_the_same_records(feed: Feed, data: st.DataObject) -> None:
    made = Prepared.of(case(4), feed.lines)
    intake = made.intake()
    whole = made.steps(intake, 10_000)
    records = made.records(whole)
    assert made.records(made.steps(intake, 1, threads=2)) == records
    assert made.records(made.steps(intake, 7, threads=2)) == records
    stop = data.draw(st.integers(0, len(records) // 3), label="stop before batch")
    assert made.records(made.with_a_stop(intake, 3, stop)) == records
    assert made.records(made.replayed(made.steps(intake, 5))) == records


@FEW
@given(feeds(behind=True))
def test_a_book_goes_from_lane_to_lane_by_its_key(feed: Feed) -> None:
    made = Prepared.of(case(5), feed.lines)
    lane, _ = made.run(made.intake(), 10_000)
    other = made.lane()
    for symbol in ("A", "B"):
        state = lane.engine.book_state(0, symbol)
        if state is not None:
            other.engine.put_book_state(0, symbol, state)
            other.engine.put_book_state(0, symbol, state)
        assert other.engine.book_state(0, symbol) == state
