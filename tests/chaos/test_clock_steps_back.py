"""A clock that steps back while events arrive refuses none of them."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

import headrace as hr
from headrace.journal.reader import stored_batches
from headrace.runtime.clock import SteadyClock
from headrace.runtime.home import Home
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.local_lane import LaneSettings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SECOND = 1_000_000_000


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key


payments = hr.stream(Payment, name="payments", lateness="1m", max_ahead="5s")
case = hr.UseCase(
    name="stepping",
    on=payments,
    features=hr.features(count=payments.by("card").count("1h")),
)


def test_events_are_taken_and_the_step_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the whole process goes back by an hour halfway; event times go on."""
    outside, inside = os.pipe()
    begun, real, step = time.time_ns(), time.time_ns, [0]
    monkeypatch.setattr(time, "time_ns", lambda: real() - step[0])
    lines = os.fdopen(outside)
    monkeypatch.setattr(sys, "stdin", lines)
    said: list[str] = []
    home = Home(tmp_path)
    settings = RunSettings(lane=LaneSettings(durability="os"))
    run = LocalRun(case, home, ["-"], settings=settings, say=said.append)

    def send() -> None:
        for number in range(40):
            if number == 20:
                while run.meters.received < 20:
                    time.sleep(0.001)
                step[0] = 3_600 * SECOND
            at = np.datetime64(begun + number * SECOND // 100, "ns")
            line = f'{{"payment_id": "p{number}", "at": "{at}Z", "card": "a"}}\n'
            os.write(inside, line.encode())
        os.close(inside)

    sender = threading.Thread(target=send)
    sender.start()
    run.go()
    sender.join()
    lines.close()
    assert run.meters.accepted == 40
    assert not run.meters.reasons
    (word,) = said
    # it is told from the last event that was received, some moments before
    (seconds,) = re.findall(r"the clock stepped back by ([\d,.]+) s", word)
    assert 3_000 < float(seconds.replace(",", "")) <= 3_600
    received = np.concatenate(
        [stored.batch().inputs.received_ns for stored in stored_batches(home.journal(case.name))]
    )
    assert len(received) == 40
    assert (np.diff(received) >= 0).all()


def test_each_step_is_said_once_and_small_ones_are_not() -> None:
    times = iter([100, 50, 20, 110, 109, 60, 120])
    said: list[str] = []
    clock = SteadyClock(lambda: next(times) * SECOND, said.append)
    assert [clock() // SECOND for _ in range(7)] == [100, 100, 100, 110, 110, 110, 120]
    assert [word.split(",")[0] for word in said] == [
        "the clock stepped back by 50.0 s",
        "the clock stepped back by 50.0 s",
    ]
