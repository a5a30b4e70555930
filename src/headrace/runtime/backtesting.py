"""Back-tests over what a home has journaled, or over files, and their page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import NotFound
from headrace.journal.reader import stored_batches
from headrace.lifecycle.metrics import money_curve
from headrace.lifecycle.report import KeyFigure, Report, Table
from headrace.pipeline.replay import inputs_of
from headrace.runtime.intake import Assembly, HistoryIntake
from headrace.runtime.local import BATCH_ROWS
from headrace.runtime.local_lane import now_ns
from headrace.runtime.sources import SourceName, historic_sources
from headrace.runtime.training import check_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from headrace.lifecycle.backtest import Backtest
    from headrace.pipeline.inputs import Inputs
    from headrace.pipeline.use_case import UseCase
    from headrace.runtime.home import Home

#: What looking at one event costs, in the currency of its amounts, where nobody has said.
COST_PER_ALARM = 10.0


def history_of(
    case: UseCase,
    home: Home,
    files: Sequence[str],
    progress: Callable[[str, int, int], None],
) -> Iterator[Inputs]:
    """Inputs in known order: of the files that are named, else of the use case's journal.

    Raises:
        NotFound: There is neither.
    """
    if not files:
        return _journaled(home.journal(case.name), case.name, progress)
    names = [SourceName.of(text, case.plan.on) for text in files]
    check_read(case, names)
    assembly = Assembly(case.plan, None)
    after = {stream.name: stream.arrives_after_ns for stream in case.plan.streams}
    intake = HistoryIntake(
        assembly,
        list(enumerate(historic_sources(names, assembly))),
        after,
        now_ns,
        lambda done: progress("reading times", done, 0),
    )
    return _counted(intake.batches(0, BATCH_ROWS), len(intake), progress)


def _journaled(
    folder: Path, name: str, progress: Callable[[str, int, int], None]
) -> Iterator[Inputs]:
    if not folder.is_dir():
        raise NotFound(f"{name} has no journal here; name files with --history")
    batches = (stored.batch() for stored in stored_batches(folder))
    return _counted((inputs_of(batch) for batch in batches if not batch.controls), 0, progress)


def _counted(
    batches: Iterator[Inputs], total: int, progress: Callable[[str, int, int], None]
) -> Iterator[Inputs]:
    done = 0
    for inputs in batches:
        yield inputs
        done += len(inputs)
        progress("computing features", done, total)


def backtest_report(found: Backtest, name: str) -> Report:
    """The page of a back-test: what moved, and what each threshold saves."""
    from headrace.lifecycle import plots  # noqa: PLC0415 - it needs the extra `report`

    report = Report(
        title=f"{name}: what the change would have changed",
        subtitle=f"{found.events:,} events, decided twice",
        figures=[
            KeyFigure("events moved", f"{sum(found.moved.values()):,}"),
            KeyFigure("precision", _arrow(found.before.precision, found.after.precision)),
            KeyFigure("recall", _arrow(found.before.recall, found.after.recall)),
        ],
    )
    rows = [
        (old, new, f"{count:,}", f"{found.moved_money.get((old, new), 0.0):,.2f}")
        for (old, new), count in found.moved.items()
    ]
    report.add(
        "What moved",
        "Events that would have been decided otherwise.",
        Table(
            "Events by outcome, as it is and with the change",
            ("from", "to", "events", found.amount_feature or "worth"),
            tuple(rows),
        ),
    )
    judged = found.mature & ~np.isnan(found.after.score)
    if len(found.amounts) and judged.any() and found.labels[judged].any():
        curve = money_curve(
            found.labels[judged],
            found.after.score[judged],
            np.nan_to_num(found.amounts[judged]),
            cost_per_alarm=COST_PER_ALARM,
        )
        report.add(
            "Threshold and money",
            f"Over the mature events, with {COST_PER_ALARM:g} for looking at one.",
            plots.money(curve, found.amount_feature),
        )
    return report


def _arrow(before: float, after: float) -> str:
    return f"{before:.1%} to {after:.1%}"
