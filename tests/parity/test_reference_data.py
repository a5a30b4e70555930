"""Calendars, rates and places against the libraries and formulas that they stand for."""

from __future__ import annotations

import datetime as dt
import importlib.resources
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from contract import Contract
from contract_expressions import PARTS, haversine
from contract_values import DIGITS, EPOCH, LIMIT
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import told
from ways import Prepared

if TYPE_CHECKING:
    from collections.abc import Sequence

    Line = dict[str, Any]

BASE: Line = {"payment_id": {"type": "id"}, "at": {"type": "event_time"}}
ZONES = importlib.resources.files("tzdata").joinpath("zones").read_text("utf-8").split()


def computed(
    fields: Line, features: Line, lines: Sequence[Line], **more: Any
) -> tuple[list[Any], list[Any]]:
    """What comes out for lines of payments, and what the contract says."""
    case = {"name": "drawn", "on": "payments", "features": features}
    case |= {"streams": {"payments": {"fields": BASE | fields, "lateness": "36500d"}}}
    made = Prepared.of(case | more.pop("case", {}), {"payments": lines, **more})
    contract = Contract(made.data, made.names)
    expected = [told(event, features) for event in contract.run(made.lines)]
    lane, batches = made.run(made.intake(), 10_000)
    return made.told(lane, batches), expected


def field(name: str) -> list[str]:
    """A field of a payment."""
    return ["field", "payments", name]


FIRST, LAST = dt.datetime(1970, 1, 2), dt.datetime(2100, 12, 30)  # noqa: DTZ001 - UTC is added
MOMENTS = st.datetimes(FIRST, LAST)
CHANGES = st.sampled_from([-1, 0, 1, 3_599, 3_600, 86_400])


@settings(deadline=None, max_examples=15, derandomize=True)
@given(st.sampled_from(ZONES), st.lists(st.tuples(MOMENTS, CHANGES), min_size=1, max_size=40))
def test_parts_of_local_time(zone: str, moments: list[tuple[dt.datetime, int]]) -> None:
    """Of any zone, at any time and around the hours at which clocks change."""
    lines = []
    for number, (moment, seconds) in enumerate(moments):
        hour = moment.replace(minute=0, second=0, microsecond=0, tzinfo=dt.UTC)
        for place, at in enumerate((moment, hour + dt.timedelta(seconds=seconds))):
            text = at.replace(tzinfo=dt.UTC).isoformat()
            lines.append({"payment_id": f"{number}-{place}", "at": text})
    made, expected = computed({}, {part: [part, field("at"), zone] for part in PARTS}, lines)
    assert made == expected


CURRENCIES = sorted(DIGITS)
UNITS = st.one_of(st.integers(-LIMIT, LIMIT), st.integers(-2_000, 2_000))
RATES = st.one_of(st.integers(0, LIMIT), st.sampled_from([10**8, 5 * 10**7, 5 * 10**5, 1]))


def decimal(units: int, digits: int) -> str:
    """An integer of the last digit as it is written."""
    whole, rest = divmod(abs(units), 10**digits)
    return "-" * (units < 0) + f"{whole}" + (f".{rest:0{digits}d}" if digits else "")


@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    st.lists(st.tuples(UNITS, st.sampled_from(CURRENCIES), RATES), min_size=1, max_size=40),
    st.sampled_from(CURRENCIES),
)
def test_conversions(drawn: list[tuple[int, str, int]], target: str) -> None:
    """Of any amount at any rate: exact, ties to the even minor unit, missing where too great."""
    table = {
        "fields": {
            "base": {"type": "currency"},
            "quote": {"type": "currency"},
            "rate": {"type": "decimal", "scale": 8},
            "valid_from": {"type": "event_time"},
        },
        "key": ["base", "quote"],
    }
    payments, rates = [], []
    for number, (units, currency, rate) in enumerate(drawn):
        at = (EPOCH + dt.timedelta(seconds=2 * number)).isoformat()
        later = (EPOCH + dt.timedelta(seconds=2 * number + 1)).isoformat()
        row = {"base": currency, "quote": target, "rate": decimal(rate, 8), "valid_from": at}
        amount = {"amount": decimal(units, DIGITS[currency]), "currency": currency}
        rates.append(row)
        payments.append({"payment_id": f"p{number}", "at": later, **amount})
    converted = ["in_currency", field("amount"), target, "rates"]
    fields = {
        "amount": {"type": "money", "currency_field": "currency"},
        "currency": {"type": "currency"},
    }
    made, expected = computed(
        fields, {"converted": converted}, payments, rates=rates, case={"tables": {"rates": table}}
    )
    assert made == expected
    for line in made:
        if line["stream"] == "payments" and line["features"]["converted"] is not None:
            units, currency, rate = drawn[line["position"]]
            worth = Fraction(units, 10 ** DIGITS[currency])
            worth *= 1 if currency == target else Fraction(rate, 10**8)
            half = Fraction(1, 2 * 10 ** DIGITS[target])
            found = Fraction(float.fromhex(line["features"]["converted"]))
            assert abs(found - worth) <= half + abs(worth) / 2**52


DEGREES = st.floats(-90, 90)
TURNS = st.floats(-180, 180)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.lists(st.tuples(DEGREES, TURNS, DEGREES, TURNS), min_size=1, max_size=40))
def test_great_circles(places: list[tuple[float, float, float, float]]) -> None:
    """Distances are the formula's, the same both ways, and none where a place is missing."""
    names = ("a", "b", "c", "d")
    fields = {name: {"type": "float", "optional": True} for name in names}
    lines: list[Line] = [
        {"payment_id": f"p{n}", "at": EPOCH.isoformat()} | dict(zip(names, place, strict=True))
        for n, place in enumerate(places)
    ]
    lines.append({"payment_id": "nowhere", "at": EPOCH.isoformat(), "a": 1.0, "b": 2.0, "c": 3.0})
    here, there = [field("a"), field("b")], [field("c"), field("d")]
    features = {
        "there": ["great_circle", *here, *there],
        "back": ["great_circle", *there, *here],
        "nothing": ["great_circle", *here, *here],
    }
    made, _ = computed(fields, features, lines)
    for place, line in zip(places, made, strict=False):
        found = {name: float.fromhex(value) for name, value in line["features"].items()}
        formula = haversine(*place)
        assert math.isclose(found["there"], formula, rel_tol=1e-9, abs_tol=1e-3)
        assert math.isclose(found["back"], found["there"], rel_tol=1e-12, abs_tol=1e-6)
        assert found["nothing"] == 0.0
    assert made[-1]["features"]["there"] is None
