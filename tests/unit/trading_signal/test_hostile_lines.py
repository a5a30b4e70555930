"""Malformed, truncated, huge and hostile lines: each reader goes on, and none of them vanishes."""

from __future__ import annotations

import datetime as dt
import gzip
import lzma
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import headrace as hr
from headrace_solutions.trading_signal import (
    bars,
    binance,
    binance_tables,
    bitstamp,
    bybit,
    hyperliquid,
    lobster,
    market,
    tardis,
)
from headrace_solutions.trading_signal.capture_lines import LONGEST_LINE
from headrace_solutions.trading_signal.quarantine import LONGEST_KEPT

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace_solutions.trading_signal.feed import Feed


class Reader(NamedTuple):
    """A reader of lines, with a file that is good, and what makes a line of it bad."""

    read: Callable[[Path], Feed]
    head: bytes
    good: tuple[bytes, ...]
    bad: dict[bytes, str]


def swapped(line: bytes, **reasons: str) -> dict[bytes, str]:
    """Lines with a part put in the place of another, and why they are bad: `old>new`."""
    made = {}
    for change, reason in reasons.items():
        old, new = change.encode("latin-1").split(b">", 1)
        assert old in line
        made[line.replace(old, new, 1)] = reason
    return made


DEPTH = (
    b'1000000000 {"stream":"x@depth@0ms","data":{"E":1000,"s":"X","U":11,"u":12,'
    b'"b":[["1.50","2"],["1.40","0"]],"a":[]}}'
)
TICKER = (
    b'1000000001 {"stream":"x@bookTicker","data":{"u":12,"s":"X","b":"1.5","B":"2","a":"1.6",'
    b'"A":"3"}}'
)
TRADE = (
    b'1000000002 {"stream":"x@trade","data":{"E":1001,"s":"X","t":7,"p":"1.6","q":"1","m":false}}'
)
FAR = b"9" * 40
NESTED = b"[" * 200_000
BINANCE = Reader(
    binance.read_capture,
    b"",
    (DEPTH, TICKER, TRADE),
    {
        b"": "bad time",
        b"\x00\xff\xfe": "bad time",
        b"-5 {}": "bad time",
        FAR + DEPTH[10:]: "bad time",
        b"9223372036854775806" + DEPTH[10:]: "bad time",
        b"9223372036854775806" + TICKER[10:]: "bad time",
        b"5": "malformed",
        DEPTH[:-9]: "malformed",
        b'5 {"data":' + NESTED: "malformed",
        DEPTH.replace(b'"X"', b'"\xff"'): "malformed",
        b"5 {}": "unknown message",
        **swapped(
            DEPTH,
            **{
                "depth@>candle@": "unknown message",
                '"u":12>"v":12': "missing",
                '"U":11>"U":' + FAR.decode(): "out of range",
                '"U":11>"U":-1': "out of range",
                '"E":1000>"E":' + FAR.decode(): "out of range",
                '"E":1000>"E":"now"': "wrong type",
                '"1.40","0">"1.40"': "wrong type",
                '"1.40","0">"1,40","0"': "wrong type",
                '"1.40","0">"1.40","0]"': "wrong type",
                '["1.40","0"]>["1.40","0"],': "malformed",
                '"1.40">"NaN"': "wrong type",
                '"1.40">"1e9"': "wrong type",
                '"1.40">"-1.40"': "wrong type",
                '"1.40">"' + "9" * 400 + '"': "wrong type",
                '"a":[]>"a":{}': "wrong type",
                '"X">"\x1b[2J"': "malformed",
                '"X">"' + "X" * 65 + '"': "wrong type",
                '"X">"X\\u0000"': "wrong type",
                '"X">"X\\ud800"': "malformed",
                '"X">""': "wrong type",
            },
        ),
        **swapped(TICKER, **{'"1.5">"1.5\\n"': "wrong type", '"1.5">1.5': "wrong type"}),
        **swapped(TRADE, **{'"1.6">"0x10"': "wrong type", "false>0": "wrong type"}),
    },
)

