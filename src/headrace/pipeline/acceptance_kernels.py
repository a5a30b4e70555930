"""Kernels of acceptance: hashes of what came in, then one verdict after the other.

A seen id is a record of six words: both halves of the hash of its stream and id, both of its
content's, the sequence number at which it was accepted, and its mark (the stream's watermark just
after). Records lie in segments; each stream has a queue of them in the order of acceptance, whose
marks never fall, so the oldest are always the first to go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.compiled import (
    allocating_kernel,
    inner_kernel,
    kernel,
    load_i32,
    load_i64,
    load_u8,
    load_u64,
)
from headrace.core.siphash import sip128_at, sip_end128, sip_start, sip_word, tail_word
from headrace.core.slot_kernels import (
    prefetch,
    slot_put,
    slot_reference,
    slot_remove,
    slot_seek,
    slot_tag,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Bytes, Int32s, Int64s
    from headrace.core.siphash import Index

    Words = NDArray[np.uint64]

ACCEPTED, DUPLICATE, QUARANTINED = 0, 1, 2
LATE, EARLY, ID_CONFLICT = 40, 41, 42
FULL = -1

#: Records in a segment, and words in a record.
SEGMENT = 1_024
RECORD = 6
KEY_LOW, KEY_HIGH, CONTENT_LOW, CONTENT_HIGH, SEQUENCE, MARK = range(RECORD)

#: Columns of `streams`, one row for each: its tolerances, its watermark, its queue.
(LATENESS, MAX_AHEAD, DEDUPE, BEGUN, WATERMARK, HEAD, HEAD_AT, TAIL, TAIL_AT, QUEUED) = range(10)
STREAM_WORDS = 10

#: In `counts`: ids held, the most of them, segments ever begun, the first of those given back.
HELD, MOST, SEGMENTS, FREE = range(4)

#: Columns of `contents`, one row for each stream: the address of its columns' addresses, that of
#: the places of those that are its content, how many these are, the place of its id, and that of
#: its event time.
COLUMNS_AT, ORDER_AT, CONTENT, ID, AT = range(5)
CONTENT_WORDS = 5

#: What is said of a column (`Batch.addresses`): whether it is text, and the addresses of its values
#: or offsets, of its bytes if it is text, and of its validity.
IS_TEXT, VALUES, DATA, VALID = range(4)
COLUMN_BYTES = 32

SLOT_AHEAD = 12
RECORD_AHEAD = 6
NONE = np.int64(-(2**63))

_EMPTY = np.uint64(0)
_REFERENCE_BITS = np.uint64(36)


@inner_kernel
def _content(
    columns: Index, order: Index, count: Index, row: Index, keys: Words
) -> tuple[np.uint64, np.uint64]:
    """The hash of a row's columns: for each its validity, then its word or its length and bytes."""
    v0, v1, v2, v3 = sip_start(keys[0], keys[1])
    present = np.uint64(1)
    for place in range(count):
        column = columns + COLUMN_BYTES * load_i64(order + 8 * place)
        values = load_i64(column + 8 * VALUES)
        present = (present << np.uint64(1)) | np.uint64(load_u8(load_i64(column + 8 * VALID) + row))
        if load_i64(column + 8 * IS_TEXT) == 0:
            word = np.uint64(load_i64(values + 8 * row))
            v0, v1, v2, v3 = sip_word(v0, v1, v2, v3, word)
        else:
            begin = np.int64(load_i32(values + 4 * row))
            length = np.int64(load_i32(values + 4 * (row + 1))) - begin
            address = load_i64(column + 8 * DATA) + begin
            v0, v1, v2, v3 = sip_word(v0, v1, v2, v3, np.uint64(length))
            for step in range(0, length & ~7, 8):
                v0, v1, v2, v3 = sip_word(v0, v1, v2, v3, load_u64(address + step))
            if length & 7:
                v0, v1, v2, v3 = sip_word(v0, v1, v2, v3, tail_word(address, length))
        if place % 63 == 62:
            v0, v1, v2, v3 = sip_word(v0, v1, v2, v3, present)
            present = np.uint64(1)
    v0, v1, v2, v3 = sip_word(v0, v1, v2, v3, present)
    return sip_end128(v0, v1, v2, v3)


@kernel
def hash_inputs(
    stream: Bytes,
    row: Int32s,
    contents: Int64s,
    keys: Words,
    hashes: Words,
    times: Int64s,
) -> None:
    """Fill `hashes` (four words a row: id, content) and `times` for the events among the inputs.

    `keys` has four words for each stream: the key of ids, the key of contents.
    """
    for index in range(len(stream)):
        rank = np.int64(stream[index])
        at = np.int64(row[index])
        if rank >= len(contents) or at < 0:
            continue
        columns = contents[rank, COLUMNS_AT]
        identity = columns + COLUMN_BYTES * contents[rank, ID]
        offsets = load_i64(identity + 8 * VALUES)
        begin = np.int64(load_i32(offsets + 4 * at))
        end = np.int64(load_i32(offsets + 4 * (at + 1)))
        low, high = sip128_at(
            load_i64(identity + 8 * DATA) + begin, end - begin, keys[rank, 0], keys[rank, 1]
        )
        hashes[index, KEY_LOW] = low
        hashes[index, KEY_HIGH] = high
        low, high = _content(
            columns, contents[rank, ORDER_AT], contents[rank, CONTENT], at, keys[rank, 2:]
        )
        hashes[index, CONTENT_LOW] = low
        hashes[index, CONTENT_HIGH] = high
        moments = load_i64(columns + COLUMN_BYTES * contents[rank, AT] + 8 * VALUES)
        times[index] = load_i64(moments + 8 * at)


