"""Protobuf payloads as events: one message each.

Messages are read by columns (`headrace.events.proto_rows`); whatever is not plain there is read by
Google's library, row by row. Both give the same columns and the same rejections. The library is
given a message with the fields of the event alone, texts as bytes and enums as numbers: what a
value means, and whether a text is UTF-8, is for validation to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Proto
from google.protobuf.message import DecodeError

from headrace.adapters.payloads import BinaryPayloads
from headrace.adapters.proto_files import message_of, writer_of
from headrace.core.columns import Kind
from headrace.events.proto_rows import WIRE_TYPES, MessageField, read_messages
from headrace.events.reasons import LONGEST_EVENT, Reason, Rejected, shown
from headrace.events.row_bytes import RowCursor
from headrace.events.times import STRICT, Reading, Stamp
from headrace.events.values import MinorUnits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.descriptor import FieldDescriptor

    from headrace.adapters.proto_files import ProtoWriter
    from headrace.events.row_bytes import RowBytes
    from headrace.events.row_columns import RowColumn
    from headrace.events.schema import Field, Schema
    from headrace.events.text_columns import Mask

_EXPECTED = "one Protobuf message of the writer's schema"

#: Names of the types, as in a .proto file.
_NAMES: dict[int, str] = {
    int(number): name.removeprefix("TYPE_").lower()
    for name, number in descriptor_pb2.FieldDescriptorProto.Type.items()
}
_TIMESTAMP = "google.protobuf.Timestamp"
#: Messages that stand for one value, and their fields.
_HOLDERS = {
    f"google.protobuf.{kind}Value": [("value", 1)]
    for kind in ("Bool", "Int32", "Int64", "UInt32", "UInt64", "Float", "Double", "String", "Bytes")
} | {"google.type.Decimal": [("value", 1)], _TIMESTAMP: [("seconds", 1), ("nanos", 2)]}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A field of the event and the one that the writer has of its name."""

    field: Field
    written: FieldDescriptor
    symbols: dict[int, bytes]

    @property
    def holder(self) -> str:
        """The full name of the message that the field is, if it stands for one value."""
        kind = self.written.message_type
        if kind is None or self.written.is_repeated:
            return ""
        # another file may have a message of the same name that is something else
        fields = [
            (part.name, part.number)
            for part in kind.fields
            if part.message_type is None and part.enum_type is None and not part.is_repeated
        ]
        return kind.full_name if fields == _HOLDERS.get(kind.full_name) else ""


class ProtobufPayloads(BinaryPayloads):
    r"""Reads Protobuf messages as events of one schema; threads may share it.

    Args:
        schema: What each payload should be.
        reading: What the source says of its times where they leave it open.
        writer: The message that the payloads were written as; that of the class (`proto_text`)
            unless told.
        longest: The most bytes of a payload; a longer one is refused.

    Raises:
        DataError: When the writer's files are no descriptors, or do not have the message.

    >>> from headrace.events.schema import Field, Schema
    >>> schema = Schema("Card", (Field("card", Kind.TEXT), Field("n", Kind.INT)))
    >>> payloads = ProtobufPayloads(schema)
    >>> parsed = payloads.parse([b"\x0a\x02c1\x10\x03", b"\x0a\x02c2"])
    >>> parsed.batch.text("card").strings(), parsed.batch.fixed("n").values.tolist()
    (['c1'], [3])
    >>> parsed.rejections[0].field, parsed.rejections[0].reason.text
    ('n', 'missing')
    """

    def __init__(
        self,
        schema: Schema,
        reading: Reading = STRICT,
        *,
        writer: ProtoWriter | None = None,
        longest: int = LONGEST_EVENT,
    ) -> None:
        super().__init__(schema, reading, longest)
        message = message_of(writer if writer is not None else writer_of(schema))
        self._wanted = [
            _Wanted(field, written, _symbols(written))
            for field in schema.fields
            if (written := message.fields_by_name.get(field.name)) is not None
        ]
        self._message = _physical(self._wanted)
        self._known = frozenset(item.written.number for item in self._wanted)
        self._fields = _looked_for(message.fields, self._wanted)

    def take(self, rows: RowBytes) -> tuple[Mapping[str, RowColumn], Mask]:
        """See `BinaryPayloads.take`."""
        cursor = RowCursor(rows)
        return read_messages(self._fields, self._known, cursor), cursor.good

    def values(self, payload: bytes) -> Mapping[str, object] | Rejected:
        """See `BinaryPayloads.values`."""
        try:
            message = self._message.FromString(payload)
        except DecodeError:
            return Rejected(Reason.MALFORMED, "", shown(payload), _EXPECTED)
        return {item.field.name: _value(item, message) for item in self._wanted}


