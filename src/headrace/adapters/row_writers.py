"""Rows of a table as payloads: decisions for those who read Avro or Protobuf.

The schema is made of the table's columns and goes to a registry; each payload begins with its id.
Columns of decisions come and go with definitions. So every one may be missing, and Protobuf's
numbers follow from the names: the same column has the same number in every definition.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from headrace.core.errors import DataError, DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.adapters.schema_registry import SchemaRegistry

_FIRST_HASHED = 20_000  # behind the numbers that Protobuf keeps for itself
_HASHED = 2**28


class RowWriter(Protocol):
    """Writes rows of tables that have the columns it was made for."""

    def payloads(self, table: pa.Table) -> list[bytes]:
        """The rows, one payload each, in their order."""


def row_writer(
    form: str, name: str, columns: pa.Schema, registry: SchemaRegistry, subject: str
) -> RowWriter:
    """What writes rows in a registry's wire format.

    Args:
        form: `"avro"` or `"protobuf"`.
        name: Of the record or message.
        columns: Of the tables to come: text, integers, floats, truth values, decimals, times, and
            lists of them or of structures of them.
        registry: Gets the schema, under `subject`.
        subject: As `decisions-value`.

    Raises:
        DataError: The form is none of the two, its library is not installed, or the registry
            refuses the schema.
        DefinitionError: A column's name is not of ASCII letters, digits and underscores.
        SecurityError: The registry does not let us in.
        Unavailable: The registry does not answer.
    """
    strange = [
        column for column in columns.names if not (column.isascii() and column.isidentifier())
    ]
    if strange:
        raise DefinitionError(
            f"decisions have the column {strange[0]!r}, which {form} cannot have",
            fix="use letters of ASCII, digits and underscores",
        )
    makers: dict[str, Callable[..., RowWriter]] = {"avro": _AvroRows, "protobuf": _ProtobufRows}
    if form not in makers:
        raise DataError(f"{form!r} is no form of rows; expected one of {', '.join(makers)}")
    try:
        return makers[form](name, columns, registry, subject)
    except ImportError as error:
        raise DataError(
            f"rows in {form} need a library that is not installed ({error.name}); "
            f"pip install 'headrace[{form}]'"
        ) from error


def avro_columns(name: str, columns: pa.Schema) -> dict[str, Any]:
    """The Avro schema of a table's rows; every column may be null.

    >>> avro_columns("Decision", pa.schema([("seq", pa.int64())]))["fields"]
    [{'name': 'seq', 'type': ['null', 'long'], 'default': None}]
    """
    fields = [
        {"name": field.name, "type": ["null", _avro_type(field.type, field.name)], "default": None}
        for field in columns
    ]
    return {"type": "record", "name": name, "fields": fields}


def _avro_type(kind: pa.DataType, name: str) -> Any:
    types = pa.types
    if types.is_dictionary(kind):
        return _avro_type(kind.value_type, name)
    if types.is_list(kind):
        return {"type": "array", "items": ["null", _avro_type(kind.value_type, name)]}
    if types.is_struct(kind):
        return avro_columns(f"{name}_item", pa.schema(list(kind)))
    if types.is_timestamp(kind):
        return {"type": "long", "logicalType": "timestamp-nanos"}
    if types.is_decimal(kind):
        precision = {"precision": kind.precision, "scale": kind.scale}
        return {"type": "bytes", "logicalType": "decimal", **precision}
    return _scalar(kind, {"text": "string", "bool": "boolean", "int": "long", "float": "double"})


def _scalar(kind: pa.DataType, names: dict[str, Any]) -> Any:
    types = pa.types
    if types.is_string(kind) or types.is_large_string(kind):
        return names["text"]
    if types.is_boolean(kind):
        return names["bool"]
    if types.is_integer(kind) and not types.is_uint64(kind):
        return names["int"]
    if types.is_floating(kind):
        return names["float"]
    raise DataError(f"a column of the Arrow type {kind} cannot be written as payloads")


def _python_rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as Python values, times as nanoseconds."""
    columns = [
        (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
        for column in table.columns
    ]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


class _AvroRows:
    """See `row_writer`."""

    def __init__(
        self, name: str, columns: pa.Schema, registry: SchemaRegistry, subject: str
    ) -> None:
        import fastavro  # noqa: PLC0415 - it need not be installed for the other form

        self._write = fastavro.schemaless_writer
        made = avro_columns(name, columns)
        number = registry.register(subject, "AVRO", json.dumps(made))
        self._head = b"\0" + number.to_bytes(4, "big")
        # times are handed over in nanoseconds, as they are written
        text = json.dumps(made).replace("timestamp-nanos", "none")
        self._schema = fastavro.parse_schema(json.loads(text))

    def payloads(self, table: pa.Table) -> list[bytes]:
        """See `RowWriter.payloads`."""
        written = []
        for row in _python_rows(table):
            stream = io.BytesIO()
            stream.write(self._head)
            self._write(stream, self._schema, row)
            written.append(stream.getvalue())
        return written


class _ProtobufRows:
    """See `row_writer`."""

    def __init__(
        self, name: str, columns: pa.Schema, registry: SchemaRegistry, subject: str
    ) -> None:
        # it need not be installed for the other form
        from google.protobuf import message_factory  # noqa: PLC0415

        from headrace.adapters.proto_files import ProtoWriter, message_of  # noqa: PLC0415

        file = _file(name, columns)
        self._message: Any = message_factory.GetMessageClass(message_of(ProtoWriter(file)))
        number = registry.register(subject, "PROTOBUF", base64.b64encode(file).decode())
        # the first message of the file
        self._head = b"\0" + number.to_bytes(4, "big") + b"\0"
        self._decimals = [field.name for field in columns if pa.types.is_decimal(field.type)]
        self._times = [field.name for field in columns if pa.types.is_timestamp(field.type)]

    def payloads(self, table: pa.Table) -> list[bytes]:
        """See `RowWriter.payloads`."""
        written = []
        for row in _python_rows(table):
            times = [(name, row.pop(name)) for name in self._times]
            for name in self._decimals:
                row[name] = None if row[name] is None else f"{row[name]:f}"
            message = self._message(**row)
            for name, ns in times:
                if ns is not None:
                    getattr(message, name).FromNanoseconds(ns)
            written.append(self._head + message.SerializeToString())
        return written


def _file(name: str, columns: pa.Schema) -> bytes:
    """A serialized file with a message of those columns."""
    from google.protobuf import descriptor_pb2  # noqa: PLC0415 - as above

    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    _describe(file.message_type.add(name=name), columns)
    data: bytes = file.SerializeToString()
    return data


def _describe(message: Any, columns: pa.Schema, path: str = "") -> None:
    """Give a message a field for every column."""
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Proto  # noqa: PLC0415

    path = f"{path}.{message.name}"
    types: dict[str, Any] = {
        "text": Proto.TYPE_STRING,
        "bool": Proto.TYPE_BOOL,
        "int": Proto.TYPE_INT64,
        "float": Proto.TYPE_DOUBLE,
    }
    numbers: dict[int, str] = {}
    for column in columns:
        number = _number(column.name)
        if number in numbers:
            raise DataError(
                f"the columns {numbers[number]} and {column.name} get the same number in Protobuf;"
                " expected names that do not: rename one of the features"
            )
        numbers[number] = column.name
        kind = column.type
        field = message.field.add(name=column.name, number=number, label=Proto.LABEL_OPTIONAL)
        if pa.types.is_list(kind):
            field.label, kind = Proto.LABEL_REPEATED, kind.value_type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_struct(kind):
            inner = message.nested_type.add(name=f"{column.name}_item")
            _describe(inner, pa.schema(list(kind)), path)
            field.type, field.type_name = Proto.TYPE_MESSAGE, f"{path}.{inner.name}"
        elif pa.types.is_timestamp(kind):
            field.type, field.type_name = Proto.TYPE_MESSAGE, ".google.protobuf.Timestamp"
        else:
            field.type = Proto.TYPE_STRING if pa.types.is_decimal(kind) else _scalar(kind, types)
        if field.label == Proto.LABEL_OPTIONAL:
            field.proto3_optional, field.oneof_index = True, len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{column.name}")


def _number(name: str) -> int:
    """The number of a column, by its name."""
    return _FIRST_HASHED + zlib.crc32(name.encode()) % _HASHED
