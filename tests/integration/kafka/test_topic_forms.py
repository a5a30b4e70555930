"""Topics in Avro, Protobuf and a registry's wire format: read, refused, and waited for."""

import io
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.integration.kafka.registry_process import RegistryProcess
from tests.integration.kafka.topic_stage import COMMAND, Stage, inputs_in, payment

pytestmark = pytest.mark.slow

FIELDS: list[dict[str, Any]] = [
    {"name": "payment_id", "type": "string"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "card", "type": "string"},
    {"name": "amount", "type": "long"},
]
MORE = [*FIELDS, {"name": "channel", "type": ["null", "string"], "default": None}]
LESS = [field for field in FIELDS if field["name"] != "card"]
#: Ids 1, 2 and 3: payments, the same with a field more, and without one that is needed.
SCHEMAS = [
    ("AVRO", json.dumps({"type": "record", "name": "Payment", "fields": fields}))
    for fields in (FIELDS, MORE, LESS)
]
BEGINS_MS = 1_772_323_200_000  # 2026-03-01


def event(number: int) -> dict[str, Any]:
    """What `payment` says, in the terms of the Avro schema."""
    return {
        "payment_id": f"p{number}",
        "at": BEGINS_MS + number * 1_000,
        "card": f"c{number % 13}",
        "amount": number * 37 % 1000 * 100 + 50,
        "channel": "web",
    }


def avro(number: int, schema: int = 1, *, framed: bool = True) -> bytes:
    out = io.BytesIO()
    if framed:
        out.write(b"\0" + schema.to_bytes(4, "big"))
    fastavro.schemaless_writer(
        out, fastavro.parse_schema(json.loads(SCHEMAS[schema - 1][1])), event(number)
    )
    return out.getvalue()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistryProcess]:
    process = RegistryProcess(tmp_path, list(SCHEMAS))
    process.start()
    yield process
    process.kill()


def command(stage: Stage, settings: str) -> list[str]:
    return [
        *COMMAND,
        "run",
        "case.py",
        f"--source=kafka://{stage.servers}/{stage.source}?single{settings}",
        f"--sink=kafka://{stage.servers}/{stage.sink}",
        f"--home={stage.home}",
    ]


def ran(stage: Stage, settings: str) -> "subprocess.CompletedProcess[str]":
    done = stage.headrace(command(stage, f"&until=end{settings}")[len(COMMAND) :])
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_forms_are_decided_as_json_is(
    stage: Stage, registry: RegistryProcess, tmp_path: Path
) -> None:
    stage.feed([avro(n, 1 + n % 2) for n in range(500)])
    done = ran(stage, f"&format=avro&registry={registry.url}")
    assert done.returncode == 0, done.stderr
    inputs = stage.check_evidence()
    (tmp_path / "lines.jsonl").write_bytes(b"\n".join(payment(n) for n in range(500)))
    other = tmp_path / "other"
    stage.headrace(["run", "case.py", "--source=lines.jsonl", f"--home={other}"])

    def made(items: list[dict[str, Any]]) -> list[tuple[object, ...]]:
        return [(item["seq"], item["kind"], item["features"], item["outcome"]) for item in items]

    assert made(inputs) == made(inputs_in(other, stage.name))


def test_what_is_not_of_the_schema_is_quarantined_with_one_word(
    stage: Stage, registry: RegistryProcess
) -> None:
    good = [avro(n) for n in range(300)]
    bad: list[tuple[bytes | None, str]] = [
        (avro(1, 3), "missing"),
        (avro(2, 3), "missing"),
        (b"\0\0\0\0\x63" + avro(3)[5:], "unknown schema"),
        (avro(4)[:-2], "malformed"),
        (b"no frame at all", "malformed"),
        (b"", "malformed"),
        (None, "malformed"),
        (b"\0\0\0\0\1", "malformed"),
        (avro(5) + b"?" * 200_000, "oversize"),
    ]
    payloads: list[bytes | None] = list(good)
    for at, (payload, _) in enumerate(bad):
        payloads.insert(10 + 20 * at, payload)
    stage.feed(payloads)
    done = ran(stage, f"&format=avro&registry={registry.url}")
    assert done.returncode == 0, done.stderr
    inputs = stage.check_evidence()
    assert Counter(item["kind"] for item in inputs) == {0: 300, 2: len(bad)}
    assert [item["reason"] for item in inputs if item["kind"] == 2] == [why for _, why in bad]
    words = [line for line in done.stderr.splitlines() if line.startswith("warning: topic")]
    assert sum("schema id 3: quarantined, missing in field card" in word for word in words) == 1
    assert sum("schema id 99: quarantined, unknown schema" in word for word in words) == 1
    assert len(words) == len(set(words)) < len(bad)
    assert not any("c1" in word for word in words)


def test_avro_without_a_registry(stage: Stage) -> None:
    written = stage.headrace(["schema", "case.py", "--form=avro"]).stdout
    schema = fastavro.parse_schema(json.loads(written))
    payloads = []
    for number in range(100):
        out = io.BytesIO()
        told = event(number) | {"at": (BEGINS_MS + number * 1_000) * 1_000_000}
        fastavro.schemaless_writer(out, schema, told)
        payloads.append(out.getvalue())
    stage.feed([*payloads, payment(1)])
    done = ran(stage, "&format=avro")
    assert done.returncode == 0, done.stderr
    inputs = stage.check_evidence()
    assert Counter(item["kind"] for item in inputs) == {0: 100, 2: 1}


