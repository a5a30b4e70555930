"""Folds that cannot leak, against their definition: every pair of events looked at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headrace.core.errors import DataError
from headrace.lifecycle.directions import DOWN, FLAT, UP, classes_of, moves, threshold_of
from headrace.lifecycle.folds import FoldSettings, walk_forward

NEVER = np.iinfo(np.int64).max
QUIET = settings(deadline=None, max_examples=200)


@st.composite
def spans(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Events and when their labels are settled, some never."""
    count = draw(st.integers(20, 120))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    at = random.integers(0, draw(st.sampled_from([60, 1_000, 100_000])), count)
    settled = at + random.integers(0, draw(st.sampled_from([1, 20, 200])), count)
    settled[random.random(count) < 0.1] = NEVER
    return at, settled


@QUIET
@given(spans(), st.integers(1, 4), st.sampled_from([0, 1, 30]))
def test_nothing_that_is_learned_from_touches_what_is_judged(
    drawn: tuple[np.ndarray, np.ndarray], folds: int, embargo: int
) -> None:
    at, settled = drawn
    said = FoldSettings(folds=folds, embargo_ns=embargo, validation=0.3)
    try:
        found = list(walk_forward(at, settled, said))
    except DataError:
        assume(False)
    assert len(found) == folds
    for fold in found:
        for earlier, later in (
            (fold.train, fold.validation),
            (fold.train, fold.test),
            (fold.validation, fold.test),
        ):
            for one in earlier.tolist():
                for other in later.tolist():
                    assert settled[one] + embargo < at[other]
                    assert at[one] < at[other]
        assert NEVER not in settled[np.concatenate([fold.train, fold.validation, fold.test])]


@QUIET
@given(spans(), st.integers(1, 4), st.sampled_from([0, 30]))
def test_no_event_is_left_out_without_a_reason(
    drawn: tuple[np.ndarray, np.ndarray], folds: int, embargo: int
) -> None:
    at, settled = drawn
    try:
        found = list(walk_forward(at, settled, FoldSettings(folds, embargo, 0.3)))
    except DataError:
        assume(False)
    usable = np.flatnonzero(settled < NEVER)
    tests = np.concatenate([fold.test for fold in found])
    # every settled event from the first judged one on is judged, once
    first = at[found[0].test].min()
    assert sorted(tests.tolist()) == [n for n in usable.tolist() if at[n] >= first]
    for fold in found:
        begin, middle = at[fold.test].min(), at[fold.validation].min()
        allowed = [n for n in usable.tolist() if settled[n] + embargo < begin]
        assert [n for n in allowed if at[n] >= middle] == fold.validation.tolist()
        kept = [n for n in allowed if at[n] < middle and settled[n] + embargo < middle]
        assert kept == fold.train.tolist()


def test_too_short_a_history_is_refused() -> None:
    at = np.arange(6)
    with pytest.raises(DataError, match="too few for 4 folds"):
        list(walk_forward(at, at, FoldSettings(folds=4)))
    with pytest.raises(DataError, match="an embargo of -1 ns"):
        FoldSettings(embargo_ns=-1)


@QUIET
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 3]), st.sampled_from([0, 1, 7, 40]))
def test_a_move_is_to_the_last_value_at_its_horizon(seed: int, events: int, after: int) -> None:
    if (events == 0) == (after == 0):
        return
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 60))
    at = random.integers(0, 50, count)
    key = random.integers(0, 3, count)
    value = np.where(random.random(count) < 0.1, np.nan, random.normal(size=count))
    made = moves(value, at, key, after_ns=after, events=events)
    for n in range(count):
        series = sorted((int(at[m]), m) for m in range(count) if key[m] == key[n])
        place = series.index((int(at[n]), n))
        if events:
            target = series[place + events] if place + events < len(series) else None
            settled = target[0] if target else NEVER
        else:
            until = [item for item in series if item[0] <= at[n] + after]
            target = until[-1] if series[-1][0] >= at[n] + after else None
            settled = int(at[n]) + after if target else NEVER
        assert made.settled_ns[n] == settled
        wanted = value[target[1]] - value[n] if target else np.nan
        np.testing.assert_equal(made.size[n], wanted)


def test_a_threshold_makes_the_share_flat_that_it_is_asked_for() -> None:
    size = np.random.default_rng(4).normal(size=3_000)
    threshold = threshold_of(size, 1 / 3)
    told = classes_of(np.append(size, np.nan), threshold)
    counts = np.bincount(told[:-1], minlength=3)
    assert abs(counts[FLAT] / 3_000 - 1 / 3) < 0.002
    assert (told[:-1][size > threshold] == UP).all()
    assert (told[:-1][size < -threshold] == DOWN).all()
    assert told[-1] == -1
    with pytest.raises(DataError, match="reaches its horizon"):
        threshold_of(np.array([np.nan]), 0.3)
