"""A run from topic to topic: every message once in the journal, every decision once on the sink."""

import sys
from collections import Counter
from pathlib import Path
from threading import Timer
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.integration.kafka.topic_stage import COMMAND, Stage, inputs_in, payment
from tests.warm import started

from headrace.adapters.kafka.cluster import Cluster
from headrace.adapters.kafka.partition_reader import PartitionReader

pytestmark = pytest.mark.slow

#: Messages that are no payment, whatever a producer thought: each is one event.
POISON: list[bytes | None] = [
    b"",
    None,
    b"\n",
    b"\r\n",
    b"{",
    payment(1) + b"\n" + payment(2),
    b"\xff\xfe\x00",
    b"[1, 2]",
    payment(3).replace(b"c3", b"c\n3"),
    b" " * 100_000,
]


def test_each_message_is_decided_once(wide_stage: Stage) -> None:
    stage = wide_stage
    payloads: list[bytes | None] = [payment(number) for number in range(3_000)]
    for at, poison in enumerate(POISON):
        payloads.insert(100 + 200 * at, poison)
    payloads += [payment(number) for number in range(2_900, 2_950)]  # sent twice
    payloads.append(payment(7).replace(b'"amount"', b'\n\t"amount"'))  # pretty, and sent twice
    stage.feed(payloads)
    first = stage.run()
    assert first.returncode == 0, first.stderr
    stage.feed([payment(number) for number in range(3_000, 3_500)])
    second = stage.run()
    assert second.returncode == 0, second.stderr
    assert "500 received = 500 accepted" in second.stdout

    inputs = stage.check_evidence()
    read = Counter((item["from"], item["position"]) for item in inputs)
    assert set(read.values()) == {1}
    assert len(read) == len(payloads) + 500
    kinds = Counter(item["kind"] for item in inputs)
    assert kinds == {0: 3_500, 1: 51, 2: len(POISON)}

    decisions = stage.decisions()
    assert Counter(item["event_id"] for item in decisions) == Counter(
        f"p{number}" for number in range(3_500)
    )
    outcomes = {f"{stage.name}/0/{item['seq']}": item["outcome"] for item in inputs}
    assert all(outcomes[item["decision_id"]] == item["outcome"] for item in decisions)
    quarantined = stage.messages(stage.quarantine)
    assert Counter(value or b"" for _, value in quarantined) == Counter(
        poison or b"" for poison in POISON
    )
    for headers, _ in quarantined:
        assert headers["reason"]
        assert headers["topic"] == stage.source.encode()
        place = (f"kafka:{stage.source}/{headers['partition'].decode()}", int(headers["offset"]))
        assert read[place] == 1


def test_a_topic_is_decided_as_the_same_lines_are(stage: Stage, tmp_path: Path) -> None:
    lines = [payment(number) for number in range(2_000)]
    stage.feed(lines)
    assert stage.run().returncode == 0
    inputs = stage.check_evidence()
    (tmp_path / "lines.jsonl").write_bytes(b"\n".join(lines))
    other = tmp_path / "other"
    done = stage.headrace(["run", "case.py", "--source=lines.jsonl", f"--home={other}"])
    assert done.returncode == 0, done.stderr

    def made(items: list[dict[str, Any]]) -> list[tuple[object, ...]]:
        names = ("seq", "position", "kind", "features", "outcome")
        return [tuple(item[name] for name in names) for item in items]

    assert made(inputs) == made(inputs_in(other, stage.name))


def opened(stage: Stage, payloads: list[bytes]) -> Producer:
    """A producer whose transaction holds messages, all of them written, and is not committed."""
    producer = Producer({"bootstrap.servers": stage.servers, "transactional.id": stage.name})
    producer.init_transactions(60)
    producer.begin_transaction()
    for payload in payloads:
        producer.produce(stage.source, payload)
    assert producer.flush(60) == 0
    return producer


def test_the_end_is_after_transactions_that_were_open(stage: Stage) -> None:
    """A producer's commit is answered before readers see it: what was sent is not left behind."""
    stage.feed([payment(number) for number in range(10)])
    producer = opened(stage, [payment(number) for number in range(10, 20)])
    process = started(stage.command()[len(COMMAND) :], stage.folder)
    while len(stage.decisions()) < 10:
        assert process.poll() is None, "it ended before the transaction did"
    producer.commit_transaction(60)
    assert process.wait(60) == 0
    assert [item["event_id"] for item in stage.decisions()] == [f"p{at}" for at in range(20)]


def test_a_partition_is_read_to_the_end_that_writers_had_reached(stage: Stage) -> None:
    payloads = [payment(number) for number in range(10)]
    producer = opened(stage, payloads)
    with PartitionReader(Cluster(stage.servers, {}), stage.source, 0) as reader:
        assert reader.bounds() == (0, 10)
        committing = Timer(1.0, producer.commit_transaction, (60,))
        committing.start()
        assert [message.value() for message in reader.messages(0)] == payloads
        committing.join()


