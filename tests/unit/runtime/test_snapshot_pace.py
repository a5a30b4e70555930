"""Snapshots are as far apart as the time for opening a lane again allows."""

from __future__ import annotations

import pytest

from headrace.runtime.snapshot_pace import RETRY_S, Pace


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_none_is_due_before_anything_is_known() -> None:
    pace = Pace(30.0, clock=Clock())
    assert not pace.due(0)
    assert not pace.due(10_000_000)


def test_the_interval_follows_from_what_an_input_takes() -> None:
    clock = Clock()
    pace = Pace(30.0, clock=clock)
    pace.worked(100_000, 1.0)
    assert pace.input_seconds == pytest.approx(1e-5)
    assert not pace.due(2_999_999)
    assert pace.due(3_000_001)
    pace.stands_at(3_000_001, takes_s=2.0)
    clock.now += 3_600
    # reading takes two seconds, and as long goes by while the next is written
    assert not pace.due(3_000_001 + 2_599_999)
    assert pace.due(3_000_001 + 2_600_001)


def test_what_was_long_ago_counts_less() -> None:
    pace = Pace(30.0, clock=Clock())
    pace.worked(1_000, 10.0)
    for _ in range(100):
        pace.worked(100_000, 0.1)
    assert pace.input_seconds == pytest.approx(1e-6, rel=0.02)


def test_snapshots_that_take_long_leave_time_for_the_work() -> None:
    clock = Clock()
    pace = Pace(10.0, clock=clock)
    pace.worked(100_000, 1.0)
    pace.stands_at(0, takes_s=20.0)
    assert not pace.can_be_kept
    assert not pace.due(2_000_000)
    clock.now += 81
    assert pace.due(2_000_000)
    assert not pace.due(400_000)


def test_what_failed_is_tried_again_later() -> None:
    clock = Clock()
    pace = Pace(30.0, every=10, clock=clock)
    assert pace.due(10)
    pace.failed()
    assert not pace.due(10)
    clock.now += RETRY_S
    assert pace.due(10)
    pace.stands_at(10, takes_s=0.0)
    assert not pace.due(19)
    assert pace.due(20)
