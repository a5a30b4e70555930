"""Decisions in Avro and Protobuf: what readers find by the registry's schema is what JSON says."""

import base64
import io
import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from google.protobuf import json_format, message_factory

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.broker import make_topic
from tests.integration.kafka.own_process import Done, headrace
from tests.integration.kafka.registry_process import RegistryProcess
from tests.integration.kafka.topic_stage import COMMAND, Stage, payment

from headrace.adapters.proto_files import ProtoWriter, message_of

pytestmark = pytest.mark.slow

#: What the registry has already, so that it answers.
OTHER = ("AVRO", json.dumps({"type": "record", "name": "Other", "fields": []}))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistryProcess]:
    process = RegistryProcess(tmp_path, [OTHER])
    process.start()
    yield process
    process.kill()


def run(stage: Stage, *sinks: str) -> Done:
    """Decide what is there, into the usual sink in JSON and into others."""
    arguments = stage.command()[len(COMMAND) :]
    more = [f"--sink=kafka://{stage.servers}/{stage.name}.{sink}" for sink in sinks]
    return headrace(stage.folder, [*arguments, *more])


def schema_of(registry: RegistryProcess, payload: bytes) -> str:
    """The schema that a payload names."""
    number = int.from_bytes(payload[1:5], "big")
    with urllib.request.urlopen(  # noqa: S310 - http
        f"{registry.url}/schemas/ids/{number}?format=serialized", timeout=5
    ) as answer:
        return str(json.load(answer)["schema"])


def test_readers_find_what_json_says(stage: Stage, registry: RegistryProcess) -> None:
    for topic in ("avro", "whole", "protobuf"):
        make_topic(stage.servers, f"{stage.name}.{topic}")
    stage.feed([payment(number) for number in range(60)])
    to = f"registry={registry.url}"
    done = run(
        stage,
        f"avro?format=avro&{to}",
        f"whole?format=avro&columns=all&{to}",
        f"protobuf?format=protobuf&{to}",
    )
    assert done.code == 0, done.err
    said = stage.decisions()
    assert len(said) == 60
    expected = [{"score": None, **decision} for decision in said]

    sent = [value or b"" for _, value in stage.messages(f"{stage.name}.avro")]
    schema: Any = fastavro.parse_schema(json.loads(schema_of(registry, sent[0])))
    read = [fastavro.schemaless_reader(io.BytesIO(one[5:]), schema, None) for one in sent]
    assert read == expected

    whole = [value or b"" for _, value in stage.messages(f"{stage.name}.whole")]
    schema = fastavro.parse_schema(json.loads(schema_of(registry, whole[0])))
    rows: list[Any] = [
        fastavro.schemaless_reader(io.BytesIO(one[5:]), schema, None) for one in whole
    ]
    assert [(row["payment_id"], row["outcome"]) for row in rows] == [
        (decision["event_id"], decision["outcome"]) for decision in said
    ]
    assert {row["card_count_5m"] for row in rows} > {1.0}

    sent = [value or b"" for _, value in stage.messages(f"{stage.name}.protobuf")]
    file = base64.b64decode(schema_of(registry, sent[0]))
    message: Any = message_factory.GetMessageClass(message_of(ProtoWriter(file)))
    for payload, decision in zip(sent, said, strict=True):
        told = json_format.MessageToDict(
            message.FromString(payload[6:]), preserving_proto_field_name=True
        )
        assert {"reasons": [], "rules": [], **told} == decision


def test_a_registry_that_is_gone_is_told_before_anything_is_decided(
    stage: Stage, registry: RegistryProcess
) -> None:
    make_topic(stage.servers, f"{stage.name}.avro")
    stage.feed([payment(number) for number in range(10)])
    assert run(stage, f"avro?format=avro&registry={registry.url}").code == 0
    registry.kill()
    stage.feed([payment(number) for number in range(10, 20)])
    refused = run(stage, f"avro?format=avro&registry={registry.url}")
    assert refused.code == 1
    assert registry.url in refused.err
    assert len(stage.decisions()) == 10
    registry.start()
    assert run(stage, f"avro?format=avro&registry={registry.url}").code == 0
    assert len(stage.messages(f"{stage.name}.avro")) == 20


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("format=avro", "are in the wire format of a schema registry"),
        ("registry=http://127.0.0.1:1", "those in JSON are not"),
        ("format=arrow", "expected format=json or format=avro"),
        ("format=avro&registry=http://127.0.0.1:1&messages=batch", "is of lines of JSON"),
    ],
)
def test_what_does_not_go_together_is_told(stage: Stage, settings: str, told: str) -> None:
    make_topic(stage.servers, f"{stage.name}.other")
    refused = run(stage, f"other?{settings}")
    assert refused.code == 1
    assert told in refused.err
