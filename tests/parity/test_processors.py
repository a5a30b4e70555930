"""Another kind of processor, without wide vectors or fused multiply-add, gives the same bits."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

VECTORS = Path(__file__).with_name("processor_vectors.py")


def digests(**environment: str) -> dict[str, str]:
    """Digest by stage, in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(VECTORS)],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the plain processor is an x86-64")
def test_a_plain_processor_gives_the_same_bits(tmp_path: Path) -> None:
    native = digests()
    plain = digests(NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES="", HEADRACE_CACHE=str(tmp_path))
    assert len(native) == 5
    assert plain == native
