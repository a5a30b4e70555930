"""Kernels of the vault: known values to their surrogates, new ones to entries to be sealed.

An entry in memory is six words: both halves of the keyed hash of its value, the sixteen characters
of its surrogate, the entry whose key it is sealed under (its subject), and the page it is stored
on. Its data key, if it is a subject, lies at the same place of `keys`.

An entry on a page is seven words (hash, surrogate, the subject's surrogate, domain and length)
and the sealed value, filled up to whole words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.compiled import inner_kernel, kernel, load_u8, load_u64
from headrace.core.siphash import sip128_at, tail_word
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

#: An entry in memory.
ENTRY = 6
HASH_LOW, HASH_HIGH, NAME_LOW, NAME_HIGH, OWNER, PAGE = range(ENTRY)

#: An entry on a page, before the sealed value.
HEAD = 7
STORED_OWNER, STORED_SHAPE = 4, 6
TAG = 16
KEY = 32
NONCE = 12

#: In `state`: entries ever held in memory; bytes of `randoms` used; words, entries and keys
#: waiting to be written; entries waiting to be sealed; the page being filled and its entries.
(ENTRIES, RANDOM_AT, WORDS, WAITING, KEYS, UNSEALED, OPEN_PAGE, ON_PAGE) = range(8)
STATE = 8

#: Most entries on a page.
PAGE_ENTRIES = 2_048

#: What stopped a walk before its end.
NEEDS_RANDOM, FULL = -1, -2

SLOT_AHEAD = 12
ENTRY_AHEAD = 6

_EMPTY = np.uint64(0)
_SIX_BITS = np.uint64(63)
_LETTERS = np.frombuffer(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype=np.uint8
)
_MIX_LOW = np.uint64(0x9E3779B97F4A7C15)
_MIX_HIGH = np.uint64(0xC2B2AE3D27D4EB4F)
_SHIFT = np.uint64(32)


@inner_kernel
def name_hash(low: np.uint64, high: np.uint64) -> np.uint64:
    """The hash of a surrogate. Surrogates are random, so it need not be keyed."""
    mixed = (low * _MIX_LOW) ^ (high * _MIX_HIGH)
    return (mixed ^ (mixed >> _SHIFT)) * _MIX_LOW


@kernel
def find_name(pool: Words, parts: Int64s, entries: Words, low: np.uint64, high: np.uint64) -> Index:
    """The entry with this surrogate; -1 if there is none."""
    start, mask, place, tag = slot_seek(parts, name_hash(low, high))
    while True:
        slot = pool[start + place]
        if slot == _EMPTY:
            return np.int64(-1)
        if slot_tag(slot) == tag:
            entry = slot_reference(slot)
            if (
                entries[ENTRY * entry + NAME_LOW] == low
                and entries[ENTRY * entry + NAME_HIGH] == high
            ):
                return np.int64(entry)
        place = (place + 1) & mask


@kernel
def find_value(
    pool: Words, parts: Int64s, entries: Words, low: np.uint64, high: np.uint64
) -> Index:
    """The entry of the value with this hash; -1 if there is none."""
    start, mask, place, tag = slot_seek(parts, low)
    while True:
        slot = pool[start + place]
        if slot == _EMPTY:
            return np.int64(-1)
        if slot_tag(slot) == tag:
            entry = slot_reference(slot)
            if entries[ENTRY * entry] == low and entries[ENTRY * entry + HASH_HIGH] == high:
                return np.int64(entry)
        place = (place + 1) & mask


@kernel
def find_names(names: Words, pool: Words, parts: Int64s, entries: Words, found: Int64s) -> None:
    """The entries of many surrogates, two words each."""
    for row in range(len(found)):
        found[row] = find_name(pool, parts, entries, names[2 * row], names[2 * row + 1])


@kernel
def hash_values(
    offsets: Int32s, data: Index, key0: np.uint64, key1: np.uint64, hashes: Words, rows: Index
) -> None:
    """The keyed hash of each value, two words each."""
    for row in range(rows):
        begin = offsets[row]
        low, high = sip128_at(data + begin, offsets[row + 1] - begin, key0, key1)
        hashes[2 * row] = low
        hashes[2 * row + 1] = high


@kernel
def _letters(randoms: Bytes, at: Index) -> np.uint64:
    """Six random bytes as eight letters of base64url, in one word."""
    bits = np.uint64(0)
    for place in range(6):
        bits = (bits << np.uint64(8)) | np.uint64(randoms[at + place])
    word = np.uint64(0)
    for place in range(8):
        index = (bits >> np.uint64(42 - 6 * place)) & _SIX_BITS
        word |= np.uint64(_LETTERS[np.int64(index)]) << np.uint64(8 * place)
    return word


@inner_kernel
def _index_entry(
    entry: Index,
    values: Words,
    value_parts: Int64s,
    names: Words,
    name_parts: Int64s,
    entries: Words,
) -> bool:
    """Make an entry findable by its value and by its surrogate; False when there is no room."""
    base = ENTRY * entry
    low, high = entries[base + NAME_LOW], entries[base + NAME_HIGH]
    return slot_put(values, value_parts, entries[base], entry) and slot_put(
        names, name_parts, name_hash(low, high), entry
    )


@kernel
def _draw(
    address: Index,
    length: Index,
    domain: Index,
    owner: Index,
    entry: Index,
    entries: Words,
    keys: Bytes,
    randoms: Bytes,
    state: Int64s,
    waiting: Words,
    jobs: Int64s,
    breaks: Int64s,
) -> None:
    """Give a new value its surrogate, a subject its key, and lay the entry out to be sealed."""
    base = ENTRY * entry
    at = state[RANDOM_AT]
    entries[base + NAME_LOW] = _letters(randoms, at)
    entries[base + NAME_HIGH] = _letters(randoms, at + 6)
    if owner < 0:
        owner = entry
        for place in range(KEY):
            keys[KEY * entry + place] = randoms[at + NONCE + place]
            # a key is kept in one place, where it can be destroyed
            randoms[at + NONCE + place] = 0
        state[KEYS] += 1
        state[RANDOM_AT] += KEY
    state[RANDOM_AT] += NONCE
    entries[base + OWNER] = np.uint64(owner)
    entries[base + PAGE] = np.uint64(state[OPEN_PAGE])
    word = state[WORDS]
    for place in range(4):
        waiting[word + place] = entries[base + place]
    waiting[word + STORED_OWNER] = entries[ENTRY * owner + NAME_LOW]
    waiting[word + STORED_OWNER + 1] = entries[ENTRY * owner + NAME_HIGH]
    waiting[word + STORED_SHAPE] = np.uint64(domain) | (np.uint64(length) << _SHIFT)
    start = word + HEAD
    for place in range(0, length & ~7, 8):
        waiting[start + place // 8] = load_u64(address + place)
    words = (length + TAG + 7) // 8
    waiting[start + words - 1] = 0
    waiting[start + length // 8] = tail_word(address, length)
    job = state[UNSEALED]
    jobs[job, 0] = np.int64(keys.ctypes.data) + KEY * owner
    # the nonce is the surrogate, drawn for this entry and no other
    jobs[job, 1] = np.int64(randoms.ctypes.data) + at
    jobs[job, 2] = np.int64(waiting.ctypes.data) + 8 * start
    jobs[job, 3] = length
    state[UNSEALED] += 1
    state[WORDS] = start + words
    state[ON_PAGE] += 1
    if state[ON_PAGE] == PAGE_ENTRIES:
        close_page(state, breaks)


@kernel
def close_page(state: Int64s, breaks: Int64s) -> None:
    """Note where the page being filled ends, among the words and the keys that wait."""
    if state[ON_PAGE]:
        breaks[state[WAITING], 0] = state[WORDS]
        breaks[state[WAITING], 1] = state[KEYS]
        breaks[state[WAITING], 2] = state[OPEN_PAGE]
        state[WAITING] += 1
        state[OPEN_PAGE] += 1
        state[ON_PAGE] = 0


@inner_kernel
def _look_ahead(
    values: Words, value_parts: Int64s, entries: Words, hashes: Words, row: Index, rows: Index
) -> None:
    """Ask for the slot of a row to come, and for the entry of one that comes sooner."""
    if row + SLOT_AHEAD < rows:
        start, _, place, _ = slot_seek(value_parts, hashes[2 * (row + SLOT_AHEAD)])
        prefetch(values.ctypes.data + 8 * (start + place))
    if row + ENTRY_AHEAD < rows:
        start, _, place, _ = slot_seek(value_parts, hashes[2 * (row + ENTRY_AHEAD)])
        entry = slot_reference(values[start + place])
        if entry >= 0:
            prefetch(entries.ctypes.data + 8 * ENTRY * entry)


@kernel
def replace_values(
    offsets: Int32s,
    data: Index,
    valid: Index,
    owners: Int64s,
    first: Index,
    domain: Index,
    hashes: Words,
    values: Words,
    value_parts: Int64s,
    names: Words,
    name_parts: Int64s,
    entries: Words,
    keys: Bytes,
    randoms: Bytes,
    state: Int64s,
    waiting: Words,
    waiting_keys: Int64s,
    jobs: Int64s,
    breaks: Int64s,
    out: Words,
    out_offsets: Int32s,
) -> tuple[Index, Index]:
    """Write the surrogate of each row from `first` on; new values are laid out to be sealed.

    Gives the row it stopped at, and why (`NEEDS_RANDOM`, `FULL`), or the number of rows and 0.
    `owners` holds the entry of each row's subject, -1 where the value is its own; it may be empty.
    """
    rows = len(offsets) - 1
    for row in range(first, rows):
        _look_ahead(values, value_parts, entries, hashes, row, rows)
        at = out_offsets[row]
        out_offsets[row + 1] = at
        if load_u8(valid + row) == 0:
            continue
        low, high = hashes[2 * row], hashes[2 * row + 1]
        entry = find_value(values, value_parts, entries, low, high)
        if entry < 0:
            length = np.int64(offsets[row + 1] - offsets[row])
            if state[RANDOM_AT] + NONCE + KEY > len(randoms) or state[UNSEALED] >= len(jobs):
                return row, NEEDS_RANDOM
            entry = state[ENTRIES]
            room = state[WORDS] + HEAD + (length + TAG) // 8 + 1
            if ENTRY * (entry + 1) > len(entries) or room > len(waiting):
                return row, FULL
            entries[ENTRY * entry] = low
            entries[ENTRY * entry + HASH_HIGH] = high
            owner = owners[row] if len(owners) else np.int64(-1)
            waits = state[KEYS]
            _draw(
                data + offsets[row],
                length,
                domain,
                owner,
                entry,
                entries,
                keys,
                randoms,
                state,
                waiting,
                jobs,
                breaks,
            )
            if state[KEYS] > waits:
                waiting_keys[waits] = entry
            if not _index_entry(entry, values, value_parts, names, name_parts, entries):
                return row, FULL
            state[ENTRIES] += 1
        out[at // 8] = entries[ENTRY * entry + NAME_LOW]
        out[at // 8 + 1] = entries[ENTRY * entry + NAME_HIGH]
        out_offsets[row + 1] = at + 16
    return rows, 0


@kernel
def load_page(
    stored: Words,
    stored_keys: Bytes,
    page: Index,
    values: Words,
    value_parts: Int64s,
    names: Words,
    name_parts: Int64s,
    entries: Words,
    keys: Bytes,
    state: Int64s,
) -> bool:
    """Take the entries of a stored page into memory; False if it does not hang together."""
    word, key = np.int64(0), 0
    while word + HEAD <= len(stored):
        entry = state[ENTRIES]
        base = ENTRY * entry
        for place in range(4):
            entries[base + place] = stored[word + place]
        low, high = stored[word + STORED_OWNER], stored[word + STORED_OWNER + 1]
        owner: Index = np.int64(entry)
        if low == stored[word + NAME_LOW] and high == stored[word + NAME_HIGH]:
            if KEY * (key + 1) > len(stored_keys):
                return False
            for place in range(KEY):
                keys[KEY * entry + place] = stored_keys[KEY * key + place]
            key += 1
        else:
            owner = find_name(names, name_parts, entries, low, high)
        if owner < 0:
            return False
        entries[base + OWNER] = np.uint64(owner)
        entries[base + PAGE] = np.uint64(page)
        if not _index_entry(entry, values, value_parts, names, name_parts, entries):
            return False
        state[ENTRIES] += 1
        length = np.int64(stored[word + STORED_SHAPE] >> _SHIFT)
        word += HEAD + (length + TAG + 7) // 8
    return word == len(stored) and KEY * key == len(stored_keys)


@kernel
def forget_entry(
    entry: Index,
    values: Words,
    value_parts: Int64s,
    names: Words,
    name_parts: Int64s,
    entries: Words,
    keys: Bytes,
) -> bool:
    """Take an entry out of both indexes and overwrite it and its key with zeros."""
    base = ENTRY * entry
    hashed = name_hash(entries[base + NAME_LOW], entries[base + NAME_HIGH])
    by_value = slot_remove(values, value_parts, entries[base], entry)
    by_name = slot_remove(names, name_parts, hashed, entry)
    for word in range(ENTRY):
        entries[base + word] = 0
    for place in range(KEY):
        keys[KEY * entry + place] = 0
    # no entry has itself for a subject any more: zero would be the first entry
    entries[base + OWNER] = ~np.uint64(0)
    return by_value and by_name
