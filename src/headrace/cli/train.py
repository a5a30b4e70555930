"""`headrace train`: history in, a model out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.table import Table

from headrace.cli.compile import compiled_once
from headrace.cli.terminal import console, stages
from headrace.core.durations import duration_ns
from headrace.core.errors import DefinitionError
from headrace.lifecycle.alternatives_record import read_alternatives
from headrace.lifecycle.folds import FoldSettings
from headrace.lifecycle.split import SplitSettings
from headrace.lifecycle.training import TrainingSettings
from headrace.runtime.home import Home
from headrace.runtime.loading import load_case
from headrace.runtime.sources import SourceName
from headrace.runtime.training import train_on_files

if TYPE_CHECKING:
    from headrace.lifecycle.alternatives import Chosen


def train(  # noqa: PLR0913 - the options of a command
    case: str,
    /,
    *,
    history: Annotated[tuple[str, ...], Parameter(negative="")],
    labels: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    test: float = 0.25,
    validation: float = 0.15,
    folds: int = 4,
    embargo: str = "0s",
    alternatives: Path | None = None,
    choose: int | None = None,
    because: str = "",
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
    alternatives
        The alternatives.json of headrace alternatives: one of its models is trained in place of the
        declared one.
    choose
        The number of that model.
    because
        Why that one: recorded in the model's manifest and on its card.
    home
        The folder of journal, models, vault and keys.
    """
    place = Home.at(home)
    chosen = _chosen(alternatives, choose, because)
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
        trained = train_on_files(use_case, place, names, settings, stage, alternative=chosen)
    artefact_id = trained.artefact.id
    table = Table("metric", "value", title=f"{use_case.name}: judged on the last events of history")
    for name, value in trained.artefact.manifest.metrics.items():
        table.add_row(name, _shown(value))
    console.print(table)
    if chosen is not None:
        console.print(f"alternative {choose}, chosen because: {chosen.because}", highlight=False)
    if trained.artefact.manifest.arrival == "assumed":
        console.print("Arrival is assumed: no KnownAt field, so equality with live is not claimed.")
    console.print(
        f"model {artefact_id[:12]} runs from now on; its card: "
        f"{place.models / artefact_id / 'card.md'}"
    )


def _chosen(alternatives: Path | None, choose: int | None, because: str) -> Chosen | None:
    """The model that was chosen; None trains the declared one."""
    if alternatives is None:
        if choose is not None or because:
            raise DefinitionError(
                "--choose and --because say which of --alternatives is trained, and why",
                fix="name the file too: --alternatives alternatives/alternatives.json",
            )
        return None
    if choose is None:
        raise DefinitionError(
            "--alternatives is given, and not which of them",
            fix="add --choose NUMBER --because REASON; 0 is the declared model",
        )
    return read_alternatives(alternatives).choose(choose, because=because)


def _shown(value: object) -> str:
    """A figure of a report."""
    if isinstance(value, float):
        return f"{value:.4f}" if value == 0.0 or abs(value) >= 1e-4 else f"{value:.2g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
