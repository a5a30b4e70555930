"""Where decisions go beside the journal: files that people and other programs read.

A sink follows the journal: it gets what the journal has made durable, and when it is opened again
it goes on where its file ends. What a crash kept from it is in the journal, and is written first.
What the journal lost of what it had before (a tail that nothing vouches for) is moved aside.
"""

from __future__ import annotations

import mmap
import os
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.csv

from headrace.core.errors import DataError
from headrace.events import arrow_ipc, parquet
from headrace.events.json_writer import OutColumn, Rendered, lines_of, list_texts, object_texts
from headrace.journal.reader import stored_batches
from headrace.journal.tables import decision_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from headrace.events.chunks import TableWriter
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader


class LineSink:
    """A file of JSON lines or CSV that grows with every commit.

    Args:
        path: Ends in .jsonl, .ndjson or .csv.
        journal: Folder of the journal that it follows.
        header: What the batches to come are recorded under.
        next_seq: Where the journal ends.

    Raises:
        DataError: When what stands in the file is not of this journal.
    """

    def __init__(self, path: Path, journal: Path, header: JournalHeader, next_seq: int) -> None:
        self._header = header
        self._csv = path.suffix == ".csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        last = _last_seq(path, next_seq, csv=self._csv) if path.exists() else -1
        self._file = path.open("ab")
        for stored in stored_batches(journal, last + 1):
            self._write(stored.batch(), stored.header, last)

    def write(self, batches: Sequence[JournalBatch]) -> None:
        """Take decided batches, in order."""
        for batch in batches:
            self._write(batch, self._header, -1)
        self._file.flush()

    def _write(self, batch: JournalBatch, header: JournalHeader, after: int) -> None:
        if len(batch.decisions) == 0:
            return
        table = decision_table(batch, header)
        table = table.filter(pa.compute.greater(table["seq"], after))
        if self._csv:
            flat = _flat(table)
            options = pa.csv.WriteOptions(include_header=self._file.tell() == 0)
            pa.csv.write_csv(flat, self._file, options)
        else:
            columns = zip(table.column_names, table.combine_chunks().columns, strict=True)
            self._file.write(lines_of([(name, _written(column)) for name, column in columns]))

    def close(self) -> None:
        """Nothing more will come."""
        self._file.close()


def _written(column: pa.ChunkedArray) -> OutColumn:
    """A column as JSON is written of it: exact decimals as numbers, lists of reasons as objects."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_decimal(array.type):
        return Rendered(array.cast(pa.string()))
    if pa.types.is_list(array.type) and pa.types.is_struct(array.type.value_type):
        items = array.flatten()
        fields = [(item.name, items.field(item.name)) for item in items.type]
        offsets = pa.compute.subtract(array.offsets, array.offsets[0])
        return list_texts(offsets, Rendered(object_texts(fields)))
    if pa.types.is_dictionary(array.type):
        return array.dictionary_decode()
    return array


def _last_seq(path: Path, next_seq: int, *, csv: bool) -> int:
    """Sequence number of the last whole line that the journal has; what stands after it is cut off.

    Whole lines that the journal does not have are kept beside the file, in NAME.unvouched.
    """
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return -1
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
            first = data.find(b"\n") + 1 if csv else 0
            names = data[:first].decode(errors="replace").replace('"', "").strip().split(",")
            whole = end = data.rfind(b"\n") + 1
            last = -1
            while end > first:
                begin = data.rfind(b"\n", 0, end - 1) + 1
                last = _seq_of(data[begin:end], names if csv else None, path)
                if last < next_seq:
                    break
                last, end = -1, begin
            if end < whole:
                with path.with_name(path.name + ".unvouched").open("ab") as aside:
                    aside.write(data[end:whole])
        file.truncate(end)
    return last


def _seq_of(line: bytes, names: list[str] | None, path: Path) -> int:
    """The sequence number in a line: of CSV with columns of those names, else of JSON."""
    try:
        if names is not None:
            return int(line.split(b",")[names.index("seq")])
        return int(msgspec.json.decode(line)["seq"])
    except (ValueError, LookupError, TypeError, msgspec.DecodeError) as error:
        raise DataError(
            f"{path} does not hold decisions of this journal ({error}); name another --sink"
        ) from error


def _flat(table: pa.Table) -> pa.Table:
    """The same table with lists as JSON text, which is all that CSV can hold."""
    for index, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            texts = [msgspec.json.encode(item).decode() for item in table[index].to_pylist()]
            table = table.set_column(index, field.name, pa.array(texts, pa.string()))
    return table


class TableSink:
    """A Parquet or Arrow file of all decisions of the journal, written whole when the run ends.

    Args:
        path: Of the file.
        journal: Folder of the journal that it follows.
        writer: Of the file's format.
    """

    def __init__(
        self, path: Path, journal: Path, writer: Callable[[Path, pa.Schema], TableWriter]
    ) -> None:
        self._path = path
        self._journal = journal
        self._writer = writer

    def write(self, batches: Sequence[JournalBatch]) -> None:
        """Take decided batches: the journal has them, and they are read from there."""

    def close(self) -> None:
        """Write the file beside its place, and move it there."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        tables = _tables(self._journal)
        first = next(tables, None)
        if first is None:
            return
        with self._writer(self._path, first.schema) as target:
            for table in chain([first], tables):
                for batch in table.cast(first.schema).to_batches():
                    target.write(batch)


def _tables(journal: Path) -> Iterator[pa.Table]:
    for stored in stored_batches(journal):
        if stored.link.decisions:
            yield decision_table(stored.batch(), stored.header)


def open_sink(
    path: Path, journal: Path, header: JournalHeader, next_seq: int
) -> LineSink | TableSink:
    """The sink of a file, by its ending; see `LineSink`.

    Raises:
        DataError: The ending is of no known format.
    """
    if path.suffix in (".jsonl", ".ndjson", ".csv"):
        return LineSink(path, journal, header, next_seq)
    if path.suffix == ".parquet":
        return TableSink(path, journal, parquet.writer)
    if path.suffix in (".arrow", ".feather"):
        return TableSink(path, journal, arrow_ipc.writer)
    raise DataError(f"--sink {path}: expected a name that ends in .jsonl, .csv, .parquet or .arrow")
