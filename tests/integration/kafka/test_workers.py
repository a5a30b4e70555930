"""Several workers that share a topic: they come, go, are killed; each event is decided once."""

import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.broker import NO_KAFKA, Broker
from tests.integration.kafka.feeder import Feeder, check, until_decided
from tests.integration.kafka.topic_stage import Stage, inputs_in

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("HEADRACE_CHAOS_SECONDS", "45"))
#: Workers are missed soon, by either protocol.
SOON = {
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "1000",
}


@pytest.fixture
def broker(tmp_path: Path) -> Any:
    """A broker whose groups soon miss a member, and that may be killed."""
    if not os.environ.get("HEADRACE_KAFKA_BROKER"):
        pytest.skip(NO_KAFKA)
    made = Broker(tmp_path / "kafka", settings=SOON)
    made.start()
    yield made
    made.kill()


class Workers:
    """Worker processes on homes of their own, to which the keys alone were copied."""

    def __init__(self, stage: Stage, count: int) -> None:
        self.stage = stage
        first = stage.run()  # nothing is there yet: it makes the keys, and Headrace's own topics
        assert first.returncode == 0, first.stderr
        self.homes = [stage.home, *(stage.other_home(f"home-{at}") for at in range(1, count))]
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, at: int) -> None:
        with (self.stage.folder / f"worker-{at}.txt").open("ab") as said:
            self.running[at] = self.stage.started(home=self.homes[at], output=said)

    def kill(self, at: int) -> None:
        worker = self.running.pop(at)
        assert worker.poll() is None, self.said(at)
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    def stop(self, at: int) -> None:
        worker = self.running.pop(at)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(90) == 0, self.said(at)

    def said(self, at: int) -> str:
        return " ".join((self.stage.folder / f"worker-{at}.txt").read_text().split())


def stage_on(broker: Broker, folder: Path, protocol: str) -> Stage:
    name = f"shared-{protocol}"
    return Stage(broker.servers, folder, name, partitions=4, grouped=True, protocol=protocol)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_workers_are_killed_under_load(broker: Broker, tmp_path: Path, protocol: str) -> None:
    stage = stage_on(broker, tmp_path, protocol)
    workers, dice = Workers(stage, 2), random.Random(7)
    feeder = Feeder(stage, 800)
    feeder.start()
    for at in (0, 1):
        workers.start(at)
    until_decided(stage, 1)
    end = time.monotonic() + SECONDS
    kills = Counter[int]()
    while time.monotonic() < end:
        time.sleep(dice.uniform(4.0, 9.0))
        at = dice.randrange(2)
        workers.kill(at)
        kills[at] += 1
        workers.start(at)
    until_decided(stage, len(stage.decisions()) + 1)
    feeder.end()
    for at in list(workers.running):
        workers.stop(at)
    assert sum(kills.values()) > 2
    assert "Traceback" not in workers.said(0) + workers.said(1)
    check(stage, feeder)
    check_lanes_are_as_undisturbed(stage)


def test_a_worker_joins_and_leaves(broker: Broker, tmp_path: Path) -> None:
    stage = stage_on(broker, tmp_path, "classic")
    workers = Workers(stage, 2)
    feeder = Feeder(stage, 800)
    feeder.start()
    workers.start(0)
    until_decided(stage, 1)
    workers.start(1)
    wait_for(lambda: "the group gives this worker lane" in workers.said(1))
    assert "goes to another worker" in workers.said(0)
    until_decided(stage, len(stage.decisions()) + 1_000)
    workers.stop(0)
    until_decided(stage, len(stage.decisions()) + 1_000)
    feeder.end()
    workers.stop(1)
    assert "taken over" not in workers.said(0) + workers.said(1), "lanes were given up in order"
    check(stage, feeder)


def test_the_broker_restarts_under_two_workers(broker: Broker, tmp_path: Path) -> None:
    stage = stage_on(broker, tmp_path, "classic")
    workers = Workers(stage, 2)
    feeder = Feeder(stage, 400)
    feeder.start()
    for at in (0, 1):
        workers.start(at)
    until_decided(stage, 1)
    for away in (0.5, 3.0):
        broker.kill()
        time.sleep(away)
        broker.start()
        until_decided(stage, len(stage.decisions()) + 500)
    feeder.end()
    for at in (0, 1):
        workers.stop(at)
    check(stage, feeder)


def check_lanes_are_as_undisturbed(stage: Stage) -> None:
    """One stream, one key, no tables: the order of a partition fixes all that is decided."""
    names = ("lane", "seq", "from", "position", "kind", "features", "outcome")
    disturbed = {
        (item["lane"], item["seq"]): [item[name] for name in names]
        for item in inputs_in(stage.home, stage.name)
    }
    messages = stage.by_partition(stage.source)
    for lane, payloads in messages.items():
        lines = stage.folder / f"lane-{lane}.jsonl"
        lines.write_bytes(b"".join(payload.replace(b"\n", b" ") + b"\n" for payload in payloads))
        home = stage.folder / f"alone-{lane}"
        done = stage.headrace(["run", "case.py", f"--source={lines.name}", f"--home={home}"])
        assert done.returncode == 0, done.stderr
        for item in inputs_in(home, stage.name):
            found = disturbed[f"{stage.name}/{lane}", item["seq"]]
            assert found[3:] == [item[name] for name in names[3:]]


def wait_for(holds: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.3)
