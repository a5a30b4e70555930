"""The ready-made use cases from topic to topic, by a worker that is killed."""

import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "parity"))

import cases
from benchmarks.broker import Broker, make_topic
from tests.disturbances import lines
from tests.integration.kafka.topic_stage import COMMAND, committed, inputs_in
from tests.session_folder import session_folder
from tests.warm import headrace

import headrace as hr
from headrace.runtime.home import Home

pytestmark = pytest.mark.slow

#: How often the worker is killed.
KILLS = 2


@pytest.mark.parametrize("case", cases.FILES, ids=cases.title)
def test_killed_in_the_midst_of_all_its_topics(
    own_broker: Broker,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    case: hr.UseCase,
) -> None:
    cases.skipped_without_libraries(case)
    history = cases.history(case, tmp_path)
    trained = cases.home_with_model(case, session_folder(tmp_path_factory))
    home = Home(shutil.copytree(trained.folder, tmp_path / "home"))
    parts = parted(case, history, KILLS + 1)
    for name in (*history.frames, "decisions"):
        make_topic(own_broker.servers, name)
    arguments = [
        "run",
        cases.FILES[case],
        *(
            f"--source={name}=kafka://{own_broker.servers}/{name}"
            + ("?single&until=end" if name == case.plan.on else "")
            for name in history.frames
        ),
        f"--sink=kafka://{own_broker.servers}/decisions",
        f"--home={home.folder}",
    ]
    live = [argument.replace("&until=end", "") for argument in arguments]
    for part in parts[:-1]:
        before = len(decisions(own_broker))
        with (tmp_path / "said").open("wb") as said:
            worker = subprocess.Popen([*COMMAND, *live], cwd=tmp_path, stdout=said, stderr=said)
        feed(own_broker, part)
        until(own_broker, before + 1, worker, tmp_path / "said")
        worker.send_signal(signal.SIGKILL)  # in the midst of what was sent
        assert worker.wait() == -signal.SIGKILL
    feed(own_broker, parts[-1])
    done = headrace(arguments, tmp_path)
    assert done.returncode == 0, done.stderr

    over = [f"--home={home.folder}"]
    collected = headrace(
        ["collect", case.name, f"--from=kafka://{own_broker.servers}", *over], tmp_path
    )
    assert collected.returncode == 0, collected.stderr
    assert "good" in headrace(["verify", case.name, *over], tmp_path).stdout
    replayed = headrace(["replay", case.name, *over], tmp_path).stdout
    assert "the same, byte for byte" in replayed
    inputs = inputs_in(home.folder, case.name)
    read = Counter((item["from"], item["position"]) for item in inputs)
    assert set(read.values()) == {1}
    assert len(read) == sum(map(len, parts))
    decided = {
        f"{item['lane']}/{item['seq']}": item["outcome"] for item in inputs if item["outcome"]
    }
    told = [msgspec.json.decode(value) for value in decisions(own_broker)]
    assert {item["decision_id"]: item["outcome"] for item in told} == decided
    assert len(told) == len(decided) > 0


def parted(case: hr.UseCase, history: cases.History, count: int) -> list[list[tuple[str, bytes]]]:
    """Topic and content of all messages, those of each topic in their order, in parts."""
    parts: list[list[tuple[str, bytes]]] = [[] for _ in range(count)]
    for name, table in history.frames.items():
        written = list(lines(table))
        if name == case.plan.on:
            written = history.decided.read_bytes().splitlines()
        for number, line in enumerate(written):
            parts[number * count // len(written)].append((name, line.rstrip(b"\n")))
    return parts


def feed(broker: Broker, part: list[tuple[str, bytes]]) -> None:
    """Send messages."""
    producer = Producer({"bootstrap.servers": broker.servers, "enable.idempotence": True})
    for topic, content in part:
        producer.produce(topic, content)
        producer.poll(0)
    assert producer.flush(120) == 0


def decisions(broker: Broker) -> list[bytes]:
    """What the sink has."""
    return [message.value() or b"" for message in committed(broker.servers, "decisions", {})]


def until(broker: Broker, count: int, worker: "subprocess.Popen[bytes]", said: Path) -> None:
    """Wait for so many decisions."""
    end = time.monotonic() + 240
    while len(decisions(broker)) < count:
        assert worker.poll() is None, said.read_text()
        assert time.monotonic() < end, said.read_text()
        time.sleep(0.05)
