"""A conveyor keeps order, loses nothing, and ends when any stage fails."""

import threading
from collections.abc import Iterator

import pytest

from headrace.runtime.conveyor import Conveyor


@pytest.mark.parametrize("every", [1, 2, 3, 7, 10_000])
def test_everything_is_kept_in_order(every: int) -> None:
    """Whichever items are small enough to go through all stages at once."""
    kept: list[int] = []
    conveyor: Conveyor[int, int] = Conveyor(
        lambda item: item * 2, kept.extend, lambda item: item % every == 0
    )
    conveyor.run(range(1_000))
    assert kept == [2 * item for item in range(1_000)]
    assert conveyor.idle()


def test_a_small_item_that_finds_nothing_before_it_stays_in_its_thread() -> None:
    threads: list[str] = []
    conveyor: Conveyor[int, int] = Conveyor(
        lambda item: item, lambda _: threads.append(threading.current_thread().name), lambda _: True
    )
    conveyor.run(range(3))
    assert threads == ["read"] * 3


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
@pytest.mark.parametrize("small", [False, True])
def test_a_failing_stage_ends_all_and_is_raised(stage: str, small: bool) -> None:  # noqa: FBT001 - a parameter of the test
    def fail_at(name: str, item: int) -> int:
        if stage == name and item == 5:
            raise OSError(name)
        return item

    def keep(items: list[int]) -> None:
        for item in items:
            fail_at("keep", item)

    conveyor: Conveyor[int, int] = Conveyor(
        lambda item: fail_at("make", item), keep, lambda _: small
    )
    before = threading.active_count()
    with pytest.raises(OSError, match=stage):
        conveyor.run(fail_at("read", item) for item in range(1_000))
    assert threading.active_count() == before
