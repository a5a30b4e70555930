"""Exact sums and ratios, rounded once to the nearest float (ties to even).

Three sizes of number meet here:

* words of 128 bits, as a signed high and an unsigned low word (both carried as int64), in which
  running sums of integers are held;
* *limbs*: arrays of digits to the base 2 ** 32, lowest first, for the numerators and denominators
  of means and variances, whatever their size;
* *float accumulators*: limbs as wide as the whole range of a float (and of its square), into which
  every float goes exactly, so that no order of adding can change the sum (U. Kulisch, *Computer
  Arithmetic and Validity*, 2008, "complete arithmetic").

Every function gives the exact result rounded once, or says otherwise. They are kernels over a
`Workspace`, which the caller makes once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from headrace.core.compiled import as_bits, as_float, inner_kernel, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Limbs for the work of one rounding: `workspace()` makes it.
Workspace: TypeAlias = "NDArray[np.int64]"

#: Limbs that hold any sum of floats in units of 2 ** -1074, and of their squares in 2 ** -2148.
SUM_LIMBS = 72
SQUARES_LIMBS = 144

#: Limbs of a row of a workspace.
WIDTH = 2 * SQUARES_LIMBS + 24
_LIMB = 0xFFFFFFFF
_EXACT = 1 << 53  # integers up to here are floats
_TENS = np.array([10**k for k in range(19)], dtype=np.int64)


def workspace() -> Workspace:
    """Room for the limbs of one rounding; rows are numerator, denominator, remainder, two sums."""
    return np.zeros((6, WIDTH), dtype=np.int64)


@inner_kernel
def _signed(word: np.uint64) -> int:
    """The signed integer of the same 64 bits."""
    signed: int = np.int64(word)  # type: ignore[assignment]  # integers are of one kind in a kernel
    return signed


@kernel
def add_wide(high: int, low: int, more_high: int, more_low: int) -> tuple[int, int]:
    """The sum of two 128-bit integers, modulo 2 ** 128.

    Unsigned: compiled code may assume that signed numbers never overflow.
    """
    total = np.uint64(low) + np.uint64(more_low)
    carry = np.uint64(1 if total < np.uint64(low) else 0)
    return _signed(np.uint64(high) + np.uint64(more_high) + carry), _signed(total)


@kernel
def subtract_wide(high: int, low: int, less_high: int, less_low: int) -> tuple[int, int]:
    """The difference of two 128-bit integers, modulo 2 ** 128."""
    borrow = np.uint64(1 if np.uint64(low) < np.uint64(less_low) else 0)
    above = np.uint64(high) - np.uint64(less_high) - borrow
    return _signed(above), _signed(np.uint64(low) - np.uint64(less_low))


@kernel
def multiply_wide(a: int, b: int) -> tuple[int, int]:
    """The exact product of two signed 64-bit integers, of 128 bits."""
    a_low, a_high = a & _LIMB, a >> 32
    b_low, b_high = b & _LIMB, b >> 32
    lowest = np.uint64(a_low) * np.uint64(b_low)
    middle = int(a_high * b_low + np.int64(lowest >> np.uint64(32)))
    cross = a_low * b_high + (middle & _LIMB)
    below = _signed(np.uint64(a) * np.uint64(b))
    return a_high * b_high + (middle >> 32) + (cross >> 32), below


@inner_kernel
def divide_wide(high: int, low: int, divisor: int) -> tuple[int, int, int]:
    """A non-negative 128-bit integer over a divisor below 2 ** 31: quotient, remainder."""
    rest = high >> 32
    first = rest // divisor
    rest = ((rest % divisor) << 32) | (high & _LIMB)
    second = rest // divisor
    rest = ((rest % divisor) << 32) | ((low >> 32) & _LIMB)
    third = rest // divisor
    rest = ((rest % divisor) << 32) | (low & _LIMB)
    return (first << 32) | second, (third << 32) | (rest // divisor), rest % divisor


@kernel
def rounded_product(a: int, b: int, digits: int) -> tuple[int, bool]:
    """`a * b / 10 ** digits` to the nearest integer, ties to even, and whether it fits 64 bits.

    >>> rounded_product(25, 1, 1), rounded_product(-35, 1, 1), rounded_product(7, 3, -2)
    ((2, True), (-4, True), (2100, True))
    """
    high, low = multiply_wide(a, b)
    negative = high < 0
    if negative:
        high, low = subtract_wide(0, 0, high, low)
    while digits < 0:
        if high >= 1 << 59:
            return 0, False
        top, carried = multiply_wide(low & _LIMB, 10)[1], multiply_wide((low >> 32) & _LIMB, 10)[1]
        high, low = add_wide(high * 10 + (carried >> 32), carried << 32, 0, top)
        digits += 1
    inexact = False
    while digits > 9:
        high, low, rest = divide_wide(high, low, 1_000_000_000)
        inexact = inexact or rest != 0
        digits -= 9
    if digits:
        tens = _TENS[digits]
        high, low, rest = divide_wide(high, low, tens)
        if 2 * rest > tens or (2 * rest == tens and (inexact or low & 1)):
            high, low = add_wide(high, low, 0, 1)
    fits = high == 0 and low >= 0
    return -low if negative else low, fits


@inner_kernel
def _length(limbs: NDArray[np.int64], longest: int) -> int:
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
        limbs[i + whole] = ((limbs[i] << part) | below) & _LIMB
    for i in range(whole):
        limbs[i] = 0
    return _length(limbs, length + 1 + whole)


@inner_kernel
def _multiply_small(limbs: NDArray[np.int64], length: int, factor: int) -> int:
    """`limbs *= factor` for a factor below 2 ** 31, in place; the new length."""
    carry = 0
    for i in range(length):
        product = limbs[i] * factor + carry
        limbs[i] = product & _LIMB
        carry = product >> 32
    limbs[length] = carry
    return length + 1 if carry else length


@inner_kernel
def _from_words(high: int, low: int, limbs: NDArray[np.int64]) -> int:
    """Put a non-negative 128-bit integer into limbs; their length."""
    limbs[0] = low & _LIMB
    limbs[1] = (low >> 32) & _LIMB
    limbs[2] = high & _LIMB
    limbs[3] = (high >> 32) & _LIMB
    return _length(limbs, 4)


@inner_kernel
def _times_ten(limbs: NDArray[np.int64], length: int, digits: int) -> int:
    """`limbs *= 10 ** digits`, in place; the new length."""
    while digits > 0:
        step = min(digits, 9)
        length = _multiply_small(limbs, length, _TENS[step])
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
        numerator[i] = _signed(digit)
    # of the quotient's bits, 62 at least, the first 63
    length = _length(numerator, length)
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
def _over_limbs(work: Workspace, length: int, below: int, exponent: int) -> float:
    """Row 0 over row 1 as `_quotient` has it, where row 0 is not 0: a long division."""
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
        rest[i] = ((numerator[i + whole] >> part) | (above << (32 - part))) & _LIMB
    for step in range(start, -1, -1):
        if step < start:
            _shift_up_one(rest, below + 1)
            rest[0] |= (numerator[step >> 5] >> (step & 31)) & 1
        quotient <<= 1
        if _at_least(rest, denominator, below):
            _subtract(rest, denominator, below)
            quotient |= 1
    return _round(quotient, _length(rest, below + 1) > 0, exponent - shift)


@inner_kernel
def _quotient(work: Workspace, length: int, below: int, exponent: int) -> float:
    """Row 0 over row 1, times 2 ** exponent, rounded once; destroys both rows."""
    numerator = work[0]
    length = _length(numerator, length)
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
        limbs[i] = limb & _LIMB
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
        a[i] = limb & _LIMB
        borrow = limb >> 32
    a[length] += borrow


@kernel
def ratio(high: int, low: int, count: int, scale: int, work: Workspace) -> float:
    """A signed 128-bit integer over `count * 10 ** scale`, rounded once; count is positive.

    >>> ratio(0, 10, 3, 0, workspace()), ratio(-1, -1, 1, 2, workspace())
    (3.3333333333333335, -0.01)
    """
    if high == low >> 63 and -_EXACT <= low <= _EXACT and scale <= 15 and count <= _EXACT:
        tens = _TENS[scale]
        if count <= _EXACT // tens:
            # both are floats, and IEEE division rounds once
            return float(low) / float(count * tens)
    negative = high < 0
    if negative:
        high, low = subtract_wide(0, 0, high, low)
    length = _from_words(high, low, work[0])
    below = _times_ten(work[1], _from_words(0, count, work[1]), scale)
    value = _quotient(work, length, below, 0)
    return -value if negative else value


@kernel
def variance(  # noqa: PLR0917 - a kernel takes its arguments by position
    count: int,
    sum_high: int,
    sum_low: int,
    squares_high: int,
    squares_low: int,
    scale: int,
    work: Workspace,
) -> float:
    """The sample variance from a count above 1, an exact sum and an exact sum of squares.

    `(n * squares - sum * sum) / (n * (n - 1) * 10 ** (2 * scale))`, rounded once. The squares are
    unsigned words.

    >>> variance(2, 0, 3, 0, 5, 0, workspace())
    0.5
    """
    pairs = count * (count - 1)
    if squares_high == 0 and 0 <= squares_low < 1 << 40 and count < 1 << 13:
        # by Cauchy's inequality the square of the sum is at most n * squares
        above = count * squares_low - sum_low * sum_low
        if scale <= 7 and pairs <= _EXACT // _TENS[2 * scale]:
            return float(above) / float(pairs * _TENS[2 * scale])
    if sum_high < 0:
        sum_high, sum_low = subtract_wide(0, 0, sum_high, sum_low)
    numerator, root, square = work[0], work[3], work[4]
    length = _from_words(squares_high, squares_low, numerator)
    length = _multiply_small(numerator, length, count)
    squared = _square(root, _from_words(sum_high, sum_low, root), square)
    _take_away(numerator, length, square, squared)
    below = _times_ten(work[1], _from_words(0, pairs, work[1]), 2 * scale)
    return _quotient(work, length, below, 0)


@inner_kernel
def _square(limbs: NDArray[np.int64], length: int, out: NDArray[np.int64]) -> int:
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
            out[i + j] = np.int64(product & np.uint64(_LIMB))
            carry = product >> np.uint64(32)
        out[i + length] = np.int64(carry)
    return _length(out, 2 * length)


@inner_kernel
def _take_away(a: NDArray[np.int64], length: int, b: NDArray[np.int64], less: int) -> None:
    """`a -= b`, where a is at least b."""
    borrow = 0
    for i in range(length):
        limb = a[i] - (b[i] if i < less else 0) + borrow
        a[i] = limb & _LIMB
        borrow = limb >> 32


@kernel
def clear_sums(work: Workspace) -> None:
    """Begin exact sums of floats and of their squares."""
    for i in range(SUM_LIMBS):
        work[3, i] = 0
    for i in range(SQUARES_LIMBS):
        work[5, i] = 0


@kernel
def add_float(bits: int, work: Workspace) -> None:
    """Add the finite float of these bits to the sum, exactly; at most 2 ** 29 between clearings."""
    exponent = (bits >> 52) & 0x7FF
    mantissa = bits & 0xFFFFFFFFFFFFF
    if exponent:
        mantissa |= 0x10000000000000
        exponent -= 1
    limb, shift = exponent >> 5, exponent & 31
    low = np.uint64(mantissa & _LIMB) << np.uint64(shift)
    high = (mantissa >> 32) << shift
    first = np.int64(low & np.uint64(_LIMB))
    second = np.int64(low >> np.uint64(32)) + (high & _LIMB)
    third = high >> 32
    if bits < 0:
        first, second, third = -first, -second, -third
    work[3, limb] += first
    work[3, limb + 1] += second
    work[3, limb + 2] += third


@kernel
def add_square(bits: int, sign: int, work: Workspace) -> None:
    """Add the square of the finite float of these bits, or take it away, exactly.

    Args:
        bits: Of the float.
        sign: 1 to add, -1 to take away.
        work: With the sum of squares.
    """
    exponent = (bits >> 52) & 0x7FF
    mantissa = bits & 0xFFFFFFFFFFFFF
    if exponent:
        mantissa |= 0x10000000000000
        exponent -= 1
    limb, shift = (2 * exponent) >> 5, (2 * exponent) & 31
    high, low = multiply_wide(mantissa, mantissa)
    for piece in range(4):
        word = low if piece < 2 else high
        digit = np.uint64((word >> (32 * (piece & 1))) & _LIMB) << np.uint64(shift)
        work[5, limb + piece] += sign * np.int64(digit & np.uint64(_LIMB))
        work[5, limb + piece + 1] += sign * np.int64(digit >> np.uint64(32))


@kernel
def copy_sums(work: Workspace, into: Workspace) -> None:
    """Copy exact sums of floats and of their squares, as what reads them destroys them."""
    for i in range(SUM_LIMBS):
        into[3, i] = work[3, i]
    for i in range(SQUARES_LIMBS):
        into[5, i] = work[5, i]


@inner_kernel
def _settle(limbs: NDArray[np.int64], length: int) -> bool:
    """Carry, and make the magnitude of what was summed; whether it was negative."""
    carry = 0
    for i in range(length):
        limb = limbs[i] + carry
        limbs[i] = limb & _LIMB
        carry = limb >> 32
    if carry >= 0:
        return False
    carry = 1
    for i in range(length):
        limb = (limbs[i] ^ _LIMB) + carry
        limbs[i] = limb & _LIMB
        carry = limb >> 32
    return True


@kernel
def float_ratio(count: int, work: Workspace) -> float:
    """The sum of the floats added, over a positive count, rounded once (1 gives the sum)."""
    negative = _settle(work[3], SUM_LIMBS)
    length = _length(work[3], SUM_LIMBS)
    for i in range(length):
        work[0, i] = work[3, i]
    value = _quotient(work, length, _from_words(0, count, work[1]), -1074)
    return -value if negative else value


@kernel
def float_variance(count: int, work: Workspace) -> float:
    """The sample variance of the count of floats added with their squares, rounded once."""
    _settle(work[3], SUM_LIMBS)
    _settle(work[5], SQUARES_LIMBS)
    length = _length(work[5], SQUARES_LIMBS)
    for i in range(length):
        work[0, i] = work[5, i]
    length = _multiply_small(work[0], length, count)
    squared = _square(work[3], _length(work[3], SUM_LIMBS), work[4])
    _take_away(work[0], length, work[4], squared)
    return _quotient(work, length, _from_words(0, count * (count - 1), work[1]), -2148)
