"""What a worker tells Prometheus: its lanes, how far they are behind, and what its group did."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.ports import free_port
from tests.integration.kafka.topic_stage import COMMAND, ROOT, Stage, payment

from headrace.adapters.metrics_reading import Reading

pytestmark = pytest.mark.slow

SECONDS = 180
NAME = re.compile(r"\b(?:headrace|process)_\w+")


def page(address: str, process: "subprocess.Popen[bytes]", decided: int) -> str:
    """The page of a worker, once it has made so many decisions."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert process.poll() is None
        try:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
                told = str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
            continue
        reading = Reading.of(told)
        lags = reading.by("headrace_lag_messages", "partition")
        decisions = reading.value("headrace_decisions_total")
        if decisions >= decided and len(lags) == 3 and not any(lags.values()):
            return told
        time.sleep(0.1)
    raise AssertionError(f"{decided} decisions were not made in {SECONDS} seconds")


@contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Whatever happens, the process has ended afterwards."""
    try:
        yield
    finally:
        process.kill()
        process.wait()


def named_in_deploy() -> set[str]:
    """The metrics that the rules and the dashboard of Kafka name."""
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    rules = [
        rule["expr"] for group in groups if group["name"] == "headrace-kafka"
        for rule in group["rules"]
    ]  # fmt: skip
    panels = json.loads((ROOT / "deploy/grafana/headrace-kafka.json").read_text())["panels"]
    shown = [target["expr"] for panel in panels for target in panel["targets"]]
    assert rules
    assert shown
    return {name for text in rules + shown for name in NAME.findall(text)}


def test_a_worker_tells_how_its_lanes_stand(servers: str, tmp_path: Path) -> None:
    name = f"metrics-{os.getpid()}-{abs(hash(tmp_path)) % 10**8}"
    stage = Stage(servers, tmp_path, name, partitions=3, grouped=True)
    stage.feed([*(payment(number) for number in range(600)), b"{"])
    address = f"127.0.0.1:{free_port()}"
    command = [*stage.command(until=""), "--metrics", address]
    log = (tmp_path / "worker.log").open("wb")
    process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
    with log, ended(process):
        text = page(address, process, 600)
        told = Reading.of(text)
        assert told.value("headrace_decisions_total") == 600
        assert told.by("headrace_quarantined_total", "reason") == {"malformed": 1.0}
        assert told.by("headrace_lag_messages", "topic") == {stage.source: 0.0}
        assert told.by("headrace_lag_messages", "lane") == dict.fromkeys("012", 0.0)
        assert told.value("headrace_lanes") == told.value("headrace_lanes_owned") == 3
        assert told.by("headrace_lane_state", "state") == {
            **dict.fromkeys(("opening", "replaying", "ended", "fenced", "failed"), 0.0),
            "deciding": 3.0,
        }
        assert sum(told.by("headrace_journal_next_seq", "lane").values()) == 601
        assert told.value("headrace_rebalances_total") >= 1
        # a slow machine may lose lanes to nobody, and take them again
        words = " ".join((tmp_path / "worker.log").read_text().split())
        lost = told.value("headrace_lanes_lost_total")
        assert (lost > 0) == ("was given to another worker" in words)
        assert told.by("headrace_lanes_fenced_total", "lane") == {}
        assert told.value("headrace_lanes_fenced_total") <= lost
        commits = told.value("headrace_commit_duration_seconds_count")
        assert commits == told.value("headrace_durable_duration_seconds_count") >= 3
        assert told.value("headrace_commit_duration_seconds_sum") > 0
        assert told.value("headrace_commit_events_sum") == 601
        # the state is looked at every ten seconds at most
        assert 0 <= told.value("headrace_state_keys") <= 3 * 13
        assert "ids" in told.by("headrace_state_bytes", "structure")
        assert told.facts("headrace_info")["use_case"] == stage.name
        exposed = set(re.findall(r"^(\w+)(?:\{| )", text, re.MULTILINE))
        assert named_in_deploy() <= exposed
        top = [*COMMAND, "top", address, "--once"]
        shown = subprocess.run(top, capture_output=True, text=True, check=False)
        assert shown.returncode == 0, shown.stderr
        assert "600 in all" in shown.stdout
        assert "3 of 3 lanes" in shown.stdout
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
