"""What stages send each other comes out as it went in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.columns import Batch, Fixed, Text
from headrace.core.errors import DataError
from headrace.pipeline.inputs import Inputs
from headrace.pipeline.staging import Answered
from headrace.runtime.stage_intake import merged
from headrace.runtime.stage_messages import (
    decoded_events,
    decoded_values,
    encoded_events,
    encoded_values,
)

WORDS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
TEXTS = st.one_of(st.none(), st.text(max_size=6))
ROWS = st.lists(st.tuples(WORDS, TEXTS), max_size=20)
PLAN = "ab" * 32


def batch_of(rows: list[tuple[int | None, str | None]]) -> Batch:
    return Batch(
        {"word": Fixed.of([n for n, _ in rows]), "text": Text.of([t for _, t in rows])}, len(rows)
    )


def inputs_of(rows: list[tuple[int | None, str | None]], first: int) -> Inputs:
    numbers = np.arange(len(rows), dtype=np.int64)
    return Inputs(
        stream=(numbers % 2).astype(np.uint8),
        row=(numbers // 2).astype(np.int32),
        source=np.full(len(rows), first, dtype=np.uint16),
        position=first + numbers,
        received_ns=numbers * 7,
        read_ns=numbers * 9,
        batches={"a": batch_of(rows[::2]), "b": batch_of(rows[1::2])},
    )


def told(batch: Batch) -> list[object]:
    found: list[object] = []
    for column in batch.columns.values():
        if isinstance(column, Text):
            found.append(column.strings())
            assert column.data.flags.writeable
        else:
            found.append((column.values.tolist(), column.valid.tolist()))
    return found


def columns(inputs: Inputs) -> list[object]:
    names = ("stream", "row", "source", "position", "received_ns", "read_ns")
    given = [(getattr(inputs, n).dtype.name, getattr(inputs, n).tolist()) for n in names]
    return [*given, *(told(batch) for batch in inputs.batches.values())]


@given(ROWS)
def test_events_come_out_as_they_went_in(rows: list[tuple[int | None, str | None]]) -> None:
    inputs = inputs_of(rows, 3)
    again = decoded_events(encoded_events(inputs, PLAN), PLAN, "t/0")
    assert columns(again) == columns(inputs)
    assert list(again.batches) == list(inputs.batches)


@given(ROWS)
def test_values_come_out_as_they_went_in(rows: list[tuple[int | None, str | None]]) -> None:
    answer = Answered(np.arange(len(rows), dtype=np.int64) * 5, batch_of(rows))
    again = decoded_values(encoded_values(answer, "merchant", PLAN), PLAN, "t/0")
    assert again.seq.tolist() == answer.seq.tolist()
    assert told(again.values) == told(answer.values)


@settings(deadline=None)  # kernels are loaded meanwhile
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_batches_are_merged_in_their_order(
    parts: list[list[tuple[int | None, str | None]]],
) -> None:
    inputs = [inputs_of(rows, first) for first, rows in enumerate(parts)]
    whole = merged(inputs, ["a", "b"])
    at = 0
    for part in inputs:
        for index in range(len(part)):
            name = "ab"[part.stream[index]]
            row = np.array([part.row[index]])
            mine = np.array([whole.row[at]])
            assert whole.stream[at] == part.stream[index]
            assert whole.position[at] == part.position[index]
            assert told(whole.batches[name].take(mine)) == told(part.batches[name].take(row))
            at += 1
    assert at == len(whole)


def test_what_is_of_another_definition_is_refused() -> None:
    content = encoded_events(inputs_of([(1, "x")], 0), PLAN)
    with pytest.raises(DataError, match="another name of the use case"):
        decoded_events(content, "cd" * 32, "t/0, offset 7")
    with pytest.raises(DataError, match="t/0, offset 7: this is no message of a stage"):
        decoded_events(b"{}", PLAN, "t/0, offset 7")
