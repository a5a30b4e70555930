"""The files of a journal's index: what they hold is derived, and made anew where it is missing.

They lie in a folder of their own. A segment that is written has two logs, `N.places` and `N.ids`,
to which entries are appended as batches are committed; a segment that is closed has one file,
`N.index`, with the entries of ids sorted. Words are little-endian, 64 bits (`index_kernels`). None
of them is synced: a power failure may tear them, and their checks say so.

An index says which content it is of: that of a closed segment by the head that the segment ends
with, a log by the head that the segment begins with.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.siphash import sip128
from headrace.journal.index_kernels import (
    DAMAGED,
    batch_with,
    first_with,
    fitting_ids,
    fitting_places,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headrace.journal.batch import UInt64s

PLACE_WORDS = 4
ID_WORDS = 2
_LOG = struct.Struct("<16s16s32s")
_CLOSED = struct.Struct("<16s16s32sQQQ")
_CLOSED_BYTES = _CLOSED.size + 32
_LOG_MAGIC = b"headrace/log/v1\0"
_CLOSED_MAGIC = b"headrace/idx/v1\0"
_LOW = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Entries:
    """What an index has of a segment, or of a part of it.

    Attributes:
        first_seq: The segment's first input.
        places: Of each batch; uint64 [n, 4].
        ids: Of each accepted event of the decided stream; uint64 [m, 2].
        is_sorted: Whether `ids` are sorted by their hash, then by input; else they are in order of
            their inputs.
    """

    first_seq: int
    places: UInt64s
    ids: UInt64s
    is_sorted: bool = False

    def sorted(self) -> Entries:
        """The same, with `ids` sorted."""
        order = np.lexsort((self.ids[:, 1] & np.uint64(_LOW), self.ids[:, 0]))
        return Entries(self.first_seq, self.places, self.ids[order], is_sorted=True)

    def batch_at(self, seq: int) -> tuple[int, int] | None:
        """Where the frame of the batch starts that holds input `seq`, and that of its header.

        None where the entries have none, or are damaged.
        """
        found = batch_with(self.places, seq - self.first_seq)
        if found < 0:
            return None
        return int(self.places[found, 0]), int(self.places[found, 2])

    def seqs(self, hashed: int) -> list[int] | None:
        """The inputs whose ids have a hash, in order; None where the entries are damaged."""
        key = np.uint64(hashed)
        if self.is_sorted:
            first = first_with(self.ids, key)
            after = first_with(self.ids, key + np.uint64(1)) if hashed < 2**64 - 1 else -2
            if DAMAGED in {first, after}:
                return None
            found = self.ids[first : after if after >= 0 else None]
        else:
            found = self.ids[self.ids[:, 0] == key]
        return [self.first_seq + number for number in (found[:, 1] & np.uint64(_LOW)).tolist()]


class GrowingEntries:
    """Entries of a segment that are added to, in room that doubles.

    Args:
        first_seq: The segment's first input.
    """

    def __init__(self, first_seq: int) -> None:
        self._first_seq = first_seq
        self._places: UInt64s = np.zeros((64, PLACE_WORDS), np.uint64)
        self._ids: UInt64s = np.zeros((1024, ID_WORDS), np.uint64)
        self._counts = (0, 0)

    @property
    def entries(self) -> Entries:
        """All that was added, as it stands."""
        places, ids = self._counts
        return Entries(self._first_seq, self._places[:places], self._ids[:ids])

    def add(self, more: Entries) -> None:
        """Add what comes next."""
        places, ids = self._counts
        self._counts = (places + len(more.places), ids + len(more.ids))
        self._places = _roomy(self._places, places, more.places)
        self._ids = _roomy(self._ids, ids, more.ids)


def _roomy(room: UInt64s, used: int, more: UInt64s) -> UInt64s:
    """The room with more behind what is used of it: another one where it is too small."""
    end = used + len(more)
    if end > len(room):
        larger = np.empty((max(end, 2 * len(room)), room.shape[1]), np.uint64)
        larger[:used] = room[:used]
        room = larger
    room[used:end] = more
    return room


def no_entries(first_seq: int) -> Entries:
    """An index of nothing yet."""
    return Entries(
        first_seq, np.zeros((0, PLACE_WORDS), np.uint64), np.zeros((0, ID_WORDS), np.uint64)
    )


def joined(parts: list[Entries]) -> Entries:
    """Entries of consecutive parts of a segment."""
    if len(parts) == 1:
        return parts[0]
    return Entries(
        parts[0].first_seq,
        np.concatenate([part.places for part in parts]),
        np.concatenate([part.ids for part in parts]),
    )


@dataclass(frozen=True, slots=True)
class IndexFolder:
    """Where the index of a journal is kept, and the key of its hashes.

    Attributes:
        path: The folder; made when it is first written to.
        key: Two secret 64-bit halves. Ids can be personal data: without the key, no file of the
            index says whether an id is in it.
    """

    path: Path
    key: tuple[int, int]

    @property
    def hash_key(self) -> tuple[int, int]:
        """The key of the hashes of ids."""
        return sip128(b"ids of the journal's index", *self.key)

    @property
    def fingerprint(self) -> bytes:
        """Sixteen bytes that tell one key from another."""
        return np.array(sip128(b"key of the journal's index", *self.key), "<u8").tobytes()

    def closed(self, segment: int) -> Path:
        """The index of a closed segment."""
        return self.path / f"{segment:010d}.index"

    def places(self, segment: int) -> Path:
        """The log of the batches of a segment that is written."""
        return self.path / f"{segment:010d}.places"

    def ids(self, segment: int) -> Path:
        """The log of its ids."""
        return self.path / f"{segment:010d}.ids"

    def logged(self) -> Iterator[int]:
        """The segments that have a log."""
        return (int(path.stem) for path in sorted(self.path.glob("*.places")))

    def log_header(self, previous: bytes) -> bytes:
        """The first bytes of a log.

        Args:
            previous: The head before the segment.
        """
        return _LOG.pack(_LOG_MAGIC, self.fingerprint, previous)

    def read_log(
        self, segment: int, first_seq: int, previous: bytes, size: int, after: Entries | None = None
    ) -> Entries:
        """What the log of a segment has, as far as it is whole.

        Args:
            segment: Number of the segment.
            first_seq: Its first input.
            previous: The head before it.
            size: Bytes of the segment: entries of batches beyond are left out.
            after: What is known already, and left out.
        """
        places_known, ids_known = (len(after.places), len(after.ids)) if after else (0, 0)
        nothing = no_entries(first_seq)
        header = self.log_header(previous)
        places = _words(self.places(segment), header, PLACE_WORDS, places_known)
        ids = _words(self.ids(segment), header, ID_WORDS, ids_known)
        if places is None or ids is None:
            return nothing
        ids = ids[: fitting_ids(ids)]
        places = places[: fitting_places(places)]
        places = places[places[:, 0] < np.uint64(size)]
        ends = places[:, 1] >> np.uint64(32)
        places = places[: int(np.searchsorted(ends, np.uint64(ids_known + len(ids)), "right"))]
        count = int(places[-1, 1] >> np.uint64(32)) - ids_known if len(places) else 0
        return Entries(first_seq, places, ids[: max(count, 0)])

    def read_closed(self, segment: int, first_seq: int, head: bytes) -> Entries | None:
        """The index of a closed segment; None where there is none of that content.

        Args:
            segment: Number of the segment.
            first_seq: Its first input.
            head: The head that it ends with.
        """
        path = self.closed(segment)
        try:
            with path.open("rb") as file:
                said = file.read(_CLOSED_BYTES)
                if len(said) < _CLOSED_BYTES:
                    return None
                magic, fingerprint, of, begins, places, ids = _CLOSED.unpack(said[: _CLOSED.size])
                if (
                    hashlib.sha256(said[: _CLOSED.size]).digest() != said[_CLOSED.size :]
                    or (magic, fingerprint, of) != (_CLOSED_MAGIC, self.fingerprint, head)
                    or begins != first_seq
                    or path.stat().st_size
                    != _CLOSED_BYTES + 8 * (places * PLACE_WORDS + ids * ID_WORDS)
                ):
                    return None
                # kernels are compiled for arrays that can be written to: a copy on writing
                words: Any = np.memmap(file, "<u8", "c", _CLOSED_BYTES)
        except (OSError, ValueError):
            return None
        cut = places * PLACE_WORDS
        return Entries(
            first_seq,
            np.asarray(words[:cut]).reshape(-1, PLACE_WORDS),
            np.asarray(words[cut:]).reshape(-1, ID_WORDS),
            is_sorted=True,
        )

    def write_closed(self, segment: int, head: bytes, entries: Entries) -> None:
        """Write the index of a closed segment, at once or not at all, and drop its log.

        Raises:
            OSError: It cannot be written.
        """
        entries = entries if entries.is_sorted else entries.sorted()
        said = _CLOSED.pack(
            _CLOSED_MAGIC,
            self.fingerprint,
            head,
            entries.first_seq,
            len(entries.places),
            len(entries.ids),
        )
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.closed(segment)
        made = path.with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            with made.open("xb") as file:
                file.write(said + hashlib.sha256(said).digest())
                file.write(entries.places.astype("<u8", copy=False).tobytes())
                file.write(entries.ids.astype("<u8", copy=False).tobytes())
            made.replace(path)
        finally:
            made.unlink(missing_ok=True)


def _words(path: Path, header: bytes, width: int, known: int) -> UInt64s | None:
    """The whole entries of a log behind those that are known; None where it is not that log."""
    try:
        with path.open("rb") as file:
            if file.read(len(header)) != header:
                return None
            file.seek(len(header) + 8 * width * known)
            data = file.read()
    except OSError:
        return None
    whole = len(data) // (8 * width) * 8 * width
    words = np.frombuffer(bytearray(data[:whole]), dtype="<u8").astype(np.uint64, copy=False)
    return words.reshape(-1, width)
