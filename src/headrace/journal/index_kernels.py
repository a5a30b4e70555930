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
    from headrace.core.columns import Bytes, Int32s, Int64s
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
    inputs: Int64s,
    events: Int64s,
    rank: int,
    first: int,
    offsets: Int32s,
    data: int,
    key0: Word,
    key1: Word,
    counts: Int64s,
    out: UInt64s,
) -> int:
    """Entries for the ids of accepted events of one stream; returns how many.

    Args:
        stream: Rank of the stream of each input of all batches, one after the other.
        kind: What became of it.
        row: Its row among the stream's events of its batch.
        inputs: How many inputs each batch has.
        events: How many events of the stream.
        rank: Of the stream.
        first: The first input, counted from the first of the segment.
        offsets: Of the ids of all events.
        data: The address of their bytes.
        key0: Of the hash.
        key1: Likewise.
        counts: How many entries each batch has is written here.
        out: Room for an entry of each input.
    """
    count, place, before = 0, 0, 0
    for batch in range(len(inputs)):
        made = count
        for _ in range(inputs[batch]):
            said = stream[place] == rank and row[place] >= 0
            if said and (kind[place] == _ACCEPTED or kind[place] == _BACKFILL):
                event = before + row[place]
                start = offsets[event]
                hashed = sip64_at(data + start, offsets[event + 1] - start, key0, key1)
                number = np.uint64(first + place)
                out[count, 0] = hashed
                out[count, 1] = number | (_id_check(hashed, number) << _32)
                count += 1
            place += 1
        counts[batch] = count - made
        before += events[batch]
    return count


@kernel
def place_entries(
    offsets: UInt64s, numbers: UInt64s, ids: Int64s, headers: UInt64s, out: UInt64s
) -> None:
    """The entries of batches.

    Args:
        offsets: Where the frame of each starts.
        numbers: Its first input, counted from the first of the segment.
        ids: How many ids the index has up to its end.
        headers: Where the frame of its header starts.
        out: Four words for each.
    """
    for batch in range(len(offsets)):
        out[batch, 0] = offsets[batch]
        out[batch, 1] = numbers[batch] | (np.uint64(ids[batch]) << _32)
        out[batch, 2] = headers[batch]
        out[batch, 3] = _place_check(out[batch, 0], out[batch, 1], out[batch, 2])


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
