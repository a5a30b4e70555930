"""Tardis' CSV of changes: messages of many lines, lines that cannot be read, a real file."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pytest

import headrace as hr
from headrace_solutions.trading_signal import market
from headrace_solutions.trading_signal.tardis import book, read_incremental

DATA = os.environ.get("HEADRACE_DATA")
HEAD = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"
GOOD = (
    "d,X,1000000,1000005,true,bid,10.0,3\n"
    "d,X,1000000,1000005,true,ask,10.5,4\n"
    "d,X,1000100,1000105,false,bid,10.25,1.5\n"
    "d,X,1000100,1000105,false,bid,10.0,0\n"
)
view = book.at(market.depth)
case = hr.UseCase(
    name="tops",
    on=market.depth,
    features=hr.features(
        bid=view.price("bid"), ask=view.price("ask"), size=view.size("bid"), book_status=view.status
    ),
)


def written(folder: Path, text: str) -> Path:
    path = folder / "file.csv"
    path.write_text(text)
    return path


def test_lines_of_one_moment_are_one_message(tmp_path: Path) -> None:
    feed = read_incremental(written(tmp_path, HEAD + GOOD))
    changes = feed.frames["changes"]
    assert changes["place"].to_pylist() == [0, 1, 0, 1]
    assert changes["is_last"].to_pylist() == [False, True, False, True]
    assert changes["change_id"].to_pylist() == ["0/0", "0/1", "1/0", "1/1"]
    assert feed.frames["depth"]["received"].cast(pa.int64()).to_pylist() == [
        1_000_005_000,
        1_000_105_000,
    ]
    assert (feed.lines, feed.quarantined.num_rows) == (4, 0)
    told = hr.compute(case, feed.frames)
    assert told["bid"].cast(pa.float64()).to_pylist() == [10.0, 10.25]
    assert told["size"].cast(pa.float64()).to_pylist() == [3.0, 1.5]
    assert told["book_status"].to_pylist() == [0, 0]


def test_messages_of_one_microsecond_keep_their_order(tmp_path: Path) -> None:
    lines = "".join(f"d,X,{n},77,false,ask,1{n},1\n" for n in range(3))
    feed = read_incremental(written(tmp_path, HEAD + lines))
    known = feed.frames["depth"]["received"].cast(pa.int64()).to_pylist()
    assert known == [77_000, 77_001, 77_002]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("d,X,1000000,1000005,true,bid,ten,3", "price is 'ten'"),
        ("d,X,1000000,1000005,true,bid,1e3,3", "price is '1e3'"),
        ("d,X,1000000,1000005,true,bid,1.123456789,3", "price is '1.123456789'"),
        ("d,X,1000000,1000005,true,bid,10,-1", "amount is '-1'"),
        ("d,X,1000000,1000005,true,buy,10,1", "side is 'buy'"),
        ("d,X,1000000,1000005,yes,bid,10,1", "is_snapshot is 'yes'"),
        ("d,X,-5,1000005,true,bid,10,1", "timestamp is '-5'"),
        ("d,X,1000000,99999999999999999999,true,bid,10,1", "local_timestamp is"),
        (",X,1000000,1000005,true,bid,10,1", "exchange is ''"),
        ("d,X,1000000,1000005,true,bid,10", "7 columns, expected 8"),
        ("d,X,1000000,1000005,true,bid,10,1,1", "9 columns, expected 8"),
        ("", "1 columns, expected 8"),
        ('d,"X,1000000,1000005,true,bid,10,1,2', "9 columns, expected 8"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_and_the_rest_is_read(
    tmp_path: Path, line: str, reason: str
) -> None:
    lines = GOOD.splitlines(keepends=True)
    feed = read_incremental(written(tmp_path, HEAD + "".join(lines[:2]) + line + "\n" + lines[2]))
    (refused,) = feed.quarantined.to_pylist()
    assert refused["line"] == 4
    assert reason in refused["detail"]
    assert refused["content"] == line.encode()
    assert feed.frames["changes"].num_rows == 3
    assert feed.lines == 4


def test_a_file_without_its_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(hr.DataError, match=r"lacks is_snapshot, side, price, amount; it has"):
        read_incremental(written(tmp_path, "exchange,symbol,timestamp,local_timestamp\nd,X,1,2\n"))
    with pytest.raises(hr.DataError, match="lacks exchange"):
        read_incremental(written(tmp_path, ""))


def test_a_file_may_be_compressed_or_hold_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file.csv.gz"
    path.write_bytes(gzip.compress((HEAD + GOOD).encode()))
    assert read_incremental(path).frames["changes"].num_rows == 4
    empty = read_incremental(written(tmp_path, HEAD))
    assert (empty.frames["changes"].num_rows, empty.frames["depth"].num_rows) == (0, 0)


@pytest.mark.skipif(DATA is None, reason="HEADRACE_DATA names no folder")
def test_a_real_file_of_deribit() -> None:
    assert DATA is not None
    name = "deribit_incremental_book_L2_BTC-PERPETUAL.csv"
    feed = read_incremental(Path(DATA) / "ticks_nautilus_samples" / "tardis" / name)
    changes = feed.frames["changes"]
    assert (feed.lines, changes.num_rows, feed.quarantined.num_rows) == (15, 15, 0)
    assert set(changes["symbol"].to_pylist()) == {"deribit:BTC-PERPETUAL"}
    assert changes["price"][0].as_py() == "6421.5"
