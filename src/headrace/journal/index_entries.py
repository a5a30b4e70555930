"""What the index says of batches: made of those in memory, or of those that a segment holds."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from headrace.core.address import address_of
from headrace.core.columns import Batch, Text, concatenated
from headrace.core.errors import JournalError
from headrace.events.schema import Role
from headrace.journal.frames import BatchHeader, FrameDamaged, FrameKind, frames_of
from headrace.journal.header import JournalHeader, header_digest
from headrace.journal.index_files import ID_WORDS, PLACE_WORDS, Entries, joined, no_entries
from headrace.journal.index_kernels import id_entries, place_entries
from headrace.journal.payload import decode_payload

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headrace.core.columns import Int64s
    from headrace.journal.batch import JournalBatch, UInt64s

_NO_TEXT = Text.of([])
_NO_EVENTS = Batch({}, 0)


class _Placed(Struct, frozen=True):
    """A batch, and where its frame and that of its header start."""

    batch: JournalBatch
    header: JournalHeader
    offset: int
    header_at: int


class Gathering:
    """Consecutive batches of one segment whose entries are to be made, all at once.

    Attributes:
        first_seq: The segment's first input.
        rows: Inputs of the batches that are held.

    Args:
        first_seq: The segment's first input.
        ids_before: How many ids the segment has before the first of them.
        key: Of the hashes of ids.
    """

    def __init__(self, first_seq: int, ids_before: int, key: tuple[int, int]) -> None:
        self.first_seq, self._ids, self._key = first_seq, ids_before, key
        self.rows = 0
        self._held: list[_Placed] = []

    def add(self, batch: JournalBatch, header: JournalHeader, offset: int, header_at: int) -> None:
        """Add a batch whose frame, and whose header's, start there."""
        self._held.append(_Placed(batch, header, offset, header_at))
        self.rows += len(batch)

    def __len__(self) -> int:
        return len(self._held)

    def taken(self) -> Entries:
        """The entries of what was added since the last call."""
        held, self._held, self.rows = self._held, [], 0
        parts = [no_entries(self.first_seq)]
        for _, alike in groupby(held, key=lambda placed: id(placed.header)):
            parts.append(self._entries(list(alike)))
        return joined(parts)

    def _entries(self, held: Sequence[_Placed]) -> Entries:
        """The entries of batches under one header."""
        ids, counts = self._ids_of([placed.batch for placed in held], held[0].header)
        before, self._ids = self._ids, self._ids + len(ids)
        places = np.empty((len(held), PLACE_WORDS), np.uint64)
        place_entries(
            np.array([placed.offset for placed in held], np.uint64),
            np.array([placed.batch.first_seq - self.first_seq for placed in held], np.uint64),
            before + counts.cumsum(),
            np.array([placed.header_at for placed in held], np.uint64),
            places,
        )
        return Entries(self.first_seq, places, ids)

    def _ids_of(
        self, batches: Sequence[JournalBatch], header: JournalHeader
    ) -> tuple[UInt64s, Int64s]:
        """The entries of the ids of accepted events of the decided stream; how many each has."""
        counts = np.zeros(len(batches), np.int64)
        field = header.schema(header.on).having(Role.ID)
        events = [batch.events.get(header.on, _NO_EVENTS) for batch in batches]
        texts = [rows.text(field.name) if field and len(rows) else _NO_TEXT for rows in events]
        if not any(map(len, texts)):
            return np.zeros((0, ID_WORDS), np.uint64), counts
        text = concatenated([Batch({"id": column}, len(column)) for column in texts]).text("id")
        inputs = [batch.inputs for batch in batches]
        out = np.empty((sum(map(len, inputs)), ID_WORDS), np.uint64)
        count = id_entries(
            np.concatenate([given.stream for given in inputs]),
            np.concatenate([given.kind for given in inputs]),
            np.concatenate([given.row for given in inputs]),
            np.array([len(given) for given in inputs]),
            np.array([len(column) for column in texts]),
            header.stream_names.index(header.on),
            batches[0].first_seq - self.first_seq,
            np.require(text.offsets, requirements=["C", "W"]),
            address_of(text.data),
            np.uint64(self._key[0]),
            np.uint64(self._key[1]),
            counts,
            out,
        )
        return out[:count], counts


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
