"""SipHash-2-4: a keyed hash that is short, fast, and cannot be aimed at without its key.

Tables that hash what comes from outside (ids, cards) are attacked by keys made to collide. With a
secret key nobody can make them. The 128-bit form also stands for a text: two different ones have
the same hash with a chance of 2 ** -128.

Source: J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012; the
128-bit form is that of the authors' reference code.

Inside kernels, a state of four words is begun (`sip_start`), takes words (`sip_word`), and gives
one half or both of the hash (`sip_end64`, `sip_end128`). `sip128_at` hashes bytes at an address.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from headrace.core.address import address_of
from headrace.core.compiled import inner_kernel, kernel, load_u8, load_u64

#: An integer as kernels hold it: a literal, or the item of an array.
Index: TypeAlias = int | np.int64
Word: TypeAlias = np.uint64
State: TypeAlias = tuple[Word, Word, Word, Word]

_ROUND_END = np.uint64(0xFF)
_ROUND_END_128 = np.uint64(0xEE)
_SECOND_HALF = np.uint64(0xDD)
_C0 = np.uint64(0x736F6D6570736575)
_C1 = np.uint64(0x646F72616E646F6D)
_C1_128 = np.uint64(0x646F72616E646F6D ^ 0xEE)
_C2 = np.uint64(0x6C7967656E657261)
_C3 = np.uint64(0x7465646279746573)
_13 = np.uint64(13)
_16 = np.uint64(16)
_17 = np.uint64(17)
_21 = np.uint64(21)
_32 = np.uint64(32)
_51 = np.uint64(51)
_48 = np.uint64(48)
_47 = np.uint64(47)
_43 = np.uint64(43)
_56 = np.uint64(56)


@inner_kernel
def sip_round(v0: Word, v1: Word, v2: Word, v3: Word) -> State:
    """One SipRound of the four words of state."""
    v0 = v0 + v1
    v1 = (v1 << _13) | (v1 >> _51)
    v1 = v1 ^ v0
    v0 = (v0 << _32) | (v0 >> _32)
    v2 = v2 + v3
    v3 = (v3 << _16) | (v3 >> _48)
    v3 = v3 ^ v2
    v0 = v0 + v3
    v3 = (v3 << _21) | (v3 >> _43)
    v3 = v3 ^ v0
    v2 = v2 + v1
    v1 = (v1 << _17) | (v1 >> _47)
    v1 = v1 ^ v2
    v2 = (v2 << _32) | (v2 >> _32)
    return v0, v1, v2, v3


@inner_kernel
def sip_start(key0: Word, key1: Word) -> State:
    """The state that a 128-bit hash under this key begins with."""
    return _C0 ^ key0, _C1_128 ^ key1, _C2 ^ key0, _C3 ^ key1


@inner_kernel
def sip_word(v0: Word, v1: Word, v2: Word, v3: Word, word: Word) -> State:
    """Take eight bytes of the message."""
    v3 = v3 ^ word
    v0, v1, v2, v3 = sip_round(v0, v1, v2, v3)
    v0, v1, v2, v3 = sip_round(v0, v1, v2, v3)
    return v0 ^ word, v1, v2, v3


@inner_kernel
def sip_end128(v0: Word, v1: Word, v2: Word, v3: Word) -> tuple[Word, Word]:
    """Both halves of the 128-bit hash, after the last word."""
    v2 = v2 ^ _ROUND_END_128
    for _ in range(4):
        v0, v1, v2, v3 = sip_round(v0, v1, v2, v3)
    low = v0 ^ v1 ^ v2 ^ v3
    v1 = v1 ^ _SECOND_HALF
    for _ in range(4):
        v0, v1, v2, v3 = sip_round(v0, v1, v2, v3)
    return low, v0 ^ v1 ^ v2 ^ v3


@inner_kernel
def tail_word(address: Index, length: Index) -> Word:
    """The last 0 to 7 bytes of `length` at `address`, the rest of the word zero."""
    word = np.uint64(0)
    whole = length & ~7
    for place in range(length - whole):
        word |= np.uint64(load_u8(address + whole + place)) << np.uint64(8 * place)
    return word


@inner_kernel
def sip_bytes(v0: Word, v1: Word, v2: Word, v3: Word, address: Index, length: Index) -> State:
    """Take `length` bytes at `address` and the closing word, which holds the length's last byte."""
    for place in range(0, length & ~7, 8):
        v0, v1, v2, v3 = sip_word(v0, v1, v2, v3, load_u64(address + place))
    last = tail_word(address, length) | (np.uint64(length) << _56)
    return sip_word(v0, v1, v2, v3, last)


@kernel
def sip128_at(address: Index, length: Index, key0: Word, key1: Word) -> tuple[Word, Word]:
    """SipHash-2-4-128 of `length` bytes at `address`: the low and the high half."""
    v0, v1, v2, v3 = sip_start(key0, key1)
    v0, v1, v2, v3 = sip_bytes(v0, v1, v2, v3, address, length)
    return sip_end128(v0, v1, v2, v3)


@kernel
def sip64_at(address: Index, length: Index, key0: Word, key1: Word) -> Word:
    """SipHash-2-4 of `length` bytes at `address`, 64 bits."""
    v0, v1, v2, v3 = _C0 ^ key0, _C1 ^ key1, _C2 ^ key0, _C3 ^ key1
    v0, v1, v2, v3 = sip_bytes(v0, v1, v2, v3, address, length)
    v2 = v2 ^ _ROUND_END
    for _ in range(4):
        v0, v1, v2, v3 = sip_round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


def sip128(message: bytes, key0: int, key1: int) -> tuple[int, int]:
    """SipHash-2-4-128 of one message: the low and the high half.

    >>> [hex(half) for half in sip128(b"", 0x0706050403020100, 0x0F0E0D0C0B0A0908)]
    ['0xe6a825ba047f81a3', '0x930255c71472f66d']
    """
    data = np.frombuffer(message, dtype=np.uint8)
    low, high = sip128_at(address_of(data), len(message), np.uint64(key0), np.uint64(key1))
    return int(low), int(high)
