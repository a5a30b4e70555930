"""Keys of entities: hashed, framed as words, and dealt out to shards.

A key is the words of its fields, one after the other: a text is its length in bytes and then its
bytes, filled up with zeros to whole words; any other value is its word. So different keys never
have the same words, and keys are compared eight bytes at a time.
"""

from __future__ import annotations

import numpy as np

from headrace.core.compiled import inner_kernel, kernel, load_i32, load_i64, load_u8, load_u64
from headrace.core.memory import store_i64
from headrace.core.siphash import sip_end128, sip_start, sip_word, tail_word
from headrace.engine.pool_kernels import (
    ASKING_HASHES,
    COUNT_OF,
    FIELDS,
    HASH_0,
    HASH_1,
    HASHES,
    KEY,
    OPERATIONS,
    ORDER,
    SHARDS,
    SHARDS_AT,
    add_to,
)

# a row of the key's columns, in bytes: whether it is text, addresses of values (or bytes), of
# offsets, of validity
K_TEXT, K_VALUES, K_OFFSETS, K_VALID = range(0, 32, 8)
KEY_COLUMN_BYTES = 32

# a row of the operations, in bytes: row inserted or -1, row asked for or -1, when, the watermark,
# and what is read
O_INSERT, O_ASK, O_AT, O_WATERMARK, O_PHASES = range(0, 40, 8)
OPERATION_BYTES = 40

BEFORE, AFTER = 1, 2


@inner_kernel
def frame(table: int, keys: int, row: int, target: int) -> int:
    """Write the words of a row's key, which it has, at an address; how many there are."""
    place = target
    for field in range(load_i64(table + FIELDS)):
        column = keys + KEY_COLUMN_BYTES * field
        values = load_i64(column + K_VALUES)
        if load_i64(column + K_TEXT) == 0:
            store_i64(place, load_i64(values + 8 * row))
            place += 8
            continue
        offset = load_i64(column + K_OFFSETS) + 4 * row
        begin, end = values + load_i32(offset), values + load_i32(offset + 4)
        store_i64(place, end - begin)
        place += 8
        at = begin
        while at + 8 <= end:
            store_i64(place, load_i64(at))
            at += 8
            place += 8
        if at < end:
            store_i64(place, tail_word(begin, end - begin))
            place += 8
    return (place - target) >> 3


@inner_kernel
def hash_words(table: int, key: int, words: int) -> int:
    """The hash of a framed key, never 0."""
    key0, key1 = load_u64(table + HASH_0), load_u64(table + HASH_1)
    v0, v1, v2, v3 = sip_start(key0, key1)
    for place in range(0, 8 * words, 8):
        v0, v1, v2, v3 = sip_word(v0, v1, v2, v3, load_u64(key + place))
    hashed: int = np.int64(sip_end128(v0, v1, v2, v3)[0])  # type: ignore[assignment]  # integers are of one kind in a kernel
    return hashed or 1


@kernel
def hash_keys(table: int, keys: int, hashes: int, first: int, last: int) -> None:
    """Hash the keys of rows `first` to `last - 1`; 0 where a field is missing.

    Args:
        table: Of the group, with room for the longest framed key; each thread has its own.
        keys: Address of the key's columns.
        hashes: Where the hashes go.
        first: First row.
        last: After the last.
    """
    key = load_i64(table + KEY)
    for row in range(first, last):
        whole = True
        for field in range(load_i64(table + FIELDS)):
            if load_u8(load_i64(keys + KEY_COLUMN_BYTES * field + K_VALID) + row) == 0:
                whole = False
        hashed = 0
        if whole:
            hashed = hash_words(table, key, frame(table, keys, row, key))
        store_i64(hashes + 8 * row, hashed)


@inner_kernel
def _lay(place: int, source: int, asked: int, at: int, watermark: int, phases: int) -> int:
    """Write one operation; where the next one goes. Time and watermark are given by address."""
    store_i64(place + O_INSERT, source)
    store_i64(place + O_ASK, asked)
    store_i64(place + O_AT, load_i64(at))
    store_i64(place + O_WATERMARK, load_i64(watermark))
    store_i64(place + O_PHASES, phases)
    return place + OPERATION_BYTES


@kernel
def merge_operations(given: int, phases: int, operations: int) -> int:
    """Operations of a group that events enter by one key and are asked for by another, merged.

    Where an event does both, what is read before it is asked first, then it enters, then the rest
    is asked. `given` is the address of number, sequence, time and watermark of those that enter,
    then of those that ask. How many operations there are.
    """
    entered, asked = load_i64(given), load_i64(given + 32)
    sequence, at, watermark = load_i64(given + 8), load_i64(given + 16), load_i64(given + 24)
    asking_sequence = load_i64(given + 40)
    asking_at, asking_watermark = load_i64(given + 48), load_i64(given + 56)
    place, i, j = operations, 0, 0
    while i < entered or j < asked:
        # which comes first: below 0 the one that enters, 0 both are one event
        turn = 0
        if j == asked:
            turn = -1
        elif i == entered:
            turn = 1
        else:
            turn = load_i64(sequence + 8 * i) - load_i64(asking_sequence + 8 * j)
        if turn >= 0 and phases & BEFORE:
            place = _lay(place, -1, j, asking_at + 8 * j, asking_watermark + 8 * j, BEFORE)
        if turn <= 0:
            place = _lay(place, i, -1, at + 8 * i, watermark + 8 * i, 0)
            i += 1
        if turn >= 0:
            if phases & AFTER:
                place = _lay(place, -1, j, asking_at + 8 * j, asking_watermark + 8 * j, AFTER)
            j += 1
    return (place - operations) // OPERATION_BYTES


@inner_kernel
def hash_of(table: int, operation: int) -> int:
    """The hash of an operation's key."""
    operations = load_i64(table + OPERATIONS)
    if operations == 0:
        return load_i64(load_i64(table + HASHES) + 8 * operation)
    about = operations + OPERATION_BYTES * operation
    source = load_i64(about + O_INSERT)
    if source >= 0:
        return load_i64(load_i64(table + HASHES) + 8 * source)
    return load_i64(load_i64(table + ASKING_HASHES) + 8 * load_i64(about + O_ASK))


@inner_kernel
def deal(table: int, first: int, last: int) -> None:
    """Deal the operations of some shards out to them, keeping their order within each.

    Operations without a key are left out. `SHARDS_AT` leads to where each shard begins in `ORDER`,
    and one more; behind that lies room for as many.
    """
    starts, order = load_i64(table + SHARDS_AT), load_i64(table + ORDER)
    places = starts + 8 * (SHARDS + 1)
    for shard in range(SHARDS + 1):
        store_i64(starts + 8 * shard, 0)
    for operation in range(load_i64(table + COUNT_OF)):
        hashed = hash_of(table, operation)
        if hashed:
            add_to(starts + 8 * (hashed & (SHARDS - 1)) + 8, 1)
    for shard in range(SHARDS):
        before = load_i64(starts + 8 * shard)
        store_i64(places + 8 * shard, before)
        add_to(starts + 8 * shard + 8, before)
    for operation in range(load_i64(table + COUNT_OF)):
        hashed = hash_of(table, operation)
        shard = hashed & (SHARDS - 1)
        if hashed and first <= shard < last:
            place = places + 8 * shard
            store_i64(order + 8 * load_i64(place), operation)
            add_to(place, 1)
