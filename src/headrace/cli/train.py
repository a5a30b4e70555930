"""`headrace train`: history in, a model out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from headrace.cli.compile import compiled_once
from headrace.cli.terminal import console, stages
from headrace.core.durations import duration_ns
from headrace.lifecycle.folds import FoldSettings
from headrace.lifecycle.split import SplitSettings
from headrace.lifecycle.training import TrainingSettings
from headrace.runtime.home import Home
from headrace.runtime.loading import load_case
from headrace.runtime.sources import SourceName
from headrace.runtime.training import train_on_files


def train(
    case: str,
    /,
    *,
    history: Annotated[tuple[str, ...], Parameter(negative="")],
    labels: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    test: float = 0.25,
    validation: float = 0.15,
    folds: int = 4,
    embargo: str = "0s",
    home: Path | None = None,
) -> None:
    """Train a use case's model on history, and make it the one that runs.

    Parameters
    ----------
    case
        A Python file with the use case (FILE.py, or FILE.py:NAME), or a ready-made one.
    history
        Events: FILE of the decided stream, or STREAM=FILE (or a folder) for any other stream
        or table.
    labels
        Label events: FILE of the label's stream, or STREAM=FILE.
    test
        Share of the mature events that come last and are only judged on.
    validation
        Share of the rest that decides when to stop growing trees.
    folds
        How many times a model is judged on later events, where the label is a direction.
    embargo
        Time left out before the events that such a model is judged on, as in 10s.
    home
        The folder of journal, models, vault and keys.
    """
    place = Home.at(home)
    use_case = load_case(case)
    names = [SourceName.of(text, use_case.plan.on) for text in history]
    if use_case.label is not None:
        names += [SourceName.of(text, use_case.label.stream.name) for text in labels]
    compiled_once()
    with stages() as stage:
        settings = TrainingSettings(
            split=SplitSettings(test=test, validation=validation),
            folds=FoldSettings(folds, duration_ns(embargo, what="--embargo"), validation),
        )
        trained = train_on_files(use_case, place, names, settings, stage)
    artefact_id = trained.artefact.id
    table = Table("metric", "value", title=f"{use_case.name}: judged on the last events of history")
    for name, value in trained.artefact.manifest.metrics.items():
        table.add_row(name, _shown(value))
    console.print(table)
    if trained.artefact.manifest.arrival == "assumed":
        console.print("Arrival is assumed: no KnownAt field, so equality with live is not claimed.")
    console.print(
        f"model {artefact_id[:12]} runs from now on; its card: "
        f"{place.models / artefact_id / 'card.md'}"
    )


def _shown(value: object) -> str:
    """A figure of a report."""
    if isinstance(value, float):
        return f"{value:.4f}" if value == 0.0 or abs(value) >= 1e-4 else f"{value:.2g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
