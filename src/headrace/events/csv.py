"""CSV files (RFC 4180, with a header), read in chunks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from headrace.core.errors import DataError, invariant
from headrace.events.arrow_columns import text_source
from headrace.events.chunks import Broken, Chunk, readable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_COLUMNS_MAX = 4096
_BLOCK_BYTES = 4 * 1024 * 1024

# Bytes are carried through as the letters of Latin-1, one each, so that a byte that is no UTF-8
# comes out as it went in, in rows with columns and without. This is how a byte order mark looks.
_ENCODING = "latin-1"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf".decode(_ENCODING)


def read(
    source: str | Path | BinaryIO, delimiter: str = ",", names: Collection[str] | None = None
) -> Iterator[Chunk]:
    """The rows of a CSV file, a chunk at a time; every column is bytes.

    The first row names the columns. A field that is empty is missing, unless it is quoted (`""`),
    which is an empty text. A row with too many or too few fields is a broken one. Blank lines are
    no rows, and a file of nothing else has neither rows nor columns. A path that ends in `.gz`,
    `.bz2` or `.zst` is decompressed. With `names`, only those columns are given, where they are
    there.

    Raises:
        DataError: When a row is longer than 4 MiB, or the names of the columns are no UTF-8.
    """
    broken: list[Broken] = []
    with readable(source, "CSV"):
        batches = _opened(source, delimiter, broken)
        header = next((batch for batch in batches if batch.num_rows), None)
        if header is None:
            return
        columns = _named(_names(header), names)
        first = 0
        batch: pa.RecordBatch | None = header.slice(1)
        while batch is not None:
            if batch.num_rows:
                chunk = _chunk(first, _as_bytes(batch, columns), broken)
                first += chunk.received
                yield chunk
            batch = next(batches, None)
        if broken or first == 0:
            yield _chunk(first, _as_bytes(header.slice(0, 0), columns), broken)


def _opened(
    source: str | Path | BinaryIO, delimiter: str, broken: list[Broken]
) -> Iterator[pa.RecordBatch]:
    """The batches of a CSV file, the header a row of the first; none where there is no line."""
    try:
        yield from _open(source, delimiter, broken)
    except pa.ArrowInvalid as error:
        # no line at all: Arrow has no other name for it
        if "Empty CSV" not in str(error):
            raise


def _open(
    source: str | Path | BinaryIO, delimiter: str, broken: list[Broken]
) -> pa_csv.CSVStreamingReader:
    """A reader without threads, so that rows are counted; what is broken goes to `broken`."""

    def keep(row: pa_csv.InvalidRow) -> str:
        expected = f"{row.expected_columns} fields, as the header has; there are "
        data = row.text.encode(_ENCODING)
        # Rows are counted from 1, the header is the first.
        broken.append(Broken(row.number - 2, data, f"{expected}{row.actual_columns}"))
        return "skip"

    return pa_csv.open_csv(
        str(source) if isinstance(source, Path) else source,
        read_options=pa_csv.ReadOptions(
            use_threads=False,
            block_size=_BLOCK_BYTES,
            autogenerate_column_names=True,
            encoding=_ENCODING,
        ),
        parse_options=pa_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=keep
        ),
        convert_options=pa_csv.ConvertOptions(
            check_utf8=False,
            column_types={f"f{place}": pa.large_binary() for place in range(_COLUMNS_MAX)},
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        ),
    )


def _names(header: pa.RecordBatch) -> list[str]:
    """The names of the columns, out of the first row."""
    if header.num_columns > _COLUMNS_MAX:
        raise DataError(
            f"{header.num_columns} columns; expected at most {_COLUMNS_MAX}: leave some out"
        )
    names = [column[0].as_py() or b"" for column in header.columns]
    letters = [name.decode("utf-8") for name in names]
    letters[0] = letters[0].removeprefix(_BYTE_ORDER_MARK)
    try:
        return [name.encode(_ENCODING).decode("utf-8") for name in letters]
    except UnicodeDecodeError as error:
        raise DataError(
            f"the header {b','.join(names)!r} is not UTF-8; expected names of columns: "
            "save the file as UTF-8"
        ) from error


def _chunk(first: int, batch: pa.RecordBatch, broken: list[Broken]) -> Chunk:
    """The next chunk; takes from `broken` the rows that stand before the last of `batch`.

    The reader may be ahead: rows that broke further down wait for the chunk that they are in. At
    the end of the file `batch` is empty, and all that is left is taken.
    """
    count = batch.num_rows
    gaps = {item.row - first for item in broken}
    places = np.array(
        [row for row in range(count + len(gaps)) if row not in gaps][:count]
        if gaps
        else np.arange(count),
        dtype=np.int32,
    )
    received = int(places[-1]) + 1 if count else len(gaps)
    taken = [item for item in broken if item.row - first < received]
    del broken[: len(taken)]
    inside = tuple(Broken(item.row - first, item.data, item.expected) for item in taken)
    invariant(all(0 <= item.row < received for item in inside), "broken rows come in order")
    return Chunk(first, received, batch, places, inside)


def _named(there: list[str], names: Collection[str] | None) -> list[tuple[int, str]]:
    """The places of the columns to give, with their names."""
    return [(at, name) for at, name in enumerate(there) if names is None or name in names]


def _as_bytes(batch: pa.RecordBatch, named: list[tuple[int, str]]) -> pa.RecordBatch:
    """The columns under their names, with the bytes that stood in the file."""
    columns = [_from_latin(batch.column(at)) for at, _ in named]
    return pa.RecordBatch.from_arrays(columns, names=[name for _, name in named])


def _from_latin(column: pa.Array) -> pa.Array:
    """Undo Latin-1: bytes from 0x80 on were written as two bytes of UTF-8, C2 or C3 and another."""
    text = text_source(column)
    lead = text.data >= 0xC0
    if not lead.any():
        return column
    before = np.zeros(len(text.data) + 1, dtype=np.int64)
    np.cumsum(lead, out=before[1:])
    restored = text.data.copy()
    restored[1:] += (text.data[:-1] == 0xC3).astype(np.uint8) * np.uint8(0x40)
    offsets = text.offsets - before[text.offsets]
    missing = np.packbits(text.present, bitorder="little")
    buffers = [missing, np.ascontiguousarray(offsets), np.ascontiguousarray(restored[~lead])]
    return pa.Array.from_buffers(
        pa.large_binary(), len(column), [pa.py_buffer(buffer) for buffer in buffers]
    )
