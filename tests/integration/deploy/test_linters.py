"""Linters find nothing in the files of `deploy/`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from manifests import DEPLOY, said_by  # type: ignore[import-not-found]  # on the path above


def test_yamllint() -> None:
    said = said_by("yamllint", "--strict", "--config-file", DEPLOY / ".yamllint.yaml", DEPLOY)
    assert said == ""


def test_hadolint() -> None:
    assert said_by("hadolint", DEPLOY / "Containerfile") == ""


def test_shellcheck() -> None:
    scripts = sorted(DEPLOY.rglob("*.sh"))
    assert scripts
    assert said_by("shellcheck", *scripts) == ""


def test_linters_would_find_something(tmp_path: Path) -> None:
    (tmp_path / "Containerfile").write_text("FROM debian\nRUN cd /tmp\n")
    assert "DL3006" in said_by("hadolint", tmp_path / "Containerfile")
    (tmp_path / "one.sh").write_text("#!/bin/sh\nrm $1\n")
    assert "SC2086" in said_by("shellcheck", tmp_path / "one.sh")


def test_promtool(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool: install Debian's package prometheus")
    settings = tmp_path / "prometheus"
    shutil.copytree(DEPLOY / "prometheus", settings)
    key = tmp_path / "observe-key"
    key.write_text("hr_key")
    path = settings / "prometheus.yml"
    path.write_text(path.read_text().replace("/run/secrets/observe-key", str(key)))
    done = subprocess.run(
        [promtool, "check", "config", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
