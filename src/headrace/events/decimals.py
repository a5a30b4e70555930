"""Exact numbers: decimal digits and binary floats become integers of a unit, or are refused.

An amount never goes through a binary float on its way from text: `"12.34"` in cents is 1234 by its
digits. A binary float that a file already holds stands for a unit when, multiplied by the units in
one, it is within 1e-6 of that unit, or when it is the very float nearest to that amount and to no
other (above some 1e8 the gap between floats is itself wider than 1e-6 of a cent). Programs write
such floats as text too: `0.30000000000000004` is 0.1 + 0.2. So text stands for the unit that it is
within 1e-6 of as well, which its digits alone decide. A decimal type is exact, and is taken at its
word.
"""

from __future__ import annotations

import math
import re

from headrace.events.reasons import Reason

_NUMBER = re.compile(r"([+-]?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?", re.ASCII)

#: How far from a whole unit, in units, a binary float may lie.
TOLERANCE = 1e-6

#: The same in digits after the point.
_TOLERATED = 6

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
    negative, trimmed, shift = _significant(text, digits)
    if shift < 0:
        raise Refused(Reason.TOO_MANY_DIGITS)
    return _units(negative, trimmed, shift, limit)


def near_units(text: str, digits: int, limit: int) -> int:
    """The whole units that the number in `text` is within 1e-6 of, by its digits.

    >>> near_units("0.30000000000000004", 2, 10**9), near_units("434.99999999999994", 0, 10**9)
    (30, 435)

    Raises:
        Refused: BAD text (`WRONG_TYPE`), further from any unit, or beyond `limit`.
    """
    negative, trimmed, shift = _significant(text, digits)
    if shift >= 0:
        return _units(negative, trimmed, shift, limit)
    whole = trimmed[:shift]
    if not whole and shift + len(trimmed) < -_TOLERATED:
        return 0
    part = trimmed[shift:].rjust(-shift, "0")
    first, rest = part[:_TOLERATED].ljust(_TOLERATED, "0"), part[_TOLERATED:]
    above = first == "9" * _TOLERATED
    nearly = first == "0" * _TOLERATED or (first == "1".rjust(_TOLERATED, "0") and not rest)
    if not above and not nearly:
        raise Refused(Reason.TOO_MANY_DIGITS)
    return _units(negative, whole or "0", 0, limit, more=int(above))


def _significant(text: str, digits: int) -> tuple[bool, str, int]:
    """A number times `10 ** digits`: whether it is negative, its digits, and the zeros after them.

    The digits begin and end with one that is not zero, or are "0"; below zero, the number of zeros
    says how many of the digits stand after the point.
    """
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise Refused(Reason.WRONG_TYPE)
    sign, whole, fraction, exponent = found.groups(default="")
    significant = (whole + fraction).lstrip("0")
    trimmed = significant.rstrip("0")
    if not trimmed:
        return False, "0", 0
    power = exponent.lstrip("+-").lstrip("0")[: _LONGEST_EXPONENT + 1] or "0"
    moved = -int(power) if exponent.startswith("-") else int(power)
    shift = moved - len(fraction) + len(significant) - len(trimmed) + digits
    return sign == "-", trimmed, shift


def _units(negative: bool, trimmed: str, shift: int, limit: int, *, more: int = 0) -> int:  # noqa: FBT001 - as `_significant` gives it
    if len(trimmed) + shift > _LONGEST_INTEGER:
        raise Refused(Reason.OUT_OF_RANGE)
    units = int(trimmed + "0" * shift) + more
    if units > limit:
        raise Refused(Reason.OUT_OF_RANGE)
    return -units if negative else units


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
