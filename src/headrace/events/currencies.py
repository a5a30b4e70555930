"""Currencies: ISO 4217 codes and the digits of their minor units, as a versioned table.

The table lies beside this file, in `currencies.csv`: every active code that has a minor unit, and
the codes withdrawn since 2010 with the year of withdrawal, since history still names them. Codes
without a minor unit (precious metals, special drawing rights, testing) are not in it: an amount of
them has no exact integer.

Source: ISO 4217 lists one (current codes) and three (historic codes), maintained by SIX Group, as
published on 2026-01-01.
Which table a decision was made with is part of its definition, so the table has a `digest()`.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import pack_letters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: Which state of ISO 4217 the table holds.
VERSION = "ISO 4217, 2026-01"

_TABLE = Path(__file__).with_name("currencies.csv")


@cache
def digits_by_code() -> Mapping[str, int]:
    """Digits of the minor unit, by code.

    >>> digits = digits_by_code()
    >>> digits["EUR"], digits["JPY"], digits["BHD"], digits["CLF"]
    (2, 0, 3, 4)
    """
    lines = _TABLE.read_text(encoding="ascii").splitlines()[1:]
    rows = (line.split(",") for line in lines)
    return MappingProxyType({code: int(digits) for code, digits, _ in rows})


@cache
def digits_by_letters() -> NDArray[np.int8]:
    """Digits of the minor unit, indexed by packed letters (17,576 of them); -1 where unknown.

    >>> int(digits_by_letters()[pack_letters("EUR")]), int(digits_by_letters()[pack_letters("ZZZ")])
    (2, -1)
    """
    table = np.full(26**3, -1, dtype=np.int8)
    for code, digits in digits_by_code().items():
        table[pack_letters(code)] = digits
    table.flags.writeable = False
    return table


@cache
def digest() -> str:
    """SHA-256 of the table as it lies on disk, in hexadecimal."""
    return hashlib.sha256(_TABLE.read_bytes()).hexdigest()