def eventually(found: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 180
    while not found():
        assert time.monotonic() < end, what
        time.sleep(0.2)


@pytest.fixture
def worker(stage: Stage, registry: RegistryProcess, tmp_path: Path) -> Iterator[Any]:
    """A worker that goes on until it is stopped; what it says is in a file."""
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            command(stage, f"&format=avro&registry={registry.url}"),
            cwd=stage.folder,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        yield process
        if process.poll() is None:
            process.kill()
            process.wait(30)


def test_a_registry_that_is_gone_loses_nothing(
    stage: Stage, registry: RegistryProcess, worker: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    said = tmp_path / "said"
    stage.feed([avro(n) for n in range(100)])
    eventually(lambda: len(stage.decisions()) == 100, "the first are decided")
    registry.kill()
    stage.feed([avro(n) for n in range(100, 200)])
    eventually(lambda: len(stage.decisions()) == 200, "those of a known schema go on")
    stage.feed([avro(200), avro(201, 2), *(avro(n, 1 + n % 2) for n in range(202, 300))])
    eventually(lambda: len(stage.decisions()) == 201, "those before the unknown one go on")
    eventually(lambda: "messages wait for their schema" in said.read_text(), "it says so")
    time.sleep(2)
    assert len(stage.decisions()) == 201
    assert stage.messages(stage.quarantine) == []
    registry.start()
    eventually(lambda: len(stage.decisions()) == 300, "all of them are decided")
    assert "the schema registry answers again" in said.read_text()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(180) == 0, said.read_text()
    assert stage.messages(stage.quarantine) == []
    decided = [item["event_id"] for item in stage.decisions()]
    assert decided == [f"p{n}" for n in range(300)]
    assert len(stage.check_evidence()) == 300


def test_a_worker_that_is_stopped_while_it_waits(
    stage: Stage, registry: RegistryProcess, worker: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    said = tmp_path / "said"
    stage.feed([avro(0)])
    eventually(lambda: len(stage.decisions()) == 1, "the first is decided")
    registry.kill()
    stage.feed([avro(1), avro(2, 2), avro(3)])
    eventually(lambda: "messages wait for their schema" in said.read_text(), "it says so")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(180) == 0, said.read_text()
    assert [item["event_id"] for item in stage.decisions()] == ["p0", "p1"]
    registry.start()
    assert ran(stage, f"&format=avro&registry={registry.url}").returncode == 0
    assert [item["event_id"] for item in stage.decisions()] == ["p0", "p1", "p2", "p3"]
    assert len(stage.check_evidence()) == 4


def test_what_is_quarantined_comes_back_through_the_topic(
    stage: Stage, registry: RegistryProcess
) -> None:
    """Unknown schemas, once they are known, and late events: as journaled backfills."""
    settings = f"&format=avro&registry={registry.url}"
    unknown = [b"\0\0\0\0\4" + avro(n, 2)[5:] for n in range(100, 110)]
    late = b"\0\0\0\0\1" + avro(0)[5:].replace(b"p0", b"pL")
    later = [avro(n + 86_400 * 3) for n in range(50)]
    stage.feed([*(avro(n) for n in range(100)), *unknown, *later, late])
    assert ran(stage, settings).returncode == 0
    assert Counter(item["kind"] for item in stage.check_evidence()) == {0: 150, 2: 11}
    registry.kill()
    registry.schemas.append(SCHEMAS[1])
    registry.start()

    retry = ["quarantine", "retry", "case.py", f"--home={stage.home}"]
    over = [
        f"--from=kafka://{stage.servers}",
        f"--sink=kafka://{stage.servers}/{stage.sink}",
    ]
    copied = stage.headrace([*retry, "--reason=late"])
    assert copied.returncode == 1
    assert "this home has a copy of it" in " ".join(copied.stderr.split())
    unnamed = stage.headrace([*retry, *over, "--reason=unknown-schema"])
    assert unnamed.returncode == 1
    assert "say which with --registry" in " ".join(unnamed.stderr.split())
    done = stage.headrace([*retry, *over, "--reason=unknown-schema", f"--registry={registry.url}"])
    assert done.returncode == 0, done.stderr
    assert "10 retried: 10 accepted as backfills, 10 decided, 0 refused again" in done.stdout
    done = stage.headrace([*retry, *over, "--reason=late"])
    assert "1 retried: 1 accepted as backfills, 1 decided" in done.stdout, done.stderr
    again = stage.headrace([*retry, *over, "--reason=late"])
    assert again.returncode == 1
    assert "nothing is in quarantine" in again.stderr

    stage.feed([avro(n + 86_400 * 3) for n in range(50, 60)])
    assert ran(stage, settings).returncode == 0
    inputs = stage.check_evidence()
    assert Counter(item["kind"] for item in inputs) == {0: 160, 2: 11, 3: 11}
    expected = {f"p{n}" for n in range(110)} | {"pL"}
    expected |= {f"p{n + 86_400 * 3}" for n in range(60)}
    assert Counter(item["event_id"] for item in stage.decisions()) == Counter(expected)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ("&format=xml", "expected one of json, avro, protobuf, arrow"),
        ("&format=avro&registry", "registry: which?"),
        ("&format=avro&registry=host:8081", "expected http://HOST:PORT"),
    ],
)
def test_wrong_settings_are_told(stage: Stage, settings: str, word: str) -> None:
    done = ran(stage, settings)
    assert done.returncode == 1
    assert word in done.stderr
