"""`headrace top` over a real service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from benchmarks.ports import free_port
from service_process import ServiceProcess, payment  # type: ignore[import-not-found]  # on the path above

from headrace.security.api_keys import ApiKeys, Role


def top(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from headrace.cli import main; main()", "top", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def test_one_view_of_a_service_with_keys(tmp_path: Path) -> None:
    home = tmp_path / "home"
    keys = ApiKeys(home / "keys" / "api-keys.json")
    gateway = keys.add("gateway", [Role.DECIDE])
    watcher = keys.add("watcher", [Role.OBSERVE])
    with ServiceProcess(home) as running:
        for n in range(5):
            event = payment(n, n, card="one")
            assert running.decide(event, authorization=f"Bearer {gateway}")[0] == 200
        refused = top(running.url, "--once")
        assert refused.returncode == 1
        assert "--role observe" in refused.stderr
        shown = top(running.url, "--once", "--key", watcher)
        assert shown.returncode == 0, shown.stderr
    assert "served" in shown.stdout
    assert "5 in all" in shown.stdout
    assert "60.0% 3" in shown.stdout
    assert "next 5" in shown.stdout
    assert "HTTP 401" in shown.stdout


def test_what_is_no_service_is_told() -> None:
    gone = top(f"127.0.0.1:{free_port()}", "--once")
    assert gone.returncode == 1
    assert "is headrace serve running there?" in gone.stderr
    assert "Traceback" not in gone.stderr
    assert "no address of a service" in top("ftp://here", "--once").stderr
    assert "no time between readings" in top("--every", "0").stderr
