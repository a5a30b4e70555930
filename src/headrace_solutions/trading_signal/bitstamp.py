"""Bitstamp's order feed: lines of receive time in milliseconds, what happened, the message.

    1430438404518 order_created {"price": "236.47", "amount": "2.0", "id": 65595247, ...}

Orders are created, changed and deleted one by one; between them come the 20 best levels of each
side. Deletes can be missing, and a snapshot of levels may have been taken a moment before orders
that were received earlier. The feed tells when an order was made, not when it was changed: the
receive time stands in for the event time.
"""

from __future__ import annotations

import lzma
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

import headrace as hr
from headrace_solutions.trading_signal.feed import TIME, Feed, Refused, columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SNAPSHOT_LEVELS = 20
_MILLISECOND = 1_000_000


class OrderChange(hr.Event):
    """An order has come, changed or gone; or a level of a snapshot, which is of no one order."""

    change_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    symbol: hr.Key
    order: hr.Int | None
    bid: hr.Bool
    price: hr.Decimal | None = hr.field(scale=8)
    size: hr.Decimal = hr.field(scale=8, minimum=0)
    removes: hr.Bool
    place: hr.Int
    is_snapshot: hr.Bool
    is_last: hr.Bool


class Moment(hr.Event):
    """A snapshot is about to be known, or was taken: when a book is compared with it."""

    moment_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    symbol: hr.Key


orders = hr.stream(OrderChange, name="orders", dedupe="1m")
moments = hr.stream(Moment, name="moments", dedupe="1m")

order_book = orders.book(
    order="order",
    removes="removes",
    place="place",
    snapshot="is_snapshot",
    ends="is_last",
    levels=5_000,
    orders=20_000,
    snapshot_levels=SNAPSHOT_LEVELS,
)

_COLUMNS = {
    "change_id": pa.string(),
    "at": TIME,
    "received": TIME,
    "symbol": pa.string(),
    "order": pa.int64(),
    "bid": pa.bool_(),
    "price": pa.string(),
    "size": pa.string(),
    "removes": pa.bool_(),
    "place": pa.int64(),
    "is_snapshot": pa.bool_(),
    "is_last": pa.bool_(),
}


class _Order(msgspec.Struct):
    price: str
    amount: str
    datetime: str
    id: int
    order_type: int


class _Levels(msgspec.Struct):
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class _Traded(msgspec.Struct):
    price: float
    amount: float
    id: int


_ORDER, _LEVELS = msgspec.json.Decoder(_Order), msgspec.json.Decoder(_Levels)
_TRADED = msgspec.json.Decoder(_Traded)
_EVENTS = {b"order_created", b"order_changed", b"order_deleted"}


class _Reading:
    """A log while it is read."""

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._rows: list[tuple[object, ...]] = []
        self._moments: list[tuple[object, ...]] = []
        self._refused = Refused()
        self._lines = 0
        self._received = 0

    def take(self, line: bytes) -> None:
        """Read one line."""
        self._lines += 1
        received, _, rest = line.partition(b" ")
        kind, _, message = rest.partition(b" ")
        if not received.isdigit():
            self._refused.add(self._lines, "no receive time in milliseconds at its beginning", line)
            return
        # lines of one millisecond keep their order by a nanosecond each
        self._received = max(self._received + 1, int(received) * _MILLISECOND)
        try:
            self._read(kind, message)
        except (msgspec.MsgspecError, ValueError) as error:
            self._refused.add(self._lines, str(error), line)

    def _read(self, kind: bytes, message: bytes) -> None:
        if kind in _EVENTS:
            self._order(kind, _ORDER.decode(message))
        elif kind == b"order_book":
            self._snapshot(_LEVELS.decode(message))
        elif kind == b"trade":
            _TRADED.decode(message)
        else:
            raise ValueError(f"{kind.decode()!r} is none of order_created, ..., order_book, trade")

    def _order(self, kind: bytes, told: _Order) -> None:
        if told.order_type not in (0, 1):
            raise ValueError(f"order_type {told.order_type}: 0 is a bid, 1 an ask")
        times = (self._received, self._received)
        about = (told.id, told.order_type == 0, told.price, told.amount, kind == b"order_deleted")
        identity = str(self._lines)
        self._rows.append((identity, *times, self._symbol, *about, 0, False, True))

    def _snapshot(self, told: _Levels) -> None:
        self._moment("before")
        times = (self._received, self._received)
        levels = [(side == 0, *level) for side in (0, 1) for level in (told.bids, told.asks)[side]]
        for place, (bid, price, size) in enumerate(levels):
            about = (None, bid, price, size, False)
            ends = place == len(levels) - 1
            identity = f"{self._lines}/{place}"
            self._rows.append((identity, *times, self._symbol, *about, place, True, ends))
        self._received += 1
        self._moment("after")

    def _moment(self, when: str) -> None:
        times = (self._received, self._received)
        self._moments.append((f"{when} {self._lines}", *times, self._symbol))
        self._received += 1

    def feed(self) -> Feed:
        """All that was read."""
        names = ("moment_id", "at", "received", "symbol")
        kinds = dict(zip(names, (pa.string(), TIME, TIME, pa.string()), strict=True))
        frames = {
            "orders": columns_of(self._rows, _COLUMNS),
            "moments": columns_of(self._moments, kinds),
        }
        return Feed(frames, self._refused.table(), self._lines)


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a log, compressed or not."""
    with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\r\n")


def read_log(path: Path, *, symbol: str = "BTCUSD", lines: Iterable[bytes] | None = None) -> Feed:
    """A log as frames of orders, with a moment before and after each snapshot.

    Args:
        path: Of the log, compressed by xz or not.
        symbol: Of the one book that it is of.
        lines: Lines to read in place of the file's.

    >>> from pathlib import Path
    >>> line = (b'1430438404518 order_created {"price": "236.47", "amount": "2.0", '
    ...         b'"datetime": "1430438404", "id": 65595247, "order_type": 0}')
    >>> feed = read_log(Path("x"), lines=[line, b"1 shout {}"])
    >>> feed.frames["orders"]["order"].to_pylist(), feed.refused["line"].to_pylist()
    ([65595247], [2])
    """
    reading = _Reading(symbol)
    for line in lines_of(path) if lines is None else lines:
        reading.take(line)
    return reading.feed()
