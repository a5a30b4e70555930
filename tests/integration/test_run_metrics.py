"""`headrace run --metrics`: a run over stdin and one over a file, read as Prometheus reads them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from benchmarks.ports import free_port

from headrace.adapters.metrics_reading import Reading

CASE = Path(__file__).parent / "http" / "served_case.py"
HEADRACE = [sys.executable, "-c", "from headrace.cli import main; main()"]
SECONDS = 180


def line(number: int, **fields: object) -> bytes:
    at = f"2026-03-01T00:{number:02d}:00Z"
    event = {"payment_id": f"p{number}", "at": at, "card": "one", "amount": "12.50"}
    return json.dumps({**event, "country": "DE", **fields}).encode() + b"\n"


def reading(port: int, decided: int, process: subprocess.Popen[bytes]) -> Reading:
    """What is told at a port once so many inputs are in the journal."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert process.poll() is None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
                told = Reading.of(page.read().decode())
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
            continue
        if told.value("headrace_journal_next_seq") >= decided:
            return told
        time.sleep(0.05)
    raise AssertionError(f"{decided} inputs are not in the journal after {SECONDS} seconds")


def test_a_live_run_tells_what_it_does(tmp_path: Path) -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    command = [*HEADRACE, "run", str(CASE), "--source", "-", "--metrics", address]
    log = (tmp_path / "run.log").open("wb")
    with (
        log,
        subprocess.Popen(
            [*command, "--home", str(tmp_path / "home")],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        assert process.stdin is not None
        events = [line(n) for n in range(5)] + [line(0), line(7, country="Mars")]
        process.stdin.write(b"".join(events))
        process.stdin.flush()
        told = reading(port, 7, process)
        kinds = told.by("headrace_events_total", "kind", stream="payments")
        assert kinds == {"accepted": 5.0, "duplicate": 1.0, "quarantined": 1.0, "backfill": 0.0}
        assert told.value("headrace_decisions_total") == 5
        assert told.by("headrace_quarantined_total", "reason") == {"unknown country": 1.0}
        assert told.facts("headrace_info")["use_case"] == "served"
        assert told.value("headrace_commit_events_sum") == 7
        commits = told.value("headrace_durable_duration_seconds_count")
        assert 1 <= commits <= 7
        assert 0 < told.value("headrace_durable_duration_seconds_sum") < SECONDS
        segments = (tmp_path / "home").glob("journal/served/0/*.segment")
        assert told.value("headrace_journal_bytes_total") == sum(
            path.stat().st_size for path in segments
        )
        assert told.by("headrace_state_keys", "group")["payments by card"] <= 1
        shown = subprocess.run(
            [*HEADRACE, "top", address, "--once"], capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0, shown.stderr
        assert "latency, read to durable" in shown.stdout
        assert "5 in all" in shown.stdout
        assert "next 7" in shown.stdout
        taken = subprocess.run(
            [*command, "--home", str(tmp_path / "other")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert taken.returncode == 1
        assert "cannot be listened at" in taken.stderr
        process.stdin.close()
        assert process.wait(SECONDS) == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://{address}/metrics", timeout=5)


def test_what_is_no_address_is_told(tmp_path: Path) -> None:
    (tmp_path / "payments.jsonl").write_bytes(line(1))
    for address in ("9464", "here:port", "here:0", "127.0.0.1:70000"):
        done = subprocess.run(
            [
                *HEADRACE, "run", str(CASE), "--source", str(tmp_path / "payments.jsonl"),
                "--metrics", address, "--home", str(tmp_path / "home"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert f"'{address}' is no HOST:PORT" in done.stderr
        assert "Traceback" not in done.stderr
