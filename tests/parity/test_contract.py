"""Whole use cases that are made up: what comes out is what the contract says, however it is run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from contract import Contract, Input, Near, real
from drawn import histories, use_cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ways import Prepared

import headrace as hr
from headrace.engine import engine
from headrace.lifecycle.training_set import training_set

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contract import Value

QUIET = settings(
    deadline=None,
    max_examples=80,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
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


def written(value: Value) -> str | None:
    """A feature as `ways.written` writes it."""
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, bool):
        return float(value).hex()
    number = real(value)
    return None if number is None else number.hex()


def told(event: Input, names: list[str]) -> dict[str, Any]:
    """What the contract says of an input, in the form of `expected.jsonl`."""
    line: dict[str, Any] = {
        "seq": event.seq,
        "stream": event.stream,
        "position": event.position,
        "known_ns": event.known,
        "verdict": event.verdict,
    }
    if event.verdict == "quarantined":
        line["reason"] = event.reason
    if event.verdict == "duplicate":
        line["original"] = event.original
    if event.features:
        line["features"] = {name: written(event.features[name]) for name in names}
        line["outcome"] = event.outcome
        line["rules"] = event.rules
    return line


@QUIET
@given(prepared())
def test_what_comes_out_is_what_the_contract_says(made: Prepared) -> None:
    contract = Contract(made.data, made.names)
    expected = [told(event, list(made.case.features)) for event in contract.run(made.lines)]
    lane, batches = made.run(made.intake(), 10_000)
    assert made.told(lane, batches) == expected
