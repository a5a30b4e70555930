"""Memory of keyed state: blocks of words in one pool, and the table from keys to them.

The pool is reserved at once and taken page by page. Shards take *slabs* of it by an atomic counter,
and cut them into blocks; a freed block waits in its shard for the next one of its size. Nothing in
use ever moves because something else has grown, so blocks are known by their addresses.

Each shard finds its entities by *extendible hashing* (R. Fagin and others, ACM Transactions on
Database Systems 4, 1979): a directory over the top bits of the key's hash leads to a page of 64
slots. A full page splits by itself, so that growing to any number of keys never makes one event
wait for a rehash of all of them.

A shard's control row holds its slab, its directory, counts, and the heads of its free lists. All
places in blocks, tables and control rows are in bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from headrace.core.compiled import inner_kernel, intrinsic, load_i64
from headrace.core.memory import call_word, entry_kernel, store_i64

SHARDS = 16
SLAB = 1 << 16  # bytes that a shard takes from the pool at once
LARGE = 1 << 12  # a block too large to share a slab is a multiple of this

# the slots of a group's table: the pool, its control rows and the one of the running shard, the
# group's shape, columns, edges and queries
POOL, CONTROLS, CONTROL, ROW, TOTALS, SUMMARIES, EVERY, KEY_AT, REACH = range(0, 72, 8)
COLUMNS, COLUMNS_END, EDGES, EDGE_COUNT, QUERIES, QUERIES_AFTER, QUERIES_END = range(72, 128, 8)
# functions called at their addresses
DO_BEGIN, DO_ENTER, DO_INSERT, DO_NOTE, DO_RATIO, DO_SWEEP = range(128, 176, 8)
# places to work in: what an event adds, edges' places and bounds, entities of a chunk, a framed
# key, limbs, what a function gives beside its result, and where shards begin
ADDED, PLACES, BOUNDS, ENTITIES_AT, KEY, WORK, THERE, SHARDS_AT = range(176, 240, 8)
# keys: how many fields, those of events that enter and that ask, and halves of the hash's key; what
# is read before an event enters, or after
FIELDS, ENTERING, ASKING, HASH_0, HASH_1, PHASES = range(240, 288, 8)
# a batch, whose slots lie together: hashes, operations or 0, their number, their order, times
HASHES, ASKING_HASHES, OPERATIONS, COUNT_OF, ORDER, AT, WATERMARK = range(288, 344, 8)
# registers and their validity with their strides; answers likewise; what nobody sees any more
REGISTERS, VALID, ROWS, OUT, PRESENT, OUT_ROWS, VISIBLE = range(344, 400, 8)
BATCH_WORDS = 14
# the decided row that a function called at its address answers for
ASKED = 400
# sums of floats that were read last (`float_sum_kernels`), and how often rows were moved or changed
KEPT_SUMS, ROWS_MOVED = 408, 416
TABLE_WORDS = 53

# places in a shard's control row
BUMP, BUMP_END, DIRECTORY, DEPTH, ENTITIES, HELD, SWEEP_PAGE, SWEEP_CREDIT, PAGES = range(0, 72, 8)
FREE_RINGS = 128  # by size class: capacity is 2 ** class
FREE_POWERS = 512  # blocks of 2 ** k words: directories, large entities
FREE_SMALL = 896  # blocks of 4 k words: entities, pages
CONTROL_BYTES = 1408

_SMALL_LISTS = (CONTROL_BYTES - FREE_SMALL) // 8

# an entity's block: these words, the totals of its prefix columns, hints, the words of its key
E_HASH, E_RING, E_BASE, E_END, E_CLASS, E_KEY_WORDS, E_FIRST = range(0, 56, 8)

PAGE_SLOTS = 64
PAGE_FULL = 52
PAGE_FIRST = 32  # local depth, slots used, 2 words kept free, then hash and block of each slot
PAGE_BYTES = PAGE_FIRST + 16 * PAGE_SLOTS
_DEEPEST = 40
_SLOT_MASK = PAGE_SLOTS - 1


@intrinsic
def _atomic_add(typing_context: Any, address: Any, value: Any) -> Any:  # noqa: ARG001 - numba's calling form
    """In a kernel: add to the word at an address at once; what was there before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
        pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@inner_kernel
