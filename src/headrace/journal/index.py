"""Looking things up in a journal: an input by its number, a decided event by its id.

The index says where to look; what is found there is checked, so a damaged or a wrong index costs
time and nothing else. Where there is none, the segment is read, and the index made of it is kept.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.address import address_of
from headrace.core.errors import JournalError, NotFound
from headrace.core.siphash import sip64_at
from headrace.events.schema import Role
from headrace.journal.batch import InputKind
from headrace.journal.frames import (
    FRAME,
    BatchHeader,
    FrameDamaged,
    FrameKind,
    SegmentStart,
    closing_head,
    frames_of,
    links_from,
    segment_path,
    segment_paths,
)
from headrace.journal.header import header_digest
from headrace.journal.index_entries import header_in, scanned
from headrace.journal.index_files import GrowingEntries, no_entries
from headrace.journal.reader import Found, StoredBatch

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.journal.index_files import Entries, IndexFolder

_LOG = logging.getLogger("headrace")

#: Closed segments whose index is kept open; each takes a descriptor.
_OPEN = 256
#: No input has this number.
_NO_INPUT = 2**63


class JournalIndex:
    """What is in a journal, and where. Several threads may ask it, while the journal is written.

    Args:
        segments: The folder of the journal.
        folder: Where its index is kept.
    """

    def __init__(self, segments: Path, folder: IndexFolder) -> None:
        self.segments, self._folder = segments, folder
        self._closed: dict[int, Entries] = {}
        self._first_seqs: list[int] = []
        self._last = (-1, GrowingEntries(0))
        self._lock = threading.Lock()

    def find(self, seq: int) -> Found:
        """The batch that holds input `seq`, and what vouches for it.

        Raises:
            NotFound: The journal does not reach that far.
            JournalError: What is there cannot be read.
        """
        with self._lock:
            return self._found(seq, self._count())

    def seq_of(self, event_id: str) -> int | None:
        """The number of the first accepted event of that id on the decided stream; None for none.

        Raises:
            JournalError: The journal cannot be read.
        """
        text = np.frombuffer(event_id.encode() or b"\0", np.uint8)
        key0, key1 = self._folder.hash_key
        length = len(event_id.encode())
        hashed = int(sip64_at(address_of(text), length, np.uint64(key0), np.uint64(key1)))
        with self._lock:
            count = self._count()
            for segment in range(count):
                seqs = self._entries(segment, is_last=segment == count - 1).seqs(hashed)
                if seqs is None:
                    seqs = self._anew(segment, is_last=segment == count - 1).seqs(hashed) or []
                for seq in seqs:
                    if _is_event(self._found(seq, count).stored, seq, event_id):
                        return seq
        return None

    def _count(self) -> int:
        """How many segments there are."""
        if not self.segments.is_dir():
            raise NotFound(f"{self.segments} holds no journal")
        return len(segment_paths(self.segments))

    def _found(self, seq: int, count: int) -> Found:
        missing = NotFound(f"input {seq} is not in the journal {self.segments}")
        segment = bisect_right(range(count), seq, key=self._first_seq) - 1
        if seq < 0 or segment < 0:
            raise missing
        is_last = segment == count - 1
        at = self._entries(segment, is_last=is_last).batch_at(seq)
        found = self._read(segment, seq, at) if at else None
        if found is None and is_last and at and self._ends_before(segment, seq, at[0]):
            raise missing
        if found is None:
            at = self._anew(segment, is_last=is_last).batch_at(seq)
            found = self._read(segment, seq, at) if at else None
        if found is None:
            raise missing
        return found

    def _ends_before(self, segment: int, seq: int, offset: int) -> bool:
        """Whether the last batch of the journal, which starts there, ends before an input."""
        path = segment_path(self.segments, segment)
        try:
            link = next(links_from(path, offset), None)
        except JournalError:
            return False
        places = self._last[1].entries.places
        is_last = bool(len(places)) and int(places[-1, 0]) == offset
        return is_last and isinstance(link, BatchHeader) and link.next_seq <= seq

    def _first_seq(self, segment: int) -> int:
        """The first input of a segment; of one that is just begun, more than there can be."""
        while len(self._first_seqs) <= segment:
            number = len(self._first_seqs)
            frame = next(frames_of(segment_path(self.segments, number)), None)
            if frame is None:
                return _NO_INPUT
            self._first_seqs.append(SegmentStart.decoded(frame).first_seq)
        return self._first_seqs[segment]

    def _read(self, segment: int, seq: int, at: tuple[int, int]) -> Found | None:
        """The batch at a place; None if it is not there, or not what its group was signed for."""
        path = segment_path(self.segments, segment)
        try:
            return _vouched(_stored(path, seq, *at))
        except JournalError:
            return None

    def _entries(self, segment: int, *, is_last: bool) -> Entries:
        """The index of a segment: what is held of it, what is kept, or what it gives."""
        if is_last:
            return self._written(segment)
        held = self._closed.get(segment)
        if held is None:
            path = segment_path(self.segments, segment)
            first_seq = self._first_seq(segment)
            held = self._folder.read_closed(segment, first_seq, self._closing(path))
            if held is None:
                return self._anew(segment, is_last=False)
            self._hold(segment, held)
        return held

    def _hold(self, segment: int, entries: Entries) -> None:
        if len(self._closed) >= _OPEN:
            del self._closed[next(iter(self._closed))]
        self._closed[segment] = entries

    def _written(self, segment: int) -> Entries:
        """The index of the segment that is written, up to its last commit."""
        path = segment_path(self.segments, segment)
        size = path.stat().st_size
        frame = next(frames_of(path), None)
        if frame is None:
            return no_entries(_NO_INPUT)
        start = SegmentStart.decoded(frame)
        number, growing = self._last
        places = growing.entries.places
        if number != segment or (len(places) and int(places[-1, 0]) >= size):
            growing = GrowingEntries(start.first_seq)
            self._last = (segment, growing)
        known = growing.entries
        growing.add(self._folder.read_log(segment, start.first_seq, start.previous, size, known))
        known = growing.entries
        growing.add(scanned(path, start.first_seq, self._folder.hash_key, known, is_last=True))
        return growing.entries

    def _anew(self, segment: int, *, is_last: bool) -> Entries:
        """The index of a segment, by reading the segment; kept if it is closed."""
        path = segment_path(self.segments, segment)
        first_seq = self._first_seq(segment)
        made = scanned(
            path, first_seq, self._folder.hash_key, no_entries(first_seq), is_last=is_last
        )
        if is_last:
            self._last = (segment, GrowingEntries(first_seq))
            self._last[1].add(made)
            return made
        made = made.sorted()
        self._hold(segment, made)
        try:
            self._folder.write_closed(segment, self._closing(path), made)
        except OSError as error:
            _LOG.warning(f"the index of {path} cannot be kept: {error}")
        return made

    def _closing(self, path: Path) -> bytes:
        try:
            return closing_head(path).head
        except FrameDamaged as error:
            raise JournalError(f"{path}: {error}; run headrace verify") from error


def _stored(path: Path, seq: int, offset: int, header_at: int) -> StoredBatch:
    """The batch of input `seq` at a place of a segment.

    Raises:
        JournalError: It is not there.
    """
    encoded, header = header_in(path, header_at)
    frame = next(frames_of(path, offset), None)
    if frame is None or frame.kind is not FrameKind.BATCH:
        raise FrameDamaged(offset, "there is no batch")
    link, payload = BatchHeader.decoded(frame)
    if not link.first_seq <= seq < link.next_seq:
        raise FrameDamaged(offset, f"the batch does not hold input {seq}")
    if header_digest(encoded) != link.header:
        raise FrameDamaged(offset, "the batch was recorded under another header")
    if hashlib.sha256(payload.data).digest() != link.payload:
        raise FrameDamaged(offset, "the payload is not what was hashed")
    return StoredBatch(link, header, encoded, payload, path, offset)


def _vouched(stored: StoredBatch) -> Found:
    """A batch with what comes after it, up to the signed head.

    Raises:
        JournalError: The chain does not lead there.
    """
    head = stored.link.head()
    after: list[BatchHeader] = []
    end = stored.offset + FRAME.size + len(stored.link.encoded()) + len(stored.payload)
    for found in links_from(stored.segment, end):
        if (found.previous if isinstance(found, BatchHeader) else found.head) != head:
            break
        if not isinstance(found, BatchHeader):
            return Found(stored, tuple(after), found)
        after.append(found)
        head = found.head()
    raise FrameDamaged(end, "no signed head vouches for the batch")


def _is_event(stored: StoredBatch, seq: int, event_id: str) -> bool:
    """Whether an input is an accepted event of the decided stream with that id."""
    header, batch = stored.header, stored.batch()
    field = header.schema(header.on).having(Role.ID)
    events = batch.events.get(header.on)
    at = seq - batch.first_seq
    row = int(batch.inputs.row[at])
    if field is None or events is None or row < 0:
        return False
    if int(batch.inputs.stream[at]) != header.stream_names.index(header.on):
        return False
    if int(batch.inputs.kind[at]) not in (InputKind.ACCEPTED, InputKind.BACKFILL):
        return False
    return events.text(field.name).take(np.array([row])).strings() == [event_id]
