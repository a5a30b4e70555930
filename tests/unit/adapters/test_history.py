"""Finished files give any of their rows in any order, whatever their format, and in bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import headrace as hr
from headrace.adapters.opening import open_file, open_frame
from headrace.adapters.tables import TableHistory
from headrace.core.errors import DataError
from headrace.events import arrow_ipc, parquet
from headrace.events.chunks import CHUNK_ROWS, Chunk, chunks_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from headrace.adapters.history import HistoricSource
    from headrace.core.columns import Int64s
    from headrace.events.schema import Schema


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    amount: hr.Money = hr.field(currency="EUR")


SCHEMA: Schema = hr.stream(Payment, name="payments").definition.schema
ROWS = 250_000
#: Every row at one of these has an amount that is none, or a time that is none.
BAD_AMOUNT, BAD_TIME = 1_001, 7_919


def table() -> pa.Table:
    index = np.arange(ROWS)
    names = np.char.add("p", index.astype(str))
    amounts = np.char.add(index.astype(str), ".25").astype(object)
    amounts[::BAD_AMOUNT] = "much"
    at = np.datetime_as_string(index.astype("datetime64[s]")).astype(object) + "Z"
    at[::BAD_TIME] = "noon"
    return pa.table({"payment_id": names, "at": at.astype(str), "amount": amounts.astype(str)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows in every format; the Parquet file has row groups of several sizes."""
    made = tmp_path_factory.mktemp("history")
    rows = table()
    pa.csv.write_csv(rows, made / "rows.csv")
    with arrow_ipc.writer(made / "rows.arrow", rows.schema) as target:
        for batch in rows.to_batches(50_000):
            target.write(batch)
    pq.write_table(rows, made / "rows.parquet", row_group_size=100_000)
    lines = (
        f'{{"payment_id":"{row["payment_id"]}","at":"{row["at"]}","amount":"{row["amount"]}"}}\n'
        for row in rows.to_pylist()
    )
    (made / "rows.jsonl").write_text("".join(lines))
    return made


def orders() -> dict[str, Int64s]:
    dice = np.random.default_rng(3)
    near = np.argsort(np.arange(ROWS) + dice.integers(0, 5_000, ROWS), kind="stable")
    far = np.argsort(
        np.arange(ROWS) + np.where(dice.random(ROWS) < 0.01, 150_000, 0), kind="stable"
    )
    return {
        "as it lies": np.arange(ROWS),
        "from the middle on": np.arange(123_456, ROWS),
        "nearly so": near,
        "with some far off": far,
        "in no order": dice.permutation(ROWS),
    }


def read_all(source: HistoricSource, order: Int64s, size: int = 30_000) -> list[object]:
    """What becomes of every row: its values, or why it was refused, and its bytes."""
    found: list[object] = []
    source.expect(order)
    for begin in range(0, len(order), size):
        rows = order[begin : begin + size]
        parsed = source.read(rows)
        assert parsed.received == len(rows)
        texts = parsed.batch.text("payment_id").strings()
        values = zip(
            texts,
            parsed.batch.fixed("at").values.tolist(),
            parsed.batch.fixed("amount").values.tolist(),
            strict=True,
        )
        made: dict[int, object] = dict(zip(parsed.rows.tolist(), values, strict=True))
        for index, row in enumerate(parsed.rejections.rows.tolist()):
            told = parsed.rejections[index]
            shown = source.raw(int(rows[row])).decode().replace(" ", "")
            made[row] = (told.reason, told.field, told.value, shown)
        found += [made[row] for row in range(len(rows))]
    return found


@pytest.fixture(scope="module")
def lines(folder: Path) -> list[object]:
    """What the lines give, which are read from wherever they stand."""
    return read_all(open_file(folder / "rows.jsonl", "payments", SCHEMA), np.arange(ROWS))


@pytest.mark.parametrize("order", orders().values(), ids=orders())
@pytest.mark.parametrize("ending", ["csv", "parquet", "arrow", "frame"])
def test_rows_come_in_any_order(
    ending: str, order: Int64s, folder: Path, lines: list[object]
) -> None:
    if ending == "frame":
        source: HistoricSource = open_frame(table(), "payments", SCHEMA)
    else:
        source = open_file(folder / f"rows.{ending}", "payments", SCHEMA)
    assert read_all(source, order) == [lines[row] for row in order]


@pytest.mark.parametrize("ending", ["csv", "parquet", "arrow"])
def test_a_row_that_cannot_be_read_has_the_times_of_the_one_before(
    ending: str, folder: Path
) -> None:
    done: list[int] = []
    at, known = open_file(folder / f"rows.{ending}", "payments", SCHEMA).times(5, done.append)
    expected = np.arange(ROWS) * 1_000_000_000
    expected[::BAD_TIME] -= 1_000_000_000
    expected[0] = expected[1]
    np.testing.assert_array_equal(at, expected)
    np.testing.assert_array_equal(known, expected + 5)
    assert done[-1] == ROWS
    lines = open_file(folder / "rows.jsonl", "payments", SCHEMA).times(5, done.append)
    np.testing.assert_array_equal(lines[0], at)


class CountedTable:
    """A table that notes how much of it was read, and how often it was begun."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows
        self.read = self.begun = 0

    def chunks(self, _names: Collection[str] | None, _first: int) -> Iterator[Chunk]:
        self.begun += 1
        for chunk in chunks_of(self.rows.to_batches(10_000)):
            self.read += chunk.received
            yield chunk


@pytest.mark.parametrize(
    ("order", "passes"), [("as it lies", 1), ("nearly so", 1), ("in no order", 2)]
)
def test_a_table_is_not_read_again_for_every_batch(order: str, passes: int) -> None:
    counted = CountedTable(table())
    read_all(TableHistory("rows", "payments", SCHEMA, counted), orders()[order], 16_384)
    assert counted.begun == passes
    assert counted.read <= passes * ROWS


def test_what_a_window_holds_is_bounded() -> None:
    counted = CountedTable(table())
    source = TableHistory("rows", "payments", SCHEMA, counted)
    source.expect(np.arange(ROWS))
    source.read(np.arange(10))
    assert counted.read <= 2 * CHUNK_ROWS


def test_parquet_is_read_from_the_row_group_that_is_wanted(folder: Path) -> None:
    first = next(parquet.read(folder / "rows.parquet", first=199_999))
    assert first.first == 100_000
    assert list(parquet.read(folder / "rows.parquet", first=ROWS)) == []


def test_columns_that_do_not_fit_are_told_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "short.csv").write_text("payment_id,at\np1,2026-01-01T00:00:00Z\n")
    source = open_file(tmp_path / "short.csv", "payments", SCHEMA)
    with pytest.raises(DataError, match=r"short\.csv.*amount"):
        source.times(0, lambda _rows: None)


def test_a_file_that_is_replaced_meanwhile_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("payment_id,at,amount\np1,2026-01-01T00:00:00Z,1\n")
    source = open_file(path, "payments", SCHEMA)
    other = tmp_path / "other.csv"
    other.write_text(path.read_text().replace("p1", "p2"))
    other.replace(path)
    with pytest.raises(DataError, match="replaced while it was read"):
        source.times(0, lambda _rows: None)


def test_an_empty_table_has_no_rows(tmp_path: Path) -> None:
    pq.write_table(table().slice(0, 0), tmp_path / "none.parquet")
    at, known = open_file(tmp_path / "none.parquet", "payments", SCHEMA).times(0, lambda _: None)
    assert len(at) == len(known) == 0
