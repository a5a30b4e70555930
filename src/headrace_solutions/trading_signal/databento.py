"""Databento's binary encoding (DBN) of market by order: each order added, changed, executed, gone.

A file is a header and records of 56 bytes, compressed by zstd or not. What a record says:
`A` an order is added, `C` it is reduced or cancelled, `M` it has a new price or size, `R` the book
is empty, `T` a trade took, `F` an order was filled (its `C` or `M` follows). Prices are in units of
10⁻⁹. Flags say which record is the last of an event, and which are of a snapshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace import DataError
from headrace_solutions.trading_signal.capture_lines import opened
from headrace_solutions.trading_signal.feed import TIME, Feed, exact, in_order
from headrace_solutions.trading_signal.order_changes import (
    books_of,
    changes_of,
    numbered,
)
from headrace_solutions.trading_signal.quarantine import Quarantine, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import IO

    from numpy.typing import NDArray

#: A record of market by order, as Databento's DBN describes it.
RECORD = np.dtype(
    [
        ("length", "u1"), ("rtype", "u1"), ("publisher", "<u2"), ("instrument", "<u4"),
        ("ts_event", "<u8"), ("order", "<u8"), ("price", "<i8"), ("size", "<u4"), ("flags", "u1"),
        ("channel", "u1"), ("action", "S1"), ("side", "S1"), ("ts_recv", "<u8"),
        ("ts_in_delta", "<i4"), ("sequence", "<u4"),
    ]
)  # fmt: skip
_MBO, _WORDS = 0xA0, RECORD.itemsize // 4
_LAST, _SNAPSHOT = 128, 32
_NO_PRICE, _LONGEST_HEADER = 2**63 - 1, 1 << 24
#: What a price in units of 10⁻⁹ is in those of 10⁻⁸, and the digits of these.
_UNIT, _SCALE = 10, 8
_MOST, _MOST_SIZE = 9 * 10**16, 9 * 10**7
_ROWS_AT_ONCE = 1 << 16

#: A book that a snapshot of orders begins, or `R`.
order_book = books_of(levels=10_000, orders=200_000)


def read_mbo(path: Path, *, symbols: Mapping[int, str] | None = None) -> Feed:
    """A file of market by order as frames of order changes, the ends of events, and trades.

    Trades are known before the changes of the book that they leave behind.

    Args:
        path: Of the DBN, compressed (.zst) or not.
        symbols: Names of instruments by their numbers; one without is called by its number.

    Raises:
        DataError: If it is no DBN.
    """
    quarantine = Quarantine(path.name)
    records, count = _records(path, quarantine)
    kept, numbers = _checked(records, quarantine)
    instruments, which = np.unique(kept["instrument"], return_inverse=True)
    named = symbols or {}
    names = pa.array([named.get(int(n), str(n)) for n in instruments], pa.string())
    symbol = names.take(pa.array(which.astype(np.int64)))
    message = _messages(kept, which)
    first = np.flatnonzero(np.append(True, message[1:] != message[:-1]))[: len(kept)]
    known = in_order(kept["ts_recv"].astype(np.int64)[first], 2)
    number = np.cumsum(np.isin(np.arange(len(kept)), first)) - 1
    received = known[number] if len(kept) else np.zeros(0, dtype=np.int64)
    # the orders of a snapshot tell when they came; it is all of them as they were when it was sent
    of_snapshot = (kept["flags"] & _SNAPSHOT) > 0
    at = np.where(of_snapshot, kept["ts_recv"], kept["ts_event"]).astype(np.int64)
    changing = np.flatnonzero(~np.isin(kept["action"], [b"T", b"F", b"N"]))
    traded = np.flatnonzero(kept["action"] == b"T")
    frames = {
        "order_changes": _changes(kept, changing, number, (at, received + 1), symbol),
        "depth": _depth(changing, number, (at, received + 1), symbol),
        "trades": _trades(kept, traded, numbers, (at, received), symbol),
    }
    return Feed(frames, quarantine.table(), count)


def _records(path: Path, quarantine: Quarantine) -> tuple[NDArray[np.void], int]:
    """The records of a file as far as they can be read, and how many there are."""
    parts, count = [], 0
    try:
        with opened(path) as file:
            _skip_header(path, file)
            while content := file.read(_ROWS_AT_ONCE * RECORD.itemsize):
                whole = len(content) // RECORD.itemsize * RECORD.itemsize
                parts.append(np.frombuffer(content[:whole], dtype=RECORD))
                count += len(parts[-1])
                odd = np.flatnonzero((parts[-1]["rtype"] != _MBO) | (parts[-1]["length"] != _WORDS))
                if len(odd):
                    # what comes after a record of another length cannot be told apart
                    count += int(odd[0]) - len(parts[-1]) + 1
                    parts[-1] = parts[-1][: odd[0]]
                    detail = "no record of market by order; it and what follows is not read"
                    rest = content[odd[0] * RECORD.itemsize :]
                    quarantine.add(count, Reason.MALFORMED, detail, rest[: RECORD.itemsize])
                    break
                if whole < len(content):
                    count += 1
                    detail = f"{len(content) - whole} bytes, expected {RECORD.itemsize}"
                    quarantine.add(count, Reason.TRUNCATED, detail, content[whole:])
    except (OSError, EOFError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        if not parts:
            raise DataError(f"{path} cannot be read: {error}; give a file of DBN") from error
        count += 1
        quarantine.add(count, Reason.TRUNCATED, f"the file breaks off: {error}", b"")
    return (np.concatenate(parts) if parts else np.zeros(0, RECORD)), count


def _skip_header(path: Path, file: IO[bytes]) -> None:
    """Read up to the first record."""
    begins = file.read(8)
    length = int.from_bytes(begins[4:], "little")
    if len(begins) < 8 or begins[:3] != b"DBN" or not 1 <= begins[3] <= 3:
        raise DataError(
            f"{path} begins with {begins[:4]!r}, expected DBN of version 1 to 3; give a file of DBN"
        )
    if length > _LONGEST_HEADER or len(file.read(length)) < length:
        raise DataError(f"{path} ends in its header of {length:,} bytes; give the whole file")


def _checked(
    records: NDArray[np.void], quarantine: Quarantine
) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Records that can be taken, and their numbers from 1."""
    price, priceless = records["price"], records["price"] == _NO_PRICE
    moves = np.isin(records["action"], [b"A", b"C", b"M"])
    wrong = (
        (
            ~np.isin(records["action"], [b"A", b"C", b"M", b"R", b"T", b"F", b"N"]),
            Reason.UNKNOWN_MESSAGE,
            "the action is none of A, C, M, R, T, F, N",
        ),
        (
            ~np.isin(records["side"], [b"A", b"B", b"N"]) | (moves & (records["side"] == b"N")),
            Reason.WRONG_TYPE,
            "the side is not A or B",
        ),
        (
            (records["ts_event"] >= _NO_PRICE)
            | (records["ts_recv"] >= _NO_PRICE - len(records) * 2),
            Reason.BAD_TIME,
            "a time is missing",
        ),
        (
            np.where(
                priceless, records["action"] != b"R", (price % _UNIT != 0) | (np.abs(price) > _MOST)
            ),
            Reason.OUT_OF_RANGE,
            "the price is missing, or has more than 8 digits after the point",
        ),
        (
            records["size"] >= _MOST_SIZE,
            Reason.OUT_OF_RANGE,
            f"the size is not below {_MOST_SIZE:,}",
        ),
        (
            moves & (records["order"] >= _NO_PRICE),
            Reason.OUT_OF_RANGE,
            "the order's number does not fit 63 bits",
        ),
    )
    kept = np.ones(len(records), dtype=bool)
    for bad, reason, detail in wrong:
        for row in np.flatnonzero(bad & kept).tolist():
            quarantine.add(row + 1, reason, detail, records[row].tobytes())
        kept &= ~bad
    return records[kept], np.flatnonzero(kept) + 1


