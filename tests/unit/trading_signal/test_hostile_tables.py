"""Tables with rows that cannot be: each reader of Parquet and of binary records goes on."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

import headrace as hr
from headrace_solutions.trading_signal import (
    bars,
    binance_tables,
    bitstamp_orders,
    databento,
    market,
    taq,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headrace_solutions.trading_signal.feed import Feed

AT = dt.datetime(2021, 1, 8, tzinfo=dt.UTC)
NOT_NUMBERS = (None, math.nan, math.inf, -math.inf, -1.0, 1e12)


class Table(NamedTuple):
    """A reader of tables, a good row, and values of columns that make it bad."""

    read: Callable[[Path], Feed]
    row: dict[str, Any]
    bad: dict[str, tuple[Any, ...]]


TABLES = {
    "quotes": Table(
        binance_tables.read_quote_table,
        {"timestamp": AT, "symbol": "X", "bid": 1.5, "bid_size": 2.0, "ask": 1.6, "ask_size": 3.0},
        {
            "timestamp": (None,),
            "symbol": (None,),
            **dict.fromkeys(("bid", "bid_size", "ask", "ask_size"), NOT_NUMBERS),
        },
    ),
    "trades": Table(
        lambda path: binance_tables.read_trade_table(path, symbol="X"),
        {"timestamp": AT, "trade_id": 7, "price": 1.5, "quantity": 2.0, "buyer_maker": "True"},
        {
            "timestamp": (None,),
            "trade_id": (None,),
            "price": NOT_NUMBERS,
            "quantity": NOT_NUMBERS,
            "buyer_maker": (None, "", "yes", "\x1b[2J"),
        },
    ),
    "orders": Table(
        bitstamp_orders.read_orders,
        {"id": 7, "timestamp": 1_000, "price": 1.5, "volume": 5, "action": "created",
         "direction": "bid"},
        {
            "id": (None, -1, 2**60),
            "timestamp": (None, -1, 2**62),
            "price": NOT_NUMBERS,
            "volume": (None, -1, 2**60),
            "action": (None, "", "moved"),
            "direction": (None, "buy"),
        },
    ),
    "bars": Table(
        lambda path: bars.read_bars(path, symbol="X"),
        {"timestamp": "2012-02-01 00:00:00+00:00", "open": 2.0, "high": 3.0, "low": 1.0,
         "close": 2.5, "volume": 10.0},
        {
            "timestamp": (None, "", "noon", "2012-02-30 00:00:00", "2012-02-01"),
            "open": (*NOT_NUMBERS, 3.5),
            "high": (*NOT_NUMBERS, 1.5),
            "low": (*NOT_NUMBERS, 2.2),
            "close": (*NOT_NUMBERS, 0.5),
            "volume": (*NOT_NUMBERS[:5], 1e16),
        },
    ),
}  # fmt: skip


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "table.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("name", TABLES)
def test_a_bad_row_is_quarantined_and_all_others_are_read(name: str, tmp_path: Path) -> None:
    table = TABLES[name]
    alone = table.read(written(tmp_path, [table.row, table.row]))
    for column, values in table.bad.items():
        for value in values:
            bad = table.row | {column: value}
            found = table.read(written(tmp_path, [table.row, bad, table.row]))
            (told,) = found.quarantined.to_pylist()
            assert (told["line"], told["source"]) == (2, "table.parquet"), (column, value)
            assert told["detail"].isprintable()
            assert str(table.row[next(iter(table.row))])[:4].encode() in told["content"] or (
                column == next(iter(table.row))
            )
            assert (found.lines, found.accepted) == (3, 2)
            for stream, frame in alone.frames.items():
                assert found.frames[stream].num_rows == frame.num_rows


@pytest.mark.parametrize("name", TABLES)
def test_a_file_that_is_no_table_is_refused(name: str, tmp_path: Path) -> None:
    table = TABLES[name]
    path = written(tmp_path, [dict(list(table.row.items())[1:])])
    with pytest.raises(hr.DataError, match=f"lacks {next(iter(table.row))}"):
        table.read(path)
    content = path.read_bytes()
    for broken in (b"", b"PAR1", content[: len(content) // 2]):
        path.write_bytes(broken)
        with pytest.raises(hr.DataError, match="is no Parquet"):
            table.read(path)


def test_quotes_and_trades_of_taq_that_cannot_be_are_quarantined(tmp_path: Path) -> None:
    at = dt.datetime(2018, 1, 2, 9, 30)  # noqa: DTZ001 - as it stands in the files
    quote = {"DT": at, "EX": "P", "SYMBOL": "X", "BID": 10.0, "BIDSIZ": 1.0, "OFR": 10.1}
    quote |= {"OFRSIZ": 2.0}
    trade = {"DT": at, "EX": "P", "SYMBOL": "X", "PRICE": 10.0, "SIZE": 1.0, "CORR": 0}
    quotes = [quote, *(quote | {"BID": bad} for bad in NOT_NUMBERS), quote | {"EX": None}]
    trades = [trade, *(trade | {"SIZE": bad} for bad in NOT_NUMBERS), trade | {"CORR": 9}]
    paths = tmp_path / "quotes.parquet", tmp_path / "trades.parquet"
    for path, rows in zip(paths, (quotes, trades), strict=True):
        parquet.write_table(pa.Table.from_pylist(rows), path)
    feed = taq.read_taq(*paths)
    places = [(row["source"], row["line"]) for row in feed.quarantined.to_pylist()]
    assert places == [(path.name, line) for path in paths for line in range(2, 9)]
    assert (feed.lines, feed.accepted) == (16, 2)


def record(action: bytes, side: bytes, order: int, price: float, size: int, **more: int) -> bytes:
    """A record of market by order."""
    made = np.zeros(1, databento.RECORD)
    made["length"], made["rtype"], made["instrument"] = 14, 0xA0, more.get("instrument", 7)
    made["ts_event"] = made["ts_recv"] = more.get("at", 1_000)
    made["action"], made["side"], made["order"], made["size"] = action, side, order, size
    made["price"] = more.get("units", round(price * 10**9))
    made["flags"] = more.get("flags", 128)
    return made.tobytes()


HEADER = b"DBN\x03" + (3).to_bytes(4, "little") + b"abc"
ASK = record(b"A", b"A", 1, 11.0, 5, flags=32)
BID = record(b"A", b"B", 2, 10.0, 5, flags=160)
GOOD = (
    ASK,
    BID,
    record(b"M", b"B", 2, 10.5, 3),
    record(b"T", b"A", 0, 10.5, 1, flags=0),
    record(b"F", b"B", 2, 10.5, 1, flags=0),
    record(b"C", b"B", 2, 10.5, 1),
)


def dbn(folder: Path, *records: bytes) -> Path:
    path = folder / "file.dbn"
    path.write_bytes(HEADER + b"".join(records))
    return path


def test_orders_of_a_file_make_a_book_and_trades(tmp_path: Path) -> None:
    other = record(b"R", b"N", 0, 0, 0, instrument=8, units=2**63 - 1)
    feed = databento.read_mbo(dbn(tmp_path, *GOOD, other), symbols={7: "ES"})
    assert (feed.lines, feed.quarantined.num_rows) == (7, 0)
    view = databento.order_book.at(market.depth)
    features = {"bid": view.price("bid"), "size": view.size("bid"), "book_status": view.status}
    case = hr.UseCase(name="orders", on=market.depth, features=hr.features(**features))
    given_frames = {name: feed.frames[name] for name in ("order_changes", "depth")}
    decided = hr.decide(case, given_frames)
    assert decided["status"].unique().to_pylist() == ["accepted"]
    assert decided["bid"].to_pylist() == [10.0, 10.5, 10.5, None]
    assert decided["size"].to_pylist() == [5.0, 3.0, 2.0, None]
    assert feed.frames["depth"]["symbol"].to_pylist() == ["ES", "ES", "ES", "8"]
    (trade,) = feed.frames["trades"].to_pylist()
    assert (str(trade["price"]), trade["buyer_took"]) == ("10.50000000", False)
    # a trade is known before the book that it leaves behind
    assert trade["received"] < feed.frames["depth"]["received"][2].as_py()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (record(b"X", b"B", 3, 10.0, 1), "unknown message"),
        (record(b"A", b"Z", 3, 10.0, 1), "wrong type"),
        (record(b"A", b"N", 3, 10.0, 1), "wrong type"),
        (record(b"A", b"B", 3, 0.0, 1, units=1), "out of range"),
        (record(b"A", b"B", 3, 0.0, 1, units=2**63 - 1), "out of range"),
        (record(b"A", b"B", 3, 0.0, 1, units=-(2**63)), "out of range"),
        (record(b"A", b"B", 2**64 - 1, 10.0, 1), "out of range"),
        (record(b"A", b"B", 3, 10.0, 1, at=2**64 - 1), "bad time"),
    ],
)
def test_a_record_that_cannot_be_is_quarantined(tmp_path: Path, bad: bytes, reason: str) -> None:
    feed = databento.read_mbo(dbn(tmp_path, *GOOD[:3], bad, *GOOD[3:]))
    (told,) = feed.quarantined.to_pylist()
    assert (told["line"], told["reason"], told["content"]) == (4, reason, bad)
    alone = databento.read_mbo(dbn(tmp_path, *GOOD))
    assert feed.frames["order_changes"].equals(alone.frames["order_changes"])


def test_a_file_is_read_up_to_what_is_no_record(tmp_path: Path) -> None:
    cut = databento.read_mbo(dbn(tmp_path, *GOOD[:3], GOOD[3][:-1])).quarantined.to_pylist()
    assert [(row["line"], row["reason"], row["length"]) for row in cut] == [(4, "truncated", 55)]
    other = b"\x05" + GOOD[3][1:]
    odd = databento.read_mbo(dbn(tmp_path, *GOOD[:3], other, *GOOD[4:]))
    assert [(row["line"], row["reason"]) for row in odd.quarantined.to_pylist()] == [
        (4, "malformed")
    ]
    assert odd.accepted == 3
    empty = databento.read_mbo(dbn(tmp_path))
    assert (empty.lines, empty.frames["order_changes"].num_rows) == (0, 0)
    for content in (b"", b"DBN", b"DBN\x09" + bytes(4), b"DBN\x01\xff\xff\xff\xff"):
        (tmp_path / "file.dbn").write_bytes(content)
        with pytest.raises(hr.DataError, match="give"):
            databento.read_mbo(tmp_path / "file.dbn")


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_a_record_holds_it_is_accepted_or_quarantined(
    tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(b"".join(GOOD))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    feed = databento.read_mbo(dbn(tmp_path, bytes(content)))
    assert feed.accepted + feed.quarantined.num_rows == feed.lines <= len(GOOD)
    for frame in feed.frames.values():
        frame.validate(full=True)
