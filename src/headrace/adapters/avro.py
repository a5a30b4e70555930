"""Avro payloads as events: one datum each, in binary, without a container's header.

Rows are read by columns (`headrace.events.avro_rows`); whatever is not plain there is read by
fastavro, row by row. Both give the same columns and the same rejections. fastavro is
given the writer's schema without logical types and with texts as bytes: what a value means, and
whether a text is UTF-8, is for validation to say.
"""

from __future__ import annotations

import io
import json
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import fastavro
import fastavro.schema
import numpy as np

from headrace.adapters.payloads import BinaryPayloads
from headrace.core.columns import Kind
from headrace.core.errors import DataError
from headrace.events.avro_rows import plain_fields, read_plain
from headrace.events.avro_schema import avro_schema
from headrace.events.reasons import LONGEST_EVENT, Reason, Rejected, shown
from headrace.events.row_bytes import RowCursor
from headrace.events.times import NS_PER_DAY, STRICT, Reading, Stamp
from headrace.events.values import MinorUnits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.events.row_bytes import RowBytes
    from headrace.events.row_columns import RowColumn
    from headrace.events.schema import Field, Schema
    from headrace.events.text_columns import Mask

_EXPECTED = "one Avro record of the writer's schema, and nothing behind it"

#: Nanoseconds in what a `long` counts, and whether it counts them in UTC.
_TIMES = {
    f"{local}timestamp-{unit}": (ns, not local)
    for local in ("", "local-")
    for unit, ns in (("millis", 10**6), ("micros", 10**3), ("nanos", 1))
}
#: Larger integers are beyond any field, and Python is slow to write them in digits.
_LONGEST_INTEGER = 1024

_BY_PYTHON_TYPE = {
    int: ("int", "long"),
    bytes: ("bytes", "string", "fixed"),
    float: ("float", "double"),
}


class AvroPayloads(BinaryPayloads):
    r"""Reads Avro data as events of one schema; threads may share it.

    Args:
        schema: What each payload should be.
        reading: What the source says of its times where they leave it open.
        writer: The schema that the payloads were written with, as JSON; that of the class
            (`avro_schema`) unless told.
        longest: The most bytes of a payload; a longer one is refused.

    Raises:
        DataError: When the writer's schema is no record, or one that refers to itself.

    >>> from headrace.events.schema import Field, Schema
    >>> payloads = AvroPayloads(Schema("Card", (Field("card", Kind.TEXT), Field("n", Kind.INT))))
    >>> parsed = payloads.parse([b"\x04c1\x06", b"\x04c2"])
    >>> parsed.batch.text("card").strings(), parsed.batch.fixed("n").values.tolist()
    (['c1'], [3])
    >>> parsed.rejections[0].reason.text
    'malformed'
    """

    def __init__(
        self,
        schema: Schema,
        reading: Reading = STRICT,
        *,
        writer: str | None = None,
        longest: int = LONGEST_EVENT,
    ) -> None:
        super().__init__(schema, reading, longest)
        written = _understood(writer if writer is not None else json.dumps(avro_schema(schema)))
        types = {field["name"]: field["type"] for field in written["fields"]}
        self._wanted = [
            (field, types[field.name]) for field in schema.fields if field.name in types
        ]
        self._named = _named_types(written)
        self._physical = fastavro.parse_schema(_physical(written))
        self._plain = plain_fields(written, self._named, types.keys() & set(schema.names))

    def take(self, rows: RowBytes) -> tuple[Mapping[str, RowColumn], Mask]:
        """See `BinaryPayloads.take`; nothing is certain where a field of the event is not plain."""
        if self._plain is None:
            return {}, np.zeros(len(rows), dtype=np.bool_)
        cursor = RowCursor(rows)
        return read_plain(self._plain, cursor), cursor.good

    def values(self, payload: bytes) -> Mapping[str, object] | Rejected:
        """See `BinaryPayloads.values`."""
        stream = io.BytesIO(payload)
        try:
            record: Any = fastavro.schemaless_reader(stream, self._physical, None)
        except Exception:  # noqa: BLE001 - a decoder raises many things over hostile bytes
            # what it says may name an address, which a replay would not see again
            return Rejected(Reason.MALFORMED, "", shown(payload), _EXPECTED)
        if stream.tell() != len(payload):
            return Rejected(Reason.MALFORMED, "", shown(payload), _EXPECTED)
        return {
            field.name: self._value(field, kind, record[field.name]) for field, kind in self._wanted
        }

    def _value(self, field: Field, kind: Any, value: object) -> object:
        """A value as `read_row` takes it, by its type in the writer's schema."""
        if isinstance(kind, list):
            kind = _branch(kind, value, self._named)
        while isinstance(kind, str) and kind in self._named:
            kind = self._named[kind]
        told: Mapping[str, Any] = {"type": kind} if isinstance(kind, str) else kind
        logical = told.get("logicalType", "")
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int):
            return _of_integer(value, told["type"], logical, field)
        if isinstance(value, bytes):
            return _of_bytes(value, told, logical)
        # a record, an array or a map fits no field
        return value if isinstance(value, (str, float)) else (value,)


