"""Arrow IPC files (also called Feather) and streams, read in chunks; files are written whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa

from headrace.events.chunks import Chunk, TableWriter, checked, chunks_of, readable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

#: The first bytes of the file format; a stream begins otherwise.
_MAGIC = b"ARROW1"


def read(source: str | Path | BinaryIO, names: Collection[str] | None = None) -> Iterator[Chunk]:
    """The rows of an Arrow file or stream, a chunk at a time; one of its batches is held whole.

    Args:
        source: A path, or an open file that can seek.
        names: The columns to give, where they are there; all unless told.

    Raises:
        DataError: When it is neither, or damaged.
    """
    with readable(source, "Arrow"):
        # Not mapped into memory: a file that is cut short under a map ends the process.
        if isinstance(source, str | Path):
            stream = pa.OSFile(str(source))
        else:
            stream = source if isinstance(source, pa.NativeFile) else pa.PythonFile(source, "r")
        is_file = stream.read(len(_MAGIC)) == _MAGIC
        stream.seek(0)
        opened = pa.ipc.open_file(stream) if is_file else pa.ipc.open_stream(stream)
        batches = (checked(_columns_of(batch, names)) for batch in _batches(opened))
        yield from chunks_of(batches, schema=opened.schema)


def _batches(
    opened: pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader,
) -> Iterator[pa.RecordBatch]:
    if isinstance(opened, pa.ipc.RecordBatchStreamReader):
        yield from opened
        return
    for place in range(opened.num_record_batches):
        yield opened.get_batch(place)


def _columns_of(batch: pa.RecordBatch, names: Collection[str] | None) -> pa.RecordBatch:
    if names is None:
        return batch
    return batch.select([at for at, name in enumerate(batch.schema.names) if name in names])


def writer(path: str | Path, schema: pa.Schema) -> TableWriter:
    """An Arrow IPC file to write batches of `schema` to."""
    return TableWriter(Path(path), schema, _start)


def _start(path: Path, schema: pa.Schema) -> pa.RecordBatchFileWriter:
    return pa.ipc.new_file(str(path), schema)
