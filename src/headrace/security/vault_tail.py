"""The tail of a vault: an append-only file beside the database, for what small commits write.

A transaction of SQLite takes about twice as long as to append to a file and to sync it. So a small
commit appends a sealed *part*; when many have come together, pages of the usual size are made of
them in the database, and the tail is cut to nothing.

A part is framed by a mark, a checksum and its length. One that does not read and that nothing
follows is a write that was never finished, so no commit has returned for it and nothing names what
it holds: it is passed over. One that others follow was damaged, and is an error. Whether a part
was changed on purpose is for its seal to say, which the checksum does not replace.

The file is made longer by many zeros at once, and parts are written over them. So the disk has to
keep what a commit writes, and nothing about the file besides: such a sync takes half the time.
"""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from headrace.core.errors import SecurityError
from headrace.core.folders import sync_folder
from headrace.core.writeback import begin_writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_MARK = b"\xf5VTAIL1\n"
#: After the mark: a checksum of all that follows it.
_CHECKSUM = struct.Struct("<I")
#: Page, place, epoch, counter, and the bytes of what is sealed.
_HEAD = struct.Struct("<QQQQI")
_BEFORE_BODY = len(_MARK) + _CHECKSUM.size + _HEAD.size
#: Bytes of zeros by which the file grows.
_ROOM_BYTES = 1 << 17


class Part(NamedTuple):
    """What one commit adds to the vault.

    Attributes:
        page: The first that is to be made of the tail: if it is there already, this part is in it
            or in one that follows.
        at: How many bytes of entries, before they were sealed, come before these for that page.
        epoch: Of the key that the part is sealed under.
        counter: Its nonce.
        sealed: Entries, the keys of those that are subjects, and refused bytes.
    """

    page: int
    at: int
    epoch: int
    counter: int
    sealed: bytes

    def encoded(self) -> bytes:
        """The part as it stands in the file."""
        body = _HEAD.pack(*self[:4], len(self.sealed)) + self.sealed
        return _MARK + _CHECKSUM.pack(zlib.crc32(body)) + body


def nothing() -> None:
    """What is done meanwhile where there is nothing to do."""


class VaultTail:
    """The file of the tail. Whoever holds the vault's database holds it too.

    Whatever could not be written is cut off again before anything else is written.

    Args:
        path: Made if it is not there, readable by its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._size = os.fstat(self._file).st_size
            #: Where the file ends: beyond what is good are zeros.
            self._end = self._size
            if not self._size:
                # it may have been made just now
                sync_folder(path.parent)
        except BaseException:
            os.close(self._file)
            raise
        #: Whether the file on disk may differ from what was last known to be good.
        self._unsure = False
        #: Whether parts were written that may not be on the disk yet.
        self._unsynced = False

    @property
    def size(self) -> int:
        """Bytes in the file that are known to be good."""
        return self._size

    def parts(self) -> Iterator[Part]:
        """Every whole part, in the order in which they were written.

        Raises:
            SecurityError: A part was damaged.
        """
        data = self._path.read_bytes()
        at = 0
        while at < len(data):
            part, end = _part_at(data, at)
            if part is None:
                if data.find(_MARK, at + 1) >= 0:
                    raise SecurityError(
                        f"{self._path} is damaged at byte {at}: what stands there is no part of a "
                        "page, though others follow; restore the vault from a backup"
                    )
                return
            yield part
            at = end

    def append(
        self, part: Part, *, durable: bool = True, meanwhile: Callable[[], None] = nothing
    ) -> None:
        """Write a part, and sync it to disk unless that is for `sync` to do.

        Args:
            part: What follows the last one.
            durable: Whether it is synced.
            meanwhile: Called once, while the disk writes.

        Raises:
            OSError: It could not be written. The tail can be used further.
        """
        if self._unsure:
            self.cut(self._size)
        self._unsure = True
        encoded = part.encoded()
        self._write(encoded)
        if durable:
            begin_writing(self._file, self._size, len(encoded))
        meanwhile()
        if durable:
            os.fdatasync(self._file)
        self._unsynced = not durable
        self._size += len(encoded)
        self._unsure = False

    def _write(self, encoded: bytes) -> None:
        """Write after what is good; where the file is too short, zeros after that."""
        needed = self._size + len(encoded)
        room = 0 if needed <= self._end else _ROOM_BYTES
        left, at = memoryview(encoded + bytes(room)), self._size
        while left:
            count = os.pwrite(self._file, left, at)
            left, at = left[count:], at + count
        self._end = max(self._end, at)

    def sync(self) -> None:
        """Sync what was written without.

        Raises:
            OSError: It could not be done.
        """
        if self._unsynced:
            os.fdatasync(self._file)
            self._unsynced = False

    def cut(self, size: int = 0) -> None:
        """Leave so many bytes, and sync that to disk.

        Raises:
            OSError: It could not be done. The tail can be used further.
        """
        if self._size == size and not self._unsure:
            return
        # set first, so that whoever tries again does not make the file longer
        self._size, self._unsure = size, True
        os.ftruncate(self._file, size)
        self._end = size
        os.fsync(self._file)
        self._unsure = self._unsynced = False

    def close(self) -> None:
        """Let go of the file, without the zeros at its end."""
        if self._file >= 0:
            if self._size < self._end:
                with suppress(OSError):  # they do no harm
                    os.ftruncate(self._file, self._size)
            os.close(self._file)
        self._file = -1


def _part_at(data: bytes, at: int) -> tuple[Part | None, int]:
    """The part that begins at a byte, None if none does that is whole; and where it ends."""
    body = at + len(_MARK) + _CHECKSUM.size
    start = at + _BEFORE_BODY
    if start > len(data) or data[at : at + len(_MARK)] != _MARK:
        return None, at
    (checksum,) = _CHECKSUM.unpack_from(data, body - _CHECKSUM.size)
    page, place, epoch, counter, length = _HEAD.unpack_from(data, body)
    end = start + length
    if end > len(data) or zlib.crc32(data[body:end]) != checksum:
        return None, at
    return Part(page, place, epoch, counter, data[start:end]), end
