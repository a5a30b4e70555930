"""Parquet files, read in chunks and written whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.events.chunks import CHUNK_ROWS, Chunk, TableWriter, checked, chunks_of, readable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


#: How much of a column of a row group is read at once.
_BUFFER = 1024 * 1024


def read(
    source: str | Path | BinaryIO, names: Collection[str] | None = None, first: int = 0
) -> Iterator[Chunk]:
    """The rows of a Parquet file, a chunk at a time; no row group is held whole.

    Args:
        source: A path, or an open file that can seek.
        names: The columns to read, where they are there; all unless told.
        first: Row groups that end before this row are passed over.

    Raises:
        DataError: When it is no Parquet file, or a damaged one.
    """
    with readable(source, "Parquet"):
        file = pq.ParquetFile(
            str(source) if isinstance(source, Path) else source,
            buffer_size=_BUFFER,
            pre_buffer=False,
        )
        there = file.schema_arrow.names
        wanted = there if names is None else [name for name in there if name in names]
        groups, begin = _groups_from(file, first)
        batches = file.iter_batches(batch_size=CHUNK_ROWS, row_groups=groups, columns=wanted)
        schema = pa.schema([file.schema_arrow.field(name) for name in wanted])
        yield from chunks_of((checked(batch) for batch in batches), begin, schema=schema)


def _groups_from(file: pq.ParquetFile, first: int) -> tuple[list[int], int]:
    """The row groups from the one that holds row `first` on, and the row that they begin with."""
    begin = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if begin + rows > first:
            return list(range(group, file.num_row_groups)), begin
        begin += rows
    return [], begin


def writer(path: str | Path, schema: pa.Schema) -> TableWriter:
    """A Parquet file to write batches of `schema` to, compressed with Zstandard."""
    return TableWriter(Path(path), schema, _start)


def _start(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(str(path), schema, compression="zstd")
