"""A conveyor keeps order, loses nothing, and ends when any stage fails."""

import threading
from collections.abc import Iterator

import pytest

from headrace.runtime.conveyor import Conveyor


def test_everything_is_kept_in_order() -> None:
    kept: list[int] = []
    conveyor: Conveyor[int, int] = Conveyor(lambda item: item * 2, kept.extend)
    conveyor.run(range(1_000))
    assert kept == [2 * item for item in range(1_000)]


def test_what_was_read_before_a_stop_is_kept() -> None:
    kept: list[int] = []
    conveyor: Conveyor[int, int] = Conveyor(lambda item: item, kept.extend)

    def items() -> Iterator[int]:
        for item in range(100):
            if item == 10:
                conveyor.stop()
            yield item

    conveyor.run(items())
    assert kept == list(range(11))


@pytest.mark.parametrize("stage", ["read", "make", "keep"])
def test_a_failing_stage_ends_all_and_is_raised(stage: str) -> None:
    def fail_at(name: str, item: int) -> int:
        if stage == name and item == 5:
            raise OSError(name)
        return item

    def keep(items: list[int]) -> None:
        for item in items:
            fail_at("keep", item)

    conveyor: Conveyor[int, int] = Conveyor(lambda item: fail_at("make", item), keep)
    before = threading.active_count()
    with pytest.raises(OSError, match=stage):
        conveyor.run(fail_at("read", item) for item in range(1_000))
    assert threading.active_count() == before
