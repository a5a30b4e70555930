"""A market as a venue sees it: its best levels after each message, and its trades, in known order.

Prices and sizes are whole numbers of 10⁻⁸, exact as in the books.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

import headrace as hr
from headrace_solutions.trading_signal import market

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    Int64s: TypeAlias = NDArray[np.int64]

#: Digits after the point.
SCALE = 8
UNIT = 100_000_000
#: Levels of a side that a venue is told of.
LEVELS = 10
#: Above this a feature, which is a float, no longer tells one unit from the next.
_EXACT = 2**52
_SIDES = ("bid", "ask")


class Book(NamedTuple):
    """The best levels of a symbol after a message.

    Attributes:
        received: When it was known, in nanoseconds.
        at: When it was so.
        symbol: Of which.
        bids: Price and size, the best first; empty where the book cannot be read.
        asks: Likewise.
    """

    received: int
    at: int
    symbol: str
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


class Trade(NamedTuple):
    """An execution that is no order of ours.

    Attributes:
        received: When it was known, in nanoseconds.
        at: When it was.
        symbol: Of which.
        price: At which.
        size: Of it.
        buyer_took: Whether a buyer took what was offered; None where the feed does not say.
    """

    received: int
    at: int
    symbol: str
    price: int
    size: int
    buyer_took: bool | None


def units(value: Decimal | int | str) -> int:
    """A price or quantity in whole units.

    Raises:
        DataError: When it has more digits than a unit holds.

    >>> units("1.5")
    150000000
    """
    scaled = Decimal(value) * UNIT
    if scaled != int(scaled):
        raise hr.DataError(f"{value} has more than {SCALE} digits after the point: round it first")
    return int(scaled)


@dataclass(frozen=True, slots=True)
class Tape:
    """Books and trades in known order; at one moment trades come before books.

    Attributes:
        books: Every book.
        trades: Every trade that was visible.
    """

    books: tuple[Book, ...]
    trades: tuple[Trade, ...]

    def events(self) -> Iterator[Book | Trade]:
        """All of both."""
        trades, place = self.trades, 0
        for book in self.books:
            while place < len(trades) and trades[place].received <= book.received:
                yield trades[place]
                place += 1
            yield book
        yield from trades[place:]


def tape_of(frames: Mapping[str, Any], *, book: Any = market.book, levels: int = LEVELS) -> Tape:
    """The tape of a feed's frames, its books as the platform itself keeps them.

    A book that cannot be read (a gap, crossed, stale) has no levels. Hidden executions are left
    out: they took nothing that was shown.

    Args:
        frames: Of the streams `changes`, `depth` and `trades`, the last if there is one.
        book: As it is declared over `market.changes`.
        levels: Of a side.

    Raises:
        DataError: When a price or a size is too large to be told exactly.
    """
    view = book.at(market.depth)
    names = [(side, level) for side in _SIDES for level in range(1, levels + 1)]
    features = {
        f"{side}_{what}_{level}": getattr(view, what)(side, level)
        for side, level in names
        for what in ("price", "size")
    }
    case = hr.UseCase(name="tape", on=market.depth, features=hr.features(**features))
    found = hr.compute(case, {name: frames[name] for name in ("changes", "depth")})
    known = np.array(found["status"].to_pylist()) == "accepted"
    depth = _table(frames["depth"])
    received, at = (_nanoseconds(depth[name]) for name in ("received", "at"))
    symbols = depth["symbol"].to_pylist()
    sides = [_levels(found, side, levels) for side in _SIDES]
    books = (
        Book(
            int(received[row]),
            int(at[row]),
            symbols[row],
            *(tuple(level for level in side[row] if level[1] > 0) for side in sides),
        )
        for row in np.flatnonzero(known).tolist()
    )
    trades = _trades(frames["trades"]) if frames.get("trades") is not None else ()
    return Tape(
        tuple(sorted(books, key=lambda each: each.received)),
        tuple(sorted(trades, key=lambda each: each.received)),
    )


def _levels(found: pa.Table, side: str, levels: int) -> list[list[tuple[int, int]]]:
    """Price and size of each level of each row; size 0 is no level."""
    columns = []
    for level in range(1, levels + 1):
        price, size = (
            _whole(found[f"{side}_{what}_{level}"].to_numpy(zero_copy_only=False))
            for what in ("price", "size")
        )
        columns.append(list(zip(price.tolist(), size.tolist(), strict=True)))
    return [list(row) for row in zip(*columns, strict=True)]


def _whole(values: NDArray[np.float64]) -> Int64s:
    """Features as units; 0 where missing."""
    scaled = np.nan_to_num(values.astype(np.float64)) * UNIT
    if len(scaled) and np.abs(scaled).max() >= _EXACT:
        raise hr.DataError(
            f"a price or size of {np.abs(scaled).max() / UNIT:,.0f}: a tape holds less than"
            f" {_EXACT // UNIT:,}; give prices in a larger unit"
        )
    whole: Int64s = np.rint(scaled).astype(np.int64)
    return whole


def _trades(frame: Any) -> list[Trade]:
    table = _table(frame)
    received, at = (_nanoseconds(table[name]).tolist() for name in ("received", "at"))
    price, size = (
        [units(Decimal(str(value))) for value in table[name].to_pylist()]
        for name in ("price", "size")
    )
    symbol, took = table["symbol"].to_pylist(), table["buyer_took"].to_pylist()
    hidden = table["hidden"].to_pylist()
    return [
        Trade(*values[:-1])
        for values in zip(received, at, symbol, price, size, took, hidden, strict=True)
        if not values[-1]
    ]


def _table(frame: Any) -> pa.Table:
    return frame if isinstance(frame, pa.Table) else pa.table(frame)


def _nanoseconds(column: pa.ChunkedArray) -> Int64s:
    """Times as nanoseconds since 1970."""
    found: Int64s = column.cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_numpy()
    return found