def _of_integer(value: int, kind: str, logical: object, field: Field) -> object:
    if kind == "long" and logical in _TIMES:
        tick_ns, zoned = _TIMES[str(logical)]
        return Stamp(value * tick_ns, zoned)
    if kind == "int" and logical == "date":
        return Stamp(value * NS_PER_DAY, zoned=False)
    return MinorUnits(value) if field.kind is Kind.MONEY else value


def _of_bytes(value: bytes, told: Mapping[str, Any], logical: object) -> object:
    if logical == "decimal" and told["type"] in ("bytes", "fixed"):
        number = int.from_bytes(value, "big", signed=True)
        if number.bit_length() > _LONGEST_INTEGER:
            return number
        return Decimal(f"{number}E{-int(told.get('scale', 0))}")
    if logical == "uuid" and len(value) == 16:
        return str(uuid.UUID(bytes=value))
    return value


def _branch(union: list[Any], value: object, named: Mapping[str, Any]) -> Any:
    """The branch of a union that a value is of, as far as its Python type says."""
    names = _BY_PYTHON_TYPE.get(type(value), ())
    for branch in union:
        kind = named.get(branch, branch) if isinstance(branch, str) else branch
        if (kind if isinstance(kind, str) else kind["type"]) in names:
            return kind
    return "null"


def _understood(writer: str) -> dict[str, Any]:
    """A writer's schema, its references to named types by their full names."""
    try:
        parsed: Any = fastavro.parse_schema(json.loads(writer))
    except Exception as error:
        raise DataError(
            f"the writer's schema is not one of Avro: {shown(error)}; "
            "expected a record, as `headrace schema --form avro` prints it"
        ) from error
    if not isinstance(parsed, dict) or parsed.get("type") != "record":
        raise DataError(
            f"the writer's schema is {shown(json.dumps(parsed))}; expected a record with the fields"
            " of an event"
        )
    _refuse_recursion(parsed, ())
    _refuse_empty_items(parsed, _named_types(parsed))
    return parsed


def _refuse_recursion(kind: Any, inside: tuple[str, ...]) -> None:
    """Refuse a record within itself: nesting could go deeper than the stack."""
    if isinstance(kind, str) and kind in inside:
        raise DataError(f"the writer's schema has {kind} within itself; expected a flat record")
    is_record = isinstance(kind, dict) and kind.get("type") == "record"
    within = (*inside, kind["name"]) if is_record else inside
    for part in _parts(kind):
        _refuse_recursion(part, within)


def _refuse_empty_items(kind: Any, named: Mapping[str, Any]) -> None:
    """Refuse an array of items without bytes: a few bytes could stand for any number of them."""
    for part in _parts(kind):
        is_array = isinstance(part, dict) and part.get("type") == "array"
        if is_array and _is_empty(part["items"], named):
            raise DataError("the writer's schema has an array of items that have no bytes")
        _refuse_empty_items(part, named)


def _is_empty(kind: Any, named: Mapping[str, Any]) -> bool:
    told = named.get(kind, kind) if isinstance(kind, str) else kind
    if not isinstance(told, dict):
        return bool(told == "null")
    if told["type"] == "record":
        return all(_is_empty(field["type"], named) for field in told["fields"])
    if told["type"] == "fixed":
        return bool(told["size"] == 0)
    return isinstance(told["type"], (dict, str)) and told["type"] == "null"


def _parts(kind: Any) -> list[Any]:
    """The types within a type."""
    if isinstance(kind, list):
        return kind
    if not isinstance(kind, dict):
        return []
    inner = [field["type"] for field in kind.get("fields", ())]
    inner += [kind[name] for name in ("items", "values") if name in kind]
    return inner if isinstance(kind["type"], str) else [*inner, kind["type"]]


def _named_types(kind: Any) -> dict[str, Any]:
    """The named types that a schema defines, by their full names."""
    found = {kind["name"]: kind} if isinstance(kind, dict) and "name" in kind else {}
    for part in _parts(kind):
        found |= _named_types(part)
    return found


def _physical(kind: Any) -> Any:
    """A schema without logical types, its texts as bytes."""
    if kind == "string":
        return "bytes"
    if isinstance(kind, list):
        return [_physical(part) for part in kind]
    if not isinstance(kind, dict):
        return kind
    made = {name: kind[name] for name in ("type", "name", "size", "symbols") if name in kind}
    made["type"] = _physical(kind["type"])
    for inner in ("items", "values"):
        if inner in kind:
            made[inner] = _physical(kind[inner])
    if "fields" in kind:
        made["fields"] = [
            {"name": field["name"], "type": _physical(field["type"])} for field in kind["fields"]
        ]
    return made
