"""Workers that are killed, fenced and cut off: nothing is lost, nothing is decided twice."""

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.broker import Broker
from tests.integration.kafka.feeder import Feeder, check, until_decided, until_more_decided
from tests.integration.kafka.topic_stage import Stage

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("HEADRACE_CHAOS_SECONDS", "20"))


def test_killed_at_random_moments(wide_stage: Stage) -> None:
    stage, dice = wide_stage, random.Random(11)
    feeder = Feeder(stage, 4_000)
    feeder.start()
    kills = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        worker = stage.started()
        time.sleep(dice.uniform(2.0, 8.0))
        assert worker.poll() is None, worker.communicate()[1].decode()
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        kills += 1
    feeder.end()
    assert kills > 1
    check(stage, feeder)


def test_a_second_worker_fences_the_first(wide_stage: Stage) -> None:
    stage = wide_stage
    feeder = Feeder(stage, 2_000)
    feeder.start()
    first = stage.started()
    until_decided(stage, 1)
    second = stage.started(home=stage.other_home("other"))
    _, said = first.communicate(timeout=240)
    assert first.returncode == 1, said.decode()
    words = " ".join(said.decode().split())
    assert "another worker has taken over lane" in words or "has written to" in words
    assert "Traceback" not in words
    until_more_decided(stage)
    second.send_signal(signal.SIGTERM)
    _, said = second.communicate(timeout=240)
    assert second.returncode == 0, said.decode()
    feeder.end()
    check(stage, feeder)


def test_the_broker_is_killed(own_broker: Broker, tmp_path: Path) -> None:
    """The broker crashes in the midst of transactions; the worker goes on by itself."""
    stage = Stage(own_broker.servers, tmp_path, "restarted")
    feeder = Feeder(stage, 1_000)
    feeder.start()
    worker = stage.started()
    for away in (0.5, 4.0, 0.0):
        until_more_decided(stage)
        own_broker.kill()
        time.sleep(away)
        own_broker.start()
    until_more_decided(stage)
    worker.send_signal(signal.SIGTERM)
    _, said = worker.communicate(timeout=240)
    assert worker.returncode == 0, said.decode()
    feeder.end()
    check(stage, feeder)
