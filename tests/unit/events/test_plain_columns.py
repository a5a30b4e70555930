"""Times in nanoseconds as text, where pandas is installed and where it is not."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from headrace.events.plain_columns import in_plain_types

#: What a plain install has not: without it PyArrow makes no Python time of nanoseconds.
WITHOUT_PANDAS = """
import sys
class Absent:
    def find_spec(name, path=None, target=None):
        if name == "pandas":
            raise ImportError(name)
sys.meta_path.insert(0, Absent)
import pyarrow as pa
from headrace.events.chunks import whole
at = pa.array([1_767_623_505_488_637_930], pa.timestamp("ns", "UTC"))
batch = pa.record_batch({"at": at, "size": pa.array([-1.5])})
print(whole(0, batch).shown(0).decode())
"""


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_no_nanosecond_is_lost(zone: str | None) -> None:
    dice = random.Random(3)
    ticks = [dice.randrange(-(2**62), 2**62) for _ in range(50)]
    column = pa.array([*ticks, None], pa.timestamp("ns", zone))
    for rows in (pa.table({"at": column}), pa.record_batch({"at": column})):
        texts = [row["at"] for row in in_plain_types(rows).to_pylist()]
        assert texts.pop() is None
        assert all(text.endswith("Z") == (zone is not None) for text in texts)
        told = np.array([text.removesuffix("Z") for text in texts], dtype="datetime64[ns]")
        assert told.astype(np.int64).tolist() == ticks


def test_what_python_holds_is_left_as_it_is() -> None:
    rows = pa.table({"n": [1], "at": pa.array([5], pa.timestamp("us")), "text": ["a"]})
    assert in_plain_types(rows) == rows


@pytest.mark.parametrize("kind", [pa.time64("ns"), pa.duration("ns")])
def test_times_of_day_and_durations(kind: pa.DataType) -> None:
    (row,) = in_plain_types(pa.table({"x": pa.array([1_000_000_001], kind)})).to_pylist()
    assert row["x"] in ("00:00:01.000000001", 1_000_000_001)


def test_a_refused_row_is_shown_without_pandas() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PANDAS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == '{"at":"2026-01-05 14:31:45.488637930Z","size":-1.5}\n'
