"""exp, log, powers and trigonometry made of + - * / and square roots only.

Libraries' elementary functions differ in their last bits among processors (with FMA, AVX-512, or
another libm), so a value inside a decision never comes from them. These functions use only the
operations that IEEE 754 fixes to the last bit, in a fixed order: every processor gives the same
result. Where more than 53 bits are needed in between, a value is carried as the unevaluated sum of
two floats (Dekker, *A floating-point technique for extending the available precision*, 1971).

Stated bounds (in units in the last place of the exact result, checked by the tests against
arithmetic of 60 digits): `exp`, `log`, `log1p`, `power`, `sine`, `cosine`, `arctangent` 1;
`sigmoid` 2; `great_circle` 4 on distances above a metre.
"""

from __future__ import annotations

import math
from fractions import Fraction

from headrace.core.compiled import as_bits, as_float, inner_kernel, kernel

#: The mean radius of the Earth in kilometres: R1 of GRS 80 (Moritz, 1980).
EARTH_RADIUS_KM = 6371.0088

_SPLIT = 134217729.0  # 2 ** 27 + 1: cuts a float into two halves of 26 bits
_LN2_HEAD = float.fromhex("0x1.62e42fee00000p-1")  # 32 bits: times an exponent, still exact
_LN2_TAIL = float.fromhex("0x1.a39ef35793c76p-33")
_LN2_TAIL_LOW = float.fromhex("0x1.cc01f97b57a08p-87")
_LOG2_E = 1.4426950408889634
_LARGEST_EXP = 709.782712893384  # above, exp is infinite
_SMALLEST_EXP = -745.1332191019412  # below, exp is 0
_SQRT_HALF = 0.7071067811865476
_HALF_PI = 1.5707963267948966
_HALF_PI_LOW = 6.123233995736766e-17
# pi / 2 in three parts: the first two have 33 bits, so their products with a quadrant are exact
_QUARTER_1 = float.fromhex("0x1.921fb54400000p+0")
_QUARTER_2 = float.fromhex("0x1.0b4611a600000p-34")
_QUARTER_3 = float.fromhex("0x1.3198a2e037073p-69")
_DEGREE = math.pi / 180.0


def _arctangents() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """atan(k / 16) for k = 0 to 16 as head and tail, from Euler's series in exact rationals."""
    heads, tails = [], []
    for k in range(17):
        x = Fraction(k, 16)
        total = Fraction(0)
        if k == 16:
            # pi / 4 by Machin's formula converges much faster than the series at 1
            total = 4 * _euler(Fraction(1, 5)) - _euler(Fraction(1, 239))
        elif k:
            total = _euler(x)
        head = total.numerator / total.denominator
        rest = total - Fraction(head)
        heads.append(head)
        tails.append(rest.numerator / rest.denominator)
    return tuple(heads), tuple(tails)


def _euler(x: Fraction) -> Fraction:
    """Atan x = sum of 2 ** 2n (n!) ** 2 / (2n + 1)! * x ** (2n + 1) / (1 + x * x) ** (n + 1)."""
    ratio = x * x / (1 + x * x)
    term = x / (1 + x * x)
    total = term
    digits = 10**45
    n = 0
    while abs(term) > Fraction(1, 10**40):
        n += 1
        term = term * ratio * Fraction(2 * n, 2 * n + 1)
        term = Fraction(round(term * digits), digits)
        total += term
    return total


_ATAN_HEADS, _ATAN_TAILS = _arctangents()


@inner_kernel
def _product(a: float, b: float) -> tuple[float, float]:
    """The exact product as head and tail (Dekker's product with Veltkamp's split)."""
    head = a * b
    scaled = _SPLIT * a
    a_high = scaled - (scaled - a)
    a_low = a - a_high
    scaled = _SPLIT * b
    b_high = scaled - (scaled - b)
    b_low = b - b_high
    tail = ((a_high * b_high - head) + a_high * b_low + a_low * b_high) + a_low * b_low
    return head, tail


@inner_kernel
def _sum(a: float, b: float) -> tuple[float, float]:
    """The exact sum as head and tail (Knuth's two-sum)."""
    head = a + b
    part = head - a
    return head, (a - (head - part)) + (b - part)


