"""The stages that the benchmark times are there to be timed."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
from benchmarks.stages import CALLS


def test_every_timed_stage_is_there() -> None:
    missing = [(name, stage) for owner, name, stage in CALLS if not hasattr(owner, name)]
    assert not missing
