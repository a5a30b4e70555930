from __future__ import annotations

import numpy as np
import pyarrow as pa

from headrace.core.columns import Kind
from headrace.events.quarantine import SCHEMA, quarantined
from headrace.events.reasons import Reason, Rejected
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


def test_records_say_where_and_why_but_show_no_personal_data() -> None:
    table = pa.table(
        {"id": ["a", "b", "c", "d"], "card": ["41111", None, "1", "2"], "n": ["1", "1", "x", "3"]}
    )
    rejections = validate(PAYMENT, table).rejections
    positions = rejections.rows.astype(np.int64) + 100
    batch = quarantined(
        PAYMENT,
        rejections,
        stream="payments",
        source="a.csv",
        positions=positions,
        received_ns=np.full(3, 7, dtype=np.int64),
        lengths=np.array([9, 8, 7], dtype=np.int64),
    )
    assert batch.schema == SCHEMA
    batch.validate(full=True)
    assert batch.column("position").to_pylist() == [100, 101, 102]
    assert batch.column("value").to_pylist() == ["(personal)", "null", "x"]
    assert batch.column("reason").to_pylist() == [
        Reason.TOO_LONG,
        Reason.MISSING,
        Reason.WRONG_TYPE,
    ]
    assert "41111" not in str(batch.to_pydict())


def test_an_event_that_cannot_be_told_apart_is_not_shown() -> None:
    from headrace.events.parsed import Rejections  # noqa: PLC0415 - used here alone

    whole = Rejections.of([0], [Rejected(Reason.MALFORMED, "", '{"card": "4111', "JSON")])
    one = np.zeros(1, dtype=np.int64)
    batch = quarantined(
        PAYMENT, whole, stream="payments", source="-", positions=one, received_ns=one
    )
    assert batch.column("value").to_pylist() == ["(not shown)"]
    assert batch.column("length").to_pylist() == [None]
