"""A feed in the making: what was read, gathered into columns, chunk by chunk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: What times of frames are.
TIME = pa.timestamp("ns", tz="UTC")
#: Columns of quotes and trades whose numbers are texts.
QUOTE = {
    "quote_id": pa.string(),
    "at": TIME,
    "received": TIME,
    "symbol": pa.string(),
    "update": pa.int64(),
    **dict.fromkeys(("bid_price", "bid_size", "ask_price", "ask_size"), pa.string()),
}
TRADE = {
    "trade_id": pa.string(),
    "at": TIME,
    "received": TIME,
    "symbol": pa.string(),
    "price": pa.string(),
    "size": pa.string(),
    "buyer_took": pa.bool_(),
    "hidden": pa.bool_(),
}


@dataclass(frozen=True, slots=True)
class Feed:
    """Streams of a market as frames, in the order in which they were received.

    Attributes:
        frames: A table for each stream that there is something of, by its name in `market`.
        quarantined: What was not accepted, as `Quarantine.table` gives it.
        lines: How many lines there were: the accepted ones and those in quarantine.
    """

    frames: Mapping[str, pa.Table]
    quarantined: pa.Table
    lines: int

    @property
    def accepted(self) -> int:
        """How many lines were accepted."""
        return self.lines - int(self.quarantined.num_rows)

    def __str__(self) -> str:
        told = f"{self.lines:,} lines: {self.accepted:,} accepted"
        counts = Counter(self.quarantined["reason"].to_pylist()).most_common()
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts)
        if not reasons:
            return f"{told}, none in quarantine"
        return f"{told}, {self.quarantined.num_rows:,} in quarantine ({reasons})"


@dataclass
class LevelMessages:
    """Messages about levels: numbers of a message by themselves, its levels as they were written.

    Levels stay bytes, `price,size,price,size,...`, until all are made into columns at once.
    """

    at: list[int] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    symbol: list[str] = field(default_factory=list)
    first: list[int | None] = field(default_factory=list)
    last: list[int | None] = field(default_factory=list)
    snapshot: list[bool] = field(default_factory=list)
    bids: list[int] = field(default_factory=list)
    asks: list[int] = field(default_factory=list)
    levels: list[bytes] = field(default_factory=list)

    def add(
        self,
        times: tuple[int, int],
        symbol: str,
        updates: tuple[int | None, int | None],
        levels: tuple[bytes, bytes],
        *,
        snapshot: bool = False,
    ) -> None:
        """Take a message.

        Args:
            times: When it happened, when it was received.
            symbol: Of the book.
            updates: First and last update id.
            levels: Bids and asks, as in `price,size,price,size`.
            snapshot: Whether it replaces the book.
        """
        self.at.append(times[0])
        self.received.append(times[1])
        self.symbol.append(symbol)
        self.first.append(updates[0])
        self.last.append(updates[1])
        self.snapshot.append(snapshot)
        for counts, side in ((self.bids, levels[0]), (self.asks, levels[1])):
            counts.append((side.count(b",") + 1) // 2 if side else 0)
            if side:
                self.levels.append(side)

    def changes(self, prefix: str = "") -> pa.Table:
        """A row for each level, and one without a price for a message that has none.

        Args:
            prefix: Of ids, where several feeds go into one stream.
        """
        bids, asks = np.array(self.bids, dtype=np.int64), np.array(self.asks, dtype=np.int64)
        counts = bids + asks
        rows = np.maximum(counts, 1)
        message = np.repeat(np.arange(len(rows)), rows)
        place = np.arange(len(message)) - np.repeat(np.cumsum(rows) - rows, rows)
        told = counts[message] > 0
        words = split_words(b",".join(self.levels))
        # the nth level that is told of, for each row
        level = np.cumsum(told) - 1
        price = words.take(pa.array(np.where(told, 2 * level, 0), mask=~told))
        size = pc.fill_null(words.take(pa.array(np.where(told, 2 * level + 1, 0), mask=~told)), "0")
        times = [pa.array(np.array(t, dtype=np.int64)) for t in (self.at, self.received)]
        last = pa.array(self.last, pa.int64())
        names = pc.binary_join_element_wise(pa.scalar(prefix), _names(message, place), "/")
        return pa.table(
            {
                "change_id": names,
                "at": times[0].take(pa.array(message)).cast(TIME),
                "received": times[1].take(pa.array(message)).cast(TIME),
                "symbol": pa.array(self.symbol).dictionary_encode().take(pa.array(message)),
                "bid": pa.array(place < bids[message]),
                "price": price,
                "size": size,
                "first_update": pa.array(self.first, pa.int64()).take(pa.array(message)),
                "last_update": last.take(pa.array(message)),
                "place": pa.array(place),
                "is_snapshot": pa.array(np.array(self.snapshot, dtype=bool)[message]),
                "is_last": pa.array(place == rows[message] - 1),
            }
        )

    def depth(self, prefix: str = "") -> pa.Table:
        """A row for each message, at whose end a book is looked at."""
        places = pa.array(np.arange(len(self.at)))
        return pa.table(
            {
                "depth_id": pc.binary_join_element_wise(
                    pa.scalar(prefix), pc.cast(places, pa.string()), "/"
                ),
                "at": pa.array(self.at, pa.int64()).cast(TIME),
                "received": pa.array(self.received, pa.int64()).cast(TIME),
                "symbol": pa.array(self.symbol, pa.string()),
                "last_update": pa.array(self.last, pa.int64()),
            }
        )


def split_words(joined: bytes) -> pa.Array:
    """The words between commas as a column, by their places alone.

    >>> split_words(b"1.5,20,3").to_pylist()
    ['1.5', '20', '3']
    """
    if not joined:
        return pa.array([""], pa.string())
    data = np.frombuffer(joined, dtype=np.uint8)
    comma = data == ord(",")
    ends = np.append(np.flatnonzero(comma), len(data))
    offsets = np.zeros(len(ends) + 1, dtype=np.int32)
    # each comma before a word shifts it to the left by one
    offsets[1:] = ends - np.arange(len(ends))
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data[~comma])]
    return pa.StringArray.from_buffers(len(ends), *buffers[1:], buffers[0])


def frames_of_levels(
    times: tuple[NDArray[np.int64], NDArray[np.int64]],
    symbol: pa.Array,
    levels: tuple[pa.Array, pa.Array, pa.Array],
    snapshot: NDArray[np.bool_],
    updates: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
    message: NDArray[np.int64] | None = None,
) -> dict[str, pa.Table]:
    """Rows that are a level each, as changes and the ends of their messages.

    Rows that follow each other and are alike in all but the level are one message. Messages that
    were received in one moment keep their order by a nanosecond each.

    Args:
        times: When each happened and was received, in nanoseconds.
        symbol: Of each.
        levels: Whether each is a bid, its price, its size.
        snapshot: Whether it is a part of a snapshot.
        updates: First and last update id of its message, where there are such.
        message: What tells messages apart beside that.
    """
    count = len(snapshot)
    codes = symbol.dictionary_encode().indices.to_numpy()
    alike = [*times, snapshot, codes, *(updates or ()), *(() if message is None else (message,))]
    begins = np.ones(count, dtype=bool)
    begins[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in alike])
    number = np.cumsum(begins) - 1
    first = np.flatnonzero(begins)
    place = np.arange(count) - first[number] if count else np.zeros(0, dtype=np.int64)
    last = np.zeros(count, dtype=bool)
    last[np.append(first[1:], count) - 1 if count else first] = True
    known = in_order(times[1][first])
    made = {
        "at": pa.array(times[0]).cast(TIME),
        "received": pa.array(known[number]).cast(TIME),
        "symbol": symbol,
    }
    nothing = pa.nulls(count, pa.int64())
    ids = (nothing, nothing) if updates is None else tuple(pa.array(each) for each in updates)
    changes = {
        "change_id": _names(number, place),
        **made,
        **dict(zip(("bid", "price", "size"), levels, strict=True)),
        "first_update": ids[0],
        "last_update": ids[1],
        "place": pa.array(place),
        "is_snapshot": pa.array(snapshot),
        "is_last": pa.array(last),
    }
    depth = {
        "depth_id": pc.cast(pa.array(np.arange(len(first))), pa.string()),
        **{name: column.take(pa.array(first)) for name, column in made.items()},
        "last_update": ids[1].take(pa.array(first)),
    }
    return {"changes": pa.table(changes), "depth": pa.table(depth)}


def columns_of(rows: Sequence[tuple[object, ...]], names: Mapping[str, pa.DataType]) -> pa.Table:
    """Rows of quotes or trades as a table; times are whole nanoseconds."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    made = {}
    for (name, kind), column in zip(names.items(), columns, strict=True):
        whole = pa.array(column, pa.int64() if kind == TIME else kind)
        made[name] = whole.cast(kind)
    return pa.table(made)


