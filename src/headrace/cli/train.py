"""`headrace train`: history in, a model out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.table import Table

from headrace.cli.terminal import console, stages
from headrace.core.errors import DataError, DefinitionError
from headrace.lifecycle.registry import Registry
from headrace.lifecycle.split import SplitSettings
from headrace.lifecycle.training import TrainingSettings
from headrace.lifecycle.training import train as train_model
from headrace.pipeline.lane import Lane
from headrace.runtime.home import Home
from headrace.runtime.intake import Assembly, HistoryIntake
from headrace.runtime.loading import load_case
from headrace.runtime.local import BATCH_ROWS
from headrace.runtime.local_lane import now_ns
from headrace.runtime.sources import SourceName, historic_sources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.pipeline.inputs import Inputs


def train(
    case: str,
    /,
    *,
    history: Annotated[tuple[str, ...], Parameter(negative="")],
    labels: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    test: float = 0.25,
    validation: float = 0.15,
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
    home
        The folder of journal, models, vault and keys.
    """
    place = Home.at(home)
    use_case = load_case(case)
    if use_case.label is None:
        raise DefinitionError(
            f"{use_case.name} has no label, so there is nothing to learn",
            fix='give it label=chargebacks.of(payments).within("60d")',
        )
    names = [SourceName.of(text, use_case.plan.on) for text in history]
    names += [SourceName.of(text, use_case.label.stream.name) for text in labels]
    if use_case.label.stream.name not in {name.stream for name in names}:
        raise DataError(
            f"no labels: name the events of {use_case.label.stream.name!r} with --labels FILE"
        )
    with stages() as stage:
        assembly = Assembly(use_case.plan, None)
        opened = historic_sources(names, assembly)
        after = {stream.name: stream.arrives_after_ns for stream in use_case.plan.streams}
        intake = HistoryIntake(
            assembly,
            list(enumerate(opened)),
            after,
            now_ns,
            lambda done: stage("reading times", done, 0),
        )

        def batches() -> Iterator[Inputs]:
            done = 0
            for inputs in intake.batches(0, BATCH_ROWS):
                yield inputs
                done += len(inputs)
                stage("computing features", done, len(intake))

        trained = train_model(
            use_case,
            Lane(use_case.definition(None), (0, 0)),
            batches(),
            settings=TrainingSettings(split=SplitSettings(test=test, validation=validation)),
            progress=stage,
        )
    registry = Registry(place.models)
    artefact_id = registry.add(trained.artefact)
    registry.use(use_case.name, artefact_id)
    table = Table("metric", "value", title=f"{use_case.name}: judged on the last events of history")
    for name, value in trained.artefact.manifest.metrics.items():
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else f"{value:,}")
    console.print(table)
    if trained.artefact.manifest.arrival == "assumed":
        console.print("Arrival is assumed: no KnownAt field, so equality with live is not claimed.")
    console.print(
        f"model {artefact_id[:12]} runs from now on; its card: "
        f"{place.models / artefact_id / 'card.md'}"
    )
