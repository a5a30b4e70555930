"""Opening what a user names as a source: a file by its ending, a folder of them, or a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from headrace.adapters.history import HistoricSource, JsonLinesHistory, TableHistory
from headrace.core.columns import concatenated
from headrace.core.errors import DataError, NotFound
from headrace.events import arrow_ipc, csv, frames, parquet
from headrace.events.json_lines import JsonLines
from headrace.events.parsed import Parsed, Rejections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from headrace.events.chunks import Chunk
    from headrace.events.schema import Schema

_LINES = {".jsonl", ".ndjson", ".json"}
_TABLES: dict[str, Callable[[Path], Iterator[Chunk]]] = {
    ".csv": csv.read,
    ".parquet": parquet.read,
    ".arrow": arrow_ipc.read,
    ".feather": arrow_ipc.read,
}


def files_of(path: Path) -> list[Path]:
    """The file itself, or the files of a folder that can be read as events, by name.

    Raises:
        NotFound: When there is nothing there.
        DataError: When the ending is of no known format.
    """
    if path.is_dir():
        found = sorted(
            item for item in path.iterdir() if item.suffix in _LINES or item.suffix in _TABLES
        )
        if not found:
            raise NotFound(f"the folder {path} has no files of {_endings()}")
        return found
    if not path.exists():
        raise NotFound(f"no file {path}; check the name, or the folder you are in")
    if path.suffix not in _LINES and path.suffix not in _TABLES:
        raise DataError(f"{path} ends in {path.suffix!r}: expected one of {_endings()}")
    return [path]


def _endings() -> str:
    return ", ".join(sorted(_LINES | set(_TABLES)))


def open_file(path: Path, stream: str, schema: Schema) -> HistoricSource:
    """A finished file as history."""
    if path.suffix in _LINES:
        return JsonLinesHistory(path, stream, schema, JsonLines)
    return _table(str(path), stream, schema, _TABLES[path.suffix](path))


def open_frame(frame: object, stream: str, schema: Schema) -> TableHistory:
    """An Arrow, pandas or Polars frame as history."""
    return _table(stream, stream, schema, frames.read(frame, schema))


def _table(name: str, stream: str, schema: Schema, chunks: Iterable[Chunk]) -> TableHistory:
    held = list(chunks)
    if not held:
        nothing = Parsed(schema.no_rows(), np.zeros(0, np.int32), Rejections.of([], []), 0)
        return TableHistory(name, stream, schema, nothing, lambda _row: b"")
    parsed = [chunk.parsed(schema) for chunk in held]
    rejected = [
        (chunk.first + int(part.rejections.rows[i]), part.rejections[i])
        for chunk, part in zip(held, parsed, strict=True)
        for i in range(len(part.rejections))
    ]
    whole = Parsed(
        batch=concatenated([part.batch for part in parsed]),
        rows=np.concatenate(
            [chunk.first + part.rows for chunk, part in zip(held, parsed, strict=True)]
        ).astype(np.int32),
        rejections=Rejections.of([row for row, _ in rejected], [told for _, told in rejected]),
        received=sum(part.received for part in parsed),
    )
    return TableHistory(name, stream, schema, whole, lambda row: _row_bytes(held, row))


def _row_bytes(chunks: list[Chunk], row: int) -> bytes:
    """A row of a table as bytes: as it came where it has no columns, else as a JSON object."""
    chunk = next(item for item in chunks if item.first <= row < item.first + item.received)
    place = row - chunk.first
    for broken in chunk.broken:
        if broken.row == place:
            return broken.data
    index = int(np.searchsorted(chunk.rows, place))
    return msgspec.json.encode(chunk.batch.slice(index, 1).to_pylist()[0], enc_hook=str)
