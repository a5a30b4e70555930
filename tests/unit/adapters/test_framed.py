"""Payloads in a registry's wire format: any mix of schemas, and the ways in which one is bad."""

from __future__ import annotations

import base64
import io
import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastavro
import pytest
from event_rows import (
    PAYMENT,
    ROW,
    AvroWriter,
    ProtobufWriter,
    assert_same,
    assert_same_columns,
    json_payload,
)
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    timestamp_pb2,
    wrappers_pb2,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from registry_stub import RegistryStub, serving
from test_payloads import mutated

from headrace.adapters.avro import AvroPayloads
from headrace.adapters.framed import FramedPayloads
from headrace.adapters.payload_forms import payload_codec
from headrace.adapters.payloads import FEW
from headrace.adapters.proto_files import ProtoWriter, writer_of
from headrace.adapters.protobuf import ProtobufPayloads
from headrace.adapters.registry_settings import RegistrySettings
from headrace.adapters.schema_registry import SchemaRegistry
from headrace.core.columns import Kind
from headrace.core.errors import DataError, Unavailable
from headrace.events.avro_schema import avro_schema
from headrace.events.json_lines import JsonLines
from headrace.events.reasons import Reason
from headrace.events.row_bytes import RowBytes
from headrace.events.schema import Field, Role, Schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.events.reasons import Rejected

Proto = descriptor_pb2.FieldDescriptorProto
GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "payloads"

SMALL = Schema(
    "Payment",
    (
        Field("payment_id", Kind.TEXT, Role.ID),
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("amount", Kind.MONEY, currency="EUR", scale=2),
        Field("shop", Kind.TEXT, Role.CATEGORY, optional=True),
        Field("rate", Kind.DECIMAL, scale=4, optional=True),
    ),
)
AT = {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}
ID = {"name": "payment_id", "type": "string"}
AMOUNT = {"name": "amount", "type": "long"}
EVENT = {"payment_id": "p1", "at": 1_769_860_800_123, "amount": 1234}


@pytest.fixture
def stub() -> Iterator[RegistryStub]:
    with serving(RegistryStub()) as served:
        yield served


def codec(stub: RegistryStub, schema: Schema = SMALL, patience: float = 60.0) -> FramedPayloads:
    settings = RegistrySettings(stub.url, patience_seconds=patience)
    return FramedPayloads(schema, SchemaRegistry(settings))


