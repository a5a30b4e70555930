"""What a service says of itself at /metrics: counts that agree with what was asked of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from service_process import ServiceProcess, payment  # type: ignore[import-not-found]  # on the path above

from headrace import __version__
from headrace.adapters.metrics_reading import Reading
from headrace.security.api_keys import ApiKeys, Role


def reading(running: ServiceProcess) -> Reading:
    return Reading.of(running.page("/metrics")[1])


def test_metrics_agree_with_what_was_asked(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with ServiceProcess(home) as running:
        at_first = reading(running)
        assert at_first.by("headrace_decisions_total", "outcome") == {
            "approve": 0.0,
            "review": 0.0,
            "block": 0.0,
        }
        for n in range(5):
            assert running.decide(payment(n, n, card="burst"))[0] == 200
        assert running.decide(payment(0, 0, card="burst"))[0] == 200
        event = {"chargeback_id": "cb1", "at": "2026-03-01T00:01:00Z", "card": "x"}
        assert running.ask("POST", "/v1/served/events/chargebacks", event)[0] == 200
        assert running.decide(payment("odd", country="Mars"))[0] == 422
        assert running.decide(payment(0, 0, card="burst", amount="1.00"))[0] == 409
        assert running.decide("{")[0] == 400
        assert running.ask("GET", "/v1/elsewhere")[0] == 404
        told = reading(running)
        kinds = told.by("headrace_events_total", "kind", stream="payments")
        # what is no JSON at all is an input too: it is kept in quarantine
        assert kinds == {"accepted": 5.0, "duplicate": 1.0, "quarantined": 3.0, "backfill": 0.0}
        assert told.value("headrace_events_total", stream="chargebacks", kind="accepted") == 1
        assert told.by("headrace_decisions_total", "outcome") == {
            "approve": 3.0,
            "review": 2.0,
            "block": 0.0,
        }
        reasons = told.by("headrace_quarantined_total", "reason")
        assert reasons == {"unknown country": 1.0, "id conflict": 1.0, "malformed": 1.0}
        statuses = told.by("headrace_rejected_requests_total", "status")
        assert statuses == {"422": 1.0, "409": 1.0, "400": 1.0, "404": 1.0}
        routes = told.by("headrace_request_duration_seconds_count", "route")
        assert routes.pop("/metrics") == 1
        assert routes.pop("/readyz", 0) >= 0
        assert routes == {
            "/v1/served/decisions": 9.0,
            "/v1/served/events/chargebacks": 1.0,
            "other": 1.0,
        }
        served = "/v1/served/decisions"
        classes = told.by("headrace_request_duration_seconds_count", "status", route=served)
        assert classes == {"2xx": 6.0, "4xx": 3.0}
        assert 0 < told.value("headrace_request_duration_seconds_sum") < 10
        batches = told.value("headrace_batch_events_count")
        assert (batches, told.value("headrace_batch_events_sum")) == (10, 10)
        stages = told.by("headrace_stage_duration_seconds_count", "stage")
        assert stages == dict.fromkeys(("parse", "step", "commit", "answer"), 10.0)
        assert told.value("headrace_journal_next_seq") == 10
        written = sum(path.stat().st_size for path in home.glob("journal/served/0/*.segment"))
        assert told.value("headrace_journal_bytes_total") == written
        assert told.value("headrace_waiting_events") == 0
        assert told.value("headrace_failed") == 0
        facts = told.facts("headrace_info")
        assert (facts["version"], facts["use_case"]) == (__version__, "served")
        assert len(facts["definition"]) == 64
        assert told.value("process_resident_memory_bytes") > 1e7


def test_state_and_snapshot_are_shown_after_a_restart(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with ServiceProcess(home) as running:
        for n in range(7):
            running.decide(payment(n, n, card=f"c{n}"))
    with ServiceProcess(home) as running:
        told = reading(running)
        keys = told.by("headrace_state_keys", "group")
        assert keys == {"payments by card": 7.0, "chargebacks by card": 0.0}
        sizes = told.by("headrace_state_bytes", "structure")
        assert set(sizes) == {"keys_and_events", "texts", "reference_tables", "ids"}
        assert 0 < sizes["keys_and_events"] < told.value("headrace_state_limit_bytes")
        assert 0 <= told.value("headrace_snapshot_age_seconds") < 600
        assert told.value("headrace_journal_next_seq") == 7


def test_requests_are_counted_whatever_batches_they_came_in(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path / "home") as running:

        def many(client: int) -> None:
            for n in range(30):
                events = [payment(f"{client}-{n}-{k}", n, card=f"{client}") for k in range(3)]
                assert running.decide(events)[0] == 200

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(many, range(8)))
        told = reading(running)
        assert told.value("headrace_decisions_total") == 720
        served = "/v1/served/decisions"
        assert told.value("headrace_request_duration_seconds_count", route=served) == 240
        assert told.value("headrace_batch_events_sum") == 720
        assert told.value("headrace_batch_events_count") < 240
        # buckets are running sums, and the last holds all
        buckets = told.by("headrace_request_duration_seconds_bucket", "le", route=served)
        assert list(buckets.values()) == sorted(buckets.values())
        assert buckets["+Inf"] == 240


def test_only_who_may_observe_reads_metrics(tmp_path: Path) -> None:
    home = tmp_path / "home"
    keys = ApiKeys(home / "keys" / "api-keys.json")
    watcher, gateway = keys.add("watcher", [Role.OBSERVE]), keys.add("gateway", [Role.DECIDE])
    with ServiceProcess(home) as running:
        assert running.ask("GET", "/metrics")[0] == 401
        assert running.ask("GET", "/metrics", authorization=f"Bearer {gateway}")[0] == 403
        kind, page = running.page("/metrics", authorization=f"Bearer {watcher}")
        assert kind.startswith("text/plain")
        assert Reading.of(page).by("headrace_rejected_requests_total", "status") == {
            "401": 1.0,
            "403": 1.0,
        }
        kind, page = running.page(
            "/metrics",
            authorization=f"Bearer {watcher}",
            accept="application/openmetrics-text; version=1.0.0",
        )
        assert kind.startswith("application/openmetrics-text")
        assert page.endswith("# EOF\n")


@pytest.mark.skipif(
    not shutil.which("promtool"), reason="needs promtool: apt-get install prometheus"
)
def test_promtool_finds_nothing_to_mend(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path / "home") as running:
        running.decide(payment(1))
        running.decide("{")
        page = running.page("/metrics")[1]
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
