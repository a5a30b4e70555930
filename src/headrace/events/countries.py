"""Countries: ISO 3166-1 alpha-2 codes, as a versioned table.

The table lies beside this file, in `countries.csv`: the officially assigned codes, no user-assigned
ones (`XK`) and none that were withdrawn.

Source: ISO 3166-1, as listed in the public-domain `iso3166.tab` of the IANA time-zone database.
Which table a decision was made with is part of its definition, so the table has a `digest()`.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import pack_letters

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Which state of ISO 3166-1 the table holds.
VERSION = "ISO 3166-1, tzdata 2026f"

_TABLE = Path(__file__).with_name("countries.csv")


@cache
def codes() -> frozenset[str]:
    """Every assigned code.

    >>> "DE" in codes(), "UK" in codes(), len(codes())
    (True, False, 249)
    """
    return frozenset(_TABLE.read_text(encoding="ascii").splitlines()[1:])


@cache
def known_by_letters() -> NDArray[np.bool_]:
    """Whether a code is assigned, indexed by packed letters (676 of them).

    >>> bool(known_by_letters()[pack_letters("DE")]), bool(known_by_letters()[pack_letters("UK")])
    (True, False)
    """
    table = np.zeros(26**2, dtype=np.bool_)
    table[[pack_letters(code) for code in codes()]] = True
    table.flags.writeable = False
    return table


@cache
def digest() -> str:
    """SHA-256 of the table as it lies on disk, in hexadecimal."""
    return hashlib.sha256(_TABLE.read_bytes()).hexdigest()
