"""Exact sums and ratios, rounded once to the nearest float (ties to even).

Three sizes of number meet here:

* words of 128 bits, as a signed high and an unsigned low word (both carried as int64), in which
  running sums of integers are held;
* limbs (`headrace.core.limbs`), for the numerators and denominators of means and variances,
  whatever their size;
* *float accumulators*: limbs as wide as the whole range of a float (and of its square), into which
  every float goes exactly, so that no order of adding can change the sum (U. Kulisch, *Computer
  Arithmetic and Validity*, 2008, "complete arithmetic").

Every function gives the exact result rounded once, or says otherwise. They are kernels over a
`Workspace`, which the caller makes once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from headrace.core.compiled import inner_kernel, kernel
from headrace.core.limbs import (
    LIMB,
    from_words,
    length_of,
    multiply_small,
    quotient_of,
    square_of,
    take_away,
    times_ten,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Limbs for the work of one rounding: `workspace()` makes it.
Workspace: TypeAlias = "NDArray[np.int64]"

#: Limbs that hold any sum of floats in units of 2 ** -1074, and of their squares in 2 ** -2148.
SUM_LIMBS = 72
SQUARES_LIMBS = 144

#: Limbs of a row of a workspace.
WIDTH = 2 * SQUARES_LIMBS + 24
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
    a_low, a_high = a & LIMB, a >> 32
    b_low, b_high = b & LIMB, b >> 32
    lowest = np.uint64(a_low) * np.uint64(b_low)
    middle = int(a_high * b_low + np.int64(lowest >> np.uint64(32)))
    cross = a_low * b_high + (middle & LIMB)
    below = _signed(np.uint64(a) * np.uint64(b))
    return a_high * b_high + (middle >> 32) + (cross >> 32), below


@inner_kernel
def divide_wide(high: int, low: int, divisor: int) -> tuple[int, int, int]:
    """A non-negative 128-bit integer over a divisor below 2 ** 31: quotient, remainder."""
    rest = high >> 32
    first = rest // divisor
    rest = ((rest % divisor) << 32) | (high & LIMB)
    second = rest // divisor
    rest = ((rest % divisor) << 32) | ((low >> 32) & LIMB)
    third = rest // divisor
    rest = ((rest % divisor) << 32) | (low & LIMB)
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
        top, carried = multiply_wide(low & LIMB, 10)[1], multiply_wide((low >> 32) & LIMB, 10)[1]
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
    length = from_words(high, low, work[0])
    below = times_ten(work[1], from_words(0, count, work[1]), scale)
    value = quotient_of(work, length, below, 0)
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
    length = from_words(squares_high, squares_low, numerator)
    length = multiply_small(numerator, length, count)
    squared = square_of(root, from_words(sum_high, sum_low, root), square)
    take_away(numerator, length, square, squared)
    below = times_ten(work[1], from_words(0, pairs, work[1]), 2 * scale)
    return quotient_of(work, length, below, 0)


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
    low = np.uint64(mantissa & LIMB) << np.uint64(shift)
    high = (mantissa >> 32) << shift
    first = np.int64(low & np.uint64(LIMB))
    second = np.int64(low >> np.uint64(32)) + (high & LIMB)
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
        digit = np.uint64((word >> (32 * (piece & 1))) & LIMB) << np.uint64(shift)
        work[5, limb + piece] += sign * np.int64(digit & np.uint64(LIMB))
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
        limbs[i] = limb & LIMB
        carry = limb >> 32
    if carry >= 0:
        return False
    carry = 1
    for i in range(length):
        limb = (limbs[i] ^ LIMB) + carry
        limbs[i] = limb & LIMB
        carry = limb >> 32
    return True


@kernel
def float_ratio(count: int, work: Workspace) -> float:
    """The sum of the floats added, over a positive count, rounded once (1 gives the sum)."""
    negative = _settle(work[3], SUM_LIMBS)
    length = length_of(work[3], SUM_LIMBS)
    for i in range(length):
        work[0, i] = work[3, i]
    value = quotient_of(work, length, from_words(0, count, work[1]), -1074)
    return -value if negative else value


@kernel
def float_variance(count: int, work: Workspace) -> float:
    """The sample variance of the count of floats added with their squares, rounded once."""
    _settle(work[3], SUM_LIMBS)
    _settle(work[5], SQUARES_LIMBS)
    length = length_of(work[5], SQUARES_LIMBS)
    for i in range(length):
        work[0, i] = work[5, i]
    length = multiply_small(work[0], length, count)
    squared = square_of(work[3], length_of(work[3], SUM_LIMBS), work[4])
    take_away(work[0], length, work[4], squared)
    return quotient_of(work, length, from_words(0, count * (count - 1), work[1]), -2148)
