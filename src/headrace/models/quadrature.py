"""Gauss-Legendre quadrature on the interval from 0 to 1, with the same bits on every machine."""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import cache
from itertools import pairwise

_DIGITS = 40


def _legendre(degree: int, x: Decimal) -> tuple[Decimal, Decimal]:
    """The Legendre polynomial of a degree and its derivative, by the recurrence of Bonnet."""
    below, value = Decimal(1), x
    for n in range(2, degree + 1):
        below, value = value, ((2 * n - 1) * x * value - (n - 1) * below) / n
    return value, degree * (x * value - below) / (x * x - 1)


def _root(degree: int, low: Decimal, high: Decimal) -> Decimal:
    """The one root between two bounds: by halving, then by Newton's method."""
    sign = _legendre(degree, low)[0] > 0
    for _ in range(12):
        middle = (low + high) / 2
        if (_legendre(degree, middle)[0] > 0) == sign:
            low = middle
        else:
            high = middle
    x = (low + high) / 2
    for _ in range(8):
        value, slope = _legendre(degree, x)
        x -= value / slope
    return x


@cache
def gauss_legendre(points: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Points and weights that integrate polynomials up to degree `2 * points - 1` exactly.

    They are computed in decimals of 40 digits and rounded once, so no library's eigenvalues or
    cosines get into them.

    Args:
        points: how many points, at least 1.

    Returns:
        The points in (0, 1), ascending, and their weights, which sum to 1.

    >>> gauss_legendre(2)[1]
    (0.5, 0.5)
    """
    with localcontext() as context:
        context.prec = _DIGITS
        edge = 1 - Decimal(10) ** -30
        roots: list[Decimal] = [Decimal(0)]
        for degree in range(2, points + 1):
            # the roots of one degree lie between those of the degree below
            bounds = [-edge, *roots, edge]
            roots = [_root(degree, low, high) for low, high in pairwise(bounds)]
        weights = []
        for x in roots:
            slope = _legendre(points, x)[1] if points > 1 else Decimal(1)
            weights.append(1 / ((1 - x * x) * slope * slope))
        return (
            tuple(float((1 + x) / 2) for x in roots),
            tuple(float(weight) for weight in weights),
        )
