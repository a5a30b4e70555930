"""Calls that may never return."""

import threading
from functools import partial

import pytest

from headrace.adapters.kafka.patient_calls import NoAnswer, PatientCalls


def test_calls_are_made_in_order_by_one_thread() -> None:
    calls = PatientCalls("one")
    made: list[tuple[int, int]] = []

    def told(number: int) -> None:
        made.append((number, threading.get_ident()))

    for number in range(100):
        calls.made(partial(told, number), 10.0)
    assert [number for number, _ in made] == list(range(100))
    assert len({thread for _, thread in made}) == 1
    assert made[0][1] != threading.get_ident()
    calls.end()


def test_what_a_call_raises_is_raised() -> None:
    calls = PatientCalls("raising")
    with pytest.raises(IndexError):
        calls.made([].pop, 10.0)
    assert not calls.stuck
    calls.made(lambda: None, 10.0)
    calls.end()


def test_a_call_that_does_not_return_is_left_behind() -> None:
    calls, never = PatientCalls("stuck"), threading.Event()

    def wait() -> None:
        never.wait()

    with pytest.raises(NoAnswer):
        calls.made(wait, 0.05)
    assert calls.stuck
    never.set()