def add_to(address: int, value: int) -> None:
    """Add to the word at an address."""
    store_i64(address, load_i64(address) + value)


@inner_kernel
def allocate(table: int, free_list: int, size: int) -> int:
    """A block of the size that this free list keeps; its content is not cleared.

    Word 0 of the pool counts the bytes that shards have taken.
    """
    control = load_i64(table + CONTROL)
    block = load_i64(control + free_list)
    if block:
        store_i64(control + free_list, load_i64(block))
        return block
    block = load_i64(control + BUMP)
    if block + size > load_i64(control + BUMP_END):
        large = size * 2 > SLAB
        unit = LARGE if large else SLAB
        taken = (size + unit - 1) // unit * unit
        block = load_i64(table + POOL) + int(_atomic_add(load_i64(table + POOL), taken))
        if large:
            return block
        store_i64(control + BUMP_END, block + taken)
    store_i64(control + BUMP, block + size)
    return block


@inner_kernel
def release(table: int, free_list: int, block: int) -> None:
    """Give a block back to the free list of its size."""
    head = load_i64(table + CONTROL) + free_list
    store_i64(block, load_i64(head))
    store_i64(head, block)


@inner_kernel
def entity_list(size: int) -> tuple[int, int]:
    """The free list for an entity of so many bytes, and the size of its blocks."""
    fours = (size + 31) >> 5
    if fours < _SMALL_LISTS:
        return FREE_SMALL + 8 * fours, 32 * fours
    power = 8
    while 8 << power < size:
        power += 1
    return FREE_POWERS + 8 * power, 8 << power


@inner_kernel
def _new_page(table: int, depth: int) -> int:
    """An empty page of that local depth."""
    page = allocate(table, FREE_SMALL + (PAGE_BYTES >> 5 << 3), PAGE_BYTES)
    for place in range(0, PAGE_BYTES, 8):
        store_i64(page + place, 0)
    store_i64(page, depth)
    add_to(load_i64(table + CONTROL) + PAGES, 1)
    return page


@entry_kernel
def begin_shard(table: int) -> int:
    """Give the table's shard its first directory, of two pages."""
    control = load_i64(table + CONTROL)
    store_i64(control + DEPTH, 1)
    directory = allocate(table, FREE_POWERS + 8, 16)
    store_i64(control + DIRECTORY, directory)
    for side in range(2):
        store_i64(directory + 8 * side, _new_page(table, 1))
    return directory


@inner_kernel
def page_of(control: int, key_hash: int) -> int:
    """The page that a hash belongs to."""
    top = np.int64(np.uint64(key_hash) >> np.uint64(64 - load_i64(control + DEPTH)))
    return load_i64(load_i64(control + DIRECTORY) + 8 * top)


@inner_kernel
def slot_of(key_hash: int) -> int:
    """Where in its page a hash is looked for first."""
    return PAGE_FIRST + (key_hash >> 4 & _SLOT_MASK) * 16


@inner_kernel
def _after(slot: int) -> int:
    """The slot after this one, round the page."""
    return slot + 16 if slot < PAGE_BYTES - 16 else PAGE_FIRST


@inner_kernel
def _put(page: int, key_hash: int, entity: int) -> None:
    """Enter an entity in a page that has room."""
    slot = slot_of(key_hash)
    while load_i64(page + slot + 8):
        slot = _after(slot)
    store_i64(page + slot, key_hash)
    store_i64(page + slot + 8, entity)
    add_to(page + 8, 1)


