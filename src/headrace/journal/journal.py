"""The writer of a journal: batches in, a signed head out at every group commit."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from msgspec import Struct
from msgspec.structs import replace

from headrace.core.errors import JournalError
from headrace.journal.chain_writer import ChainWriter
from headrace.journal.reader import stored_batches
from headrace.journal.recovery import Signer
from headrace.journal.segments import SEGMENT_BYTES, Durability, SegmentFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from headrace.journal.batch import JournalBatch, Position
    from headrace.journal.chain_writer import Appended, FrameGroup
    from headrace.journal.header import JournalHeader
    from headrace.journal.index_files import IndexFolder
    from headrace.journal.keys import PublicKey, SigningKey
    from headrace.journal.recovery import UnvouchedTail


class Commit(Struct, frozen=True):
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
        index: IndexFolder | None,
    ) -> None:
        self.folder = folder
        self._files = SegmentFiles(
            folder, (key.public, *trusted), durability, segment_bytes, index, Signer(key, clock)
        )
        chain = self._files.chain
        self.tails: tuple[UnvouchedTail, ...] = self._files.tails
        self._writer = ChainWriter(chain, header, key, clock)
        self._durable = durability == "fsync"
        self._committed = Commit(chain.head, chain.next_seq, 0, durable=True)
        self._last_header = chain.header
        self._header = header
        self._write_lock = threading.Lock()
        self._unsigned: FrameGroup | None = None
        self._failed: BaseException | None = None

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
        index: IndexFolder | None = None,
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
            index: Where an index of it is kept, by which decisions are found at once.

        Raises:
            JournalError: Another process writes it, or its segments do not join.
        """
        return Journal(
            folder,
            header,
            key,
            trusted=trusted,
            durability=durability,
            segment_bytes=segment_bytes,
            clock=clock,
            index=index,
        )

    @property
    def next_seq(self) -> int:
        """The sequence number of the next input to append."""
        return self._writer.next_seq

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
        return self._writer.positions

    def batches(self, from_seq: int) -> Iterator[tuple[JournalHeader, JournalBatch]]:
        """The committed batches with an input at or after `from_seq`, with their headers."""
        return ((stored.header, stored.batch()) for stored in stored_batches(self.folder, from_seq))

    def describe(self, header: JournalHeader) -> None:
        """Record the batches to come under another header."""
        self._header = header
        self._writer.describe(header)

    def append(self, batch: JournalBatch) -> Appended:
        """Hash a batch into the chain and hold it for the next commit.

        Raises:
            InvariantBroken: The batch does not follow the last one, or its parts do not fit.
        """
        if self._files.index is not None:
            self._files.index.note(batch, self._header)
        return self._writer.append(batch)

    def commit(self, *, sealed: bool = False) -> Commit:
        """Write what was appended, sign the head, and make it durable.

        Args:
            sealed: Whether a seal may vouch for the head until `catch_up` signs it, which takes
                longer. Where a commit waits for the disk, it is signed in any case.

        Raises:
            JournalError: It could not be written. The journal takes no more: open it again.
        """
        with self._write_lock:
            group = self._writer.close_group(sign=self._durable or not sealed)
            size = self._written(group)
            if group is None:
                return replace(self._committed, size=size)
            self._committed = Commit(group.head, group.next_seq, size, self._durable)
            return self._committed

    def catch_up(self) -> None:
        """Sign the last commit and bring the index to it, once its decisions have gone out.

        Raises:
            JournalError: It could not be signed. What was committed is safe all the same.
        """
        with self._write_lock:
            self._written(None)
        if self._files.index is not None:
            self._files.index.catch_up()

    def _written(self, group: FrameGroup | None) -> int:
        """Write the signed head that is owed, and a group; returns their bytes."""
        if self._failed is not None:
            raise JournalError(
                f"the journal failed ({self._failed}); open it again"
            ) from self._failed
        try:
            owed, self._unsigned, size = self._unsigned, None, 0
            if owed is not None:
                size = self._files.sign(self._writer.signed(owed.next_seq, owed.head))
            if group is not None and group.commit:
                size += self._files.add(group)
            elif group is not None:
                size += self._files.add(group, self._writer.sealed(group.next_seq, group.head))
                self._unsigned = group
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
        return size

    def close(self) -> None:
        """Commit what was appended, make it durable in any case, and let go of the folder."""
        if not self._files.is_open:
            return
        try:
            if self._failed is None:
                self.commit()
            self._files.sync()
        finally:
            self._files.release()

    def abandon(self) -> None:
        """Let go of the folder; what was appended and not committed is not in the journal."""
        self._files.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
