"""The service under what its own description allows, and under what it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from service_process import ServiceProcess, payment  # type: ignore[import-not-found]  # on the path above


@pytest.mark.slow
def test_no_request_that_schemathesis_thinks_of_breaks_it(tmp_path: Path) -> None:
    """Valid, invalid and odd requests by the hundred: no 5xx, and only answers as described."""
    checks = "not_a_server_error,status_code_conformance,content_type_conformance"
    checks += ",response_schema_conformance"
    with ServiceProcess(tmp_path / "home", "--fallback", "review") as running:
        command = [str(Path(sys.executable).with_name("schemathesis")), "run"]
        command += [f"{running.url}/openapi.json", "--checks", checks, "--seed", "7"]
        command += ["--max-examples", "60", "--no-color", "--phases", "examples,coverage,fuzzing"]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert running.decide(payment("after"))[0] == 200
