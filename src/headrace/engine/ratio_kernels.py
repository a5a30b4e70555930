"""Exact ratios of integers, called at an address: floats could not hold them."""

from __future__ import annotations

from headrace.core import exact
from headrace.core.compiled import as_bits
from headrace.core.memory import entry_kernel, matrix_at


@entry_kernel
def wide_ratio(work: int, high: int, low: int, count: int, scale: int) -> int:
    """The bits of a signed 128-bit integer over `count * 10 ** scale`, rounded once.

    `work` is the address of the limbs of one rounding (`exact.workspace`).
    """
    limbs = matrix_at(work, 6, exact.WIDTH)
    bits: int = as_bits(exact.ratio(high, low, count, scale, limbs))
    return bits
