from __future__ import annotations

import pyarrow as pa

from headrace.core.columns import Kind
from headrace.events.quarantine import masked
from headrace.events.schema import Field, Role, Schema
from headrace.events.validation import validate

PAYMENT = Schema(
    "Payment",
    (
        Field("id", Kind.TEXT, Role.ID),
        Field("card", Kind.TEXT, Role.KEY, pii=True, longest=4),
        Field("n", Kind.INT),
    ),
)


def test_no_personal_data_are_shown() -> None:
    table = pa.table(
        {"id": ["a", "b", "c", "d"], "card": ["41111", None, "1", "2"], "n": ["1", "1", "x", "3"]}
    )
    told = validate(PAYMENT, table).rejections
    shown = [masked(PAYMENT, told.fields[row], told.values[row]) for row in range(len(told))]
    assert shown == ["(personal)", "null", "x"]


def test_an_event_that_cannot_be_told_apart_is_not_shown() -> None:
    assert masked(PAYMENT, "", '{"card": "4111') == "(not shown)"