def framed(number: int, payload: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + payload


def record(*fields: Any) -> str:
    return json.dumps({"type": "record", "name": "P", "namespace": "bank", "fields": fields})


def datum(text: str, event: dict[str, Any]) -> bytes:
    """An event as fastavro writes it, logical types left to the values."""
    stream = io.BytesIO()
    physical = json.loads(text.replace("logicalType", "told"))
    fastavro.schemaless_writer(stream, fastavro.parse_schema(physical), event)
    return stream.getvalue()


def read(stub: RegistryStub, text: str, event: dict[str, Any]) -> dict[str, Any] | Rejected:
    """One event by a writer's schema, read alone and among many, which must agree."""
    payload = framed(stub.add("AVRO", text), datum(text, event))
    payloads = codec(stub)
    one, many = payloads.parse([payload]), payloads.parse([payload] * FEW)
    assert one.received == 1
    if len(one.rejections):
        assert all(many.rejections[i] == one.rejections[0] for i in range(FEW))
        return one.rejections[0]
    assert_same_columns(one.batch, many.batch.take(many.rows[:1]))
    found: dict[str, Any] = {}
    for name, column in one.batch.columns.items():
        values = column.strings() if hasattr(column, "strings") else column.values.tolist()
        found[name] = values[0] if column.valid[0] else None
    return found


PLAIN = {
    "payment_id": "p1",
    "at": 1_769_860_800_123_000_000,
    "amount": 1234,
    "shop": None,
    "rate": None,
}


@pytest.mark.parametrize(
    ("fields", "more", "expected"),
    [
        ([ID, AT, AMOUNT], {}, {}),
        # a field that the class does not know, of any type
        ([ID, AT, AMOUNT, {"name": "x", "type": ["null", "string"]}], {"x": "new"}, {}),
        ([{"name": "x", "type": "double"}, ID, AT, AMOUNT], {"x": 0.5}, {}),
        (
            [ID, AT, AMOUNT, {"name": "x", "type": {"type": "array", "items": "int"}}],
            {"x": [1, 2]},
            {},
        ),
        (
            [ID, AT, AMOUNT, {"name": "x", "type": {"type": "map", "values": "int"}}],
            {"x": {"a": 1}},
            {},
        ),
        # an optional field: present, null, in either order of the union, in other types
        ([ID, AT, AMOUNT, {"name": "shop", "type": ["string", "null"]}], {"shop": None}, {}),
        (
            [ID, AT, AMOUNT, {"name": "shop", "type": ["string", "null"]}],
            {"shop": "ä"},
            {"shop": "ä"},
        ),
        (
            [ID, AT, AMOUNT, {"name": "shop", "type": ["null", "int", "string"]}],
            {"shop": 7},
            {"shop": "7"},
        ),
        (
            [
                ID,
                AT,
                AMOUNT,
                {"name": "shop", "type": {"type": "enum", "name": "S", "symbols": ["A", "B"]}},
            ],
            {"shop": "B"},
            {"shop": "B"},
        ),
        (
            [ID, AT, AMOUNT, {"name": "shop", "type": {"type": "fixed", "name": "F", "size": 2}}],
            {"shop": b"ab"},
            {"shop": "ab"},
        ),
        # the same field twice by a named type
        (
            [
                {"name": "x", "type": {"type": "enum", "name": "S", "symbols": ["A", "B"]}},
                {"name": "shop", "type": ["null", "bank.S"]},
                *[ID, AT, AMOUNT],
            ],
            {"x": "A", "shop": "B"},
            {"shop": "B"},
        ),
        # decimals in bytes and in fixed, of more digits and of fewer
        (
            [
                ID,
                AT,
                AMOUNT,
                {"name": "rate", "type": {"type": "bytes", "logicalType": "decimal", "scale": 2}},
            ],
            {"rate": (-125).to_bytes(1, "big", signed=True)},
            {"rate": -12_500},
        ),
        (
            [
                ID,
                AT,
                AMOUNT,
                {
                    "name": "rate",
                    "type": {
                        "type": "fixed",
                        "name": "D",
                        "size": 12,
                        "logicalType": "decimal",
                        "scale": 6,
                    },
                },
            ],
            {"rate": (1_230_000).to_bytes(12, "big", signed=True)},
            {"rate": 12_300},
        ),
        # an amount as a decimal is in whole units
        (
            [
                ID,
                AT,
                {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "scale": 1}},
            ],
            {"amount": b"\x7d"},
            {"amount": 1250},
        ),
        ([ID, AT, {"name": "amount", "type": "int"}], {"amount": -5}, {"amount": -5}),
        ([ID, AT, {"name": "amount", "type": "string"}], {"amount": "12.34"}, {}),
        (
            [{"name": "payment_id", "type": "long"}, AT, AMOUNT],
            {"payment_id": 12},
            {"payment_id": "12"},
        ),
        (
            [ID, {"name": "at", "type": "string"}, AMOUNT],
            {"at": "2026-01-31T12:00:00.123Z"},
            {},
        ),
        (
            [
                ID,
                {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
                AMOUNT,
            ],
            {"at": 1_769_860_800_123_000},
            {},
        ),
    ],
)
def test_schemas_that_fit(
    stub: RegistryStub, fields: list[Any], more: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert read(stub, record(*fields), {**EVENT, **more}) == {**PLAIN, **expected}


@pytest.mark.parametrize(
    ("fields", "more", "field", "reason"),
    [
        ([ID, AT], {}, "amount", Reason.MISSING),
        ([ID, AMOUNT], {}, "at", Reason.MISSING),
        (
            [ID, AT, {"name": "amount", "type": "boolean"}],
            {"amount": True},
            "amount",
            Reason.WRONG_TYPE,
        ),
        (
            [ID, AT, {"name": "amount", "type": ["null", "long"]}],
            {"amount": None},
            "amount",
            Reason.MISSING,
        ),
        (
            [ID, AT, {"name": "amount", "type": "double"}],
            {"amount": 0.001},
            "amount",
            Reason.NOT_EXACT,
        ),
        (
            [ID, AT, {"name": "amount", "type": {"type": "array", "items": "long"}}],
            {"amount": [5]},
            "amount",
            Reason.WRONG_TYPE,
        ),
        (
            [
                ID,
                AT,
                {
                    "name": "amount",
                    "type": {
                        "type": "record",
                        "name": "M",
                        "fields": [{"name": "n", "type": "long"}],
                    },
                },
            ],
            {"amount": {"n": 5}},
            "amount",
            Reason.WRONG_TYPE,
        ),
        # a number of no unit, a wall clock of no zone, a day
        ([ID, {"name": "at", "type": "long"}, AMOUNT], {"at": 5}, "at", Reason.WRONG_TYPE),
        (
            [
                ID,
                {"name": "at", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
                AMOUNT,
            ],
            {"at": 5},
            "at",
            Reason.OFFSET_MISSING,
        ),
        (
            [ID, {"name": "at", "type": {"type": "int", "logicalType": "date"}}, AMOUNT],
            {"at": 5},
            "at",
            Reason.OFFSET_MISSING,
        ),
        (
            [
                ID,
                AT,
                AMOUNT,
                {"name": "rate", "type": {"type": "bytes", "logicalType": "decimal", "scale": 9}},
            ],
            {"rate": b"\x01"},
            "rate",
            Reason.TOO_MANY_DIGITS,
        ),
        (
            [
                ID,
                AT,
                AMOUNT,
                {"name": "rate", "type": {"type": "bytes", "logicalType": "decimal", "scale": 2}},
            ],
            {"rate": b"\x01" * 5000},
            "rate",
            Reason.OUT_OF_RANGE,
        ),
    ],
)
def test_schemas_that_do_not_fit(
    stub: RegistryStub, fields: list[Any], more: dict[str, Any], field: str, reason: Reason
) -> None:
    rejected: Any = read(stub, record(*fields), {**EVENT, **more})
    assert (rejected.field, rejected.reason) == (field, reason)
    assert rejected.expected


@pytest.mark.parametrize(
    ("form", "text", "why"),
    [
        ("AVRO", '"string"', "expected a record"),
        ("AVRO", "{nonsense", "is not one of Avro"),
        ("AVRO", record({"name": "p", "type": "nonsense"}), "is not one of Avro"),
        (
            "AVRO",
            '{"type": "record", "name": "P", "fields": [{"name": "p", "type": ["null", "P"]}]}',
            "within itself",
        ),
        (
            "AVRO",
            record({"name": "x", "type": {"type": "array", "items": "null"}}),
            "items that have no bytes",
        ),
        ("PROTOBUF", "no base64", "serialized"),
        ("PROTOBUF", base64.b64encode(b"\xff\xff").decode(), "serialized"),
        ("PROTOBUF", base64.b64encode(b"").decode(), "no Protobuf message"),
        ("XML", "<a/>", "expected AVRO, PROTOBUF or JSON"),
    ],
)
def test_a_schema_that_is_none_of_events_refuses_its_events_alone(
    stub: RegistryStub, form: str, text: str, why: str
) -> None:
    bad, good = stub.add(form, text), stub.add("AVRO", record(ID, AT, AMOUNT))
    event = datum(record(ID, AT, AMOUNT), EVENT)
    parsed = codec(stub).parse([framed(bad, b"\0\0"), framed(good, event), framed(bad, b"\0x")])
    assert parsed.rows.tolist() == [1]
    for i in range(2):
        rejected = parsed.rejections[i]
        assert rejected.reason is Reason.UNFIT_SCHEMA
        assert rejected.value == f"schema id {bad}"
        assert why in rejected.expected


PASSED: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("float", st.just(0.5)),
    ("double", st.floats()),
    ("string", st.text(max_size=9)),
    ("bytes", st.binary(max_size=9)),
    ({"type": "fixed", "name": "F", "size": 3}, st.just(b"abc")),
    ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, st.sampled_from("AB")),
    (["null", "string", "long"], st.none() | st.text(max_size=3) | st.integers(0, 500)),
    ({"type": "array", "items": ["null", "int"]}, st.lists(st.none() | st.just(7), max_size=70)),
    (
        {"type": "map", "values": "string"},
        st.dictionaries(st.text("abc", max_size=3), st.just("x")),
    ),
    (
        {
            "type": "record",
            "name": "R",
            "fields": [
                {"name": "a", "type": {"type": "array", "items": {"type": "map", "values": "int"}}},
                {"name": "b", "type": ["null", {"type": "record", "name": "S", "fields": [ID]}]},
            ],
        },
        st.fixed_dictionaries(
            {
                "a": st.lists(st.dictionaries(st.text("ab", max_size=2), st.just(1)), max_size=4),
                "b": st.none() | st.just({"payment_id": "within"}),
            }
        ),
    ),
]


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_fields_of_any_type_are_passed_over(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(range(len(PASSED))), min_size=1, unique=True))
    more = [{"name": f"x{place}", "type": PASSED[place][0]} for place in chosen]
    text = record(*data.draw(st.permutations([ID, AT, AMOUNT, *more])))
    payloads = [
        datum(text, {**EVENT, **{f"x{place}": data.draw(PASSED[place][1]) for place in chosen}})
        for _ in range(4)
    ]
    rng = random.Random(data.draw(st.integers(0, 99)))
    payloads += [mutated(rng, payload) for payload in payloads]
    payloads_codec = AvroPayloads(SMALL, writer=text)
    rows = RowBytes.of(payloads * (FEW // 8))
    assert_same(payloads_codec.read(rows), payloads_codec.row_by_row(rows))
    _, good = payloads_codec.by_columns(RowBytes.of(payloads[:4]))
    if 11 not in chosen:  # lists that are long go the other way
        assert good.all()


def test_heads_that_are_none_and_ids_that_nobody_knows(stub: RegistryStub) -> None:
    text = record(ID, AT, AMOUNT)
    number = stub.add("AVRO", text)
    event = datum(text, EVENT)
    payloads = [
        framed(number, event),
        b"",
        b"\0",
        b"\0\0\0\0",
        b"\x01" + framed(number, event)[1:],
        json.dumps(EVENT).encode(),
        framed(77, event),
        framed(2**32 - 1, event),
        framed(number, b""),
        framed(number, event + b"\0"),
        framed(number, event[:-1]),
        framed(number, event),
    ]
    parsed = codec(stub).parse(payloads)
    assert parsed.rows.tolist() == [0, 11]
    reasons = [parsed.rejections[i].reason for i in range(10)]
    assert reasons == [Reason.MALFORMED] * 5 + [Reason.UNKNOWN_SCHEMA] * 2 + [Reason.MALFORMED] * 3
    assert "the registry http://127.0.0.1" in parsed.rejections[5].expected
    assert parsed.rejections[5].value == "schema id 77"
    assert [path for path in stub.requests if "77" in path] == ["/schemas/ids/77"]


def _serialized(schema: Schema) -> str:
    return base64.b64encode(writer_of(schema).file).decode()


def test_forms_and_versions_come_mixed(stub: RegistryStub) -> None:
    rng = random.Random(3)
    avro, protobuf = AvroWriter(PAYMENT), ProtobufWriter(PAYMENT)
    ids = {
        "avro": stub.add("AVRO", json.dumps(avro_schema(PAYMENT))),
        "protobuf": stub.add("PROTOBUF", _serialized(PAYMENT)),
        "json": stub.add("JSON", "{}"),
    }
    rows = [{**ROW, "payment_id": f"p{i}", "count": i} for i in range(500)]
    payloads = []
    for row in rows:
        form = rng.choice(list(ids))
        if form == "avro":
            body = avro.payload(row)
        elif form == "protobuf":
            body = rng.choice([b"\0", b"\x02\0"]) + protobuf.payload(row)
        else:
            body = json_payload(PAYMENT, row)
        payloads.append(framed(ids[form], body))
    parsed = codec(stub, PAYMENT).parse(payloads)
    lines = b"\n".join(json_payload(PAYMENT, row) for row in rows)
    assert_same(parsed, JsonLines(PAYMENT).parse(lines))


def test_threads_share_what_was_looked_up(stub: RegistryStub) -> None:
    text = record(ID, AT, AMOUNT)
    ids = [stub.add("AVRO", text) for _ in range(5)]
    payloads = [framed(number, datum(text, EVENT)) for number in ids * 20]
    shared = codec(stub)
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(shared.parse, [payloads] * 16))
    for parsed in read:
        assert_same(parsed, read[0])
    assert len(read[0].rows) == len(payloads)
    assert sorted(stub.requests) == [f"/schemas/ids/{number}" for number in ids]


def test_nothing_is_read_while_the_registry_is_gone_and_all_of_it_after() -> None:
    kept = RegistryStub()
    text = record(ID, AT, AMOUNT)
    known, late = kept.add("AVRO", text), kept.add("AVRO", text)
    event = datum(text, EVENT)
    with serving(kept) as served:
        port = int(served.url.rsplit(":", 1)[1])
        payloads = codec(served, patience=0.3)
        assert payloads.parse([framed(known, event)]).rows.tolist() == [0]
    # what is known goes on
    assert payloads.parse([framed(known, event)]).rows.tolist() == [0]
    mixed = [framed(known, event), framed(late, event), b"?"]
    for _ in range(2):
        with pytest.raises(Unavailable, match="nothing was lost"):
            payloads.parse(mixed)
    with serving(kept, port=port):
        parsed = payloads.parse(mixed)
    assert parsed.rows.tolist() == [0, 1]
    assert parsed.rejections.rows.tolist() == [2]


def _file(fields: dict[str, tuple[int, Any]], syntax: str = "proto3") -> Any:
    """A file with a message that is not wanted, and one that has those fields within it."""
    file = descriptor_pb2.FileDescriptorProto(name="a.proto", package="bank", syntax=syntax)
    file.message_type.add(name="Other")
    message = file.message_type.add(name="Outer").nested_type.add(name="Payment")
    enum = file.enum_type.add(name="Shop")
    enum.value.add(name="NONE", number=0)
    enum.value.add(name="GROCER", number=5)
    for name, (number, kind) in fields.items():
        field = message.field.add(name=name, number=number, label=Proto.LABEL_OPTIONAL)
        if isinstance(kind, str):
            field.type_name = kind
            field.type = Proto.TYPE_ENUM if kind.endswith("Shop") else Proto.TYPE_MESSAGE
        elif isinstance(kind, list):
            field.type, field.label = kind[0], Proto.LABEL_REPEATED
        else:
            field.type = kind
    return file


def _class(file: Any, *imports: Any) -> Any:
    pool = descriptor_pool.DescriptorPool()
    for item in (*imports, file):
        pool.Add(item)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bank.Outer.Payment"))


STRING, SINT, INT = Proto.TYPE_STRING, Proto.TYPE_SINT64, Proto.TYPE_INT64
OLD: dict[str, tuple[int, Any]] = {
    "payment_id": (1, STRING),
    "at": (2, STRING),
    "amount": (3, SINT),
}
EVENT_OLD = {"payment_id": "p1", "at": "2026-01-31T12:00:00.123Z", "amount": 1234}


@pytest.mark.parametrize(
    ("fields", "more", "expected"),
    [
        ({}, {}, {}),
        ({"x": (9, Proto.TYPE_DOUBLE)}, {"x": 0.5}, {}),
        ({"x": (9, [INT])}, {"x": [1, 2, 3]}, {}),
        ({"x": (9, ".bank.Other")}, {"x": None}, {}),
        ({"shop": (4, ".bank.Shop")}, {"shop": 5}, {"shop": "GROCER"}),
        ({"shop": (4, ".bank.Shop")}, {}, {"shop": "NONE"}),  # without presence it is the first
        ({"rate": (7, STRING)}, {"rate": "1.25"}, {"rate": 12_500}),
        ({"rate": (700, Proto.TYPE_FLOAT)}, {"rate": 0.5}, {"rate": 5_000}),
        ({"amount": (3, Proto.TYPE_SFIXED32)}, {"amount": -9}, {"amount": -9}),
        ({"amount": (3, Proto.TYPE_UINT64)}, {"amount": 9}, {"amount": 9}),
        ({"amount": (3, STRING)}, {"amount": "12.34"}, {}),
        ({"amount": (1000, Proto.TYPE_INT32)}, {"amount": -7}, {"amount": -7}),
        ({"rate": (4, ".bank.Other")}, {}, {}),
        ({"rate": (4, [INT])}, {"rate": []}, {}),
        ({"shop": (4, [INT])}, {"shop": [5]}, ("shop", Reason.WRONG_TYPE)),
        ({"shop": (4, ".bank.Other")}, {"shop": None}, ("shop", Reason.WRONG_TYPE)),
        ({"shop": (4, ".bank.Shop")}, {"shop": 6}, ("shop", Reason.WRONG_TYPE)),
        ({"amount": (3, Proto.TYPE_BOOL)}, {"amount": True}, ("amount", Reason.WRONG_TYPE)),
        (
            {"amount": (3, Proto.TYPE_UINT64)},
            {"amount": 2**64 - 1},
            ("amount", Reason.OUT_OF_RANGE),
        ),
        ({"at": (2, INT)}, {"at": 5}, ("at", Reason.WRONG_TYPE)),
    ],
)
@pytest.mark.parametrize("syntax", ["proto3", "proto2"])
def test_messages_of_another_version(
    stub: RegistryStub,
    fields: dict[str, Any],
    more: dict[str, Any],
    expected: Any,
    syntax: str,
) -> None:
    file = _file({**OLD, **fields}, syntax)
    message = _class(file)()
    unnamed = b""
    for name, value in {**EVENT_OLD, **more}.items():
        if name == "shop" and value == 6:
            unnamed = b"\x20\x06"  # a number that the enum does not have
        elif value is None:
            getattr(message, name).SetInParent()
        elif isinstance(value, list):
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)
    if syntax == "proto2" and expected == {"shop": "NONE"}:
        expected = {}
    number = stub.add("PROTOBUF", base64.b64encode(file.SerializeToString()).decode())
    written = message.SerializeToString() + unnamed
    payload = framed(number, b"\x04\x02\x00" + written)
    payloads = codec(stub)
    one = payloads.parse([payload])
    by_columns = payloads._codecs[number, (1, 0)].read(  # type: ignore[union-attr]  # it is one
        RowBytes.of([written] * FEW)
    )
    if isinstance(expected, tuple):
        rejected = one.rejections[0]
        assert (rejected.field, rejected.reason) == expected
        assert by_columns.rejections[FEW - 1] == rejected
        return
    assert_same_columns(one.batch, by_columns.batch.take(by_columns.rows[:1]))
    wanted = {**PLAIN, **expected}
    for name, column in one.batch.columns.items():
        values: Any = column.strings() if hasattr(column, "strings") else column.values.tolist()
        assert (values[0] if column.valid[0] else None) == wanted[name]


