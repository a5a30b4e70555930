"""Whole files under names, in a folder or in an object store: a seam that both sides of fit.

A file that is put is there whole or not at all, for whoever reads meanwhile and after a crash at
any moment. A name may have slashes in it.
"""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from headrace.core.errors import DataError, NotFound
from headrace.core.folders import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What is in the address of an object store.
S3 = "s3://"
#: Ends the name of a file that is being written.
_DRAFT = ".draft"
_BLOCK = 1 << 20


class StoredFile(NamedTuple):
    """A file as a store lists it: its name there, and its bytes."""

    name: str
    size: int


class FileStore(Protocol):
    """Keeps whole files; threads may share it.

    What it raises: `NotFound` where a file is not there, `SecurityError` where the store does not
    let us in, `Unavailable` where it does not answer, `OSError` of a disk.
    """

    @property
    def place(self) -> str:
        """Where it is, for people."""

    def put(self, name: str, content: Path | bytes, size: int | None = None) -> None:
        """Keep a file under a name, in place of what was there; durable when it returns.

        Args:
            name: As in `journal/card-fraud/0000000000.segment`.
            content: A file on disk, to which nothing happens but that it grows, or bytes.
            size: How much of the beginning is kept; all of it where it is None.
        """

    def files(self, under: str = "") -> list[StoredFile]:
        """The files whose names begin with `under` and a slash, by name; all where it is ""."""

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """The bytes of a file from `start` on, `size` of them or up to its end."""

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file to a path, whole or not at all, and durably; its folder is made."""

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""


@dataclass(frozen=True, slots=True)
class FolderStore:
    """Files in a folder, which is made when something is put there.

    >>> from tempfile import mkdtemp
    >>> store = FolderStore(Path(mkdtemp()))
    >>> store.put("a/b", b"content")
    >>> store.files("a"), store.read("a/b", 3)
    ([StoredFile(name='a/b', size=7)], b'tent')
    """

    folder: Path

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.folder)

    def put(self, name: str, content: Path | bytes, size: int | None = None) -> None:
        """See `FileStore`."""
        with draft_of(self._path(name)) as file:
            copy_beginning(content, file, size)

    def files(self, under: str = "") -> list[StoredFile]:
        """See `FileStore`."""
        found = (self.folder / under).rglob("*") if self.folder.is_dir() else iter(())
        return sorted(self._listed(found))

    def _listed(self, found: Iterator[Path]) -> Iterator[StoredFile]:
        for path in found:
            with suppress(FileNotFoundError):  # it was removed meanwhile
                if path.suffix != _DRAFT and path.is_file():
                    name = path.relative_to(self.folder).as_posix()
                    yield StoredFile(name, path.stat().st_size)

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """See `FileStore`."""
        try:
            with self._path(name).open("rb") as file:
                file.seek(start)
                return file.read(-1 if size is None else size)
        except FileNotFoundError as error:
            raise NotFound(f"no file {name} in {self.folder}") from error

    def fetch(self, name: str, path: Path) -> None:
        """See `FileStore`."""
        try:
            with self._path(name).open("rb") as source, draft_of(path) as file:
                shutil.copyfileobj(source, file, _BLOCK)
        except FileNotFoundError as error:
            raise NotFound(f"no file {name} in {self.folder}") from error

    def delete(self, name: str) -> None:
        """See `FileStore`."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / checked_name(name)


def file_store(place: str) -> FileStore:
    """The store at a place: `s3://BUCKET/PREFIX` (see `headrace.adapters.s3`), or a folder.

    Raises:
        DataError: It is of another kind, or a file.
    """
    if place.startswith(S3):
        from headrace.adapters.s3 import S3Store  # noqa: PLC0415 - it takes a while to load

        return S3Store.at(place)
    if "://" in place:
        raise DataError(f"{place}: expected a folder, or s3://BUCKET/PREFIX")
    folder = Path(place).expanduser()
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{place} is a file; expected a folder, or s3://BUCKET/PREFIX")
    return FolderStore(folder)


def checked_name(name: str) -> str:
    """A name, once it is certain that it stays where it belongs.

    Raises:
        DataError: It would lead elsewhere.

    >>> checked_name("../keys")
    Traceback (most recent call last):
    headrace.core.errors.DataError: '../keys' is no name of a file in a store; expected NAME or A/B
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or name != "/".join(parts):
        raise DataError(f"{name!r} is no name of a file in a store; expected NAME or A/B")
    return name


def copy_beginning(content: Path | bytes, file: BinaryIO, size: int | None) -> None:
    """Write the first `size` bytes of a content to an open file; all of it where that is None."""
    if isinstance(content, bytes):
        file.write(content[:size])
        return
    with content.open("rb") as source:
        left = os.fstat(source.fileno()).st_size if size is None else size
        while left and (block := source.read(min(left, _BLOCK))):
            file.write(block)
            left -= len(block)


@contextmanager
def draft_of(path: Path) -> Iterator[BinaryIO]:
    """A file beside a path, open for writing; whole and durable it takes its place at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}{_DRAFT}")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)
