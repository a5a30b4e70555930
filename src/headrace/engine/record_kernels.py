"""What a key holds, as words that depend on nothing but what it holds.

A record is the number of its key's words, these words, the number of rows, and the rows: time, and
for each column what the event *added* (not the running total), or the value. Neither the place in
memory, nor hashes, nor rows that nobody can see any more leave a trace in it.
"""

from __future__ import annotations

from headrace.core.compiled import inner_kernel, kernel, load_i64
from headrace.core.exact import subtract_wide
from headrace.core.memory import call_word, entry_kernel, store_i64
from headrace.engine.key_kernels import hash_words
from headrace.engine.pool_kernels import (
    ADDED,
    COLUMNS,
    COLUMNS_END,
    CONTROL,
    CONTROL_BYTES,
    CONTROLS,
    DEPTH,
    DIRECTORY,
    DO_ENTER,
    DO_INSERT,
    E_BASE,
    E_CLASS,
    E_END,
    E_FIRST,
    E_KEY_WORDS,
    E_RING,
    FREE_RINGS,
    HELD,
    KEY_AT,
    PAGE_BYTES,
    PAGE_FIRST,
    ROW,
    SHARDS,
    VISIBLE,
    add_to,
    find,
    release,
    shard_begun,
)
from headrace.engine.ring_kernels import C_KIND, LEAST, PREFIX, VALUE, first_after, row_at
from headrace.engine.summary_kernels import C_WORD, COLUMN_BYTES


@inner_kernel
def _first_visible(table: int, entity: int) -> int:
    """The number of an entity's first visible row."""
    ring, mask = load_i64(entity + E_RING), (1 << load_i64(entity + E_CLASS)) - 1
    base, end = load_i64(entity + E_BASE), load_i64(entity + E_END)
    visible = load_i64(table + VISIBLE)
    return first_after(ring, mask, load_i64(table + ROW), base, end, visible, base)


@entry_kernel
def put_record(table: int, entity: int, place: int) -> int:
    """Write the record of an entity at an address, if that is not 0; its bytes, 0 if empty."""
    first, end = _first_visible(table, entity), load_i64(entity + E_END)
    if first == end:
        return 0
    words, row = load_i64(entity + E_KEY_WORDS), load_i64(table + ROW)
    size = 8 * (2 + words) + (end - first) * row
    if place == 0:
        return size
    store_i64(place, words)
    key = entity + load_i64(table + KEY_AT)
    for i in range(0, 8 * words, 8):
        store_i64(place + 8 + i, load_i64(key + i))
    place += 8 * (words + 1)
    store_i64(place, end - first)
    place += 8
    for number in range(first, end):
        source, after = row_at(table, entity, number), row_at(table, entity, number + 1)
        store_i64(place, load_i64(source))
        column = load_i64(table + COLUMNS)
        while column < load_i64(table + COLUMNS_END):
            word, kind = load_i64(column + C_WORD), load_i64(column + C_KIND)
            if kind >= VALUE:
                store_i64(place + word, load_i64(source + word))
            elif kind == PREFIX:
                store_i64(place + word, load_i64(after + word) - load_i64(source + word))
            else:
                high, low = subtract_wide(
                    load_i64(after + word + 8),
                    load_i64(after + word),
                    load_i64(source + word + 8),
                    load_i64(source + word),
                )
                store_i64(place + word, low)
                store_i64(place + word + 8, high)
            column += COLUMN_BYTES
        place += row
    return size


@kernel
def write_records(table: int, put: int, target: int, starts: int) -> int:
    """Write the records of all keys, in no order, and where each begins; their number.

    Args:
        table: Of the group.
        put: The address of `put_record`.
        target: Where to; 0 writes nothing.
        starts: Where the bytes before each record go, and after the last all; if nothing is
            written, only all at the first.
    """
    made, size = 0, 0
    store_i64(starts, 0)
    for shard in range(SHARDS):
        control = load_i64(table + CONTROLS) + CONTROL_BYTES * shard
        directory, depth = load_i64(control + DIRECTORY), load_i64(control + DEPTH)
        i = 0
        while directory and i < 1 << depth:
            page = load_i64(directory + 8 * i)
            for slot in range(PAGE_FIRST, PAGE_BYTES, 16):
                entity = load_i64(page + slot + 8)
                if entity:
                    more = call_word(put, table, entity, target + size if target else 0)
                    size += more
                    made += 1 if more else 0
                    store_i64(starts + (8 * made if target else 0), size)
            i += 1 << (depth - load_i64(page))
    return made


@kernel
def write_key(table: int, put: int, key: int, words: int, target: int) -> int:
    """Write the record of one framed key at an address, if that is not 0; its bytes."""
    hashed = hash_words(table, key, words)
    control = shard_begun(table, hashed)
    entity = find(control, hashed, key, words, load_i64(table + KEY_AT))
    return call_word(put, table, entity, target) if entity else 0


@inner_kernel
def _emptied(table: int, key: int, words: int) -> int:
    """The entity of a framed key, holding nothing."""
    hashed = hash_words(table, key, words)
    control, key_at = shard_begun(table, hashed), load_i64(table + KEY_AT)
    entity = find(control, hashed, key, words, key_at)
    if entity == 0:
        return call_word(load_i64(table + DO_ENTER), table, hashed, key, words)
    if load_i64(entity + E_RING):
        held = load_i64(entity + E_END) - load_i64(entity + E_BASE)
        add_to(load_i64(table + CONTROL) + HELD, -held)
        free_list = FREE_RINGS + 8 * load_i64(entity + E_CLASS)
        release(table, free_list, load_i64(entity + E_RING))
    store_i64(entity + E_RING, 0)
    store_i64(entity + E_CLASS, 0)
    store_i64(entity + E_BASE, 0)
    store_i64(entity + E_END, 0)
    for place in range(E_FIRST, key_at, 8):
        store_i64(entity + place, 0)
    return entity


@kernel
def read_records(table: int, place: int, stop: int) -> None:
    """Take the records between two addresses in; what their keys held before is forgotten."""
    row = load_i64(table + ROW)
    while place < stop:
        words = load_i64(place)
        entity = _emptied(table, place + 8, words)
        place += 8 * (words + 1)
        rows = load_i64(place)
        place += 8
        for _ in range(rows):
            added, column = load_i64(table + ADDED), load_i64(table + COLUMNS)
            while column < load_i64(table + COLUMNS_END):
                word, kind = load_i64(column + C_WORD), load_i64(column + C_KIND)
                low = load_i64(place + word)
                store_i64(added, low)
                wide = PREFIX < kind < VALUE
                store_i64(added + 8, load_i64(place + word + 8) if wide else low >> 63)
                added += 16
                column += COLUMN_BYTES
            call_word(load_i64(table + DO_INSERT), table, entity, load_i64(place), LEAST)
            place += row
