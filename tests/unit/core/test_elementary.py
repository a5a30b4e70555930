"""The elementary functions against arithmetic of 60 digits."""

import math
import random
from decimal import Decimal, getcontext, localcontext

import pytest

from headrace.core import elementary

getcontext().prec = 60
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628621")


def ulps(found: float, exact: Decimal) -> float:
    """The distance between them in units in the last place of the exact value."""
    nearest = float(exact)
    if math.isinf(nearest) or math.isinf(found):
        return 0.0 if nearest == found else math.inf
    unit = Decimal(math.ulp(nearest))
    return float(abs(Decimal(found) - exact) / unit)


def sine_of(x: Decimal) -> Decimal:
    with localcontext() as context:
        context.prec = 80
        x = x - (x / (2 * PI)).to_integral_value() * 2 * PI
        term, total, n = x, x, 1
        while abs(term) > Decimal(10) ** -75:
            term = -term * x * x / ((n + 1) * (n + 2))
            total += term
            n += 2
        return Decimal(+total)


def arctangent_of(x: Decimal) -> Decimal:
    with localcontext() as context:
        context.prec = 80
        doublings = 0
        while abs(x) > Decimal("0.01"):
            x = x / (1 + (1 + x * x).sqrt())
            doublings += 1
        term, total, n = x, x, 1
        while abs(term) > Decimal(10) ** -75:
            term = -term * x * x
            n += 2
            total += term / n
        return Decimal(total * 2**doublings)


def spread(seed: int, low: float, high: float, count: int) -> list[float]:
    """Numbers over many magnitudes between the powers of two `low` and `high`."""
    drawn = random.Random(seed)
    return [drawn.uniform(1, 2) * 2.0 ** drawn.uniform(low, high) for _ in range(count)]


def test_exp_is_within_one_unit() -> None:
    inputs = spread(1, -60, 9.4, 3000)
    for x in [*inputs, *(-x for x in inputs)]:
        if -708 < x < 709.7:
            assert ulps(elementary.exp(x), Decimal(x).exp()) <= 1


def test_exp_reaches_the_ends_of_the_range() -> None:
    assert elementary.exp(710.0) == math.inf
    assert elementary.exp(-746.0) == 0.0
    assert math.isnan(elementary.exp(math.nan))
    for x in (-745.13, -744.0, -720.5, -708.4, 709.78):
        assert ulps(elementary.exp(x), Decimal(x).exp()) <= 1


@pytest.mark.parametrize(("low", "high"), [(-1074, 1023), (-2, 2), (-0.01, 0.01), (-1e-9, 1e-9)])
def test_log_is_within_one_unit(low: float, high: float) -> None:
    drawn = random.Random(3)
    for _ in range(2000):
        x = 2.0 ** drawn.uniform(low, high)
        assert ulps(elementary.log(x), Decimal(x).ln()) <= 1


def test_log_of_what_has_none() -> None:
    assert elementary.log(0.0) == -math.inf
    assert math.isnan(elementary.log(-1.0))
    assert math.isnan(elementary.log(math.nan))
    assert elementary.log(math.inf) == math.inf


def test_log1p_is_within_one_unit() -> None:
    inputs = spread(4, -70, 200, 2000)
    for x in [
        *inputs,
        *(-x for x in inputs if x < 1),
        -1 + 2.0**-53,
        2.0**-53,
        2.0**-52,
        -(2.0**-54),
    ]:
        assert ulps(elementary.log1p(x), (1 + Decimal(x)).ln()) <= 1
    assert elementary.log1p(-1.0) == -math.inf
    assert math.isnan(elementary.log1p(-1.5))


