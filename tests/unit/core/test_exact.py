"""Exact sums and ratios against rationals."""

import math
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core import exact
from headrace.core.compiled import float_bits

WORK = exact.workspace()
SIGNED = st.integers(-(2**63), 2**63 - 1)
WIDE = st.integers(-(2**127) + 1, 2**127 - 1) | st.integers(-(2**70), 2**70)
COUNT = st.integers(1, 2**31 - 1)
SCALE = st.integers(0, 18)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def words(value: int) -> tuple[int, int]:
    """The signed high and low words of a 128-bit integer."""
    high, low = (value >> 64) & (2**64 - 1), value & (2**64 - 1)
    return tuple(int(np.uint64(word).astype(np.int64)) for word in (high, low))  # type: ignore[return-value]  # two of them


def number(pair: tuple[int, int]) -> int:
    return pair[0] * 2**64 + pair[1] % 2**64


def nearest(value: Fraction) -> float:
    """A rational as the nearest float: Python's own division of integers rounds once."""
    try:
        return value.numerator / value.denominator
    except OverflowError:
        return math.inf if value > 0 else -math.inf


@settings(deadline=None)
@given(WIDE, WIDE)
def test_sums_and_differences_are_modulo_two_to_the_128(a: int, b: int) -> None:
    assert (number(exact.add_wide(*words(a), *words(b))) - a - b) % 2**128 == 0
    assert (number(exact.subtract_wide(*words(a), *words(b))) - a + b) % 2**128 == 0


@settings(deadline=None)
@given(SIGNED, SIGNED)
def test_products_are_exact(a: int, b: int) -> None:
    assert number(exact.multiply_wide(a, b)) == a * b


@settings(deadline=None, max_examples=500)
@given(WIDE, COUNT, SCALE)
def test_a_ratio_is_rounded_once(total: int, count: int, scale: int) -> None:
    found = exact.ratio(*words(total), count, scale, WORK)
    assert found == nearest(Fraction(total, count * 10**scale))


@settings(deadline=None, max_examples=300)
@given(st.integers(2**53, 2**61), st.integers(0, 60))
def test_ties_go_to_the_even_float(near: int, shift: int) -> None:
    assert exact.ratio(*words(near << shift), 1, 0, WORK) == float(near << shift)
    assert exact.ratio(*words((2 * near + 1) << shift), 2, 0, WORK) == nearest(
        Fraction((2 * near + 1) << shift, 2)
    )


@settings(deadline=None)
@given(SIGNED, SCALE)
def test_an_integer_is_scaled_once(value: int, scale: int) -> None:
    assert exact.ratio(*words(value), 1, scale, WORK) == nearest(Fraction(value, 10**scale))


@settings(deadline=None, max_examples=400)
@given(
    st.lists(st.integers(-(2**53), 2**53), min_size=2, max_size=20)
    | st.lists(st.integers(-2000, 2000), min_size=2, max_size=20)
    | st.lists(st.integers(2**53 - 9, 2**53), min_size=2, max_size=20),
    st.integers(1, 50_000),
    st.integers(0, 9),
)
def test_variance_is_rounded_once(values: list[int], times: int, scale: int) -> None:
    count = len(values) * times
    total = sum(values) * times
    squares = sum(value * value for value in values) * times
    expected = Fraction(count * squares - total * total, count * (count - 1) * 100**scale)
    found = exact.variance(count, *words(total), *words(squares), scale, WORK)
    assert found == nearest(expected)


@settings(deadline=None, max_examples=300)
@given(st.lists(FINITE, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_sums_of_floats_are_exact_in_any_order(values: list[float], shuffle: object) -> None:
    expected = nearest(sum(map(Fraction, values), Fraction(0)))
    shuffle.shuffle(values)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    exact.clear_sums(WORK)
    for value in values:
        exact.add_float(float_bits(value), WORK)
    assert exact.float_ratio(1, WORK) == expected


@settings(deadline=None, max_examples=400)
@given(
    st.lists(FINITE, min_size=1, max_size=5),
    st.integers(1, 2**40)
    | st.integers(2**32 - 3, 2**32 + 3)
    | st.integers(0, 40).map(lambda n: 2**n),
)
def test_a_sum_of_floats_over_any_count_is_rounded_once(values: list[float], count: int) -> None:
    exact.clear_sums(WORK)
    for value in values:
        exact.add_float(float_bits(value), WORK)
    expected = nearest(sum(map(Fraction, values), Fraction(0)) / count)
    assert exact.float_ratio(count, WORK) == expected


@settings(deadline=None, max_examples=300)
@given(st.lists(FINITE | st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_means_and_variances_of_floats_are_rounded_once(values: list[float]) -> None:
    count = len(values)
    total = sum(map(Fraction, values), Fraction(0))
    squares = sum((Fraction(value) ** 2 for value in values), Fraction(0))
    exact.clear_sums(WORK)
    for value in values:
        exact.add_float(float_bits(value), WORK)
        exact.add_square(float_bits(value), 1, WORK)
    assert exact.float_variance(count, WORK) == nearest(
        (count * squares - total**2) / (count * (count - 1))
    )
    exact.clear_sums(WORK)
    for value in values:
        exact.add_float(float_bits(value), WORK)
    assert exact.float_ratio(count, WORK) == nearest(total / count)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(FINITE | st.floats(-1e6, 1e6), min_size=2, max_size=20),
    st.lists(FINITE, max_size=20),
)
def test_what_is_taken_away_leaves_no_trace(values: list[float], others: list[float]) -> None:
    def moments() -> tuple[float, float]:
        kept = exact.workspace()
        exact.copy_sums(WORK, kept)
        return exact.float_ratio(len(values), WORK), exact.float_variance(len(values), kept)

    exact.clear_sums(WORK)
    for value in values:
        exact.add_float(float_bits(value), WORK)
        exact.add_square(float_bits(value), 1, WORK)
    expected = moments()
    exact.clear_sums(WORK)
    for value in [*others, *values]:
        exact.add_float(float_bits(value), WORK)
        exact.add_square(float_bits(value), 1, WORK)
    for value in others:
        exact.add_float(float_bits(-value), WORK)
        exact.add_square(float_bits(value), -1, WORK)
    assert moments() == expected
