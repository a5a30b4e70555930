"""What a cluster is asked while its broker is killed and comes back."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from benchmarks.broker import make_topic
from confluent_kafka import KafkaError, KafkaException

from headrace.adapters.kafka.cluster import PRESENT_SECONDS, Cluster
from headrace.core.errors import DataError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.broker import Broker

_TOPIC, _GROUP = "asked", "asking"


class Asker(threading.Thread):
    """Asks one thing over and over."""

    def __init__(self, ask: Callable[[], object]) -> None:
        super().__init__()
        self._ask = ask
        self.answers: list[object] = []
        self.error: Exception | None = None
        self.to_end = threading.Event()

    def run(self) -> None:
        while not self.to_end.wait(0.02):
            try:
                self.answers.append(self._ask())
            except Exception as error:  # noqa: BLE001 - looked at by the test
                self.error = error
                return


@pytest.mark.slow
def test_a_killed_broker_is_waited_for(own_broker: Broker) -> None:
    make_topic(own_broker.servers, _TOPIC, 4)
    cluster = Cluster(own_broker.servers, {})
    askers = [Asker(lambda: cluster.bounds(_TOPIC, 1)) for _ in range(3)]
    askers.append(Asker(lambda: cluster.committed(_GROUP, [(_TOPIC, 1)])))
    for asker in askers:
        asker.start()
    for _ in range(3):
        time.sleep(1)
        own_broker.kill()
        time.sleep(1)
        own_broker.start()
    known = [len(asker.answers) for asker in askers]
    time.sleep(2)
    for asker in askers:
        asker.to_end.set()
        asker.join()
    assert [asker.error for asker in askers] == [None] * 4
    assert all(len(asker.answers) > before for asker, before in zip(askers, known, strict=True))
    assert {answer for asker in askers[:3] for answer in asker.answers} == {(0, 0)}
    # whoever waits for nothing is answered at once, with leaders that came after
    assert cluster.bounds(_TOPIC, 1, PRESENT_SECONDS) == (0, 0)


def test_a_topic_that_is_not_there_has_no_bounds(servers: str) -> None:
    cluster = Cluster(servers, {})
    with pytest.raises(DataError, match="no-such-topic"):
        cluster.bounds("no-such-topic", 0, PRESENT_SECONDS)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (KafkaError._TRANSPORT, Unavailable),
        (KafkaError._DESTROY_BROKER, Unavailable),
        (KafkaError.NOT_LEADER_FOR_PARTITION, Unavailable),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, DataError),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, DataError),
    ],
)
def test_what_comes_back_is_told_from_what_does_not(code: int, expected: type[Exception]) -> None:
    failed = Cluster("127.0.0.1:1", {}).failed("a topic", KafkaException(KafkaError(code)))
    assert type(failed) is expected