def exact(
    units: NDArray[np.integer], scale: int, *, there: NDArray[np.bool_] | None = None
) -> pa.Array:
    """Whole numbers of the least unit as a column of decimals, without a pass through text.

    Args:
        units: The numbers.
        scale: Digits after the point.
        there: Where there is a value; everywhere by default.

    >>> exact(np.array([15, -3]), 1).to_pylist()
    [Decimal('1.5'), Decimal('-0.3')]
    """
    words = np.empty((len(units), 2), dtype=np.int64)
    words[:, 0] = units
    words[:, 1] = words[:, 0] >> 63
    kind = pa.decimal128(19, scale)
    made = pa.Array.from_buffers(kind, len(words), [None, pa.py_buffer(words)])
    return made if there is None else pc.if_else(pa.array(there), made, pa.scalar(None, kind))


def exact_units(decimals: pa.ChunkedArray, scale: int) -> NDArray[np.int64]:
    """Decimals, or their texts, as whole numbers of the least unit.

    Args:
        decimals: The numbers; none is missing.
        scale: Digits after the point that are kept; a number with more is an error of Arrow's.

    >>> exact_units(pa.chunked_array([["1.5", "-0.25"]]), 2).tolist()
    [150, -25]
    """
    held = decimals.cast(pa.decimal128(38, scale)).combine_chunks()
    whole = held.chunk(0) if isinstance(held, pa.ChunkedArray) else held
    words = np.frombuffer(whole.buffers()[1], dtype=np.int64).reshape(-1, 2)
    return words[whole.offset : whole.offset + len(whole), 0].copy()


