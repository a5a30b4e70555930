"""Captures of Binance's websockets: lines of receive time in nanoseconds, a space, the message.

What is read: differences of depth (spot `U`, `u`; futures also `pu`), snapshots of the book, the
best bid and ask (`bookTicker`), and trades. Levels are never Python objects: the messages' own
bytes become columns.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from headrace_solutions.trading_signal.feed import (
    TIME,
    Feed,
    LevelMessages,
    Refused,
    columns_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_MILLISECOND = 1_000_000
_QUOTE = {
    "quote_id": pa.string(),
    "at": TIME,
    "received": TIME,
    "symbol": pa.string(),
    "update": pa.int64(),
    **dict.fromkeys(("bid_price", "bid_size", "ask_price", "ask_size"), pa.string()),
}
_TRADE = {
    "trade_id": pa.string(),
    "at": TIME,
    "received": TIME,
    "symbol": pa.string(),
    "price": pa.string(),
    "size": pa.string(),
    "buyer_took": pa.bool_(),
    "hidden": pa.bool_(),
}


class _Envelope(msgspec.Struct):
    """A message of a combined stream; or a snapshot, which comes without a stream."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    last_update: int = msgspec.field(name="lastUpdateId", default=0)
    event_ms: int = msgspec.field(name="E", default=0)
    symbol: str = ""
    bids: msgspec.Raw = msgspec.Raw()
    asks: msgspec.Raw = msgspec.Raw()


class _Depth(msgspec.Struct):
    event_ms: int = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    first: int = msgspec.field(name="U")
    last: int = msgspec.field(name="u")
    bids: msgspec.Raw = msgspec.field(name="b")
    asks: msgspec.Raw = msgspec.field(name="a")
    previous: int | None = msgspec.field(name="pu", default=None)


class _Ticker(msgspec.Struct):
    update: int = msgspec.field(name="u")
    symbol: str = msgspec.field(name="s")
    bid: str = msgspec.field(name="b")
    bid_size: str = msgspec.field(name="B")
    ask: str = msgspec.field(name="a")
    ask_size: str = msgspec.field(name="A")
    event_ms: int | None = msgspec.field(name="E", default=None)


class _Trade(msgspec.Struct):
    event_ms: int = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    number: int = msgspec.field(name="t")
    price: str = msgspec.field(name="p")
    size: str = msgspec.field(name="q")
    buyer_made: bool = msgspec.field(name="m")


class _Reading:
    """One capture while it is read."""

    def __init__(self, venue: str) -> None:
        self.levels = LevelMessages()
        self.quotes: list[tuple[object, ...]] = []
        self.trades: list[tuple[object, ...]] = []
        self.refused = Refused()
        self.lines = 0
        self._venue = venue
        self._symbol = ""
        self._at = self._received = 0
        self._envelope = msgspec.json.Decoder(_Envelope)
        self._decoders: dict[str, Any] = {
            name: msgspec.json.Decoder(kind)
            for name, kind in (("depth", _Depth), ("bookTicker", _Ticker), ("trade", _Trade))
        }

    def take(self, line: bytes) -> None:
        """Read one line."""
        self.lines += 1
        received, space, message = line.partition(b" ")
        if not space or not received.isdigit():
            self.refused.add(self.lines, "no receive time in nanoseconds before the message", line)
            return
        try:
            # a clock that was set back does not change the order in which lines were received
            self._received = max(self._received, int(received))
            envelope = self._envelope.decode(message)
            if envelope.stream:
                self._streamed(envelope)
            else:
                self._snapshot(envelope)
        except (msgspec.MsgspecError, ValueError) as error:
            self.refused.add(self.lines, str(error), line)

    def _streamed(self, envelope: _Envelope) -> None:
        kind = envelope.stream.partition("@")[2].partition("@")[0]
        if kind not in self._decoders:
            raise ValueError(f"stream {envelope.stream!r} is none of depth, bookTicker, trade")
        data = self._decoders[kind].decode(envelope.data)
        at, name = self._time(data.event_ms), self._named(data.symbol)
        if kind == "depth":
            first = data.first if data.previous is None else data.previous + 1
            levels = _words(data.bids), _words(data.asks)
            self.levels.add((at, self._received), name, (first, data.last), levels)
        elif kind == "bookTicker":
            told = (data.bid, data.bid_size, data.ask, data.ask_size)
            identity = f"{name}/{data.update}"
            self.quotes.append((identity, at, self._received, name, data.update, *told))
        else:
            identity = f"{name}/{data.number}"
            traded = (data.price, data.size, not data.buyer_made, False)
            self.trades.append((identity, at, self._received, name, *traded))

    def _snapshot(self, found: _Envelope) -> None:
        if not found.last_update:
            raise ValueError("neither a message of a stream nor a snapshot with lastUpdateId")
        name = self._named(found.symbol) if found.symbol else self._symbol
        if not name:
            raise ValueError("a snapshot without symbol before any message that has one")
        at, last = self._time(found.event_ms or None), found.last_update
        levels = _words(found.bids), _words(found.asks)
        self.levels.add((at, self._received), name, (last, last), levels, snapshot=True)

    def _time(self, event_ms: int | None) -> int:
        """Event time; of a message that says none that of the one before it."""
        if event_ms is not None:
            self._at = event_ms * _MILLISECOND
        return self._at or self._received

    def _named(self, symbol: str) -> str:
        self._symbol = f"{self._venue}:{symbol}" if self._venue else symbol
        return self._symbol

    def feed(self) -> Feed:
        """All that was read."""
        frames = {
            "changes": self.levels.changes(self._venue),
            "depth": self.levels.depth(self._venue),
            "quotes": columns_of(self.quotes, _QUOTE),
            "trades": columns_of(self.trades, _TRADE),
        }
        return Feed(frames, self.refused.table(), self.lines)


def _words(levels: msgspec.Raw) -> bytes:
    """`[["1.5","20"],...]` as `1.5,20,...`."""
    words = bytes(levels).translate(None, b'[]" ')
    if words and words.count(b",") % 2 == 0:
        raise ValueError("levels that are not pairs of price and size")
    return words


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a capture, compressed or not."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\r\n")


def read_capture(path: Path, *, venue: str = "", lines: Iterable[bytes] | None = None) -> Feed:
    """A capture as frames of changes, depth, quotes and trades.

    Args:
        path: Of the capture, compressed by gzip or not.
        venue: Set before symbols, so that one symbol of two venues is two books.
        lines: Lines to read in place of the file's.

    >>> from pathlib import Path
    >>> line = (b'17 {"stream":"x@bookTicker","data":{"u":5,"s":"X","b":"1.5","B":"2",'
    ...         b'"a":"1.6","A":"3"}}')
    >>> feed = read_capture(Path("x"), lines=[line, b"no"])
    >>> feed.frames["quotes"]["bid_price"].to_pylist(), feed.refused["line"].to_pylist()
    (['1.5'], [2])
    """
    reading = _Reading(venue)
    for line in lines_of(path) if lines is None else lines:
        reading.take(line)
    return reading.feed()
