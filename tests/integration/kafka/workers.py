"""Worker processes that share a topic, killed at random moments; and what must hold afterwards."""

import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.integration.kafka.feeder import Feeder, check, until_decided, until_more_decided
from tests.integration.kafka.topic_stage import Stage, inputs_in

if TYPE_CHECKING:
    from tests.warm import WarmProcess


class Workers:
    """Worker processes on homes of their own, to which the keys alone were copied."""

    def __init__(self, stage: Stage, count: int) -> None:
        self.stage = stage
        first = stage.run()  # nothing is there yet: it makes the keys, and Headrace's own topics
        assert first.returncode == 0, first.stderr
        self.homes = [stage.home, *(stage.other_home(f"home-{at}") for at in range(1, count))]
        self.running: dict[int, WarmProcess] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for worker in self.running.values():
            worker.kill()
            worker.wait()

    def start(self, at: int) -> None:
        said = self.stage.folder / f"worker-{at}.txt"
        self.running[at] = self.stage.started(home=self.homes[at], output=said)

    def kill(self, at: int) -> None:
        worker = self.running.pop(at)
        assert worker.poll() is None, (worker.returncode, self.said(at))
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    def stop(self, at: int) -> None:
        worker = self.running.pop(at)
        worker.send_signal(signal.SIGTERM)
        ended = worker.wait(240)
        # one that was started a moment ago has nothing to end in order yet
        assert ended in {0, -signal.SIGTERM}, (ended, self.said(at))

    def said(self, at: int) -> str:
        return " ".join((self.stage.folder / f"worker-{at}.txt").read_text().split())


def stage_on(servers: str, folder: Path, protocol: str) -> Stage:
    name = f"shared-{protocol}-{os.getpid()}-{abs(hash(folder)) % 10**8}"
    return Stage(servers, folder, name, partitions=4, grouped=True, protocol=protocol)


@dataclass(frozen=True)
class Killed:
    """What became of a run whose workers were killed.

    Attributes:
        kills: Of each worker.
        sent: Messages that were fed, duplicates and broken ones included.
        decided: Events that were decided, each once.
        seconds: That it was fed for.
        moves: How often the group gave lanes to a worker.
    """

    kills: Counter[int]
    sent: int
    decided: int
    seconds: float
    moves: int


def killed_at_random(stage: Stage, seconds: float, rate: int, seed: int) -> Killed:
    """Two workers under load, one of them killed every few seconds, and every check on the end.

    Journals are complete and verify, each event was decided once, each decision is in the sink
    once, a replay gives the same bytes, and so does a run of each lane that nobody disturbed.
    """
    dice = random.Random(seed)
    with Workers(stage, 2) as workers:
        feeder = Feeder(stage, rate)
        feeder.start()
        begun = time.monotonic()
        for at in (0, 1):
            workers.start(at)
        until_decided(stage, 1)
        kills = Counter[int]()
        while time.monotonic() < begun + seconds or kills.total() < 2:
            time.sleep(dice.uniform(4.0, 9.0))
            at = dice.randrange(2)
            workers.kill(at)
            kills[at] += 1
            workers.start(at)
        until_more_decided(stage)
        feeder.end()
        took = time.monotonic() - begun
        for at in list(workers.running):
            workers.stop(at)
        said = workers.said(0) + workers.said(1)
        assert "Traceback" not in said
    check(stage, feeder)
    check_lanes_are_as_undisturbed(stage)
    moves = said.count("the group gives this worker lane")
    return Killed(kills, feeder.sent, feeder.payments, took, moves)


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
