"""Columns written as JSON lines: what is written is JSON, and reads back as the same columns."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.columns import Batch, Column, Fixed, Kind, Text, pack_letters
from headrace.core.compiled import float_bits
from headrace.events.json_lines import JsonLines
from headrace.events.json_writer import Rendered, lines_of, list_texts, object_texts, write_lines
from headrace.events.schema import EXACT_LIMIT, Field, Role, Schema
from headrace.events.times import TIME_MAX, TIME_MIN

SCHEMA = Schema(
    "Payment",
    (
        Field("id", Kind.TEXT, Role.ID),
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("amount", Kind.MONEY, currency_field="currency", optional=True),
        Field("currency", Kind.CURRENCY, optional=True),
        Field("fee", Kind.MONEY, currency="EUR", scale=2, optional=True),
        Field("country", Kind.COUNTRY, optional=True),
        Field("rate", Kind.DECIMAL, scale=8, optional=True),
        Field("risk", Kind.FLOAT, optional=True),
        Field("count", Kind.INT, optional=True),
        Field("ok", Kind.BOOL, optional=True),
        Field('a "note"', Kind.TEXT, optional=True),
    ),
)
TEXTS = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from('"\\\n\t\x01\x1f\x7f/é🧀')),
    max_size=12,
).map(lambda text: text.replace("\0", ""))
EXACT = st.one_of(st.integers(-EXACT_LIMIT, EXACT_LIMIT), st.integers(-2000, 2000))
TIMES = st.one_of(
    st.integers(TIME_MIN, TIME_MAX),
    st.integers(-(2**40), 2**40).map(lambda us: us * 1000),
    st.integers(-(10**12), 10**12).map(lambda ms: ms * 10**6),
    st.integers(-(10**9), 10**9).map(lambda s: s * 10**9),
)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


@st.composite
def payments(draw: st.DrawFn) -> tuple[Any, ...]:
    currency = draw(maybe(st.sampled_from(["EUR", "JPY", "BHD", "CLF"])))
    return (
        draw(TEXTS.filter(bool)),
        draw(TIMES),
        draw(maybe(EXACT)) if currency else None,
        None if currency is None else pack_letters(currency),
        draw(maybe(EXACT)),
        draw(maybe(st.sampled_from(["DE", "US"]).map(pack_letters))),
        draw(maybe(EXACT)),
        draw(maybe(st.floats(allow_nan=False, allow_infinity=False).map(float_bits))),
        draw(maybe(EXACT)),
        draw(maybe(st.sampled_from([0, 1]))),
        draw(maybe(TEXTS)),
    )


def batch_of(rows: list[tuple[Any, ...]]) -> Batch:
    columns: dict[str, Column] = {}
    for i, field in enumerate(SCHEMA.fields):
        values = [row[i] for row in rows]
        columns[field.name] = Text.of(values) if field.kind is Kind.TEXT else Fixed.of(values)
    return Batch(columns, len(rows))


def same(one: Batch, other: Batch) -> bool:
    for name, column in one.columns.items():
        twin = other.columns[name]
        if isinstance(column, Text) and isinstance(twin, Text):
            if column.strings() != twin.strings():
                return False
        elif isinstance(column, Fixed) and isinstance(twin, Fixed):
            if not np.array_equal(column.values, twin.values):
                return False
            if not np.array_equal(column.valid, twin.valid):
                return False
        else:
            return False
    return len(one) == len(other)


@settings(deadline=None, max_examples=80)
@given(rows=st.lists(payments(), max_size=12))
def test_what_is_written_reads_back_the_same(rows: list[tuple[Any, ...]]) -> None:
    batch = batch_of(rows)
    written = write_lines(SCHEMA, batch)
    parsed = JsonLines(SCHEMA).parse(written)
    assert len(parsed.rejections) == 0
    assert same(batch, parsed.batch)
    for line in written.splitlines():
        assert all(value is not None for value in json.loads(line).values())


def test_amounts_have_the_digits_of_their_currency() -> None:
    euro, yen, dinar = (pack_letters(code) for code in ("EUR", "JPY", "BHD"))
    rows: list[tuple[Any, ...]] = [
        ("a", 0, -5, euro, None, None, 1, None, None, None, None),
        ("b", 0, 1200, yen, None, None, -(10**8), None, None, None, None),
        ("c", 0, 1200, dinar, 0, None, None, None, None, None, None),
    ]
    lines = write_lines(SCHEMA, batch_of(rows)).decode().splitlines()
    assert '"amount":-0.05,' in lines[0]
    assert '"rate":0.00000001' in lines[0]
    assert '"amount":1200,' in lines[1]
    assert '"rate":-1.00000000' in lines[1]
    assert '"amount":1.200,"currency":"BHD","fee":0.00' in lines[2]


OUT = st.fixed_dictionaries(
    {
        "text": maybe(TEXTS),
        "whole": maybe(st.integers(-(2**63), 2**63 - 1)),
        "score": maybe(st.floats()),
        "flag": maybe(st.booleans()),
        "reasons": maybe(st.lists(TEXTS, max_size=3)),
    }
)
TYPES = {
    "text": pa.string(),
    "whole": pa.int64(),
    "score": pa.float64(),
    "flag": pa.bool_(),
    "reasons": pa.list_(pa.string()),
}


@settings(deadline=None, max_examples=80)
@given(rows=st.lists(OUT, max_size=8), skipped=st.integers(0, 3))
def test_any_columns_are_the_json_that_python_reads(
    rows: list[dict[str, Any]], skipped: int
) -> None:
    columns = [
        (name, pa.array([row[name] for row in rows], kind).slice(skipped))
        for name, kind in TYPES.items()
    ]
    found = [json.loads(line) for line in lines_of(columns).decode().split("\n") if line]
    wanted = [
        {
            name: value
            for name, value in row.items()
            if value is not None and not (isinstance(value, float) and not math.isfinite(value))
        }
        for row in rows[skipped:]
    ]
    assert found == wanted
    exact = [
        json.loads(line, parse_float=Decimal, parse_int=Decimal)  # -0 as an int has no sign
        for line in lines_of(columns).splitlines()
    ]
    for row, want in zip(exact, wanted, strict=True):
        if "score" in want:
            assert math.copysign(1, float(row["score"])) == math.copysign(1, want["score"])


def test_objects_and_lists_nest() -> None:
    factors = object_texts([("code", pa.array(["R1", "R2", "R3"])), ("w", pa.array([1.5, 2, 0]))])
    reasons = list_texts(pa.array([0, 2, 3], pa.int32()), Rendered(factors))
    lines = lines_of([("id", pa.array([1, 2])), ("reasons", reasons)]).splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": 1, "reasons": [{"code": "R1", "w": 1.5}, {"code": "R2", "w": 2.0}]},
        {"id": 2, "reasons": [{"code": "R3", "w": 0.0}]},
    ]


@pytest.mark.parametrize("rows", [0, 1, 16_384, 16_385])
def test_rows_are_written_whole_over_pieces(rows: int) -> None:
    numbers = np.arange(rows)
    lists = pa.array([["x"] * (i % 3) for i in range(rows)], pa.list_(pa.string()))
    lines = lines_of([("n", pa.array(numbers)), ("list", lists)]).splitlines()
    assert len(lines) == rows
    if rows:
        last = rows - 1
        assert json.loads(lines[-1]) == {"n": last, "list": ["x"] * (last % 3)}