@dataclass(frozen=True, slots=True)
class Tops:
    """Best bids and asks as a feed gives them, in units of the least: 0 of a size is no level.

    Attributes:
        at: Event times in nanoseconds.
        received: When each was known, ascending.
        symbol: Of each.
        bid: Price and size.
        ask: Price and size.
        price_scale: Digits of prices after the point.
        size_scale: Digits of sizes.
    """

    at: NDArray[np.int64]
    received: NDArray[np.int64]
    symbol: pa.Array
    bid: tuple[NDArray[np.integer], NDArray[np.integer]]
    ask: tuple[NDArray[np.integer], NDArray[np.integer]]
    price_scale: int
    size_scale: int = 0

    def changes(self) -> pa.Table:
        """Each as a snapshot of two levels, which is the whole book."""
        count = len(self.at)
        message, place = np.repeat(np.arange(count), 2), np.tile([0, 1], count)
        price = np.stack([self.bid[0], self.ask[0]], axis=1).ravel()
        size = np.stack([self.bid[1], self.ask[1]], axis=1).ravel()
        rows = pa.array(message)
        nothing = pa.nulls(2 * count, pa.int64())
        return pa.table(
            {
                "change_id": _names(message, place),
                "at": pa.array(self.at).take(rows).cast(TIME),
                "received": pa.array(self.received).take(rows).cast(TIME),
                "symbol": self.symbol.take(rows),
                "bid": pa.array(place == 0),
                "price": exact(price, self.price_scale, there=size > 0),
                "size": exact(size, self.size_scale),
                "first_update": nothing,
                "last_update": nothing,
                "place": pa.array(place),
                "is_snapshot": pa.array(np.ones(2 * count, dtype=bool)),
                "is_last": pa.array(place == 1),
            }
        )

    def depth(self) -> pa.Table:
        """The end of each."""
        return pa.table(
            {
                "depth_id": pc.cast(pa.array(np.arange(len(self.at))), pa.string()),
                "at": pa.array(self.at).cast(TIME),
                "received": pa.array(self.received).cast(TIME),
                "symbol": self.symbol,
                "last_update": pa.nulls(len(self.at), pa.int64()),
            }
        )


def _names(*parts: NDArray[np.integer]) -> pa.Array:
    """Ids of numbers, as in `7/1`."""
    return pc.binary_join_element_wise(*(pc.cast(pa.array(p), pa.string()) for p in parts), "/")


def in_order(at: NDArray[np.int64], step: int = 1) -> NDArray[np.int64]:
    """Times at which events of one feed are known: never before they are, each after the last.

    >>> in_order(np.array([5, 5, 5, 9]), 2).tolist()
    [5, 7, 9, 11]
    """
    steps = step * np.arange(len(at), dtype=np.int64)
    return np.maximum.accumulate(at - steps) + steps
