"""A Kafka broker for tests and benchmarks: that of `HEADRACE_TEST_KAFKA`, or one of our own.

`HEADRACE_KAFKA_BROKER` names a command that starts one in the foreground: COMMAND DIR PORT.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from benchmarks.ports import free_port
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NO_KAFKA = (
    "no Kafka: set HEADRACE_TEST_KAFKA to an address, or HEADRACE_KAFKA_BROKER to a command that"
    " starts one"
)
_READY_SECONDS = 240.0
#: What a broker tells of marks of transactions that it does not write.
_MARKS_LOST = "these partitions are likely deleted already and hence can be skipped"
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


@dataclass
class Broker:
    """A broker of our own, in a folder; it can be killed and started again.

    Attributes:
        folder: Of its data.
        port: That it listens on.
        settings: Of `server.properties`.
        client: Settings that clients need, such as those of security.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    settings: Mapping[str, str] = field(default_factory=dict)
    client: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def servers(self) -> str:
        """Its address."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [os.environ["HEADRACE_KAFKA_BROKER"], str(self.folder), str(self.port)]
        command += [f"{name}={value}" for name, value in self.settings.items()]
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "out").open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        end = time.monotonic() + _READY_SECONDS
        while not answers(self.servers, self.client):
            if time.monotonic() > end or self.process.poll() is not None:
                self.stop()
                said = (self.folder / "out").read_text()
                raise RuntimeError(f"the broker in {self.folder} did not start: {said}")
            time.sleep(0.5)

    def pause(self) -> None:
        """Let it hang: connections stay open, and nothing is answered."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Crash it."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it in good order."""
        self._end(signal.SIGTERM)

    @property
    def has_lost_marks(self) -> bool:
        """Whether it has told that it left a transaction committed in some of its topics alone.

        Kafka 4.3 does, where it was killed while it committed, and finds no leader as it comes back
        (KAFKA-20734).
        """
        log = self.folder / "broker.log"
        return log.exists() and _MARKS_LOST in log.read_text(errors="replace")

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None


def answers(servers: str, client: Mapping[str, str] = NO_SETTINGS) -> bool:
    """Whether there is a broker at an address that can list its topics."""
    try:
        host, _, port = servers.partition(",")[0].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=1):
            pass
        admin(servers, client).list_topics(timeout=2)
    except (OSError, KafkaException):
        return False
    return True


def admin(servers: str, client: Mapping[str, str] = NO_SETTINGS) -> AdminClient:
    """A client that makes topics."""
    return AdminClient({"bootstrap.servers": servers, "log_level": 0, **client})


def make_topic(
    servers: str,
    name: str,
    partitions: int = 1,
    client: Mapping[str, str] = NO_SETTINGS,
    config: Mapping[str, str] = NO_SETTINGS,
) -> None:
    """Make a topic, and wait until it is there."""
    maker = admin(servers, client)
    new = NewTopic(name, partitions, 1, config=dict(config))
    maker.create_topics([new])[name].result()
    end = time.monotonic() + 60
    while name not in maker.list_topics(timeout=5).topics and time.monotonic() < end:
        time.sleep(0.05)
