"""Opening what a user names as a source: a file by its ending, a folder of them, or a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from headrace.adapters.history import HistoricSource, JsonLinesHistory
from headrace.adapters.stored import Stored
from headrace.adapters.tables import TableHistory
from headrace.core.errors import DataError, NotFound
from headrace.events import arrow_ipc, csv, frames, parquet
from headrace.events.chunks import readable
from headrace.events.json_lines import JsonLines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from headrace.events.chunks import Chunk
    from headrace.events.schema import Schema

_LINES = {".jsonl", ".ndjson", ".json"}
_TABLES = {".csv", ".parquet", ".arrow", ".feather"}


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
    return ", ".join(sorted(_LINES | _TABLES))


def open_file(path: Path, stream: str, schema: Schema) -> HistoricSource:
    """A finished file as history."""
    if path.suffix in _LINES:
        return JsonLinesHistory(path, stream, schema, JsonLines)
    table = _FileTable.opened(path)
    return TableHistory(str(path), stream, schema, table, table.stored())


def open_frame(frame: object, stream: str, schema: Schema) -> TableHistory:
    """An Arrow, pandas or Polars frame as history."""
    return TableHistory(stream, stream, schema, _FrameTable(tuple(frames.read(frame, schema))))


@dataclass(frozen=True, slots=True)
class _FrameTable:
    """A frame: it is in memory already."""

    held: tuple[Chunk, ...]

    def chunks(self, _names: Collection[str] | None, first: int) -> Iterator[Chunk]:
        """See `headrace.adapters.tables.Table`."""
        return (chunk for chunk in self.held if chunk.first + max(chunk.received, 1) > first)


@dataclass(frozen=True, slots=True)
class _FileTable:
    """A file of rows, as long as it was when it was opened; it is open only while it is read.

    Attributes:
        path: The file.
        inode: Which file lay under the path.
        size: Its bytes.
    """

    path: Path
    inode: int
    size: int

    @staticmethod
    def opened(path: Path) -> _FileTable:
        try:
            told = path.stat()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}; check the name") from error
        return _FileTable(path, told.st_ino, told.st_size)

    def stored(self) -> Stored:
        """Its bytes; lines of CSV can be added to, the others end in what says where all is."""

        def at(begin: int, end: int) -> bytes:
            with self.path.open("rb") as file:
                file.seek(begin)
                return file.read(end - begin)

        return Stored(self.size, self.path.suffix == ".csv", at)

    def chunks(self, names: Collection[str] | None, first: int) -> Iterator[Chunk]:
        """See `headrace.adapters.tables.Table`."""
        with readable(self.path, self.path.suffix):
            file = pa.OSFile(str(self.path))
        if self.path.stat().st_ino != self.inode or file.size() < self.size:
            raise DataError(
                f"{self.path} was replaced while it was read; run again when nobody writes to it"
            )
        try:
            with file:
                yield from self._read(file, names, first)
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from error

    def _read(
        self, file: pa.NativeFile, names: Collection[str] | None, first: int
    ) -> Iterator[Chunk]:
        if self.path.suffix == ".csv":
            return csv.read(file.get_stream(0, self.size), names=names)
        if self.path.suffix == ".parquet":
            return parquet.read(file, names, first)
        return arrow_ipc.read(file, names)
