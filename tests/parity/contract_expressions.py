"""Expressions of the contract, evaluated for one event at its own place: no Headrace in here."""

from __future__ import annotations

import datetime as dt
import importlib.resources
import math
import operator
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from contract_values import DIGITS, EPOCH, LIMIT, Amount, Time, nearest, real

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contract import Contract, Input
    from contract_values import Value

FUNCTIONS = {
    "count",
    "sum",
    "mean",
    "variance",
    "std",
    "min",
    "max",
    "first",
    "last",
    "previous",
    "distinct",
    "seconds_since_last",
}


@cache
def zone_of(name: str) -> ZoneInfo:
    """A zone of the package tzdata: a machine's own tables may be of another version."""
    resource = importlib.resources.files("tzdata.zoneinfo").joinpath(*name.split("/"))
    with resource.open("rb") as stream:
        return ZoneInfo.from_file(stream, key=name)


def finite(value: float) -> float | None:
    """A result that is not finite is missing."""
    return value if math.isfinite(value) else None


def guarded(function: Callable[..., float], *given: float | None) -> float | None:
    """A function of floats; missing where an argument is, or where it has no finite result."""
    words = [item for item in given if item is not None]
    if len(words) < len(given):
        return None
    try:
        return finite(function(*words))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None


def haversine(a: float, b: float, c: float, d: float) -> float:
    """Kilometres between two places in degrees, on a sphere of 6371.0088 km."""
    lat, lon, other_lat, other_lon = (math.radians(value) for value in (a, b, c, d))
    half = math.sin((other_lat - lat) / 2) ** 2
    half += math.cos(lat) * math.cos(other_lat) * math.sin((other_lon - lon) / 2) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(min(1.0, half)))


#: What the contract gives to within a few units in the last place.
NEAR: dict[str, Callable[..., float]] = {
    "log": math.log,
    "log1p": math.log1p,
    "exp": math.exp,
    "**": math.pow,
    "great_circle": haversine,
}
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
PARTS: dict[str, Callable[[dt.datetime], int | bool]] = {
    "hour": lambda t: t.hour,
    "minute": lambda t: t.minute,
    "minute_of_day": lambda t: 60 * t.hour + t.minute,
    "weekday": lambda t: t.weekday(),
    "day": lambda t: t.day,
    "month": lambda t: t.month,
    "year": lambda t: t.year,
    "day_of_year": lambda t: t.timetuple().tm_yday,
    "is_weekend": lambda t: t.weekday() >= 5,
}


def literal(value: object) -> Value:
    """A value that stands in an expression."""
    if isinstance(value, bool | float | str) or value is None:
        return value
    assert isinstance(value, int)
    return Fraction(value)


def like(value: Value, other: Value, *, written: bool) -> Value:
    """A literal beside an exact number is exact: what its spelling says."""
    if written and isinstance(other, Fraction) and isinstance(value, float):
        return Fraction(repr(value))
    return value


