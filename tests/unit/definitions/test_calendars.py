"""Steps of calendars say what the libraries say, at any instant."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import exchange_calendars
import holidays
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.definitions import calendars

if TYPE_CHECKING:
    from headrace.definitions.plan import Calendar

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(calendar: Calendar, instant: datetime) -> int:
    nanoseconds = (instant - EPOCH) // timedelta(microseconds=1) * 1_000
    return calendar.values[bisect_right(calendar.starts, nanoseconds) - 1]


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Africa/Casablanca"]),
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 12, 31)),  # noqa: DTZ001 - the zone is added
)
def test_offsets(zone: str, moment: datetime) -> None:
    instant = moment.replace(tzinfo=UTC)
    offset = instant.astimezone(calendars.zone_of(zone)).utcoffset()
    assert timedelta(seconds=at(calendars.in_zone("hour", zone, None), instant)) == offset


def test_the_instant_of_a_change() -> None:
    berlin = calendars.in_zone("hour", "Europe/Berlin", None)
    change = datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert at(berlin, change - timedelta(microseconds=1)) == 3600
    assert at(berlin, change) == 7200
    assert berlin.version.startswith("tzdata 20")


def test_steps_ascend_from_the_least_time() -> None:
    for made in (
        calendars.in_zone("day", "America/Sao_Paulo", None),
        calendars.holidays("DE", "BY", "Europe/Berlin", None),
        calendars.sessions("XNYS", None),
        calendars.trading_hours("XHKG", None),
        calendars.openings("XNYS", None),
    ):
        assert made.starts[0] == -(2**63)
        assert list(made.starts) == sorted(set(made.starts))
        assert len(made.starts) == len(made.values)


def _noon(day: date, zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize("subdivision", [None, "BY"])
def test_holidays(subdivision: str | None) -> None:
    made = calendars.holidays("DE", subdivision, "Europe/Berlin", None)
    known = holidays.country_holidays("DE", subdiv=subdivision, years=[2026])
    for number in range(365):
        day = date(2026, 1, 1) + timedelta(days=number)
        assert at(made, _noon(day, "Europe/Berlin")) == (day in known)
    midnight = datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert at(made, midnight - timedelta(seconds=1)) == 0
    assert at(made, midnight) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library's own
def test_sessions() -> None:
    made = calendars.sessions("XNYS", None)
    known = exchange_calendars.get_calendar("XNYS", start="2025-12-01", end="2027-02-01")
    for number in range(365):
        day = date(2026, 1, 1) + timedelta(days=number)
        assert at(made, _noon(day, "America/New_York")) == known.is_session(day.isoformat())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library's own
@pytest.mark.parametrize("exchange", ["XNYS", "XHKG"])
def test_trading_hours_with_early_closes_and_breaks(exchange: str) -> None:
    hours, openings = calendars.trading_hours(exchange, None), calendars.openings(exchange, None)
    known = exchange_calendars.get_calendar(exchange, start="2025-11-01", end="2026-03-01")
    moment = datetime(2025, 11, 20, tzinfo=UTC)
    seen = set()
    for _ in range(2_000):
        moment += timedelta(minutes=47)
        is_open = known.is_trading_minute(moment)
        assert at(hours, moment) == is_open, moment
        if is_open:
            opened = known.session_open(known.minute_to_session(moment)).value
            assert at(openings, moment) == opened
        seen.add(is_open)
    assert seen == {True, False}


@pytest.mark.slow
def test_sessions_end_where_the_exchange_calendar_does() -> None:
    made = calendars.sessions("XKRX", None)
    assert at(made, _noon(date(2049, 6, 15), "Asia/Seoul")) == 1
    assert at(made, _noon(date(2051, 6, 15), "Asia/Seoul")) == 0
