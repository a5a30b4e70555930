"""Workers that are killed, fenced and cut off: nothing is lost, nothing is decided twice."""

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Producer

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.broker import Broker
from tests.integration.kafka.topic_stage import Stage, payment

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("HEADRACE_CHAOS_SECONDS", "20"))


class Feeder(threading.Thread):
    """Sends payments until it is stopped, some of them twice, some of them broken."""

    def __init__(self, stage: Stage, rate: int) -> None:
        super().__init__(name="feeder", daemon=True)
        self.stage, self.rate = stage, rate
        self.sent = self.payments = 0
        self.enough = threading.Event()

    def run(self) -> None:
        dice = random.Random(3)
        producer = Producer(
            {"bootstrap.servers": self.stage.servers, "enable.idempotence": True, "log_level": 0}
        )
        while not self.enough.wait(0.05):
            for _ in range(self.rate // 20):
                one = payment(self.payments)
                self.payments += 1
                for payload in [one, one] if dice.random() < 0.02 else [one]:
                    self._send(producer, payload)
                if dice.random() < 0.01:
                    self._send(producer, b'{"payment_id":\n"cut')
            producer.poll(0)
        assert producer.flush(60) == 0

    def _send(self, producer: Producer, payload: bytes) -> None:
        producer.produce(self.stage.source, payload, partition=self.sent % self.stage.partitions)
        self.sent += 1

    def end(self) -> None:
        self.enough.set()
        self.join()


def check(stage: Stage, feeder: Feeder) -> None:
    """Each message once in the journal, each payment decided once, each decision once sent."""
    done = stage.run()
    assert done.returncode == 0, done.stderr
    inputs = stage.check_evidence()
    assert len(inputs) == feeder.sent
    assert len({(item["from"], item["position"]) for item in inputs}) == feeder.sent
    decided = {
        f"{stage.name}/0/{item['seq']}": item["outcome"] for item in inputs if item["outcome"]
    }
    sent = stage.decisions()
    assert {item["decision_id"]: item["outcome"] for item in sent} == decided
    assert len(sent) == len(decided) == feeder.payments
    assert set(Counter(item["event_id"] for item in sent).values()) == {1}
    quarantined = sum(item["kind"] == 2 for item in inputs)
    assert len(stage.messages(stage.quarantine)) == quarantined > 0


def test_killed_at_random_moments(wide_stage: Stage) -> None:
    stage, dice = wide_stage, random.Random(11)
    feeder = Feeder(stage, 4_000)
    feeder.start()
    kills = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        worker = stage.started()
        time.sleep(dice.uniform(2.0, 8.0))
        assert worker.poll() is None, worker.communicate()[1].decode()
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        kills += 1
    feeder.end()
    assert kills > 1
    check(stage, feeder)


def test_a_second_worker_fences_the_first(wide_stage: Stage) -> None:
    stage = wide_stage
    feeder = Feeder(stage, 2_000)
    feeder.start()
    first = stage.started()
    until_decided(stage, 1)
    other = stage.folder / "other"
    other.mkdir()
    keys = other / "keys"
    keys.mkdir(mode=0o700)
    for path in (stage.home / "keys").iterdir():
        (keys / path.name).write_bytes(path.read_bytes())
        (keys / path.name).chmod(0o600)
    second = stage.started(home=other)
    _, said = first.communicate(timeout=60)
    assert first.returncode == 1, said.decode()
    words = " ".join(said.decode().split())
    assert "another worker has taken over lane" in words
    assert "Traceback" not in words
    until_decided(stage, len(stage.decisions()) + 1)
    second.send_signal(signal.SIGTERM)
    _, said = second.communicate(timeout=60)
    assert second.returncode == 0, said.decode()
    feeder.end()
    check(stage, feeder)


def test_the_broker_is_killed(own_broker: Broker, tmp_path: Path) -> None:
    """Broker and worker crash one after the other, in the midst of transactions."""
    stage = Stage(own_broker.servers, tmp_path, "restarted")
    feeder = Feeder(stage, 1_000)
    feeder.start()
    for away in (0.5, 4.0):
        before = len(stage.decisions())
        worker = stage.started()
        until_decided(stage, before + 1)
        own_broker.kill()
        time.sleep(away)
        own_broker.start()
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
    feeder.end()
    check(stage, feeder)


def until_decided(stage: Stage, count: int) -> None:
    """Wait until the sink has so many decisions."""
    end = time.monotonic() + 60
    while len(stage.decisions()) < count:
        assert time.monotonic() < end, f"{count} decisions do not come"
        time.sleep(0.3)