def test_a_message_that_imports_others(stub: RegistryStub) -> None:
    price = descriptor_pb2.FileDescriptorProto(name="price.proto", package="bank", syntax="proto3")
    price.message_type.add(name="Price").field.add(
        name="n", number=1, type=INT, label=Proto.LABEL_OPTIONAL
    )
    inner = stub.add(
        "PROTOBUF", base64.b64encode(price.SerializeToString()).decode(), subject="price"
    )
    assert stub.subjects["price"] == [inner]
    file = _file(
        {
            **OLD,
            "at": (2, ".google.protobuf.Timestamp"),
            "shop": (4, ".google.protobuf.StringValue"),
            "x": (5, ".bank.Price"),
        }
    )
    file.dependency.extend(
        ["google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto", "price.proto"]
    )
    text = base64.b64encode(file.SerializeToString()).decode()
    number = stub.add(
        "PROTOBUF", text, references=[{"name": "price.proto", "subject": "price", "version": 1}]
    )
    body = (
        b"\x0a\x02p1\x12\x06\x08\xc0\xdd\xf7\xcb\x06\x18\xa4\x13\x22\x03\x0a\x01s\x2a\x02\x08\x07"
    )
    parsed = codec(stub).parse([framed(number, b"\x04\x02\x00" + body)])
    assert parsed.batch.text("shop").strings() == ["s"]
    assert parsed.batch.fixed("at").values.tolist() == [1_769_860_800 * 10**9]
    # a place that the file does not have, or that is none
    for place in (
        b"\x04\x02\x08",
        b"\x02\x08",
        b"\x7f",
        b"\x04",
        b"\xff\xff\xff\xff\xff\xff",
        b"\x01",
    ):
        refused = codec(stub).parse([framed(number, place)])
        assert refused.rejections[0].reason in (Reason.UNFIT_SCHEMA, Reason.MALFORMED), place


