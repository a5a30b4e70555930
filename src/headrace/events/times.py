"""Times: ISO 8601 texts, counts since 1970 and wall-clock stamps become nanoseconds in UTC.

What is accepted:

* text as RFC 3339 has it: a date, `T` or a space, hours and minutes, seconds and up to nine digits
  of fraction if given, and an offset (`Z`, `+02:00`, `+0200`, `+02`);
* text or a stamp without an offset, and a bare date (its midnight), only where the source says
  which `zone` its clocks show. A local time that was skipped or passed twice is refused: it does
  not say which instant is meant;
* a number only where the source says what it counts (`epoch="ms"`), and then exactly.

A leap second (`23:59:60`) is refused, because time in UTC nanoseconds has no place for it. Times
lie in the years 1678 to 2261, which is what 64 bits of nanoseconds hold in whole years.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from headrace.core.errors import DefinitionError
from headrace.events.decimals import Refused, exact_units
from headrace.events.reasons import Reason

NS_PER_SECOND = 1_000_000_000
NS_PER_DAY = 86_400 * NS_PER_SECOND

_EPOCH_DAY = date(1970, 1, 1).toordinal()

#: The first and the last nanosecond accepted: 1678-01-01 and 2261-12-31, whole days in UTC.
TIME_MIN = (date(1678, 1, 1).toordinal() - _EPOCH_DAY) * NS_PER_DAY
TIME_MAX = (date(2262, 1, 1).toordinal() - _EPOCH_DAY) * NS_PER_DAY - 1

#: Digits between a unit of counting and the nanosecond.
EPOCH_DIGITS = {"s": 9, "ms": 6, "us": 3, "ns": 0}

_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d+))?)?(?:([Zz])|([+-])(\d{2})(?::?(\d{2}))?)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source says of its values where they leave it open.

    Attributes:
        zone: The IANA zone that times without an offset are in; "" refuses such times.
        epoch: What a time given as a number counts since 1970: `"s"`, `"ms"`, `"us"` or `"ns"`;
            "" refuses numbers as times.

    Raises:
        DefinitionError: When the zone is unknown or the unit is none of the four.
    """

    zone: str = ""
    epoch: str = ""

    def __post_init__(self) -> None:
        if self.zone:
            _zone(self.zone)
        if self.epoch and self.epoch not in EPOCH_DIGITS:
            raise DefinitionError(
                f"epoch={self.epoch!r} is not a unit of time", fix="use s, ms, us or ns"
            )


#: Nothing is left open: every time carries its offset.
STRICT = Reading()


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time as a typed column holds it: nanoseconds since 1970, on a wall clock or in UTC."""

    ns: int
    zoned: bool

    def __str__(self) -> str:
        seconds, ns = divmod(self.ns, NS_PER_SECOND)
        fraction = f".{ns:09d}".rstrip("0") if ns else ""
        suffix = "Z" if self.zoned else ""
        try:
            whole = datetime(1970, 1, 1) + timedelta(seconds=seconds)  # noqa: DTZ001 - a wall clock
        except OverflowError:
            return f"{self.ns} ns since 1970{' UTC' if self.zoned else ''}"
        return f"{whole.isoformat()}{fraction}{suffix}"


@cache
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise DefinitionError(
            f"zone {name!r} is unknown", fix='use an IANA name, as "Europe/Berlin"'
        ) from error


def fixed_offset(zone: str) -> int | None:
    """Seconds east of UTC of a zone that has never changed its clocks; None for the others.

    >>> fixed_offset("UTC"), fixed_offset("Europe/Berlin")
    (0, None)
    """
    east = _zone(zone).utcoffset(None)
    return None if east is None else round(east.total_seconds())


def offset_seconds(local_seconds: int, zone: str) -> int:
    """How far east of UTC the clocks of `zone` are when they show `local_seconds` since 1970.

    Raises:
        Refused: When the clocks never show that time, or show it twice, or `zone` is "".
    """
    if not zone:
        raise Refused(Reason.OFFSET_MISSING)
    try:
        wall = datetime(1970, 1, 1) + timedelta(seconds=local_seconds)  # noqa: DTZ001 - a wall clock
        first = wall.replace(tzinfo=_zone(zone)).utcoffset()
        second = wall.replace(tzinfo=_zone(zone), fold=1).utcoffset()
    except OverflowError as error:
        raise Refused(Reason.OUT_OF_RANGE) from error
    if first is None or second is None or first == second:
        return round((first or timedelta()).total_seconds())
    # Clocks that went back show a time first by the greater offset, then by the smaller.
    ambiguous = first > second
    raise Refused(Reason.AMBIGUOUS_LOCAL_TIME if ambiguous else Reason.NO_SUCH_LOCAL_TIME)


def read_stamp(stamp: Stamp, reading: Reading) -> int:
    """A typed stamp in UTC nanoseconds; raises `Refused`."""
    ns = stamp.ns
    if not stamp.zoned:
        ns -= offset_seconds(ns // NS_PER_SECOND, reading.zone) * NS_PER_SECOND
    return _in_range(ns)


def read_time_text(text: str, reading: Reading) -> int:
    """A time written as text, in UTC nanoseconds.

    >>> read_time_text("1970-01-01T02:00:00.5+02:00", STRICT)
    500000000
    >>> read_time_text("2026-07-01 12:00", Reading(zone="Europe/Berlin")) // 10**9
    1782900000

    Raises:
        Refused: With what is wrong.
    """
    found = _ISO.fullmatch(text)
    if found is None:
        if reading.epoch:
            return _in_range(exact_units(text, EPOCH_DIGITS[reading.epoch], TIME_MAX))
        raise Refused(Reason.BAD_TIME)
    year, month, day, hour, minute, second, fraction, zulu, sign, off_hour, off_minute = (
        found.groups()
    )
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError as error:
        raise Refused(Reason.BAD_TIME) from error
    hours, minutes, seconds = int(hour or 0), int(minute or 0), int(second or 0)
    fraction = (fraction or "").rstrip("0")
    east_hours, east_minutes = int(off_hour or 0), int(off_minute or 0)
    if max(hours, east_hours) > 23 or max(minutes, seconds, east_minutes) > 59 or len(fraction) > 9:
        raise Refused(Reason.BAD_TIME)
    local = days * 86_400 + hours * 3600 + minutes * 60 + seconds
    if zulu:
        east = 0
    elif sign:
        east = (east_hours * 3600 + east_minutes * 60) * (1 if sign == "+" else -1)
    else:
        east = offset_seconds(local, reading.zone)
    return _in_range((local - east) * NS_PER_SECOND + int(fraction.ljust(9, "0")))


def read_count(text: str, reading: Reading) -> int:
    """A time given as a number, in UTC nanoseconds; raises `Refused`.

    >>> read_count("1.5e3", Reading(epoch="ms"))
    1500000000
    """
    if not reading.epoch:
        raise Refused(Reason.WRONG_TYPE)
    return _in_range(exact_units(text, EPOCH_DIGITS[reading.epoch], TIME_MAX))


def _in_range(ns: int) -> int:
    if not TIME_MIN <= ns <= TIME_MAX:
        raise Refused(Reason.OUT_OF_RANGE)
    return ns
