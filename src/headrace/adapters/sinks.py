"""Where decisions go beside the journal: files that people and other programs read.

A sink follows the journal: it gets what the journal has made durable, and when it is opened again
it goes on where its file ends. What a crash kept from it is in the journal, and is written first.
What the journal lost of what it had before (a tail that nothing vouches for) is moved aside.

Columns are those of the definition, so they change with it. A line of JSON names its own. A table
has the columns of all decisions in it, with nothing in those that a decision does not have: Parquet
is written whole, so it always has them all; a CSV file keeps the header that it began with, and a
definition with a column more is refused before anything is decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from headrace.adapters.held_lines import held_lines
from headrace.core.errors import DataError
from headrace.core.out_files import out_file
from headrace.events import arrow_ipc, parquet
from headrace.events.json_writer import lines_of, out_column
from headrace.journal.batch import Decisions, Inputs, JournalBatch
from headrace.journal.reader import stored_batches
from headrace.journal.tables import decision_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from headrace.adapters.held_lines import HeldLines
    from headrace.events.chunks import TableWriter
    from headrace.journal.header import JournalHeader


class LineSink:
    """A file of JSON lines or CSV that grows with every commit.

    Args:
        path: Ends in .jsonl, .ndjson or .csv.
        journal: Folder of the journal that it follows.
        header: What the batches to come are recorded under.
        next_seq: Where the journal ends. Lines of the file that it does not have are kept beside
            it, in NAME.unvouched.

    Raises:
        DataError: When what stands in the file is not of this journal, or has no place for a
            column of the decisions to come.
    """

    def __init__(self, path: Path, journal: Path, header: JournalHeader, next_seq: int) -> None:
        self._header = header
        self._csv = path.suffix == ".csv"
        held = held_lines(out_file(path), header.lane, next_seq, as_csv=self._csv)
        self._columns = held.columns
        if self._csv:
            coming = decision_schema(journal, header, held.last + 1).names
            self._columns = held.columns or tuple(coming)
            _check_columns(path, self._columns, coming)
        _move_aside(path, held)
        self._file = path.open("ab")
        if self._csv and not held.columns:
            self._write_csv(pa.table({name: pa.array([], pa.string()) for name in self._columns}))
        for stored in stored_batches(journal, held.last + 1):
            self._write(stored.batch(), stored.header, held.last)
        self._file.flush()

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
            missing = pa.nulls(len(flat), pa.string())
            chosen = [
                flat[name] if name in flat.column_names else missing for name in self._columns
            ]
            self._write_csv(pa.table(chosen, names=list(self._columns)), header=False)
        else:
            self._file.write(decision_lines(table))

    def _write_csv(self, table: pa.Table, *, header: bool = True) -> None:
        pa.csv.write_csv(table, self._file, pa.csv.WriteOptions(include_header=header))

    def close(self) -> None:
        """Nothing more will come."""
        self._file.close()


def decision_lines(table: pa.Table) -> bytes:
    """Decisions as lines of JSON, one each."""
    columns = zip(table.column_names, table.combine_chunks().columns, strict=True)
    return lines_of([(name, out_column(column)) for name, column in columns])


def _move_aside(path: Path, held: HeldLines) -> None:
    """Leave in a file the lines that the journal has, and keep other whole ones beside it."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        if held.end < held.whole:
            file.seek(held.end)
            with path.with_name(path.name + ".unvouched").open("ab") as aside:
                aside.write(file.read(held.whole - held.end))
        file.truncate(held.end)


def _check_columns(path: Path, held: Sequence[str], coming: Sequence[str]) -> None:
    more = [name for name in coming if name not in held]
    if more:
        raise DataError(
            f"{path} has no column {', '.join(more)}, which decisions have now: the definition has"
            " changed since the file was begun. Name another --sink; it gets every decision of the"
            " journal, under the columns of both definitions"
        )


def nothing_decided(header: JournalHeader) -> JournalBatch:
    """A batch without a decision: tables of it have the columns of all to come."""
    return JournalBatch(
        0,
        Inputs.empty(),
        {header.on: header.schema(header.on).no_rows()},
        Decisions.empty(len(header.features)),
    )


def decision_schema(journal: Path, header: JournalHeader, from_seq: int = 0) -> pa.Schema:
    """The columns of all decisions of the journal from input `from_seq` on, and of those to come.

    A column whose type differs from definition to definition is text.
    """
    headers = {header.encoded(): header}
    for stored in stored_batches(journal, from_seq):
        headers[stored.header_encoded] = stored.header
    # the newest definition's columns come first, and in its order
    fields: dict[str, pa.Field] = {}
    for one in headers.values():
        for field in decision_table(nothing_decided(one), one).schema:
            known = fields.setdefault(field.name, field.with_nullable(True))
            if known.type != field.type:
                fields[field.name] = pa.field(field.name, pa.string())
    return pa.schema(fields.values())


