"""Memory of keyed state: blocks of words in one pool, and the table from keys to them.

The pool is one array of 64-bit words, reserved at once and taken page by page. Shards take *slabs*
of it by an atomic counter, and cut them into blocks; a freed block waits in its shard for the next
one of its size. Nothing in use ever moves because something else has grown.

Each shard finds its entities by *extendible hashing* (R. Fagin and others, ACM Transactions on
Database Systems 4, 1979): a directory over the top bits of the key's hash leads to a page of 64
slots. A full page splits by itself, so that growing to any number of keys never makes one event
wait for a rehash of all of them.

A shard's control row holds its slab, its directory, counts, and the heads of its free lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba.core import types

from headrace.core.compiled import inner_kernel, intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Int64s

    Words = NDArray[np.int64]

SHARDS = 16
SLAB = 1 << 13  # words that a shard takes from the pool at once

# places in a shard's control row
BUMP, BUMP_END, DIRECTORY, DEPTH, ENTITIES, HELD, SWEEP_PAGE, SWEEP_CREDIT, PAGES = range(9)
FREE_RINGS = 16  # by size class: capacity is 2 ** class
FREE_POWERS = 64  # blocks of 2 ** k words: directories, large entities
FREE_SMALL = 112  # blocks of 4 k words: entities, pages
CONTROL_WORDS = 176

_SMALL_LISTS = CONTROL_WORDS - FREE_SMALL

# an entity's block: these words, the totals of its prefix columns, hints, the words of its key
E_HASH, E_RING, E_BASE, E_END, E_CLASS, E_KEY_WORDS, E_FIRST = range(7)

PAGE_SLOTS = 64
PAGE_FULL = 52
PAGE_WORDS = 2 * PAGE_SLOTS + 4  # local depth, slots used, 2 words kept free, then hash and block
_DEEPEST = 40


@intrinsic
def _atomic_add(typing_context: Any, address: Any, value: Any) -> Any:
    """In a kernel: add to the word at an address at once; what was there before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, arguments[1], "seq_cst")

    return types.int64(types.intp, types.int64), generate


@inner_kernel
def _take(pool: Words, control: Int64s, words: int) -> int:
    """A new block at the end of the shard's slab, or of a new one. Word 0 of the pool counts."""
    if control[BUMP] + words > control[BUMP_END]:
        size = (words + SLAB - 1) // SLAB * SLAB
        start = _atomic_add(pool.ctypes.data, size)
        if words * 2 > SLAB:
            return start
        control[BUMP] = start
        control[BUMP_END] = start + size
    block = control[BUMP]
    control[BUMP] += words
    return block


@inner_kernel
def allocate(pool: Words, control: Int64s, free_list: int, words: int) -> int:
    """A block of the size that this free list keeps; its content is not cleared."""
    block = control[free_list]
    if block:
        control[free_list] = pool[block]
        return block
    return _take(pool, control, words)


@inner_kernel
def release(pool: Words, control: Int64s, free_list: int, block: int) -> None:
    """Give a block back to the free list of its size."""
    pool[block] = control[free_list]
    control[free_list] = block


@inner_kernel
def entity_list(words: int) -> tuple[int, int]:
    """The free list for an entity of so many words, and the size of its blocks."""
    fours = (words + 3) >> 2
    if fours < _SMALL_LISTS:
        return FREE_SMALL + fours, 4 * fours
    power = 8
    while 1 << power < words:
        power += 1
    return FREE_POWERS + power, 1 << power


@inner_kernel
def _new_page(pool: Words, control: Int64s, depth: int) -> int:
    """An empty page of that local depth."""
    page = allocate(pool, control, FREE_SMALL + (PAGE_WORDS >> 2), PAGE_WORDS)
    for i in range(PAGE_WORDS):
        pool[page + i] = 0
    pool[page] = depth
    control[PAGES] += 1
    return page


@inner_kernel
def begin_shard(pool: Words, control: Int64s) -> None:
    """Give a shard its first directory, of two pages."""
    control[DEPTH] = 1
    directory = allocate(pool, control, FREE_POWERS + 1, 2)
    control[DIRECTORY] = directory
    pool[directory] = _new_page(pool, control, 1)
    pool[directory + 1] = _new_page(pool, control, 1)


@inner_kernel
def page_of(pool: Words, control: Int64s, key_hash: int) -> int:
    """The page that a hash belongs to."""
    top = np.int64(np.uint64(key_hash) >> np.uint64(64 - control[DEPTH]))
    return pool[control[DIRECTORY] + top]


