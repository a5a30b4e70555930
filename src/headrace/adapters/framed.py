"""Payloads in a registry's wire format: the schema that each was written with is named before it.

A payload begins with the byte 0 and the id of a schema, in four bytes. Of Protobuf the place of the
message in its file follows: how many numbers, and the numbers, as Avro writes integers; a lone 0
stands for the first message.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.adapters.avro import AvroPayloads
from headrace.core.errors import DataError, NotFound
from headrace.events.json_payloads import JsonPayloads
from headrace.events.parsed import Parsed
from headrace.events.reasons import LONGEST_EVENT, Reason, Rejected, shown
from headrace.events.row_bytes import RowBytes
from headrace.events.times import STRICT, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.adapters.payloads import BinaryPayloads
    from headrace.adapters.proto_files import ProtoWriter
    from headrace.adapters.schema_registry import RegisteredSchema, SchemaRegistry
    from headrace.core.columns import Int64s
    from headrace.events.schema import Schema

_HEAD = 5
_FRAMED = "the byte 0, a schema id in four bytes, and the event"
_PLACED = "the place of a message: how many numbers, and the numbers"
_DEEPEST = 16
#: Codecs that are kept, at most.
_MOST_CODECS = 1000


class FramedPayloads:
    """Reads payloads in a registry's wire format as events of one schema; threads may share it.

    Avro, Protobuf and JSON may come mixed, and in any number of versions. A payload whose head is
    not of the format, or that names a schema which the registry does not have, or which is none of
    events, is refused with the reason.

    Args:
        schema: What each payload should be.
        registry: Which has the schemas.
        reading: What the source says of its times where they leave it open.
        longest: The most bytes of a payload without its head; a longer one is refused.
    """

    def __init__(
        self,
        schema: Schema,
        registry: SchemaRegistry,
        reading: Reading = STRICT,
        *,
        longest: int = LONGEST_EVENT,
    ) -> None:
        self.schema = schema
        self._registry = registry
        self._reading = reading
        self._longest = longest
        self._json = JsonPayloads(schema, reading, longest=longest)
        self._codecs: dict[tuple[int, tuple[int, ...]], BinaryPayloads | Rejected] = {}

    def parse(self, payloads: Sequence[bytes]) -> Parsed:
        """Read payloads, one row each.

        Raises:
            LimitReached: When they are more than `row_bytes.LONGEST_BATCH` bytes together.
            Unavailable: The registry has to be asked, and does not answer. None of them was read;
                hand them over again.
            SecurityError: The registry does not let us in.
        """
        rows = RowBytes.of(payloads)
        numbers = _schema_ids(rows)
        parts: list[tuple[Parsed, Int64s]] = []
        for number in np.unique(numbers).tolist():
            places = np.flatnonzero(numbers == number)
            chosen = rows.take(places)
            if number < 0:
                read = [
                    Rejected(Reason.MALFORMED, "", shown(chosen.at(row)), _FRAMED)
                    for row in range(len(chosen))
                ]
                parts.append((Parsed.of(self.schema, read), places))
            else:
                parts += [
                    (parsed, places[inner])
                    for parsed, inner in self._of_schema(number, chosen.behind(_HEAD))
                ]
        if not parts:
            return Parsed.of(self.schema, [])
        return Parsed.merged(parts)

    def readable(self, payloads: Sequence[bytes]) -> int:
        """How many of the first payloads `parse` reads without asking the registry."""
        numbers = _schema_ids(RowBytes.of(payloads))
        made = {number for number, _ in self._codecs}
        for number in np.unique(numbers[numbers >= 0]).tolist():
            known = self._registry.knows(number)
            # what a file imports is looked up with it
            if not known or (number not in made and self._registry.imports(number)):
                numbers = numbers[: int(np.argmax(numbers == number))]
        return len(numbers)

    def _of_schema(self, number: int, rows: RowBytes) -> list[tuple[Parsed, Int64s]]:
        """Rows that were written with one schema, in parts."""
        every = np.arange(len(rows))
        try:
            found = self._registry.schema(number)
        except NotFound:
            expected = f"a schema id that the registry {self._registry.url} has"
            why = Rejected(Reason.UNKNOWN_SCHEMA, "", f"schema id {number}", expected)
            return [(self._all(why, rows), every)]
        if found.form == "JSON":
            payloads = [rows.at(row) for row in range(len(rows))]
            return [(self._json.parse(payloads), every)]
        if found.form == "PROTOBUF":
            return self._of_messages(found, rows)
        return [(self._by(found, (), rows), every)]

    def _of_messages(self, found: RegisteredSchema, rows: RowBytes) -> list[tuple[Parsed, Int64s]]:
        """Messages of one file, by their place in it."""
        first = (rows.data[rows.starts] == 0) & (rows.ends > rows.starts)
        parts = []
        plain = np.flatnonzero(first)
        if len(plain):
            parts.append((self._by(found, (0,), rows.take(plain).behind(1)), plain))
        for row in np.flatnonzero(~first).tolist():
            place = np.array([row])
            read = _message_place(rows.at(row)[: 10 * _DEEPEST])
            one = rows.take(place)
            if read is None:
                why = Rejected(Reason.MALFORMED, "", shown(rows.at(row)), _PLACED)
                parts.append((self._all(why, one), place))
            else:
                message, length = read
                parts.append((self._by(found, message, one.behind(length)), place))
        return parts

    def _by(self, found: RegisteredSchema, message: tuple[int, ...], rows: RowBytes) -> Parsed:
        """Rows that were written with one schema, as one message of it."""
        key = found.number, message
        codec = self._codecs.get(key)
        if codec is None:
            if len(self._codecs) >= _MOST_CODECS:
                self._codecs.clear()
            try:
                codec = self._made(found, message)
            except (DataError, NotFound) as error:
                codec = _unfit(found.number, error)
            self._codecs[key] = codec
        return self._all(codec, rows) if isinstance(codec, Rejected) else codec.read(rows)

    def _made(self, found: RegisteredSchema, message: tuple[int, ...]) -> BinaryPayloads:
        if found.form == "AVRO":
            text = found.text
            if found.references:
                names = ", ".join(reference.name for reference in found.references)
                raise DataError(f"it refers to {names}; expected a schema that stands by itself")
            return AvroPayloads(self.schema, self._reading, writer=text, longest=self._longest)
        if found.form == "PROTOBUF":
            try:  # here, so that Avro can be read without Protobuf's library
                from headrace.adapters.protobuf import ProtobufPayloads  # noqa: PLC0415
            except ImportError as error:
                raise DataError(
                    "it is of PROTOBUF, whose library is not installed; pip install"
                    " 'headrace[protobuf]'"
                ) from error

            writer = _proto_writer(self._registry, found, message)
            return ProtobufPayloads(
                self.schema, self._reading, writer=writer, longest=self._longest
            )
        raise DataError(f"it is of the type {found.form}; expected AVRO, PROTOBUF or JSON")

    def _all(self, why: Rejected, rows: RowBytes) -> Parsed:
        return Parsed.of(self.schema, [why] * len(rows))


def _schema_ids(rows: RowBytes) -> Int64s:
    """The schema id of every row; -1 where the head is not of the format."""
    numbers = np.zeros(len(rows), dtype=np.int64)
    for place in range(1, _HEAD):
        # a short last row is read over its end, into the padding
        numbers = numbers << 8 | rows.data[rows.starts + place]
    framed = (rows.ends - rows.starts >= _HEAD) & (rows.data[rows.starts] == 0)
    return np.where(framed, numbers, -1)


def _message_place(head: bytes) -> tuple[tuple[int, ...], int] | None:
    """The place of a message in its file, and the bytes that say so; None if they do not."""
    numbers: list[int] = []
    at = 0
    while not numbers or len(numbers) <= numbers[0]:
        value = shift = 0
        while True:
            if at >= len(head) or shift > 28:
                return None
            byte = head[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        numbers.append(value >> 1 if value & 1 == 0 else -1)
        if numbers[-1] < 0 or not 0 < numbers[0] <= _DEEPEST:
            return None
    return tuple(numbers[1:]), at


def _proto_writer(
    registry: SchemaRegistry, found: RegisteredSchema, message: tuple[int, ...]
) -> ProtoWriter:
    """A message of a file that the registry has, and the files that it imports."""
    from headrace.adapters.proto_files import ProtoWriter, renamed  # noqa: PLC0415 - as above

    imports: dict[str, bytes] = {}

    def collect(schema: RegisteredSchema, depth: int) -> None:
        for reference in schema.references:
            if reference.name not in imports and depth < _DEEPEST:
                inner = registry.referenced(reference)
                collect(inner, depth + 1)
                imports[reference.name] = renamed(_decoded(inner), reference.name)

    collect(found, 0)
    file = renamed(_decoded(found), f"schema-{found.number}.proto")
    return ProtoWriter(file, tuple(imports.values()), message)


def _decoded(schema: RegisteredSchema) -> bytes:
    try:
        return base64.b64decode(schema.text, validate=True)
    except binascii.Error as error:
        raise DataError(
            "the registry gives Protobuf as text; expected one that gives it serialized"
            " (?format=serialized)"
        ) from error


def _unfit(number: int, error: Any) -> Rejected:
    return Rejected(Reason.UNFIT_SCHEMA, "", f"schema id {number}", shown(error))
