"""Calendars as steps: what holds from which instant on.

A time zone is the steps of its offset from UTC, read from the `tzdata` package and never from the
machine's own files, so that the version of the table is known and the same everywhere. Holidays
(`holidays`) and exchange sessions (`exchange_calendars`) are kept as steps between days; these
libraries come with the extra `calendars`.
"""

from __future__ import annotations

import importlib
import importlib.resources
import warnings
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from headrace.core.errors import DefinitionError
from headrace.definitions.plan import Calendar
from headrace.definitions.suggestions import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.core.errors import SourceLine

#: The years that tables cover; the first step holds before, the last one after.
FIRST_YEAR, LAST_YEAR = 1970, 2100

#: Parts of local time that are numbers, with the greatest value.
PARTS = {
    "hour": 23,
    "minute": 59,
    "minute_of_day": 1439,
    "second": 59,
    "weekday": 6,
    "day": 31,
    "month": 12,
    "year": 2262,
    "day_of_year": 366,
}

_LEAST_TIME = -(2**63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)


def in_zone(part: str, zone: str, at: SourceLine | None) -> Calendar:
    """A part of local time in an IANA zone.

    Raises:
        DefinitionError: If there is no such zone.

    >>> berlin = in_zone("hour", "Europe/Berlin", None)
    >>> berlin.zone, berlin.values[:3]
    ('Europe/Berlin', (3600, 7200, 3600))
    """
    _check_zone(zone, at)
    starts, values = _offsets(zone)
    return Calendar(part, zone, starts, values, tzdata_version())


def holidays(country: str, subdivision: str | None, zone: str, at: SourceLine | None) -> Calendar:
    """Whether the local date in `zone` is a public holiday of a country, or of a part of it.

    Raises:
        DefinitionError: If the country, the part or the zone is unknown, or the extra is missing.
    """
    _check_zone(zone, at)
    library = _library("holidays", at)
    try:
        days = library.country_holidays(
            country, subdiv=subdivision, years=range(FIRST_YEAR, LAST_YEAR + 1)
        )
    except (NotImplementedError, TypeError) as error:
        raise DefinitionError(
            f"no calendar of holidays: {error}",
            at=at,
            fix='write a country as in "DE", and a part of it as in subdivision="BY"',
        ) from None
    version = f"holidays {library.__version__}, {tzdata_version()}"
    return _days("is_holiday", sorted(days), zone_of(zone), version)


def sessions(exchange: str, at: SourceLine | None) -> Calendar:
    """Whether the local date at an exchange (by its ISO 10383 code) is a trading session.

    Sessions are known from 1990 to 2050, or as far as the exchange's calendar is defined; outside
    of that no day is a session.

    Raises:
        DefinitionError: If the exchange is unknown, or the extra is missing.
    """
    _check_exchange(exchange, at)
    made = _exchange(exchange)
    days = [session.date() for session in made.sessions]
    return _days("is_session", days, zone_of(str(made.tz)), _exchange_version())


def trading_hours(exchange: str, at: SourceLine | None) -> Calendar:
    """Whether an exchange trades: from the opening of a session to its close, less its break.

    Sessions are known as for `sessions`, with early closes and late openings.

    Raises:
        DefinitionError: If the exchange is unknown, or the extra is missing.
    """
    _check_exchange(exchange, at)
    made = _exchange(exchange)
    instants: dict[int, int] = {}
    for times, value in (
        (made.closes, 0),
        (made.break_starts, 0),
        (made.break_ends, 1),
        (made.opens, 1),
    ):
        # a session that opens as the one before closes goes on
        instants |= dict.fromkeys(_instants(times.dropna()), value)
    starts = sorted(instants)
    values = (0, *(instants[start] for start in starts))
    return Calendar("is_open", "", (_LEAST_TIME, *starts), values, _exchange_version())


def openings(exchange: str, at: SourceLine | None) -> Calendar:
    """When the session opened that is open, or was last: instants in nanoseconds.

    Raises:
        DefinitionError: If the exchange is unknown, or the extra is missing.
    """
    _check_exchange(exchange, at)
    opens = _instants(_exchange(exchange).opens)
    starts, values = (_LEAST_TIME, *opens), (_LEAST_TIME, *opens)
    return Calendar("opened_at", "", starts, values, _exchange_version())


