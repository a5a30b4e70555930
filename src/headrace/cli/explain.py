"""`headrace explain`: why a decision was made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.table import Table

from headrace.cli.terminal import console, progress
from headrace.runtime.audit import explain as explain_decision
from headrace.runtime.definitions import Definitions
from headrace.runtime.evidence import evidence
from headrace.runtime.home import Home
from headrace.runtime.journals import Journals

if TYPE_CHECKING:
    from headrace.runtime.audit import Explanation


def explain(
    decision: str,
    /,
    *,
    json: bool = False,
    later: bool = False,
    journal: str | None = None,
    home: Path | None = None,
) -> None:
    """Why a decision was made: values, reasons, rules, versions.

    Parameters
    ----------
    decision
        Its id, such as card-fraud/0/123, or the id of the event.
    json
        Print JSON, for other programs.
    later
        Show what came in later of the event, too: labels, reviews, contests. The journal is read
        from the decision on.
    journal
        Where headrace collect --to put it, s3://BUCKET/PREFIX or a folder; the home's when left
        out.
    home
        The folder of journal, models, vault and keys.
    """
    with progress("fetching the journal") as done:
        place = evidence(Home.at(home), journal, progress=done)
    found = Journals(place).decision(decision)
    explanation = explain_decision(found, Definitions(place.definitions), later=later)
    if json:
        console.out(msgspec.json.format(msgspec.json.encode(explanation)).decode())
        return
    show(explanation)


def show(explanation: Explanation) -> None:
    """Print an explanation for people."""
    score = "" if explanation.score is None else f", score {explanation.score:.4f}"
    console.print(f"[bold]{explanation.id}[/bold]: [bold]{explanation.outcome}[/bold]{score}")
    if explanation.backfilled:
        console.print("The event came back from quarantine; what lay before it may be gone.")
    for name, words in explanation.rules.items():
        mark = "decided" if name == explanation.rule else "matched too"
        console.print(f"  rule [bold]{name}[/bold] {mark}: {words}")
    if not explanation.rules:
        console.print("  no rule matched")
    if explanation.reasons:
        of = f" of {explanation.explains}" if explanation.explains else ""
        why = f"Why the score{of} is as high as it is" if of else "Why this score"
        table = Table("reason", "value", "adds to the margin", title=why)
        for reason in explanation.reasons:
            table.add_row(reason.text, _shown(reason.value), f"{reason.contribution:+.4f}")
        console.print(table)
    tables = [
        ("Features", "feature", explanation.features),
        ("The event (personal data as surrogates)", "field", explanation.event),
        *((f"Said of it later: {name}", "field", fields) for name, fields in explanation.followed),
    ]
    for title, what, values in tables:
        table = Table(what, "value", title=title)
        for name, value in values.items():
            table.add_row(name, _shown(value))
        console.print(table)
    if explanation.sequence:
        console.print(_sequence(explanation))
    for name, digest in explanation.versions.items():
        console.print(f"  {name} {digest or 'none'}")


def _sequence(explanation: Explanation) -> Table:
    """The vectors that the model read."""
    names = list(explanation.sequence[-1].values)
    table = Table("decision", *names, title="The sequence that the model read, newest last")
    for vector in explanation.sequence:
        table.add_row(vector.decision, *(_shown(vector.values[name]) for name in names))
    return table


def _shown(value: object) -> str:
    if value is None:
        return "missing"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
