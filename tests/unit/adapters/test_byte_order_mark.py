"""A byte order mark is no part of the first event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from headrace.adapters.opening import open_file
from headrace.core.columns import Kind
from headrace.events.schema import Field, Role, Schema

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = Schema("Tick", (Field("id", Kind.TEXT, Role.ID), Field("at", Kind.TIME, Role.EVENT_TIME)))
LINES = '{"id": "a", "at": "1970-01-01T00:00:01Z"}\n{"id": "b", "at": "x"}\n'


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "ticks.jsonl"
    path.write_text(mark + LINES, encoding="utf-8")
    source = open_file(path, "ticks", SCHEMA)
    at, _ = source.times(0, lambda _rows: None)
    assert at.tolist() == [10**9, 10**9]
    read = source.read(np.array([0, 1]))
    assert read.batch.text("id").strings() == ["a"]
    assert [read.rejections[0].field, read.rejections[0].value] == ["at", "x"]
