"""Exact numbers: decimal digits and binary floats become integers of a unit, or are refused.

An amount never goes through a binary float on its way from text: `"12.34"` in cents is 1234 by its
digits. A binary float that a file already holds stands for a unit when, multiplied by the units in
one, it is within 1e-6 of that unit, or when it is the very float nearest to that amount and to no
other (above some 1e8 the gap between floats is itself wider than 1e-6 of a cent).
"""

from __future__ import annotations

import math
import re

from headrace.events.reasons import Reason

_NUMBER = re.compile(r"([+-]?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?", re.ASCII)

#: How far from a whole unit, in units, a binary float may lie.
TOLERANCE = 1e-6

#: More digits than this in an exponent only say "far too large" or "far too small".
_LONGEST_EXPONENT = 9

#: More digits than this before the last are beyond any limit of 64 bits.
_LONGEST_INTEGER = 19


class Refused(Exception):
    """A value is not accepted, for `reason`."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.text)


def is_number(text: str) -> bool:
    """Whether `text` is a decimal number: sign, digits, fraction and exponent, and nothing else.

    >>> [is_number(text) for text in ("-1.50", "1e3", ".5", "1,000", "nan", " 1")]
    [True, True, False, False, False, False]
    """
    return _NUMBER.fullmatch(text) is not None


def exact_units(text: str, digits: int, limit: int) -> int:
    """The number in `text` times `10 ** digits`, exactly.

    >>> exact_units("12.340", 2, 10**9), exact_units("-1.5e1", 0, 10**9)
    (1234, -15)

    Raises:
        Refused: BAD text (`WRONG_TYPE`), more digits than the unit has, or beyond `limit`.
    """
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise Refused(Reason.WRONG_TYPE)
    sign, whole, fraction, exponent = found.groups(default="")
    significant = (whole + fraction).lstrip("0")
    trimmed = significant.rstrip("0")
    if not trimmed:
        return 0
    if len(exponent.lstrip("+-").lstrip("0")) > _LONGEST_EXPONENT:
        small = exponent.startswith("-")
        raise Refused(Reason.TOO_MANY_DIGITS if small else Reason.OUT_OF_RANGE)
    shift = int(exponent or "0") - len(fraction) + len(significant) - len(trimmed) + digits
    if shift < 0:
        raise Refused(Reason.TOO_MANY_DIGITS)
    if len(trimmed) + shift > _LONGEST_INTEGER:
        raise Refused(Reason.OUT_OF_RANGE)
    units = int(trimmed + "0" * shift)
    if units > limit:
        raise Refused(Reason.OUT_OF_RANGE)
    return -units if sign == "-" else units


def nearest_units(value: float, digits: int, limit: int) -> int:
    """The whole units that a binary float stands for, at `10 ** digits` units in one.

    >>> nearest_units(0.1 + 0.2, 2, 10**9), nearest_units(9_999_999_999.99, 2, 10**15)
    (30, 999999999999)

    Raises:
        Refused: When it stands for none, for several, or lies beyond `limit`.
    """
    if not math.isfinite(value):
        raise Refused(Reason.NOT_FINITE)
    one = 10.0**digits
    scaled = value * one
    if not abs(scaled) <= limit:
        raise Refused(Reason.OUT_OF_RANGE)
    units = round(scaled)
    if abs(units) > limit:
        raise Refused(Reason.OUT_OF_RANGE)
    is_that_amount = units / one == value
    is_another_too = value in ((units - 1) / one, (units + 1) / one)
    if is_another_too or not (is_that_amount or abs(scaled - units) <= TOLERANCE):
        raise Refused(Reason.NOT_EXACT)
    return units
