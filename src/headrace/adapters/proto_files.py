"""Protobuf's descriptors: the message of an event class, and those that a registry holds."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Proto
from google.protobuf.message import DecodeError

from headrace.core.errors import DataError
from headrace.events.proto_schema import TIMESTAMP, proto_fields
from headrace.events.reasons import shown

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

    from headrace.events.schema import Schema

_STANDARD = {
    f"google/protobuf/{name}.proto": f"google.protobuf.{name}_pb2"
    for name in ("any", "descriptor", "duration", "empty", "field_mask", "struct", "timestamp")
} | {"google/protobuf/wrappers.proto": "google.protobuf.wrappers_pb2"}


@dataclass(frozen=True, slots=True)
class ProtoWriter:
    """The message that payloads were written as.

    Attributes:
        file: A serialized `FileDescriptorProto`.
        imports: The files that it imports, serialized, each before those that import it; those of
            Protobuf itself (`google/protobuf/timestamp.proto`) need not be among them.
        message: Which message: its place in the file, then that of a message within it, and so on.
    """

    file: bytes
    imports: tuple[bytes, ...] = ()
    message: tuple[int, ...] = (0,)


def writer_of(schema: Schema) -> ProtoWriter:
    """The message of an event class, as `proto_text` prints it.

    >>> from headrace.core.columns import Kind
    >>> from headrace.events.schema import Field, Schema
    >>> message_of(writer_of(Schema("Card", (Field("card", Kind.TEXT),)))).full_name
    'Card'
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{schema.name}.proto", syntax="proto3")
    message = file.message_type.add(name=schema.name)
    for place, field in enumerate(proto_fields(schema)):
        made = message.field.add(
            name=field.name,
            number=field.number,
            label=Proto.LABEL_OPTIONAL,
            proto3_optional=True,
            oneof_index=place,
        )
        message.oneof_decl.add(name=f"_{field.name}")
        if field.type == TIMESTAMP:
            made.type, made.type_name = Proto.TYPE_MESSAGE, f".{TIMESTAMP}"
        else:
            made.type = getattr(Proto, f"TYPE_{field.type.upper()}")
    if any(field.type == TIMESTAMP for field in proto_fields(schema)):
        file.dependency.append("google/protobuf/timestamp.proto")
    return ProtoWriter(file.SerializeToString())


def renamed(file: bytes, name: str) -> bytes:
    """A serialized file under another name: that which others import it by.

    Raises:
        DataError: It is no file descriptor.
    """
    try:
        made = descriptor_pb2.FileDescriptorProto.FromString(file)
    except DecodeError as error:
        raise DataError(
            f"{shown(file)} is no serialized file descriptor of Protobuf; expected what"
            " ?format=serialized gives"
        ) from error
    made.name = name
    return made.SerializeToString()


def message_of(writer: ProtoWriter) -> Descriptor:
    """The message itself.

    Raises:
        DataError: When the files are no descriptors, lack an import, or do not have the message.
    """
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()
    try:
        for data in (*writer.imports, writer.file):
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            for name in file.dependency:
                if name in _STANDARD:
                    _add_standard(name, pool, added)
            if file.name not in added:
                added.add(file.name)
                pool.Add(file)
        name = _full_name(file, writer.message)
        return pool.FindMessageTypeByName(name)
    except (DecodeError, TypeError, KeyError, IndexError, ImportError) as error:
        raise DataError(
            f"the writer's schema is no Protobuf message: {shown(error)}; expected serialized file"
            f" descriptors with all imports, and a message at {list(writer.message)}"
        ) from error


def _full_name(file: Any, places: tuple[int, ...]) -> str:
    message = file.message_type[places[0]]
    names = [file.package, message.name] if file.package else [message.name]
    for place in places[1:]:
        message = message.nested_type[place]
        names.append(message.name)
    return ".".join(names)


def _add_standard(name: str, pool: Any, added: set[str]) -> None:
    """Add one of Protobuf's own files, and what it imports."""
    if name in added:
        return
    module = importlib.import_module(_STANDARD[name])
    file = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    for inner in file.dependency:
        _add_standard(inner, pool, added)
    added.add(name)
    pool.Add(file)
