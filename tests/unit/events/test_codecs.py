"""Tables from files and frames: every row arrives, in its place, or is said to be broken."""

from __future__ import annotations

import csv as python_csv
import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.columns import Batch, Fixed, Kind, Text, pack_letters
from headrace.core.errors import DataError
from headrace.events import arrow_ipc, csv, frames, parquet
from headrace.events.arrow_forms import arrow_schema, to_arrow
from headrace.events.reasons import Reason
from headrace.events.schema import Field, Role, Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from headrace.events.chunks import Chunk

SCHEMA = Schema(
    "Payment",
    (
        Field("id", Kind.TEXT, Role.ID),
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("amount", Kind.MONEY, currency_field="currency"),
        Field("currency", Kind.CURRENCY),
        Field("x", Kind.FLOAT, optional=True),
        Field("ok", Kind.BOOL, optional=True),
        Field("note", Kind.TEXT, optional=True),
    ),
)
BATCH = Batch(
    {
        "id": Text.of(["a", "b", "ü"]),
        "at": Fixed.of([0, -1, 1_800_000_000_123_456_789]),
        "amount": Fixed.of([1234, -5, 0]),
        "currency": Fixed.of([pack_letters(code) for code in ("EUR", "JPY", "CLF")]),
        "x": Fixed.of([None, 4607182418800017408, 0]),
        "ok": Fixed.of([1, 0, None]),
        "note": Text.of(['He said "no",\nand left', "", None]),
    },
    3,
)


def _same(left: Batch, right: Batch) -> bool:
    return all(
        a.strings() == b.strings()
        if isinstance(a, Text) and isinstance(b, Text)
        else isinstance(a, Fixed) and isinstance(b, Fixed) and np.array_equal(a.values, b.values)
        for a, b in ((left.columns[name], right.columns[name]) for name in left.columns)
    )


@pytest.mark.parametrize("codec", [parquet, arrow_ipc])
def test_what_is_written_is_read(codec: Any, tmp_path: Path) -> None:
    path = tmp_path / "events"
    with codec.writer(path, arrow_schema(SCHEMA)) as writer:
        writer.write(to_arrow(SCHEMA, BATCH))
        assert not path.exists()
    assert [item.name for item in tmp_path.iterdir()] == ["events"]
    (chunk,) = codec.read(path)
    parsed = chunk.parsed(SCHEMA)
    assert len(parsed.rejections) == 0
    assert _same(parsed.batch, BATCH)


def test_csv_of_arrow_is_read(tmp_path: Path) -> None:
    pa_csv.write_csv(to_arrow(SCHEMA, BATCH), tmp_path / "events.csv")
    (chunk,) = csv.read(tmp_path / "events.csv")
    assert _same(chunk.parsed(SCHEMA).batch, BATCH)


@pytest.mark.parametrize("codec", [parquet, arrow_ipc])
def test_a_write_that_breaks_off_leaves_the_old_file(codec: Any, tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), codec.writer(path, arrow_schema(SCHEMA)):
        raise KeyError
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_csv_rows_that_do_not_fit_are_kept_with_their_place() -> None:
    data = b'id,note\na,1\nb\n\nc,"x\ny"\nd,1,2\n\xff\ne,\xfe\n\xc3\xa4,""\nf\n'
    schema = Schema("Note", (SCHEMA.fields[0], SCHEMA.fields[-1]))
    (first, last) = csv.read(io.BytesIO(data))
    assert (first.received, last.received, last.first) == (7, 1, 7)
    parsed = first.parsed(schema)
    assert parsed.rows.tolist() == [0, 2, 6]
    assert parsed.batch.text("id").strings() == ["a", "c", "ä"]
    assert parsed.batch.text("note").strings() == ["1", "x\ny", ""]
    assert parsed.rejections.rows.tolist() == [1, 3, 4, 5]
    assert parsed.rejections.values == ["b", "d,1,2", "\\xff", "\\xfe"]  # noqa: PD011 - no frame of pandas
    assert parsed.rejections.reasons.tolist() == [Reason.MALFORMED] * 3 + [Reason.BAD_UTF8]
    assert last.parsed(schema).rejections.values == ["f"]  # noqa: PD011 - no frame of pandas


@settings(deadline=None, max_examples=80)
@given(st.lists(st.sampled_from(["12345678,a", "1", "1,2,3", "", '"x,\ny",z']), max_size=60))
def test_csv_places_hold_across_blocks(lines: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv, "_BLOCK_BYTES", 48)
        chunks = list(csv.read(io.BytesIO("\n".join(["id,note", *lines, ""]).encode())))
    rows = [line for line in lines if line]
    good = [place for place, line in enumerate(rows) if line in ("12345678,a", '"x,\ny",z')]
    assert [chunk.first + row for chunk in chunks for row in chunk.rows.tolist()] == good
    broken = {chunk.first + item.row: item.data for chunk in chunks for item in chunk.broken}
    assert broken == {
        place: line.encode() for place, line in enumerate(rows) if place not in set(good)
    }


