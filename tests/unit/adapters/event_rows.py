"""Events of any schema, made up by hypothesis, and written in each form by that form's own library.

An event is what its columns hold: whole units, nanoseconds, codes as text. None is missing.
"""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import fastavro
from google.protobuf import message_factory
from hypothesis import strategies as st

from headrace.adapters.proto_files import message_of, writer_of
from headrace.core.columns import Batch, Fixed, Kind, Text
from headrace.events.avro_schema import avro_schema
from headrace.events.countries import codes
from headrace.events.currencies import digits_by_code
from headrace.events.schema import EXACT_LIMIT, Field, Role, Schema
from headrace.events.times import TIME_MAX, TIME_MIN, Stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.events.parsed import Parsed

Row = dict[str, Any]

_KINDS = [kind for kind in Kind if kind is not Kind.MONEY]
_EXACT = st.one_of(
    st.integers(-100, 100),
    st.integers(-EXACT_LIMIT, EXACT_LIMIT),
    st.sampled_from([EXACT_LIMIT, -EXACT_LIMIT, 0, -1, 63, 64, 127, 128, -64, -65, 2**31, 2**32]),
)
_TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40)
_VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: st.one_of(
        _TEXT.filter(bool), st.just("é" * 500), st.sampled_from(["a", "7", '"\\\n'])
    ),
    Kind.TIME: st.one_of(
        st.integers(TIME_MIN, TIME_MAX), st.sampled_from([TIME_MIN, TIME_MAX, 0, -1, 1, 10**9])
    ),
    Kind.MONEY: _EXACT,
    Kind.DECIMAL: _EXACT,
    Kind.INT: _EXACT,
    Kind.CURRENCY: st.sampled_from(sorted(digits_by_code())),
    Kind.COUNTRY: st.sampled_from(sorted(codes())),
    Kind.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    Kind.BOOL: st.booleans(),
}

PAYMENT = Schema(
    "Payment",
    (
        Field("payment_id", Kind.TEXT, Role.ID),
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("card", Kind.TEXT, Role.KEY, longest=20),
        Field("amount", Kind.MONEY, currency_field="currency"),
        Field("currency", Kind.CURRENCY),
        Field("fee", Kind.MONEY, currency="EUR", scale=2, optional=True, minimum=-500),
        Field("country", Kind.COUNTRY, Role.CATEGORY, optional=True),
        Field("rate", Kind.DECIMAL, scale=8, optional=True),
        Field("risk", Kind.FLOAT, optional=True, maximum=1e6),
        Field("count", Kind.INT, optional=True, minimum=-5, maximum=10**15),
        Field("ok", Kind.BOOL, optional=True),
        Field("note", Kind.TEXT, optional=True),
        Field("settled", Kind.TIME, optional=True),
    ),
)
ROW: Row = {
    "payment_id": "p1",
    "at": 1_769_860_800_123_456_789,
    "card": "c1",
    "amount": 1234,
    "currency": "EUR",
    "fee": -10,
    "country": "DE",
    "rate": 108_125_000,
    "risk": 0.25,
    "count": 3,
    "ok": True,
    "note": "Käse 買 🧀",
    "settled": None,
}


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """A schema with fields of any kind, one amount in a currency of its own perhaps."""
    fields = [
        Field("id", Kind.TEXT, Role.ID, longest=4000),
        Field("at", Kind.TIME, Role.EVENT_TIME),
    ]
    for number, kind in enumerate(draw(st.lists(st.sampled_from(_KINDS), max_size=7))):
        scale = draw(st.integers(0, 15)) if kind is Kind.DECIMAL else 0
        optional = draw(st.booleans())
        fields.append(Field(f"f{number}", kind, scale=scale, optional=optional, longest=4000))
    if draw(st.booleans()):
        fields.append(
            Field("fee", Kind.MONEY, currency="BHD", scale=3, optional=draw(st.booleans()))
        )
    if draw(st.booleans()):
        fields.append(Field("amount", Kind.MONEY, currency_field="currency", optional=True))
        fields.append(Field("currency", Kind.CURRENCY))
    return Schema("Event", tuple(draw(st.permutations(fields))))