@inner_kernel
def _scaled(value: float, exponent: int) -> float:
    """`value * 2 ** exponent`, rounded once; value is near 1."""
    extra = 1.0
    if exponent > 1023:
        exponent -= 1
        extra = 2.0
    elif exponent < -1021:
        exponent += 54
        extra = 5.551115123125783e-17
    scale: float = as_float((exponent + 1023) << 52)
    return value * extra * scale if extra > 1.0 else value * scale * extra


@inner_kernel
def _exp_of(x: float, low: float) -> float:
    """exp(x + low) for a tiny low."""
    if x != x:  # noqa: PLR0124 - the test for NaN
        return x
    if x > _LARGEST_EXP:
        return math.inf
    if x < _SMALLEST_EXP:
        return 0.0
    k = math.floor(x * _LOG2_E + 0.5)
    head = x - k * _LN2_HEAD
    r, tail = _sum(head, -k * _LN2_TAIL)
    r, tail = _sum(r, tail + (low - k * _LN2_TAIL_LOW))
    # Taylor's series of (exp(r) - 1 - r) / r**2 on |r| < 0.347; what is cut off is below 2 ** -58
    p = 1.1470745597729725e-11
    p = p * r + 1.6059043836821613e-10
    p = p * r + 2.08767569878681e-09
    p = p * r + 2.505210838544172e-08
    p = p * r + 2.7557319223985893e-07
    p = p * r + 2.7557319223985893e-06
    p = p * r + 2.48015873015873e-05
    p = p * r + 0.0001984126984126984
    p = p * r + 0.001388888888888889
    p = p * r + 0.008333333333333333
    p = p * r + 0.041666666666666664
    p = p * r + 0.16666666666666666
    p = p * r + 0.5
    one, rest = _sum(1.0, r)
    return _scaled(one + (rest + (tail + (r * tail + r * r * p))), int(k))


@kernel
def exp(x: float) -> float:
    """E to the power x, within 1 ulp; infinite above 709.78, 0 below -745.13.

    >>> exp(0.0), exp(1.0)
    (1.0, 2.718281828459045)
    """
    return _exp_of(x, 0.0)


@inner_kernel
def _near_terms(q: float, z: float, z_low: float) -> tuple[float, float]:
    """Z (1/3 + z (1/5 + z (1/7 + z (1/9 + z q)))) as head and tail."""
    a, a_low = _sum(0.1111111111111111, q * z)
    a_low += 6.1679056923619804e-18
    b, b_low = _product(a, z)
    b_low += a * z_low + a_low * z
    a, a_low = _sum(0.14285714285714285, b)
    a_low += b_low + 7.93016446160826e-18
    b, b_low = _product(a, z)
    b_low += a * z_low + a_low * z
    a, a_low = _sum(0.2, b)
    a_low += b_low - 1.1102230246251566e-17
    b, b_low = _product(a, z)
    b_low += a * z_low + a_low * z
    a, a_low = _sum(0.3333333333333333, b)
    a_low += b_low + 1.850371707708594e-17
    b, b_low = _product(a, z)
    return b, b_low + a * z_low + a_low * z


