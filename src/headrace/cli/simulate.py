"""`headrace simulate`: events that nobody made, to try things on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headrace.cli.data_folder import check_folder, say_written
from headrace.cli.days import day_given
from headrace.cli.terminal import console, stages
from headrace.core.errors import DataError
from headrace.runtime.solutions import solution


def simulate(
    case: str,
    /,
    *,
    out: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    events: int = 200_000,
    days: int = 30,
    seed: int = 7,
    start: str | None = None,
    rate: float | None = None,
) -> None:
    """Write simulated events to a folder, or to stdout; the same seed gives the same events.

    Parameters
    ----------
    case
        A ready-made use case, such as card-fraud.
    out
        The folder to write to; - writes the decided events to stdout, as JSON lines.
    events
        How many events of the decided stream.
    days
        Over how many days.
    seed
        Of all that is random.
    start
        The first day, as in 2026-01-05.
    rate
        Events a second, to stdout alone; as fast as they are taken when left out.
    """
    found = solution(case)
    first = day_given("--start", start)
    to_stdout = str(out) == "-"
    if rate is not None and (rate <= 0 or not to_stdout):
        raise DataError(f"--rate {rate:g}: expected events a second above 0, with --out -")
    if to_stdout:
        for chunk in found.simulate_lines(
            events=events, days=days, seed=seed, start=first, rate=rate
        ):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        return
    check_folder(out, instead=", or - for stdout")
    with stages() as stage:
        parts = found.simulate_to(
            out, events=events, days=days, seed=seed, start=first, progress=stage
        )
    files = parts[0]
    say_written(files)
    decided = found.case.plan.on
    others = " ".join(f"--history {name}={files[name]}" for name in files if name != decided)
    console.print(
        f"next: headrace train {case} --history {files[decided]} {others}", soft_wrap=True
    )
