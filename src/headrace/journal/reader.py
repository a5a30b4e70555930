"""Reading a journal back: batches as they were appended, from any sequence number on."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.errors import JournalError, NotFound
from headrace.journal.frames import (
    BatchHeader,
    FrameDamaged,
    FrameKind,
    SegmentStart,
    SignedHead,
    frames_of,
    segment_paths,
)
from headrace.journal.header import JournalHeader, header_digest
from headrace.journal.payload import decode_payload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headrace.core.columns import Bytes
    from headrace.journal.batch import JournalBatch


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch as it lies in the journal.

    Attributes:
        link: Its entry in the chain.
        header: What it was recorded under.
        header_encoded: The bytes of that.
        payload: Its payload, not yet decoded.
        segment: The file it is in.
        offset: Where its frame starts.
    """

    link: BatchHeader
    header: JournalHeader
    header_encoded: bytes
    payload: Bytes
    segment: Path
    offset: int

    def batch(self) -> JournalBatch:
        """The batch as it was appended (with the positions of all sources so far).

        Raises:
            JournalError: The payload was changed so that it cannot be read.
        """
        return decode_payload(self.payload, self.header, self.link.first_seq)[0]


@dataclass(frozen=True, slots=True)
class Group:
    """The batches of one group commit, and the head that vouches for them."""

    batches: tuple[StoredBatch, ...]
    signed: SignedHead


@dataclass(frozen=True, slots=True)
class Found:
    """A batch that was looked for, and what vouches for it.

    Attributes:
        stored: The batch.
        after: The batches after it in its group commit.
        signed: The head after them.
    """

    stored: StoredBatch
    after: tuple[BatchHeader, ...]
    signed: SignedHead


def groups(folder: Path, from_seq: int = 0) -> Iterator[Group]:
    """The group commits of a journal that reach beyond input `from_seq`, in order.

    What is read is what is there: `verify` says whether it is what was written. Batches after the
    last signed head are not given. A journal may be read while it is written.

    Raises:
        JournalError: There is no journal, or a frame before the last cannot be read.
    """
    paths = segment_paths(folder)
    if not paths and not folder.is_dir():
        raise NotFound(f"{folder} holds no journal")
    begin = max(0, bisect_right(paths[:-1], from_seq, key=_first_seq) - 1)
    for path in paths[begin:]:
        yield from _groups_of(path, from_seq, last=path is paths[-1])


def _first_seq(path: Path) -> int:
    for frame in frames_of(path):
        return SegmentStart.decoded(frame).first_seq
    raise JournalError(f"{path} is empty; run headrace verify")


def _groups_of(path: Path, from_seq: int, *, last: bool) -> Iterator[Group]:
    """The group commits of one segment; the last segment may end in a tail."""
    header: JournalHeader | None = None
    encoded = b""
    waiting: list[StoredBatch] = []
    try:
        for frame in frames_of(path):
            if frame.kind is FrameKind.HEADER:
                encoded = frame.body.tobytes()
                header = JournalHeader.decoded(encoded)
            elif frame.kind is FrameKind.BATCH:
                link, payload = BatchHeader.decoded(frame)
                if header is None or header_digest(encoded) != link.header:
                    raise FrameDamaged(
                        frame.offset, "a batch lacks the header it was recorded under"
                    )
                waiting.append(StoredBatch(link, header, encoded, payload, path, frame.offset))
            elif frame.kind is FrameKind.COMMIT:
                signed = SignedHead.decoded(frame)
                if signed.next_seq > from_seq and waiting:
                    yield Group(tuple(waiting), signed)
                waiting = []
    except JournalError as error:
        if not last:
            raise JournalError(f"{path}: {error}; run headrace verify") from error


def segment_starts(folder: Path) -> list[int]:
    """The first input of each segment, in order.

    Raises:
        JournalError: A segment is empty.
    """
    return [_first_seq(path) for path in segment_paths(folder)]


def stored_batches(folder: Path, from_seq: int = 0) -> Iterator[StoredBatch]:
    """Every vouched batch with an input at or after `from_seq`, in order."""
    for group in groups(folder, from_seq):
        yield from (item for item in group.batches if item.link.next_seq > from_seq)


def find(folder: Path, seq: int) -> Found:
    """The batch that holds input `seq`, by reading the journal (`JournalIndex` has it at once).

    Raises:
        NotFound: The journal does not reach that far.
    """
    for group in groups(folder, seq):
        for item in group.batches:
            if item.link.first_seq <= seq < item.link.next_seq:
                after = [other.link for other in group.batches if other.link.first_seq > seq]
                return Found(item, tuple(after), group.signed)
    raise NotFound(f"input {seq} is not in the journal {folder}")
