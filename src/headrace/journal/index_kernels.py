"""Kernels of the journal's index: entries of ids made, checked and searched for.

An entry of an id is two words: the keyed hash of the id; then the input, counted from the first of
its segment, and a check of 32 bits over both. An entry of a batch is four words: where its frame
starts; its first input, counted likewise, and how many ids the index has up to its end; where the
frame of its header starts; and a check of 64 bits over the three.

No word is believed whose check does not fit. A search looks at the two entries between which its
answer lies, so damage that could lead it astray is found by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.compiled import inner_kernel, kernel
from headrace.core.siphash import sip64_at
from headrace.journal.batch import InputKind

if TYPE_CHECKING:
    from headrace.core.columns import Bytes, Int32s
    from headrace.core.siphash import Index, Word
    from headrace.journal.batch import UInt64s

#: A search met an entry whose check does not fit.
DAMAGED = -1

_ACCEPTED = int(InputKind.ACCEPTED)
_BACKFILL = int(InputKind.BACKFILL)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_SALT = np.uint64(0x9E3779B97F4A7C15)
_ODD = np.uint64(0xD6E8FEB86659FD93)


@inner_kernel
def _mixed(word: Word) -> Word:
    word = (word ^ (word >> _32)) * _ODD
    word = (word ^ (word >> _32)) * _ODD
    return word ^ (word >> _32)


@inner_kernel
def _id_check(hashed: Word, number: Word) -> Word:
    return _mixed(hashed + _SALT + _mixed(number)) & _LOW


@inner_kernel
def _id_fits(ids: UInt64s, place: Index) -> bool:
    word = ids[place, 1]
    return bool((word >> _32) == _id_check(ids[place, 0], word & _LOW))


@inner_kernel
def _place_check(offset: Word, counts: Word, header: Word) -> Word:
    return _mixed(_mixed(_mixed(offset + _SALT) + counts) + header)


@inner_kernel
def _place_fits(places: UInt64s, at: Index) -> bool:
    return bool(places[at, 3] == _place_check(places[at, 0], places[at, 1], places[at, 2]))


@kernel
def id_entries(
    stream: Bytes,
    kind: Bytes,
    row: Int32s,
    rank: int,
    first: int,
    offsets: Int32s,
    data: int,
    key0: Word,
    key1: Word,
    out: UInt64s,
) -> int:
    """Entries for the ids of a batch's accepted events of one stream; returns how many.

    Args:
        stream: Rank of each input's stream.
        kind: What became of it.
        row: Its row among the stream's events.
        rank: Of the stream.
        first: The batch's first input, counted from the first of the segment.
        offsets: Of the ids.
        data: The address of their bytes.
        key0: Of the hash.
        key1: Likewise.
        out: Room for an entry of each input.
    """
    count = 0
    for place in range(len(stream)):
        if stream[place] != rank or row[place] < 0:
            continue
        if kind[place] != _ACCEPTED and kind[place] != _BACKFILL:
            continue
        start = offsets[row[place]]
        length = offsets[row[place] + 1] - start
        hashed = sip64_at(data + start, length, key0, key1)
        number = np.uint64(first + place)
        out[count, 0] = hashed
        out[count, 1] = number | (_id_check(hashed, number) << _32)
        count += 1
    return count


@kernel
def place_entry(offset: int, number: int, ids: int, header: int, out: UInt64s) -> None:
    """The entry of a batch.

    Args:
        offset: Where its frame starts.
        number: Its first input, counted from the first of the segment.
        ids: How many ids the index has up to the end of the batch.
        header: Where the frame of its header starts.
        out: Four words.
    """
    out[0] = np.uint64(offset)
    out[1] = np.uint64(number) | (np.uint64(ids) << _32)
    out[2] = np.uint64(header)
    out[3] = _place_check(out[0], out[1], out[2])


@kernel
def fitting_ids(ids: UInt64s) -> int:
    """How many entries of ids fit their checks before the first that does not."""
    for place in range(len(ids)):
        if not _id_fits(ids, place):
            return place
    return len(ids)


@kernel
def fitting_places(places: UInt64s) -> int:
    """How many entries of batches fit their checks, and are in order, before one that is not."""
    for at in range(len(places)):
        if not _place_fits(places, at):
            return at
        if at and (
            places[at, 0] <= places[at - 1, 0]
            or (places[at, 1] & _LOW) <= (places[at - 1, 1] & _LOW)
            or (places[at, 1] >> _32) < (places[at - 1, 1] >> _32)
        ):
            return at
    return len(places)


@kernel
def first_with(ids: UInt64s, hashed: Word) -> int:
    """Where entries of a hash begin among sorted ones, or would; `DAMAGED` if that is not told."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) >> 1
        if not _id_fits(ids, middle):
            return DAMAGED
        if ids[middle, 0] < hashed:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def batch_with(places: UInt64s, number: int) -> int:
    """Which batch holds an input, counted from the first of the segment; `DAMAGED` likewise."""
    low, high = 0, len(places)
    while low < high:
        middle = (low + high) >> 1
        if not _place_fits(places, middle):
            return DAMAGED
        if np.int64(places[middle, 1] & _LOW) <= number:
            low = middle + 1
        else:
            high = middle
    return low - 1