def _value(wanted: _Wanted, message: Any) -> object:
    """A value as `read_row` takes it."""
    name, written = wanted.field.name, wanted.written
    value = getattr(message, name)
    if written.is_repeated:
        return (tuple(value),) if len(value) else None
    if not message.HasField(name):
        if written.has_presence:
            return None
    elif wanted.holder == _TIMESTAMP:
        return _stamp(value.seconds, value.nanos)
    elif wanted.holder:
        value = value.value
    elif _NAMES[written.type] in ("message", "group"):
        return (value,)  # fits no field
    if wanted.symbols:
        return wanted.symbols.get(value, (value,))
    whole = isinstance(value, int) and not isinstance(value, bool)
    return MinorUnits(value) if whole and wanted.field.kind is Kind.MONEY else value


def _stamp(seconds: int, nanos: int) -> object:
    if 0 <= nanos < 10**9:
        return Stamp(seconds * 10**9 + nanos, zoned=True)
    return f"{seconds} seconds and {nanos} nanoseconds"


def _symbols(written: FieldDescriptor) -> dict[int, bytes]:
    kind = written.enum_type
    if kind is None:
        return {}
    # of names for the same number, the first is the one that Protobuf shows
    return {value.number: value.name.encode() for value in reversed(kind.values)}


def _looked_for(fields: Sequence[FieldDescriptor], wanted: list[_Wanted]) -> list[MessageField]:
    """What is taken by columns, by number: fields of the event, and others to pass over."""
    mine = {item.written.number: item for item in wanted}
    found = []
    for written in sorted(fields, key=lambda field: field.number):
        item = mine.get(written.number)
        kind = _NAMES[written.type]
        if written.is_repeated or kind == "group":
            continue
        if item is None:
            found.append(MessageField("", written.number, kind))
        elif item.holder == _TIMESTAMP:
            found.append(MessageField(written.name, written.number, "timestamp"))
        elif item.holder:
            inner = (
                written.message_type.fields_by_name["value"] if written.message_type else written
            )
            found.append(MessageField(written.name, written.number, _NAMES[inner.type], held=True))
        elif kind in WIRE_TYPES and kind != "message":
            found.append(
                MessageField(
                    written.name, written.number, kind, written.has_presence, item.symbols or None
                )
            )
    return found


def _physical(wanted: list[_Wanted]) -> Any:
    """A message class with the wanted fields alone, none of which means anything by itself."""
    file = descriptor_pb2.FileDescriptorProto(name="physical.proto", package="physical")
    message = file.message_type.add(name="Event")
    for item in wanted:
        written = item.written
        kind = "message" if item.holder else _NAMES[written.type]
        field = message.field.add(
            name=item.field.name,
            number=written.number,
            label=Proto.LABEL_REPEATED if written.is_repeated else Proto.LABEL_OPTIONAL,
            type=_physical_type(kind) if not item.holder else Proto.TYPE_MESSAGE,
        )
        if item.holder:
            field.type_name = f".physical.Event.In{written.number}"
            inner = message.nested_type.add(name=f"In{written.number}")
            for part in written.message_type.fields if written.message_type else ():
                inner.field.add(
                    name=part.name,
                    number=part.number,
                    label=Proto.LABEL_OPTIONAL,
                    type=_physical_type(_NAMES[part.type]),
                )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("physical.Event"))


def _physical_type(kind: str) -> Any:
    if kind == "enum":
        return Proto.TYPE_INT32
    if kind in ("string", "message", "group"):
        return Proto.TYPE_BYTES
    return getattr(Proto, f"TYPE_{kind.upper()}")