@inner_kernel
def _split(table: int, control: int, page: int, key_hash: int) -> None:
    """Split a full page in two by the next bit of its hashes, doubling the directory if need be."""
    local = load_i64(page)
    old = load_i64(control + DIRECTORY)
    if local == load_i64(control + DEPTH):
        grown = allocate(table, FREE_POWERS + 8 * (local + 1), 16 << local)
        for i in range(1 << local):
            lower = load_i64(old + 8 * i)
            store_i64(grown + 16 * i, lower)
            store_i64(grown + 16 * i + 8, lower)
        release(table, FREE_POWERS + 8 * local, old)
        store_i64(control + DIRECTORY, grown)
        store_i64(control + DEPTH, local + 1)
        old = grown
    halves = _new_page(table, local + 1), _new_page(table, local + 1)
    for slot in range(PAGE_FIRST, PAGE_BYTES, 16):
        entity = load_i64(page + slot + 8)
        if entity:
            hashed = load_i64(page + slot)
            _put(halves[1] if (hashed >> (63 - local)) & 1 else halves[0], hashed, entity)
    depth = load_i64(control + DEPTH)
    span = 1 << (depth - local)
    top = np.int64(np.uint64(key_hash) >> np.uint64(64 - depth))
    first = old + 8 * (top // span * span)
    for i in range(span):
        store_i64(first + 8 * i, halves[0] if i < span >> 1 else halves[1])
    add_to(control + PAGES, -1)
    release(table, FREE_SMALL + (PAGE_BYTES >> 5 << 3), page)


@inner_kernel
def find(control: int, key_hash: int, key: int, words: int, key_at: int) -> int:
    """The block of the entity with the framed key at an address; 0 if there is none."""
    page = page_of(control, key_hash)
    slot = slot_of(key_hash)
    while True:
        entity = load_i64(page + slot + 8)
        if entity == 0:
            return 0
        if load_i64(page + slot) == key_hash and load_i64(entity + E_KEY_WORDS) == words:
            place = 0
            while place < 8 * words and load_i64(entity + key_at + place) == load_i64(key + place):
                place += 8
            if place == 8 * words:
                return entity
        slot = _after(slot)


@entry_kernel
def enter(table: int, key_hash: int, key: int, words: int) -> int:
    """A new entity with the framed key at an address, which the shard does not have."""
    control, key_at = load_i64(table + CONTROL), load_i64(table + KEY_AT)
    page = page_of(control, key_hash)
    while load_i64(page + 8) >= PAGE_FULL and load_i64(page) < _DEEPEST:
        _split(table, control, page, key_hash)
        page = page_of(control, key_hash)
    free_list, size = entity_list(key_at + 8 * words)
    entity = allocate(table, free_list, size)
    for place in range(0, key_at, 8):
        store_i64(entity + place, 0)
    store_i64(entity + E_HASH, key_hash)
    store_i64(entity + E_KEY_WORDS, words)
    for place in range(0, 8 * words, 8):
        store_i64(entity + key_at + place, load_i64(key + place))
    _put(page, key_hash, entity)
    add_to(control + ENTITIES, 1)
    return entity


@inner_kernel
def leave(table: int, page: int, slot: int) -> None:
    """Take the entity in a page's slot out of the shard and free its block.

    Those after it in its run of slots move back, so that a search never meets a gap.
    """
    entity = load_i64(page + slot + 8)
    size = load_i64(table + KEY_AT) + 8 * load_i64(entity + E_KEY_WORDS)
    release(table, entity_list(size)[0], entity)
    add_to(load_i64(table + CONTROL) + ENTITIES, -1)
    add_to(page + 8, -1)
    hole, place = slot, _after(slot)
    while load_i64(page + place + 8):
        home = slot_of(load_i64(page + place))
        if ((place - home) >> 4) & _SLOT_MASK >= ((place - hole) >> 4) & _SLOT_MASK:
            store_i64(page + hole, load_i64(page + place))
            store_i64(page + hole + 8, load_i64(page + place + 8))
            hole = place
        place = _after(place)
    store_i64(page + hole, 0)
    store_i64(page + hole + 8, 0)


@inner_kernel
def shard_begun(table: int, key_hash: int) -> int:
    """The control row of a hash's shard, made the running one, with a directory."""
    control = load_i64(table + CONTROLS) + (key_hash & (SHARDS - 1)) * CONTROL_BYTES
    store_i64(table + CONTROL, control)
    if load_i64(control + DIRECTORY) == 0:
        call_word(load_i64(table + DO_BEGIN), table)
    return control
