"""Columns written as JSON lines: what is written is JSON, and reads back as the same columns."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.events.json_writer import Rendered, lines_of, list_texts, object_texts

TEXTS = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from('"\\\n\t\x01\x1f\x7f/é🧀')),
    max_size=12,
).map(lambda text: text.replace("\0", ""))


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


OUT = st.fixed_dictionaries(
    {
        "text": maybe(TEXTS),
        "whole": maybe(st.integers(-(2**63), 2**63 - 1)),
        "score": maybe(st.floats()),
        "flag": maybe(st.booleans()),
        "reasons": maybe(st.lists(TEXTS, max_size=3)),
    }
)
TYPES = {
    "text": pa.string(),
    "whole": pa.int64(),
    "score": pa.float64(),
    "flag": pa.bool_(),
    "reasons": pa.list_(pa.string()),
}


@settings(deadline=None, max_examples=80)
@given(rows=st.lists(OUT, max_size=8), skipped=st.integers(0, 3))
def test_any_columns_are_the_json_that_python_reads(
    rows: list[dict[str, Any]], skipped: int
) -> None:
    columns = [
        (name, pa.array([row[name] for row in rows], kind).slice(skipped))
        for name, kind in TYPES.items()
    ]
    found = [json.loads(line) for line in lines_of(columns).decode().split("\n") if line]
    wanted = [
        {
            name: value
            for name, value in row.items()
            if value is not None and not (isinstance(value, float) and not math.isfinite(value))
        }
        for row in rows[skipped:]
    ]
    assert found == wanted
    exact = [
        json.loads(line, parse_float=Decimal, parse_int=Decimal)  # -0 as an int has no sign
        for line in lines_of(columns).splitlines()
    ]
    for row, want in zip(exact, wanted, strict=True):
        if "score" in want:
            assert math.copysign(1, float(row["score"])) == math.copysign(1, want["score"])


def test_objects_and_lists_nest() -> None:
    factors = object_texts([("code", pa.array(["R1", "R2", "R3"])), ("w", pa.array([1.5, 2, 0]))])
    reasons = list_texts(pa.array([0, 2, 3], pa.int32()), Rendered(factors))
    lines = lines_of([("id", pa.array([1, 2])), ("reasons", reasons)]).splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": 1, "reasons": [{"code": "R1", "w": 1.5}, {"code": "R2", "w": 2.0}]},
        {"id": 2, "reasons": [{"code": "R3", "w": 0.0}]},
    ]


@pytest.mark.parametrize("rows", [0, 1, 16_384, 16_385])
def test_rows_are_written_whole_over_pieces(rows: int) -> None:
    numbers = np.arange(rows)
    lists = pa.array([["x"] * (i % 3) for i in range(rows)], pa.list_(pa.string()))
    lines = lines_of([("n", pa.array(numbers)), ("list", lists)]).splitlines()
    assert len(lines) == rows
    if rows:
        last = rows - 1
        assert json.loads(lines[-1]) == {"n": last, "list": ["x"] * (last % 3)}
