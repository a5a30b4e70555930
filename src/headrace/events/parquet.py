"""Parquet files, read in chunks and written whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.events.chunks import CHUNK_ROWS, Chunk, TableWriter, checked, chunks_of, readable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def read(source: str | Path | BinaryIO, names: Sequence[str] | None = None) -> Iterator[Chunk]:
    """The rows of a Parquet file, a chunk at a time.

    Args:
        source: A path, or an open file that can seek.
        names: The columns to read, where they are there; all unless told.

    Raises:
        DataError: When it is no Parquet file, or a damaged one.
    """
    with readable(source, "Parquet"):
        file = pq.ParquetFile(str(source) if isinstance(source, Path) else source)
        there = file.schema_arrow.names
        wanted = there if names is None else [name for name in there if name in set(names)]
        batches = file.iter_batches(batch_size=CHUNK_ROWS, columns=wanted)
        schema = pa.schema([file.schema_arrow.field(name) for name in wanted])
        yield from chunks_of((checked(batch) for batch in batches), schema=schema)


def writer(path: str | Path, schema: pa.Schema) -> TableWriter:
    """A Parquet file to write batches of `schema` to, compressed with Zstandard."""
    return TableWriter(Path(path), schema, _start)


def _start(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(str(path), schema, compression="zstd")
