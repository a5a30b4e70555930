"""A group's events in known order: each goes into its key's ring, and windows are read around it.

Operations of one shard are done in known order, in chunks: a chunk's keys are looked up first, so
that the memory of each is on its way while another is worked on. Shards share nothing, so any
number of threads gives the same result.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from headrace.core import exact
from headrace.core.compiled import as_bits, inner_kernel, kernel
from headrace.core.slot_kernels import prefetch
from headrace.engine.pool_kernels import (
    DIRECTORY,
    E_BASE,
    E_CLASS,
    E_END,
    E_FIRST,
    E_RING,
    PAGE_SLOTS,
    SWEEP_CREDIT,
    SWEEP_PAGE,
    begin_shard,
    enter,
    find,
    leave,
    page_of,
)
from headrace.engine.ring_kernels import (
    C_WORD,
    G_EDGES,
    G_EVERY,
    G_KEY_AT,
    G_REACH,
    G_ROW,
    G_TOTALS,
    LEAST,
    MISSING,
    contribution,
    earlier,
    first_after,
    greatest,
    insert,
    ordered,
    rounded_down,
    tidy,
    total_before,
    total_between,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Int64s

    Matrix = NDArray[np.int64]
    Flags = NDArray[np.uint8]

# a row of the operations: key, row inserted or -1, row asked for or -1, both times, watermark
O_KEY, O_INSERT, O_ASK, O_INSERT_AT, O_ASK_AT, O_WATERMARK, O_PHASES = range(7)
OPERATION_WIDTH = 7
BEFORE, AFTER = 1, 2

# a row of the queries
(
    Q_FUNCTION,
    Q_OUT,
    Q_LOW,
    Q_HIGH,
    Q_COUNT,
    Q_COLUMN,
    Q_SQUARES,
    Q_SCALE,
    Q_PHASE,
    Q_FLOAT,
    Q_SUMMARY,
) = range(11)
QUERY_WIDTH = 11

(
    COUNT,
    SUM,
    MEAN,
    VARIANCE,
    STD,
    MINIMUM,
    MAXIMUM,
    FIRST,
    LAST,
    DISTINCT,
    SECONDS_SINCE,
) = range(11)

_CHUNK = 64
_FEW = 16
_SWEEP_EVERY = 512  # operations that pay for looking at one page of idle keys
_NEW_KEY = 32  # a new key pays for looking at two others, so that idle ones never pile up


@inner_kernel
def _last_at_most(
    pool: Int64s,
    entity: int,
    shape: Int64s,
    columns: Matrix,
    c: int,
    low: int,
    high: int,
    most: int,
) -> int:
    """The last row of low to high - 1 before which a count is at most `most`; the first always."""
    high -= 1
    while low < high:
        middle = (low + high + 1) >> 1
        if total_before(pool, entity, shape, columns, c, middle)[1] <= most:
            low = middle
        else:
            high = middle - 1
    return low


@inner_kernel
def _distinct(pool: Int64s, entity: int, shape: Int64s, word: int, low: int, high: int) -> int:
    """How many different values rows low to high - 1 hold."""
    ring, row = pool[entity + E_RING], shape[G_ROW]
    mask = (1 << pool[entity + E_CLASS]) - 1
    found = 0
    if high - low <= _FEW:
        for i in range(low, high):
            value = pool[ring + (i & mask) * row + word]
            fresh = value != MISSING
            for j in range(low, i):
                if pool[ring + (j & mask) * row + word] == value:
                    fresh = False
                    break
            found += fresh
        return found
    values = np.empty(high - low, dtype=np.int64)
    for i in range(low, high):
        values[i - low] = pool[ring + (i & mask) * row + word]
    # sorting costs the same whatever values an enemy sends; a hash table would not
    values.sort()
    for i in range(len(values)):
        found += values[i] != MISSING and (i == 0 or values[i] != values[i - 1])
    return found


@inner_kernel
def _add_floats(
    pool: Int64s,
    entity: int,
    shape: Int64s,
    word: int,
    low: int,
    high: int,
    squares: bool,
    work: Matrix,
) -> None:
    """Sum the floats that rows low to high - 1 hold, exactly."""
    ring, row = pool[entity + E_RING], shape[G_ROW]
    mask = (1 << pool[entity + E_CLASS]) - 1
    exact.clear_sums(work)
    for i in range(low, high):
        value = pool[ring + (i & mask) * row + word]
        if value != MISSING:
            exact.add_float(ordered(value), work)
            if squares:
                exact.add_square(ordered(value), work)


@inner_kernel
def _moment(
    pool: Int64s,
    entity: int,
    shape: Int64s,
    columns: Matrix,
    query: Int64s,
    low: int,
    high: int,
    count: int,
    work: Matrix,
) -> float:
    """A sum, mean, variance or standard deviation of a window that has one."""
    function, c = query[Q_FUNCTION], query[Q_COLUMN]
    if query[Q_FLOAT]:
        _add_floats(pool, entity, shape, columns[c, C_WORD], low, high, function >= VARIANCE, work)
        if function <= MEAN:
            return exact.float_ratio(1 if function == SUM else count, work)
        value = exact.float_variance(count, work)
        return math.sqrt(value) if function == STD else value
    sum_high, sum_low = total_between(pool, entity, shape, columns, c, low, high)
    if function <= MEAN:
        return exact.ratio(sum_high, sum_low, 1 if function == SUM else count, query[Q_SCALE], work)
    squares = query[Q_SQUARES]
    two_high, two_low = total_between(pool, entity, shape, columns, squares, low, high)
    value = exact.variance(count, sum_high, sum_low, two_high, two_low, query[Q_SCALE], work)
    return math.sqrt(value) if function == STD else value


@inner_kernel
def _read(
    pool: Int64s,
    entity: int,
    shape: Int64s,
    columns: Matrix,
    query: Int64s,
    low: int,
    high: int,
    at: int,
    work: Matrix,
) -> tuple[int, int]:
    """What one query gives over rows low to high - 1: the word, and whether there is one."""
    function, counted, c = query[Q_FUNCTION], query[Q_COUNT], query[Q_COLUMN]
    count = high - low
    if counted >= 0 and count > 0:
        count = total_between(pool, entity, shape, columns, counted, low, high)[1]
    if function == COUNT:
        return count, 1
    if function <= STD:
        if count < (0, 0, 1, 2, 2)[function]:
            return 0, 0
        if count == 0:
            return 0, 1
        value = _moment(pool, entity, shape, columns, query, low, high, count, work)
        finite = -math.inf < value < math.inf
        return (as_bits(value), 1) if finite else (0, 0)
    if function == DISTINCT:
        return _distinct(pool, entity, shape, columns[c, C_WORD], low, high), 1
    if count == 0:
        return 0, 0
    if function <= MAXIMUM:
        found = greatest(
            pool,
            entity,
            shape,
            columns[c, C_WORD],
            query[Q_SUMMARY],
            function == MINIMUM,
            low,
            high,
        )
        if found == MISSING:
            return 0, 0
        return ordered(found) if query[Q_FLOAT] else found, 1
    place = low if function == FIRST else high - 1
    if counted >= 0:
        before = total_before(pool, entity, shape, columns, counted, low)[1]
        most = before if function == FIRST else before + count - 1
        place = _last_at_most(pool, entity, shape, columns, counted, low, high, most)
    mask = (1 << pool[entity + E_CLASS]) - 1
    source = pool[entity + E_RING] + (place & mask) * shape[G_ROW]
    if function == SECONDS_SINCE:
        gap = at - pool[source]
        return as_bits(exact.ratio(gap >> 63, gap, 1, 9, work)), 1
    held = pool[source + columns[c, C_WORD]]
    return ordered(held) if query[Q_FLOAT] else held, 1


@inner_kernel
def _answer(
    pool: Int64s,
    entity: int,
    shape: Int64s,
    columns: Matrix,
    queries: Matrix,
    phase: int,
    places: Int64s,
    at: int,
    work: Matrix,
    out: Matrix,
    present: Flags,
    row: int,
) -> None:
    """Answer all queries of a phase for one decided row."""
    for q in range(len(queries)):
        if queries[q, Q_PHASE] != phase:
            continue
        low, high = places[queries[q, Q_LOW]], places[queries[q, Q_HIGH]]
        value, there = _read(pool, entity, shape, columns, queries[q], low, high, at, work)
        out[row, queries[q, Q_OUT]] = value
        present[row, queries[q, Q_OUT]] = there


@inner_kernel
def _resolve(
    pool: Int64s,
    control: Int64s,
    shape: Int64s,
    operations: Matrix,
    order: Int64s,
    start: int,
    stop: int,
    keys: Int64s,
    key_starts: Int64s,
    hashes: Int64s,
    entities: Int64s,
) -> None:
    """Find the entities of a chunk of operations; new keys that bring an event are entered."""
    memory = pool.ctypes.data
    key_at = shape[G_KEY_AT]
    for j in range(start, stop):
        key_hash = hashes[operations[order[j], O_KEY]]
        slot = (key_hash >> 4) & (PAGE_SLOTS - 1)
        prefetch(memory + 8 * (page_of(pool, control, key_hash) + 4 + 2 * slot))
    for j in range(start, stop):
        key_hash = hashes[operations[order[j], O_KEY]]
        slot = (key_hash >> 4) & (PAGE_SLOTS - 1)
        likely = pool[page_of(pool, control, key_hash) + 5 + 2 * slot]
        prefetch(memory + 8 * likely)
        prefetch(memory + 8 * likely + 64)
    for j in range(start, stop):
        operation = order[j]
        key = operations[operation, O_KEY]
        first, words = key_starts[key], key_starts[key + 1] - key_starts[key]
        entity = find(pool, control, hashes[key], keys, first, words, key_at)
        if entity == 0 and operations[operation, O_INSERT] >= 0:
            entity = enter(pool, control, hashes[key], keys, first, words, key_at)
            control[SWEEP_CREDIT] += _NEW_KEY
        entities[j - start] = entity
        if pool[entity + E_RING]:
            last = (pool[entity + E_END] - 1) & ((1 << pool[entity + E_CLASS]) - 1)
            prefetch(memory + 8 * (pool[entity + E_RING] + last * shape[G_ROW]))


@inner_kernel
def _operate(
    pool: Int64s,
    control: Int64s,
    shape: Int64s,
    columns: Matrix,
    edges: Int64s,
    queries: Matrix,
    operation: Int64s,
    entity: int,
    registers: Matrix,
    valid: Flags,
    scratch: Matrix,
    added: Matrix,
    work: Matrix,
    out: Matrix,
    present: Flags,
) -> None:
    """Do one operation: read what is read before it, insert, read what is read after it."""
    every, row = shape[G_EVERY], shape[G_ROW]
    asked, source = operation[O_ASK], operation[O_INSERT]
    at = operation[O_ASK_AT]
    places, bounds = scratch[0], scratch[1]
    visible = np.int64(LEAST)
    if operation[O_WATERMARK] != LEAST:
        visible = rounded_down(earlier(operation[O_WATERMARK], shape[G_REACH]), every)
    hints = entity + E_FIRST + shape[G_TOTALS]
    if asked >= 0:
        ring, base, end = pool[entity + E_RING], pool[entity + E_BASE], pool[entity + E_END]
        mask = (1 << pool[entity + E_CLASS]) - 1
        for e in range(shape[G_EDGES]):
            bound = max(rounded_down(earlier(at, edges[e]), every), visible)
            place = first_after(pool, ring, mask, row, base, end, bound, pool[hints + e])
            places[e], bounds[e], pool[hints + e] = place, bound, place
        if operation[O_PHASES] & BEFORE:
            _answer(
                pool, entity, shape, columns, queries, BEFORE, places, at, work, out, present, asked
            )
    if source >= 0:
        start = rounded_down(operation[O_INSERT_AT], every)
        if start > visible:
            for c in range(len(columns)):
                added[c, 0], added[c, 1] = contribution(columns, c, registers, valid, source)
            if insert(pool, control, entity, shape, columns, start, added, visible) and asked >= 0:
                for e in range(shape[G_EDGES]):
                    places[e] += start <= bounds[e]
    if asked >= 0 and operation[O_PHASES] & AFTER:
        _answer(pool, entity, shape, columns, queries, AFTER, places, at, work, out, present, asked)


@kernel
def advance(
    pool: Int64s,
    controls: Matrix,
    shape: Int64s,
    columns: Matrix,
    edges: Int64s,
    queries: Matrix,
    operations: Matrix,
    order: Int64s,
    shard_starts: Int64s,
    keys: Int64s,
    key_starts: Int64s,
    hashes: Int64s,
    registers: Matrix,
    valid: Flags,
    visible: int,
    out: Matrix,
    present: Flags,
    first_shard: int,
    last_shard: int,
) -> None:
    """Do the operations of shards `first_shard` to `last_shard - 1`, each shard's in its order."""
    entities = np.zeros(_CHUNK, dtype=np.int64)
    scratch = np.zeros((2, max(len(edges), 1)), dtype=np.int64)
    added = np.zeros((len(columns), 2), dtype=np.int64)
    work = np.zeros((6, exact.WIDTH), dtype=np.int64)
    for shard in range(first_shard, last_shard):
        control = controls[shard]
        if control[DIRECTORY] == 0:
            begin_shard(pool, control)
        end = shard_starts[shard + 1]
        for start in range(shard_starts[shard], end, _CHUNK):
            stop = min(start + _CHUNK, end)
            _resolve(
                pool,
                control,
                shape,
                operations,
                order,
                start,
                stop,
                keys,
                key_starts,
                hashes,
                entities,
            )
            for j in range(start, stop):
                entity = entities[j - start]
                if entity:
                    _operate(
                        pool,
                        control,
                        shape,
                        columns,
                        edges,
                        queries,
                        operations[order[j]],
                        entity,
                        registers,
                        valid,
                        scratch,
                        added,
                        work,
                        out,
                        present,
                    )
        control[SWEEP_CREDIT] += end - shard_starts[shard]
        _sweep(pool, control, shape, columns, visible)


@inner_kernel
def _sweep(pool: Int64s, control: Int64s, shape: Int64s, columns: Matrix, visible: int) -> None:
    """Look at as many pages as the operations have paid for; forget keys with nothing left."""
    while control[SWEEP_CREDIT] >= _SWEEP_EVERY:
        control[SWEEP_CREDIT] -= _SWEEP_EVERY
        hashed = control[SWEEP_PAGE]
        page = page_of(pool, control, hashed)
        slot = 0
        while slot < PAGE_SLOTS:
            entity = pool[page + 5 + 2 * slot]
            if entity and tidy(pool, control, entity, shape, columns, visible) == 0:
                # another may have moved into the slot
                leave(pool, control, page, slot, shape[G_KEY_AT])
            else:
                slot += 1
        control[SWEEP_PAGE] = hashed + (np.int64(1) << (64 - pool[page]))
