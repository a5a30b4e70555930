"""The schema of an event class as a Protobuf message: what a producer compiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError
from headrace.events.avro_schema import binary_doc

if TYPE_CHECKING:
    from headrace.events.schema import Schema

TIMESTAMP = "google.protobuf.Timestamp"

_TYPES = {
    Kind.BOOL: "bool",
    Kind.INT: "int64",
    Kind.MONEY: "sint64",
    Kind.DECIMAL: "string",
    Kind.FLOAT: "double",
    Kind.TIME: TIMESTAMP,
    Kind.CURRENCY: "string",
    Kind.COUNTRY: "string",
    Kind.TEXT: "string",
}


@dataclass(frozen=True, slots=True)
class ProtoField:
    """A field of a message; all are `optional`, so that missing is told from 0."""

    name: str
    number: int
    type: str
    doc: str


def proto_fields(schema: Schema) -> list[ProtoField]:
    """The fields of a class as those of a message, numbered in the order of the class.

    Times are `Timestamp`s, exact decimals are texts, an amount is whole minor units of its
    currency.

    >>> from headrace.events.schema import Field, Schema
    >>> [(f.number, f.type) for f in proto_fields(Schema("Fee", (Field("fee", Kind.DECIMAL),)))]
    [(1, 'string')]

    Raises:
        DefinitionError: When a name is not of ASCII letters, digits and underscores.
    """
    for name in (schema.name, *schema.names):
        if not name.isascii():
            raise DefinitionError(
                f"{schema.name} has the name {name!r}, which Protobuf cannot have",
                at=schema.at,
                fix="use letters of ASCII, digits and underscores",
            )
    return [
        ProtoField(field.name, number, _TYPES[field.kind], binary_doc(field))
        for number, field in enumerate(schema.fields, 1)
    ]


def proto_text(schema: Schema) -> str:
    r"""The message of a class as a .proto file.

    >>> from headrace.events.schema import Field, Schema
    >>> print(proto_text(Schema("Tick", (Field("n", Kind.BOOL),))))
    syntax = "proto3";
    <BLANKLINE>
    // Fields are numbered in the order of the class: add new ones at its end.
    message Tick {
      // true or false
      optional bool n = 1;
    }
    <BLANKLINE>
    """
    fields = proto_fields(schema)
    lines = ['syntax = "proto3";', ""]
    if any(field.type == TIMESTAMP for field in fields):
        lines += ['import "google/protobuf/timestamp.proto";', ""]
    lines.append("// Fields are numbered in the order of the class: add new ones at its end.")
    lines.append(f"message {schema.name} {{")
    for field in fields:
        lines.append(f"  // {field.doc}")
        lines.append(f"  optional {field.type} {field.name} = {field.number};")
    return "\n".join([*lines, "}", ""])
