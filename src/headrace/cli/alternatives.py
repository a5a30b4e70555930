"""`headrace alternatives`: models that are as accurate, and weigh less on a protected group."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.table import Table

from headrace.cli.compile import compiled_once
from headrace.cli.terminal import console, stages
from headrace.core.errors import DefinitionError
from headrace.lifecycle.alternatives import SearchSettings
from headrace.lifecycle.alternatives_record import write_alternatives
from headrace.lifecycle.alternatives_report import alternatives_report, apart_text
from headrace.lifecycle.split import SplitSettings
from headrace.runtime.loading import load_case
from headrace.runtime.sources import SourceName
from headrace.runtime.training import search_on_files

if TYPE_CHECKING:
    from headrace.lifecycle.alternatives import Alternatives


def alternatives(  # noqa: PLR0913 - the options of a command
    case: str,
    /,
    *,
    history: Annotated[tuple[str, ...], Parameter(negative="")],
    labels: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    by: Annotated[tuple[str, ...], Parameter(negative="")],
    count: int = 24,
    folds: int = 5,
    approved: float = 0.8,
    seed: int = 0,
    test: float = 0.25,
    validation: float = 0.15,
    out: Path = Path("alternatives"),
) -> None:
    """Search for models that are as accurate, and weigh less on a protected group.

    Parameters
    ----------
    case
        A Python file with the use case (FILE.py, or FILE.py:NAME), or a ready-made one.
    history
        Events: FILE of the decided stream, or STREAM=FILE, as in headrace train.
    labels
        Label events: FILE of the label's stream, or STREAM=FILE.
    by
        A protected attribute to measure by, as in --by sex; of one that is a number, where its
        bands begin, as in --by age=30,62.
    count
        Models to fit, the declared one among them.
    folds
        Parts of the events; each is judged by models of the others.
    approved
        Share of the events that every model approves: its lowest scores.
    seed
        Of folds, and of how models are drawn.
    test
        As in headrace train: these events take no part in the search.
    validation
        As in headrace train.
    out
        The folder for alternatives.json, which headrace train chooses from, and report.html.
    """
    use_case = load_case(case)
    settings = SearchSettings(dict(_attribute(text) for text in by), count, folds, approved, seed)
    names = [SourceName.of(text, use_case.plan.on) for text in history]
    if use_case.label is not None:
        names += [SourceName.of(text, use_case.label.stream.name) for text in labels]
    compiled_once()
    with stages() as stage:
        split = SplitSettings(test=test, validation=validation)
        found = search_on_files(use_case, names, split, settings, stage)
    out.mkdir(parents=True, exist_ok=True)
    write_alternatives(found, out / "alternatives.json")
    alternatives_report(found).write(out / "report.html")
    _show(found)
    console.print(
        f"wrote {out / 'alternatives.json'} and {out / 'report.html'}; choose one by headrace train"
        f" {case} ... --alternatives {out / 'alternatives.json'} --choose NUMBER --because REASON",
        highlight=False,
        soft_wrap=True,
    )


def _attribute(text: str) -> tuple[str, tuple[float, ...]]:
    """A protected attribute with the edges of its bands, of `age=30,62`."""
    name, said, edges = text.partition("=")
    try:
        return name, tuple(float(edge) for edge in edges.split(",")) if said else ()
    except ValueError as error:
        raise DefinitionError(
            f"--by {text}", fix="write numbers where bands begin, as in --by age=30,62"
        ) from error


def _show(found: Alternatives) -> None:
    names = list(found.settings.by)
    table = Table(
        "",
        "AUC",
        "to the declared",
        *(f"ratio by {name}" for name in names),
        "differs in",
        title=f"the front of {len(found.tried)} models over {found.events:,} events, each approving"
        f" {found.settings.approved:.0%}",
    )
    shown = {found.declared.number: found.declared, **{one.number: one for one in found.front}}
    for one in shown.values():
        table.add_row(
            str(one.number),
            f"{one.area:.4f}",
            apart_text(one, found.declared),
            *(f"{impact.ratio:.3f} ± {impact.error:.3f}" for impact in one.impacts),
            one.says,
        )
    console.print(table)