def test_csv_with_a_byte_order_mark_and_other_delimiter() -> None:
    (chunk,) = csv.read(io.BytesIO("\ufeffid;ö\r\n1;ä\r\n".encode()), delimiter=";")
    assert chunk.batch.to_pylist() == [{"id": b"1", "ö": "ä".encode()}]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2, max_size=2
        ),
        min_size=1,
    )
)
def test_csv_reads_what_python_writes(rows: list[list[str]]) -> None:
    text = io.StringIO()
    python_csv.writer(text, quoting=python_csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    chunks = list(csv.read(io.BytesIO(text.getvalue().encode())))
    read = [list(row.values()) for chunk in chunks for row in chunk.batch.to_pylist()]
    assert read == [[value.encode() for value in row] for row in rows]


@pytest.mark.parametrize("data", [b"", b"\n\n"])
def test_csv_without_a_line_has_no_rows(data: bytes) -> None:
    assert list(csv.read(io.BytesIO(data))) == []


@pytest.mark.parametrize("data", [b"\xff,b\n1,2\n"])
def test_csv_without_a_header_is_no_csv(data: bytes) -> None:
    with pytest.raises(DataError, match="header"):
        list(csv.read(io.BytesIO(data)))


def test_big_tables_come_in_chunks(tmp_path: Path) -> None:
    table = pa.table({"n": np.arange(200_000)})
    path = tmp_path / "n.arrow"
    with arrow_ipc.writer(path, table.schema) as writer:
        for batch in table.to_batches():
            writer.write(batch)
    chunks = list(arrow_ipc.read(path))
    assert [chunk.first for chunk in chunks] == [0, 65_536, 131_072, 196_608]
    assert sum(chunk.received for chunk in chunks) == 200_000


def test_frames_of_every_library_are_the_same() -> None:
    table = pa.table({"id": ["a", "b"], "at": pa.array([0, 1], pa.timestamp("us", "UTC"))})
    schema = Schema("Seen", SCHEMA.fields[:2])
    made = [
        table,
        table.to_batches()[0],
        table.to_reader(),
        pl.from_arrow(table),
        pd.DataFrame({"id": ["a", "b"], "at": pd.to_datetime([0, 1], unit="us", utc=True)}),
    ]
    for frame in made:
        (chunk,) = frames.read(frame)
        parsed = chunk.parsed(schema)
        assert parsed.batch.text("id").strings() == ["a", "b"]
        assert parsed.batch.fixed("at").values.tolist() == [0, 1000]  # noqa: PD011 - no frame of pandas


def test_what_is_no_frame_is_said() -> None:
    with pytest.raises(DataError, match="a list is no frame"):
        list(frames.read([1]))
    with pytest.raises(DataError, match="cannot be taken as Arrow"):
        list(frames.read(pd.DataFrame({"id": ["a", 1]})))


def test_missing_files_are_said(tmp_path: Path) -> None:
    for codec in (csv, parquet, arrow_ipc):
        with pytest.raises(DataError, match=r"there is no file .*none"):
            list(codec.read(tmp_path / "none"))


def _written(codec: Any, path: Path) -> bytes:
    if codec is csv:
        pa_csv.write_csv(pa.Table.from_batches([to_arrow(SCHEMA, BATCH)] * 2), path)
        return path.read_bytes()
    with codec.writer(path, arrow_schema(SCHEMA)) as writer:
        writer.write(to_arrow(SCHEMA, BATCH))
        writer.write(to_arrow(SCHEMA, BATCH))
    return path.read_bytes()


def _drain(read: Callable[[io.BytesIO], Iterator[Chunk]], data: bytes) -> None:
    """Read to the end; nothing but `DataError` may come of it, and no row may be lost."""
    following = 0
    try:
        for chunk in read(io.BytesIO(data)):
            assert chunk.first == following
            following += chunk.received
            parsed = chunk.parsed(SCHEMA)
            assert len(parsed.rows) + len(parsed.rejections) == parsed.received == chunk.received
            both = sorted(parsed.rows.tolist() + parsed.rejections.rows.tolist())
            assert both == list(range(chunk.received))
    except DataError:
        return


@settings(deadline=None, max_examples=150)
@given(data=st.data())
@pytest.mark.parametrize("codec", [csv, parquet, arrow_ipc])
def test_damaged_files_lose_no_row(
    codec: Any, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = _written(codec, tmp_path_factory.getbasetemp() / "whole")
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(damaged)))
        stop = min(len(damaged), start + data.draw(st.integers(0, 8)))
        damaged[start:stop] = data.draw(st.binary(max_size=8))
    _drain(codec.read, bytes(damaged))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300), st.sampled_from([b"", b"PAR1", b"ARROW1\0\0", b"id,at\n"]))
@pytest.mark.parametrize("codec", [csv, parquet, arrow_ipc])
def test_random_bytes_are_read_or_refused(codec: Any, data: bytes, begin: bytes) -> None:
    _drain(codec.read, begin + data + begin[:4])


def test_another_format_is_refused() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", "b")
    for codec in (parquet, arrow_ipc):
        with pytest.raises(DataError, match="cannot be read as"):
            list(codec.read(io.BytesIO(packed.getvalue())))