def _flat(table: pa.Table) -> pa.Table:
    """The same table with lists as JSON text, which is all that CSV can hold."""
    for index, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            texts = [msgspec.json.encode(item).decode() for item in table[index].to_pylist()]
            table = table.set_column(index, field.name, pa.array(texts, pa.string()))
    return table


class TableSink:
    """A table file of all decisions of the journal, written whole when the run ends.

    Args:
        path: Where it goes.
        journal: Folder of the journal that it follows.
        header: What the batches to come are recorded under.
        next_seq: Where the journal ends.
        writer: Of the file's format.

    Raises:
        DataError: When what stands in the file is not of this journal.
    """

    def __init__(
        self,
        path: Path,
        journal: Path,
        header: JournalHeader,
        next_seq: int,
        writer: Callable[[Path, pa.Schema], TableWriter],
    ) -> None:
        self._path = out_file(path)
        self._journal = journal
        self._header = header
        self._writer = writer
        last = _last_of_table(path, header.lane)
        if last >= next_seq:
            raise DataError(
                f"{path} holds decisions up to input {last:,}, and the journal {journal} ends"
                f" before input {next_seq:,}: the file is of another journal, and would be"
                " replaced. It was left as it is; name another --sink"
            )

    def write(self, batches: Sequence[JournalBatch]) -> None:
        """Take decided batches: the journal has them, and they are read from there."""

    def close(self) -> None:
        """Write the file beside its place, and move it there."""
        schema = decision_schema(self._journal, self._header)
        with self._writer(self._path, schema) as target:
            for stored in stored_batches(self._journal):
                if stored.link.decisions:
                    for batch in _under(decision_table(stored.batch(), stored.header), schema):
                        target.write(batch)


def _under(table: pa.Table, schema: pa.Schema) -> Sequence[pa.RecordBatch]:
    """The rows of a table under the columns of a schema, which has all of its names."""
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    batches: list[pa.RecordBatch] = pa.table(columns, schema=schema).to_batches()
    return batches


def _last_of_table(path: Path, lane: str) -> int:
    """Sequence number of the last decision of a table file; -1 where there is none.

    Raises:
        DataError: When it holds anything but decisions of that lane.
    """
    if not path.exists() or path.stat().st_size == 0:
        return -1
    names = ["decision_id", "seq"]
    try:
        with pa.OSFile(str(path)) as file:
            form = pa.parquet.ParquetFile if path.suffix == ".parquet" else pa.ipc.open_file
            held = _last_rows(form(file)).select(names)
        last = pa.compute.max(held["seq"]).as_py()
        ours = last is None or f"{lane}/{last}" in held["decision_id"].to_pylist()[-1:]
    except (pa.ArrowException, KeyError, OSError) as error:
        raise DataError(
            f"{path} is there and holds no decisions ({str(error).splitlines()[0]}). It would be"
            " replaced, so it was left as it is; name another --sink"
        ) from error
    if not ours:
        raise DataError(
            f"{path} holds other decisions than those of {lane}. It would be replaced, so it was"
            " left as it is; name another --sink"
        )
    return -1 if last is None else int(last)


def _last_rows(opened: pa.parquet.ParquetFile | pa.ipc.RecordBatchFileReader) -> pa.Table:
    """The last part of a table file, with its columns if there are no rows."""
    if isinstance(opened, pa.parquet.ParquetFile):
        groups = opened.num_row_groups
        nothing = opened.schema_arrow.empty_table()
        return opened.read_row_group(groups - 1) if groups else nothing
    batches = opened.num_record_batches
    parts = [opened.get_batch(batches - 1)] if batches else []
    return pa.Table.from_batches(parts, opened.schema)


def open_sink(
    path: Path, journal: Path, header: JournalHeader, next_seq: int
) -> LineSink | TableSink:
    """The sink of a file, by its ending; see `LineSink`.

    Raises:
        DataError: The ending is of no known format, the folder is not there, or what stands in the
            file is not of this journal.
    """
    if path.suffix in (".jsonl", ".ndjson", ".csv"):
        return LineSink(path, journal, header, next_seq)
    if path.suffix == ".parquet":
        return TableSink(path, journal, header, next_seq, parquet.writer)
    if path.suffix in (".arrow", ".feather"):
        return TableSink(path, journal, header, next_seq, arrow_ipc.writer)
    raise DataError(f"--sink {path}: expected a name that ends in .jsonl, .csv, .parquet or .arrow")
