"""Keys of entities: framed as words, hashed, and dealt out to shards.

A key is the words of its fields, one after the other: a text is its length in bytes and then its
bytes, filled up with zeros to whole words; any other value is its word. So different keys never
have the same words, and keys are compared eight bytes at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.compiled import inner_kernel, kernel, load_i32, load_i64, load_u8, load_u64
from headrace.core.siphash import sip_end128, sip_start, sip_word, tail_word
from headrace.engine.pool_kernels import SHARDS
from headrace.engine.window_kernels import (
    AFTER,
    BEFORE,
    O_ASK,
    O_ASK_AT,
    O_INSERT,
    O_INSERT_AT,
    O_KEY,
    O_PHASES,
    O_WATERMARK,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Int64s

    Matrix = NDArray[np.int64]

# a row of the key's columns: whether it is text, addresses of values (or bytes), offsets, validity
K_TEXT, K_VALUES, K_OFFSETS, K_VALID = range(4)


@kernel
def frame_keys(
    columns: Matrix,
    first: int,
    rows: int,
    words: Int64s,
    starts: Int64s,
    hashes: Int64s,
    key0: np.uint64,
    key1: np.uint64,
) -> None:
    """Frame and hash the keys of `rows` events as keys number `first` and following.

    A key with a missing field has no words.
    """
    for row in range(rows):
        place = starts[first + row]
        start = place
        v0, v1, v2, v3 = sip_start(key0, key1)
        whole = True
        for c in range(len(columns)):
            if load_u8(columns[c, K_VALID] + row) == 0:
                whole = False
                break
            if not columns[c, K_TEXT]:
                words[place] = load_i64(columns[c, K_VALUES] + 8 * row)
                v0, v1, v2, v3 = sip_word(v0, v1, v2, v3, np.uint64(words[place]))
                place += 1
                continue
            begin = np.int64(load_i32(columns[c, K_OFFSETS] + 4 * row))
            length = np.int64(load_i32(columns[c, K_OFFSETS] + 4 * row + 4)) - begin
            address = columns[c, K_VALUES] + begin
            words[place] = length
            v0, v1, v2, v3 = sip_word(v0, v1, v2, v3, np.uint64(length))
            place += 1
            for at in range(0, length & ~7, 8):
                word = load_u64(address + at)
                words[place] = np.int64(word)
                v0, v1, v2, v3 = sip_word(v0, v1, v2, v3, word)
                place += 1
            if length & 7:
                word = tail_word(address, length)
                words[place] = np.int64(word)
                v0, v1, v2, v3 = sip_word(v0, v1, v2, v3, word)
                place += 1
        if not whole:
            place = start
        starts[first + row + 1] = place
        hashes[first + row] = np.int64(sip_end128(v0, v1, v2, v3)[0])


@kernel
def own_operations(at: Int64s, watermark: Int64s, phases: int, operations: Matrix) -> None:
    """Operations of a group that each decided event enters and asks by the same key."""
    for row in range(len(at)):
        operations[row, O_KEY] = row
        operations[row, O_INSERT] = row
        operations[row, O_ASK] = row
        operations[row, O_INSERT_AT] = at[row]
        operations[row, O_ASK_AT] = at[row]
        operations[row, O_WATERMARK] = watermark[row]
        operations[row, O_PHASES] = phases


@kernel
def merged_operations(
    sequence: Int64s,
    at: Int64s,
    watermark: Int64s,
    asking_sequence: Int64s,
    asking_at: Int64s,
    asking_watermark: Int64s,
    phases: int,
    operations: Matrix,
) -> int:
    """Operations of a group that events enter by one key and are asked for by another, merged.

    Keys of those that enter come first, then of those that ask. Where an event does both, what is
    read before it is asked first, then it enters, then the rest is asked. How many there are.
    """
    made, entering, asking = 0, 0, 0
    entered = len(sequence)
    while entering < entered or asking < len(asking_sequence):
        if asking == len(asking_sequence):
            turn = -1
        elif entering == entered:
            turn = 1
        else:
            turn = np.sign(sequence[entering] - asking_sequence[asking])
        if turn >= 0 and phases & BEFORE:
            _ask(operations[made], entered, asking, asking_at, asking_watermark, BEFORE)
            made += 1
        if turn <= 0:
            row = operations[made]
            row[O_KEY], row[O_INSERT], row[O_ASK] = entering, entering, -1
            row[O_INSERT_AT], row[O_ASK_AT] = at[entering], at[entering]
            row[O_WATERMARK], row[O_PHASES] = watermark[entering], 0
            entering += 1
            made += 1
        if turn >= 0:
            if phases & AFTER:
                _ask(operations[made], entered, asking, asking_at, asking_watermark, AFTER)
                made += 1
            asking += 1
    return made


@inner_kernel
def _ask(
    row: Int64s, entered: int, asking: int, at: Int64s, watermark: Int64s, phase: int
) -> None:
    """One operation that only reads."""
    row[O_KEY], row[O_INSERT], row[O_ASK] = entered + asking, -1, asking
    row[O_INSERT_AT], row[O_ASK_AT] = at[asking], at[asking]
    row[O_WATERMARK], row[O_PHASES] = watermark[asking], phase


@kernel
def deal(
    operations: Matrix, count: int, starts: Int64s, hashes: Int64s, order: Int64s, shards: Int64s
) -> None:
    """Deal operations out to shards by the hash of their key, keeping their order within each.

    Operations without a key are left out. `shards` gets where each begins in `order`.
    """
    shards[:] = 0
    for i in range(count):
        key = operations[i, O_KEY]
        if starts[key + 1] > starts[key]:
            shards[(hashes[key] & (SHARDS - 1)) + 1] += 1
    for s in range(SHARDS):
        shards[s + 1] += shards[s]
    place = shards.copy()
    for i in range(count):
        key = operations[i, O_KEY]
        if starts[key + 1] > starts[key]:
            shard = hashes[key] & (SHARDS - 1)
            order[place[shard]] = i
            place[shard] += 1
