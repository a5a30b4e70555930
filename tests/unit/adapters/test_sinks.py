"""Files of decisions: what they hold when the definition changes, after a crash, or by mistake."""

from __future__ import annotations

import csv
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest

import headrace as hr
from headrace.adapters.sinks import open_sink
from headrace.core.errors import DataError
from headrace.journal.reader import stored_batches
from headrace.runtime.home import Home
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.local_lane import LaneSettings

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.pipeline.use_case import UseCase


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key
    amount: hr.Money("EUR")  # type: ignore[valid-type]  # a type made by a call


def case(*more: str) -> UseCase:
    payments = hr.stream(Payment, name="payments", lateness="10m")
    card = payments.by("card")
    every = {"count_5m": card.count("5m"), "w": card.count("1h"), "sum_1d": card.count("1d")}
    chosen = {name: every[name] for name in ("count_5m", *more)}
    return hr.UseCase(name="sunk", on=payments, features=hr.features(**chosen))


def payments(folder: Path, first: int, count: int, card: str = "c") -> str:
    path = folder / f"from_{first}.jsonl"
    path.write_text(
        "".join(
            f'{{"payment_id": "p{i}", "at": "2026-03-01T12:00:{i:02d}Z", "card": "{card}",'
            f' "amount": {i}.50}}\n'
            for i in range(first, first + count)
        )
    )
    return str(path)


def read_arrow(path: Path) -> pl.DataFrame:
    frame = pl.from_arrow(pa.ipc.open_file(path).read_all())
    assert isinstance(frame, pl.DataFrame)
    return frame


def run(use_case: UseCase, home: Path, source: str, *sinks: Path) -> None:
    makers = [
        partial(
            lambda path, local: open_sink(
                path, local.journal.folder, local.header, local.journal.next_seq
            ),
            path,
        )
        for path in sinks
    ]
    settings = RunSettings(lane=LaneSettings(durability="os"))
    LocalRun(use_case, Home(home), [source], makers, settings).go()


def decided(home: Path) -> int:
    return sum(item.link.decisions for item in stored_batches(Home(home).journal("sunk")))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_a_csv_file_without_room_for_a_new_column_is_refused(tmp_path: Path) -> None:
    home, sink = tmp_path / "home", tmp_path / "d.csv"
    run(case(), home, payments(tmp_path, 0, 3), sink)
    before = sink.read_bytes()
    with pytest.raises(DataError, match=r"no column w, which decisions have now.*another --sink"):
        run(case("w"), home, payments(tmp_path, 3, 2), sink)
    assert sink.read_bytes() == before
    assert decided(home) == 3

    other = tmp_path / "e.csv"
    run(case("w"), home, payments(tmp_path, 3, 2), other)
    assert [row["w"] for row in rows_of(other)] == ["", "", "", "4", "5"]
    assert [row["payment_id"] for row in rows_of(other)] == ["p0", "p1", "p2", "p3", "p4"]


def test_a_csv_file_leaves_empty_what_a_new_definition_lacks(tmp_path: Path) -> None:
    home, sink = tmp_path / "home", tmp_path / "d.csv"
    run(case("w", "sum_1d"), home, payments(tmp_path, 0, 2), sink)
    run(case("sum_1d"), home, payments(tmp_path, 2, 1), sink)
    assert [(row["w"], row["sum_1d"]) for row in rows_of(sink)] == [
        ("1", "1"),
        ("2", "2"),
        ("", "3"),
    ]


@pytest.mark.parametrize(
    ("name", "read"), [("d.parquet", pl.read_parquet), ("d.arrow", read_arrow)]
)
def test_a_table_has_the_columns_of_all_definitions(tmp_path: Path, name: str, read: Any) -> None:
    home, sink = tmp_path / "home", tmp_path / name
    run(case(), home, payments(tmp_path, 0, 2), sink)
    run(case("w"), home, payments(tmp_path, 2, 1), sink)
    run(case("sum_1d"), home, payments(tmp_path, 3, 1), sink)
    told = read(sink)
    assert told["w"].to_list() == [None, None, 3.0, None]
    assert told["sum_1d"].to_list() == [None, None, None, 4.0]
    assert told["count_5m"].to_list() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl"])
