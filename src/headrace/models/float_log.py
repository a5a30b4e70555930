"""The logarithm of a 32-bit float, as the C library gives it.

XGBoost starts its sums from a logarithm that `logf` of the system's C library computes. That one is
not always the nearest float (in 0.3 % of odds it is the next), so to meet the library's margins in
every bit its steps are taken here, in 64-bit arithmetic of + - x alone: the same everywhere.

Method and constants: S. Nagy, `logf` of Arm's Optimized Routines (2017), which glibc has used since
2.27. The mantissa is multiplied by the reciprocal of the middle of its sixteenth, whose logarithm
stands in a table; a polynomial of third degree gives the rest.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

#: For each sixteenth: the reciprocal of its middle, and the logarithm of that middle.
_TABLE: Final = [
    (float.fromhex(reciprocal), float.fromhex(logarithm))
    for reciprocal, logarithm in (
        ("0x1.661ec79f8f3bep+0", "-0x1.57bf7808caadep-2"),
        ("0x1.571ed4aaf883dp+0", "-0x1.2bef0a7c06ddbp-2"),
        ("0x1.49539f0f010bp+0", "-0x1.01eae7f513a67p-2"),
        ("0x1.3c995b0b80385p+0", "-0x1.b31d8a68224e9p-3"),
        ("0x1.30d190c8864a5p+0", "-0x1.6574f0ac07758p-3"),
        ("0x1.25e227b0b8eap+0", "-0x1.1aa2bc79c81p-3"),
        ("0x1.1bb4a4a1a343fp+0", "-0x1.a4e76ce8c0e5ep-4"),
        ("0x1.12358f08ae5bap+0", "-0x1.1973c5a611cccp-4"),
        ("0x1.0953f419900a7p+0", "-0x1.252f438e10c1ep-5"),
        ("0x1p+0", "0x0p+0"),
        ("0x1.e608cfd9a47acp-1", "0x1.aa5aa5df25984p-5"),
        ("0x1.ca4b31f026aap-1", "0x1.c5e53aa362eb4p-4"),
        ("0x1.b2036576afce6p-1", "0x1.526e57720db08p-3"),
        ("0x1.9c2d163a1aa2dp-1", "0x1.bc2860d22477p-3"),
        ("0x1.886e6037841edp-1", "0x1.1058bc8a07ee1p-2"),
        ("0x1.767dcf5534862p-1", "0x1.4043057b6ee09p-2"),
    )
]
_CUBIC: Final = float.fromhex("-0x1.00ea348b88334p-2")
_SQUARE: Final = float.fromhex("0x1.5575b0be00b6ap-2")
_LINEAR: Final = float.fromhex("-0x1.ffffef20a4123p-2")
_LN2: Final = float.fromhex("0x1.62e42fefa39efp-1")
#: The bits of the least float whose mantissa is counted from 2**0: about 0.7.
_ORIGIN: Final = 0x3F330000


def float_log(value: np.float32) -> np.float32:
    """The natural logarithm of a positive, normal 32-bit float, as `logf` rounds it.

    >>> float(float_log(np.float32(1))), float(float_log(np.float32(2)))
    (0.0, 0.6931471824645996)
    """
    (bits,) = struct.unpack("<i", struct.pack("<f", value))
    above = bits - _ORIGIN
    exponent = above >> 23
    (mantissa,) = struct.unpack("<f", struct.pack("<i", bits - (exponent << 23)))
    reciprocal, logarithm = _TABLE[above >> 19 & 15]
    rest = mantissa * reciprocal - 1.0
    squared = rest * rest
    polynomial = _CUBIC * squared + (_SQUARE * rest + _LINEAR)
    return np.float32(polynomial * squared + (logarithm + exponent * _LN2 + rest))
