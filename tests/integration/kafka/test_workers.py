"""Several workers that share a topic: they come, go, are killed; each event is decided once."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.broker import Broker
from tests.integration.kafka.feeder import Feeder, check, until_decided, until_more_decided
from tests.integration.kafka.topic_stage import payment
from tests.integration.kafka.workers import Workers, killed_at_random, stage_on

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("HEADRACE_CHAOS_SECONDS", "20"))
#: By the protocol that workers have unless another is asked for, for as long as this at least.
MINUTE = 60.0


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_workers_are_killed_under_load(servers: str, tmp_path: Path, protocol: str) -> None:
    seconds = max(SECONDS, MINUTE if protocol == "classic" else 0.0)
    found = killed_at_random(stage_on(servers, tmp_path, protocol), seconds, rate=800, seed=7)
    assert sum(found.kills.values()) > 1
    assert found.decided > 0


def test_a_worker_joins_and_leaves(servers: str, tmp_path: Path) -> None:
    stage = stage_on(servers, tmp_path, "classic")
    with Workers(stage, 2) as workers:
        feeder = Feeder(stage, 800)
        feeder.start()
        workers.start(0)
        until_decided(stage, 1)
        workers.start(1)
        wait_for(lambda: "the group gives this worker lane" in workers.said(1))
        assert "goes to another worker" in workers.said(0)
        until_more_decided(stage, 1_000)
        workers.stop(0)
        until_more_decided(stage, 1_000)
        feeder.end()
        workers.stop(1)
        assert "taken over" not in workers.said(0) + workers.said(1), "lanes were given up in order"
    check(stage, feeder)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_run_to_the_end_waits_for_lanes_of_the_dead(
    servers: str, tmp_path: Path, protocol: str
) -> None:
    """Others it has at once; those, when the group misses the worker that was killed."""
    stage = stage_on(servers, tmp_path, protocol)
    stage.feed([payment(number) for number in range(400)])
    with Workers(stage, 2) as workers:
        until_decided(stage, 400)
        workers.start(0)
        wait_for(lambda: "the group gives this worker lane" in workers.said(0))
        workers.start(1)
        wait_for(lambda: "the group gives this worker lane" in workers.said(1))
        stage.feed([payment(number) for number in range(400, 800)])
        until_decided(stage, 800)
        workers.kill(1)
        workers.stop(0)
    stage.feed([payment(number) for number in range(800, 1_200)])
    done = stage.run()
    assert done.returncode == 0, done.stderr
    assert "400 received = 400 accepted" in done.stdout
    assert len(stage.check_evidence()) == len(stage.decisions()) == 1_200


def test_the_broker_restarts_under_two_workers(own_broker: Broker, tmp_path: Path) -> None:
    stage = stage_on(own_broker.servers, tmp_path, "classic")
    with Workers(stage, 2) as workers:
        feeder = Feeder(stage, 400)
        feeder.start()
        for at in (0, 1):
            workers.start(at)
        until_decided(stage, 1)
        for away in (0.5, 3.0):
            own_broker.kill()
            time.sleep(away)
            own_broker.start()
            until_more_decided(stage, 500)
        feeder.end()
        for at in (0, 1):
            workers.stop(at)
    check(stage, feeder)


def wait_for(holds: Any, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.3)