@inner_kernel
def _put(pool: Words, page: int, key_hash: int, entity: int) -> None:
    """Enter an entity in a page that has room."""
    slot = (key_hash >> 4) & (PAGE_SLOTS - 1)
    while pool[page + 5 + 2 * slot]:
        slot = (slot + 1) & (PAGE_SLOTS - 1)
    pool[page + 4 + 2 * slot] = key_hash
    pool[page + 5 + 2 * slot] = entity
    pool[page + 1] += 1


@inner_kernel
def _split(pool: Words, control: Int64s, page: int, key_hash: int) -> None:
    """Split a full page in two by the next bit of its hashes, doubling the directory if need be."""
    local = pool[page]
    if local == control[DEPTH]:
        size = 1 << local
        grown = allocate(pool, control, FREE_POWERS + local + 1, 2 * size)
        old = control[DIRECTORY]
        for i in range(size):
            pool[grown + 2 * i] = pool[old + i]
            pool[grown + 2 * i + 1] = pool[old + i]
        release(pool, control, FREE_POWERS + local, old)
        control[DIRECTORY] = grown
        control[DEPTH] += 1
    low, high = _new_page(pool, control, local + 1), _new_page(pool, control, local + 1)
    for slot in range(PAGE_SLOTS):
        entity = pool[page + 5 + 2 * slot]
        if entity:
            hashed = pool[page + 4 + 2 * slot]
            _put(pool, high if (hashed >> (63 - local)) & 1 else low, hashed, entity)
    span = 1 << (control[DEPTH] - local)
    top = np.int64(np.uint64(key_hash) >> np.uint64(64 - control[DEPTH]))
    first = control[DIRECTORY] + top // span * span
    for i in range(span):
        pool[first + i] = low if i < span >> 1 else high
    control[PAGES] -= 1
    release(pool, control, FREE_SMALL + (PAGE_WORDS >> 2), page)


@inner_kernel
def find(
    pool: Words, control: Int64s, key_hash: int, keys: Int64s, start: int, words: int, key_at: int
) -> int:
    """The block of the entity with this key; 0 if there is none."""
    page = page_of(pool, control, key_hash)
    slot = (key_hash >> 4) & (PAGE_SLOTS - 1)
    while True:
        entity = pool[page + 5 + 2 * slot]
        if entity == 0:
            return 0
        if pool[page + 4 + 2 * slot] == key_hash and pool[entity + E_KEY_WORDS] == words:
            same = True
            for i in range(words):
                if pool[entity + key_at + i] != keys[start + i]:
                    same = False
                    break
            if same:
                return entity
        slot = (slot + 1) & (PAGE_SLOTS - 1)


@inner_kernel
def enter(
    pool: Words, control: Int64s, key_hash: int, keys: Int64s, start: int, words: int, key_at: int
) -> int:
    """A new entity with this key, which the table does not have."""
    page = page_of(pool, control, key_hash)
    while pool[page + 1] >= PAGE_FULL and pool[page] < _DEEPEST:
        _split(pool, control, page, key_hash)
        page = page_of(pool, control, key_hash)
    free_list, size = entity_list(key_at + words)
    entity = allocate(pool, control, free_list, size)
    for i in range(key_at):
        pool[entity + i] = 0
    pool[entity + E_HASH] = key_hash
    pool[entity + E_KEY_WORDS] = words
    for i in range(words):
        pool[entity + key_at + i] = keys[start + i]
    _put(pool, page, key_hash, entity)
    control[ENTITIES] += 1
    return entity


@inner_kernel
def leave(pool: Words, control: Int64s, page: int, slot: int, key_at: int) -> None:
    """Take the entity in a page's slot out of the table and free its block.

    Those after it in its run of slots move back, so that a search never meets a gap.
    """
    entity = pool[page + 5 + 2 * slot]
    free_list, _ = entity_list(key_at + pool[entity + E_KEY_WORDS])
    release(pool, control, free_list, entity)
    control[ENTITIES] -= 1
    pool[page + 1] -= 1
    hole = slot
    place = (slot + 1) & (PAGE_SLOTS - 1)
    while pool[page + 5 + 2 * place]:
        home = (pool[page + 4 + 2 * place] >> 4) & (PAGE_SLOTS - 1)
        if (place - home) & (PAGE_SLOTS - 1) >= (place - hole) & (PAGE_SLOTS - 1):
            pool[page + 4 + 2 * hole] = pool[page + 4 + 2 * place]
            pool[page + 5 + 2 * hole] = pool[page + 5 + 2 * place]
            hole = place
        place = (place + 1) & (PAGE_SLOTS - 1)
    pool[page + 4 + 2 * hole] = 0
    pool[page + 5 + 2 * hole] = 0
