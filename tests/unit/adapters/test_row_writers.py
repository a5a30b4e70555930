"""Decisions as payloads: what a reader of each form finds in them is what the table says."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import fastavro
import pyarrow as pa
import pytest
from google.protobuf import message_factory
from registry_stub import RegistryStub, serving

from headrace.adapters.proto_files import ProtoWriter, message_of
from headrace.adapters.registry_settings import RegistrySettings
from headrace.adapters.row_writers import row_writer
from headrace.adapters.schema_registry import SchemaRegistry
from headrace.cli import build
from headrace.core.errors import DataError, DefinitionError
from headrace.journal.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REASONS = pa.list_(pa.struct([("feature", pa.string()), ("contribution", pa.float64())]))
AT = 1_769_860_800_123_456_789
TABLE = pa.table(
    {
        "decision_id": ["l/0", "l/1"],
        "seq": pa.array([0, 1], pa.int64()),
        "at": pa.array([AT, None], pa.timestamp("ns", "UTC")),
        "amount": pa.array([Decimal("12.34"), None], pa.decimal128(18, 2)),
        "score": [0.25, None],
        "outcome": pa.array(["approve", "block"]).dictionary_encode(),
        "rules": pa.array([["a", "b"], []], pa.list_(pa.string())),
        "reasons": pa.array([[{"feature": "f", "contribution": -1.5}], []], REASONS),
        "backfilled": [False, True],
    }
)


@pytest.fixture
def stub() -> Iterator[RegistryStub]:
    with serving(RegistryStub()) as served:
        yield served


def written(stub: RegistryStub, form: str, table: pa.Table = TABLE) -> list[bytes]:
    registry = SchemaRegistry(RegistrySettings(stub.url))
    writer = row_writer(form, "Decision", table.schema, registry, "decisions-value")
    return writer.payloads(table)


def test_avro(stub: RegistryStub) -> None:
    payloads = written(stub, "avro")
    assert [payload[:5] for payload in payloads] == [b"\0\0\0\0\x01"] * 2
    schema: Any = fastavro.parse_schema(json.loads(stub.schemas[1]["schema"]))
    read: list[Any] = [
        fastavro.schemaless_reader(io.BytesIO(payload[5:]), schema, None) for payload in payloads
    ]
    assert read[0].pop("at") in (AT, dt.datetime.fromtimestamp(AT // 1000 / 1e6, dt.UTC))
    assert read[1].pop("at") is None
    assert read == TABLE.drop_columns(["at"]).to_pylist()


def test_protobuf(stub: RegistryStub) -> None:
    payloads = written(stub, "protobuf")
    assert [payload[:6] for payload in payloads] == [b"\0\0\0\0\x01\0"] * 2
    file = base64.b64decode(stub.schemas[1]["schema"])
    message: Any = message_factory.GetMessageClass(message_of(ProtoWriter(file)))
    first, second = (message.FromString(payload[6:]) for payload in payloads)
    assert (first.at.ToNanoseconds(), first.amount, first.score) == (AT, "12.34", 0.25)
    assert (first.decision_id, first.outcome, list(first.rules)) == ("l/0", "approve", ["a", "b"])
    assert [(item.feature, item.contribution) for item in first.reasons] == [("f", -1.5)]
    missing = [name for name in ("at", "amount", "score") if not second.HasField(name)]
    assert missing == ["at", "amount", "score"]
    assert second.backfilled


CASE = """
import headrace as hr

class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key
    amount: hr.Money("EUR")

payments = hr.stream(Payment, name="payments")
features = hr.features(count=payments.by("card").count("5m"))
written = hr.UseCase(
    name="written", on=payments, features=features,
    policy=hr.Policy(hr.block("burst", features.count > 1), otherwise=hr.approve()),
)
"""


def test_decisions_of_a_journal(stub: RegistryStub, tmp_path: Path) -> None:
    (tmp_path / "case.py").write_text(CASE)
    lines = [
        {"payment_id": f"p{i}", "at": f"2026-03-01T12:00:0{i}Z", "card": "c", "amount": f"{i}.50"}
        for i in range(3)
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    home = tmp_path / "home"
    build()(("run", str(tmp_path / "case.py"), f"--source={tmp_path}/in.jsonl", f"--home={home}"))
    table = tables(home / "journal" / "written" / "0")["decisions"]
    for form in ("avro", "protobuf"):
        assert len(written(stub, form, table)) == 3
    schema: Any = fastavro.parse_schema(json.loads(stub.schemas[1]["schema"]))
    read: Any = fastavro.schemaless_reader(
        io.BytesIO(written(stub, "avro", table)[2][5:]), schema, None
    )
    assert (read["payment_id"], read["amount"], read["outcome"]) == ("p2", Decimal("2.50"), "block")
    assert read["rules"] == ["burst"]


def test_a_column_keeps_its_number_whatever_stands_beside_it(stub: RegistryStub) -> None:
    written(stub, "protobuf")
    written(stub, "protobuf", TABLE.select(["score", "seq"]))
    files = [base64.b64decode(stub.schemas[number]["schema"]) for number in (1, 2)]
    one, other = (message_of(ProtoWriter(file)).fields_by_name for file in files)
    assert {name: one[name].number for name in other} == {n: f.number for n, f in other.items()}


def test_what_cannot_be_written_is_told(stub: RegistryStub) -> None:
    with pytest.raises(DataError, match="expected one of avro, protobuf"):
        written(stub, "json")
    with pytest.raises(DefinitionError, match="'größe'"):
        written(stub, "avro", pa.table({"größe": [1]}))
    for form in ("avro", "protobuf"):
        with pytest.raises(DataError, match=r"Arrow type binary"):
            written(stub, form, pa.table({"x": pa.array([b"a"])}))
    with pytest.raises(DataError, match="refuses the schema"):
        written(stub, "avro", pa.table({"incompatible": [1]}))
