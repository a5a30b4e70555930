"""Numbers of any size as limbs, and their quotients rounded once to the nearest float.

A limb is a digit to the base 2 ** 32; the lowest comes first. Kernels work in place, in rows that
have room for more limbs than the number has.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.compiled import as_bits, as_float, inner_kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIMB = 0xFFFFFFFF
_TENS = np.array([10**k for k in range(10)], dtype=np.int64)


@inner_kernel
def length_of(limbs: NDArray[np.int64], longest: int) -> int:
    """How many limbs there are up to the highest that is not 0."""
    while longest > 0 and limbs[longest - 1] == 0:
        longest -= 1
    return longest


@inner_kernel
def _bits(limbs: NDArray[np.int64], length: int) -> int:
    """The position after the highest bit set."""
    if length == 0:
        return 0
    # a limb is exact as a float, whose exponent counts its bits
    top: int = as_bits(float(limbs[length - 1]))
    return 32 * (length - 1) + (top >> 52) - 1022


@inner_kernel
def _shift_up(limbs: NDArray[np.int64], length: int, bits: int) -> int:
    """`limbs <<= bits`, in place; the new length."""
    whole, part = bits >> 5, bits & 31
    limbs[length] = 0
    for i in range(length, -1, -1):
        below = limbs[i - 1] >> (32 - part) if i > 0 and part else 0
        limbs[i + whole] = ((limbs[i] << part) | below) & LIMB
    for i in range(whole):
        limbs[i] = 0
    return length_of(limbs, length + 1 + whole)


@inner_kernel
def multiply_small(limbs: NDArray[np.int64], length: int, factor: int) -> int:
    """`limbs *= factor` for a factor below 2 ** 31, in place; the new length."""
    carry = 0
    for i in range(length):
        product = limbs[i] * factor + carry
        limbs[i] = product & LIMB
        carry = product >> 32
    limbs[length] = carry
    return length + 1 if carry else length


@inner_kernel
def from_words(high: int, low: int, limbs: NDArray[np.int64]) -> int:
    """Put a non-negative 128-bit integer into limbs; their length."""
    limbs[0] = low & LIMB
    limbs[1] = (low >> 32) & LIMB
    limbs[2] = high & LIMB
    limbs[3] = (high >> 32) & LIMB
    return length_of(limbs, 4)


@inner_kernel
def times_ten(limbs: NDArray[np.int64], length: int, digits: int) -> int:
    """`limbs *= 10 ** digits`, in place; the new length."""
    while digits > 0:
        step = min(digits, 9)
        length = multiply_small(limbs, length, _TENS[step])
        digits -= step
    return length


@inner_kernel
def _round(quotient: int, inexact: bool, exponent: int) -> float:  # noqa: FBT001 - a kernel takes its arguments by position
    """`(quotient + something in (0, 1) if inexact) * 2 ** exponent`, to the nearest float.

    The quotient has 62 or 63 bits.
    """
    bits = 62 if quotient >> 62 == 0 else 63
    drop = max(bits - 53, -1074 - exponent)
    if drop > 63:
        return 0.0
    kept = quotient >> drop if drop < 63 else 0
    rest = quotient - (kept << drop) if drop < 63 else quotient
    half = np.int64(1) << (drop - 1)
    if rest > half or (rest == half and (inexact or kept & 1)):
        kept += 1
    exponent += drop
    # two exact steps: the float of `kept` is exact, and so is its product, or it is infinite
    if exponent > 971:
        return math.inf
    value = float(kept)
    if exponent < -1022:
        scale: float = as_float((exponent + 1023 + 100) << 52)
        return value * scale * 7.888609052210118e-31
    scale = as_float((exponent + 1023) << 52)
    return value * scale


@inner_kernel
def _over_one_limb(numerator: NDArray[np.int64], length: int, divisor: int, exponent: int) -> float:
    """A numerator over a divisor of one limb, times 2 ** exponent, rounded once; destroys it."""
    width: int = (as_bits(float(divisor)) >> 52) - 1022
    shift = max(62 + width - _bits(numerator, length), 0)
    length = _shift_up(numerator, length, shift)
    rest, by, up = np.uint64(0), np.uint64(divisor), np.uint64(32)
    for i in range(length - 1, -1, -1):
        whole = (rest << up) | np.uint64(numerator[i])
        digit = whole // by
        rest = whole - digit * by
        numerator[i] = np.int64(digit)
    # of the quotient's bits, 62 at least, the first 63
    length = length_of(numerator, length)
    drop = max(_bits(numerator, length) - 63, 0)
    first, part = drop >> 5, drop & 31
    inexact = rest != 0 or numerator[first] & ((1 << part) - 1) != 0
    for i in range(first):
        inexact |= numerator[i] != 0
    quotient = numerator[first] >> part
    for i in range(first + 1, length):
        quotient |= numerator[i] << (32 * (i - first) - part)
    return _round(quotient, inexact, exponent + drop - shift)


@inner_kernel
def _over_limbs(work: NDArray[np.int64], length: int, below: int, exponent: int) -> float:
    """Row 0 over row 1 as `quotient_of` has it, where row 0 is not 0: a long division."""
    numerator, denominator, rest = work[0], work[1], work[2]
    shift = 62 - (_bits(numerator, length) - _bits(denominator, below))
    if shift >= 0:
        length = _shift_up(numerator, length, shift)
    else:
        below = _shift_up(denominator, below, -shift)
    # long division, a bit at a time: the quotient has 62 or 63 of them
    size = below + 3
    for i in range(size):
        rest[i] = 0
    for i in range(length, size):
        numerator[i] = 0
    quotient = 0
    start = max(_bits(numerator, length) - _bits(denominator, below), 0)
    # the rest starts as the numerator's bits above `start`
    whole, part = start >> 5, start & 31
    for i in range(length - whole):
        above = numerator[i + whole + 1] if i + whole + 1 < length else 0
        rest[i] = ((numerator[i + whole] >> part) | (above << (32 - part))) & LIMB
    for step in range(start, -1, -1):
        if step < start:
            _shift_up_one(rest, below + 1)
            rest[0] |= (numerator[step >> 5] >> (step & 31)) & 1
        quotient <<= 1
        if _at_least(rest, denominator, below):
            _subtract(rest, denominator, below)
            quotient |= 1
    return _round(quotient, length_of(rest, below + 1) > 0, exponent - shift)


@inner_kernel
def quotient_of(work: NDArray[np.int64], length: int, below: int, exponent: int) -> float:
    """Row 0 over row 1, times 2 ** exponent, rounded once; destroys both rows."""
    numerator = work[0]
    length = length_of(numerator, length)
    if length == 0:
        return 0.0
    empty = 0
    while numerator[empty] == 0:
        empty += 1
    if empty:
        for i in range(empty, length):
            numerator[i - empty] = numerator[i]
        length -= empty
        exponent += 32 * empty
    if below == 1:
        return _over_one_limb(numerator, length, work[1, 0], exponent)
    return _over_limbs(work, length, below, exponent)


@inner_kernel
def _shift_up_one(limbs: NDArray[np.int64], length: int) -> None:
    """`limbs <<= 1` over a fixed number of limbs."""
    carry = 0
    for i in range(length):
        limb = (limbs[i] << 1) | carry
        limbs[i] = limb & LIMB
        carry = limb >> 32


@inner_kernel
def _at_least(a: NDArray[np.int64], b: NDArray[np.int64], length: int) -> bool:
    """Whether a, which has one limb more, is b or greater."""
    if a[length]:
        return True
    for i in range(length - 1, -1, -1):
        if a[i] != b[i]:
            return bool(a[i] > b[i])
    return True


@inner_kernel
def _subtract(a: NDArray[np.int64], b: NDArray[np.int64], length: int) -> None:
    """`a -= b` where a, which has one limb more, is at least b."""
    borrow = 0
    for i in range(length):
        limb = a[i] - b[i] + borrow
        a[i] = limb & LIMB
        borrow = limb >> 32
    a[length] += borrow


@inner_kernel
def square_of(limbs: NDArray[np.int64], length: int, out: NDArray[np.int64]) -> int:
    """The square into `out`; its length. Low limbs that are 0 cost nothing."""
    for i in range(2 * length + 1):
        out[i] = 0
    first = 0
    while first < length and limbs[first] == 0:
        first += 1
    for i in range(first, length):
        carry = np.uint64(0)
        for j in range(first, length):
            product = np.uint64(limbs[i]) * np.uint64(limbs[j]) + np.uint64(out[i + j]) + carry
            out[i + j] = np.int64(product & np.uint64(LIMB))
            carry = product >> np.uint64(32)
        out[i + length] = np.int64(carry)
    return length_of(out, 2 * length)


@inner_kernel
def take_away(a: NDArray[np.int64], length: int, b: NDArray[np.int64], less: int) -> None:
    """`a -= b`, where a is at least b."""
    borrow = 0
    for i in range(length):
        limb = a[i] - (b[i] if i < less else 0) + borrow
        a[i] = limb & LIMB
        borrow = limb >> 32
