"""A group's events in known order: each goes into its key's ring, and windows are read around it.

Operations of one shard are done in known order, in chunks: a chunk's keys are looked up first, so
that the memory of each is on its way while another is worked on. Shards share nothing, so any
number of threads gives the same result.
"""

from __future__ import annotations

import numpy as np

from headrace.core.compiled import inner_kernel, kernel, load_i64
from headrace.core.memory import call_word, entry_kernel, store_i64
from headrace.core.slot_kernels import prefetch
from headrace.engine.key_kernels import (
    AFTER,
    BEFORE,
    O_ASK,
    O_AT,
    O_INSERT,
    O_PHASES,
    O_WATERMARK,
    OPERATION_BYTES,
    deal,
    frame,
    hash_of,
)
from headrace.engine.pool_kernels import (
    ASKING,
    AT,
    BOUNDS,
    CONTROL,
    DO_ENTER,
    DO_INSERT,
    DO_NOTE,
    DO_SWEEP,
    E_BASE,
    E_CLASS,
    E_END,
    E_FIRST,
    E_RING,
    EDGE_COUNT,
    EDGES,
    ENTERING,
    ENTITIES_AT,
    EVERY,
    HELD,
    KEY,
    KEY_AT,
    OPERATIONS,
    ORDER,
    PAGE_BYTES,
    PAGE_FIRST,
    PHASES,
    PLACES,
    QUERIES,
    QUERIES_AFTER,
    QUERIES_END,
    REACH,
    ROW,
    ROWS_MOVED,
    SHARDS_AT,
    SUMMARIES,
    SWEEP_CREDIT,
    SWEEP_PAGE,
    TOTALS,
    VISIBLE,
    WATERMARK,
    add_to,
    find,
    leave,
    page_of,
    shard_begun,
    slot_of,
)
from headrace.engine.query_kernels import answer
from headrace.engine.ring_kernels import (
    LEAST,
    append,
    contribute,
    earlier,
    first_after,
    rounded_down,
    tidy,
)
from headrace.engine.summary_kernels import SUMMARISED

CHUNK = 64
_SWEEP_EVERY = 512  # operations that pay for looking at one page of idle keys
_NEW_KEY = 32  # a new key pays for looking at two others, so that idle ones never pile up


@inner_kernel
def _resolve(table: int, control: int, start: int, stop: int) -> None:
    """Find the entities of a chunk of operations; new keys that bring an event are entered."""
    order, entities = load_i64(table + ORDER), load_i64(table + ENTITIES_AT)
    key_at, row = load_i64(table + KEY_AT), load_i64(table + ROW)
    operations, key = load_i64(table + OPERATIONS), load_i64(table + KEY)
    for j in range(start, stop):
        key_hash = hash_of(table, load_i64(order + 8 * j))
        place = page_of(control, key_hash) + slot_of(key_hash)
        prefetch(place)
        store_i64(entities + 8 * (j - start), place)
    for j in range(start, stop):
        likely = load_i64(load_i64(entities + 8 * (j - start)) + 8)
        prefetch(likely)
        prefetch(likely + 64)
    for j in range(start, stop):
        operation = load_i64(order + 8 * j)
        key_hash = hash_of(table, operation)
        keys, source, enters = load_i64(table + ENTERING), operation, True
        if operations:
            about = operations + OPERATION_BYTES * operation
            source = load_i64(about + O_INSERT)
            if source < 0:
                keys, source, enters = load_i64(table + ASKING), load_i64(about + O_ASK), False
        words = frame(table, keys, source, key)
        entity = find(control, key_hash, key, words, key_at)
        if entity == 0 and enters:
            entity = call_word(load_i64(table + DO_ENTER), table, key_hash, key, words)
            add_to(control + SWEEP_CREDIT, _NEW_KEY)
        store_i64(entities + 8 * (j - start), entity)
        if entity:
            ring, mask = load_i64(entity + E_RING), (1 << load_i64(entity + E_CLASS)) - 1
            last = load_i64(entity + E_END)
            prefetch(ring + (last & mask) * row)
            prefetch(ring + ((last - 2) & mask) * row)


@inner_kernel
def _locate(table: int, entity: int, at: int, visible: int) -> None:
    """Find where the windows of an event at a time begin and end."""
    ring, mask = load_i64(entity + E_RING), (1 << load_i64(entity + E_CLASS)) - 1
    base, end, row = load_i64(entity + E_BASE), load_i64(entity + E_END), load_i64(table + ROW)
    places, bounds = load_i64(table + PLACES), load_i64(table + BOUNDS)
    hints = entity + E_FIRST + load_i64(table + TOTALS)
    edges, every = load_i64(table + EDGES), load_i64(table + EVERY)
    for e in range(0, load_i64(table + EDGE_COUNT), 8):
        bound = max(rounded_down(earlier(at, load_i64(edges + e)), every), visible)
        place = first_after(ring, mask, row, base, end, bound, load_i64(hints + e))
        store_i64(places + e, place)
        store_i64(bounds + e, bound)
        store_i64(hints + e, place)