@inner_kernel
def _passed(later: Index, earlier: Index, most: Index) -> bool:
    """Whether `later` is more than `most` after `earlier`, over all of 64 bits."""
    if later <= earlier:
        return False
    return bool(np.uint64(later) - np.uint64(earlier) > np.uint64(most))


@kernel
def _look_ahead(
    pool: Words, parts: Int64s, records: Int64s, hashes: Words, index: Index, rows: Index
) -> None:
    """Ask for the slot of an input to come, and for the record of one that comes sooner."""
    if index + SLOT_AHEAD < rows:
        start, _, place, _ = slot_seek(parts, hashes[index + SLOT_AHEAD, KEY_LOW])
        prefetch(pool.ctypes.data + 8 * (start + place))
    if index + RECORD_AHEAD < rows:
        start, _, place, _ = slot_seek(parts, hashes[index + RECORD_AHEAD, KEY_LOW])
        reference = slot_reference(pool[start + place])
        if reference >= 0:
            prefetch(records.ctypes.data + 8 * RECORD * reference)


@inner_kernel
def _seen(pool: Words, parts: Int64s, records: Int64s, low: np.uint64, high: np.uint64) -> Index:
    """The place in the pool of the slot that holds this id; -1 when none does."""
    start, mask, place, tag = slot_seek(parts, low)
    while True:
        slot = pool[start + place]
        if slot == _EMPTY:
            return np.int64(-1)
        if slot_tag(slot) == tag:
            base = RECORD * slot_reference(slot)
            if np.uint64(records[base]) == low and np.uint64(records[base + KEY_HIGH]) == high:
                return np.int64(start + place)
        place = (place + 1) & mask


@inner_kernel
def _forget(
    streams: Int64s,
    rank: Index,
    pool: Words,
    parts: Int64s,
    records: Int64s,
    following: Int64s,
    counts: Int64s,
    most: Index,
) -> None:
    """Give back the memory of up to `most` ids of a stream that no longer count as seen."""
    for _ in range(most):
        if streams[rank, QUEUED] == 0:
            return
        reference = streams[rank, HEAD] * SEGMENT + streams[rank, HEAD_AT]
        base = RECORD * reference
        if not _passed(streams[rank, WATERMARK], records[base + MARK], streams[rank, DEDUPE]):
            return
        # an id that was accepted anew has taken the slot over: then there is none to remove
        slot_remove(pool, parts, np.uint64(records[base]), reference)
        counts[HELD] -= 1
        streams[rank, QUEUED] -= 1
        streams[rank, HEAD_AT] += 1
        if streams[rank, HEAD_AT] == SEGMENT:
            segment = streams[rank, HEAD]
            streams[rank, HEAD] = following[segment]
            streams[rank, HEAD_AT] = 0
            following[segment] = counts[FREE]
            counts[FREE] = segment


@kernel
def _append(streams: Int64s, rank: Index, following: Int64s, counts: Int64s) -> Index:
    """The reference of a new last record of a stream's queue."""
    if streams[rank, TAIL_AT] == SEGMENT:
        segment = counts[FREE]
        if segment >= 0:
            counts[FREE] = following[segment]
        else:
            segment = counts[SEGMENTS]
            counts[SEGMENTS] += 1
        following[segment] = -1
        if streams[rank, HEAD] < 0:
            streams[rank, HEAD] = segment
            streams[rank, HEAD_AT] = 0
        else:
            following[streams[rank, TAIL]] = segment
        streams[rank, TAIL] = segment
        streams[rank, TAIL_AT] = 0
    reference = np.int64(streams[rank, TAIL] * SEGMENT + streams[rank, TAIL_AT])
    streams[rank, TAIL_AT] += 1
    streams[rank, QUEUED] += 1
    counts[HELD] += 1
    return reference


@inner_kernel
def remember(
    streams: Int64s,
    rank: Index,
    pool: Words,
    parts: Int64s,
    records: Int64s,
    following: Int64s,
    counts: Int64s,
    place: Index,
    hashes: Words,
    sequence: Index,
    mark: Index,
) -> bool:
    """Hold an accepted id; `place` is the slot that an outlived one of the same id has, or -1.

    False, and nothing held, when the most ids are held that may be.
    """
    if counts[HELD] >= counts[MOST]:
        for other in range(len(streams)):
            _forget(streams, other, pool, parts, records, following, counts, counts[HELD])
        if counts[HELD] >= counts[MOST]:
            return False
        place = _seen(pool, parts, records, hashes[KEY_LOW], hashes[KEY_HIGH])
    reference = _append(streams, rank, following, counts)
    base = RECORD * reference
    for word in range(4):
        records[base + word] = np.int64(hashes[word])
    records[base + SEQUENCE] = sequence
    records[base + MARK] = mark
    if place >= 0:
        tag = slot_tag(pool[place])
        pool[place] = (tag << _REFERENCE_BITS) | np.uint64(reference + 1)
        return True
    return slot_put(pool, parts, hashes[KEY_LOW], reference)


