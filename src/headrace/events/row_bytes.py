"""Payloads side by side: bytes of many events in one buffer, read a value of every row at a time.

A binary form (Avro, Protobuf) lays the fields of an event one after the other, each as long as it
needs. A `RowCursor` stands somewhere in every row, and takes the next value of all rows at once, by
columns. It never reads outside the buffer; a row whose bytes are not plainly what was asked for is
no longer `good`, and is for the form's own library to judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.address import address_of
from headrace.core.column_kernels import gather_bytes
from headrace.core.errors import LimitReached

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Bytes, Int64s
    from headrace.events.text_columns import Mask

#: Bytes behind the last row, so that a word can be read wherever a row ends.
_PADDING = 16
#: The most bytes of one batch: positions in it must fit 31 bits.
LONGEST_BATCH = 2**31 - 2**20

_TOPS = np.uint64(0x8080808080808080)
_LOWS = np.uint64(0x7F7F7F7F7F7F7F7F)
#: Steps that close the gaps between groups of 7, 14 and 28 bits: what stays, what moves, how far.
_STEPS = [
    (np.uint64(0x007F007F007F007F), np.uint64(0x7F007F007F007F00), np.uint64(1)),
    (np.uint64(0x00003FFF00003FFF), np.uint64(0x3FFF00003FFF0000), np.uint64(2)),
    (np.uint64(0x000000000FFFFFFF), np.uint64(0x0FFFFFFF00000000), np.uint64(4)),
]


@dataclass(frozen=True, slots=True)
class RowBytes:
    """Payloads in one buffer: row `i` is `data[starts[i]:ends[i]]`.

    Attributes:
        data: The bytes of all rows, and 16 more.
        starts: Where each row begins.
        ends: Where it ends; no less than its start.
    """

    data: Bytes
    starts: Int64s
    ends: Int64s

    def __len__(self) -> int:
        return len(self.starts)

    @staticmethod
    def of(payloads: Sequence[bytes]) -> RowBytes:
        """Payloads as rows, one each.

        >>> rows = RowBytes.of([b"ab", b"", b"c"])
        >>> [rows.at(i) for i in range(len(rows))]
        [b'ab', b'', b'c']

        Raises:
            LimitReached: When they have more than `LONGEST_BATCH` bytes together.
        """
        bounds = np.zeros(len(payloads) + 1, dtype=np.int64)
        np.cumsum(np.fromiter(map(len, payloads), np.int64, len(payloads)), out=bounds[1:])
        if bounds[-1] > LONGEST_BATCH:
            raise LimitReached(
                f"payloads of {bounds[-1]} bytes together are more than {LONGEST_BATCH}; "
                "hand over fewer at a time"
            )
        data = np.frombuffer(b"".join((*payloads, bytes(_PADDING))), dtype=np.uint8)
        return RowBytes(data, bounds[:-1], bounds[1:])

    def at(self, row: int) -> bytes:
        """The bytes of one row."""
        return self.data[self.starts[row] : self.ends[row]].tobytes()

    def take(self, rows: NDArray[np.integer] | slice) -> RowBytes:
        """Some of the rows, in that order; the bytes stay where they are."""
        return RowBytes(self.data, self.starts[rows], self.ends[rows])

    def behind(self, count: int) -> RowBytes:
        """The same rows without their first `count` bytes; none is shorter."""
        return RowBytes(self.data, self.starts + count, self.ends)


@dataclass(frozen=True, slots=True)
class Spans:
    """A stretch of bytes in every row, of a length that may be 0."""

    starts: Int64s
    lengths: Int64s

    def gathered(self, data: Bytes) -> tuple[Int64s, Bytes]:
        """The bytes of all, one after the other, and where each begins, and the last ends.

        >>> data = np.frombuffer(b"one two", dtype=np.uint8)
        >>> offsets, text = Spans(np.array([4, 0]), np.array([3, 3])).gathered(data)
        >>> offsets.tolist(), text.tobytes()
        ([0, 3, 6], b'twoone')
        """
        rows = len(self.starts)
        pairs = np.empty(2 * rows + 1, dtype=np.int32)
        pairs[0:-1:2] = self.starts
        pairs[1::2] = self.starts + self.lengths
        pairs[-1] = 0
        offsets = np.zeros(rows + 1, dtype=np.int64)
        np.cumsum(self.lengths, out=offsets[1:])
        text = np.empty(int(offsets[-1]), dtype=np.uint8)
        places = np.arange(0, 2 * rows, 2, dtype=np.int64)
        starts = offsets.astype(np.int32)
        gather_bytes(pairs, address_of(data), places, starts, address_of(text))
        return offsets, text


class RowCursor:
    r"""Stands in every row, and takes the next value of all of them.

    Args:
        rows: Of a buffer with 16 bytes behind the last.

    Attributes:
        at: Where it stands in each row; never behind the row's end.
        ends: Where each row ends.
        good: The rows in which everything was there so far.

    >>> cursor = RowCursor(RowBytes.of([b"\x07\x02ab", b"\xac\x02\x01x"]))
    >>> cursor.varints().tolist(), cursor.spans(cursor.varints()).lengths.tolist()
    ([7, 300], [2, 1])
    >>> cursor.good.tolist(), (cursor.at == cursor.ends).tolist()
    ([True, True], [True, True])
    """

    def __init__(self, rows: RowBytes) -> None:
        self._data = rows.data
        self._words: NDArray[np.uint64] = np.ndarray(
            len(rows.data) - 7, dtype="<u8", buffer=rows.data, strides=(1,)
        )
        self._starts = self.at = rows.starts
        self.ends = rows.ends
        self.good: Mask = np.ones(len(rows), dtype=np.bool_)
        self._high: tuple[int, Int64s] | None = None

    def next_bytes(self) -> Bytes:
        """The next byte of every row, which stays the next."""
        return self._data[self.at]

    def data_at(self, places: Int64s) -> Bytes:
        """One byte for every row, at places inside the buffer."""
        return self._data[places]

    def pass_over(self, length: int | Int64s, where: Mask | None = None) -> None:
        """Go on by that many bytes, none of them negative; in some rows only, if told so."""
        moved = length if where is None else np.where(where, length, 0)
        self.at = self.at + moved
        over = self.at > self.ends
        if over.any():
            self.good = self.good & ~over
            self.at = np.minimum(self.at, self.ends)

    def varints(self, where: Mask | None = None) -> Int64s:
        """Integers in groups of seven bits, the lowest first, of at most 64 bits; their bits.

        Args:
            where: The rows that have one; in others the cursor stays, and what is given means
                nothing.
        """
        first = self.next_bytes()
        if not (first & 0x80).any():
            self.pass_over(1, where)
            return first.astype(np.int64)
        words = self._words[self.at]
        stops = ~words & _TOPS
        marks = stops ^ (stops - np.uint64(1))
        value = words & marks & _LOWS
        for stay, move, by in _STEPS:
            value = (value & stay) | ((value & move) >> by)
        length = (np.bitwise_count(marks) >> 3).astype(np.int64)
        longer = np.flatnonzero(stops == 0 if where is None else (stops == 0) & where)
        if len(longer):
            self._lengthen(longer, value, length)
        self.pass_over(length, where)
        return value.view(np.int64)

    def _lengthen(self, rows: Int64s, value: NDArray[np.uint64], length: Int64s) -> None:
        """Add the ninth and the tenth group to integers that have more than eight."""
        at = self.at[rows]
        ninth = self._data[at + 8].astype(np.uint64)
        tenth = np.where(ninth & 0x80, self._data[at + 9], 0).astype(np.uint64)
        value[rows] |= (ninth & np.uint64(0x7F)) << np.uint64(56) | tenth << np.uint64(63)
        length[rows] = 9 + (ninth >> np.uint64(7)).astype(np.int64)
        over = rows[tenth > 1]  # more than 64 bits
        if len(over):
            self.good = self.good.copy()
            self.good[over] = False

    def words(self, width: int, where: Mask | None = None) -> Int64s:
        """Little-endian integers of 4 or 8 bytes; those of 4 are without a sign."""
        value = self._words[self.at]
        if width == 4:
            value = value & np.uint64(0xFFFFFFFF)
        self.pass_over(width, where)
        return value.view(np.int64)

    def spans(self, lengths: Int64s, where: Mask | None = None) -> Spans:
        """Stretches of those lengths; a length that the row does not have is no longer good."""
        wanted = lengths if where is None else np.where(where, lengths, 0)
        fits = (wanted >= 0) & (wanted <= self.ends - self.at)
        if not fits.all():
            self.good = self.good & fits
            wanted = np.where(fits, wanted, 0)
        starts = self.at
        self.at = starts + wanted
        return Spans(starts, wanted)

    def is_ascii(self, spans: Spans) -> Mask:
        """Rows in which every byte of a stretch is below 128."""
        if self._high is None:
            last = int(self.ends.max(initial=0))
            first = int(self._starts.min(initial=last))
            counted = np.zeros(last - first + 1, dtype=np.int64)
            np.cumsum(self._data[first:last] >= 0x80, out=counted[1:])
            self._high = first, counted
        first, counted = self._high
        starts = spans.starts - first
        plain: Mask = counted[starts] == counted[starts + spans.lengths]
        return plain


def zigzag(bits: Int64s) -> Int64s:
    """Signed integers whose sign stands in the lowest bit.

    >>> zigzag(np.array([0, 1, 2, 3, -2, -1])).tolist()
    [0, -1, 1, -2, 9223372036854775807, -9223372036854775808]
    """
    unsigned = bits.view(np.uint64)
    return (unsigned >> np.uint64(1)).view(np.int64) ^ -(bits & 1)