@st.composite
def rows_of(draw: st.DrawFn, schema: Schema) -> Row:
    """An event of the schema."""
    found = {}
    for field in schema.fields:
        value = _VALUES[field.kind]
        found[field.name] = draw(st.none() | value if field.optional else value)
    return found


def json_payload(schema: Schema, row: Row) -> bytes:
    """An event as a JSON object, exact numbers by their digits."""
    members: Row = {}
    for field in schema.fields:
        value = row[field.name]
        if value is None:
            continue
        if field.kind is Kind.MONEY:
            digits = field.scale if field.currency else digits_by_code()[row[field.currency_field]]
            value = f"{Decimal(value).scaleb(-digits):f}"
        elif field.kind is Kind.DECIMAL:
            value = f"{Decimal(value).scaleb(-field.scale):f}"
        elif field.kind is Kind.TIME:
            value = str(Stamp(value, zoned=True))
        members[field.name] = value
    return json.dumps(members).encode()


class AvroWriter:
    """Writes events with fastavro, by the schema of their class."""

    def __init__(self, schema: Schema) -> None:
        self._fields = schema.fields
        # a time is written as it is, in nanoseconds
        text = json.dumps(avro_schema(schema)).replace("timestamp-nanos", "none")
        self._schema = fastavro.parse_schema(json.loads(text))

    def payload(self, row: Row) -> bytes:
        """An event as one datum."""
        values = dict(row)
        for field in self._fields:
            if field.kind is Kind.DECIMAL and row[field.name] is not None:
                values[field.name] = Decimal(row[field.name]).scaleb(-field.scale)
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, self._schema, values)
        return stream.getvalue()


class ProtobufWriter:
    """Writes events with Google's library, by the message of their class."""

    def __init__(self, schema: Schema) -> None:
        self._fields = schema.fields
        self.message: Any = message_factory.GetMessageClass(message_of(writer_of(schema)))

    def payload(self, row: Row) -> bytes:
        """An event as one message."""
        made = self.message()
        for field in self._fields:
            value = row[field.name]
            if value is None:
                continue
            if field.kind is Kind.TIME:
                inner = getattr(made, field.name)
                inner.SetInParent()
                inner.seconds, inner.nanos = divmod(value, 10**9)
            elif field.kind is Kind.DECIMAL:
                setattr(made, field.name, f"{Decimal(value).scaleb(-field.scale):f}")
            else:
                setattr(made, field.name, value)
        data: bytes = made.SerializeToString()
        return data


def assert_same(left: Parsed, right: Parsed) -> None:
    """The same rows, the same bytes of all columns, and the same rejections."""
    assert left.received == right.received
    assert left.rows.tolist() == right.rows.tolist()
    assert left.rejections.rows.tolist() == right.rejections.rows.tolist()
    for i in range(len(left.rejections)):
        assert left.rejections[i] == right.rejections[i]
    assert_same_columns(left.batch, right.batch)


def assert_same_columns(left: Batch, right: Batch) -> None:
    """The same bytes of all columns."""
    assert list(left.columns) == list(right.columns)
    for name, one in left.columns.items():
        other = right.columns[name]
        assert one.valid.tobytes() == other.valid.tobytes(), name
        if isinstance(one, Fixed):
            assert isinstance(other, Fixed)
            assert one.values.tobytes() == other.values.tobytes(), name
        else:
            assert isinstance(other, Text)
            assert one.offsets.tobytes() == other.offsets.tobytes(), name
            assert one.data.tobytes() == other.data.tobytes(), name


def lines(payloads: Sequence[bytes]) -> bytes:
    """Payloads of JSON as lines."""
    return b"".join(payload + b"\n" for payload in payloads)
