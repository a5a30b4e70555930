"""What single values mean: the table that everything else is measured by."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal as ExactDecimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.columns import Kind, pack_letters
from headrace.core.errors import DefinitionError
from headrace.events import countries, currencies
from headrace.events.decimals import Refused, exact_units, near_units, nearest_units
from headrace.events.reasons import LONGEST_SHOWN, Reason, Rejected, shown
from headrace.events.schema import EXACT_LIMIT, Field, Role, Schema
from headrace.events.times import STRICT, TIME_MAX, TIME_MIN, Reading, Stamp, read_time_text
from headrace.events.values import Number, expected, read_row, read_value

ID = Field("id", Kind.TEXT, Role.ID, longest=6)
NOTE = Field("note", Kind.TEXT, optional=True, longest=6)
EURO = Field("eur", Kind.MONEY, currency="EUR", scale=2)
RATE = Field("rate", Kind.DECIMAL, scale=8)
N = Field("n", Kind.INT)
X = Field("x", Kind.FLOAT)
OK = Field("ok", Kind.BOOL)
AT = Field("at", Kind.TIME, Role.EVENT_TIME)
CURRENCY = Field("currency", Kind.CURRENCY)
COUNTRY = Field("country", Kind.COUNTRY)

SECOND = 10**9

MEANINGS: list[tuple[Field, object, object]] = [
    (ID, "a", "a"),
    (ID, Number("12"), "12"),
    (ID, 12, "12"),
    (ID, Number("1e2"), Reason.WRONG_TYPE),
    (ID, 1.5, Reason.WRONG_TYPE),
    (ID, True, Reason.WRONG_TYPE),
    (ID, "", Reason.EMPTY),
    (ID, None, Reason.MISSING),
    (ID, "äöüß", Reason.TOO_LONG),
    (ID, "a\0b", Reason.NUL_CHARACTER),
    (ID, b"\xff", Reason.BAD_UTF8),
    (ID, "\ud800", Reason.BAD_UTF8),
    (NOTE, "", ""),
    (NOTE, None, None),
    (NOTE, " a ", " a "),
    (EURO, "12.34", 1234),
    (EURO, Number("12.34"), 1234),
    (EURO, Number("1234e-2"), 1234),
    (EURO, "12.3400", 1234),
    (EURO, "12", 1200),
    (EURO, 12, 1200),
    (EURO, ExactDecimal("12.34"), 1234),
    (EURO, "-0.00", 0),
    (EURO, "12.345", Reason.TOO_MANY_DIGITS),
    (EURO, "12,34", Reason.WRONG_TYPE),
    (EURO, " 12", Reason.WRONG_TYPE),
    (EURO, "90071992547409.91", EXACT_LIMIT),
    (EURO, "90071992547409.92", Reason.OUT_OF_RANGE),
    (EURO, Number("1e999999999999"), Reason.OUT_OF_RANGE),
    (EURO, Number("1e-999999999999"), 0),
    (EURO, Number("0.30000000000000004"), 30),
    (EURO, "-434.99999999999994", -43_500),
    (EURO, "12.34000001", 1234),
    (EURO, "12.340000011", Reason.TOO_MANY_DIGITS),
    (EURO, "12.33999999", 1234),
    (EURO, "12.339999989", Reason.TOO_MANY_DIGITS),
    (EURO, "0.305", Reason.TOO_MANY_DIGITS),
    (EURO, "90071992547409.9100000001", EXACT_LIMIT),
    (EURO, "90071992547409.9199999999", Reason.OUT_OF_RANGE),
    (EURO, ExactDecimal("0.30000000000000004"), Reason.TOO_MANY_DIGITS),
    (N, "12.00000000000001", Reason.TOO_MANY_DIGITS),
    (EURO, Number("0e999999999999"), 0),
    (EURO, 12.34, 1234),
    (EURO, 0.1 + 0.2, 30),
    (EURO, 12.340000001, 1234),
    (EURO, 12.3400001, Reason.NOT_EXACT),
    (EURO, 0.3333, Reason.NOT_EXACT),
    (EURO, 9_999_999_999.99, 999_999_999_999),
    (EURO, 80_000_000_000_000.01, Reason.NOT_EXACT),  # two amounts share this float
    (EURO, math.inf, Reason.NOT_FINITE),
    (EURO, math.nan, Reason.MISSING),
    (EURO, True, Reason.WRONG_TYPE),
    (RATE, "1.08345678", 108_345_678),
    (RATE, 1.08345678, 108_345_678),
    (N, "007", 7),
    (N, Number("1e3"), 1000),
    (N, Number("12.0"), 12),
    (N, "12.5", Reason.TOO_MANY_DIGITS),
    (N, 12.0, 12),
    (N, 12.5, Reason.NOT_EXACT),
    (N, 10**1500, Reason.OUT_OF_RANGE),
    (N, 2**53, Reason.OUT_OF_RANGE),
    (X, "0.1", 0.1),
    (X, Number("1e400"), Reason.OUT_OF_RANGE),
    (X, "nan", Reason.WRONG_TYPE),
    (X, -math.inf, Reason.NOT_FINITE),
    (OK, Number("1"), 1),
    (OK, "False", 0),
    (OK, "yes", Reason.WRONG_TYPE),
    (OK, 2, Reason.WRONG_TYPE),
    (AT, "1970-01-01T00:00:01Z", SECOND),
    (AT, "1970-01-01 01:00:01.000000001+01:00", SECOND + 1),
    (AT, "1970-01-01T00:00Z", 0),
    (AT, "1970-01-01T00:00:00.0000000010Z", 1),
    (AT, "1970-01-01T00:00:00.0000000001Z", Reason.BAD_TIME),
    (AT, "1970-01-01T00:00:60Z", Reason.BAD_TIME),
    (AT, "1970-01-01T24:00:00Z", Reason.BAD_TIME),
    (AT, "1970-02-29T00:00:00Z", Reason.BAD_TIME),
    (AT, "01.02.1970", Reason.BAD_TIME),
    (AT, "1970-01-01T00:00:01", Reason.OFFSET_MISSING),
    (AT, "1970-01-01", Reason.OFFSET_MISSING),
    (AT, "1677-12-31T23:59:59Z", Reason.OUT_OF_RANGE),
    (AT, "2262-01-01T00:00:00Z", Reason.OUT_OF_RANGE),
    (AT, Number("1"), Reason.WRONG_TYPE),
    (AT, dt.datetime(1970, 1, 1, 0, 0, 0, 1, dt.UTC), 1000),
    (AT, dt.datetime(1970, 1, 1), Reason.OFFSET_MISSING),  # noqa: DTZ001 - a wall clock is the point
    (AT, Stamp(5, zoned=True), 5),
    (CURRENCY, "EUR", pack_letters("EUR")),
    (CURRENCY, "eur", Reason.UNKNOWN_CURRENCY),
    (CURRENCY, "XXX", Reason.UNKNOWN_CURRENCY),
    (CURRENCY, 978, Reason.WRONG_TYPE),
    (COUNTRY, "DE", pack_letters("DE")),
    (COUNTRY, "UK", Reason.UNKNOWN_COUNTRY),
]


@pytest.mark.parametrize(("field", "value", "meaning"), MEANINGS)
def test_a_value_means(field: Field, value: object, meaning: object) -> None:
    read = read_value(field, value)
    if isinstance(meaning, Reason):
        assert isinstance(read, Rejected)
        assert read.reason is meaning
        assert read.field == field.name
        assert read.expected == expected(field)
    else:
        assert read == meaning
        assert type(read) is type(meaning)


BERLIN = Reading(zone="Europe/Berlin", epoch="ms")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("1970-01-01", -3600 * SECOND),
        ("2026-03-29T02:30:00", Reason.NO_SUCH_LOCAL_TIME),
        ("2026-10-25T02:30:00", Reason.AMBIGUOUS_LOCAL_TIME),
        ("2026-10-25T02:30:00+01:00", 1_792_891_800 * SECOND),
        ("1500", 1_500_000_000),
        ("0.000001", 1),
        ("0.0000001", Reason.TOO_MANY_DIGITS),
    ],
)
def test_a_source_says_its_zone_and_unit(text: str, meaning: object) -> None:
    read = read_value(AT, text, reading=BERLIN)
    assert (read.reason if isinstance(read, Rejected) else read) == meaning


def test_a_zone_or_unit_that_is_none_is_refused() -> None:
    with pytest.raises(DefinitionError, match="Europe/Nowhere"):
        Reading(zone="Europe/Nowhere")
    with pytest.raises(DefinitionError, match="minutes"):
        Reading(epoch="minutes")


@settings(deadline=None)
@given(
    st.datetimes(dt.datetime(1680, 1, 1), dt.datetime(2261, 1, 1)),  # noqa: DTZ001 - a wall clock
    st.integers(-1439, 1439),
)
def test_iso_times_agree_with_python(wall: dt.datetime, minutes: int) -> None:
    zoned = wall.replace(tzinfo=dt.timezone(dt.timedelta(minutes=minutes)))
    since = zoned - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    ns = (since // dt.timedelta(microseconds=1)) * 1000
    assert read_time_text(zoned.isoformat(), STRICT) == ns


@settings(deadline=None)
@given(st.integers(TIME_MIN, TIME_MAX), st.sampled_from(["Europe/Berlin", "Africa/Monrovia"]))
def test_a_local_time_is_read_as_its_zone_shows_it(ns: int, zone: str) -> None:
    seconds = ns // SECOND
    utc = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
    wall = utc.astimezone(ZoneInfo(zone))
    read = read_value(AT, wall.replace(tzinfo=None), reading=Reading(zone=zone))
    if isinstance(read, Rejected):
        assert read.reason is Reason.AMBIGUOUS_LOCAL_TIME or not seconds * SECOND >= TIME_MIN
    else:
        assert read == seconds * SECOND


@settings(deadline=None)
@given(
    st.from_regex(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.integers(0, 15),
)
def test_digits_are_read_exactly(text: str, digits: int) -> None:
    exact = Fraction(text) * 10**digits
    try:
        units = exact_units(text, digits, EXACT_LIMIT)
    except Refused as refused:
        found: object = refused.reason
    else:
        found = units
    if exact.denominator != 1:
        assert found is Reason.TOO_MANY_DIGITS
    elif abs(exact) > EXACT_LIMIT:
        assert found is Reason.OUT_OF_RANGE
    else:
        assert found == exact


#: A number near a unit: some whole, then digits that leave it a little above or below.
NEAR = st.tuples(
    st.sampled_from(["", "-"]),
    st.integers(0, 10**16).map(str),
    st.integers(0, 4),
    st.sampled_from(["0", "9"]),
    st.integers(0, 9),
    st.from_regex(r"[0-9]{0,12}", fullmatch=True),
).map(lambda it: f"{it[0]}{it[1]}.{'4' * it[2]}{it[3] * it[4]}{it[5]}0")


@settings(deadline=None, max_examples=500)
@given(
    NEAR
    | st.floats(-1e9, 1e9).map(repr)
    | st.from_regex(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.integers(0, 15),
)
def test_text_stands_for_the_unit_that_it_is_nearly(text: str, digits: int) -> None:
    exact = Fraction(text) * 10**digits
    units = round(exact)
    try:
        found: object = near_units(text, digits, EXACT_LIMIT)
    except Refused as refused:
        found = refused.reason
    if abs(exact - units) > Fraction(1, 10**6):
        assert found is Reason.TOO_MANY_DIGITS
    elif abs(units) > EXACT_LIMIT:
        assert found is Reason.OUT_OF_RANGE
    else:
        assert found == units


@settings(deadline=None)
@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9), st.integers(0, 3))
def test_sums_of_floats_mean_the_same_as_text_and_as_floats(a: int, b: int, digits: int) -> None:
    added = a / 10**digits + b / 10**digits
    assert near_units(repr(added), digits, EXACT_LIMIT) == a + b
    assert nearest_units(added, digits, EXACT_LIMIT) == a + b


@settings(deadline=None)
@given(st.integers(-(2**51), 2**51), st.integers(0, 8))
def test_the_float_of_an_amount_is_that_amount(units: int, digits: int) -> None:
    assert nearest_units(float(Fraction(units, 10**digits)), digits, EXACT_LIMIT) == units


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.integers(0, 4))
def test_a_float_far_from_every_unit_is_refused(value: float, digits: int) -> None:
    scaled = Fraction(value) * 10**digits
    distance = abs(scaled - round(scaled))
    if distance > Fraction(11, 10**7):
        with pytest.raises(Refused):
            nearest_units(value, digits, EXACT_LIMIT)
    elif distance < Fraction(9, 10**7):
        assert nearest_units(value, digits, EXACT_LIMIT) == round(scaled)


ROW = Schema(
    "Payment",
    (ID, Field("amount", Kind.MONEY, currency_field="currency"), CURRENCY, NOTE),
)


@pytest.mark.parametrize(
    ("values", "field", "reason"),
    [
        ({"id": "a", "amount": "1", "currency": "XYZ"}, "currency", Reason.UNKNOWN_CURRENCY),
        ({"id": "a", "amount": "x", "currency": "XYZ"}, "currency", Reason.UNKNOWN_CURRENCY),
        ({"id": "a", "currency": "XYZ"}, "amount", Reason.MISSING),
        ({"id": "", "amount": "x", "currency": "XYZ"}, "id", Reason.EMPTY),
        ({"id": "a", "amount": "1.5", "currency": "JPY"}, "amount", Reason.TOO_MANY_DIGITS),
    ],
)
def test_the_first_bad_field_says_why(values: dict[str, Any], field: str, reason: Reason) -> None:
    read = read_row(ROW, values)
    assert isinstance(read, Rejected)
    assert (read.field, read.reason) == (field, reason)


def test_an_amount_takes_the_digits_of_its_currency() -> None:
    for code, units in (("JPY", 5), ("EUR", 500), ("BHD", 5000), ("CLF", 50_000)):
        read = read_row(ROW, {"id": "a", "amount": "5", "currency": code})
        assert isinstance(read, dict)
        assert read["amount"] == units


def test_an_amount_without_its_currency_means_nothing() -> None:
    schema = Schema(
        "Loose",
        (Field("c", Kind.CURRENCY, optional=True), Field("m", Kind.MONEY, currency_field="c")),
    )
    read = read_row(schema, {"m": "5"})
    assert isinstance(read, Rejected)
    assert read.reason is Reason.CURRENCY_MISSING


@given(st.text() | st.binary() | st.integers() | st.floats() | st.none())
def test_what_is_shown_is_printable_and_short(value: object) -> None:
    text = shown(value)
    assert text.isprintable()
    assert len(text) <= LONGEST_SHOWN


def test_the_tables_are_the_ones_that_were_reviewed() -> None:
    assert len(currencies.digits_by_code()) == 180
    assert len(countries.codes()) == 249
    assert max(currencies.digits_by_code().values()) == 4
    # held against ISO 4217's lists one and three of 2026-01-01, and against ISO 3166-1
    assert currencies.digest() == (
        "6d492f7bda0c5b2f478c87e03c244efe147e259668041914ab9a4b273f8c80db"
    )
    assert countries.digest() == (
        "d17b2a48bbf8e8f5b6bc1bea2dc02f71012751d6be054147d3f66d7c9fadb04d"
    )


def test_reasons_are_numbered_for_good() -> None:
    assert len(set(Reason)) == len(Reason.__members__)
    assert max(Reason) < 2**16
