"""Notices of adverse action: what was decided, by whom, when, and the principal reasons.

The reasons are the decision's own reason codes: the features with the largest exact contributions
to the score, largest first, each with the applicant's own value. Where a rule decided that does
not ask for the score, the reason is what it requires, and nothing of the score's. Regulation B, 12
CFR 1002.9(a)(2) and (b), asks for the action, the creditor, the agency and specific reasons, of
which its official interpretation advises no more than four; that standards were not met, or a score
too low, is not enough. Where a consumer report was used, the Fair Credit Reporting Act, 15 U.S.C.
1681m(a), adds the score, its range and date, its key factors, and the agency with the applicant's
rights.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_RIGHTS = (
    "The federal Equal Credit Opportunity Act prohibits creditors from discriminating against"
    " credit applicants on the basis of race, color, religion, national origin, sex, marital"
    " status, age (provided the applicant has the capacity to enter into a binding contract);"
    " because all or part of the applicant's income derives from any public assistance program; or"
    " because the applicant has in good faith exercised any right under the Consumer Credit"
    " Protection Act. The federal agency that administers compliance with this law concerning this"
    " creditor is {agency}."
)
_BUREAU = (
    "The decision was based in whole or in part on information from {bureau}. It did not make this"
    " decision and cannot say why it was made. You have the right to a free copy of your report"
    " from it if you ask within 60 days, and to dispute with it whatever is inaccurate or"
    " incomplete."
)
_SCORE = "A higher score is a lower risk."
_FACTORS_ABOVE = "The key factors that lowered it are the reasons above."
_FACTORS = "The key factors that lowered it, which did not decide: "
_CONTEST = (
    "You may ask for a person to review this decision, and may say what you think is wrong with it."
    " Name the decision above; what you say, and what the review comes to, is recorded beside it."
)


@dataclass(frozen=True, slots=True)
class Disclosure:
    """The score as it is disclosed.

    Attributes:
        points: Of the applicant.
        least: The lowest that there is.
        most: The highest.
    """

    points: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice of adverse action.

    Attributes:
        decision: Its id.
        applicant: Name and address, or how the record knows the person.
        creditor: Name and address.
        agency: Who supervises the creditor.
        date: Of the decision, as YYYY-MM-DD.
        action: What was done, in words.
        reasons: At most four, the principal one first, each with the applicant's value: of the
            score where a rule that asks for it decided, else what that rule requires.
        factors: What lowered the score most; none where nothing did.
        score: Disclosed; None where none is.
        bureau: Whose report was used; "" where none was.
        counterfactual: What would have led to approval; "" where nothing was found.
    """

    decision: str
    applicant: str
    creditor: str
    agency: str
    date: str
    action: str
    reasons: tuple[str, ...]
    factors: tuple[str, ...]
    score: Disclosure | None
    bureau: str
    counterfactual: str


@dataclass(frozen=True, slots=True)
class NoticePart:
    """A heading with paragraphs, or with a numbered list.

    Attributes:
        title: The heading.
        lines: Paragraphs, or the entries of the list.
        numbered: Whether it is a list.
    """

    title: str
    lines: tuple[str, ...]
    numbered: bool = False


def notice_parts(notice: Notice) -> Iterable[NoticePart]:
    """What a notice says, in order, below its facts."""
    yield NoticePart("Action taken", (notice.action,))
    if notice.reasons:
        yield NoticePart("Principal reasons for it", notice.reasons, numbered=True)
    if notice.score is not None:
        score = notice.score
        said = f"{score.points}, of a range from {score.least} to {score.most}, on {notice.date}."
        yield NoticePart("Your score", (said, _SCORE, *_factors(notice)))
    if notice.counterfactual:
        yield NoticePart("What would have changed the outcome", (notice.counterfactual,))
    if notice.bureau:
        yield NoticePart("Your report", (_BUREAU.format(bureau=notice.bureau),))
    yield NoticePart("Your rights", (_RIGHTS.format(agency=notice.agency), _CONTEST))


def _factors(notice: Notice) -> tuple[str, ...]:
    if not notice.factors:
        return ()
    if notice.factors == notice.reasons:
        return (_FACTORS_ABOVE,)
    return (f"{_FACTORS}{'; '.join(factor.rstrip('.') for factor in notice.factors)}.",)


def _facts(notice: Notice) -> tuple[tuple[str, str], ...]:
    return (
        ("Applicant", notice.applicant),
        ("Creditor", notice.creditor),
        ("Date", notice.date),
        ("Decision", notice.decision),
    )


def text_notice(notice: Notice) -> str:
    """The notice as plain text."""
    lines = ["NOTICE OF ADVERSE ACTION", ""]
    lines += [f"{name + ':':<11}{value}" for name, value in _facts(notice)]
    for part in notice_parts(notice):
        lines += ["", part.title]
        for number, line in enumerate(part.lines, 1):
            lines.append(f"  {number}. {line}" if part.numbered else f"  {line}")
    return "\n".join(lines) + "\n"


_STYLE = (
    "body{font:16px/1.5 Georgia,serif;max-width:44rem;margin:3rem auto;padding:0 1rem}"
    "h1{font-size:1.5rem}h2{font-size:1.05rem;margin:1.6rem 0 .3rem}p,ol{margin:.3rem 0}"
    "dl{display:grid;grid-template-columns:7rem 1fr;gap:.2rem 1rem}dt{color:#666}dd{margin:0}"
)


def html_notice(notice: Notice) -> str:
    """The notice as one HTML page that needs nothing else."""
    facts = "".join(
        f"<dt>{name}</dt><dd>{html.escape(value)}</dd>" for name, value in _facts(notice)
    )
    body = []
    for part in notice_parts(notice):
        lines = [html.escape(line) for line in part.lines]
        if part.numbered:
            inside = "<ol>" + "".join(f"<li>{line}</li>" for line in lines) + "</ol>"
        else:
            inside = "".join(f"<p>{line}</p>" for line in lines)
        body.append(f"<h2>{part.title}</h2>{inside}")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>Notice of adverse action, {html.escape(notice.decision)}</title>"
        f"<style>{_STYLE}</style></head><body><h1>Notice of adverse action</h1>"
        f"<dl>{facts}</dl>{''.join(body)}</body></html>\n"
    )
