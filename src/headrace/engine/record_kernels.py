"""What a key holds, as words that depend on nothing but what it holds.

A record is the number of its key's words, these words, the number of rows, and the rows: time, and
for each column what the event *added* (not the running total), or the value. Neither the place in
memory, nor hashes, nor rows that nobody can see any more leave a trace in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.compiled import inner_kernel, kernel
from headrace.core.siphash import sip_end128, sip_start, sip_word
from headrace.engine.pool_kernels import (
    DEPTH,
    DIRECTORY,
    E_BASE,
    E_CLASS,
    E_END,
    E_KEY_WORDS,
    E_RING,
    FREE_RINGS,
    HELD,
    PAGE_SLOTS,
    SHARDS,
    begin_shard,
    enter,
    find,
    release,
)
from headrace.engine.ring_kernels import (
    C_KIND,
    C_WORD,
    G_KEY_AT,
    G_ROW,
    LEAST,
    PREFIX,
    VALUE,
    first_after,
    insert,
    total_between,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Int64s

    Matrix = NDArray[np.int64]


@inner_kernel
def _first_visible(pool: Int64s, entity: int, shape: Int64s, visible: int) -> int:
    """The number of an entity's first visible row."""
    ring, mask = pool[entity + E_RING], (1 << pool[entity + E_CLASS]) - 1
    base, end = pool[entity + E_BASE], pool[entity + E_END]
    return first_after(pool, ring, mask, shape[G_ROW], base, end, visible, base)


@inner_kernel
def _put_record(
    pool: Int64s,
    entity: int,
    shape: Int64s,
    columns: Matrix,
    visible: int,
    words: Int64s,
    place: int,
) -> int:
    """Write the record of an entity; where the next one begins, or the same place if it is empty."""
    first, end = _first_visible(pool, entity, shape, visible), pool[entity + E_END]
    if first == end:
        return place
    count = pool[entity + E_KEY_WORDS]
    words[place] = count
    for i in range(count):
        words[place + 1 + i] = pool[entity + shape[G_KEY_AT] + i]
    place += count + 1
    words[place] = end - first
    place += 1
    mask = (1 << pool[entity + E_CLASS]) - 1
    for number in range(first, end):
        source = pool[entity + E_RING] + (number & mask) * shape[G_ROW]
        words[place] = pool[source]
        for c in range(len(columns)):
            word = place + columns[c, C_WORD]
            if columns[c, C_KIND] >= VALUE:
                words[word] = pool[source + columns[c, C_WORD]]
                continue
            high, low = total_between(pool, entity, shape, columns, c, number, number + 1)
            words[word] = low
            if columns[c, C_KIND] != PREFIX:
                words[word + 1] = high
        place += shape[G_ROW]
    return place


@kernel
def measure(pool: Int64s, controls: Matrix, shape: Int64s, visible: int, size: Int64s) -> None:
    """How many words the records of all keys take, and how many records there are, into `size`."""
    for shard in range(SHARDS):
        directory, depth = controls[shard, DIRECTORY], controls[shard, DEPTH]
        if directory == 0:
            continue
        i = 0
        while i < 1 << depth:
            page = pool[directory + i]
            for slot in range(PAGE_SLOTS):
                entity = pool[page + 5 + 2 * slot]
                if entity:
                    rows = pool[entity + E_END] - _first_visible(pool, entity, shape, visible)
                    if rows:
                        size[0] += 2 + pool[entity + E_KEY_WORDS] + rows * shape[G_ROW]
                        size[1] += 1
            i += 1 << (depth - pool[page])


@kernel
def write(
    pool: Int64s,
    controls: Matrix,
    shape: Int64s,
    columns: Matrix,
    visible: int,
    words: Int64s,
    starts: Int64s,
) -> None:
    """Write the records of all keys, in no order, and where each begins."""
    place, made = 0, 0
    for shard in range(SHARDS):
        directory, depth = controls[shard, DIRECTORY], controls[shard, DEPTH]
        if directory == 0:
            continue
        i = 0
        while i < 1 << depth:
            page = pool[directory + i]
            for slot in range(PAGE_SLOTS):
                entity = pool[page + 5 + 2 * slot]
                if entity:
                    after = _put_record(pool, entity, shape, columns, visible, words, place)
                    if after != place:
                        made += 1
                        starts[made] = after
                        place = after
            i += 1 << (depth - pool[page])


