"""Parts of times, and membership in sets: what is found by a search among ascending words."""

from __future__ import annotations

from headrace.core.compiled import inner_kernel, load_i64, load_u8
from headrace.core.memory import entry_kernel
from headrace.engine.register_kernels import (
    CALENDARS,
    I_A,
    I_IMMEDIATE,
    I_OUT,
    SET_STARTS,
    SET_VALUES,
    STEP_STARTS,
    STEP_VALUES,
    put,
    register,
    validity,
)

# parts of a time; PART_ITSELF when the steps give it
(
    PART_ITSELF,
    PART_HOUR,
    PART_MINUTE,
    PART_SECOND,
    PART_WEEKDAY,
    PART_WEEKEND,
    PART_DAY,
    PART_MONTH,
    PART_YEAR,
    PART_DAY_OF_YEAR,
    PART_MINUTE_OF_DAY,
) = range(11)

_DAY = 86_400_000_000_000


@inner_kernel
def _last_at_most(values: int, low: int, high: int, bound: int) -> int:
    """The place of the last of ascending words that is at most `bound`, or low - 1."""
    start = low
    while low < high:
        middle = (low + high) >> 1
        if load_i64(values + 8 * middle) <= bound:
            low = middle + 1
        else:
            high = middle
    return max(low, start) - 1


@inner_kernel
def _civil(days: int) -> tuple[int, int, int, int]:
    """Year, month, day and day of the year of a day counted from 1970-01-01.

    The algorithm of H. Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
    """
    shifted = days + 719468
    era = shifted // 146097
    of_era = shifted - era * 146097
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    from_march = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * from_march + 2) // 153
    day = from_march - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year += era * 400 + (1 if month <= 2 else 0)
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    of_year = from_march + (60 + (1 if leap else 0) if month > 2 else -305)
    return year, month, day, of_year


@inner_kernel
def part_of(part: int, local: int) -> int:  # noqa: PLR0911 - each part has its line
    """A part of a local time in nanoseconds since 1970."""
    days, rest = local // _DAY, local % _DAY
    if part == PART_HOUR:
        return rest // 3_600_000_000_000
    if part == PART_MINUTE:
        return rest // 60_000_000_000 % 60
    if part == PART_MINUTE_OF_DAY:
        return rest // 60_000_000_000
    if part == PART_SECOND:
        return rest // 1_000_000_000 % 60
    if part == PART_WEEKDAY:
        return (days + 3) % 7
    if part == PART_WEEKEND:
        return 1 if (days + 3) % 7 >= 5 else 0
    year, month, day, of_year = _civil(days)
    if part == PART_DAY:
        return day
    if part == PART_MONTH:
        return month
    if part == PART_YEAR:
        return year
    return of_year


@entry_kernel
def do_is_in(table: int, about: int, low: int, high: int) -> int:
    """Whether integers are in a set."""
    out, a = load_i64(about + I_OUT), load_i64(about + I_A)
    starts = load_i64(table + SET_STARTS) + 8 * load_i64(about + I_IMMEDIATE)
    values, first, last = load_i64(table + SET_VALUES), load_i64(starts), load_i64(starts + 8)
    words, present = register(table, out), validity(table, out)
    given, there = register(table, a), validity(table, a)
    for i in range(low, high):
        value = load_i64(given + 8 * i)
        place = _last_at_most(values, first, last, value)
        found = 0
        if place >= first and load_i64(values + 8 * place) == value:
            found = 1
        put(words, present, i, found, load_u8(there + i))
    return 0


@entry_kernel
def do_calendar(table: int, about: int, low: int, high: int) -> int:
    """A part of times, by the steps of a zone or calendar."""
    out, a = load_i64(about + I_OUT), load_i64(about + I_A)
    calendar = load_i64(table + CALENDARS) + 32 * load_i64(about + I_IMMEDIATE)
    part, local = load_i64(calendar), load_i64(calendar + 8)
    first, last = load_i64(calendar + 16), load_i64(calendar + 24)
    starts, values = load_i64(table + STEP_STARTS), load_i64(table + STEP_VALUES)
    words, present = register(table, out), validity(table, out)
    given, there = register(table, a), validity(table, a)
    place = first
    for i in range(low, high):
        at = load_i64(given + 8 * i)
        # times that follow each other mostly fall into one step
        if at < load_i64(starts + 8 * place) or (
            place + 1 < last and load_i64(starts + 8 * place + 8) <= at
        ):
            place = max(_last_at_most(starts, first, last, at), first)
        step = load_i64(values + 8 * place)
        if local:
            step = part_of(part, at + step * 1_000_000_000)
        put(words, present, i, step, load_u8(there + i))
    return 0