@inner_kernel
def _insert(table: int, entity: int, at: int, visible: int) -> int:
    """Put an event in its place; 1 if a new row was made for it. Most come last and find room."""
    ring, size_class = load_i64(entity + E_RING), load_i64(entity + E_CLASS)
    base, end, row = load_i64(entity + E_BASE), load_i64(entity + E_END), load_i64(table + ROW)
    mask = (1 << size_class) - 1
    plain = ring != 0 and end - base <= mask and load_i64(table + EVERY) == 0
    if plain and end > base:
        plain = load_i64(ring + ((end - 1) & mask) * row) <= at
    if not plain:
        return call_word(load_i64(table + DO_INSERT), table, entity, at, visible)
    target = ring + (end & mask) * row
    store_i64(target, at)
    append(table, entity, target)
    store_i64(entity + E_END, end + 1)
    add_to(load_i64(table + CONTROL) + HELD, 1)
    if size_class >= SUMMARISED and load_i64(table + SUMMARIES):
        call_word(load_i64(table + DO_NOTE), table, entity)
    return 1


@inner_kernel
def _operate(
    table: int, entity: int, at: int, watermark: int, source: int, asked: int, phases: int
) -> None:
    """Do one operation: read what is read before it, insert, read what is read after it."""
    every = load_i64(table + EVERY)
    visible = LEAST
    if watermark != LEAST:
        visible = rounded_down(earlier(watermark, load_i64(table + REACH)), every)
    if asked >= 0:
        _locate(table, entity, at, visible)
        if phases & BEFORE:
            first, last = load_i64(table + QUERIES), load_i64(table + QUERIES_AFTER)
            answer(table, entity, first, last, at, asked)
    if source >= 0:
        start = rounded_down(at, every)
        if start > visible:
            contribute(table, source)
            if _insert(table, entity, start, visible) and asked >= 0:
                places, bounds = load_i64(table + PLACES), load_i64(table + BOUNDS)
                for e in range(0, load_i64(table + EDGE_COUNT), 8):
                    if start <= load_i64(bounds + e):
                        add_to(places + e, 1)
    if asked >= 0 and phases & AFTER:
        first, last = load_i64(table + QUERIES_AFTER), load_i64(table + QUERIES_END)
        answer(table, entity, first, last, at, asked)


@kernel
def advance(table: int, first_shard: int, last_shard: int) -> None:
    """Do the operations of shards `first_shard` to `last_shard - 1`, each shard's in its order.

    `table` is the address of the group's table, of which each thread has its own.
    """
    deal(table, first_shard, last_shard)
    # what is kept of sums is of this batch: between batches anything may have changed
    add_to(table + ROWS_MOVED, 1)
    order, entities = load_i64(table + ORDER), load_i64(table + ENTITIES_AT)
    operations, shards = load_i64(table + OPERATIONS), load_i64(table + SHARDS_AT)
    times, watermarks = load_i64(table + AT), load_i64(table + WATERMARK)
    for shard in range(first_shard, last_shard):
        control = shard_begun(table, shard)
        first, end = load_i64(shards + 8 * shard), load_i64(shards + 8 * shard + 8)
        for start in range(first, end, CHUNK):
            stop = min(start + CHUNK, end)
            _resolve(table, control, start, stop)
            for j in range(start, stop):
                entity = load_i64(entities + 8 * (j - start))
                if entity == 0:
                    continue
                row = load_i64(order + 8 * j)
                source, asked, phases = row, row, load_i64(table + PHASES)
                at, watermark = times + 8 * row, watermarks + 8 * row
                if operations:
                    about = operations + OPERATION_BYTES * row
                    source, asked = load_i64(about + O_INSERT), load_i64(about + O_ASK)
                    phases = load_i64(about + O_PHASES)
                    at, watermark = about + O_AT, about + O_WATERMARK
                _operate(table, entity, load_i64(at), load_i64(watermark), source, asked, phases)
        add_to(control + SWEEP_CREDIT, end - first)
        if load_i64(control + SWEEP_CREDIT) >= _SWEEP_EVERY:
            call_word(load_i64(table + DO_SWEEP), table)


@entry_kernel
def sweep(table: int) -> int:
    """Look at as many pages as the operations have paid for; forget keys with nothing left."""
    control, visible = load_i64(table + CONTROL), load_i64(table + VISIBLE)
    forgotten = 0
    while load_i64(control + SWEEP_CREDIT) >= _SWEEP_EVERY:
        add_to(control + SWEEP_CREDIT, -_SWEEP_EVERY)
        hashed = load_i64(control + SWEEP_PAGE)
        page = page_of(control, hashed)
        slot = PAGE_FIRST
        while slot < PAGE_BYTES:
            entity = load_i64(page + slot + 8)
            if entity and tidy(table, entity, visible) == 0:
                # another may have moved into the slot
                leave(table, page, slot)
                forgotten += 1
            else:
                slot += 16
        store_i64(control + SWEEP_PAGE, hashed + (np.int64(1) << (64 - load_i64(page))))
    return forgotten
