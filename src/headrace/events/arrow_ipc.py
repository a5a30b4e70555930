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
        yield from chunks_of(checked(_columns_of(batch, names)) for batch in _batches(stream))


def _batches(stream: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    is_file = stream.read(len(_MAGIC)) == _MAGIC
    stream.seek(0)
    if not is_file:
        yield from pa.ipc.open_stream(stream)
        return
    file = pa.ipc.open_file(stream)
    for place in range(file.num_record_batches):
        yield file.get_batch(place)


def _columns_of(batch: pa.RecordBatch, names: Collection[str] | None) -> pa.RecordBatch:
    if names is None:
        return batch
    return batch.select([at for at, name in enumerate(batch.schema.names) if name in names])


def writer(path: str | Path, schema: pa.Schema) -> TableWriter:
    """An Arrow IPC file to write batches of `schema` to."""
    return TableWriter(Path(path), schema, _start)


def _start(path: Path, schema: pa.Schema) -> pa.RecordBatchFileWriter:
    return pa.ipc.new_file(str(path), schema)
