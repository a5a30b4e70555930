"""What a demo's report shows of directions: how well they are told, and what was acted on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.definitions.directions import DIRECTIONS
from headrace.lifecycle import plots
from headrace.lifecycle.drawing import if_drawable
from headrace.lifecycle.figures import matrix_plot
from headrace.lifecycle.report import KeyFigure, Report, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from headrace.lifecycle.drawing import Plot
    from headrace.runtime.demo_report import DemoResult
    from headrace.runtime.direction_demo import JudgedDirections


def direction_figures(result: DemoResult, told: JudgedDirections) -> list[KeyFigure]:
    """The numbers at the top."""
    judged, meters, journal = told.judged, result.meters, result.evidence.journal
    acted, right = int(judged.alarmed.sum()), int(judged.positive.sum())
    return [
        KeyFigure("Decisions", f"{meters.decisions:,}", f"of {meters.received:,} inputs"),
        KeyFigure("Decisions a second", f"{meters.rate():,.0f}", "each signed and on disk"),
        KeyFigure(
            "Macro-F1", f"{told.metrics.macro_f1:.3f}", "of up, flat and down; by chance 1/3"
        ),
        KeyFigure("Acted on", f"{acted / len(judged.seq):.1%}", f"{acted:,} signals"),
        KeyFigure("Hit rate", f"{right / max(1, acted):.0%}", "of what was acted on"),
        KeyFigure(
            "Quarantined", f"{meters.quarantined:,}", "inputs that the feed garbled or sent late"
        ),
        KeyFigure(
            "Journal", "verified" if journal.good else "broken", f"{journal.records:,} records"
        ),
    ]


def add_directions(page: Report, result: DemoResult, told: JudgedDirections) -> bool:
    """Add the sections; whether they have plots: they need matplotlib."""
    drawn = _add_quality(page, result, told)
    _add_decided(page, result, told)
    return drawn


def _add_quality(page: Report, result: DemoResult, told: JudgedDirections) -> bool:
    metrics, manifest = told.metrics, result.manifest
    known = told.truth >= 0
    drawn = if_drawable(
        lambda: matrix_plot(
            "Directions told and true",
            "Each row is where prices went, each column what had the highest score.",
            DIRECTIONS,
            metrics.confusion,
            labels=("told", "true"),
        ),
    )
    said = (
        f"{known.sum():,} events after the end of history, held against the move of"
        f" {manifest.label['move of']} over {manifest.label['horizon']}. A move over"
        f" {told.threshold:g} is up or down; the threshold comes from history alone."
    )
    if not drawn:
        said += " For the plots: pip install 'headrace[report]', and run the demo again."
    rows = [
        (
            name,
            f"{(told.truth == place).sum():,}",
            f"{metrics.precision[place]:.1%}",
            f"{metrics.recall[place]:.1%}",
            f"{metrics.f1[place]:.3f}",
            f"{metrics.auc[place]:.3f}",
        )
        for place, name in enumerate(DIRECTIONS)
    ]
    folds = f"{manifest.metrics['macro-F1']:.3f}"
    page.add(
        "How good the scores are",
        said,
        *drawn,
        Table("By direction", ("direction", "events", "precision", "recall", "F1", "AUC"),
              tuple(rows)),
        Table(
            "Macro-F1, the mean of F1 over directions",
            ("judged on", "macro-F1"),
            (
                (f"{manifest.split['folds, walking forward']} purged folds of history", folds),
                ("events after the end of history", f"{metrics.macro_f1:.3f}"),
            ),
        ),
    )  # fmt: skip
    return bool(drawn)


def _add_decided(page: Report, result: DemoResult, told: JudgedDirections) -> None:
    judged = told.judged

    def row(name: str, chosen: NDArray[np.bool_]) -> tuple[str, ...]:
        gone = [f"{(told.truth[chosen] == place).sum():,}" for place in range(len(DIRECTIONS))]
        acted = int((chosen & judged.alarmed).sum())
        share = f"{(chosen & judged.positive).sum() / acted:.1%}" if acted else "-"
        return (name, f"{chosen.sum():,}", *gone, share)

    policy = result.solution.case.policy
    known = [policy.otherwise, *(rule.outcome for rule in policy.rules)] if policy else []
    outcomes = [outcome.name for outcome in sorted(set(known), reverse=True)]
    rules = [rule.name for rule in policy.rules] if policy else []
    columns = ("decisions", *(f"went {name}" for name in DIRECTIONS), "hit rate")
    page.add(
        "What was decided",
        "After the end of history. The first rule that matches decides: limits and the kill switch"
        " stand before the signal.",
        _by("By outcome", "outcome", columns, [row(n, judged.outcome == n) for n in outcomes]),
        _by(
            "By the rule that decided",
            "rule",
            columns,
            [row(name, judged.rule == name) for name in [*rules, "otherwise"]],
        ),
        *_reason_plots(judged.reasons),
    )


def _reason_plots(reasons: Mapping[str, int]) -> tuple[Plot, ...]:
    if not reasons:
        return ()
    return if_drawable(
        lambda: plots.reason_bars(
            list(reasons), list(reasons.values()), unit="decisions it is the first reason of"
        )
    )


def _by(caption: str, what: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    shown = [row for row in rows if row[1] != "0"]
    return Table(caption, (what, *columns), tuple(shown))
