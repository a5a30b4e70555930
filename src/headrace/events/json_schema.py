"""The schema of an event class as JSON Schema: what a body of JSON should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.core.columns import Kind
from headrace.events.schema import EXACT_LIMIT
from headrace.events.values import NEVER_EMPTY, expected

if TYPE_CHECKING:
    from headrace.events.schema import Field, Schema

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: Digits after the point of an amount whose currency varies: those of the finest currency.
_DIGITS_OF_ANY = 4


def json_schema(schema: Schema) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one event of a class.

    Exact numbers are texts of digits, which no program rounds; a number is accepted in their place
    where it is read, as is text for a number. Members that the class does not have are allowed.

    >>> from headrace.events.schema import Field, Schema
    >>> made = json_schema(Schema("Tick", (Field("n", Kind.INT, minimum=0),)))
    >>> made["required"], made["properties"]["n"]["minimum"]
    (['n'], 0)
    """
    return {
        "$schema": _DIALECT,
        "title": schema.name,
        "type": "object",
        "properties": {field.name: _member(field) for field in schema.fields},
        "required": [field.name for field in schema.fields if not field.optional],
    }


def _member(field: Field) -> dict[str, Any]:
    made: dict[str, Any] = {"description": expected(field)} | _typed(field)
    if field.optional:
        made["type"] = [made["type"], "null"]
    return made


def _typed(field: Field) -> dict[str, Any]:
    if field.kind is Kind.TEXT:
        # of characters, which may be of more than one byte
        return {
            "type": "string",
            "minLength": int(field.role in NEVER_EMPTY),
            "maxLength": field.longest,
            "pattern": r"^[^\u0000]*$",
        }
    if field.kind in (Kind.MONEY, Kind.DECIMAL):
        digits = _DIGITS_OF_ANY if field.currency_field else field.scale
        after = rf"(\.[0-9]{{1,{digits}}})?" if digits else ""
        return {"type": "string", "pattern": rf"^-?[0-9]+{after}$"}
    if field.kind is Kind.INT:
        least = -EXACT_LIMIT if field.minimum is None else field.minimum
        most = EXACT_LIMIT if field.maximum is None else field.maximum
        return {"type": "integer", "minimum": least, "maximum": most}
    if field.kind is Kind.FLOAT:
        limits = {"minimum": field.minimum, "maximum": field.maximum}
        return {"type": "number"} | {k: v for k, v in limits.items() if v is not None}
    return {
        Kind.BOOL: {"type": "boolean"},
        Kind.TIME: {"type": "string", "format": "date-time"},
        Kind.CURRENCY: {"type": "string", "pattern": "^[A-Z]{3}$"},
        Kind.COUNTRY: {"type": "string", "pattern": "^[A-Z]{2}$"},
    }[field.kind]