CREATED = (
    b'1000 order_created {"price": "10", "amount": "3", "datetime": "1", "id": 5, "order_type": 0}'
)
BOOK = b'1001 order_book {"bids": [["10", "3"]], "asks": [["11", "1"], ["12", "2"]]}'
TRADED = b'1002 trade {"price": 10.5, "amount": 1.0000000000000001e-05, "id": 9}'
BITSTAMP = Reader(
    bitstamp.read_log,
    b"",
    (CREATED, BOOK, TRADED, CREATED.replace(b"1000", b"1003")),
    {
        b"": "bad time",
        b"x order_created {}": "bad time",
        FAR + CREATED[4:]: "bad time",
        b"9223372036853" + CREATED[4:]: "bad time",
        b"1 shout {}": "unknown message",
        b"1": "unknown message",
        b"1 \xff {}": "unknown message",
        CREATED[:-3]: "malformed",
        b"1 order_book " + NESTED: "wrong type",
        **swapped(
            CREATED,
            **{
                '"id": 5>"id": ' + FAR.decode(): "out of range",
                '"order_type": 0>"order_type": 2': "out of range",
                '"order_type": 0>"x": 2': "missing",
                '"10">"1e1"': "wrong type",
                '"10">"ten"': "wrong type",
                '"10">"\xff"': "malformed",
            },
        ),
        **swapped(BOOK, **{'["10", "3"]>["10"]': "wrong type", '"11">"-1"': "wrong type"}),
        **swapped(
            TRADED,
            **{"10.5>1e300": "out of range", "10.5>1e9": "out of range", "10.5>NaN": "malformed"},
        ),
    },
)

SNAPSHOT = (
    b'{"topic":"orderbook.500.X","type":"snapshot","ts":5,'
    b'"data":{"s":"X","b":[["1.5","2"]],"a":[],"u":7}}'
)
BYBIT = Reader(
    bybit.read_archive,
    b"",
    (SNAPSHOT, SNAPSHOT.replace(b"snapshot", b"delta").replace(b'"u":7', b'"u":8')),
    {
        b"": "malformed",
        b"{}": "missing",
        b"[]": "wrong type",
        SNAPSHOT[:-1]: "malformed",
        SNAPSHOT + b"{}": "malformed",
        NESTED: "wrong type",
        SNAPSHOT.replace(b'"u":7', b'"v":' + NESTED): "malformed",
        **swapped(
            SNAPSHOT,
            **{
                "snapshot>reset": "unknown message",
                "orderbook>kline": "unknown message",
                '"u":7>"u":-7': "out of range",
                '"ts":5>"ts":' + FAR.decode(): "out of range",
                '"1.5">"1.123456789"': "wrong type",
            },
        ),
    },
)

L2_BOOK = (
    b'17 {"channel":"l2Book","data":{"coin":"X","time":5,'
    b'"levels":[[{"px":"1.5","sz":"2","n":1}],[]]}}'
)
TAKEN = (
    b'18 {"channel":"trades","data":[{"coin":"X","px":"1.5","side":"B","sz":"1","tid":4,"time":6}]}'
)
HYPERLIQUID = Reader(
    hyperliquid.read_hyperliquid,
    b"",
    (L2_BOOK, TAKEN),
    {
        b"": "bad time",
        b"17 ": "malformed",
        b"17 {}": "missing",
        L2_BOOK.replace(b"17", FAR, 1): "bad time",
        **swapped(
            L2_BOOK,
            **{
                "l2Book>pong": "unknown message",
                "[]]>[],[]]": "wrong type",
                '"1.5">"-1.5"': "wrong type",
                '"time":5>"time":-5': "out of range",
            },
        ),
        **swapped(
            TAKEN, **{'"B">"C"': "wrong type", '"tid":4>"tid":' + FAR.decode(): "out of range"}
        ),
    },
)