def _with_holders() -> tuple[Any, ProtoWriter]:
    """A message whose values are messages of their own: its class, and what a codec is given."""
    decimal = descriptor_pb2.FileDescriptorProto(
        name="google/type/decimal.proto", package="google.type", syntax="proto3"
    )
    decimal.message_type.add(name="Decimal").field.add(
        name="value", number=1, type=STRING, label=Proto.LABEL_OPTIONAL
    )
    file = _file(
        {
            "payment_id": (1, ".google.protobuf.StringValue"),
            "at": (2, ".google.protobuf.Timestamp"),
            "card": (3, ".google.protobuf.BytesValue"),
            "amount": (4, ".google.protobuf.Int64Value"),
            "currency": (5, STRING),
            "rate": (17, ".google.type.Decimal"),
            "risk": (18, ".google.protobuf.FloatValue"),
            "count": (19, ".google.protobuf.UInt32Value"),
            "ok": (20, ".google.protobuf.BoolValue"),
        }
    )
    names = ("google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto")
    file.dependency.extend([*names, decimal.name])
    imports = []
    for module in (timestamp_pb2, wrappers_pb2):
        standard = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(standard)
        imports.append(standard)
    writer = ProtoWriter(file.SerializeToString(), (decimal.SerializeToString(),), (1, 0))
    return _class(file, *imports, decimal), writer