class Evaluation:
    """Evaluates expressions for one event, at its own place in known order."""

    def __init__(self, contract: Contract, event: Input) -> None:
        self.contract = contract
        self.event = event

    def of(self, expression: Any) -> Value:
        """The value of an expression."""
        if not isinstance(expression, list):
            return literal(expression)
        known = self.event.memory
        if id(expression) not in known:
            known[id(expression)] = self._of(expression[0], expression[1:])
        return known[id(expression)]

    def _of(self, op: str, args: list[Any]) -> Value:  # noqa: C901, PLR0911, PLR0912 - one way for each
        if op == "field":
            assert args[0] == self.event.stream
            return self.event.fields[args[1]]
        if op == "money":
            return Fraction(args[0])
        if op in FUNCTIONS:
            return self.contract.aggregate(op, args, self)
        if op in COMPARE:
            return self.compared(op, *args)
        if op in ("&", "|"):
            return kleene(self.of(args[0]), self.of(args[1]), absorbing=op == "|")
        if op == "~":
            value = self.of(args[0])
            return None if value is None else not value
        if op == "missing":
            return self.of(args[0]) is None
        if op == "in":
            value = self.of(args[0])
            members = [like(literal(m), value, written=True) for m in args[1]]
            return None if value is None else value in members
        if op == "when":
            return self.chosen(args)
        if op == "coalesce":
            given = self.alike(args)
            return next((value for value in given if value is not None), None)
        if op in ("minimum", "maximum"):
            return extreme(self.alike(args), least=op == "minimum")
        if op == "clip":
            value, low, high = self.alike(args)
            return extreme([extreme([value, low], least=False), high], least=True)
        if op in ("in_currency", "as_of"):
            return self.looked_up(op, args)
        if op in PARTS:
            return self.part(op, *args)
        if op in ("is_holiday", "is_session"):
            return None  # libraries' tables, of which the contract says nothing
        if op == "seconds_between":
            first, second = self.of(args[0]), self.of(args[1])
            if not (isinstance(first, Time) and isinstance(second, Time)):
                return None
            return nearest(Fraction(second.ns - first.ns, 10**9))
        return self.number(op, [self.of(arg) for arg in args])

    def number(self, op: str, given: list[Value]) -> Value:
        """Arithmetic: exact for sums of exact numbers, else floats."""
        if op in NEAR:
            return guarded(NEAR[op], *map(real, given))
        if None in given:
            return None
        if op in ("neg", "abs"):
            change: Callable[..., Value] = operator.neg if op == "neg" else abs
            return change(given[0])
        if op == "floor" and isinstance(given[0], Fraction):
            return nearest(Fraction(math.floor(nearest(given[0]) or 0.0)))
        if op in ("+", "-") and all(isinstance(value, Fraction) for value in given):
            return given[0] + given[1] if op == "+" else given[0] - given[1]  # type: ignore[operator]  # fractions
        floats: dict[str, Callable[..., float]] = {
            "+": operator.add,
            "-": operator.sub,
            "*": operator.mul,
            "/": operator.truediv,
            "sqrt": math.sqrt,
            "floor": lambda x: math.copysign(float(math.floor(x)), x) if x else x,
        }
        return guarded(floats[op], *map(real, given))

    def compared(self, op: str, left: Any, right: Any) -> Value:
        """A comparison; missing where a side is."""
        a, b = self.of(left), self.of(right)
        if a is None or b is None:
            return None
        a = like(a, b, written=not isinstance(left, list))
        b = like(b, a, written=not isinstance(right, list))
        if isinstance(a, float) or isinstance(b, float):
            return COMPARE[op](real(a), real(b))
        return COMPARE[op](a, b)

    def alike(self, args: Sequence[Any]) -> list[Value]:
        """Values of one type: all exact, or all floats."""
        given = [self.of(arg) for arg in args]
        written = [not isinstance(arg, list) for arg in args]
        if self.contract.any_float(args):
            return [real(v) if isinstance(v, Fraction | float) else v for v in given]
        return [
            Fraction(repr(v)) if w and isinstance(v, float) else v
            for v, w in zip(given, written, strict=True)
        ]

    def chosen(self, args: Sequence[Any]) -> Value:
        """`when(...).then(...).otherwise(...)`."""
        then, otherwise = self.alike(args[1:])
        return then if self.of(args[0]) is True else otherwise

    def looked_up(self, op: str, args: list[Any]) -> Value:
        """A row of a table as of a time and of what was known."""
        if op == "as_of":
            table, name, at, keys = args
            asked = {key: self.of(value) for key, value in keys.items()}
            row = self.contract.row(table, asked, self.of(at), self.event.seq)
            return row.fields[name] if row else None
        amount, target, table = self.of(args[0]), args[1], args[2]
        at = self.of(args[3]) if len(args) > 3 else Time(self.contract.time(self.event))
        if amount is None or at is None:
            return None
        assert isinstance(amount, Amount)
        if amount.currency == target:
            return Fraction(amount.minor, 10 ** DIGITS[target])
        row = self.contract.row(
            table, {"base": amount.currency, "quote": target}, at, self.event.seq
        )
        rate = row.fields["rate"] if row else None
        if rate is None:
            return None
        assert isinstance(rate, Fraction)
        worth = Fraction(amount.minor, 10 ** DIGITS[amount.currency]) * rate
        minor = round(worth * 10 ** DIGITS[target])  # ties to even
        return Fraction(minor, 10 ** DIGITS[target]) if abs(minor) <= LIMIT else None

    def part(self, op: str, time: Any, zone: str) -> Value:
        """A part of local time."""
        at = self.of(time)
        if not isinstance(at, Time):
            return None
        moment = EPOCH + dt.timedelta(microseconds=at.ns // 1_000)
        found = PARTS[op](moment.astimezone(zone_of(zone)))
        return found if isinstance(found, bool) else Fraction(found)


def extreme(given: Sequence[Value], *, least: bool) -> Value:
    """The least or greatest of values; missing if one is."""
    if None in given:
        return None
    take: Callable[..., Value] = min if least else max
    return take(given)


def kleene(a: Value, b: Value, *, absorbing: bool) -> Value:
    """And, or: what absorbs wins even over missing."""
    if a is absorbing or b is absorbing:
        return absorbing
    return None if a is None or b is None else not absorbing
