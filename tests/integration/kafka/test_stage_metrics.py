"""What a worker tells of several stages: each of them, under its own name."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.broker import make_topic
from benchmarks.ports import free_port
from confluent_kafka import Producer
from tests.integration.kafka.test_stages import StagedCase, payment
from tests.integration.kafka.topic_stage import COMMAND

from headrace.adapters.kafka.cluster import Cluster
from headrace.adapters.kafka.messages import Partition
from headrace.adapters.kafka.parts import in_parts
from headrace.adapters.kafka.whole_messages import WholeMessage, WholeMessages
from headrace.adapters.metrics_reading import Reading

pytestmark = pytest.mark.slow

SECONDS = 180
STAGES = ("admission", "by-merchant", "main")


def reading(address: str, worker: "subprocess.Popen[bytes]", decided: int) -> Reading:
    """What the worker tells, once it has made so many decisions and nothing is left to do."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert worker.poll() is None
        try:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
                found = Reading.of(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
            continue
        lags = found.by("headrace_lag_messages", "stage")
        done = found.value("headrace_decisions_total") >= decided
        if done and set(lags) == set(STAGES) and not any(lags.values()):
            return found
        time.sleep(0.1)
    raise AssertionError(f"{decided} decisions were not made in {SECONDS} seconds")


def test_a_worker_tells_of_every_stage(servers: str, tmp_path: Path) -> None:
    case = StagedCase(servers, tmp_path, f"told-{os.getpid()}-{abs(hash(tmp_path)) % 10**8}")
    case.feed([payment(n) for n in range(33)])
    address = f"127.0.0.1:{free_port()}"
    said = tmp_path / "said"
    with said.open("wb") as log:
        worker = subprocess.Popen(
            [*case.command(until=""), "--metrics", address], cwd=tmp_path, stdout=log, stderr=log
        )
    try:
        told = reading(address, worker, 33)
        assert told.value("headrace_decisions_total") == 33, "of the main stage alone"
        assert told.by("headrace_lanes", "stage") == dict.fromkeys(STAGES, 3.0)
        assert told.by("headrace_lanes_owned", "stage") == dict.fromkeys(STAGES, 3.0)
        assert told.by("headrace_partitions_paused", "stage") == dict.fromkeys(STAGES, 0.0)
        assert all(told.by("headrace_rebalances_total", "stage")[stage] for stage in STAGES)
        assert told.value("headrace_lane_state", state="deciding") == 9
        assert told.by("headrace_journal_next_seq", "stage") == dict.fromkeys(STAGES, 33.0)
        topics = set(told.by("headrace_lag_messages", "topic"))
        assert {case.source, case.own("admission.journal"), case.own("events.merchant")} <= topics
        top = [*COMMAND, "top", address, "--once"]
        shown = subprocess.run(top, capture_output=True, text=True, check=False)
        assert "9 of 9 lanes, 0 behind" in shown.stdout, shown.stderr
        assert "next 33" in shown.stdout
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(SECONDS) == 0, said.read_text()
    finally:
        worker.kill()
        worker.wait()


def test_a_partition_that_is_paused_is_known(servers: str, tmp_path: Path) -> None:
    topic = f"paused-{abs(hash(tmp_path)) % 10**8}"
    make_topic(servers, topic, 2)
    producer = Producer({"bootstrap.servers": servers})
    for number in range(2):
        sent = in_parts(topic, number, b"content", {}, 10_000)
        producer.produce(topic, sent.values[0], partition=number, headers=list(sent.headers[0]))
    producer.flush()
    first, second = Partition(topic, 0), Partition(topic, 1)
    messages = WholeMessages(Cluster(servers, {}), topic, {first: None, second: None})
    try:
        messages.pause(first)
        assert messages.paused == {first}
        got: list[WholeMessage] = []
        end = time.monotonic() + 120
        while not got and time.monotonic() < end:
            got = messages.poll(0.2)
        assert [message.partition for message in got] == [second]
        assert messages.poll(0.5) == []
        messages.resume(first)
        assert messages.paused == frozenset()
        while len(got) < 2 and time.monotonic() < end:
            got += messages.poll(0.2)
        assert [message.partition for message in got] == [second, first]
    finally:
        messages.close()