def test_sinks_as_batches_and_whole(stage: Stage) -> None:
    stage.feed([payment(number) for number in range(500)])
    done = stage.run(sink="?messages=batch&columns=all")
    assert done.returncode == 0, done.stderr
    messages = [value or b"" for _, value in stage.messages(stage.sink)]
    assert len(messages) < 20
    lines = [msgspec.json.decode(line) for value in messages for line in value.split(b"\n")]
    assert [line["payment_id"] for line in lines] == [f"p{number}" for number in range(500)]
    assert all(line["feature_amount"] == float(line["amount"]) for line in lines)


def test_large_commits_are_cut_into_parts(stage: Stage) -> None:
    """One commit is larger than a message may be, so it is cut, and put together again."""
    stage.feed([payment(number) for number in range(20_000)])
    done = stage.headrace(
        [
            "run",
            "case.py",
            f"--source=kafka://{stage.servers}/{stage.source}?until=end&message.max.bytes=50000",
            f"--home={stage.home}",
        ]
    )
    assert done.returncode == 0, done.stderr
    told = [headers for headers, _ in stage.messages(f"headrace.{stage.name}.journal")]
    assert max(int(headers["parts"]) for headers in told) > 5
    assert len(stage.check_evidence()) == 20_000


def test_personal_data_follows_the_lane(servers: str, tmp_path: Path) -> None:
    stage = Stage(servers, tmp_path, f"personal-{abs(hash(tmp_path)) % 10**8}", personal=True)
    stage.feed([payment(number) for number in range(100)] + [b'{"card":"c-secret"'])
    assert stage.run().returncode == 0
    stage.check_evidence()
    ((headers, value),) = stage.messages(stage.quarantine)
    assert value is None
    assert headers["vault"]
    everything = [
        part or b""
        for topic in (stage.sink, stage.quarantine, stage.own("journal"), stage.own("vault"))
        for _, part in stage.messages(topic)
    ]
    assert not any(b"c-secret" in part or b'"c1"' in part for part in everything)
    other = stage.other_home("other")
    stage.feed([payment(number) for number in range(100, 200)])
    moved = stage.run(home=other)
    assert moved.returncode == 0, moved.stderr
    stage.check_evidence()
    told = stage.done(["query", "SELECT count(DISTINCT card) AS cards FROM decisions"])
    assert "13" in told, "a card has one surrogate, whoever has the lane"
    (other / "keys" / "master.key").unlink()
    refused = stage.run(home=other)
    assert refused.returncode == 1
    assert "the master key does not open" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_another_dedupe_key_is_refused(stage: Stage) -> None:
    stage.feed([payment(number) for number in range(10)])
    assert stage.run().returncode == 0
    other = stage.other_home("other")
    (other / "keys" / "dedupe.key").write_bytes(bytes(16))
    refused = stage.run(home=other)
    assert refused.returncode == 1
    assert "keys/dedupe.key, is another one" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_another_key_does_not_go_on_with_a_lane(stage: Stage, tmp_path: Path) -> None:
    stage.feed([payment(number) for number in range(100)])
    assert stage.run().returncode == 0
    refused = stage.run(home=tmp_path / "other")
    assert refused.returncode == 1
    assert "not by a known key" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_lost_and_renewed_topics_stop_a_run(stage: Stage) -> None:
    stage.feed([payment(number) for number in range(100)])
    assert stage.run().returncode == 0
    client = AdminClient({"bootstrap.servers": stage.servers, "log_level": 0})
    stage.feed([payment(number) for number in range(100, 200)])
    from confluent_kafka import TopicPartition  # noqa: PLC0415 - for this alone

    for future in client.delete_records([TopicPartition(stage.source, 0, 150)]).values():
        future.result()
    lost = stage.run()
    assert lost.returncode == 1
    assert "Events would be lost" in lost.stderr
    assert "Traceback" not in lost.stderr


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("kafka://{servers}/none", "has no topic 'none'"),
        ("kafka://127.0.0.1:1/none", "does not answer"),
        ("kafka://{servers}", "expected kafka://HOST:PORT/TOPIC"),
        ("kafka://{servers}/{source}?single&acks=1", "no setting 'acks'"),
        ("kafka://{servers}/{source}?single&group.id=1", "Headrace's to set"),
        ("lines.jsonl", "goes with sources in Kafka alone"),
    ],
)
def test_wrong_addresses_are_told(wide_stage: Stage, source: str, word: str) -> None:
    named = source.format(servers=wide_stage.servers, source=wide_stage.source)
    options = [f"--source={named}", f"--home={wide_stage.home}"]
    if not named.startswith("kafka"):
        options.append(f"--sink=kafka://{wide_stage.servers}/{wide_stage.sink}")
    done = wide_stage.headrace(["run", "case.py", *options])
    assert done.returncode == 1
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_transactional_producers_leave_gaps(stage: Stage) -> None:
    """Markers of transactions take offsets, and what was aborted is not read."""
    producer = Producer({"bootstrap.servers": stage.servers, "transactional.id": stage.name})
    producer.init_transactions(120)
    for number in range(30):
        producer.begin_transaction()
        producer.produce(stage.source, payment(number), partition=0)
        if number % 3:
            producer.commit_transaction(120)
        else:
            producer.flush()
            producer.abort_transaction(120)
    assert stage.run().returncode == 0
    kept = [f"p{number}" for number in range(30) if number % 3]
    assert [item["event_id"] for item in stage.decisions()] == kept
    stage.check_evidence()
