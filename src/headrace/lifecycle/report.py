"""A report as one HTML file that opens offline: key figures, plots, tables, a decision, its proof.

The file asks for nothing from any network and runs no script. It follows the reader's light or
dark setting, prints in light, and can be read by a screen reader: plots have labels, tables have
headers, colour never speaks alone.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, TypeAlias

from headrace.lifecycle.drawing import Plot

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A number at the top of a report.

    Attributes:
        label: What it is.
        value: As it is shown, with its unit.
        note: A few words below it.
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts under headers.

    Attributes:
        caption: What the table says.
        columns: Headers; a column whose cells are all numbers stands to the right.
        rows: One text for each column.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of a score.

    Attributes:
        text: With the feature's value in it.
        contribution: To the score's log-odds; above 0 it raises the risk.
    """

    text: str
    contribution: float


@dataclass(frozen=True, slots=True)
class DecisionExplained:
    """One decision, and why.

    Attributes:
        name: The event's id.
        outcome: Such as block.
        score: From 0 to 1; None where there is none.
        rules: What each rule that matched says, the deciding one first.
        reasons: Of the score, the greatest first.
        facts: Of the event: names and values.
    """

    name: str
    outcome: str
    score: float | None
    rules: tuple[str, ...]
    reasons: tuple[Reason, ...]
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ProofChecked:
    """The outcome of verifying one decision's proof.

    Attributes:
        verified: Whether it held.
        says: What was checked, or what failed, in a sentence.
        facts: Such as the digest, the root, the signing key: names and values.
    """

    verified: bool
    says: str
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Commands:
    """Commands to try next, each with what it does."""

    lines: tuple[tuple[str, str], ...]


#: A table as plain data: its caption, columns, and rows of text.
PlainTable: TypeAlias = tuple[str, Sequence[str], Sequence[Sequence[str]]]
Part: TypeAlias = Plot | Table | PlainTable | DecisionExplained | ProofChecked | Commands


@dataclass(slots=True)
class Report:
    """A page of sections; plots that follow one another stand side by side.

    >>> page = Report("Card fraud", "A simulated month", [KeyFigure("Decisions", "1,000,000")])
    >>> page.add("Policy", "", Table("Rules", ("rule", "outcome"), (("high", "block"),)))
    >>> "<h2>Policy</h2>" in page.html()
    True
    """

    title: str
    subtitle: str
    figures: Sequence[KeyFigure] = ()
    _sections: list[tuple[str, str, tuple[Part, ...]]] = field(default_factory=list)

    def add(self, title: str, text: str, *parts: Part) -> None:
        """Add a section.

        Args:
            title: Of the section.
            text: A sentence or two, or none.
            parts: What stands in it: plots, and tables as (caption, columns, rows of texts).
        """
        self._sections.append((title, text, parts))

    def html(self) -> str:
        """The page."""
        style = resources.files("headrace.lifecycle").joinpath("report.css").read_text("utf-8")
        figures = "".join(_figure(figure) for figure in self.figures)
        top = f'<ul class="figures">{figures}</ul>' if figures else ""
        body = "".join(_section(*section) for section in self._sections)
        title = html.escape(self.title)
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
            f"<header><h1>{title}</h1><p>{html.escape(self.subtitle)}</p></header>\n"
            f"<main>\n{top}\n{body}</main>\n</body>\n</html>\n"
        )

    def write(self, path: Path) -> None:
        """Write the page to a file."""
        path.write_text(self.html(), encoding="utf-8")


def _figure(figure: KeyFigure) -> str:
    note = f'<span class="note">{html.escape(figure.note)}</span>' if figure.note else ""
    return (
        f'<li><span class="label">{html.escape(figure.label)}</span>'
        f'<span class="value">{html.escape(figure.value)}</span>{note}</li>'
    )


