"""A kernel that is compiled while events wait is not passed off as latency."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numba
from rich.console import Console

import headrace as hr
from headrace.cli.live_view import LiveView
from headrace.runtime.home import Home
from headrace.runtime.local import LocalRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headrace.journal.batch import JournalBatch


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime


payments = hr.stream(Payment, name="payments")
case = hr.UseCase(name="compiling", on=payments, features=hr.features(hour=payments.at.hour("UTC")))


class CompilingSink:
    """Needs a kernel that nobody has compiled."""

    def write(self, batches: Sequence[JournalBatch]) -> None:
        assert numba.njit(lambda x: x + 1)(len(batches)) == len(batches) + 1

    def close(self) -> None:
        pass


def test_compiling_in_a_run_is_told(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"payment_id": "p", "at": "2026-03-01T12:00:00Z"}\n')
    run = LocalRun(case, Home(tmp_path / "home"), [str(source)], [lambda _local: CompilingSink()])
    run.go()
    assert run.meters.compiling_seconds > 0
    said = io.StringIO()
    run.meters.compiling_seconds = 12.0
    LiveView.summary(Console(file=said, width=200), case.name, run.meters, run.journal)
    assert "in 12.0 s of that, kernels were compiled" in said.getvalue()

    again = LocalRun(case, Home(tmp_path / "home"), [str(source)])
    again.go()
    assert again.meters.compiling_seconds == 0
