"""A service whose disk fails, or whose clock does: it says so, and loses nothing it answered."""

from __future__ import annotations

import datetime as dt
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "chaos"))
from service_process import ServiceProcess, payment  # type: ignore[import-not-found]  # on the path above
from small_disk import fill, volume, writable  # type: ignore[import-not-found]  # the same

from headrace.journal.keys import SigningKey
from headrace.journal.tables import tables
from headrace.journal.verification import verify
from headrace.runtime.home import Home

pytestmark = pytest.mark.slow
HOUR_NS = 3_600 * 10**9


def decided(service: ServiceProcess, *numbers: int, **fields: str) -> list[dict[str, Any]]:
    """The answers to payments, each of which must be a decision."""
    answers = [service.decide(payment(number, card=f"c{number}", **fields)) for number in numbers]
    assert [status for status, _, _ in answers] == [200] * len(numbers)
    return [told for _, _, told in answers]


def verified(home: Path) -> int:
    """How many records the journal has, each of them checked."""
    key = SigningKey.load_or_create(home / "keys" / "signing.pem").public
    return verify(Home(home).journal("served"), key).require().records


def test_a_full_disk_is_said_and_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with volume(disk, "16m"):
        home = disk / "home"
        with ServiceProcess(home) as running:
            before = decided(running, *range(20))
            assert running.ask("GET", "/readyz")[0] == 200
            filler = fill(disk)
            status, headers, told = running.decide([payment(f"big{n}") for n in range(500)])
            assert (status, headers["content-type"]) == (503, "application/problem+json")
            assert "No space left on device" in told["detail"]
            assert "What was answered before is safe" in told["detail"]
            assert running.decide(payment("after"))[2]["detail"] == told["detail"]
            assert running.ask("GET", "/readyz")[0] == 503
            assert running.ask("GET", "/healthz")[2]["detail"] == told["detail"]
            # what is in the journal can be read meanwhile
            assert running.ask("GET", f"/v1/decisions/{before[0]['decision_id']}")[0] == 200
            assert running.stop() == 1
        filler.unlink()
        with ServiceProcess(home) as running:
            assert decided(running, *range(20)) == before
            assert running.decide(payment("after", card="new"))[2]["outcome"] == "approve"
        assert verified(home) >= 41


def test_a_disk_that_takes_nothing_is_said_at_the_start(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with volume(disk, "64m"):
        home = disk / "home"
        log = home.with_suffix(".log")
        with ServiceProcess(home) as running:
            before = decided(running, 1, 2, 3)
        elsewhere = tmp_path / "home.log"
        log.rename(disk / "old.log")
        log.symlink_to(elsewhere)
        writable(disk, yes=False)
        refused = ServiceProcess(home)
        assert refused.process.wait(timeout=240) == 1
        assert "Read-only file system" in refused.said()
        assert "Traceback" not in refused.said()
        writable(disk, yes=True)
        with ServiceProcess(home) as running:
            assert decided(running, 1, 2, 3) == before


def test_states_that_cannot_be_written_stop_nobody(tmp_path: Path) -> None:
    home = tmp_path / "home"
    snapshots = Home(home).snapshots("served")
    with volume(snapshots, "8m"):
        writable(snapshots, yes=False)
        with ServiceProcess(home) as running:
            before = decided(running, *range(10))
            running.stop()
            assert "no snapshot was written: [Errno 30] Read-only file system" in running.said()
    with ServiceProcess(home) as running:
        assert decided(running, *range(10)) == before


def test_with_damaged_states_the_journal_is_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for number in range(2):
        with ServiceProcess(home) as running:
            decided(running, number)
    damaged = list(Home(home).snapshots("served").iterdir())
    assert damaged
    for path in damaged:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with ServiceProcess(home) as running:
        # the third payment of a card within the hour: the two before it are known again
        event = payment("third", card="c0")
        assert running.decide(event)[0] == 200
        name = running.decide(event)[2]["decision_id"]
        assert running.ask("GET", f"/v1/decisions/{name}")[2]["features"]["count"] == 2
        assert running.said().count("is damaged") == len(damaged)


def test_a_clock_that_steps_back_refuses_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events go on in time; the clock of both processes goes back by hours, which is said."""
    stepping = tmp_path / "stepping"
    stepping.mkdir()
    step = tmp_path / "step"
    (stepping / "sitecustomize.py").write_text(
        "import pathlib, time\n"
        "real = time.time_ns\n"
        f"step = pathlib.Path({str(step)!r})\n"
        "time.time_ns = lambda: real() - (int(step.read_text()) if step.exists() else 0)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(stepping), *sys.path]))
    home = tmp_path / "home"
    with ServiceProcess(home, cold=True) as running:
        now = f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
        decided(running, 0, 1, at=now)
        whole = tmp_path / "step.whole"
        whole.write_text(str(3 * HOUR_NS))
        whole.replace(step)
        decided(running, 2, 3, at=now)
        # it is told from the last event that was received, some moments before
        (said,) = re.findall(r"the clock stepped back by ([\d,.]+) s", running.said())
        assert 10_000 < float(said.replace(",", "")) <= 10_800
    received = tables(Home(home).journal("served"))["inputs"]["received"].to_pylist()
    assert len(received) == 4
    assert received == sorted(received)