def _section(title: str, text: str, parts: tuple[Part, ...]) -> str:
    said = f"<p>{html.escape(text)}</p>\n" if text else ""
    pieces: list[str] = []
    for part in parts:
        if isinstance(part, Plot):
            if not pieces or not pieces[-1].startswith('<div class="plots">'):
                pieces.append('<div class="plots">')
            pieces[-1] += _plot(part)
        else:
            pieces.append(_part(part))
    closed = [
        piece + "</div>" if piece.startswith('<div class="plots">') else piece for piece in pieces
    ]
    return f"<section><h2>{html.escape(title)}</h2>\n{said}{''.join(closed)}</section>\n"


def _plot(plot: Plot) -> str:
    return (
        f"<figure><h3>{html.escape(plot.title)}</h3>{plot.svg}"
        f"<figcaption>{html.escape(plot.caption)}</figcaption></figure>"
    )


def _part(part: Table | PlainTable | DecisionExplained | ProofChecked | Commands) -> str:
    if isinstance(part, tuple):
        caption, columns, rows = part
        return _table(Table(caption, tuple(columns), tuple(tuple(row) for row in rows)))
    if isinstance(part, Table):
        return _table(part)
    if isinstance(part, DecisionExplained):
        return _decision(part)
    if isinstance(part, ProofChecked):
        return _proof(part)
    items = "".join(
        f"<li><code>{html.escape(line)}</code> <span>{html.escape(what)}</span></li>"
        for line, what in part.lines
    )
    return f'<ul class="commands">{items}</ul>'


def _is_number(text: str) -> bool:
    stripped = text.replace(",", "").replace("%", "").strip().split(" ")[0]
    try:
        float(stripped)
    except ValueError:
        return text in ("", "-")
    return True


def _table(table: Table) -> str:
    right = [
        bool(table.rows) and all(_is_number(row[i]) for row in table.rows)
        for i in range(len(table.columns))
    ]

    def cell(tag: str, text: str, column: int) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        side = ' class="number"' if right[column] else ""
        return f"<{tag}{scope}{side}>{html.escape(text)}</{tag}>"

    head = "".join(cell("th", name, i) for i, name in enumerate(table.columns))
    body = "".join(
        f"<tr>{''.join(cell('td', text, i) for i, text in enumerate(row))}</tr>"
        for row in table.rows
    )
    return (
        f'<div class="scroll"><table><caption>{html.escape(table.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _facts(facts: tuple[tuple[str, str], ...]) -> str:
    if not facts:
        return ""
    pairs = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in facts
    )
    return f"<dl>{pairs}</dl>"


def _decision(decision: DecisionExplained) -> str:
    score = (
        "" if decision.score is None else f'<span class="score">score {decision.score:.3f}</span>'
    )
    rules = "".join(f"<li>{html.escape(rule)}</li>" for rule in decision.rules)
    matched = f"<h4>Rules that matched</h4><ol>{rules}</ol>" if rules else ""
    longest = max((abs(reason.contribution) for reason in decision.reasons), default=1.0) or 1.0
    bars = "".join(
        f'<li><span class="text">{html.escape(reason.text)}</span>'
        f'<span class="bar"><span class="{"for" if reason.contribution > 0 else "against"}" '
        f'style="width:{100 * abs(reason.contribution) / longest:.1f}%"></span></span>'
        f'<span class="number">{reason.contribution:+.2f}</span></li>'
        for reason in decision.reasons
    )
    why = f'<h4>Reasons of the score</h4><ul class="reasons">{bars}</ul>' if bars else ""
    outcome = html.escape(decision.outcome)
    kind = outcome if outcome in ("approve", "review", "block") else "other"
    return (
        f'<article class="decision"><h3>{html.escape(decision.name)} '
        f'<span class="outcome {kind}">{outcome}</span> {score}</h3>'
        f"{matched}{why}{_facts(decision.facts)}</article>"
    )


def _proof(proof: ProofChecked) -> str:
    kind, word = ("good", "✓ Verified") if proof.verified else ("bad", "✗ Not verified")
    return (
        f'<article class="proof {kind}"><h3>{word}</h3>'
        f"<p>{html.escape(proof.says)}</p>{_facts(proof.facts)}</article>"
    )
