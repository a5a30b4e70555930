"""Bitstamp's order feed: lines of receive time in milliseconds, what happened, the message.

    1430438404518 order_created {"price": "236.47", "amount": "2.0", "id": 65595247, ...}

Orders are created, changed and deleted one by one; between them come trades, and the 20 best levels
of each side. Deletes can be missing, and a snapshot of levels may have been taken a moment before
orders that were received earlier. The feed tells when an order was made, not when it was changed:
the receive time stands in for the event time. It does not say who took in a trade.

Lines are taken apart by patterns over whole columns. A line that is written otherwise (other
spaces, another order of names) is first put into the usual form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_solutions.trading_signal.capture_lines import CaptureLines
from headrace_solutions.trading_signal.feed import TIME, Feed, exact, in_order, split_words
from headrace_solutions.trading_signal.message_fields import (
    NUMBER,
    Text,
    Whole,
    one_line,
    time_of,
)
from headrace_solutions.trading_signal.order_changes import (
    books_of,
    changes_of,
    moments,
    moments_of,
    numbered,
    order_changes,
)
from headrace_solutions.trading_signal.quarantine import BadLine, Quarantine, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

SNAPSHOT_LEVELS = 20
_MILLISECOND = 1_000_000
_DAY_NS = 24 * 3600 * 10**9
_SCALE = 8
#: Nanoseconds that a line takes of known order: before and after a snapshot are moments.
_ORDER_STEP, _SNAPSHOT_STEP = 1, 4

__all__ = ["SNAPSHOT_LEVELS", "moments", "order_book", "order_changes", "read_log"]

order_book = books_of(levels=5_000, orders=20_000, snapshot_levels=SNAPSHOT_LEVELS)

_RECEIVED = r"\A(?P<received>[0-9]{1,13}) "
_SIDE = rf'\[(?:\["{NUMBER}", "{NUMBER}"\](?:, \["{NUMBER}", "{NUMBER}"\])*)?\]'
_FLOAT = r"[0-9]{1,7}(?:\.[0-9]{1,20})?(?:e-[0-9]{1,2})?"
#: What a line of each kind looks like.
_PATTERNS = {
    "orders": _RECEIVED + r"order_(?P<what>created|changed|deleted) "
    rf'\{{"price": "(?P<price>{NUMBER})", "amount": "(?P<amount>{NUMBER})", '
    r'"datetime": "[0-9]{1,12}", "id": (?P<id>[0-9]{1,18}), "order_type": (?P<side>[01])\}\z',
    "snapshots": _RECEIVED + rf'order_book \{{"bids": {_SIDE}, "asks": {_SIDE}\}}\z',
    "trades": _RECEIVED
    + rf'trade \{{"price": (?P<price>{_FLOAT}), "amount": (?P<amount>{_FLOAT}), '
    r'"id": (?P<id>[0-9]{1,18})\}\z',
}
#: Parts of lines that are known to look so; in a long line a plainer pattern is quicker.
_PARTS = _PATTERNS | {
    "snapshots": _RECEIVED + r'order_book \{"bids": (?P<bids>[^{]*), "asks": (?P<asks>[^}]*)\}\z'
}


class _Order(msgspec.Struct):
    price: Text
    amount: Text
    datetime: str
    id: Whole
    order_type: int


class _Levels(msgspec.Struct):
    bids: list[tuple[Text, Text]]
    asks: list[tuple[Text, Text]]


class _Traded(msgspec.Struct):
    price: float
    amount: float
    id: Whole


_ORDER, _LEVELS = msgspec.json.Decoder(_Order), msgspec.json.Decoder(_Levels)
_TRADED = msgspec.json.Decoder(_Traded)
_EVENTS = {b"order_created", b"order_changed", b"order_deleted"}


class _Found(NamedTuple):
    """Lines of one kind.

    Attributes:
        rows: Which of all lines.
        words: What their pattern names.
    """

    rows: NDArray[np.int64]
    words: dict[str, pa.Array]


def read_log(path: Path, *, symbol: str = "BTCUSD", lines: Iterable[bytes] | None = None) -> Feed:
    """A log as frames of order changes and trades, with a moment before and after each snapshot.

    Args:
        path: Of the log, compressed or not (see `capture_lines.opened`).
        symbol: Of the one book that it is of.
        lines: Lines to read in place of the file's.

    Raises:
        DataError: If nothing of the file can be read.

    >>> from pathlib import Path
    >>> line = (b'1430438404518 order_created {"price": "236.47", "amount": "2.0", '
    ...         b'"datetime": "1430438404", "id": 65595247, "order_type": 0}')
    >>> feed = read_log(Path("x"), lines=[line, b"1 shout {}"])
    >>> feed.frames["order_changes"]["order"].to_pylist(), feed.quarantined["line"].to_pylist()
    ([65595247], [2])
    """
    quarantine = Quarantine(path.name)
    given = CaptureLines(path if lines is None else lines, quarantine)
    numbers, texts = _readable(given, quarantine)
    found = _found(texts)
    at = np.zeros(len(texts), dtype=np.int64)
    steps = np.full(len(texts), _ORDER_STEP)
    steps[found["snapshots"].rows] = _SNAPSHOT_STEP
    for of in found.values():
        at[of.rows] = of.words["received"].cast(pa.int64()).to_numpy() * _MILLISECOND
    # lines of one millisecond keep their order by a nanosecond each
    before = np.cumsum(steps) - steps
    known = in_order(at - before, 0) + before
    frames = {
        "order_changes": _changes(found, numbers, known, symbol),
        "moments": _moments(
            numbers[found["snapshots"].rows], known[found["snapshots"].rows], symbol
        ),
        "trades": _trades(found["trades"], known, symbol),
    }
    return Feed(frames, quarantine.table(), given.count)


def _readable(given: CaptureLines, quarantine: Quarantine) -> tuple[NDArray[np.int64], pa.Array]:
    """Numbers and texts of the lines that can be read, in the usual form."""
    told = list(given)
    numbers = np.array([number for number, _ in told], dtype=np.int64)
    lines = [line for _, line in told]
    plain = np.array([line.isascii() for line in lines], dtype=bool)
    texts = pa.array([line if line.isascii() else b"" for line in lines], pa.binary())
    texts = texts.cast(pa.string())
    usual = np.logical_or.reduce(list(_kinds(texts).values()))
    kept = usual & plain
    for place in np.flatnonzero(~kept).tolist():
        with one_line(quarantine, int(numbers[place]), lines[place]):
            lines[place] = _usual(lines[place])
            kept[place] = True
    kept &= ~_astray(lines, numbers, kept, quarantine)
    if not usual[kept].all():
        texts = pa.array(lines, pa.binary())
        return numbers[kept], texts.filter(pa.array(kept)).cast(pa.string())
    return numbers[kept], texts.filter(pa.array(kept))


def _astray(
    lines: list[bytes], numbers: NDArray[np.int64], kept: NDArray[np.bool_], quarantine: Quarantine
) -> NDArray[np.bool_]:
    """Lines received more than a day after the line before and the line after: a wrong time.

    Taken at its word, such a time would put everything after it there too.
    """
    places = np.flatnonzero(kept)
    times = np.array([int(lines[place].partition(b" ")[0]) for place in places], dtype=np.int64)
    times *= _MILLISECOND
    bad = np.zeros(len(lines), dtype=bool)
    if len(times) > 1:
        ahead = times[:-1] - times[1:] > _DAY_NS
        behind = np.append(True, times[1:-1] - times[:-2] > _DAY_NS)
        bad[places[:-1][ahead & behind]] = True
    for place in np.flatnonzero(bad).tolist():
        detail = "received more than a day after the lines before and after it"
        quarantine.add(int(numbers[place]), Reason.BAD_TIME, detail, lines[place])
    return bad


def _usual(line: bytes) -> bytes:
    """A line that is written otherwise, in the usual form.

    Raises:
        BadLine: If it cannot be read.
        MsgspecError: If its message cannot.
    """
    digits, _, rest = line.partition(b" ")
    kind, _, message = rest.partition(b" ")
    told = time_of(digits, _MILLISECOND, "milliseconds") // _MILLISECOND
    begins = b"%d %s " % (told, kind)
    if kind in _EVENTS:
        order = _ORDER.decode(message)
        if order.order_type not in (0, 1):
            raise BadLine(
                Reason.OUT_OF_RANGE, f"order_type {order.order_type}: 0 is a bid, 1 an ask"
            )
        return (
            begins
            + (
                f'{{"price": "{order.price}", "amount": "{order.amount}", "datetime": "0", '
                f'"id": {order.id}, "order_type": {order.order_type}}}'
            ).encode()
        )
    if kind == b"order_book":
        levels = _LEVELS.decode(message)
        sides = (
            ", ".join(f'["{price}", "{size}"]' for price, size in side)
            for side in (levels.bids, levels.asks)
        )
        return begins + '{{"bids": [{}], "asks": [{}]}}'.format(*sides).encode()
    if kind == b"trade":
        traded = _TRADED.decode(message)
        if not (0 <= traded.price < 10**7 and 0 <= traded.amount < 10**7):
            raise BadLine(Reason.OUT_OF_RANGE, "a price or an amount, expected 0 to 10,000,000")
        price, amount = f"{traded.price:.20f}", f"{traded.amount:.20f}"
        return begins + f'{{"price": {price}, "amount": {amount}, "id": {traded.id}}}'.encode()
    said = kind[:40].decode("utf-8", "backslashreplace")
    raise BadLine(
        Reason.UNKNOWN_MESSAGE, f"{said!r} is none of order_created, ..., order_book, trade"
    )


def _kinds(texts: pa.Array) -> dict[str, NDArray[np.bool_]]:
    """Which lines are of each kind."""
    return {
        kind: pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)
        for kind, pattern in _PATTERNS.items()
    }


def _found(texts: pa.Array) -> dict[str, _Found]:
    """The lines of each kind, taken apart."""
    found = {}
    for kind, mine in _kinds(texts).items():
        words = pc.extract_regex(texts.filter(pa.array(mine)), _PARTS[kind])
        names = [field.name for field in words.type]
        parts = dict(zip(names, words.flatten(), strict=True))
        found[kind] = _Found(np.flatnonzero(mine), parts)
    return found


def _changes(
    found: dict[str, _Found], numbers: NDArray[np.int64], known: NDArray[np.int64], symbol: str
) -> pa.Table:
    """Orders, and the levels of snapshots between them."""
    orders, snapshots = found["orders"], found["snapshots"]
    words, times = orders.words, known[orders.rows]
    one_by_one = changes_of(
        numbered(numbers[orders.rows]),
        (times, times),
        symbol,
        order=words["id"].cast(pa.int64()),
        bid=pc.equal(words["side"], "0"),
        price=words["price"],
        size=words["amount"],
        removes=pc.equal(words["what"], "deleted"),
    )
    of, levels = _levels(snapshots, numbers[snapshots.rows], known[snapshots.rows] + 1, symbol)
    row = np.concatenate([orders.rows, snapshots.rows[of]])
    both = pa.concat_tables([one_by_one, levels])
    return both.take(pa.array(np.argsort(row, kind="stable"))).combine_chunks()


def _levels(
    snapshots: _Found, numbers: NDArray[np.int64], known: NDArray[np.int64], symbol: str
) -> tuple[NDArray[np.int64], pa.Table]:
    """A row for each level of snapshots, and which snapshot each is of.

    A snapshot without any has a row without a price.
    """
    sides = [
        pc.replace_substring_regex(snapshots.words[side], r'[\[\]" ]', "")
        for side in ("bids", "asks")
    ]
    counts = [
        np.where(
            pc.equal(side, "").to_numpy(zero_copy_only=False),
            0,
            (pc.count_substring(side, ",").to_numpy() + 1) // 2,
        ).astype(np.int64)
        for side in sides
    ]
    rows = np.maximum(counts[0] + counts[1], 1)
    of = np.repeat(np.arange(len(rows)), rows)
    place = np.arange(len(of)) - np.repeat(np.cumsum(rows) - rows, rows)
    there = (counts[0] + counts[1])[of] > 0
    in_turn = pc.binary_join_element_wise(*sides, ",").to_pylist()
    joined = ",".join(word for text in in_turn if (word := text.strip(",")))
    split = split_words(joined.encode())
    level = np.cumsum(there) - 1
    price, size = (
        split.take(pa.array(np.where(there, 2 * level + side, 0), mask=~there)) for side in (0, 1)
    )
    times = known[of]
    table = changes_of(
        numbered(numbers[of], place),
        (times, times),
        symbol,
        order=pa.scalar(None, pa.int64()),
        bid=pa.array(place < counts[0][of]),
        price=price,
        size=pc.fill_null(size, "0"),
        place=pa.array(place),
        is_snapshot=pa.scalar(value=True),
        is_last=pa.array(place == rows[of] - 1),
    )
    return of, table


def _moments(numbers: NDArray[np.int64], known: NDArray[np.int64], symbol: str) -> pa.Table:
    """Before and after each snapshot."""
    names = [pc.binary_join_element_wise(pa.scalar(w), numbered(numbers), " ") for w in _WHEN]
    order = pa.array(np.arange(2 * len(numbers)).reshape(2, len(numbers)).T.ravel())
    both = np.stack([known, known + 2], axis=1).ravel()
    return moments_of(pa.concat_arrays(names).take(order), both, symbol)


_WHEN = ("before", "after")


def _trades(found: _Found, known: NDArray[np.int64], symbol: str) -> pa.Table:
    """Trades, whose numbers were printed as floats: to the nearest unit."""
    words, times = found.words, pa.array(known[found.rows]).cast(TIME)
    price, size = (
        np.rint(words[name].cast(pa.float64()).to_numpy() * 10**_SCALE).astype(np.int64)
        for name in ("price", "amount")
    )
    count = len(found.rows)
    return pa.table(
        {
            "trade_id": words["id"],
            "at": times,
            "received": times,
            "symbol": pa.repeat(pa.scalar(symbol), count),
            "price": exact(price, _SCALE),
            "size": exact(size, _SCALE),
            "buyer_took": pa.nulls(count, pa.bool_()),
            "hidden": pa.repeat(pa.scalar(value=False), count),
        }
    )