def test_a_file_that_was_cut_off_anywhere_is_made_whole(tmp_path: Path, name: str) -> None:
    """A line feed within a value ends no line of CSV."""
    home, sink = tmp_path / "home", tmp_path / name
    source = payments(tmp_path, 0, 3, card='a\\nb \\"c\\", d')
    run(case(), home, source, sink)
    whole = sink.read_bytes()
    journal = Home(home).journal("sunk")
    header = next(stored_batches(journal)).header
    for cut in range(len(whole)):
        sink.write_bytes(whole[:cut])
        open_sink(sink, journal, header, 3).close()
        assert sink.read_bytes() == whole, cut


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl"])
def test_lines_that_the_journal_does_not_have_are_kept_beside(tmp_path: Path, name: str) -> None:
    home, sink = tmp_path / "home", tmp_path / name
    run(case(), home, payments(tmp_path, 0, 3, card="a\\nb"), sink)
    whole = sink.read_bytes()
    journal = Home(home).journal("sunk")
    header = next(stored_batches(journal)).header
    open_sink(sink, journal, header, 1).close()
    assert sink.read_bytes() == whole
    aside = sink.with_name(f"{name}.unvouched").read_bytes()
    assert whole.endswith(aside)
    assert aside.count(b"sunk/0/") == 2
    open_sink(sink, journal, header, 0).close()
    assert sink.read_bytes() == whole


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("d.csv", b"hello"),
        ("d.csv", b"hello\n"),
        ("d.csv", b'"decision_id","seq","outcome"\n"other/0/1",1,"approve"\n'),
        ("d.csv", b'"decision_id","seq","outcome"\n"sunk/0/1"\n'),
        ("d.jsonl", b"hello"),
        ("d.jsonl", b'{"seq": 1}\n'),
        ("d.jsonl", b'{"decision_id":"sunk/0/1","seq":1}\nhello\n'),
        ("d.parquet", b"hello"),
        ("d.arrow", b"hello"),
    ],
)
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, name: str, held: bytes) -> None:
    home, sink = tmp_path / "home", tmp_path / name
    sink.write_bytes(held)
    with pytest.raises(DataError, match=r"name another --sink"):
        run(case(), home, payments(tmp_path, 0, 2), sink)
    assert sink.read_bytes() == held
    assert decided(home) == 0


def test_a_parquet_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    sink = tmp_path / "d.parquet"
    for frame in (
        pl.DataFrame({"x": [1]}),
        pl.DataFrame({"decision_id": ["other/0/1"], "seq": [1]}),
        pl.DataFrame({"decision_id": ["sunk/0/9"], "seq": [9]}),
    ):
        frame.write_parquet(sink)
        with pytest.raises(DataError, match="name another --sink"):
            run(case(), tmp_path / "home", payments(tmp_path, 0, 2), sink)
        assert pl.read_parquet(sink).equals(frame)


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl", "d.parquet"])
def test_a_folder_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    sink = tmp_path / "nodir" / name
    with pytest.raises(DataError, match=r"there is no folder .*nodir; make it first"):
        run(case(), tmp_path / "home", payments(tmp_path, 0, 2), sink)
    assert not sink.parent.exists()
    assert decided(tmp_path / "home") == 0


def test_a_checkpoint_in_a_folder_that_is_not_there_is_refused_first(tmp_path: Path) -> None:
    settings = RunSettings(checkpoint=tmp_path / "nodir" / "witness.jsonl")
    with pytest.raises(DataError, match="there is no folder"):
        LocalRun(case(), Home(tmp_path / "home"), [payments(tmp_path, 0, 1)], settings=settings)
    assert not (tmp_path / "home").exists()
