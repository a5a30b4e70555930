"""The schema of an event class in Avro's terms: what a producer writes, and a registry holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError
from headrace.events.values import expected

if TYPE_CHECKING:
    from headrace.events.schema import Field, Schema

#: 2 ** 53 has 16 digits.
_PRECISION = 16

_TYPES: dict[Kind, object] = {
    Kind.BOOL: "boolean",
    Kind.INT: "long",
    Kind.MONEY: "long",
    Kind.FLOAT: "double",
    Kind.TIME: {"type": "long", "logicalType": "timestamp-nanos"},
    Kind.CURRENCY: "string",
    Kind.COUNTRY: "string",
    Kind.TEXT: "string",
}


def avro_schema(schema: Schema) -> dict[str, Any]:
    """The Avro schema of a class, as the JSON that it is written in.

    Times are `timestamp-nanos`, exact decimals are bytes of the logical type `decimal`. An amount
    is a `long`: whole minor units of its currency. What may be missing is a union with null, and
    null unless told.

    >>> from headrace.events.schema import Field, Schema
    >>> avro_schema(Schema("Fee", (Field("fee", Kind.INT, optional=True),)))["fields"]
    [{'name': 'fee', 'type': ['null', 'long'], 'default': None, 'doc': 'a whole number within \
±9007199254740991'}]

    Raises:
        DefinitionError: When a name is not of ASCII letters, digits and underscores.
    """
    for name in (schema.name, *schema.names):
        if not name.isascii():
            raise DefinitionError(
                f"{schema.name} has the name {name!r}, which Avro cannot have",
                at=schema.at,
                fix="use letters of ASCII, digits and underscores",
            )
    return {
        "type": "record",
        "name": schema.name,
        "fields": [_field(field) for field in schema.fields],
    }


def _field(field: Field) -> dict[str, Any]:
    kind = _TYPES.get(field.kind) or {
        "type": "bytes",
        "logicalType": "decimal",
        "precision": _PRECISION,
        "scale": field.scale,
    }
    made: dict[str, Any] = {"name": field.name, "type": kind}
    if field.optional:
        made |= {"type": ["null", kind], "default": None}
    return {**made, "doc": binary_doc(field)}


def binary_doc(field: Field) -> str:
    """What a field holds in a binary form, where times have no offset and amounts are integers.

    >>> from headrace.events.schema import Field
    >>> binary_doc(Field("fee", Kind.MONEY, currency="EUR", scale=2))
    'whole minor units of EUR, which has 2 digits after the point'
    """
    if field.kind is Kind.TIME:
        return "a time in UTC, from 1678 to 2261"
    if field.kind is not Kind.MONEY:
        return expected(field)
    if field.currency:
        return (
            f"whole minor units of {field.currency}, which has {field.scale} digits after the point"
        )
    return f"whole minor units; their currency is in {field.currency_field}"
