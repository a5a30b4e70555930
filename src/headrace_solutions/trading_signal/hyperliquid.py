"""Captures of Hyperliquid's websocket: lines of receive time in nanoseconds, a space, the message.

`l2Book` tells the best 20 levels of both sides, each time anew: each is a snapshot. `trades` tells
several trades at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from headrace_solutions.trading_signal.capture_lines import CaptureLines
from headrace_solutions.trading_signal.feed import TRADE, Feed, LevelMessages, columns_of
from headrace_solutions.trading_signal.market import changes
from headrace_solutions.trading_signal.message_fields import (
    Milliseconds,
    Symbol,
    Text,
    Whole,
    one_line,
    time_of,
)
from headrace_solutions.trading_signal.quarantine import BadLine, Quarantine, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MILLISECOND = 1_000_000
_BUY, _SELL = "B", "A"

#: Without update ids, a message that comes again is taken again.
book = changes.book(snapshot="is_snapshot", ends="is_last", place="place", levels=100)


class _Level(msgspec.Struct):
    price: Text = msgspec.field(name="px")
    size: Text = msgspec.field(name="sz")


_Side = Annotated[list[_Level], msgspec.Meta(max_length=10_000)]


class _Book(msgspec.Struct):
    coin: Symbol
    time: Milliseconds
    levels: tuple[_Side, _Side]


class _Trade(msgspec.Struct):
    coin: Symbol
    side: str
    price: Text = msgspec.field(name="px")
    size: Text = msgspec.field(name="sz")
    time: Milliseconds
    number: Whole = msgspec.field(name="tid")


class _Message(msgspec.Struct):
    channel: str
    data: msgspec.Raw


_MESSAGE = msgspec.json.Decoder(_Message)
_BOOK, _TRADES = msgspec.json.Decoder(_Book), msgspec.json.Decoder(list[_Trade])


class _Reading:
    """One capture while it is read."""

    def __init__(self) -> None:
        self.levels = LevelMessages()
        self.trades: list[tuple[object, ...]] = []
        self._received = 0

    def take(self, line: bytes) -> None:
        """Read one line."""
        digits, _, message = line.partition(b" ")
        received = time_of(digits, 1, "nanoseconds")
        told = _MESSAGE.decode(message)
        if told.channel == "l2Book":
            self._book(_BOOK.decode(told.data), received)
        elif told.channel == "trades":
            self._traded(_TRADES.decode(told.data), received)
        else:
            raise BadLine(
                Reason.UNKNOWN_MESSAGE, f"channel {told.channel[:40]!r} is none of l2Book, trades"
            )

    def _book(self, told: _Book, received: int) -> None:
        bids, asks = (
            ",".join(f"{level.price},{level.size}" for level in side).encode()
            for side in told.levels
        )
        times = told.time * _MILLISECOND, self._known(received)
        self.levels.add(times, told.coin, (None, None), (bids, asks), snapshot=True)

    def _traded(self, told: list[_Trade], received: int) -> None:
        odd = [trade.side for trade in told if trade.side not in (_BUY, _SELL)]
        if odd:
            raise BadLine(Reason.WRONG_TYPE, f"side {odd[0][:40]!r}: B is a buyer's, A a seller's")
        known = self._known(received)
        self.trades += [
            (f"{trade.coin}/{trade.number}", trade.time * _MILLISECOND, known, trade.coin,
             trade.price, trade.size, trade.side == _BUY, False)
            for trade in told
        ]  # fmt: skip

    def _known(self, received: int) -> int:
        """A clock that was set back does not change the order in which lines were received."""
        self._received = max(self._received, received)
        return self._received


def read_hyperliquid(path: Path, *, lines: Iterable[bytes] | None = None) -> Feed:
    """A capture as frames of changes, depth and trades.

    Args:
        path: Of the capture, compressed or not (see `capture_lines.opened`).
        lines: Lines to read in place of the file's.

    Raises:
        DataError: If nothing of the file can be read.

    >>> from pathlib import Path
    >>> line = (b'17 {"channel":"l2Book","data":{"coin":"X","time":5,'
    ...         b'"levels":[[{"px":"1.5","sz":"2","n":1}],[]]}}')
    >>> feed = read_hyperliquid(Path("x"), lines=[line, b"17 [1]"])
    >>> feed.frames["changes"]["price"].to_pylist(), feed.quarantined["reason"].to_pylist()
    (['1.5'], ['wrong type'])
    """
    reading, quarantine = _Reading(), Quarantine(path.name)
    given = CaptureLines(path if lines is None else lines, quarantine)
    for number, line in given:
        with one_line(quarantine, number, line):
            reading.take(line)
    frames = {
        "changes": reading.levels.changes(),
        "depth": reading.levels.depth(),
        "trades": columns_of(reading.trades, TRADE),
    }
    return Feed(frames, quarantine.table(), given.count)
