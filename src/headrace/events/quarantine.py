"""Quarantined events: what is kept of an event that could not be accepted, and why.

A record says which source and position the event stood at, so that it can be found and tried again,
and what was wrong with it. It never shows personal data: the value of a `pii` field, and anything
of an event whose fields could not be told apart (it may hold personal data anywhere), are masked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace.core.errors import invariant

if TYPE_CHECKING:
    from headrace.core.columns import Int64s
    from headrace.events.parsed import Rejections
    from headrace.events.schema import Schema

#: One quarantined event.
#:
#: * `stream`: the stream that it was meant for.
#: * `source`: where it came from; a file, a topic, `stdin`.
#: * `position`: its place there: a row, a line, an offset; from 0.
#: * `received`: when it came in.
#: * `reason`: a `headrace.events.reasons.Reason`.
#: * `field`: the first bad field; "" when the event is bad as a whole.
#: * `value`: the bad value as people read it, masked where it may be personal data.
#: * `expected`: what would have been accepted.
#: * `length`: bytes of the event as it came in; missing where its source has none of its own.
SCHEMA = pa.schema(
    [
        pa.field("stream", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("received", pa.timestamp("ns", "UTC"), nullable=False),
        pa.field("reason", pa.uint16(), nullable=False),
        pa.field("field", pa.string(), nullable=False),
        pa.field("value", pa.string(), nullable=False),
        pa.field("expected", pa.string(), nullable=False),
        pa.field("length", pa.int64()),
    ]
)


def masked(schema: Schema, field: str, value: str) -> str:
    """A bad value as quarantine may show it.

    >>> from headrace.core.columns import Kind
    >>> from headrace.events.schema import Field, Schema
    >>> payment = Schema("Payment", (Field("card", Kind.TEXT, pii=True), Field("n", Kind.INT)))
    >>> masked(payment, "n", "x"), masked(payment, "card", "4111"), masked(payment, "", "{...")
    ('x', '(personal)', '(not shown)')
    """
    if not field:
        return "(not shown)"
    if value == "null" or not schema.field(field).pii:
        return value
    return "(personal)"


def quarantined(
    schema: Schema,
    rejections: Rejections,
    *,
    stream: str,
    source: str,
    positions: Int64s,
    received_ns: Int64s,
    lengths: Int64s | None = None,
) -> pa.RecordBatch:
    """The rejections of one reading as records of `SCHEMA`.

    Args:
        schema: What the events should have been.
        rejections: Why they are not.
        stream: The name of the stream.
        source: Where they came from.
        positions: For each rejection, the event's place there.
        received_ns: For each, when it came in, nanoseconds since 1970.
        lengths: For each, its bytes as it came in; None where the source has no bytes of its own.
    """
    count = len(rejections)
    invariant(len(positions) == count and len(received_ns) == count, "one place for each rejection")
    shown = [
        masked(schema, field, value)
        for field, value in zip(rejections.fields, rejections.values, strict=True)
    ]
    columns = [
        pa.array([stream] * count, pa.string()),
        pa.array([source] * count, pa.string()),
        pa.array(np.asarray(positions, dtype=np.int64)),
        pa.array(np.asarray(received_ns, dtype=np.int64)).cast(SCHEMA.field("received").type),
        pa.array(rejections.reasons, pa.uint16()),
        pa.array(rejections.fields, pa.string()),
        pa.array(shown, pa.string()),
        pa.array(rejections.expected, pa.string()),
        pa.nulls(count, pa.int64()) if lengths is None else pa.array(lengths, pa.int64()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
