"""`headrace compile` makes all machine code: nothing is compiled when events are waiting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_work import WITHOUT

HERE = Path(__file__).parent


def done(*command: str, cache: Path) -> str:
    """What a command prints, with kernels kept in a cache of its own."""
    environment = {**os.environ, "HEADRACE_CACHE": str(cache)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_once_compiled_no_work_compiles_anything(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    headrace, work = str(Path(sys.executable).with_name("headrace")), str(HERE / "kernel_work.py")
    done(headrace, "compile", cache=cache)
    assert done(sys.executable, work, WITHOUT, cache=cache).split() == []
    before = {path.name for path in cache.rglob("*.nbc")}
    assert len(before) > 200
    done(sys.executable, work, str(tmp_path), cache=cache)
    assert {path.name for path in cache.rglob("*.nbc")} - before == set()