def test_values_in_messages_of_their_own() -> None:
    made, writer = _with_holders()
    message = made(currency="EUR")
    message.payment_id.value, message.card.value, message.amount.value = "p1", b"c1", 1234
    message.at.FromNanoseconds(ROW["at"])
    message.rate.value, message.risk.value = "1.08125", 0.25
    message.ok.SetInParent()  # false is not written
    payload = message.SerializeToString()
    payloads = ProtobufPayloads(PAYMENT, writer=writer)
    parsed, good = payloads.by_columns(RowBytes.of([payload]))
    assert good.all()
    row = {**ROW, "fee": None, "country": None, "count": None, "ok": False, "note": None}
    assert_same(parsed, JsonLines(PAYMENT).parse(json_payload(PAYMENT, row)))
    rng = random.Random(8)
    rows = RowBytes.of([mutated(rng, payload) for _ in range(4000)] + [payload] * 500)
    assert_same(payloads.read(rows), payloads.row_by_row(rows))


def test_payloads_of_another_program(stub: RegistryStub) -> None:
    """Avro, a message within another that imports a file, and a file's first message."""
    held = json.loads((GOLDEN / "confluent.json").read_text(encoding="utf-8"))
    for schema in held["schemas"]:
        number = stub.add(
            schema.get("schemaType", "AVRO"), schema["schema"], references=schema["references"]
        )
        assert number == schema["id"]
        for subject in schema["subjects"]:
            stub.subjects.setdefault(subject, []).append(number)
    fields = [field for field in SMALL.fields if field.name != "rate"]
    wanted = Schema("Payment", (*fields, Field("card", Kind.TEXT, Role.KEY)))
    parsed = codec(stub, wanted).parse([bytes.fromhex(item) for item in held["payloads"]])
    assert parsed.batch.text("payment_id").strings() == ["p1", "p2", "p3"]
    at = 1_772_366_400 * 10**9
    assert parsed.batch.fixed("at").values.tolist() == [at, at + 1, 7]
    assert parsed.batch.fixed("amount").values.tolist() == [1234, -5, -5]
    assert parsed.batch.text("shop").strings() == [None, "s", None]


