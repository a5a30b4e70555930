"""Captures of Binance's websockets: lines of receive time in nanoseconds, a space, the message.

What is read: differences of depth (spot `U`, `u`; futures also `pu`), snapshots of the book, the
best bid and ask (`bookTicker`), and trades. Levels are never Python objects: the messages' own
bytes become columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headrace_solutions.trading_signal.capture_lines import CaptureLines
from headrace_solutions.trading_signal.feed import QUOTE, TRADE, Feed, LevelMessages, columns_of
from headrace_solutions.trading_signal.message_fields import (
    Milliseconds,
    Symbol,
    Text,
    Whole,
    one_line,
    pairs,
    time_of,
)
from headrace_solutions.trading_signal.quarantine import BadLine, Quarantine, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pyarrow as pa

_MILLISECOND = 1_000_000
#: A message that was received so long after it was sent has a wrong time: taken at its word, it
#: would put everything after it there too.
_LONGEST_UNDERWAY_NS = 24 * 3600 * 10**9


class _Envelope(msgspec.Struct):
    """A message of a combined stream; or a snapshot, which comes without a stream."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    last_update: Whole = msgspec.field(name="lastUpdateId", default=0)
    event_ms: Milliseconds = msgspec.field(name="E", default=0)
    symbol: Symbol | None = None
    bids: msgspec.Raw = msgspec.Raw()
    asks: msgspec.Raw = msgspec.Raw()


class _Depth(msgspec.Struct):
    event_ms: Milliseconds = msgspec.field(name="E")
    symbol: Symbol = msgspec.field(name="s")
    first: Whole = msgspec.field(name="U")
    last: Whole = msgspec.field(name="u")
    bids: msgspec.Raw = msgspec.field(name="b")
    asks: msgspec.Raw = msgspec.field(name="a")
    previous: Whole | None = msgspec.field(name="pu", default=None)


class _Ticker(msgspec.Struct):
    update: Whole = msgspec.field(name="u")
    symbol: Symbol = msgspec.field(name="s")
    bid: Text = msgspec.field(name="b")
    bid_size: Text = msgspec.field(name="B")
    ask: Text = msgspec.field(name="a")
    ask_size: Text = msgspec.field(name="A")
    event_ms: Milliseconds | None = msgspec.field(name="E", default=None)


class _Trade(msgspec.Struct):
    event_ms: Milliseconds = msgspec.field(name="E")
    symbol: Symbol = msgspec.field(name="s")
    number: Whole = msgspec.field(name="t")
    price: Text = msgspec.field(name="p")
    size: Text = msgspec.field(name="q")
    buyer_made: bool = msgspec.field(name="m")


class _Reading:
    """One capture while it is read."""

    def __init__(self, venue: str) -> None:
        self._levels = LevelMessages()
        self._quotes: list[tuple[object, ...]] = []
        self._trades: list[tuple[object, ...]] = []
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
        digits, _, message = line.partition(b" ")
        received = time_of(digits, 1, "nanoseconds")
        envelope = self._envelope.decode(message)
        if envelope.stream:
            self._streamed(envelope, received)
        else:
            self._snapshot(envelope, received)

    def _streamed(self, envelope: _Envelope, received: int) -> None:
        kind = envelope.stream.partition("@")[2].partition("@")[0]
        if kind not in self._decoders:
            raise BadLine(
                Reason.UNKNOWN_MESSAGE,
                f"stream {envelope.stream[:80]!r} is none of depth, bookTicker, trade",
            )
        data = self._decoders[kind].decode(envelope.data)
        levels = (
            (pairs(bytes(data.bids)), pairs(bytes(data.asks))) if kind == "depth" else (b"", b"")
        )
        at, known = self._times(data.event_ms, received)
        name = self._named(data.symbol)
        if kind == "depth":
            first = data.first if data.previous is None else data.previous + 1
            self._levels.add((at, known), name, (first, data.last), levels)
        elif kind == "bookTicker":
            told = (data.bid, data.bid_size, data.ask, data.ask_size)
            identity = f"{name}/{data.update}"
            self._quotes.append((identity, at, known, name, data.update, *told))
        else:
            identity = f"{name}/{data.number}"
            traded = (data.price, data.size, not data.buyer_made, False)
            self._trades.append((identity, at, known, name, *traded))

    def _snapshot(self, found: _Envelope, received: int) -> None:
        if not found.last_update:
            raise BadLine(
                Reason.UNKNOWN_MESSAGE,
                "neither a message of a stream nor a snapshot with lastUpdateId",
            )
        if not (found.symbol or self._symbol):
            raise BadLine(
                Reason.MISSING, "a snapshot without symbol before any message that has one"
            )
        levels = pairs(bytes(found.bids)), pairs(bytes(found.asks))
        times = self._times(found.event_ms or None, received)
        name = self._named(found.symbol) if found.symbol else self._symbol
        self._levels.add(times, name, (found.last_update,) * 2, levels, snapshot=True)

    def _times(self, event_ms: int | None, received: int) -> tuple[int, int]:
        """Event time (of a message that says none that of the one before it) and known order."""
        at = self._at if event_ms is None else event_ms * _MILLISECOND
        if at and received - at > _LONGEST_UNDERWAY_NS:
            raise BadLine(
                Reason.BAD_TIME, "received more than a day after what it says, or was said before"
            )
        self._at = at
        # a clock that was set back does not change the order in which lines were received
        self._received = max(self._received, received)
        return at or self._received, self._received

    def _named(self, symbol: str) -> str:
        self._symbol = f"{self._venue}:{symbol}" if self._venue else symbol
        return self._symbol

    def frames(self) -> dict[str, pa.Table]:
        """All that was read."""
        return {
            "changes": self._levels.changes(self._venue),
            "depth": self._levels.depth(self._venue),
            "quotes": columns_of(self._quotes, QUOTE),
            "trades": columns_of(self._trades, TRADE),
        }


def read_capture(path: Path, *, venue: str = "", lines: Iterable[bytes] | None = None) -> Feed:
    """A capture as frames of changes, depth, quotes and trades.

    Args:
        path: Of the capture, compressed or not (see `capture_lines.opened`).
        venue: Set before symbols, so that one symbol of two venues is two books.
        lines: Lines to read in place of the file's.

    Raises:
        DataError: If nothing of the file can be read.

    >>> from pathlib import Path
    >>> line = (b'17 {"stream":"x@bookTicker","data":{"u":5,"s":"X","b":"1.5","B":"2",'
    ...         b'"a":"1.6","A":"3"}}')
    >>> feed = read_capture(Path("x"), lines=[line, b"no"])
    >>> feed.frames["quotes"]["bid_price"].to_pylist(), feed.quarantined["line"].to_pylist()
    (['1.5'], [2])
    """
    reading, quarantine = _Reading(venue), Quarantine(path.name)
    given = CaptureLines(path if lines is None else lines, quarantine)
    for number, line in given:
        with one_line(quarantine, number, line):
            reading.take(line)
    return Feed(reading.frames(), quarantine.table(), given.count)
