"""Meters count every input of a batch once, and say why the quarantined ones are."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from headrace.journal.batch import (
    DECISION_TYPES,
    INPUT_TYPES,
    Decisions,
    InputKind,
    Inputs,
    JournalBatch,
)
from headrace.runtime.histogram import Histogram
from headrace.runtime.meters import Meters, RecentCommits, Sample

OUTCOMES = ("approve", "review")
REASONS = ("", "late", "early")


def batch(
    kinds: list[InputKind], reasons: list[int], outcomes: list[int], stream: int = 0
) -> JournalBatch:
    inputs = {name: np.zeros(len(kinds), dtype) for name, dtype in INPUT_TYPES.items()}
    inputs["kind"][:] = kinds
    inputs["reason"][:] = reasons
    inputs["stream"][:] = stream
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


def test_inputs_are_counted_by_stream_and_kind() -> None:
    meters = Meters()
    meters.count(batch([InputKind.ACCEPTED, InputKind.DUPLICATE], [0, 0], [0]), OUTCOMES, REASONS)
    meters.count(batch([InputKind.ACCEPTED] * 3, [0] * 3, [], stream=1), OUTCOMES, REASONS)
    counted = meters.events(["payments", "chargebacks"])
    assert {key: count for key, count in counted.items() if count} == {
        ("payments", "accepted"): 1,
        ("payments", "duplicate"): 1,
        ("chargebacks", "accepted"): 3,
    }


@given(st.lists(st.integers(1, 1_000), max_size=30), st.integers(1, 10))
def test_the_last_commits_are_kept_in_order(waits: list[int], most: int) -> None:
    commits = RecentCommits(most)
    made = [Sample(number, 1, 1, wait) for number, wait in enumerate(waits)]
    for sample in made:
        commits.append(sample)
    assert commits.samples() == made[-most:]


def test_rate_and_latency_are_those_of_the_commits() -> None:
    meters = Meters()
    assert meters.rate() == 0.0
    assert np.isnan(meters.latency_ms(50)).all()
    meters.count(batch([InputKind.ACCEPTED] * 100, [0] * 100, [0] * 100), OUTCOMES, REASONS)
    for number in range(10):
        meters.committed(Sample(10**9 * (number + 1), 10, 10, 10**9 if number else 10**8), 7, 5)
    assert meters.rate() == 100 / 9.1
    assert meters.latency_ms(5, 50) == [100.0, 1000.0]
    assert meters.journal_bytes == 70
    assert len(meters.samples) == 10


@given(st.lists(st.floats(0, 20), max_size=50))
def test_a_histogram_filled_by_batches_is_the_one_filled_by_values(values: list[float]) -> None:
    bounds = (0.5, 1.0, 5.0)
    at_once, singly = Histogram(bounds), Histogram(bounds)
    at_once.add(values)
    for value in values:
        singly.add_one(value)
    assert at_once.counts().buckets == singly.counts().buckets
    edges = [-np.inf, *bounds, np.inf]
    assert at_once.counts().buckets == tuple(
        sum(low < value <= high for value in values) for low, high in itertools.pairwise(edges)
    )
    assert np.isclose(at_once.counts().total, sum(values))
    assert np.isclose(singly.counts().total, sum(values))
