"""Bybit's archives of order books: a JSON message on each line, snapshots and what changed since.

Update ids follow each other without a gap. There is no receive time: messages are known in the
order of the file, when the exchange sent them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace_solutions.trading_signal.capture_lines import CaptureLines
from headrace_solutions.trading_signal.feed import Feed, LevelMessages
from headrace_solutions.trading_signal.message_fields import (
    Milliseconds,
    Symbol,
    Whole,
    one_line,
    pairs,
)
from headrace_solutions.trading_signal.quarantine import BadLine, Quarantine, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MILLISECOND = 1_000_000


class _Levels(msgspec.Struct):
    symbol: Symbol = msgspec.field(name="s")
    bids: msgspec.Raw = msgspec.field(name="b")
    asks: msgspec.Raw = msgspec.field(name="a")
    update: Whole = msgspec.field(name="u")


class _Message(msgspec.Struct):
    topic: str
    type: str
    at_ms: Milliseconds = msgspec.field(name="ts")
    data: _Levels


_MESSAGE = msgspec.json.Decoder(_Message)


def read_archive(path: Path, *, lines: Iterable[bytes] | None = None) -> Feed:
    """An archive as frames of changes and depth.

    Args:
        path: Of the archive: a .zip of one file, compressed otherwise, or plain.
        lines: Lines to read in place of the file's.

    Raises:
        DataError: If nothing of the file can be read.

    >>> from pathlib import Path
    >>> line = (b'{"topic":"orderbook.500.X","type":"snapshot","ts":5,'
    ...         b'"data":{"s":"X","b":[["1.5","2"]],"a":[],"u":7}}')
    >>> feed = read_archive(Path("x"), lines=[line, b"{}"])
    >>> feed.frames["changes"]["price"].to_pylist(), feed.quarantined["reason"].to_pylist()
    (['1.5'], ['missing'])
    """
    levels, quarantine = LevelMessages(), Quarantine(path.name)
    given = CaptureLines(path if lines is None else lines, quarantine)
    known = 0
    for number, line in given:
        with one_line(quarantine, number, line):
            told = _MESSAGE.decode(line)
            if told.type not in ("snapshot", "delta") or not told.topic.startswith("orderbook."):
                raise BadLine(
                    Reason.UNKNOWN_MESSAGE,
                    f"{told.type[:40]!r} of {told.topic[:40]!r} is no snapshot or delta of a book",
                )
            sides = pairs(bytes(told.data.bids)), pairs(bytes(told.data.asks))
            at = told.at_ms * _MILLISECOND
            # messages of one millisecond keep their order by a nanosecond each
            known = max(known + 1, at)
            update = (told.data.update,) * 2
            snapshot = told.type == "snapshot"
            levels.add((at, known), told.data.symbol, update, sides, snapshot=snapshot)
    frames = {"changes": levels.changes(), "depth": levels.depth()}
    return Feed(frames, quarantine.table(), given.count)
