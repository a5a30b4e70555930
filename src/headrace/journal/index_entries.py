"""What the index says of batches: made of those in memory, or of those that a segment holds."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.address import address_of
from headrace.core.errors import JournalError
from headrace.events.schema import Role
from headrace.journal.frames import BatchHeader, FrameDamaged, FrameKind, frames_of
from headrace.journal.header import JournalHeader, header_digest
from headrace.journal.index_files import ID_WORDS, PLACE_WORDS, Entries, joined, no_entries
from headrace.journal.index_kernels import id_entries, place_entry
from headrace.journal.payload import decode_payload

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.journal.batch import JournalBatch, UInt64s

_NO_IDS: UInt64s = np.zeros((0, ID_WORDS), np.uint64)


def ids_of(
    batch: JournalBatch, header: JournalHeader, first_seq: int, key: tuple[int, int]
) -> UInt64s:
    """The entries of the ids of a batch's accepted events of the decided stream.

    Args:
        batch: The batch.
        header: What it is recorded under.
        first_seq: The first input of its segment.
        key: Of the hashes.
    """
    events = batch.events.get(header.on)
    field = header.schema(header.on).having(Role.ID)
    if events is None or field is None or not len(events):
        return _NO_IDS
    text, inputs = events.text(field.name), batch.inputs
    out = np.empty((len(batch), ID_WORDS), np.uint64)
    count = id_entries(
        _own(inputs.stream),
        _own(inputs.kind),
        _own(inputs.row),
        header.stream_names.index(header.on),
        batch.first_seq - first_seq,
        _own(text.offsets),
        address_of(text.data),
        np.uint64(key[0]),
        np.uint64(key[1]),
        out,
    )
    return out[:count]


def _own(array: Any) -> Any:
    """The array, or a copy of one that cannot be written to: kernels are compiled for what can."""
    return array if array.flags.writeable else array.copy()


class Gathering:
    """Entries of consecutive batches of one segment, while they are gathered.

    Attributes:
        first_seq: The segment's first input.
        ids_before: How many ids the segment has before the first of them.

    Args:
        key: Of the hashes of ids.
    """

    def __init__(self, first_seq: int, ids_before: int, key: tuple[int, int]) -> None:
        self.first_seq, self._ids, self._key = first_seq, ids_before, key
        self._parts: list[Entries] = []

    def add(self, batch: JournalBatch, header: JournalHeader, offset: int, header_at: int) -> None:
        """Add a batch whose frame, and whose header's, start there."""
        ids = ids_of(batch, header, self.first_seq, self._key)
        self._ids += len(ids)
        place = np.empty((1, PLACE_WORDS), np.uint64)
        place_entry(offset, batch.first_seq - self.first_seq, self._ids, header_at, place[0])
        self._parts.append(Entries(self.first_seq, place, ids))

    def __len__(self) -> int:
        return len(self._parts)

    def taken(self) -> Entries:
        """What was gathered since the last call."""
        parts, self._parts = self._parts, []
        return joined([no_entries(self.first_seq), *parts])


def scanned(
    path: Path, first_seq: int, key: tuple[int, int], after: Entries, *, is_last: bool
) -> Entries:
    """Entries of the committed batches of a segment behind those that `after` has.

    Args:
        path: The segment.
        first_seq: Its first input.
        key: Of the hashes of ids.
        after: What is known already.
        is_last: Whether the segment may end within a frame.

    Raises:
        JournalError: The segment cannot be read.
    """
    known, start, header_at = len(after.places), 0, 0
    encoded, header = b"", None
    ids = 0
    if known:
        start, header_at = int(after.places[-1, 0]), int(after.places[-1, 2])
        ids = int(after.places[-1, 1]) >> 32
        encoded, header = header_in(path, header_at)
    gathering = Gathering(first_seq, ids, key)
    done = [no_entries(first_seq)]
    try:
        for frame in frames_of(path, start):
            if known and frame.offset == start:
                continue
            if frame.kind is FrameKind.HEADER:
                encoded, header_at = frame.body.tobytes(), frame.offset
                header = _decoded(encoded)
            elif frame.kind is FrameKind.BATCH:
                link, payload = BatchHeader.decoded(frame)
                if header is None or header_digest(encoded) != link.header:
                    raise FrameDamaged(
                        frame.offset, "a batch lacks the header it was recorded under"
                    )
                batch, _ = decode_payload(payload, header, link.first_seq)
                gathering.add(batch, header, frame.offset, header_at)
            elif frame.kind is FrameKind.COMMIT:
                done.append(gathering.taken())
    except JournalError as error:
        if not is_last:
            raise JournalError(f"{path}: {error}; run headrace verify") from error
    return joined(done)


def header_in(path: Path, offset: int) -> tuple[bytes, JournalHeader]:
    """The header whose frame starts at a byte of a segment, and its bytes.

    Raises:
        JournalError: There is none.
    """
    frame = next(frames_of(path, offset), None)
    if frame is None or frame.kind is not FrameKind.HEADER:
        raise JournalError(f"{path} has no header at byte {offset}; run headrace verify")
    encoded = frame.body.tobytes()
    return encoded, _decoded(encoded)


@lru_cache(16)
def _decoded(encoded: bytes) -> JournalHeader:
    """A header, decoded once: all batches of a segment may have the same."""
    return JournalHeader.decoded(encoded)
