"""Windows by definition: every event looked at, in plain Python and exact rationals.

Nothing here knows how the engine keeps its state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from headrace.definitions.plan import Function

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.definitions.plan import Aggregate, Plan

Value = int | float | str | None


@dataclass(frozen=True)
class Input:
    """One accepted event: its stream, its fields by name, in known order by position."""

    stream: str
    at: int
    fields: Mapping[str, Value]


def nearest(value: Fraction) -> float | None:
    """A rational as the nearest float; None where that is no finite number."""
    try:
        return value.numerator / value.denominator
    except OverflowError:
        return None


def down(time: int, every: int) -> int:
    return time - time % every if every else time


def window(
    plan: Plan, item: Aggregate, inputs: Sequence[Input], now: int, watermark: int
) -> list[Input]:
    """The events that an aggregate looks at for input number `now`, in (time, known) order."""
    group = plan.groups[item.group]
    current = inputs[now]
    key = [current.fields[name] for name in group.asked_by]
    if None in key:
        return []
    lateness = plan.stream(plan.on).lateness_ns
    reach = max(a.window_ns + a.delay_ns for a in plan.aggregates if a.group == item.group)
    every = group.every_ns
    last = down(current.at - item.delay_ns, every)
    first = down(current.at - item.delay_ns - item.window_ns, every)
    oldest = down(watermark - lateness - reach, every)
    known = inputs[: now + 1]
    if not item.include_current or item.function in {
        Function.PREVIOUS,
        Function.SECONDS_SINCE_LAST,
    }:
        known = inputs[:now]
    found = [
        event
        for event in known
        if event.stream == group.stream
        and [event.fields[name] for name in group.key] == key
        and max(first, oldest) < down(event.at, every) <= last
    ]
    return sorted(found, key=lambda event: event.at)


def aggregate(  # noqa: C901, PLR0911 - one way for each function, as the definition lists them
    plan: Plan, item: Aggregate, inputs: Sequence[Input], now: int, watermark: int
) -> float | int | str | None:
    """The value of one aggregate for input number `now`.

    Conditions and values are the registers that the row program loads.
    """
    loads = plan.stream(plan.groups[item.group].stream).program.loads
    taken: list[tuple[Any, int]] = []
    for event in window(plan, item, inputs, now, watermark):
        value: Value = 1
        if item.value >= 0:
            value = event.fields[loads[item.value]]
        if value is not None and (item.where < 0 or event.fields[loads[item.where]]):
            taken.append((value, event.at))
    values = [value for value, _ in taken]
    count = len(values)
    if item.function is Function.COUNT:
        return count
    if item.function is Function.DISTINCT:
        return len(set(values))
    if item.function is Function.SUM:
        return nearest(sum(map(Fraction, values), Fraction(0)) / 10**item.scale)
    if count == 0:
        return None
    if item.function in {Function.MIN, Function.MAX}:
        extreme: float = min(values) if item.function is Function.MIN else max(values)
        return extreme
    if item.function is Function.FIRST:
        return values[0]  # type: ignore[no-any-return]  # a value of any kind
    if item.function in {Function.LAST, Function.PREVIOUS}:
        return values[-1]  # type: ignore[no-any-return]  # a value of any kind
    if item.function is Function.SECONDS_SINCE_LAST:
        return nearest(Fraction(inputs[now].at - taken[-1][1], 10**9))
    return _moment(item, [Fraction(value) / 10**item.scale for value in values])


def _moment(item: Aggregate, values: list[Fraction]) -> float | None:
    count, total = len(values), sum(values, Fraction(0))
    if item.function is Function.MEAN:
        return nearest(total / count)
    if count < 2:
        return None
    squares = sum((value * value for value in values), Fraction(0))
    variance = nearest((count * squares - total * total) / (count * (count - 1)))
    if variance is None or item.function is Function.VARIANCE:
        return variance
    return math.sqrt(variance)
