"""Kernels that look at a column once, to find how small it can be stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.compiled import as_bits, kernel

if TYPE_CHECKING:
    from headrace.core.columns import Floats, Int64s
    from headrace.journal.batch import NarrowFloats


@kernel
def narrowed(values: Floats, out: NarrowFloats) -> bool:
    """Copy floats to 32 bits, as long as each comes back with the same 64; whether all do."""
    for row in range(len(values)):
        out[row] = values[row]
        back = float(out[row])
        if as_bits(back) != as_bits(values[row]):
            return False
    return True


@kernel
def surveyed(values: Int64s, found: Int64s) -> None:
    """What is there to know of a column of at least one integer.

    `found` gets the least and the greatest value, whether each is the one before it plus the same
    step (modulo 2 ** 64), and how many differ from the middle one.
    """
    least = most = values[0]
    usual = values[len(values) // 2]
    step = values[1] - values[0] if len(values) > 1 else 0
    uneven = 0
    others = 0
    before = values[0] - step
    for row in range(len(values)):
        value = values[row]
        least = min(least, value)
        most = max(most, value)
        others += value != usual
        uneven += value - before != step
        before = value
    found[0], found[1], found[2], found[3] = least, most, uneven == 0, others
