"""Values of the contract, and how they are read from lines: no Headrace in here."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

Data: TypeAlias = Mapping[str, Any]

UNITS = {"d": 86_400 * 10**9, "h": 3_600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6}
UNITS |= {"us": 10**3, "ns": 1}
#: Digits after the point, by ISO 4217, of the currencies that cases use.
DIGITS = {"EUR": 2, "USD": 2, "GBP": 2, "JPY": 0, "KWD": 3, "CLF": 4}
COUNTRIES = {"DE", "FR", "US", "JP"}
LIMIT = 2**53 - 1
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
STAMP = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", flags=re.ASCII
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?", flags=re.ASCII)


@dataclass(frozen=True, order=True)
class Time:
    """Nanoseconds since 1970."""

    ns: int


@dataclass(frozen=True)
class Amount:
    """Minor units of a currency that differs from event to event."""

    minor: int
    currency: str


#: An exact number, a float, a truth value, a text or code, a time, an amount, or missing.
Value: TypeAlias = Fraction | float | bool | str | Time | Amount | None


def duration(text: str) -> int:
    """A length of time in nanoseconds."""
    return sum(int(n) * UNITS[unit] for n, unit in re.findall(r"(\d+)(ms|us|ns|[dhms])", text))


def nearest(value: Fraction) -> float | None:
    """The nearest float, ties to even; missing where it is not finite."""
    try:
        return value.numerator / value.denominator
    except OverflowError:
        return None


def real(value: Value) -> float | None:
    """A number as a float: money in major units, an amount of its own currency in minor ones."""
    if isinstance(value, Amount):
        value = Fraction(value.minor)
    if isinstance(value, Fraction):
        return nearest(value)
    return value if isinstance(value, float) else None


class Refused(Exception):
    """Why a value is not what its field says."""


def exact(text: str, digits: int) -> Fraction:
    """A number by its digits, of which at most so many may stand after the point."""
    if not NUMBER.fullmatch(text):
        raise Refused("wrong type")
    value = Fraction(text)
    if (value * 10**digits).denominator != 1:
        raise Refused("too many digits")
    if abs(value * 10**digits) > LIMIT:
        raise Refused("out of range")
    return value


def stamp(text: str) -> int:
    """A time with its offset, as nanoseconds since 1970."""
    found = STAMP.fullmatch(text)
    if not found:
        raise Refused("bad time")
    moment = dt.datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00"))
    seconds = (moment - EPOCH) // dt.timedelta(seconds=1)
    return seconds * 10**9 + int((found[2] or "").ljust(9, "0"))


def read(spec: Data, given: object, currency: str | None) -> Value:  # noqa: PLR0911 - one way for each type
    """One value of one type."""
    kind, text = spec["type"], str(given)
    if kind in ("event_time", "known_at", "time"):
        return Time(stamp(text))
    if kind == "money":
        if "currency" in spec:
            return exact(text, DIGITS[spec["currency"]])
        assert currency is not None
        amount = exact(text, DIGITS[currency])
        return Amount(int(amount * 10 ** DIGITS[currency]), currency)
    if kind in ("decimal", "int"):
        return exact(text, spec.get("scale", 0))
    if kind == "float":
        return float(text)
    if kind == "bool":
        return bool(given)
    if kind == "currency" and text not in DIGITS:
        raise Refused("unknown currency")
    if kind == "country" and text not in COUNTRIES:
        raise Refused("unknown country")
    if kind in ("id", "key", "ref") and not text:
        raise Refused("empty")
    return text


def read_event(specs: Data, line: Data) -> tuple[dict[str, Value], str | None]:
    """The fields of one line, and why it is refused: the first bad field of the schema says so."""
    values: dict[str, Value] = {}
    wrong: dict[str, str] = {}
    # an amount is read after its currency, wherever that stands
    for name, spec in sorted(specs.items(), key=lambda item: "currency_field" in item[1]):
        given = line.get(name)
        values[name] = None
        if given is None:
            if not (spec.get("optional") or spec["type"] == "known_at"):
                wrong[name] = "missing"
            continue
        currency = spec.get("currency_field")
        if currency in wrong:
            continue
        if currency is not None and values[currency] is None:
            wrong[name] = "currency missing"
            continue
        try:
            code = values[currency] if currency is not None else None
            values[name] = read(spec, given, str(code))
        except Refused as refused:
            wrong[name] = str(refused)
    return values, next((wrong[name] for name in specs if name in wrong), None)
