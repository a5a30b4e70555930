"""Training on files: history as a user names it in, a model of the home out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.errors import DataError, DefinitionError
from headrace.lifecycle.alternatives import search_history
from headrace.lifecycle.direction_training import train_direction
from headrace.lifecycle.registry import Registry
from headrace.lifecycle.training import train
from headrace.pipeline.lane import Lane
from headrace.runtime.intake import Assembly, HistoryIntake
from headrace.runtime.local import BATCH_ROWS
from headrace.runtime.local_lane import now_ns
from headrace.runtime.sources import historic_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headrace.lifecycle.alternatives import Alternatives, Chosen, SearchSettings
    from headrace.lifecycle.direction_training import TrainedDirection
    from headrace.lifecycle.split import SplitSettings
    from headrace.lifecycle.training import Trained, TrainingSettings
    from headrace.pipeline.inputs import Inputs
    from headrace.pipeline.use_case import UseCase
    from headrace.runtime.home import Home
    from headrace.runtime.sources import SourceName


def check_read(case: UseCase, names: Sequence[SourceName]) -> None:
    """See that a history has every stream and table that features read.

    Raises:
        DataError: When one is not named: its features would be missing or 0 in all of it.
    """
    named = {name.stream for name in names}
    for lacking in case.plan.read():
        if lacking not in named:
            raise DataError(
                f"the features of {case.name} read {lacking!r}, and no file of it is named: add"
                f" --history {lacking}=FILE, an empty one where there was none"
            )


def train_on_files(
    case: UseCase,
    home: Home,
    names: Sequence[SourceName],
    settings: TrainingSettings,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
    *,
    alternative: Chosen | None = None,
) -> Trained | TrainedDirection:
    """Train a use case on files, keep the model in the home, and make it the one that runs.

    Args:
        case: With a label and a model to be fitted.
        home: Where the model goes.
        names: Files of the decided stream, of its labels, and of whatever features read.
        settings: How history is parted.
        progress: Called with (what is done, done, of how many).
        alternative: The model to train in place of the declared one; None trains that.

    Raises:
        DefinitionError: When the use case has no label, or no model to fit.
        DataError: When there are no labels, or the history is too short.
        NotFound: When a file is not there.
    """
    history = _history(case, names, progress)
    lane = Lane(case.definition(None), (0, 0))
    trained: Trained | TrainedDirection
    if case.direction is not None:
        if alternative is not None:
            raise DefinitionError(
                "an alternative is of a model of labels, and the label is a direction",
                at=case.at,
                fix="leave --alternatives out",
            )
        trained = train_direction(case, lane, history, settings=settings.folds, progress=progress)
    else:
        trained = train(
            case, lane, history, settings=settings, alternative=alternative, progress=progress
        )
    registry = Registry(home.models)
    registry.use(case.name, registry.add(trained.artefact))
    return trained


def search_on_files(
    case: UseCase,
    names: Sequence[SourceName],
    split: SplitSettings,
    settings: SearchSettings,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
) -> Alternatives:
    """Search for less discriminatory alternatives on files.

    Args:
        case: With a label, and a model to be fitted.
        names: As of `train_on_files`.
        split: How history is parted, as training will part it.
        settings: How is searched.
        progress: Called with (what is done, done, of how many).

    Raises:
        DefinitionError: When an attribute is no protected field, or there is nothing to fit.
        DataError: When there are no labels, or the history is too short.
        NotFound: When a file is not there.
    """
    history = _history(case, names, progress)
    lane = Lane(case.definition(None), (0, 0))
    return search_history(case, lane, history, split, settings, progress=progress)


def _history(
    case: UseCase,
    names: Sequence[SourceName],
    progress: Callable[[str, int, int], None],
) -> Iterator[Inputs]:
    """The files in known order, once all that training reads is named."""
    if case.label is None and case.direction is None:
        raise DefinitionError(
            f"{case.name} has no label, so there is nothing to learn",
            fix='give it label=chargebacks.of(payments).within("60d")',
        )
    if case.label is not None and case.label.stream.name not in {name.stream for name in names}:
        raise DataError(
            f"no labels: name the events of {case.label.stream.name!r} with --labels FILE"
        )
    check_read(case, names)
    assembly = Assembly(case.plan, None)
    opened = historic_sources(names, assembly)
    after = {stream.name: stream.arrives_after_ns for stream in case.plan.streams}
    intake = HistoryIntake(
        assembly,
        list(enumerate(opened)),
        after,
        now_ns,
        lambda done: progress("reading times", done, 0),
    )

    def batches() -> Iterator[Inputs]:
        done = 0
        for inputs in intake.batches(0, BATCH_ROWS):
            yield inputs
            done += len(inputs)
            progress("computing features", done, len(intake))

    return batches()
