"""Meters count every input of a batch once, and say why the quarantined ones are."""

from dataclasses import replace

import numpy as np

from headrace.journal.batch import (
    DECISION_TYPES,
    INPUT_TYPES,
    Decisions,
    InputKind,
    Inputs,
    JournalBatch,
)
from headrace.runtime.meters import Meters

OUTCOMES = ("approve", "review")
REASONS = ("", "late", "early")


def batch(kinds: list[InputKind], reasons: list[int], outcomes: list[int]) -> JournalBatch:
    inputs = {name: np.zeros(len(kinds), dtype) for name, dtype in INPUT_TYPES.items()}
    inputs["kind"][:] = kinds
    inputs["reason"][:] = reasons
    columns = {name: np.zeros(len(outcomes), dtype) for name, dtype in DECISION_TYPES.items()}
    columns["outcome"][:] = outcomes
    return JournalBatch(0, Inputs(**inputs), decisions=replace(Decisions.empty(), **columns))


def test_every_input_is_counted_once() -> None:
    meters = Meters()
    kinds = [*InputKind, InputKind.ACCEPTED, InputKind.QUARANTINED]
    meters.count(batch(kinds, [0, 0, 2, 0, 0, 0, 1], [1, 0]), OUTCOMES, REASONS)
    meters.count(batch([InputKind.QUARANTINED], [2], []), OUTCOMES, REASONS)
    assert meters.received == 7  # a control record is no input of a source
    assert (meters.accepted, meters.duplicates, meters.quarantined) == (3, 1, 3)
    assert meters.decisions == 2
    assert meters.outcomes == {"approve": 1, "review": 1}
    assert meters.reasons == {"early": 2, "late": 1}
