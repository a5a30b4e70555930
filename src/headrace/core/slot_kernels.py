"""The slots of a hash table that grows a piece at a time.

A slot is one word: 28 bits of the entry's hash (the tag) over a 36-bit reference plus one; 0 is an
empty slot. What a reference means, and whether an entry is the one looked for, is its table's
affair. The slots are split into 256 parts by the hash's highest byte. A part doubles by itself, so
that nobody waits while the whole table is laid out anew, and the parts double one after the other:
each has its own load at which it does (from 3/8 to 3/4), so they don't all come due together.

`parts` holds three numbers for each part (where it starts in the pool, its slots less one, how
many are taken), then `SPARE`: for each power of two, a list of regions that parts grew out of,
linked through their first word, and, last, how much of the pool was ever given out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from headrace.core.compiled import inner_kernel, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Int64s
    from headrace.core.siphash import Index

PARTS = 256
SPARE = 3 * PARTS
TOP = SPARE + 64
FIRST_SIZE = 16

_PART_SHIFT = np.uint64(56)
_REFERENCE_BITS = np.uint64(36)
_REFERENCES = np.uint64((1 << 36) - 1)
_TAGS = np.uint64((1 << 28) - 1)
_EMPTY = np.uint64(0)


def _prefetcher() -> Any:
    """The intrinsic behind `prefetch`."""

    @intrinsic
    def prefetch(typing_context: Any, address: Any) -> Any:  # noqa: ARG001 - numba's calling form
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
            pointer_type = ir.IntType(8).as_pointer()
            word = ir.IntType(32)
            shape = ir.FunctionType(ir.VoidType(), [pointer_type, word, word, word])
            instruction = builder.module.declare_intrinsic("llvm.prefetch", [pointer_type], shape)
            pointer = builder.inttoptr(arguments[0], pointer_type)
            builder.call(instruction, [pointer, word(0), word(3), word(1)])
            return context.get_dummy_value()

        return types.none(types.intp), generate

    return prefetch


#: In a kernel: begin to bring the cache line at this address nearer.
prefetch = _prefetcher()


@kernel
def slots_begin(parts: Int64s) -> None:
    """Lay out the empty parts at the beginning of the pool (whose memory is zero)."""
    for part in range(PARTS):
        parts[3 * part] = part * FIRST_SIZE
        parts[3 * part + 1] = FIRST_SIZE - 1
        parts[3 * part + 2] = 0
    for size in range(64):
        parts[SPARE + size] = -1
    parts[TOP] = PARTS * FIRST_SIZE


@inner_kernel
def slot_seek(parts: Int64s, hashed: np.uint64) -> tuple[Index, Index, Index, np.uint64]:
    """Where to look for a hash: the part's start, its mask, the first place, and the tag."""
    part = np.int64(hashed >> _PART_SHIFT)
    tag = hashed & _TAGS
    mask = parts[3 * part + 1]
    return parts[3 * part], mask, np.int64(tag) & mask, tag


@inner_kernel
def slot_tag(slot: np.uint64) -> np.uint64:
    """The tag in a slot."""
    return slot >> _REFERENCE_BITS


@inner_kernel
def slot_reference(slot: np.uint64) -> Index:
    """The reference in a slot; -1 in an empty one."""
    return np.int64(slot & _REFERENCES) - np.int64(1)


@kernel
def _place(
    pool: NDArray[np.uint64], start: Index, mask: Index, tag: np.uint64, slot: np.uint64
) -> None:
    """Put a slot at the first free place from its own on."""
    place = np.int64(tag) & mask
    while pool[start + place] != _EMPTY:
        place = (place + 1) & mask
    pool[start + place] = slot


@kernel
def _room(pool: NDArray[np.uint64], parts: Int64s, size: Index) -> Index:
    """The start of `size` empty slots, a power of two; -1 when the pool is used up."""
    exponent = 0
    while (1 << exponent) < size:
        exponent += 1
    start = np.int64(parts[SPARE + exponent])
    if start >= 0:
        parts[SPARE + exponent] = np.int64(pool[start]) - np.int64(1)
        pool[start] = _EMPTY
        return start
    start = np.int64(parts[TOP])
    if start + size > len(pool):
        return np.int64(-1)
    parts[TOP] = start + size
    return start


@inner_kernel
def _double(pool: NDArray[np.uint64], parts: Int64s, part: Index) -> bool:
    """Lay a part out anew in twice its room; False when the pool is used up."""
    old, mask = parts[3 * part], parts[3 * part + 1]
    size = 2 * (mask + 1)
    start = _room(pool, parts, size)
    if start < 0:
        return False
    for place in range(old, old + mask + 1):
        slot = pool[place]
        if slot != _EMPTY:
            _place(pool, start, size - 1, slot >> _REFERENCE_BITS, slot)
            pool[place] = _EMPTY
    exponent = 0
    while (1 << exponent) < mask + 1:
        exponent += 1
    pool[old] = np.uint64(parts[SPARE + exponent] + 1)
    parts[SPARE + exponent] = old
    parts[3 * part] = start
    parts[3 * part + 1] = size - 1
    return True


@kernel
def slot_put(pool: NDArray[np.uint64], parts: Int64s, hashed: np.uint64, reference: Index) -> bool:
    """Add an entry that is not there yet; False, and nothing added, when the pool is used up."""
    part = np.int64(hashed >> _PART_SHIFT)
    size = parts[3 * part + 1] + 1
    if (parts[3 * part + 2] + 1) * 2 * PARTS * 4 > size * 3 * (PARTS + part) and not _double(
        pool, parts, part
    ):
        return False
    tag = hashed & _TAGS
    slot = (tag << _REFERENCE_BITS) | np.uint64(reference + 1)
    _place(pool, parts[3 * part], parts[3 * part + 1], tag, slot)
    parts[3 * part + 2] += 1
    return True


@kernel
def slot_remove(
    pool: NDArray[np.uint64], parts: Int64s, hashed: np.uint64, reference: Index
) -> bool:
    """Take the entry with this hash and reference out; False when it is not there.

    Those behind it move up, so that no trace is left to be walked over.
    """
    start, mask, place, tag = slot_seek(parts, hashed)
    wanted = (tag << _REFERENCE_BITS) | np.uint64(reference + 1)
    while pool[start + place] != wanted:
        if pool[start + place] == _EMPTY:
            return False
        place = (place + 1) & mask
    ahead = place
    while True:
        ahead = (ahead + 1) & mask
        slot = pool[start + ahead]
        if slot == _EMPTY:
            break
        home = np.int64(slot >> _REFERENCE_BITS) & mask
        # it may move to `place` unless its own place lies after it, on the way round
        if ((ahead - home) & mask) >= ((ahead - place) & mask):
            pool[start + place] = slot
            place = ahead
    pool[start + place] = _EMPTY
    parts[3 * np.int64(hashed >> _PART_SHIFT) + 2] -= 1
    return True
