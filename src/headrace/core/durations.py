"""Lengths of time as people write them, as whole nanoseconds.

Months and years have no fixed length, so they are not durations.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from headrace.core.errors import DefinitionError

if TYPE_CHECKING:
    from headrace.core.errors import SourceLine

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS

#: The longest duration: with it, a time of today less window, delay and lateness fits 64 bits.
LONGEST_NS = 36_500 * DAY_NS

_UNITS = {
    "w": (7 * DAY_NS, "week"),
    "d": (DAY_NS, "day"),
    "h": (3_600 * SECOND_NS, "hour"),
    "m": (60 * SECOND_NS, "minute"),
    "s": (SECOND_NS, "second"),
    "ms": (1_000_000, "millisecond"),
    "us": (1_000, "microsecond"),
    "ns": (1, "nanosecond"),
}
_PART = re.compile(r"(\d+)(ms|us|ns|[wdhms])")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


def duration_ns(
    duration: str | timedelta, *, what: str = "duration", at: SourceLine | None = None
) -> int:
    """A duration in nanoseconds.

    Args:
        duration: Whole numbers with units (`"5m"`, `"24h"`, `"1h30m"`), or a `timedelta`. Units
            are w, d, h, m, s, ms, us and ns.
        what: What it is the length of, for the message.
        at: The user's line, for the message.

    Returns:
        Nanoseconds, 0 or more.

    Raises:
        DefinitionError: If it can't be read, is negative, or is beyond 36,500 days.

    >>> duration_ns("1h30m") == 90 * 60 * SECOND_NS
    True
    """
    if isinstance(duration, timedelta):
        length = (duration.days * 86_400 + duration.seconds) * SECOND_NS
        length += duration.microseconds * 1_000
    elif isinstance(duration, str) and _WHOLE.fullmatch(duration):
        length = sum(int(n) * _UNITS[unit][0] for n, unit in _PART.findall(duration))
    else:
        raise DefinitionError(
            f"{what} {duration!r} is no length of time", at=at, fix=_advice(duration)
        )
    if not 0 <= length <= LONGEST_NS:
        raise DefinitionError(
            f"{what} {duration!r} is out of bounds",
            at=at,
            fix="give a duration from 0 to 36500d; a delay or window looks back by itself",
        )
    return length


def _advice(duration: object) -> str:
    if isinstance(duration, str) and re.fullmatch(
        r"\d+ *(M|mo|month|months|y|Y|year|years)", duration
    ):
        return 'months and years have no fixed length; write days, as in "30d" or "365d"'
    return (
        'write a whole number with a unit (w, d, h, m, s, ms, us, ns), as in "5m", "24h" or "30d"'
    )


def duration_text(length_ns: int) -> str:
    """The shortest spelling that `duration_ns` reads back, in one unit.

    >>> duration_text(duration_ns("60m")), duration_text(0)
    ('1h', '0s')
    """
    size, unit = _largest_unit(length_ns)
    return f"{length_ns // size}{unit}"


def duration_words(length_ns: int) -> str:
    """A duration as a reader would say it.

    A single day is said in hours, as the trade does.

    >>> duration_words(duration_ns("1d")), duration_words(duration_ns("5m"))
    ('24 hours', '5 minutes')
    """
    if length_ns == DAY_NS:
        return "24 hours"
    size, unit = _largest_unit(length_ns)
    if unit == "w":
        size, unit = _UNITS["d"][0], "d"
    number = length_ns // size
    return f"{number} {_UNITS[unit][1]}{'' if number == 1 else 's'}"


def _largest_unit(length_ns: int) -> tuple[int, str]:
    for unit, (size, _) in _UNITS.items():
        if length_ns and length_ns % size == 0:
            return size, unit
    return SECOND_NS, "s"
