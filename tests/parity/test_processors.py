"""Another kind of processor, without wide vectors or fused multiply-add, gives the same bits."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

VECTORS = Path(__file__).with_name("vectors.py")


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the plain processor is an x86-64")
def test_a_plain_processor_gives_the_conformance_vectors(tmp_path: Path) -> None:
    plain = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "", "HEADRACE_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(VECTORS), "--check"],
        env={**os.environ, **plain},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" 0 differences") > 10
