"""Batches go to Arrow and come back as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.columns import Batch, Column, Fixed, Kind, Text, pack_letters
from headrace.core.compiled import float_bits
from headrace.events.arrow_forms import arrow_schema, to_arrow
from headrace.events.currencies import digits_by_code
from headrace.events.schema import EXACT_LIMIT, Field, Role, Schema
from headrace.events.times import TIME_MAX, TIME_MIN
from headrace.events.validation import validate

SCHEMA = Schema(
    "Everything",
    (
        Field("id", Kind.TEXT, Role.ID, longest=4000),
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("amount", Kind.MONEY, currency_field="currency"),
        Field("currency", Kind.CURRENCY),
        Field("fee", Kind.MONEY, currency="BHD", scale=3, optional=True),
        Field("rate", Kind.DECIMAL, scale=15, optional=True),
        Field("country", Kind.COUNTRY, optional=True),
        Field("x", Kind.FLOAT, optional=True),
        Field("n", Kind.INT, optional=True),
        Field("ok", Kind.BOOL, optional=True),
        Field("note", Kind.TEXT, optional=True, longest=4000),
    ),
)
_EXACT = st.integers(-EXACT_LIMIT, EXACT_LIMIT)
_VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1),
    Kind.TIME: st.integers(TIME_MIN, TIME_MAX),
    Kind.MONEY: _EXACT,
    Kind.DECIMAL: _EXACT,
    Kind.INT: _EXACT,
    Kind.CURRENCY: st.sampled_from(sorted(digits_by_code())).map(pack_letters),
    Kind.COUNTRY: st.sampled_from(["AA", "DE", "ZW", "AD"][1:]).map(pack_letters),
    Kind.FLOAT: st.floats(allow_nan=False, allow_infinity=False).map(float_bits),
    Kind.BOOL: st.integers(0, 1),
}


def _columns_equal(left: Column, right: Column) -> bool:
    if isinstance(left, Text) and isinstance(right, Text):
        return left.strings() == right.strings() and left.data.tobytes() == right.data.tobytes()
    assert isinstance(left, Fixed)
    assert isinstance(right, Fixed)
    same_words = np.array_equal(left.values, right.values)
    return same_words and np.array_equal(left.valid, right.valid)


@st.composite
def _batches(draw: st.DrawFn) -> Batch:
    rows = draw(st.integers(0, 8))
    columns: dict[str, Column] = {}
    for field in SCHEMA.fields:
        value = _VALUES[field.kind]
        column = draw(
            st.lists(st.none() | value if field.optional else value, min_size=rows, max_size=rows)
        )
        columns[field.name] = Text.of(column) if field.kind is Kind.TEXT else Fixed.of(column)
    return Batch(columns, rows)


@settings(deadline=None, max_examples=60)
@given(_batches())
def test_the_natural_form_validates_to_the_same_batch(batch: Batch) -> None:
    arrow = to_arrow(SCHEMA, batch)
    arrow.validate(full=True)
    parsed = validate(SCHEMA, arrow)
    assert len(parsed.rejections) == 0
    assert all(_columns_equal(batch.columns[n], parsed.batch.columns[n]) for n in SCHEMA.names)


def test_amounts_read_as_people_write_them() -> None:
    batch = Batch(
        {"amount": Fixed.of([1234, 1234]), "currency": Fixed.of([3241, pack_letters("JPY")])}, 2
    )
    schema = Schema("Few", (SCHEMA.field("amount"), SCHEMA.field("currency")))
    assert [str(value) for value in to_arrow(schema, batch).column("amount").to_pylist()] == [
        "12.3400",
        "1234.0000",
    ]
    assert arrow_schema(schema).field("currency").type == pa.string()