def _instants(times: Any) -> list[int]:
    """A library's instants as nanoseconds."""
    return [int(instant.value) for instant in times]


def _exchange_version() -> str:
    library = _library("exchange_calendars", None)
    return f"exchange_calendars {library.__version__}, {tzdata_version()}"


def _check_exchange(exchange: str, at: SourceLine | None) -> None:
    known = _library("exchange_calendars", at).get_calendar_names()
    if exchange not in known:
        raise DefinitionError(
            f"no calendar of the exchange {exchange!r}{did_you_mean(exchange, known)}",
            at=at,
            fix='write its ISO 10383 code, as in "XNYS" or "XLON"',
        )


@cache
def _exchange(exchange: str) -> Any:
    """The library's own calendar, as far as it is defined."""
    library = _library("exchange_calendars", None)
    start, end = date(1990, 1, 1), date(2050, 12, 31)
    with warnings.catch_warnings():
        # What the library does with its own dependencies is nothing that a user could mend.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Lunar calendars and some others are only defined between bounds of their own.
        kind = type(library.get_calendar(exchange))
        first, last = kind.bound_min(), kind.bound_max()
        return library.get_calendar(
            exchange,
            start=max(start, first.date()) if first is not None else start,
            end=min(end, last.date()) if last is not None else end,
        )


def _library(name: str, at: SourceLine | None) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DefinitionError(
            f"business calendars need {name}, which is not installed",
            at=at,
            fix="pip install headrace[calendars]",
        ) from None


def tzdata_version() -> str:
    """The release of the IANA time-zone database in use, as in `tzdata 2026f`."""
    listed = importlib.resources.files("tzdata").joinpath("zoneinfo", "tzdata.zi")
    with listed.open(encoding="utf-8") as stream:
        return "tzdata " + stream.readline().removeprefix("# version").strip()


@cache
def _zone_names() -> frozenset[str]:
    listed = importlib.resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8")
    return frozenset(listed.split())


def _check_zone(zone: str, at: SourceLine | None) -> None:
    if zone not in _zone_names():
        raise DefinitionError(
            f"unknown time zone {zone!r}{did_you_mean(zone, _zone_names())}",
            at=at,
            fix='write an IANA name, as in "Europe/Berlin" or "UTC"',
        )


@cache
def zone_of(zone: str) -> ZoneInfo:
    """A zone as the `tzdata` package has it."""
    resource = importlib.resources.files("tzdata.zoneinfo").joinpath(*zone.split("/"))
    with resource.open("rb") as stream:
        return ZoneInfo.from_file(stream, key=zone)


def _nanoseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(seconds=1) * 1_000_000_000


@cache
def _offsets(zone: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Instants (ns) and the offset (seconds east) from each on."""
    info = zone_of(zone)

    def offset(instant: datetime) -> int:
        found = instant.astimezone(info).utcoffset() or timedelta(0)
        return found // timedelta(seconds=1)

    before = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
    starts, values = [_LEAST_TIME], [offset(before)]
    end = datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC)
    while before < end:
        after = before + _DAY
        if offset(after) != values[-1]:
            low, high = before, after
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                middle -= timedelta(microseconds=middle.microsecond)
                if offset(middle) == values[-1]:
                    low = middle
                else:
                    high = middle
            starts.append(_nanoseconds(high))
            values.append(offset(high))
            after = high
        before = after
    return tuple(starts), tuple(values)


def _days(part: str, days: Iterable[date], zone: ZoneInfo, version: str) -> Calendar:
    """Steps that are 1 on `days` (ascending) of local time, and 0 between."""
    starts, values = [_LEAST_TIME], [0]
    for day in days:
        begins, ends = (
            _nanoseconds(datetime(d.year, d.month, d.day, tzinfo=zone).astimezone(UTC))
            for d in (day, day + _DAY)
        )
        if starts[-1] == begins:
            starts.pop()
            values.pop()
        else:
            starts.append(begins)
            values.append(1)
        starts.append(ends)
        values.append(0)
    return Calendar(part, "", tuple(starts), tuple(values), version)