def test_power_is_within_one_unit() -> None:
    drawn = random.Random(5)
    for _ in range(4000):
        x = 2.0 ** drawn.uniform(-40, 40)
        y = drawn.uniform(-30, 30)
        with localcontext() as context:
            context.prec = 60
            exact = (Decimal(x).ln() * Decimal(y)).exp()
        if 1e-300 < exact < Decimal("1e300"):
            assert ulps(elementary.power(x, y), exact) <= 1


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (0.0, 2.0),
        (0.0, -2.0),
        (-0.0, 3.0),
        (-2.0, 3.0),
        (-2.0, 2.0),
        (5.0, 0.0),
        (math.nan, 0.0),
        (1.0, math.nan),
        (math.inf, 2.0),
        (math.inf, -1.0),
        (-math.inf, 3.0),
        (2.0, math.inf),
        (2.0, -math.inf),
        (0.5, math.inf),
        (2.0, 1e30),
        (1.0, math.inf),
        (2.0, 1024.0),
        (2.0, -1074.0),
        (2.0, -1080.0),
        (-1.0, math.inf),
        (-0.5, 1e25),
        (-1.0, 1e25),
    ],
)
def test_power_has_the_special_values_of_c(x: float, y: float) -> None:
    try:
        expected = math.pow(x, y)
    except (ValueError, OverflowError):
        expected = math.inf
    found = elementary.power(x, y)
    assert (math.isnan(found) and math.isnan(expected)) or found == expected
    assert math.copysign(1, found) == math.copysign(1, expected) or math.isnan(expected)


def test_power_of_a_negative_number_to_a_part_is_no_number() -> None:
    assert math.isnan(elementary.power(-2.0, 0.5))


def test_sigmoid_is_within_two_units() -> None:
    inputs = spread(6, -60, 9, 2000)
    for x in [0.0, *inputs, *(-x for x in inputs)]:
        exact = 1 / (1 + (-Decimal(x)).exp())
        if exact > Decimal("1e-300"):
            assert ulps(elementary.sigmoid(x), exact) <= 2
    assert elementary.sigmoid(-1000.0) == 0.0
    assert elementary.sigmoid(1000.0) == 1.0


def test_sine_and_cosine_are_within_one_unit() -> None:
    inputs = spread(7, -60, 3, 1500) + spread(8, 0, 16, 500)
    for x in [*inputs, *(-x for x in inputs), math.pi, math.pi / 2, math.pi / 4]:
        assert ulps(elementary.sine(x), sine_of(Decimal(x))) <= 1
        assert ulps(elementary.cosine(x), sine_of(Decimal(x) + PI / 2)) <= 1


def test_arctangent_is_within_one_unit() -> None:
    for x in [*spread(9, -60, 60, 3000), *spread(10, -4, 4, 3000), 1.0, 0.0, 1e300]:
        assert ulps(elementary.arctangent(x), arctangent_of(Decimal(x))) <= 1
        assert elementary.arctangent(-x) == -elementary.arctangent(x)


def test_great_circle_is_within_its_bound() -> None:
    drawn = random.Random(11)
    degree = PI / 180
    for _ in range(500):
        a, b = drawn.uniform(-90, 90), drawn.uniform(-180, 180)
        near = drawn.choice([1e-4, 1e-2, 1.0, 60.0])
        c, d = a + drawn.uniform(-near, near), b + drawn.uniform(-near, near)
        across = sine_of((Decimal(c) - Decimal(a)) * degree / 2)
        along = sine_of((Decimal(d) - Decimal(b)) * degree / 2)
        cosines = sine_of(Decimal(a) * degree + PI / 2) * sine_of(Decimal(c) * degree + PI / 2)
        h = across**2 + cosines * along**2
        angle = arctangent_of((h / (1 - h)).sqrt())
        exact = 2 * Decimal(elementary.EARTH_RADIUS_KM) * angle
        found = elementary.great_circle(a, b, c, d)
        if exact > Decimal("0.001"):
            # rounding the differences of two coordinates is part of the error near a place
            slack = 4 + float(Decimal(200) * max(abs(Decimal(a)), abs(Decimal(b))) / exact)
            assert ulps(found, exact) <= slack


def test_great_circle_to_the_other_side() -> None:
    half = elementary.great_circle(0.0, 0.0, 0.0, 180.0)
    assert half == pytest.approx(math.pi * elementary.EARTH_RADIUS_KM, rel=1e-15)
    assert elementary.great_circle(10.0, 20.0, 10.0, 20.0) == 0.0