def _messages(records: NDArray[np.void], which: NDArray[np.int64]) -> NDArray[np.int64]:
    """The event of each record: it ends with a flag, or where a snapshot begins or ends."""
    by_book = np.argsort(which, kind="stable")
    ends = (records["flags"][by_book] & _LAST) > 0
    snapshot = (records["flags"][by_book] & _SNAPSHOT) > 0
    begins = np.ones(len(records), dtype=bool)
    apart = (which[by_book][1:] != which[by_book][:-1]) | (snapshot[1:] & ~snapshot[:-1])
    begins[1:] = ends[:-1] | apart | (snapshot[:-1] & ~snapshot[1:])
    found = np.empty(len(records), dtype=np.int64)
    found[by_book] = np.cumsum(begins)
    return found


def _changes(
    records: NDArray[np.void],
    rows: NDArray[np.int64],
    number: NDArray[np.int64],
    times: tuple[NDArray[np.int64], NDArray[np.int64]],
    symbol: pa.Array,
) -> pa.Table:
    """What changes books, each with its place in its event."""
    some, mine = records[rows], number[rows]
    begins = np.ones(len(rows), dtype=bool)
    begins[1:] = mine[1:] != mine[:-1]
    first = np.flatnonzero(begins)
    place = np.arange(len(rows)) - first[np.cumsum(begins) - 1] if len(rows) else rows
    priced = (some["action"] != b"R") & (some["price"] != _NO_PRICE)
    clears = some["action"] == b"R"
    return changes_of(
        numbered(mine, place),
        (times[0][rows], times[1][rows]),
        symbol.take(pa.array(rows)),
        order=pa.array(some["order"].astype(np.int64), mask=clears),
        bid=pa.array(some["side"] == b"B"),
        price=exact(some["price"] // _UNIT, _SCALE, there=priced),
        size=exact(np.where(clears, 0, some["size"]).astype(np.int64), 0),
        reduces=pa.array(some["action"] == b"C"),
        place=pa.array(place),
        is_snapshot=pa.array(((some["flags"] & _SNAPSHOT) > 0) | clears),
        is_last=pa.array(np.append(begins[1:], True)[: len(rows)]),
    )


def _depth(
    rows: NDArray[np.int64],
    number: NDArray[np.int64],
    times: tuple[NDArray[np.int64], NDArray[np.int64]],
    symbol: pa.Array,
) -> pa.Table:
    """The end of each event that changes a book."""
    last = np.append(number[rows][1:] != number[rows][:-1], True)[: len(rows)]
    ends = rows[last]
    return pa.table(
        {
            "depth_id": numbered(number[ends]),
            "at": pa.array(times[0][ends]).cast(TIME),
            "received": pa.array(times[1][ends]).cast(TIME),
            "symbol": symbol.take(pa.array(ends)),
            "last_update": pa.nulls(len(ends), pa.int64()),
        }
    )


def _trades(
    records: NDArray[np.void],
    rows: NDArray[np.int64],
    numbers: NDArray[np.int64],
    times: tuple[NDArray[np.int64], NDArray[np.int64]],
    symbol: pa.Array,
) -> pa.Table:
    """Trades; of one the side is who took, if it is told."""
    some = records[rows]
    return pa.table(
        {
            "trade_id": numbered(numbers[rows]),
            "at": pa.array(times[0][rows]).cast(TIME),
            "received": pa.array(times[1][rows]).cast(TIME),
            "symbol": symbol.take(pa.array(rows)),
            "price": exact(some["price"] // _UNIT, _SCALE),
            "size": exact(some["size"].astype(np.int64), 0),
            "buyer_took": pa.array(some["side"] == b"B", mask=some["side"] == b"N"),
            "hidden": pa.repeat(pa.scalar(value=False), len(rows)),
        }
    )
