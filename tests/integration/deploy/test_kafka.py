"""Kafka of the compose file: its settings start a broker, and its script makes topics, for real."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from benchmarks.ports import free_port
from confluent_kafka.admin import AdminClient

sys.path.insert(0, str(Path(__file__).parent))
from manifests import DEPLOY, interpolated  # type: ignore[import-not-found]  # on the path above

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_KAFKA = "no Kafka: set HEADRACE_KAFKA_BROKER to a command that starts one"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(
    interpolated((DEPLOY / "compose.yaml").read_text())
)["services"]
#: In the place of Kafka's own tool, which the image has: its options that are used, and no others.
TOPICS_TOOL = f"""#!{sys.executable}
import argparse
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
said = argparse.ArgumentParser(allow_abbrev=False)
said.add_argument("--bootstrap-server", required=True)
said.add_argument("--create", action="store_true", required=True)
said.add_argument("--if-not-exists", action="store_true")
said.add_argument("--topic", required=True)
said.add_argument("--partitions", type=int)
said.add_argument("--replication-factor", type=int)
said = said.parse_args()
admin = AdminClient({{"bootstrap.servers": said.bootstrap_server}})
topic = NewTopic(said.topic, said.partitions, said.replication_factor)
try:
    admin.create_topics([topic])[said.topic].result(30)
except KafkaException as error:
    if not said.if_not_exists or error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
        raise
"""


def properties() -> dict[str, str]:
    """The broker's settings, as its image makes them of the variables `KAFKA_...`."""
    given = SERVICES["kafka"]["environment"]
    return {
        name.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for name, value in given.items()
        if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS"
    }


def test_the_cluster_has_an_id() -> None:
    assert (
        len(base64.urlsafe_b64decode(SERVICES["kafka"]["environment"]["CLUSTER_ID"] + "==")) == 16
    )


class Broker:
    """A real broker with the compose file's settings, at ports of its own."""

    def __init__(self, folder: Path, command: str) -> None:
        self.port = free_port()
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.bin / "kafka-topics.sh").write_text(TOPICS_TOOL)
        (self.bin / "kafka-topics.sh").chmod(0o755)
        settings = {name: self.here(value) for name, value in properties().items()}
        settings["log.dirs"] = str(folder / "data" / "data")
        words = [f"{name}={value}" for name, value in settings.items()]
        self._process = subprocess.Popen([command, str(folder / "data"), str(self.port), *words])

    def here(self, text: str) -> str:
        """A setting with this broker's addresses in the place of those in the container."""
        text = re.sub(r"(localhost)?:9093", f"127.0.0.1:{self.port + 1}", text)
        return re.sub(r"(kafka)?:9092", f"127.0.0.1:{self.port}", text)

    def ask(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command of a container against it."""
        environment = {**os.environ, "KAFKA_BIN": str(self.bin)}
        return subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    def stop(self) -> None:
        """End it in good order."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(timeout=240) == 143


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    command = os.environ.get("HEADRACE_KAFKA_BROKER")
    if command is None:
        pytest.skip(NO_KAFKA)
    running = Broker(tmp_path, command)
    yield running
    running.stop()


@pytest.mark.slow
def test_the_broker_starts_and_has_its_topics(broker: Broker) -> None:
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{broker.port}"})
    assert set(admin.list_topics(timeout=90).topics) == set()
    topics = SERVICES["topics"]
    shell, script = topics["entrypoint"]
    (bound,) = topics["volumes"]
    assert bound.split(":")[1] == script
    make = [shell, str(DEPLOY / bound.split(":")[0]), *map(broker.here, topics["command"])]
    for _ in range(2):
        made = broker.ask(make)
        assert made.returncode == 0, made.stdout + made.stderr
    worker = " ".join(SERVICES["worker"]["command"])
    there = set(admin.list_topics(timeout=90).topics)
    assert there == set(re.findall(r"kafka://kafka:9092/(\w+)", worker))


def test_the_script_says_how_it_is_called() -> None:
    done = subprocess.run(
        ["sh", DEPLOY / "kafka" / "make-topics.sh"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "usage: make-topics.sh HOST:PORT TOPIC...\n")
