"""Chunks: rows of a table as a source gives them, each with its place in the source.

Every reader of tables (files and frames) gives chunks. A chunk holds the rows that could be told
apart into columns, and the bytes of those that could not, so that none is lost on the way.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import pyarrow as pa

from headrace.core.errors import DataError, invariant
from headrace.events.parsed import Parsed, Rejections
from headrace.events.plain_columns import in_plain_types
from headrace.events.reasons import Reason, Rejected, shown
from headrace.events.times import STRICT, Reading
from headrace.events.validation import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from headrace.core.columns import Int32s
    from headrace.events.schema import Schema

#: Rows in one chunk, at most.
CHUNK_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that could not be told apart into columns.

    Attributes:
        row: Its place in the chunk.
        data: Its bytes.
        expected: What the source holds otherwise.
    """

    row: int
    data: bytes
    expected: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a source, one after the other.

    Attributes:
        first: The place of the first row in the source, from 0.
        received: How many rows these are.
        batch: Those that have columns.
        rows: For each row of `batch`, its place in the chunk; int32, ascending.
        broken: The others, ascending.
    """

    first: int
    received: int
    batch: pa.RecordBatch
    rows: Int32s
    broken: tuple[Broken, ...] = field(default=())

    def __post_init__(self) -> None:
        invariant(self.batch.num_rows == len(self.rows), "every row of the batch has its place")
        invariant(len(self.rows) + len(self.broken) == self.received, "no row is lost")

    def parsed(self, schema: Schema, reading: Reading = STRICT) -> Parsed:
        """The chunk's rows as events of `schema`, and why the others are not.

        Raises:
            DataError: When the columns cannot be those of the schema.
        """
        parsed = validate(schema, self.batch, reading)
        if not self.broken:
            return parsed
        found = [
            (int(self.rows[row]), parsed.rejections[place])
            for place, row in enumerate(parsed.rejections.rows)
        ]
        found += [
            (item.row, Rejected(Reason.MALFORMED, "", shown(item.data), item.expected))
            for item in self.broken
        ]
        found.sort(key=lambda item: item[0])
        rejections = Rejections.of([row for row, _ in found], [why for _, why in found])
        return Parsed(parsed.batch, self.rows[parsed.rows], rejections, self.received)

    def without_rows(self) -> Chunk:
        """The columns alone."""
        return Chunk(self.first, 0, self.batch.slice(0, 0), self.rows[:0])

    def shown(self, place: int) -> bytes:
        """A row as bytes: as it came where it has no columns, else as a JSON object."""
        for item in self.broken:
            if item.row == place:
                return item.data
        index = int(np.searchsorted(self.rows, place))
        values = in_plain_types(self.batch.slice(index, 1)).to_pylist()[0]
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=_plain)
        # bytes that are no UTF-8 stay as they are, so that they are refused again and not mended
        return text.encode(errors="surrogateescape")


def _plain(value: object) -> str:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)


def whole(first: int, batch: pa.RecordBatch) -> Chunk:
    """A chunk in which every row has columns."""
    rows = batch.num_rows
    return Chunk(first, rows, batch, np.arange(rows, dtype=np.int32))


def chunks_of(
    batches: Iterable[pa.RecordBatch], first: int = 0, *, schema: pa.Schema | None = None
) -> Iterator[Chunk]:
    """Batches as chunks of at most `CHUNK_ROWS` rows, the first of them at row `first`.

    Where there are no rows, one chunk without any says what the columns are, if `schema` does.
    """
    for batch in batches:
        for start in range(0, batch.num_rows, CHUNK_ROWS):
            part = batch.slice(start, CHUNK_ROWS)
            yield whole(first, part)
            first += part.num_rows
    if first == 0 and schema is not None:
        yield whole(0, pa.RecordBatch.from_pylist([], schema=schema))


def checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch from a file, once it is certain that no value points outside the file's memory.

    Text is taken as bytes: a row that is not UTF-8 is that row's fault, not the file's.
    """
    # reading a zone's name raises where it is no UTF-8
    _ = [kind.tz for kind in batch.schema.types if pa.types.is_timestamp(kind)]
    columns = []
    for column in batch.columns:
        if pa.types.is_string(column.type):
            columns.append(column.view(pa.binary()))
        elif pa.types.is_large_string(column.type):
            columns.append(column.view(pa.large_binary()))
        else:
            columns.append(column)
    taken = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    taken.validate(full=True)
    return taken


@contextmanager
def readable(source: object, form: str) -> Iterator[None]:
    """Turn whatever a reader raises over bad bytes into a `DataError` that names the source."""
    name = source if isinstance(source, str | Path) else "the stream"
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(
            f"there is no file {name}; expected a {form} file: check the path"
        ) from error
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        # The text of an error can hold bytes of the file, so it is made printable, and short.
        raise DataError(
            f"{name} cannot be read as {form}: {shown(error)}; "
            "check that the file is whole and of that format"
        ) from error


class ArrowWriter(Protocol):
    """What pyarrow's writers of tables have in common."""

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Append a batch."""

    def close(self) -> None:
        """Finish the file."""


class TableWriter:
    """A table file under way: it stands under its name once it is closed, whole or not at all.

    Until then it lies beside it as `NAME.partial`. Leaving the `with` block by an exception removes
    that and leaves an older file of the name as it was.
    """

    def __init__(
        self, path: Path, schema: pa.Schema, start: Callable[[Path, pa.Schema], ArrowWriter]
    ) -> None:
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self._schema = schema
        try:
            self._writer = start(self._partial, schema)
        except OSError as error:
            raise DataError(
                f"{path} cannot be written: {error}; check folder and rights"
            ) from error

    def write(self, batch: pa.RecordBatch) -> None:
        """Append the rows of a batch, whose schema must be the file's."""
        invariant(batch.schema.equals(self._schema), "a table file has one schema")
        self._writer.write_batch(batch)

    def close(self) -> None:
        """Finish the file, see it to the disk, and give it its name."""
        self._writer.close()
        with self._partial.open("rb+") as finished:
            os.fsync(finished.fileno())
        self._partial.replace(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
            return
        self._writer.close()
        self._partial.unlink(missing_ok=True)