@settings(deadline=None, max_examples=100)
@given(data=st.lists(st.binary(max_size=40), max_size=6), kinds=st.lists(st.integers(0, 4)))
def test_random_bytes_behind_any_head_never_raise(
    served: FramedPayloads, data: list[bytes], kinds: list[int]
) -> None:
    payloads = [
        framed(kind, item) if kind else item
        for item, kind in zip(data, [*kinds, *[1, 2, 3, 4, 0] * 2], strict=False)
    ]
    parsed = served.parse(payloads)
    assert parsed.received == len(payloads)
    both = sorted(parsed.rows.tolist() + parsed.rejections.rows.tolist())
    assert both == list(range(len(payloads)))


@pytest.fixture(scope="module")
def served() -> Iterator[FramedPayloads]:
    """A codec whose registry has schemas 1 to 3, and knows no other."""
    stub = RegistryStub()
    stub.add("AVRO", record(ID, AT, AMOUNT))
    stub.add("PROTOBUF", _serialized(SMALL))
    stub.add("JSON", "{}")
    with serving(stub):
        yield codec(stub)


def test_forms_by_name(stub: RegistryStub) -> None:
    row = {**ROW, "settled": 5}
    expected = JsonLines(PAYMENT).parse(json_payload(PAYMENT, row))
    written = {
        "json": json_payload(PAYMENT, row),
        "avro": AvroWriter(PAYMENT).payload(row),
        "protobuf": ProtobufWriter(PAYMENT).payload(row),
    }
    for form, payload in written.items():
        assert_same(payload_codec(form, PAYMENT).parse([payload]), expected)
    number = stub.add("JSON", "{}")
    registry = SchemaRegistry(RegistrySettings(stub.url))
    through = payload_codec("json", PAYMENT, registry=registry)
    assert_same(through.parse([framed(number, written["json"])]), expected)
    with pytest.raises(DataError, match="expected one of json, avro, protobuf, arrow"):
        payload_codec("xml", PAYMENT)