def columns(head: str, line: str, **reasons: str) -> dict[bytes, str]:
    """Lines with one column put in the place of another: `name>value`."""
    names, made = head.strip().split(","), {}
    for change, reason in reasons.items():
        name, value = change.split(">", 1)
        values = line.split(",")
        values[names.index(name)] = value
        made[",".join(values).encode("latin-1")] = reason
    return made


EVERY_CSV = {b"": "malformed", b"\x00": "malformed", b"," * 500: "malformed"}
TARDIS = "exchange,symbol,timestamp,local_timestamp,"
CHANGES = TARDIS + "is_snapshot,side,price,amount\n"
CHANGED = "d,X,1000000,1000005,true,bid,10.0,3"
TRADES = TARDIS + "id,side,price,amount\n"
SOLD = "d,X,1000000,1000005,a1,sell,10.0,3"
QUOTES = TARDIS + "ask_amount,ask_price,bid_price,bid_amount\n"
QUOTED = "d,X,1000000,1000005,1,10.5,10.0,3"
SNAPSHOTS = TARDIS + "asks[0].price,asks[0].amount,bids[0].price,bids[0].amount\n"
SEEN = "d,X,1000000,1000005,10.5,1,,"
ALL_OF_TARDIS = {
    "timestamp>-5": "bad time",
    "timestamp>" + "9" * 20: "bad time",
    "timestamp>9999999999999999": "bad time",
    "symbol>": "missing",
    "symbol>a b": "wrong type",
    "symbol>\x1b[2J": "wrong type",
    "symbol>\xe9": "malformed",
}
DEPTHS = "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu\n"
SET = "X,1000,11,12,b,set,1.50,2,10"
TICKS = "timestamp,bid,ask\n"
TICK = "2013-01-01 22:00:00.295000+00:00,86.655,86.728"
READERS = {
    "binance": BINANCE,
    "bitstamp": BITSTAMP,
    "bybit": BYBIT,
    "hyperliquid": HYPERLIQUID,
    "tardis-changes": Reader(
        tardis.read_incremental,
        CHANGES.encode(),
        (CHANGED.encode(), CHANGED.replace("bid", "ask").encode()),
        EVERY_CSV
        | columns(CHANGES, CHANGED, **ALL_OF_TARDIS)
        | columns(CHANGES, CHANGED, **{"side>buy": "wrong type", "amount>-1": "wrong type"}),
    ),
    "tardis-trades": Reader(
        tardis.read_trades,
        TRADES.encode(),
        (SOLD.encode(), SOLD.replace("sell", "unknown").encode()),
        EVERY_CSV
        | columns(TRADES, SOLD, **ALL_OF_TARDIS)
        | columns(TRADES, SOLD, **{"side>bid": "wrong type", "price>1e5": "wrong type"}),
    ),
    "tardis-quotes": Reader(
        tardis.read_quotes,
        QUOTES.encode(),
        (QUOTED.encode(),),
        EVERY_CSV
        | columns(QUOTES, QUOTED, **ALL_OF_TARDIS)
        | columns(QUOTES, QUOTED, **{"bid_price>": "missing", "bid_amount>nan": "wrong type"}),
    ),
    "tardis-snapshots": Reader(
        tardis.read_snapshots,
        SNAPSHOTS.encode(),
        (SEEN.encode(),),
        EVERY_CSV
        | columns(SNAPSHOTS, SEEN, **ALL_OF_TARDIS)
        | columns(SNAPSHOTS, SEEN, **{"bids[0].price>x": "wrong type"}),
    ),
    "binance-depth": Reader(
        binance_tables.read_depth,
        DEPTHS.encode(),
        (SET.encode(), SET.replace(",b,", ",a,").encode()),
        EVERY_CSV
        | columns(
            DEPTHS,
            SET,
            **{
                "timestamp>" + "9" * 13: "bad time",
                "first_update_id>-1": "wrong type",
                "last_update_id>" + "9" * 40: "wrong type",
                "side>bid": "wrong type",
                "update_type>": "missing",
                "pu>x": "wrong type",
            },
        ),
    ),
    "truefx": Reader(
        lambda path: bars.read_truefx(path, symbol="USDJPY"),
        TICKS.encode(),
        (TICK.encode(), b"2013-01-01T22:00:00Z,1,2"),
        EVERY_CSV
        | columns(
            TICKS,
            TICK,
            **{
                "timestamp>2013-02-30 00:00:00Z": "bad time",
                "timestamp>2013-01-01 00:00:61Z": "bad time",
                "timestamp>2013-01-01 00:00:00": "bad time",
                "timestamp>9999-01-01 00:00:00Z": "bad time",
                "timestamp>0000-01-01 00:00:00Z": "bad time",
                "timestamp>": "missing",
                "bid>-": "wrong type",
            },
        ),
    ),
}


