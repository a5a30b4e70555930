"""The report of a demo: what was decided, how good, how fast, and one decision in full."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from headrace.lifecycle import metrics, plots
from headrace.lifecycle.drawing import if_drawable
from headrace.lifecycle.report import (
    Commands,
    KeyFigure,
    Report,
    Table,
)
from headrace.policy.conditions import Comparison, Constant, Source
from headrace.runtime.demo import ALARM_SEVERITY
from headrace.runtime.direction_report import add_directions, direction_figures
from headrace.runtime.evidence_report import add_evidence, add_model

if TYPE_CHECKING:
    from headrace.core.columns import Floats
    from headrace.lifecycle.drawing import Plot
    from headrace.models.artefact import Manifest
    from headrace.policy.policy import Policy
    from headrace.runtime.demo import DemoFolder, DemoSettings, Evidence, Judged
    from headrace.runtime.direction_demo import JudgedDirections
    from headrace.runtime.meters import Meters, Sample
    from headrace.runtime.solutions import Solution

#: How many of the highest scores `precision at k` is shown for.
_TOPS = (50, 100, 200, 500, 1_000)
_BINS = 40


@dataclass(frozen=True, slots=True)
class DemoResult:
    """All that a report is made of."""

    solution: Solution
    settings: DemoSettings
    place: DemoFolder
    manifest: Manifest
    model_id: str
    meters: Meters
    judged: Judged
    evidence: Evidence
    commands: tuple[tuple[str, str], ...]
    directions: JudgedDirections | None = None


def write_report(result: DemoResult) -> bool:
    """Write the report; whether it has plots: they need matplotlib."""
    told = result.directions
    page = Report(
        f"{result.solution.name}: a demo on simulated events",
        f"{result.settings.events:,} simulated events over {result.settings.days} days, seed "
        f"{result.settings.seed}. The model learned from the first {result.settings.history_days} "
        "days; every figure on how good it is comes from the days after, judged by "
        + ("labels that arrived later still." if told is None else "where prices went then."),
        _figures(result) if told is None else direction_figures(result, told),
    )
    if told is None:
        drawn = _quality(page, result)
        _decided(page, result)
    else:
        drawn = add_directions(page, result, told)
    _of_the_case(page, result)
    _speed(page, result)
    add_evidence(page, result.evidence, result.place, result.solution.positive[0])
    add_model(page, result.manifest, result.model_id)
    page.add("Commands to try next", "", Commands(result.commands))
    page.write(result.place.report)
    return drawn


def _figures(result: DemoResult) -> list[KeyFigure]:
    judged, meters = result.judged, result.meters
    one, many = result.solution.positive
    currency = result.solution.worth[1]
    caught = judged.positive & judged.alarmed
    lost = float(judged.worth[judged.positive].sum())
    return [
        KeyFigure("Decisions", f"{meters.decisions:,}", f"of {meters.received:,} inputs"),
        KeyFigure("Decisions a second", f"{meters.rate():,.0f}", "each signed and on disk"),
        KeyFigure(
            f"{many.capitalize()} caught",
            f"{caught.sum() / max(1, judged.positive.sum()):.0%}",
            f"{caught.sum():,} of {judged.positive.sum():,}",
        ),
        KeyFigure(
            "Money caught",
            f"{judged.worth[caught].sum() / max(lost, 1e-9):.0%}",
            f"of {lost:,.0f} {currency} of {many}",
        ),
        KeyFigure(
            "Bothered",
            f"{(judged.alarmed & ~judged.positive).mean():.2%}",
            f"of all events: stopped, and no {one}",
        ),
        KeyFigure(
            "Journal",
            "verified" if result.evidence.journal.good else "broken",
            f"{result.evidence.journal.records:,} records",
        ),
    ]


def _quality(page: Report, result: DemoResult) -> bool:
    judged = result.judged
    currency = result.solution.worth[1]
    positive, score = judged.positive, judged.score
    many = result.solution.positive[1]
    title = "How good the scores are"
    if not positive.any() or positive.all():
        page.add(title, "Too few events to judge: none or all of them were labelled.")
        return True
    said = (
        f"{len(score):,} events after the end of history, {positive.sum():,} of them {many} by "
        f"their labels ({positive.mean():.2%})."
    )
    rank, trade = (
        metrics.roc_curve(positive, score),
        metrics.precision_recall_curve(positive, score),
    )
    costs = result.solution.economics
    money = metrics.money_curve(
        positive,
        score,
        judged.worth * costs.lost,
        cost_per_alarm=costs.cost_per_alarm + np.where(positive, 0.0, judged.worth * costs.earned),
    )
    drawn = if_drawable(
        lambda: plots.roc(rank),
        lambda: plots.precision_recall(trade, float(positive.mean())),
        lambda: plots.calibration(metrics.calibration(positive, score)),
        lambda: plots.money(money, currency, chosen=lowest_threshold(result.solution.case.policy)),
    )
    if not drawn:
        said += " For the plots: pip install 'headrace[report]', and run the demo again."
    rows = tuple(
        (
            f"{k:,}",
            f"{metrics.precision_at(positive, score, k):.1%}",
            f"{_found(positive, score, k):.1%}",
        )
        for k in _TOPS
        if k <= len(score)
    )
    summary = (
        ("ROC AUC", f"{rank.area:.4f}"),
        ("average precision", f"{trade.average_precision:.4f}"),
        ("Brier score", f"{metrics.brier(positive, score):.5f}"),
        ("best threshold for money", f"{money.threshold[money.best]:.2f}"),
        (f"cost of one alarm, {currency}", f"{costs.cost_per_alarm:.2f}"),
        (f"lost with one of the {many}, of its worth", f"{costs.lost:.0%}"),
        ("forgone with an alarm at any other, of its worth", f"{costs.earned:.0%}"),
    )
    page.add(
        title,
        said,
        *drawn,
        Table(
            f"Precision at k: of the k highest scores, the share of {many}; and of all {many}, the "
            "share among them",
            ("k", "precision", "recall"),
            rows,
        ),
        Table("In numbers", ("figure", "value"), summary),
    )
    return bool(drawn)


def _found(positive: np.ndarray[tuple[int], np.dtype[np.bool_]], score: Floats, k: int) -> float:
    top = np.argsort(-score, kind="stable")[:k]
    return float(positive[top].sum() / positive.sum())


def lowest_threshold(policy: Policy | None) -> float | None:
    """The lowest score from which on a rule alarms by the score; None if none does."""
    if policy is None:
        return None
    found = [
        float(atom.right.value)
        for rule in policy.rules
        if rule.outcome.severity >= ALARM_SEVERITY
        if isinstance(atom := rule.condition, Comparison)
        and atom.left.source is Source.SCORE
        and isinstance(atom.right, Constant)
        and isinstance(atom.right.value, Decimal)
    ]
    return min(found, default=None)


def _decided(page: Report, result: DemoResult) -> None:
    judged = result.judged
    currency = result.solution.worth[1]

    def row(name: str, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[str, ...]:
        found = int((judged.positive & chosen).sum())
        share = f"{found / chosen.sum():.1%}" if chosen.any() else "-"
        worth = float(judged.worth[judged.positive & chosen].sum())
        return (name, f"{chosen.sum():,}", f"{found:,}", share, f"{worth:,.0f}")

    many = result.solution.positive[1]
    columns = ("decisions", many, "share", f"{currency} of {many}")
    policy = result.solution.case.policy
    known = [policy.otherwise, *(rule.outcome for rule in policy.rules)] if policy else []
    ranked = [outcome.name for outcome in sorted(set(known), reverse=True)]
    outcomes = [name for name in ranked if (judged.outcome == name).any()]
    names = [rule.name for rule in policy.rules] if policy else []
    reasons = result.judged.reasons
    drawn = (
        if_drawable(
            lambda: plots.reason_bars(
                list(reasons), list(reasons.values()), unit="decisions it is the first reason of"
            )
        )
        if reasons
        else ()
    )
    page.add(
        "What was decided",
        "After the end of history. The first rule that matches decides; reasons are given for "
        "every event that does not come to the mildest outcome.",
        Table(
            "By outcome",
            ("outcome", *columns),
            tuple(row(name, judged.outcome == name) for name in outcomes),
        ),
        Table(
            "By the rule that decided",
            ("rule", *columns),
            tuple(row(name, judged.rule == name) for name in [*names, "otherwise"]),
        ),
        *drawn,
    )


def _of_the_case(page: Report, result: DemoResult) -> None:
    """What the use case itself has to show."""
    sections = result.solution.report_sections
    if sections is None:
        return
    since = dt.datetime.fromtimestamp(result.settings.cut_ns // 10**9, tz=dt.UTC)
    place = result.place
    answers = place.answers if place.answers.exists() else None
    for title, text, parts in sections(place.folder / "data", place.decisions, since, answers):
        page.add(title, text, *parts)


def _speed(page: Report, result: DemoResult) -> None:
    meters = result.meters
    p50, p99 = meters.latency_ms(50, 99)
    drawn: tuple[Plot, ...] = ()
    if len(meters.samples) > 2:
        over = over_time(meters.samples)
        drawn = if_drawable(
            lambda: plots.throughput(over.seconds, over.per_second),
            lambda: plots.latency(over.seconds, {"median": over.median_ms, "most": over.most_ms}),
        )
    page.add(
        "How fast it was",
        f"{meters.decisions:,} decisions at {meters.rate():,.0f} a second, on this machine, from "
        "files of events to signed records on disk, at full speed: batches are large, so an event "
        f"waits for its batch (p50 {p50:,.0f} ms, p99 {p99:,.0f} ms).",
        *drawn,
    )


@dataclass(frozen=True, slots=True)
class OverTime:
    """A run cut into equal stretches of time.

    Attributes:
        seconds: The middle of each stretch, since the first read.
        per_second: Decisions a second.
        median_ms: Of the waits of its commits; of the stretch before, where it has none.
        most_ms: The longest of them.
    """

    seconds: Floats
    per_second: Floats
    median_ms: Floats
    most_ms: Floats


def over_time(samples: list[Sample]) -> OverTime:
    """A run over time, from its commits."""
    begun = samples[0].durable_ns - samples[0].waited_ns
    done = np.array([(sample.durable_ns - begun) / 1e9 for sample in samples])
    total = np.cumsum([sample.decisions for sample in samples])
    waited = np.array([sample.waited_ns / 1e6 for sample in samples])
    bins = int(np.clip(len(samples) // 2, 2, _BINS))
    edges = np.linspace(0.0, done[-1], bins + 1)
    reached = np.interp(edges, np.concatenate([[0.0], done]), np.concatenate([[0], total]))
    place = np.minimum(np.searchsorted(edges, done, side="left") - 1, bins - 1)
    median, most = np.empty(bins), np.empty(bins)
    last = waited[:1]
    for number in range(bins):
        here = waited[place == number]
        last = here if len(here) else last
        median[number], most[number] = np.median(last), last.max()
    return OverTime((edges[:-1] + edges[1:]) / 2, np.diff(reached) / np.diff(edges), median, most)
