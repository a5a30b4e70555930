"""The report of credit decisions on public data, as one HTML file."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

import headrace as hr
from headrace.core.errors import DataError
from headrace.lifecycle import metrics, plots
from headrace.lifecycle.drawing import if_drawable
from headrace.lifecycle.impact import FOUR_FIFTHS, LEAST, Group, Impact, bands, impact
from headrace.lifecycle.report import Commands, Table
from headrace.runtime.demo_report import lowest_threshold
from headrace.runtime.evidence_report import add_evidence, add_model
from headrace_solutions.credit_risk.grades import calibration_by_grade

if TYPE_CHECKING:
    from benchmarks.lending import Lent
    from numpy.typing import NDArray

#: Bins of the error of calibration.
BINS = 20


def page_of(lent: Lent) -> hr.Report:
    """The report of a set."""
    page = hr.Report(
        f"{lent.public.title}: decisions on credit",
        f"Real data: {lent.public.source}. The model learned from the first {lent.learned:,} rows;"
        f" all that is shown is of the {len(lent.bad):,} rows after them. The set has no times: a"
        " row is an application, declared to come a minute after the row before.",
        _figures(lent),
    )
    _quality(page, lent)
    _decided(page, lent)
    _reasons(page, lent)
    _groups(page, lent)
    add_evidence(page, lent.evidence, lent.place, "default")
    add_model(page, lent.manifest, lent.model_id)
    page.add(
        "Ask for yourself",
        "Beside this file lie the home with its journal, every decision, and the notices.",
        Commands(commands(lent)),
    )
    return page


def commands(lent: Lent) -> tuple[tuple[str, str], ...]:
    """What can be typed next, each with what it does."""
    home = f"--home {lent.place.home.folder}"
    case, decision = lent.public.module.__file__, lent.evidence.explanation.id
    proof = f"{lent.place.verifier} {lent.place.proof} --public-key {lent.place.public_key}"
    notice = (
        ((f"headrace notice {case} {decision} {home}", "what the applicant is told"),)
        if lent.evidence.notice is not None
        else ()
    )
    return (
        (f"headrace explain {decision} {home}", "why that decision was made"),
        *notice,
        (f"python3 {proof}", "verify its proof, without Headrace"),
        (f"headrace verify {home} --checkpoint {lent.place.witness}", "check the whole journal"),
        (
            f'headrace query "FROM decisions SELECT outcome, count(*) GROUP BY outcome" {home}',
            "ask the journal in SQL",
        ),
    )


def _outcomes(lent: Lent) -> NDArray[np.str_]:
    return np.array(lent.decisions["outcome"].to_pylist())


def _scores(lent: Lent) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = lent.decisions["score"].to_numpy()
    return scores


def _figures(lent: Lent) -> list[hr.KeyFigure]:
    outcome, score, evidence = _outcomes(lent), _scores(lent), lent.evidence
    granted = outcome == "approve"
    error = metrics.calibration_error(lent.bad, score, bins=BINS, equal_counts=True)
    return [
        hr.KeyFigure("Applications decided", f"{len(score):,}", f"{lent.bad.mean():.1%} defaulted"),
        hr.KeyFigure("ROC AUC", f"{metrics.roc_auc(lent.bad, score):.3f}", "on these rows"),
        hr.KeyFigure(
            "Calibration",
            f"{error:.4f}",
            f"RMS over {BINS} bins of {len(score) // BINS:,} rows",
        ),
        hr.KeyFigure(
            "Approved",
            f"{granted.mean():.1%}",
            f"{lent.bad[granted].mean():.1%} of them defaulted" if granted.any() else "nobody",
        ),
        hr.KeyFigure(
            "Journal",
            "verified" if evidence.journal.good else "broken",
            f"{evidence.journal.records:,} records",
        ),
        hr.KeyFigure(
            "Replay",
            "the same" if evidence.replayed.difference is None else "differs",
            f"{evidence.replayed.decisions:,} decisions, byte for byte",
        ),
    ]


def _quality(page: hr.Report, lent: Lent) -> None:
    bad, score = lent.bad, _scores(lent)
    rank = metrics.roc_curve(bad, score)
    wide, even = (
        metrics.calibration_error(bad, score, bins=BINS, equal_counts=equal)
        for equal in (False, True)
    )
    grades = [
        (
            found.grade,
            f"{found.count:,}",
            f"{found.predicted:.2%}",
            f"{found.observed:.2%}",
            f"{found.errors_apart:+.1f}",
        )
        for found in calibration_by_grade(score, bad)
    ]
    page.add(
        "How good the scores are",
        "One held-out part of one set: its figures move with which rows are in it. Repeated"
        " cross-validation, beside other models and published figures, is in the documentation"
        " under Credit scores on public data.",
        *if_drawable(
            lambda: plots.roc(rank),
            lambda: plots.calibration(metrics.calibration(bad, score)),
        ),
        Table(
            "In numbers",
            ("figure", "value"),
            (
                ("ROC AUC", f"{rank.area:.4f}"),
                ("Brier score", f"{metrics.brier(bad, score):.4f}"),
                (f"root mean square over {BINS} bins of equal count", f"{even:.4f}"),
                (f"root mean square over {BINS} bins of equal width", f"{wide:.4f}"),
            ),
        ),
        Table(
            "Calibration by grade of the score",
            ("grade", "applications", "mean PD", "defaulted", "standard errors apart"),
            tuple(grades),
        ),
    )


def _decided(page: hr.Report, lent: Lent) -> None:
    outcome, score = _outcomes(lent), _scores(lent)

    def row(name: str, chosen: NDArray[np.bool_]) -> tuple[str, ...]:
        return (
            name,
            f"{chosen.sum():,}",
            f"{chosen.mean():.1%}",
            f"{score[chosen].mean():.1%}" if chosen.any() else "-",
            f"{lent.bad[chosen].mean():.1%}" if chosen.any() else "-",
        )

    least = lowest_threshold(lent.case.policy)
    page.add(
        "What was decided",
        "The first rule that matches decides. Whoever was refused or reviewed is followed too, as"
        " the set tells it of everyone."
        + ("" if least is None else f" From a PD of {least:.1%} on, nothing is simply approved."),
        Table(
            "By outcome",
            ("outcome", "applications", "share", "mean PD", "defaulted"),
            (
                *(row(name, outcome == name) for name in ("approve", "review", "block")),
                row("all", np.ones(len(score), dtype=bool)),
            ),
        ),
    )


def _reasons(page: hr.Report, lent: Lent) -> None:
    blocked = _outcomes(lent) == "block"
    given = [
        [reason["feature"] for reason in reasons]
        for reasons, chosen in zip(lent.decisions["reasons"].to_pylist(), blocked, strict=True)
        if chosen
    ]
    if not given:
        page.add("Why applications were refused", "None was.")
        return
    first = Counter(names[0] for names in given if names)
    page.add(
        "Why applications were refused",
        f"{len(given):,} were. Each is told at most four reasons, those with the largest exact"
        " contributions to its own score, the largest first. Below are refusals from the narrowest"
        " to the clearest; the notice of each lies in the folder notices.",
        *if_drawable(
            lambda: plots.reason_bars(
                list(first), list(first.values()), unit="refusals it is the principal reason of"
            )
        ),
        Table(
            "Refused applications, and what each is told",
            ("application", "score", "principal reasons, in order", "would have been granted"),
            tuple(
                (
                    name,
                    str(notice.score.points) if notice.score else "-",
                    " ".join(notice.reasons),
                    notice.counterfactual or "nothing that stands alone was found",
                )
                for name, notice in lent.notices.items()
            ),
        ),
    )


def _of_the_best(group: Group, found: Impact) -> str:
    """A group's rate over the highest, where it is large enough for that to say something."""
    if group.count < LEAST or not found.best.approved:
        return "-"
    return f"{group.rate / found.best.rate:.3f}"