@inner_kernel
def _log_parts(x: float) -> tuple[float, float]:
    """The natural logarithm of a positive finite x as head and tail, to about 2 ** -70."""
    exponent = 0
    if x < 2.2250738585072014e-308:
        x *= 18014398509481984.0
        exponent = -54
    bits = as_bits(x)
    exponent += (bits >> 52) - 1022
    mantissa = as_float((bits & 0xFFFFFFFFFFFFF) | 0x3FE0000000000000)
    if mantissa < _SQRT_HALF:
        mantissa *= 2.0
        exponent -= 1
    # log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172
    f = mantissa - 1.0
    below, below_low = _sum(2.0, f)
    s = f / below
    product, product_low = _product(s, below)
    s_low = (((f - product) - product_low) - s * below_low) / below
    z, z_low = _product(s, s)
    z_low += 2.0 * s * s_low
    # the far terms as floats: 1/11 + z/13 + ...; what is cut off is below 2 ** -76
    q = 0.034482758620689655
    q = q * z + 0.037037037037037035
    q = q * z + 0.04
    q = q * z + 0.043478260869565216
    q = q * z + 0.047619047619047616
    q = q * z + 0.05263157894736842
    q = q * z + 0.058823529411764705
    q = q * z + 0.06666666666666667
    q = q * z + 0.07692307692307693
    q = q * z + 0.09090909090909091
    b, b_low = _near_terms(q, z, z_low)
    c, c_low = _product(s, b)
    c_low += s * b_low + s_low * b
    head, tail = _sum(s, c)
    tail += c_low + s_low
    head *= 2.0
    tail *= 2.0
    k = float(exponent)
    whole, more = _sum(k * _LN2_HEAD, head)
    part, part_low = _product(k, _LN2_TAIL)
    first, rest = _sum(whole, part)
    return _sum(first, rest + (more + (tail + (part_low + k * _LN2_TAIL_LOW))))


@kernel
def log(x: float) -> float:
    """The natural logarithm, within 1 ulp; NaN below 0, minus infinity at 0.

    >>> log(1.0), log(10.0)
    (0.0, 2.302585092994046)
    """
    if x > 0.0:
        if x == math.inf:
            return x
        head, tail = _log_parts(x)
        return head + tail
    if x == 0.0:
        return -math.inf
    return math.nan


@kernel
def log1p(x: float) -> float:
    """The natural logarithm of 1 + x, within 1 ulp for small x too.

    >>> log1p(1e-20)
    1e-20
    """
    if x > -1.0:
        if x in (math.inf, 0.0):
            return x
        one, rest = _sum(1.0, x)
        if one == 1.0:
            return x - 0.5 * x * x
        head, tail = _log_parts(one)
        head, more = _sum(head, rest / one)
        return head + (tail + more)
    if x == -1.0:
        return -math.inf
    return math.nan


@kernel
def power(x: float, y: float) -> float:  # noqa: PLR0911 - each special value has its line
    """X to the power y, within 1 ulp; of a negative x for whole y only, else NaN.

    >>> power(2.0, 10.0), power(-2.0, 3.0), power(9.0, 0.5)
    (1024.0, -8.0, 3.0)
    """
    if y == 0.0 or x == 1.0:
        return 1.0
    if x != x or y != y:  # noqa: PLR0124 - the test for NaN
        return math.nan
    sign = 1.0
    if as_bits(x) < 0:
        whole = math.floor(y) == y
        if whole and abs(y) < 9007199254740992.0 and math.floor(y * 0.5) * 2.0 != y:
            sign = -1.0
        if not whole and x not in (0.0, -math.inf):
            return math.nan
        x = -x
    if x in (0.0, math.inf):
        return sign * (0.0 if (x == 0.0) == (y > 0.0) else math.inf)
    if abs(y) > 1e20:
        if x == 1.0:
            return sign
        return sign * (math.inf if (x > 1.0) == (y > 0.0) else 0.0)
    head, tail = _log_parts(x)
    if abs(head * y) > 800.0:
        return sign * (math.inf if head * y > 0.0 else 0.0)
    p, p_low = _product(head, y)
    return sign * _exp_of(p, p_low + tail * y)


@kernel
def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)) in double precision, within 2 ulp.

    >>> sigmoid(0.0)
    0.5
    """
    if x >= 0.0:
        return 1.0 / (1.0 + exp(-x))
    grown = exp(x)
    return grown / (1.0 + grown)


@inner_kernel
def _quadrant(x: float) -> tuple[int, float, float]:
    """X less the nearest multiple of pi / 2, as head and tail, and which multiple modulo 4."""
    k = math.floor(x / _HALF_PI + 0.5)
    r, rest = _sum(x - k * _QUARTER_1, -k * _QUARTER_2)
    r, more = _sum(r, -k * _QUARTER_3)
    return int(k) & 3, r, rest + more


@inner_kernel
def _sine_near(x: float, low: float) -> float:
    """sin(x + low) on |x| < 0.79, by Taylor's series."""
    z = x * x
    p = 2.8114572543455206e-15
    p = p * z - 7.647163731819816e-13
    p = p * z + 1.6059043836821613e-10
    p = p * z - 2.505210838544172e-08
    p = p * z + 2.7557319223985893e-06
    p = p * z - 0.0001984126984126984
    p = p * z + 0.008333333333333333
    p = p * z - 0.16666666666666666
    return x + (x * z * p + low * (1.0 - 0.5 * z))


