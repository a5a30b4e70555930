"""What the commands do, as calls on frames: Arrow, pandas, Polars, or whatever speaks Arrow.

A frame stands for a stream. A call with one frame is about the decided stream; several streams
and tables are given as a mapping of name to frame, and all that features read must be in it: None
in place of a frame says that there are no rows of it. Nothing is recorded: these calls are for
notebooks and pipelines, and read no home.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

from headrace.adapters.opening import open_frame
from headrace.core.errors import DataError, DefinitionError, NotFound
from headrace.definitions.calls import checked, shown
from headrace.definitions.source_lines import user_line
from headrace.events.frames import table_of
from headrace.journal.batch import Decisions, JournalBatch
from headrace.journal.batch import Inputs as JournaledInputs
from headrace.lifecycle.alternatives import SearchSettings, search_history
from headrace.lifecycle.backtest import backtest as run_backtest
from headrace.lifecycle.direction_training import TrainedDirection, train_direction
from headrace.lifecycle.training import Trained, TrainingSettings
from headrace.lifecycle.training import train as train_model
from headrace.models.artefact import Artefact
from headrace.models.onnx_specification import Onnx
from headrace.models.specification import ModelFile
from headrace.pipeline.lane import Lane, LaneLimits
from headrace.pipeline.step import accept, step
from headrace.pipeline.use_case import UseCase
from headrace.runtime.closed_loop import ClosedLoop, source_of
from headrace.runtime.frame_rows import FrameRows, decision_columns
from headrace.runtime.intake import Assembly, HistoryIntake
from headrace.runtime.models import import_declared, served_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headrace.lifecycle.alternatives import Alternatives, Chosen
    from headrace.lifecycle.backtest import Backtest
    from headrace.models.serving import Model
    from headrace.pipeline.inputs import Inputs
    from headrace.policy.policy import Policy
    from headrace.runtime.closed_loop import Counterparty

#: A frame, or a frame for each stream and table by name.
Frames: TypeAlias = Any

_BATCH = 16_384
#: Nothing is kept across calls, so the key of the hashes of ids needs no secrecy.
_KEY = (0, 0)


def _intake(
    case: UseCase,
    frames: Frames,
    *,
    labels: str | None = None,
    assembly: Assembly | None = None,
    answered: str | None = None,
) -> HistoryIntake:
    """The frames in known order.

    Args:
        case: Whose.
        frames: As of `compute`.
        labels: The stream of labels, where they are needed.
        assembly: That makes the inputs; None makes one.
        answered: The stream of a counterparty's answers, of which no frame is needed.
    """
    _check_case(case)
    plan = case.plan
    given: Mapping[str, Any] = frames if isinstance(frames, Mapping) else {plan.on: frames}
    assembly = assembly or Assembly(plan, None)
    for name in given:
        if name not in assembly.names:
            raise DataError(
                f"a frame is called {name!r}, and {case.name} reads {', '.join(assembly.names)}:"
                " call it as one of them"
            )
    lacking = [
        name for name in (*plan.read(), labels) if name and name not in given and name != answered
    ]
    if lacking:
        example = ", ".join(f"{name!r}: ..." for name in (*given, *lacking))
        raise DataError(
            f"no frame of {' and '.join(map(repr, lacking))}, which {case.name} reads:"
            f" give {{{example}}}; None in place of a frame says that it has no rows"
        )
    if given[plan.on] is None:
        raise DataError(
            f"None for {plan.on!r}, whose events are decided: give a frame; it may have no rows"
        )
    sources = [
        (number, open_frame(frame, name, assembly.schemas[name]))
        for number, (name, frame) in enumerate(given.items())
        if frame is not None
    ]
    after = {stream.name: stream.arrives_after_ns for stream in plan.streams}
    return HistoryIntake(assembly, sources, after, time.time_ns, keeps_times=answered is not None)


def _check_case(case: object) -> None:
    if not isinstance(case, UseCase):
        raise DefinitionError(
            f"{shown(case)} is no use case",
            at=user_line(),
            fix="give what hr.UseCase(...) made first",
        )


def _limits(threads: object) -> LaneLimits:
    if threads is None:
        return LaneLimits()
    if type(threads) is not int or threads < 1:
        raise DefinitionError(
            f"threads={threads!r}",
            at=user_line(),
            fix="give a whole number from 1 on, or None for all that the machine has",
        )
    return LaneLimits(threads=threads)


def _held(case: UseCase, frames: Frames) -> dict[str, pa.Table]:
    """The frames by name, as tables that can be read more than once."""
    _check_case(case)
    given: Mapping[str, Any] = frames if isinstance(frames, Mapping) else {case.plan.on: frames}
    return {name: frame if frame is None else table_of(frame) for name, frame in given.items()}


@checked
def compute(case: UseCase, frames: Frames, *, threads: int | None = None) -> pa.Table:
    """The features of every event of a frame, as they would be served.

    Args:
        case: The use case.
        frames: A frame of the decided stream, or a mapping of streams and tables to frames.
        threads: For the engine; None takes what the machine has. The result does not depend on it.

    Returns:
        An Arrow table with a row for each row of the decided stream's frame, in its order: `id`,
        `status` (accepted, duplicate, quarantined), `reason` (why it was quarantined), `refused`
        (the field that could not be read, its value, and what was expected), and the features; null
        where missing, or where the event was not accepted.

    Raises:
        DataError: When a frame's columns cannot be those of its stream.
    """
    held = _held(case, frames)
    intake = _intake(case, held)
    lane = Lane(case.definition(None), _KEY, _limits(threads))
    rows = FrameRows(case, held)
    categories: Sequence[str] = ()
    for inputs in intake.batches(0, _BATCH):
        first = lane.next_seq
        accepted = accept(lane, inputs)
        rows.judged(inputs, accepted.verdicts.verdict, accepted.verdicts.reason)
        rows.computed(inputs.position[accepted.seq - first], accepted.features.values)
        categories = accepted.features.categories
    return pa.table(rows.columns(categories))


@checked
def train(
    case: UseCase,
    frames: Frames,
    *,
    settings: TrainingSettings | None = None,
    alternative: Chosen | None = None,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
) -> Trained | TrainedDirection:
    """Train the use case's model on frames of history.

    Args:
        case: With a label and a model to be fitted.
        frames: The decided stream and that of its labels, by name, and whatever features read; a
            label of direction needs no labels.
        settings: How history is parted.
        alternative: What `hr.alternatives(...).choose(number, because=...)` gave, to train that
            model in place of the declared one, and to record the choice in its manifest.
        progress: Called with (what is done, done, of how many).

    Returns:
        The artefact, and what it was judged on; `decide` takes the artefact as its model.

    Raises:
        DefinitionError: When the use case has no label, or no model to fit.
        DataError: When the history is too short, or has no positives.
    """
    lane = Lane(case.definition(None), _KEY)
    if case.direction is not None:
        if alternative is not None:
            raise DefinitionError(
                "an alternative is of a model of labels, and the label is a direction",
                at=user_line(),
                fix="leave alternative= out",
            )
        return train_direction(
            case,
            lane,
            _intake(case, frames).batches(0, _BATCH),
            settings=settings.folds if settings else None,
            progress=progress,
        )
    labels = case.label.stream.name if case.label is not None else None
    history = _intake(case, frames, labels=labels).batches(0, _BATCH)
    return train_model(
        case, lane, history, settings=settings, alternative=alternative, progress=progress
    )


@checked
def alternatives(  # noqa: PLR0913 - each is asked for by name
    case: UseCase,
    frames: Frames,
    *,
    by: Mapping[str, Sequence[float]],
    count: int = 24,
    folds: int = 5,
    approved: float = 0.8,
    seed: int = 0,
    settings: TrainingSettings | None = None,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
) -> Alternatives:
    """Search for models that are as accurate, and weigh less on a protected group.

    Args:
        case: With a label and a model to be fitted.
        frames: As of `train`.
        by: Protected attributes to measure by; for one that is a number, where its bands begin:
            `{"sex": (), "age": (30, 62)}`.
        count: Models to fit, the declared one among them.
        folds: Parts of the events; each is judged by models of the others.
        approved: Share of the events that every model approves: its lowest scores.
        seed: Of folds, and of how models are drawn.
        settings: How history is parted: events of the test part take no part in the search.
        progress: Called with (what is done, done, of how many).

    Raises:
        DefinitionError: When an attribute is no protected field, or there is nothing to fit.
        DataError: When the history is too short, or a group too small.
    """
    search = SearchSettings(by, count, folds, approved, seed)
    labels = case.label.stream.name if case.label is not None else None
    history = _intake(case, frames, labels=labels).batches(0, _BATCH)
    lane = Lane(case.definition(None), _KEY)
    split = (settings or TrainingSettings()).split
    return search_history(case, lane, history, split, search, progress=progress)


@checked
def decide(
    case: UseCase,
    frames: Frames,
    *,
    model: Artefact | None = None,
    policy: Policy | None = None,
    counterparty: Counterparty | None = None,
    threads: int | None = None,
) -> pa.Table:
    """The decisions on every event of a frame, as they would be made.

    Args:
        case: The use case.
        frames: A frame of the decided stream, or a mapping of streams and tables to frames.
        model: What scores, as `hr.train(...).artefact` or `hr.import_model(case, path)`; None takes
            the model file that the use case names, or decides by rules alone where it declares no
            model.
        policy: In place of the use case's own.
        counterparty: Hears the decisions, and answers with events of a stream, which later ones
            know of; a frame of that stream is not needed.
        threads: For the engine; None takes what the machine has. The result does not depend on it.

    Returns:
        What `compute` returns, with `margin`, `score`, `outcome`, `rule` (the first that matched),
        `rules` (all), and `reasons` (features that raised the score, the most first, and by how
        much each raised the margin).

    Raises:
        DataError: When a frame's columns cannot be those of its stream.
        NotFound: When the use case declares a model that is to be trained, and none is given.
    """
    return OpenLane(case, model, policy, threads).decide(frames, counterparty)


@checked
def open_lane(
    case: UseCase,
    *,
    model: Artefact | None = None,
    policy: Policy | None = None,
    threads: int | None = None,
) -> OpenLane:
    """A lane that is fed frame after frame, as a stream that goes on is.

    Args:
        case: The use case.
        model: As in `decide`.
        policy: As in `decide`.
        threads: As in `decide`.

    Raises:
        NotFound: As `decide`.
    """
    return OpenLane(case, model, policy, threads)


class OpenLane:
    """What has been known so far, and decisions on what comes; made by `open_lane`.

    What is decided is what `decide` says of all frames at once, where each call's events are known
    after those of the call before.
    """

    def __init__(
        self, case: UseCase, model: Artefact | None, policy: Policy | None, threads: int | None
    ) -> None:
        served = _served(case, model)
        self._case = case
        self._lane = Lane(case.definition(served, policy), _KEY, _limits(threads))

    def decide(self, frames: Frames, counterparty: Counterparty | None = None) -> pa.Table:
        """The decisions on every event of the decided stream's frame.

        Args:
            frames: As in the function `decide`.
            counterparty: Likewise; another call's frames are known to it as to the lane.

        Raises:
            DataError: When a frame's columns cannot be those of its stream.
        """
        case, lane = self._case, self._lane
        held = _held(case, frames)
        rows = FrameRows(case, held)
        width = len(lane.definition.columns)
        nothing = JournalBatch(0, JournaledInputs.empty(), decisions=Decisions.empty(width))
        parts = [decision_columns(lane.definition, nothing, nothing.inputs.position)]
        for inputs, batch in self._stepped(held, counterparty):
            rows.judged(inputs, batch.inputs.kind, batch.inputs.reason)
            positions = inputs.position[batch.decisions.seq - batch.first_seq]
            rows.computed(positions, batch.decisions.features[: len(case.plan.features)])
            parts.append(decision_columns(lane.definition, batch, positions))
        made = pa.concat_tables(parts).sort_by("position")
        taken = np.full(len(rows.decided), -1, dtype=np.int64)
        taken[made["position"].to_numpy()] = np.arange(len(made))
        places = pa.array(taken, mask=~rows.decided)
        columns = rows.columns(lane.engine.categories)
        for name in made.column_names[1:]:
            columns[name] = made[name].combine_chunks().take(places)
        return pa.table(columns)

    def _stepped(
        self, frames: Mapping[str, Any], counterparty: Counterparty | None
    ) -> Iterator[tuple[Inputs, JournalBatch]]:
        """What went in, and what was decided on it, batch by batch."""
        case, lane = self._case, self._lane
        if counterparty is None:
            for inputs in _intake(case, frames).batches(0, _BATCH):
                yield inputs, step(lane, inputs)
            return
        assembly = Assembly(case.plan, None)
        history = _intake(case, frames, assembly=assembly, answered=counterparty.stream)
        names = [*frames, source_of(counterparty)]
        numbers = {name: number for number, name in enumerate(names)}
        loop = ClosedLoop(lane.definition, assembly, history, counterparty, numbers, time.time_ns)
        for inputs in loop.inputs(0, _BATCH):
            batch = step(lane, inputs)
            yield inputs, batch
            loop.heard(batch)


def _served(case: UseCase, model: Artefact | None) -> Model | None:
    """What scores: the model given, or the file that the use case names."""
    _check_case(case)
    if model is not None and not isinstance(model, Artefact):
        raise DefinitionError(
            f"model={shown(model)} is no artefact",
            at=user_line(),
            fix="give hr.train(...).artefact, or hr.import_model(case, path)",
        )
    if model is None and isinstance(case.model, ModelFile | Onnx):
        model = import_declared(case, case.model)
    if model is not None:
        return served_model(case, model)
    if case.model is not None:
        raise NotFound(
            f"{case.name} is scored by hr.{type(case.model).__name__}(), and no trained model was"
            " given: train one by trained = hr.train(case, frames), and give"
            " model=trained.artefact; without model= in its hr.UseCase it decides by rules alone"
        )
    return None


@checked
def backtest(
    case: UseCase,
    frames: Frames,
    *,
    model: Artefact | None = None,
    new_model: Artefact | None = None,
    new_policy: Policy | None = None,
    amount: str | None = None,
) -> Backtest:
    """What another model or policy would have changed over a history.

    Args:
        case: The use case as it is.
        frames: The decided stream, that of its labels if precision and recall are asked for, and
            whatever features read.
        model: What scores now; None as in `decide`.
        new_model: What would score; the same when None.
        new_policy: What would decide; the use case's own when None.
        amount: The feature that says what an event is worth; the first that is money when None.

    Raises:
        DataError: When a frame's columns cannot be those of its stream.
        NotFound: When the use case declares a model that is to be trained, and none is given.
    """
    served = _served(case, model)
    changed = _served(case, new_model) if new_model is not None else served
    intake = _intake(case, frames)
    return run_backtest(
        Lane(case.definition(served), _KEY),
        case.definition(changed, new_policy),
        case.label,
        intake.batches(0, _BATCH),
        amount=amount,
    )
