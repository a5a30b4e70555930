"""What quarantine shows of a value that could not be accepted.

It never shows personal data: the value of a `pii` field, and anything of an event whose fields
could not be told apart (it may hold personal data anywhere), are masked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.events.schema import Schema


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