def written(folder: Path, head: bytes, lines: list[bytes]) -> Path:
    path = folder / "capture.txt"
    path.write_bytes(head + b"".join(line + b"\n" for line in lines))
    return path


def without_ids(feed: Feed) -> dict[str, pa.Table]:
    """Frames without what says on which line something stood."""
    return {
        name: frame.drop_columns([frame.column_names[0]]) for name, frame in feed.frames.items()
    }


@pytest.mark.parametrize("name", READERS)
def test_a_bad_line_is_quarantined_and_all_others_are_read(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    alone = reader.read(written(tmp_path, reader.head, list(reader.good)))
    assert alone.quarantined.num_rows == 0
    assert alone.lines == len(reader.good)
    begins = 1 + reader.head.count(b"\n")
    for line, reason in reader.bad.items():
        for place in (0, 1):
            lines = list(reader.good)
            # a wrong time can only be told beside others
            lines.insert(place + (reason == "bad time" and place == 0), line)
            found = reader.read(written(tmp_path, reader.head, lines))
            (told,) = found.quarantined.to_pylist()
            assert told["reason"] == reason, (line[:100], told)
            assert told["line"] == begins + lines.index(line)
            assert told["source"] == "capture.txt"
            assert told["length"] == len(line)
            assert told["content"] == line[:LONGEST_KEPT]
            assert told["detail"].isprintable()
            assert len(told["detail"]) < 500
            assert (found.lines, found.accepted) == (len(lines), len(reader.good))
            shown = without_ids(found)
            for stream, frame in without_ids(alone).items():
                assert shown[stream].num_rows == frame.num_rows
                for column in set(frame.column_names) - {"received", "at"}:
                    assert shown[stream][column].equals(frame[column]), (line[:100], column)


@pytest.mark.parametrize("name", READERS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_a_line_holds_it_is_accepted_or_quarantined(
    name: str, tmp_path: Path, data: st.DataObject
) -> None:
    reader = READERS[name]
    lines = list(reader.good)
    for _ in range(data.draw(st.integers(1, 3))):
        line = bytearray(data.draw(st.sampled_from(reader.good)))
        begin = data.draw(st.integers(0, len(line)))
        end = data.draw(st.integers(begin, min(len(line), begin + 6)))
        line[begin:end] = data.draw(
            st.one_of(st.binary(max_size=6), st.sampled_from([b"9" * 30, b"-", b'"', b"]", b"1e9"]))
        )
        content = bytes(line).replace(b"\n", b"")
        lines.insert(data.draw(st.integers(0, len(lines))), content)
    found = reader.read(written(tmp_path, reader.head, lines))
    assert found.lines == len(lines)
    assert found.accepted + found.quarantined.num_rows == found.lines
    at = found.quarantined["line"].to_pylist()
    assert len(set(at)) == len(at)
    for frame in found.frames.values():
        frame.validate(full=True)


@pytest.mark.parametrize("name", READERS)
def test_a_line_longer_than_any_message_is_skipped(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    huge = b"5" * (LONGEST_LINE + 3)
    found = reader.read(written(tmp_path, reader.head, [reader.good[0], huge, *reader.good[1:]]))
    (told,) = found.quarantined.to_pylist()
    assert (told["reason"], told["length"]) == ("oversize", len(huge) + 1)
    assert len(told["content"]) == LONGEST_KEPT
    assert found.accepted == len(reader.good)


def packed(form: str, path: Path, content: bytes) -> Path:
    """A file compressed as its name says."""
    whole = path.with_suffix(form)
    if form == ".gz":
        whole.write_bytes(gzip.compress(content))
    elif form == ".xz":
        whole.write_bytes(lzma.compress(content))
    elif form == ".zst":
        whole.write_bytes(pa.compress(content, "zstd", asbytes=True))
    else:
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("capture", content)
    return whole


@pytest.mark.parametrize("form", [".gz", ".xz", ".zst", ".zip"])
def test_a_compressed_file_that_breaks_off_is_read_as_far_as_it_goes(
    form: str, tmp_path: Path
) -> None:
    # numbers that do not repeat, so that no compression takes them all at once
    lines = [TRADE.replace(b'"t":7', b'"t":%d' % (n * 7_919 % 1_000_003)) for n in range(90_000)]
    path = packed(form, tmp_path / "x", b"\n".join(lines) + b"\n")
    whole = binance.read_capture(path)
    assert (whole.lines, whole.quarantined.num_rows) == (len(lines), 0)
    content = path.read_bytes()
    cut = bytearray(content)
    if form == ".zip":
        # its index is at its end: the data before it are damaged
        cut[len(cut) // 2 : len(cut) // 2 + 64] = bytes(64)
    path.write_bytes(cut if form == ".zip" else content[: len(content) // 2])
    found = binance.read_capture(path)
    last = found.quarantined.to_pylist()[-1]
    assert last["reason"] == "truncated"
    assert last["line"] == found.lines
    assert 0 < found.accepted < len(lines)
    path.write_bytes(b"\x00" * 100)
    with pytest.raises(hr.DataError, match="cannot be read"):
        binance.read_capture(path)


def test_a_message_and_its_book_are_quarantined_together(tmp_path: Path) -> None:
    messages, books = tmp_path / "messages.csv", tmp_path / "books.csv"
    good = ("34200.5,1,7,10,1000000,1", "1000100,5,1000000,10")
    bad: list[tuple[str, str, str, str]] = [
        ("noon,1,7,10,1000000,1", good[1], "messages.csv", "bad time"),
        ("34200.5,8,7,10,1000000,1", good[1], "messages.csv", "wrong type"),
        ("34200.5,1,7,10,1000000", good[1], "messages.csv", "malformed"),
        (good[0], "1000100,5,1000000", "books.csv", "malformed"),
        (good[0], "1000100,-5,1000000,10", "books.csv", "wrong type"),
        (good[0], f"{'9' * 30},5,1000000,10", "books.csv", "wrong type"),
        ("", "", "messages.csv", "malformed"),
    ]
    for message, book, source, reason in bad:
        messages.write_text(f"{good[0]}\n{message}\n{good[0]}\n")
        books.write_text(f"{good[1]}\n{book}\n{good[1]}\n")
        feed = lobster.read_lobster(messages, books, symbol="X", day=dt.date(2012, 6, 21))
        (told,) = feed.quarantined.to_pylist()
        assert (told["source"], told["line"], told["reason"]) == (source, 2, reason)
        assert (feed.lines, feed.accepted, feed.frames["depth"].num_rows) == (3, 2, 2)


def test_what_was_accepted_is_accepted_by_the_door_too() -> None:
    """The greatest numbers that a reader takes are not too great for the columns of a stream."""
    most = b"89999999.99999999"
    line = DEPTH.replace(b'"1.50"', b'"%b"' % most).replace(b'"2"', b'"%b"' % most)
    feed = binance.read_capture(Path("x"), lines=[line])
    assert feed.accepted == 1
    seen: Any = market.book.at(market.changes)
    case = hr.UseCase(name="door", on=market.changes, features=hr.features(book_status=seen.status))
    decided = hr.decide(case, {"changes": feed.frames["changes"]})
    assert decided["status"].to_pylist() == ["accepted", "accepted"]
