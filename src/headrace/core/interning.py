"""Texts as small integers: the first text is 0, the next new one 1, and so on.

State and models work with dense codes; text goes in and comes out here. The order of first
appearance is all that a code depends on, never the key of the hash or the size of the table.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import numpy as np

from headrace.core import interning_kernels as kernels
from headrace.core.address import address_of
from headrace.core.columns import Text
from headrace.core.errors import ArtefactError, LimitReached
from headrace.core.mapping import reserve
from headrace.core.slot_kernels import TOP, slots_begin

if TYPE_CHECKING:
    from headrace.core.columns import Int64s

_MAGIC = b"headrace/texts/v1\0\0\0\0\0\0\0"
_MOST_TEXTS = 2**31
_MOST_WORDS = 2**33
_MOST_SLOTS = 2**31


class TextTable:
    """Bytes of texts to dense codes and back, for as many as there is memory.

    Each text is kept once, in memory that is never copied. One thread at a time may use a table.

    Args:
        most_bytes: Of text, headers of eight bytes included; above it, `intern` refuses.
        key: Of the hash, two 64-bit halves. Drawn at random if not given: nobody outside can
            then make texts that collide. It has no influence on codes.

    >>> table = TextTable()
    >>> table.intern(Text.of(["eur", "usd", None, "eur"])).tolist()
    [0, 1, -1, 0]
    >>> table.find(Text.of(["usd", "chf"])).tolist(), len(table)
    ([1, -1], 2)
    >>> table.strings(np.array([1, -1, 0])).strings()
    ['usd', None, 'eur']
    """

    def __init__(
        self, most_bytes: int = 8 * _MOST_WORDS, key: tuple[int, int] | None = None
    ) -> None:
        halves = key or (secrets.randbits(64), secrets.randbits(64))
        self._key = (np.uint64(halves[0]), np.uint64(halves[1]))
        words = min(most_bytes // 8, _MOST_WORDS)
        self._arena = reserve(words, np.uint64)
        self._starts = reserve(_MOST_TEXTS, np.int64)
        self._pool = reserve(_MOST_SLOTS, np.uint64)
        self._parts = np.zeros(TOP + 1, dtype=np.int64)
        slots_begin(self._parts)
        self._counts = np.array([0, 0, words], dtype=np.int64)
        self._hashes = np.zeros(4_096, dtype=np.uint64)

    def __len__(self) -> int:
        return int(self._counts[kernels.TEXTS])

    def intern(self, text: Text) -> Int64s:
        """The code of each row, new texts added; -1 where the row is missing.

        Raises:
            LimitReached: If a new text has no room. The texts before it were added.
        """
        codes = np.empty(len(text), dtype=np.int64)
        if not self._walk(text, codes, adding=True):
            used, most = (
                int(self._counts[kernels.WORDS]) * 8,
                int(self._counts[kernels.WORDS_MOST]) * 8,
            )
            raise LimitReached(
                f"the table of texts is full: {len(self):,} texts in {used:,} of {most:,} bytes; "
                "give it more bytes, or look for a field that should not be a key"
            )
        return codes

    def find(self, text: Text) -> Int64s:
        """The code of each row; -1 where the row is missing or its text was never seen."""
        codes = np.empty(len(text), dtype=np.int64)
        self._walk(text, codes, adding=False)
        return codes

    def _walk(self, text: Text, codes: Int64s, *, adding: bool) -> bool:
        if len(self._hashes) < len(codes):
            self._hashes = np.zeros(2 * len(codes), dtype=np.uint64)
        done: bool = kernels.intern_rows(
            text.offsets,
            address_of(text.data),
            address_of(text.valid),
            *self._key,
            self._pool,
            self._parts,
            self._arena,
            self._starts,
            self._counts,
            self._hashes,
            adding,
            codes,
        )
        return done

    def strings(self, codes: Int64s) -> Text:
        """The texts of these codes, as a column; a negative code is a missing row."""
        offsets = np.zeros(len(codes) + 1, dtype=np.int64)
        kernels.text_lengths(codes, self._starts, self._arena, offsets)
        data = np.empty(int(offsets[-1]), dtype=np.uint8)
        kernels.text_bytes(codes, self._starts, self._arena.view(np.uint8), offsets, data)
        return Text(offsets.astype(np.int32), data, (codes >= 0).astype(np.uint8))

    def memory(self) -> int:
        """Bytes in use."""
        used = int(self._counts[kernels.WORDS]) + len(self) + int(self._parts[TOP])
        return 8 * used + self._parts.nbytes + self._hashes.nbytes

    def snapshot(self, count: int | None = None) -> bytes:
        """The texts in the order of their codes: the same texts give the same bytes.

        With a count, the first so many: another thread may add more meanwhile.
        """
        codes = np.arange(len(self) if count is None else count, dtype=np.int64)
        offsets = np.zeros(len(codes) + 1, dtype=np.int64)
        kernels.text_lengths(codes, self._starts, self._arena, offsets)
        data = np.empty(int(offsets[-1]), dtype=np.uint8)
        kernels.text_bytes(codes, self._starts, self._arena.view(np.uint8), offsets, data)
        head = np.array([len(codes), len(data)], dtype="<u8").tobytes()
        return b"".join((_MAGIC, head, np.diff(offsets).astype("<u4").tobytes(), data.tobytes()))

    def restore(self, snapshot: bytes) -> None:
        """Take the texts of a snapshot into this table, which must be empty.

        Raises:
            ArtefactError: If these are not the bytes of a snapshot.
        """
        if len(self):
            raise ArtefactError(f"a snapshot goes into an empty table; this has {len(self)} texts")
        lengths, data = _opened(snapshot)
        # offsets of a column have 32 bits, so the texts go in by pieces
        ends = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        first = 0
        while first < len(lengths):
            last = int(np.searchsorted(ends, ends[first] + 2**30, side="right")) - 1
            last = max(last, first + 1)
            offsets = (ends[first : last + 1] - ends[first]).astype(np.int32)
            piece = data[ends[first] : ends[last]]
            self.intern(Text(offsets, piece, np.ones(last - first, dtype=np.uint8)))
            first = last
        if len(self) != len(lengths):
            raise ArtefactError(
                f"the snapshot of texts names {len(lengths)} texts of which {len(self)} differ; "
                "it was changed: restore an older one, or replay the journal"
            )


def _opened(snapshot: bytes) -> tuple[Int64s, np.typing.NDArray[np.uint8]]:
    """Lengths and bytes of a snapshot's texts."""
    head = len(_MAGIC) + 16
    if len(snapshot) >= head and snapshot.startswith(_MAGIC):
        count, size = (int(n) for n in np.frombuffer(snapshot, "<u8", 2, len(_MAGIC)))
        if len(snapshot) == head + 4 * count + size:
            lengths = np.frombuffer(snapshot, "<u4", count, head).astype(np.int64)
            if int(lengths.sum()) == size:
                return lengths, np.frombuffer(snapshot, np.uint8, size, head + 4 * count)
    raise ArtefactError(
        f"these {len(snapshot)} bytes are not a whole snapshot of texts (version 1); "
        "restore an older one, or replay the journal"
    )
