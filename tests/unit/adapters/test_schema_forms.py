"""What is printed of a schema is what the readers of each form understand, and events fit it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import fastavro
import jsonschema
import pytest
from event_rows import PAYMENT, json_payload, rows_of, schemas
from google.protobuf import descriptor_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.adapters.proto_files import writer_of
from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError
from headrace.events.avro_schema import avro_schema
from headrace.events.json_schema import json_schema
from headrace.events.proto_schema import proto_text
from headrace.events.schema import Field, Schema

if TYPE_CHECKING:
    from pathlib import Path


@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_an_event_is_valid_by_its_json_schema(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    made = json_schema(schema)
    jsonschema.Draft202012Validator.check_schema(made)
    jsonschema.validate(json.loads(json_payload(schema, data.draw(rows_of(schema)))), made)
    fastavro.parse_schema(json.loads(json.dumps(avro_schema(schema))))


def test_what_is_no_event_is_not_valid() -> None:
    validator = jsonschema.Draft202012Validator(json_schema(PAYMENT))
    good = {"payment_id": "p", "at": "2026-01-31T12:00:00Z", "card": "c", "amount": "1.50"}
    assert validator.is_valid({**good, "currency": "EUR", "fee": None, "unknown": 1})
    for bad in (
        good,
        {**good, "currency": "eur"},
        {**good, "currency": "EUR", "payment_id": ""},
        {**good, "currency": "EUR", "amount": "1.23456"},
        {**good, "currency": "EUR", "count": -6},
        {**good, "currency": "EUR", "ok": "maybe"},
    ):
        assert not validator.is_valid(bad), bad


def test_the_compiler_of_protobuf_reads_the_message_as_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "Payment.proto").write_text(proto_text(PAYMENT), encoding="utf-8")
    subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "grpc_tools.protoc", f"-I{tmp_path}"),
            *(f"--descriptor_set_out={tmp_path}/set", "Payment.proto"),
        ],
        check=True,
        cwd=tmp_path,
    )
    compiled = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "set").read_bytes()).file[0]
    used = descriptor_pb2.FileDescriptorProto.FromString(writer_of(PAYMENT).file)
    for file in (compiled, used):
        for field in file.message_type[0].field:
            field.ClearField("json_name")
    assert compiled == used


def test_names_that_other_forms_cannot_have() -> None:
    schema = Schema("Größe", (Field("n", Kind.INT),))
    for form in (avro_schema, proto_text):
        with pytest.raises(DefinitionError, match=r"(?s)'Größe'.*letters of ASCII"):
            form(schema)
