"""Whole use cases that are made up: what comes out is what the contract says, however it is run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from contract import Contract
from drawn import histories, use_cases
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import told
from ways import Prepared

import headrace as hr
from headrace.engine import engine
from headrace.lifecycle.training_set import training_set

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET = settings(
    max_examples=40,
)
MANY = settings(QUIET, max_examples=150)
NEVER = np.iinfo(np.int64).max


@pytest.fixture(autouse=True, scope="module")
def _threads_share_every_batch() -> Iterator[None]:
    """Small batches are not worth a second thread; here they get one all the same."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine, "_SMALL", 1)
        yield


@st.composite
def prepared(draw: st.DrawFn) -> Prepared:
    """A use case with a history."""
    case = draw(use_cases())
    return Prepared.of(case, draw(histories(case)))


@MANY
@given(prepared())
def test_what_comes_out_is_what_the_contract_says(made: Prepared) -> None:
    contract = Contract(made.data, made.names)
    expected = [told(event, list(made.case.features)) for event in contract.run(made.lines)]
    with tempfile.TemporaryDirectory() as folder:
        lane, batches = made.run(made.intake(Path(folder)), 10_000)
    assert made.told(lane, batches) == expected


@pytest.mark.slow
@QUIET
@given(prepared(), st.data())
def test_every_way_to_run_gives_the_same_records(made: Prepared, data: st.DataObject) -> None:
    intake = made.intake()
    whole = made.steps(intake, 10_000)
    records = made.records(whole)
    assert made.records(made.steps(intake, 1, threads=2)) == records
    assert made.records(made.steps(intake, 7)) == records
    stop = data.draw(st.integers(0, len(records) // 3), label="stop before batch")
    assert made.records(made.with_a_stop(intake, 3, stop)) == records
    assert made.records(made.replayed(whole)) == records
    assert made.records(made.replayed(made.steps(intake, 5))) == records


@QUIET
@given(prepared())
def test_training_and_frames_see_what_is_served(made: Prepared) -> None:
    contract = Contract(made.data, made.names)
    expected = contract.run(made.lines)
    decided = [event for event in expected if event.outcome is not None]
    served = made.steps(made.intake(), 10_000)
    features = np.concatenate([batch.decisions.features for batch in served], axis=1)
    table = hr.decide(made.case, made.frames())
    verdicts = {
        e.position: (e.verdict, e.reason, e.outcome) for e in expected if e.stream == "payments"
    }
    columns = [table[name].to_pylist() for name in ("status", "reason", "outcome")]
    assert list(zip(*columns, strict=True)) == [verdicts[row] for row in range(len(table))]
    computed = hr.compute(made.case, made.frames())
    for name in made.case.features:
        assert computed[name].to_pylist() == table[name].to_pylist()
    if not decided:
        return
    label = made.case.label
    history = training_set(made.lane(), label, made.intake().batches(0, 3))
    assert history.values.tobytes() == np.ascontiguousarray(features).tobytes()
    assert history.known_ns.tolist() == [event.known for event in decided]
    ids = [event.fields["payment_id"] for event in decided]
    for event, known in zip(decided, history.labelled_ns.tolist(), strict=True):
        # an id that was forgotten and came again names two payments: which is labelled is not said
        if ids.count(event.fields["payment_id"]) == 1:
            assert known == (NEVER if event.label_known is None else event.label_known)