@inner_kernel
def _hash(words: Int64s, start: int, count: int, key0: np.uint64, key1: np.uint64) -> int:
    """The hash of a framed key."""
    v0, v1, v2, v3 = sip_start(key0, key1)
    for i in range(count):
        v0, v1, v2, v3 = sip_word(v0, v1, v2, v3, np.uint64(words[start + i]))
    return np.int64(sip_end128(v0, v1, v2, v3)[0])


@inner_kernel
def _find_key(
    pool: Int64s, controls: Matrix, shape: Int64s, key: Int64s, key0: np.uint64, key1: np.uint64
) -> int:
    """The entity of a framed key; 0 if there is none."""
    hashed = _hash(key, 0, len(key), key0, key1)
    control = controls[hashed & (SHARDS - 1)]
    if control[DIRECTORY] == 0:
        return 0
    return find(pool, control, hashed, key, 0, len(key), shape[G_KEY_AT])


@kernel
def key_room(
    pool: Int64s, controls: Matrix, shape: Int64s, key: Int64s, key0: np.uint64, key1: np.uint64
) -> int:
    """Words enough for the record of one key."""
    entity = _find_key(pool, controls, shape, key, key0, key1)
    rows = pool[entity + E_END] - pool[entity + E_BASE] if entity else 0
    return 2 + len(key) + rows * shape[G_ROW]


@kernel
def write_key(
    pool: Int64s,
    controls: Matrix,
    shape: Int64s,
    columns: Matrix,
    key: Int64s,
    visible: int,
    words: Int64s,
    key0: np.uint64,
    key1: np.uint64,
) -> int:
    """Write the record of one key; its length, 0 if nothing is visible."""
    entity = _find_key(pool, controls, shape, key, key0, key1)
    return _put_record(pool, entity, shape, columns, visible, words, 0) if entity else 0


@kernel
def read(
    pool: Int64s,
    controls: Matrix,
    shape: Int64s,
    columns: Matrix,
    words: Int64s,
    key0: np.uint64,
    key1: np.uint64,
) -> None:
    """Take records in; what their keys held before is forgotten."""
    added = np.zeros((len(columns), 2), dtype=np.int64)
    place = 0
    key_at = shape[G_KEY_AT]
    while place < len(words):
        count, start = words[place], place + 1
        hashed = _hash(words, start, count, key0, key1)
        control = controls[hashed & (SHARDS - 1)]
        if control[DIRECTORY] == 0:
            begin_shard(pool, control)
        entity = find(pool, control, hashed, words, start, count, key_at)
        if entity == 0:
            entity = enter(pool, control, hashed, words, start, count, key_at)
        elif pool[entity + E_RING]:
            control[HELD] -= pool[entity + E_END] - pool[entity + E_BASE]
            release(pool, control, FREE_RINGS + pool[entity + E_CLASS], pool[entity + E_RING])
        pool[entity + E_RING], pool[entity + E_CLASS] = 0, 0
        pool[entity + E_BASE], pool[entity + E_END] = 0, 0
        for i in range(E_KEY_WORDS + 1, key_at):
            pool[entity + i] = 0
        place = start + count
        rows = words[place]
        place += 1
        for _ in range(rows):
            for c in range(len(columns)):
                low = words[place + columns[c, C_WORD]]
                wide = PREFIX < columns[c, C_KIND] < VALUE
                added[c, 0] = words[place + columns[c, C_WORD] + 1] if wide else low >> 63
                added[c, 1] = low
            insert(pool, control, entity, shape, columns, words[place], added, np.int64(LEAST))
            place += shape[G_ROW]