@allocating_kernel
def remember_all(
    streams: Int64s,
    rank: Index,
    pool: Words,
    parts: Int64s,
    records: Int64s,
    following: Int64s,
    counts: Int64s,
    restored: Int64s,
) -> Index:
    """Hold a stream's records of a snapshot, oldest first; how many there was room for."""
    hashes = np.empty(4, dtype=np.uint64)
    for row in range(len(restored)):
        for word in range(4):
            hashes[word] = np.uint64(restored[row, word])
        sequence, mark = restored[row, SEQUENCE], restored[row, MARK]
        if not remember(
            streams,
            rank,
            pool,
            parts,
            records,
            following,
            counts,
            np.int64(-1),
            hashes,
            sequence,
            mark,
        ):
            return row
    return len(restored)


@inner_kernel
def _judge_event(
    rank: Index,
    at: Index,
    received: Index,
    retried: bool,  # noqa: FBT001 - kernels have no keyword arguments
    sequence: Index,
    hashes: Words,
    streams: Int64s,
    pool: Words,
    parts: Int64s,
    records: Int64s,
    following: Int64s,
    counts: Int64s,
) -> tuple[Index, Index]:
    """What becomes of one event: 0, `DUPLICATE`, a reason or `FULL`; and its original, or -1."""
    begun = streams[rank, BEGUN] != 0
    watermark = streams[rank, WATERMARK]
    place = _seen(pool, parts, records, hashes[KEY_LOW], hashes[KEY_HIGH])
    if place >= 0:
        base = RECORD * slot_reference(pool[place])
        if not _passed(watermark, records[base + MARK], streams[rank, DEDUPE]):
            same = (
                np.uint64(records[base + CONTENT_LOW]) == hashes[CONTENT_LOW]
                and np.uint64(records[base + CONTENT_HIGH]) == hashes[CONTENT_HIGH]
            )
            return DUPLICATE if same else ID_CONFLICT, records[base + SEQUENCE]
    if _passed(at, received, streams[rank, MAX_AHEAD]):
        return EARLY, -1
    if begun and not retried and _passed(watermark, at, streams[rank, LATENESS]):
        return LATE, -1
    mark = max(watermark, at) if begun else at
    if not remember(
        streams,
        rank,
        pool,
        parts,
        records,
        following,
        counts,
        place,
        hashes,
        sequence,
        mark,
    ):
        return FULL, -1
    streams[rank, BEGUN] = 1
    streams[rank, WATERMARK] = mark
    _forget(streams, rank, pool, parts, records, following, counts, 2)
    return ACCEPTED, -1


@kernel
def judge_inputs(
    stream: Bytes,
    row: Int32s,
    received: Int64s,
    retried: bool,  # noqa: FBT001 - kernels have no keyword arguments
    first_sequence: Index,
    decided: Index,
    hashes: Words,
    times: Int64s,
    streams: Int64s,
    pool: Words,
    parts: Int64s,
    records: Int64s,
    following: Int64s,
    counts: Int64s,
    verdicts: Bytes,
    reasons: NDArray[np.uint16],
    originals: Int64s,
    watermarks: Int64s,
) -> Index:
    """Judge inputs in known order; how many were, all of them unless no more ids may be held."""
    rows = len(stream)
    for index in range(rows):
        _look_ahead(pool, parts, records, hashes, index, rows)
        rank = np.int64(stream[index])
        verdicts[index] = QUARANTINED
        originals[index] = -1
        if row[index] >= 0 and rank >= len(streams):
            verdicts[index] = ACCEPTED
        elif row[index] >= 0:
            found, originals[index] = _judge_event(
                rank,
                times[index],
                received[index],
                retried,
                first_sequence + index,
                hashes[index],
                streams,
                pool,
                parts,
                records,
                following,
                counts,
            )
            if found == FULL:
                return index
            if found <= DUPLICATE:
                verdicts[index] = found
            else:
                reasons[index] = found
        watermarks[index] = streams[decided, WATERMARK] if streams[decided, BEGUN] else NONE
    return rows


@kernel
def live_records(
    streams: Int64s, rank: Index, records: Int64s, following: Int64s, out: Int64s
) -> Index:
    """Copy a stream's records that still count, oldest first; how many they are."""
    segment, at, written = streams[rank, HEAD], streams[rank, HEAD_AT], 0
    for _ in range(streams[rank, QUEUED]):
        if at == SEGMENT:
            segment, at = following[segment], 0
        base = RECORD * (segment * SEGMENT + at)
        at += 1
        if not _passed(streams[rank, WATERMARK], records[base + MARK], streams[rank, DEDUPE]):
            for word in range(RECORD):
                out[written, word] = records[base + word]
            written += 1
    return written
