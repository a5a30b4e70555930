"""The folder of segment files that a journal is written to, by one process at a time."""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

from headrace.core.errors import JournalError
from headrace.core.folders import sync_folder
from headrace.journal.frames import FrameKind, SegmentStart, framed, segment_path
from headrace.journal.index_writer import IndexWriter
from headrace.journal.recovery import recover
from headrace.journal.seal import SealFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headrace.journal.chain import Chain
    from headrace.journal.chain_writer import FrameGroup
    from headrace.journal.index_files import IndexFolder
    from headrace.journal.keys import PublicKey
    from headrace.journal.recovery import Signer, UnvouchedTail
    from headrace.journal.seal import Seal

Durability = Literal["fsync", "os", "async"]

#: One large write is many times slower per byte than several of this size.
_WRITE_BYTES = 1 << 20
SEGMENT_BYTES = 256 << 20


class SegmentFiles:
    """Segments, locked for this process, which groups of frames are added to.

    Attributes:
        folder: Where they are.
        chain: The chain as it stood when they were opened.
        tails: What was found past the last good head and moved aside then.
        index: What logs the batches that are written; None where no index is kept.

    Args:
        folder: Made if it is not there.
        keys: Whose signatures are believed.
        durability: "fsync": a group is on the disk when `add` returns. "os": the operating system
            has it. "async": it is written behind.
        segment_bytes: A segment that would grow beyond this is followed by a new one.
        index: Where an index is kept, for who notes to it each batch of the groups.
        signer: Signs a head that is sealed; without one, what only a seal vouches for is no good.

    Raises:
        JournalError: Another process writes them, or they do not join.
    """

    def __init__(
        self,
        folder: Path,
        keys: Sequence[PublicKey],
        durability: Durability = "fsync",
        segment_bytes: int = SEGMENT_BYTES,
        index: IndexFolder | None = None,
        signer: Signer | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock_file = _locked(folder)
        try:
            found = recover(folder, keys, signer)
        except BaseException:
            os.close(self._lock_file)
            raise
        self.chain: Chain = found.chain
        self.tails: tuple[UnvouchedTail, ...] = found.tails
        self._durability = durability
        self._segment_bytes = segment_bytes
        self._segment, self._size = found.segment, found.size
        self._written_header = found.chain.header_encoded
        self._seals = SealFile(folder)
        self._file = -1
        if found.segment >= 0:
            self._file = os.open(segment_path(folder, found.segment), os.O_WRONLY | os.O_APPEND)
        self.index = IndexWriter(folder, index, found.segment, found.size) if index else None
        self._writer = ThreadPoolExecutor(1, "journal") if durability == "async" else None
        self._writing: Future[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the folder is still held."""
        return self._lock_file >= 0

    def add(self, group: FrameGroup, seal: Seal | None = None) -> int:
        """Write a group, into a new segment if the last one is full; returns its bytes.

        Args:
            group: The group.
            seal: What vouches for it until `sign`, if its head is not signed yet.
        """
        starts = self._segment < 0 or self._size + group.size > self._segment_bytes
        parts: list[Any] = []
        if starts:
            start = SegmentStart(self._segment + 1, group.first_seq, group.previous).encoded()
            parts += [framed(FrameKind.START, len(start)), start]
            self._written_header = b""
        before = self._written_header
        frames, self._written_header = group.frames(before)
        data = b"".join([*parts, *frames])
        begin = sum(map(len, parts)) if starts else self._size
        self._size = len(data) + (0 if starts else self._size)
        self._segment += starts
        new_segment = self._segment if starts else None
        self._put(data, new_segment, seal)
        if self.index is not None:
            self.index.committed(group, self._segment, begin, before)
        return len(data)

    def sign(self, commit: bytes) -> int:
        """Write the signed head of a group that was added with a seal; returns its bytes."""
        self._size += len(commit)
        self._put(commit)
        return len(commit)

    def _put(self, data: bytes, new_segment: int | None = None, seal: Seal | None = None) -> None:
        """Write now, or behind what is written behind already."""
        if self._writer is None:
            self._write(data, new_segment, seal)
            return
        if self._writing is not None:
            self._writing.result()
        self._writing = self._writer.submit(self._write, data, new_segment, seal)

    def _write(self, data: bytes, new_segment: int | None, seal: Seal | None) -> None:
        """Write to the last segment, or to a new one, as durably as was asked for."""
        if new_segment is not None:
            if self._file >= 0:
                os.fsync(self._file)
                os.close(self._file)
            path = segment_path(self.folder, new_segment)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o640)
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view[:_WRITE_BYTES]) :]
        if self._durability == "fsync":
            os.fsync(self._file)
            if new_segment is not None:
                sync_folder(self.folder)
        if seal is not None:
            self._seals.write(seal)

    def sync(self) -> None:
        """Wait for what is written behind, and make all of it durable."""
        if self._writer is not None:
            self._writer.shutdown()
            if self._writing is not None:
                self._writing.result()
        if self._file >= 0:
            os.fsync(self._file)
            sync_folder(self.folder)

    def release(self) -> None:
        """Let go of the folder."""
        if not self.is_open:
            return
        if self._writer is not None:
            self._writer.shutdown()
        if self.index is not None:
            self.index.close()
        if self._file >= 0:
            os.close(self._file)
        self._seals.close()
        os.close(self._lock_file)
        self._lock_file = -1


def _locked(folder: Path) -> int:
    """Take the folder for this process alone."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise JournalError(
            f"another process writes the journal in {folder}; stop it first"
        ) from error
    return descriptor