@inner_kernel
def _cosine_near(x: float, low: float) -> float:
    """cos(x + low) on |x| < 0.79, by Taylor's series."""
    z = x * x
    p = 4.779477332387385e-14
    p = p * z - 1.1470745597729725e-11
    p = p * z + 2.08767569878681e-09
    p = p * z - 2.755731922398589e-07
    p = p * z + 2.48015873015873e-05
    p = p * z - 0.001388888888888889
    p = p * z + 0.041666666666666664
    half = 0.5 * z
    one = 1.0 - half
    return one + ((1.0 - one - half) + (z * z * p - x * low))


@kernel
def sine(x: float) -> float:
    """The sine of x radians, |x| up to 1e5, within 1 ulp.

    >>> sine(0.0)
    0.0
    """
    quadrant, r, low = _quadrant(x)
    value = _cosine_near(r, low) if quadrant & 1 else _sine_near(r, low)
    return -value if quadrant & 2 else value


@kernel
def cosine(x: float) -> float:
    """The cosine of x radians, |x| up to 1e5, within 1 ulp.

    >>> cosine(0.0)
    1.0
    """
    quadrant, r, low = _quadrant(x)
    value = _sine_near(r, low) if quadrant & 1 else _cosine_near(r, low)
    return -value if (quadrant + 1) & 2 else value


@kernel
def arctangent(x: float) -> float:
    """The arc tangent of x in radians, within 1 ulp.

    >>> arctangent(1.0) == 3.141592653589793 / 4
    True
    """
    a = abs(x)
    inverted = a > 1.0
    if inverted:
        a, a_low = 1.0 / a, 0.0
        p, p_low = _product(a, abs(x)) if abs(x) < 1e290 else (1.0, 0.0)
        a_low = ((1.0 - p) - p_low) * a
    else:
        a_low = 0.0
    k = int(a * 16.0 + 0.5)
    c = k * 0.0625
    # atan a = atan c + atan t, t = (a - c) / (1 + a c), |t| < 1/32
    below = 1.0 + a * c
    t = (a - c) / below
    head, tail = _product(t, a * c)
    t_low = (((a - c) - t) - head - tail + a_low) / below
    z = t * t
    p = 0.06666666666666667
    p = 0.07692307692307693 - p * z
    p = 0.09090909090909091 - p * z
    p = 0.1111111111111111 - p * z
    p = 0.14285714285714285 - p * z
    p = 0.2 - p * z
    p = 0.3333333333333333 - p * z
    head, rest = _sum(_ATAN_HEADS[k], t)
    rest += (_ATAN_TAILS[k] + t_low) - t * z * p
    if inverted:
        top, more = _sum(_HALF_PI, -head)
        value = top + (more + (_HALF_PI_LOW - rest))
    else:
        value = head + rest
    return -value if as_bits(x) < 0 else value


@kernel
def great_circle(
    latitude: float, longitude: float, to_latitude: float, to_longitude: float
) -> float:
    """Kilometres between two places in degrees, on a sphere of the Earth's mean radius.

    The haversine formula (Sinnott, *Virtues of the haversine*, 1984), which keeps its precision
    for places next to each other.

    >>> round(great_circle(0.0, 0.0, 0.0, 90.0), 3)
    10007.557
    """
    half = _DEGREE * 0.5
    across = sine((to_latitude - latitude) * half)
    along = sine((to_longitude - longitude) * half)
    a = across * across + cosine(latitude * _DEGREE) * cosine(to_latitude * _DEGREE) * along * along
    a = min(a, 1.0)
    if a == 1.0:
        return 2.0 * EARTH_RADIUS_KM * _HALF_PI
    return 2.0 * EARTH_RADIUS_KM * arctangent(math.sqrt(a / (1.0 - a)))
