"""SHA-256 (FIPS 180-4) inside kernels: by the machine's libcrypto, or by arithmetic of our own.

`digest_at` hashes bytes at an address with the GIL released. Where the addresses of libcrypto's
`SHA256_Update` and `SHA256_Transform` are given, they do the compression (with the processor's SHA
instructions); padding is done here, since their `Final` costs as much as a block. Where they are
not (zeros), the compression is arithmetic. The results are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.compiled import allocating_kernel, inner_kernel, load_i32
from headrace.core.memory import (
    call_2,
    call_3,
    copy_bytes,
    store_i64,
    store_u8,
    store_u32,
    swap_u32,
)

if TYPE_CHECKING:
    from headrace.core.columns import Bytes, Int64s

#: Bytes that `digest_at` works in: libcrypto's SHA256_CTX (h[8], two counts, 64 bytes, two words:
#: 112 bytes), from 128 on two blocks of padding, from 256 on the schedule of 64 words.
WORKSPACE = 512

_START = np.array(
    [
        0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
        0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
    ],
    dtype=np.uint32,
)  # fmt: skip
_ROUNDS = np.array(
    [
        0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5,
        0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
        0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3,
        0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
        0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC,
        0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
        0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7,
        0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
        0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13,
        0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
        0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3,
        0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
        0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5,
        0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
        0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208,
        0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
    ],
    dtype=np.int64,
)  # fmt: skip


@inner_kernel
def _load_u32(address: int) -> int:
    """The four bytes at an address as an unsigned number."""
    return int(load_i32(address)) & 0xFFFFFFFF


@inner_kernel
def _rotated(word: int, by: int) -> int:
    """A 32-bit word rotated to the right."""
    return ((word >> by) | (word << (32 - by))) & 0xFFFFFFFF


@inner_kernel
def compress(state: int, block: int, schedule: int) -> None:
    """FIPS 180-4, 6.2.2: one block of 64 bytes into the eight words at `state`."""
    for t in range(16):
        store_u32(schedule + 4 * t, swap_u32(np.uint32(_load_u32(block + 4 * t))))
    for t in range(16, 64):
        early = _load_u32(schedule + 4 * (t - 15))
        late = _load_u32(schedule + 4 * (t - 2))
        small0 = _rotated(early, 7) ^ _rotated(early, 18) ^ (early >> 3)
        small1 = _rotated(late, 17) ^ _rotated(late, 19) ^ (late >> 10)
        total = (
            small1 + _load_u32(schedule + 4 * (t - 7)) + small0 + _load_u32(schedule + 4 * (t - 16))
        )
        store_u32(schedule + 4 * t, np.uint32(total & 0xFFFFFFFF))
    a, b, c, d = _load_u32(state), _load_u32(state + 4), _load_u32(state + 8), _load_u32(state + 12)
    e, f = _load_u32(state + 16), _load_u32(state + 20)
    g, h = _load_u32(state + 24), _load_u32(state + 28)
    for t in range(64):
        big1 = _rotated(e, 6) ^ _rotated(e, 11) ^ _rotated(e, 25)
        choice = (e & f) ^ ((e ^ 0xFFFFFFFF) & g)
        first: Any = h + big1 + choice + _ROUNDS[t] + _load_u32(schedule + 4 * t)
        big0 = _rotated(a, 2) ^ _rotated(a, 13) ^ _rotated(a, 22)
        second = big0 + ((a & b) ^ (a & c) ^ (b & c))
        h, g, f, e = g, f, e, (d + first) & 0xFFFFFFFF
        d, c, b, a = c, b, a, (first + second) & 0xFFFFFFFF
    for place, word in enumerate((a, b, c, d, e, f, g, h)):
        at = state + 4 * place
        store_u32(at, np.uint32((_load_u32(at) + word) & 0xFFFFFFFF))


@inner_kernel
def digest_at(libcrypto: Int64s, work: int, data: int, length: int, out: int) -> None:
    """SHA-256 of `length` bytes at `data` into the 32 bytes at `out`.

    Args:
        libcrypto: Addresses of SHA256_Update and SHA256_Transform; zeros to do without.
        work: Address of `WORKSPACE` bytes.
        data: Address of the message.
        length: Its bytes.
        out: Address of the digest.
    """
    for place in range(8):
        store_u32(work + 4 * place, _START[place])
    whole = length & ~63
    if libcrypto[0] != 0 and whole > 0:
        store_i64(work + 32, 0)
        store_i64(work + 104, 0)
        call_3(libcrypto[0], work, data, whole)
    tail = work + 128
    rest = length - whole
    end = 64 if rest < 56 else 128
    for at in range(rest & ~7, end, 8):
        store_i64(tail + at, 0)
    copy_bytes(tail, data + whole, rest)
    store_u8(tail + rest, 0x80)
    bits = length * 8
    store_u32(tail + end - 8, swap_u32(np.uint32((bits >> 32) & 0xFFFFFFFF)))
    store_u32(tail + end - 4, swap_u32(np.uint32(bits & 0xFFFFFFFF)))
    for at in range(0 if libcrypto[0] == 0 else whole, whole + end, 64):
        block = data + at if at < whole else tail + at - whole
        if libcrypto[1] == 0:
            compress(work, block, work + 256)
        else:
            call_2(libcrypto[1], work, block)
    for place in range(8):
        store_u32(out + 4 * place, swap_u32(np.uint32(_load_u32(work + 4 * place))))


@allocating_kernel
def digest_rows(libcrypto: Int64s, data: Bytes, offsets: Int64s, out: Bytes) -> None:
    """SHA-256 of every row `data[offsets[i]:offsets[i + 1]]`, into `out` [n, 32]."""
    work = np.empty(WORKSPACE, np.uint8)
    for row in range(len(offsets) - 1):
        digest_at(
            libcrypto,
            work.ctypes.data,
            data.ctypes.data + offsets[row],
            offsets[row + 1] - offsets[row],
            out.ctypes.data + 32 * row,
        )


@allocating_kernel
def write_leaves(libcrypto: Int64s, digests: Bytes, measured: Int64s, leaves: Bytes) -> None:
    """SHA-256(0x00, digest, measured part) of every record, into `leaves` [n, 32]."""
    work = np.empty(WORKSPACE, np.uint8)
    message = np.zeros(41, np.uint8)
    at = message.ctypes.data
    for row in range(len(leaves)):
        copy_bytes(at + 1, digests.ctypes.data + 32 * row, 32)
        store_i64(at + 33, measured[row])
        digest_at(libcrypto, work.ctypes.data, at, 41, leaves.ctypes.data + 32 * row)


@allocating_kernel
def write_tree(libcrypto: Int64s, leaves: Bytes, nodes: Bytes) -> int:
    """Every node above the leaves [n, 32] of a Merkle tree into `nodes`; how many there are.

    A node is SHA-256(0x01, left, right); the odd last one of a level goes up as it is.
    """
    work = np.empty(WORKSPACE, np.uint8)
    pair = np.empty(65, np.uint8)
    pair[0] = 1
    level, size, made = int(np.int64(leaves.ctypes.data)), len(leaves), 0
    while size > 1:
        out = int(np.int64(nodes.ctypes.data)) + 32 * made
        above = out
        for left in range(0, size - 1, 2):
            copy_bytes(pair.ctypes.data + 1, level + 32 * left, 64)
            digest_at(libcrypto, work.ctypes.data, pair.ctypes.data, 65, out)
            out += 32
        if size % 2 == 1:
            copy_bytes(out, level + 32 * (size - 1), 32)
            out += 32
        level, size = above, (size + 1) // 2
        made += size
    return made
