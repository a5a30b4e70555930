"""What is sent while workers are disturbed, and what must hold of it afterwards."""

import random
import re
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, Producer, TopicPartition

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.integration.kafka.topic_stage import Stage, payment


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
        partition = self.place(payload) if self.stage.grouped else self.sent
        partition %= self.stage.partitions
        producer.produce(self.stage.source, payload, partition=partition)
        self.sent += 1

    @staticmethod
    def place(payload: bytes) -> int:
        """Where a payment goes: all of a card to one partition, as producers by key do it."""
        found = re.search(rb'"card":"c(\d+)"', payload)
        return int(found[1]) if found else 0

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
        f"{item['lane']}/{item['seq']}": item["outcome"] for item in inputs if item["outcome"]
    }
    sent = stage.decisions()
    assert {item["decision_id"]: item["outcome"] for item in sent} == decided
    assert len(sent) == len(decided) == feeder.payments
    assert set(Counter(item["event_id"] for item in sent).values()) == {1}
    quarantined = sum(item["kind"] == 2 for item in inputs)
    assert len(stage.messages(stage.quarantine)) == quarantined > 0


def until_decided(stage: Stage, count: int) -> None:
    """Wait until the sink has so many decisions; they are read once, as they come."""
    _until_read(stage, count, OFFSET_BEGINNING)


def until_more_decided(stage: Stage, count: int = 1) -> None:
    """Wait until so many decisions more have come to the sink than there are now."""
    _until_read(stage, count, OFFSET_END)


def _until_read(stage: Stage, count: int, begin: int) -> None:
    reader = Consumer(
        {
            "bootstrap.servers": stage.servers,
            "group.id": "tests",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    reader.assign([TopicPartition(stage.sink, at, begin) for at in range(stage.partitions)])
    found = 0
    end = time.monotonic() + 240
    while found < count:
        assert time.monotonic() < end, f"{count} decisions do not come, but {found}"
        # a broker that is away for a while is an error like a message
        found += sum(message.error() is None for message in reader.consume(1_000, timeout=0.3))
    reader.close()
