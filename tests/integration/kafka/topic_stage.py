"""A use case on a real Kafka: its topics, its commands, and what is found in them afterwards."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from benchmarks.broker import make_topic  # noqa: E402 - its folder is known now
from confluent_kafka import (  # noqa: E402 - the same
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from tests.warm import WarmProcess, headrace, started  # noqa: E402 - the same

from headrace.journal.reader import stored_batches  # noqa: E402 - the same
from headrace.runtime.home import Home  # noqa: E402 - the same

if TYPE_CHECKING:
    import subprocess

COMMAND = [sys.executable, "-c", "from headrace.cli import main; main()"]

CASE = """
import headrace as hr

class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key{personal}
    amount: hr.Money("EUR")

payments = hr.stream(Payment, name="payments", lateness="2d")
card = payments.by("card")
features = hr.features(
    amount=payments.amount,
    card_count_5m=card.count("5m"),
    card_sum_1h=card.sum(payments.amount, "1h"),
)
case = hr.UseCase(
    name="{name}",
    on=payments,
    features=features,
    policy=hr.Policy(
        hr.block("burst", features.card_count_5m > 5),
        hr.review("large", features.amount > 900),
        otherwise=hr.approve(),
    ),
)
"""


def payment(number: int) -> bytes:
    """A payment; its time goes on by a second with each, through the month."""
    second = number % 60
    minute, hour, day = number // 60 % 60, number // 3600 % 24, 1 + number // 86_400
    return (
        f'{{"payment_id":"p{number}","at":"2026-03-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}Z",'
        f'"card":"c{number % 13}","amount":{number * 37 % 1000}.50}}'
    ).encode()


@dataclass
class Stage:
    """A use case of its own on a cluster, with topics and a home of its own.

    Attributes:
        servers: Of the cluster.
        folder: For the file of the use case and the homes.
        name: Of the use case; topics begin with it.
        partitions: Of the topic of payments.
        personal: Whether cards are personal data.
        grouped: Whether workers share the partitions as lanes; else one lane takes all of them.
        protocol: Of the group.
        client: Settings that clients need, such as those of security.
        session_ms: After so long a classic group misses a member; 6,000 is the least that a broker
            allows for.
    """

    servers: str
    folder: Path
    name: str
    partitions: int = 1
    personal: bool = False
    grouped: bool = False
    protocol: str = "classic"
    client: Mapping[str, str] = field(default_factory=dict)
    session_ms: int = 6_000
    home: Path = field(init=False)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        personal = " = hr.field(pii=True, subject=True)" if self.personal else ""
        (self.folder / "case.py").write_text(CASE.format(name=self.name, personal=personal))
        make_topic(self.servers, self.source, self.partitions, self.client)
        make_topic(self.servers, self.sink, self.partitions, self.client)

    @property
    def source(self) -> str:
        return f"{self.name}.payments"

    @property
    def sink(self) -> str:
        return f"{self.name}.decisions"

    @property
    def quarantine(self) -> str:
        return f"headrace.{self.name}.quarantine"

    def own(self, what: str) -> str:
        """One of Headrace's own topics."""
        return f"headrace.{self.name}.{what}"

    def feed(self, payloads: Sequence[bytes | None], topic: str = "") -> None:
        """Send messages, one after the other to each partition in turn."""
        producer = producer_to(self.servers, *self.client.items())
        for number, payload in enumerate(payloads):
            partition = 0 if topic else number % self.partitions
            producer.produce(topic or self.source, payload, partition=partition)
        producer.flush()

    def command(
        self, *, until: str = "&until=end", sink: str = "", home: Path | None = None
    ) -> list[str]:
        how = "single"
        if self.grouped and self.protocol == "classic":
            how = f"session.timeout.ms={self.session_ms}"
        elif self.grouped:
            how = f"group.protocol={self.protocol}"
        return [
            *COMMAND,
            "run",
            "case.py",
            f"--source=kafka://{self.servers}/{self.source}?{how}{until}",
            f"--sink=kafka://{self.servers}/{self.sink}{sink}",
            f"--home={home or self.home}",
        ]

    def started(self, output: Path | None = None, **how: Any) -> WarmProcess:
        """A worker that goes on until it is stopped; what it says goes to the end of a file."""
        said = None if output is None else (output, output)
        return started(self.command(until="", **how)[len(COMMAND) :], self.folder, output=said)

    def other_home(self, name: str) -> Path:
        """The home of another worker: the keys alone are copied, once the first has made them."""
        home = self.folder / name
        keys = home / "keys"
        keys.mkdir(parents=True, mode=0o700)
        for path in (self.home / "keys").iterdir():
            (keys / path.name).write_bytes(path.read_bytes())
            (keys / path.name).chmod(0o600)
        return home

    def run(self, **how: Any) -> "subprocess.CompletedProcess[str]":
        """A worker that ends when it has read what is there."""
        return self.headrace(self.command(**how)[len(COMMAND) :])

    def headrace(self, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        return headrace(arguments, self.folder, {"COLUMNS": "10000"})

    def done(self, arguments: Sequence[str]) -> str:
        """A command that must go well; what it said."""
        done = self.headrace([*arguments, f"--home={self.home}"])
        assert done.returncode == 0, done.stderr
        return done.stdout

    def check_evidence(self) -> list[dict[str, Any]]:
        """Collect, verify and replay the journal; every input in it."""
        self.done(["collect", self.name, f"--from=kafka://{self.servers}"])
        assert "good" in self.done(["verify", self.name])
        assert "the same, byte for byte" in self.done(["replay", self.name])
        return inputs_in(self.home, self.name)

    def messages(self, topic: str) -> list[tuple[dict[str, bytes], bytes | None]]:
        """Headers and contents of all committed messages of a topic."""
        return [
            (_headers(message), message.value())
            for message in committed(self.servers, topic, self.client)
        ]

    def by_partition(self, topic: str) -> dict[int, list[bytes]]:
        """Contents of all committed messages of a topic, for each partition."""
        found: dict[int, list[bytes]] = {}
        for message in committed(self.servers, topic, self.client):
            found.setdefault(message.partition() or 0, []).append(message.value() or b"")
        return found

    def decisions(self) -> list[dict[str, Any]]:
        """What the sink has."""
        return [msgspec.json.decode(value or b"") for _, value in self.messages(self.sink)]


@lru_cache(maxsize=1)
def producer_to(servers: str, *client: tuple[str, str]) -> Producer:
    """The producer of tests that feed one cluster after the other; a new one waits for its id."""
    return Producer(
        {
            "bootstrap.servers": servers,
            "enable.idempotence": True,
            "log_level": 0,
            **dict(client),
        }
    )


def inputs_in(home: Path, name: str) -> list[dict[str, Any]]:
    """What the journal of a home says of every input."""
    found: list[dict[str, Any]] = []
    lanes = [Home(home).journal(name, lane) for lane in Home(home).lanes(name)]
    for stored in chain.from_iterable(stored_batches(lane) for lane in lanes):
        batch, header = stored.batch(), stored.header
        made = {int(seq): at for at, seq in enumerate(batch.decisions.seq)}
        for index in range(len(batch)):
            at = made.get(batch.first_seq + index)
            found.append(
                {
                    "lane": header.lane,
                    "seq": batch.first_seq + index,
                    "from": header.sources[int(batch.inputs.source[index])],
                    "position": int(batch.inputs.position[index]),
                    "kind": int(batch.inputs.kind[index]),
                    "reason": header.reasons[int(batch.inputs.reason[index])],
                    "original": int(batch.inputs.original_seq[index]),
                    "features": None if at is None else batch.decisions.features[:, at].tobytes(),
                    "outcome": None
                    if at is None
                    else header.outcomes[int(batch.decisions.outcome[at])],
                }
            )
    return found


def _headers(message: Message) -> dict[str, bytes]:
    headers: Mapping[Any, Any] = dict(message.headers() or {})
    return {str(name): value for name, value in headers.items()}


def end_of(consumer: Consumer, place: TopicPartition) -> int:
    """Where a partition ends, once a broker that has just started knows."""
    end = time.monotonic() + 120
    while True:
        try:
            return (consumer.get_watermark_offsets(place, timeout=10) or (0, 0))[1]
        except KafkaException:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def reading(servers: str, client: Mapping[str, str], isolation: str) -> Consumer:
    """A consumer that tells of the ends of partitions."""
    return Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "tests",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
            "log_level": 0,
            **client,
        }
    )


def committed(servers: str, topic: str, client: Mapping[str, str]) -> list[Message]:
    """Every committed message of a topic, partition by partition as they come.

    A commit is answered before all of it is written out: what is on its way is waited for.
    """
    asking = reading(servers, client, "read_uncommitted")
    partitions = len(asking.list_topics(topic, timeout=120).topics[topic].partitions)
    places = [TopicPartition(topic, number, 0) for number in range(partitions)]
    ends = [end_of(asking, place) for place in places]
    asking.close()
    consumer = reading(servers, client, "read_committed")
    consumer.assign(places)
    found: list[Message] = []
    ended: set[int | None] = set()
    while len(ended) < partitions:
        message = consumer.poll(120)
        assert message is not None, f"{topic} does not answer"
        error = message.error()
        if error is None and int(message.offset() or 0) >= ends[message.partition() or 0]:
            ended.add(message.partition())  # it was written meanwhile
        elif error is None:
            found.append(message)
        else:
            assert error.code() == KafkaError._PARTITION_EOF, error
            if int(message.offset() or 0) >= ends[message.partition() or 0]:
                ended.add(message.partition())
    consumer.close()
    return found