def _groups(page: hr.Report, lent: Lent) -> None:
    approved, score = _outcomes(lent) == "approve", _scores(lent)
    tables = []
    for name, edges in lent.public.groups.items():
        column = lent.decisions[name]
        group = (
            bands(column.cast(pa.float64()).to_numpy(zero_copy_only=False), edges)
            if edges
            else np.array(column.to_pylist())
        )
        try:
            found = impact(approved, group, name)
        except DataError:
            continue
        tables.append(
            Table(
                f"Approvals by {name.replace('_', ' and ')}: impact ratio {found.ratio:.3f}"
                f" ± {found.error:.3f}",
                ("group", "applications", "approved", "of the best", "mean PD", "defaulted"),
                tuple(
                    (
                        part.name,
                        f"{part.count:,}",
                        f"{part.rate:.1%}",
                        _of_the_best(part, found),
                        f"{score[group == part.name].mean():.1%}",
                        f"{lent.bad[group == part.name].mean():.1%}",
                    )
                    for part in found.groups
                ),
            )
        )
    page.add(
        "Groups",
        "Protected attributes are recorded to measure by, and are read by no feature and no rule."
        " The impact ratio is the lowest rate of approval over the highest, of groups of"
        f" {LEAST} or more; below {FOUR_FIFTHS:g} it is looked into.",
        *tables,
    )
