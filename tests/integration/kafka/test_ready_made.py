"""The ready-made use cases from topic to topic, by workers that are killed."""

import random
import shutil
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "parity"))

import cases
from benchmarks.broker import admin, make_topic
from tests.disturbances import lines
from tests.integration.kafka.feeder import until_decided
from tests.integration.kafka.topic_stage import COMMAND, Stage
from tests.integration.kafka.workers import Workers
from tests.session_folder import session_folder

import headrace as hr

pytestmark = pytest.mark.slow

#: How often a worker is killed.
KILLS = 2
#: Ready-made use cases, and how many workers each has: as many as there are partitions.
RUN = list(zip(cases.FILES, (2, 2, 1), strict=True))
#: Whose events one lane has, field by field: events of one of them go to one partition.
KEYS = ("symbol", "applicant")


@dataclass
class ReadyMade(Stage):
    """A ready-made use case on a cluster: a topic for each of its streams.

    Attributes:
        case: One that commands can name.
        history: What is sent.
        trained: A home that has a model.
    """

    case: hr.UseCase = field(kw_only=True)
    history: cases.History = field(kw_only=True)
    trained: Path = field(kw_only=True)

    def __post_init__(self) -> None:
        self.home = Path(shutil.copytree(self.trained, self.folder / "home"))
        for topic in (*map(self.topic, self.history.frames), self.sink):
            make_topic(self.servers, topic, self.partitions)

    def topic(self, stream: str) -> str:
        """That of a stream."""
        return f"{self.name}.{stream}"

    def command(
        self, *, until: str = "&until=end", sink: str = "", home: Path | None = None
    ) -> list[str]:
        how = f"session.timeout.ms={self.session_ms}" if self.grouped else "single"
        asked = {self.case.plan.on: f"?{how}{until}"}
        return [
            *COMMAND,
            "run",
            cases.FILES[self.case],
            *(
                f"--source={name}=kafka://{self.servers}/{self.topic(name)}{asked.get(name, '')}"
                for name in self.history.frames
            ),
            f"--sink=kafka://{self.servers}/{self.sink}{sink}",
            f"--home={home or self.home}",
        ]

    def other_home(self, name: str) -> Path:
        home = super().other_home(name)
        shutil.copytree(self.trained / "models", home / "models")
        return home

    def parted(self, count: int) -> list[list[tuple[str, bytes]]]:
        """Topic and content of all messages, those of each topic in their order, in parts."""
        parts: list[list[tuple[str, bytes]]] = [[] for _ in range(count)]
        for name, table in self.history.frames.items():
            written = list(lines(table))
            if name == self.case.plan.on:
                written = self.history.decided.read_bytes().splitlines()
            for number, line in enumerate(written):
                parts[number * count // len(written)].append((self.topic(name), line.rstrip(b"\n")))
        return parts

    def send(self, part: list[tuple[str, bytes]]) -> None:
        """Send messages, those of one key to one partition."""
        producer = Producer({"bootstrap.servers": self.servers, "enable.idempotence": True})
        for topic, content in part:
            producer.produce(topic, content, partition=self._partition(content))
            producer.poll(0)
        assert producer.flush(120) == 0

    def _partition(self, content: bytes) -> int:
        try:
            said = msgspec.json.decode(content)
        except msgspec.DecodeError:  # one that was cut off may go anywhere
            said = {}
        key = next((said[name] for name in KEYS if name in said), "")
        return zlib.crc32(key.encode()) % self.partitions


@pytest.fixture(params=RUN, ids=lambda run: f"{run[0].name}-{run[1]}")
def stage(
    request: pytest.FixtureRequest,
    servers: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ReadyMade]:
    """One of `RUN`; its topics bear its own names, and go when the test is over."""
    case, partitions = request.param
    cases.skipped_without_libraries(case)
    yield ReadyMade(
        servers,
        tmp_path,
        case.name,
        partitions=partitions,
        grouped=partitions > 1,
        case=case,
        history=cases.history(case, tmp_path, share=0.4),
        trained=cases.home_with_model(case, session_folder(tmp_path_factory)).folder,
    )
    cluster = admin(servers)
    own = [name for name in cluster.list_topics(timeout=60).topics if case.name in name]
    for done in cluster.delete_topics(own).values():
        done.result()


def test_killed_in_the_midst_of_all_its_topics(stage: ReadyMade) -> None:
    """Workers that share the partitions of all topics, or one that takes all of them."""
    count = stage.partitions
    dice = random.Random(5)
    parts = stage.parted(KILLS + 1)
    with Workers(stage, count) as workers:
        for at in range(count):
            workers.start(at)
        for part in parts[:-1]:
            before = len(stage.decisions())
            stage.send(part)
            until_decided(stage, before + 1)
            at = dice.randrange(count)
            workers.kill(at)  # in the midst of what was sent
            workers.start(at)
        before = len(stage.decisions())
        stage.send(parts[-1])
        until_decided(stage, before + 1)
        for at in range(count):
            workers.stop(at)
            assert "Traceback" not in workers.said(at)
    done = stage.run()
    assert done.returncode == 0, done.stderr

    inputs = stage.check_evidence()
    read = Counter((item["from"], item["position"]) for item in inputs)
    assert set(read.values()) == {1}
    assert len(read) == sum(map(len, parts))
    assert len({item["lane"] for item in inputs}) == count
    decided = {
        f"{item['lane']}/{item['seq']}": item["outcome"] for item in inputs if item["outcome"]
    }
    told = stage.decisions()
    assert {item["decision_id"]: item["outcome"] for item in told} == decided
    assert len(told) == len(decided) > 0
