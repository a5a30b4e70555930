"""Kernels that turn texts into dense codes and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.compiled import inner_kernel, kernel, load_u8, load_u64
from headrace.core.siphash import sip64_at, tail_word
from headrace.core.slot_kernels import (
    prefetch,
    slot_put,
    slot_reference,
    slot_seek,
    slot_tag,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Bytes, Int32s, Int64s
    from headrace.core.siphash import Index

#: How many rows ahead a slot, and then the record it names, are asked for.
SLOT_AHEAD = 12
RECORD_AHEAD = 6

#: In `counts`: texts so far; words of the arena in use; the most words it may use.
TEXTS, WORDS, WORDS_MOST = 0, 1, 2

_EMPTY = np.uint64(0)
_LENGTH_SHIFT = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@kernel
def _same(arena: NDArray[np.uint64], record: Index, address: Index, length: Index) -> bool:
    """Whether the record holds these bytes."""
    if np.int64(arena[record] >> _LENGTH_SHIFT) != length:
        return False
    word = record + 1
    for place in range(0, length & ~7, 8):
        if arena[word] != load_u64(address + place):
            return False
        word += 1
    return (length & 7) == 0 or arena[word] == tail_word(address, length)


@inner_kernel
def _append(
    arena: NDArray[np.uint64], starts: Int64s, counts: Int64s, address: Index, length: Index
) -> Index:
    """Write the next record; -1, and nothing written, when there is no room."""
    record = np.int64(counts[WORDS])
    words = 1 + (length + 7) // 8
    if record + words > counts[WORDS_MOST] or counts[TEXTS] >= len(starts):
        return np.int64(-1)
    arena[record] = np.uint64(counts[TEXTS]) | (np.uint64(length) << _LENGTH_SHIFT)
    word = record + 1
    for place in range(0, length & ~7, 8):
        arena[word] = load_u64(address + place)
        word += 1
    if length & 7:
        arena[word] = tail_word(address, length)
    starts[counts[TEXTS]] = record
    return record


@kernel
def _look_ahead(
    pool: NDArray[np.uint64],
    parts: Int64s,
    arena: NDArray[np.uint64],
    hashes: NDArray[np.uint64],
    row: Index,
    rows: Index,
) -> None:
    """Ask for the slot of a row to come, and for the record of one that comes sooner."""
    if row + SLOT_AHEAD < rows:
        start, _, place, _ = slot_seek(parts, hashes[row + SLOT_AHEAD])
        prefetch(pool.ctypes.data + 8 * (start + place))
    if row + RECORD_AHEAD < rows:
        start, _, place, _ = slot_seek(parts, hashes[row + RECORD_AHEAD])
        record = slot_reference(pool[start + place])
        if record >= 0:
            prefetch(arena.ctypes.data + 8 * record)


@kernel
def intern_rows(
    offsets: Int32s,
    data: int,
    valid: int,
    key0: np.uint64,
    key1: np.uint64,
    pool: NDArray[np.uint64],
    parts: Int64s,
    arena: NDArray[np.uint64],
    starts: Int64s,
    counts: Int64s,
    hashes: NDArray[np.uint64],
    adding: bool,  # noqa: FBT001 - kernels have no keyword arguments
    codes: Int64s,
) -> bool:
    """The code of each row's text; -1 where it is missing, or unknown and not to be added.

    `data` and `valid` are addresses. False when there was no room for a new text.
    """
    rows = len(codes)
    for row in range(rows):
        begin = offsets[row]
        hashes[row] = sip64_at(data + begin, offsets[row + 1] - begin, key0, key1)
    for row in range(rows):
        _look_ahead(pool, parts, arena, hashes, row, rows)
        codes[row] = -1
        if load_u8(valid + row) == 0:
            continue
        address = data + offsets[row]
        length = np.int64(offsets[row + 1] - offsets[row])
        start, mask, place, tag = slot_seek(parts, hashes[row])
        while True:
            slot = pool[start + place]
            if slot == _EMPTY:
                break
            record = slot_reference(slot)
            if slot_tag(slot) == tag and _same(arena, record, address, length):
                codes[row] = np.int64(arena[record] & _LOW)
                break
            place = (place + 1) & mask
        if codes[row] < 0 and adding:
            record = _append(arena, starts, counts, address, length)
            if record < 0 or not slot_put(pool, parts, hashes[row], record):
                return False
            codes[row] = counts[TEXTS]
            counts[TEXTS] += 1
            counts[WORDS] = record + 1 + (length + 7) // 8
    return True


@kernel
def text_lengths(codes: Int64s, starts: Int64s, arena: NDArray[np.uint64], offsets: Int64s) -> None:
    """The offsets at which the texts of these codes lie, one after the other."""
    offsets[0] = 0
    for row in range(len(codes)):
        length = np.int64(0)
        if codes[row] >= 0:
            length = np.int64(arena[starts[codes[row]]] >> _LENGTH_SHIFT)
        offsets[row + 1] = offsets[row] + length


@kernel
def text_bytes(codes: Int64s, starts: Int64s, arena: Bytes, offsets: Int64s, out: Bytes) -> None:
    """Copy the texts of these codes to their offsets; `arena` is given as bytes."""
    for row in range(len(codes)):
        if codes[row] >= 0:
            source = 8 * (starts[codes[row]] + 1)
            for place in range(offsets[row + 1] - offsets[row]):
                out[offsets[row] + place] = arena[source + place]
