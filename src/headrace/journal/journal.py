"""The writer of a journal: batches in, a signed head out at every group commit."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from headrace.core.errors import JournalError, invariant
from headrace.core.folders import sync_folder
from headrace.core.sha256 import leaves_of, merkle_root
from headrace.journal.canonical import RecordWriter
from headrace.journal.frames import (
    BatchHeader,
    FrameKind,
    SegmentStart,
    SignedHead,
    framed,
    segment_path,
)
from headrace.journal.payload import encode_payload, positions_in
from headrace.journal.recovery import recover

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from headrace.core.columns import Bytes
    from headrace.journal.batch import JournalBatch, Position
    from headrace.journal.header import JournalHeader
    from headrace.journal.keys import PublicKey, SigningKey
    from headrace.journal.recovery import UnvouchedTail

Durability = Literal["fsync", "os", "async"]

#: One large write is many times slower per byte than several of this size.
_WRITE_BYTES = 1 << 20
SEGMENT_BYTES = 256 << 20
#: Up to so many inputs, a batch is stored as records, not as columns.
RECORD_ROWS = 512


@dataclass(frozen=True, slots=True)
class Appended:
    """A batch that waits for the next commit.

    Attributes:
        head: The head after it, not yet signed.
        next_seq: The sequence number after it.
        digests: Digest of each input's record, uint8 [n, 32].
    """

    head: bytes
    next_seq: int
    digests: Bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """What a group commit vouches for.

    Attributes:
        head: The signed head.
        next_seq: The sequence number after the last input that it vouches for.
        size: Bytes written.
        durable: Whether it is on the disk (durability "fsync"), so that answers may go out.
    """

    head: bytes
    next_seq: int
    size: int
    durable: bool


class Journal:
    """The one writer of a journal folder. Use `Journal.open`.

    `append` and `commit` may be called from two threads: one appends while the other writes.

    Attributes:
        folder: Where the segments are.
        tails: What was found past the last good head and moved aside when it was opened.
    """

    def __init__(
        self,
        folder: Path,
        header: JournalHeader,
        key: SigningKey,
        *,
        trusted: Sequence[PublicKey],
        durability: Durability,
        segment_bytes: int,
        clock: Callable[[], int],
    ) -> None:
        self.folder = folder
        self._lock_file = _locked(folder)
        try:
            found = recover(folder, (key.public, *trusted))
        except BaseException:
            os.close(self._lock_file)
            raise
        self.tails: tuple[UnvouchedTail, ...] = found.tails
        self._key, self._clock, self._segment_bytes = key, clock, segment_bytes
        self._durability: Durability = durability
        self._segment, self._size = found.segment, found.size
        self._chain_head, self._next_seq = found.chain.head, found.chain.next_seq
        self._committed = Commit(found.chain.head, found.chain.next_seq, 0, durable=True)
        self._last_header = found.chain.header
        self._positions: dict[str, Position] = {}
        if found.chain.payload is not None:
            self._positions = positions_in(found.chain.payload)
        self._header, self._header_encoded = header, header.encoded()
        self._header_digest = header.digest()
        self._written_header = found.chain.header_encoded
        self._pending: list[tuple[bytes, list[Any]]] = []
        self._append_lock, self._write_lock = threading.Lock(), threading.Lock()
        self._file = -1
        if found.segment >= 0:
            self._file = os.open(segment_path(folder, found.segment), os.O_WRONLY | os.O_APPEND)
        self._failed: BaseException | None = None
        self._writer = ThreadPoolExecutor(1, "journal") if durability == "async" else None
        self._writing: Future[None] | None = None

    @staticmethod
    def open(
        folder: Path,
        header: JournalHeader,
        key: SigningKey,
        *,
        trusted: Sequence[PublicKey] = (),
        durability: Durability = "fsync",
        segment_bytes: int = SEGMENT_BYTES,
        clock: Callable[[], int] = time.time_ns,
    ) -> Journal:
        """Open a journal for writing, or begin one.

        Args:
            folder: Made if it is not there.
            header: What the batches to come are recorded under.
            key: What signs the heads.
            trusted: Public keys that signed earlier heads, if not `key`.
            durability: "fsync": a commit returns when it is on the disk. "os": when the operating
                system has it. "async": at once; it is written behind. The last two may lose
                commits in a crash.
            segment_bytes: A segment that would grow beyond this is followed by a new one.
            clock: Nanoseconds since 1970, for the time of signing.

        Raises:
            JournalError: Another process writes it, or its segments do not join.
        """
        folder.mkdir(parents=True, exist_ok=True)
        return Journal(
            folder,
            header,
            key,
            trusted=trusted,
            durability=durability,
            segment_bytes=segment_bytes,
            clock=clock,
        )

    @property
    def next_seq(self) -> int:
        """The sequence number of the next input to append."""
        return self._next_seq

    @property
    def committed(self) -> Commit:
        """The last commit, or where the journal stood when it was opened."""
        return self._committed

    @property
    def last_header(self) -> JournalHeader | None:
        """What the last batches were recorded under when it was opened; None if there were none."""
        return self._last_header

    @property
    def positions(self) -> Mapping[str, Position]:
        """Where every source goes on after what was appended."""
        return dict(self._positions)

    def describe(self, header: JournalHeader) -> None:
        """Record the batches to come under another header."""
        with self._append_lock:
            self._header, self._header_encoded = header, header.encoded()
            self._header_digest = header.digest()

    def append(self, batch: JournalBatch) -> Appended:
        """Hash a batch into the chain and hold it for the next commit.

        Raises:
            InvariantBroken: The batch does not follow the last one, or its parts do not fit.
        """
        with self._append_lock:
            invariant(
                batch.first_seq == self._next_seq and len(batch) > 0,
                f"a batch of inputs from {batch.first_seq} on follows input {self._next_seq - 1}",
            )
            batch = replace(batch, positions=self._positions | dict(batch.positions))
            # a small batch is stored as what is hashed: to look at each of its columns would cost
            # more than the bytes it saves
            records: list[bytes] | None = [] if len(batch) <= RECORD_ROWS else None
            digests = RecordWriter(batch, self._header).digests(records)
            leaves = leaves_of(digests, batch.inputs.read_ns)
            payload = encode_payload(batch, self._header, leaves, records)
            hashed = hashlib.sha256()
            for part in payload:
                hashed.update(part)
            link = BatchHeader(
                batch.first_seq,
                len(batch),
                len(batch.decisions),
                merkle_root(leaves),
                self._chain_head,
                self._header_digest,
                hashed.digest(),
            )
            self._chain_head, self._next_seq = link.head(), link.next_seq
            self._positions = dict(batch.positions)
            size = sum(len(memoryview(part)) for part in payload)
            encoded = link.encoded()
            body = [framed(FrameKind.BATCH, len(encoded) + size), encoded, *payload]
            self._pending.append((self._header_encoded, body))
            return Appended(self._chain_head, self._next_seq, digests)

    def commit(self) -> Commit:
        """Write what was appended, sign the head, and make it durable.

        Raises:
            JournalError: It could not be written. The journal takes no more: open it again.
        """
        with self._write_lock:
            if self._failed is not None:
                raise JournalError(
                    f"the journal failed ({self._failed}); open it again"
                ) from self._failed
            with self._append_lock:
                pending, self._pending = self._pending, []
                head, next_seq = self._chain_head, self._next_seq
            if not pending:
                return replace(self._committed, size=0)
            try:
                size = self._write_group(pending, head, next_seq)
            except OSError as error:
                self._failed = error
                raise JournalError(
                    f"the journal in {self.folder} could not be written ({error}); what was"
                    f" committed before input {self._committed.next_seq} is safe: make room, and"
                    " run again"
                ) from error
            except BaseException as error:
                self._failed = error
                raise
            durable = self._durability == "fsync"
            self._committed = Commit(head, next_seq, size, durable)
            return self._committed

    def _write_group(
        self, pending: list[tuple[bytes, list[Any]]], head: bytes, next_seq: int
    ) -> int:
        """Write batches and their signed head, into a new segment if the last one is full."""
        signed = SignedHead.signed(self._key, next_seq, head, self._clock()).encoded()
        size = sum(len(memoryview(part)) for _, body in pending for part in body) + len(signed) + 16
        starts = self._segment < 0 or self._size + size > self._segment_bytes
        parts: list[Any] = []
        if starts:
            first = BatchHeader.of_bytes(pending[0][1][1])
            start = SegmentStart(self._segment + 1, first.first_seq, first.previous).encoded()
            parts += [framed(FrameKind.START, len(start)), start]
            self._written_header = b""
        for encoded, body in pending:
            if encoded != self._written_header:
                parts += [framed(FrameKind.HEADER, len(encoded)), encoded]
                self._written_header = encoded
            parts += body
        parts += [framed(FrameKind.COMMIT, len(signed)), signed]
        data = b"".join(parts)
        self._size = len(data) + (0 if starts else self._size)
        self._segment += starts
        if self._writer is None:
            self._write(data, self._segment if starts else None)
        else:
            if self._writing is not None:
                self._writing.result()
            self._writing = self._writer.submit(
                self._write, data, self._segment if starts else None
            )
        return len(data)

    def _write(self, data: bytes, new_segment: int | None) -> None:
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

    def close(self) -> None:
        """Commit what was appended, make it durable in any case, and let go of the folder."""
        if self._lock_file < 0:
            return
        try:
            if self._failed is None:
                self.commit()
            if self._writer is not None:
                self._writer.shutdown()
                if self._writing is not None:
                    self._writing.result()
            if self._file >= 0:
                os.fsync(self._file)
                sync_folder(self.folder)
        finally:
            self._release()

    def abandon(self) -> None:
        """Let go of the folder; what was appended and not committed is not in the journal."""
        if self._lock_file < 0:
            return
        if self._writer is not None:
            self._writer.shutdown()
        self._release()

    def _release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        os.close(self._lock_file)
        self._lock_file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


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
