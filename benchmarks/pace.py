"""How fast the processor is just now: where it is shared, it takes twice as long at times.

A fixed piece of work is timed before and after each measurement. What was measured while it was
nearly as fast as at any time in the run tells what the program takes; the rest also tells what
others do beside it.
"""

from __future__ import annotations

from timeit import repeat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How much slower than the fastest counts as fast.
_WITHIN = 1.2
_TIMES, _EACH = 9, 100


def pace_us() -> float:
    """Microseconds that the fixed piece of work takes: the least of several tries.

    >>> pace_us() > 0
    True
    """
    return min(repeat(_work, number=_EACH, repeat=_TIMES)) / _EACH * 1e6


def _work() -> list[int]:
    """Calls, attributes, a dictionary, small objects: what an interpreter does all day."""
    held = {}
    for number in range(1_000):
        held[number] = divmod(number, 7)
    return [number for number, (_, rest) in held.items() if rest > 3]


def slowest_fast(paces: Sequence[float]) -> float:
    """The slowest pace that counts as fast, of a run that had these: a fifth above the fastest.

    >>> slowest_fast([100.0, 119.0, 180.0])
    120.0
    """
    return _WITHIN * min(paces)
