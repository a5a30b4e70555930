"""The forms of payloads by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.errors import DataError
from headrace.events.json_payloads import JsonPayloads
from headrace.events.times import STRICT, Reading

if TYPE_CHECKING:
    from headrace.adapters.payloads import PayloadCodec
    from headrace.adapters.schema_registry import SchemaRegistry
    from headrace.events.schema import Schema

#: How a registry's wire format is recorded; it says of each payload what form it is in.
FRAMED = "framed"
FORMS = ("json", "avro", "protobuf", "arrow")


def payload_codec(
    form: str,
    schema: Schema,
    reading: Reading = STRICT,
    *,
    registry: SchemaRegistry | None = None,
) -> PayloadCodec:
    """What reads payloads of a form as events of a schema.

    Args:
        form: One of `FORMS`.
        schema: What each payload should be.
        reading: What the source says of its times where they leave it open.
        registry: Of payloads in a registry's wire format; each then names what it was written
            with, and `form` is only where the library is looked for. Without one, payloads are
            written by the schema of the class, and begin with the event.

    Raises:
        DataError: The form is none of those, or its library is not installed.

    >>> from headrace.core.columns import Kind
    >>> from headrace.events.schema import Field, Schema
    >>> codec = payload_codec("json", Schema("Card", (Field("card", Kind.TEXT),)))
    >>> codec.parse([b'{"card": "c1"}']).batch.text("card").strings()
    ['c1']
    """
    # each form brings its library with it, which need not be there
    try:
        if form == "avro":
            from headrace.adapters.avro import AvroPayloads  # noqa: PLC0415

            made: PayloadCodec = AvroPayloads(schema, reading)
        elif form == "protobuf":
            from headrace.adapters.protobuf import ProtobufPayloads  # noqa: PLC0415

            made = ProtobufPayloads(schema, reading)
        elif form == "arrow":
            from headrace.adapters.arrow_payloads import ArrowPayloads  # noqa: PLC0415

            made = ArrowPayloads(schema, reading)
        elif form == "json":
            made = JsonPayloads(schema, reading)
        else:
            raise DataError(f"{form!r} is no form of payloads; expected one of {', '.join(FORMS)}")
        if registry is None:
            return made
        from headrace.adapters.framed import FramedPayloads  # noqa: PLC0415

        return FramedPayloads(schema, registry, reading)
    except ImportError as error:
        raise DataError(
            f"payloads of {form} need a library that is not installed ({error.name}); "
            f"pip install 'headrace[{form}]'"
        ) from error
