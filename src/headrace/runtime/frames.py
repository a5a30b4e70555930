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
from headrace.core.columns import CATEGORICAL, Kind, category_text
from headrace.core.errors import DataError, DefinitionError, NotFound
from headrace.definitions.calls import checked, shown
from headrace.definitions.source_lines import user_line
from headrace.events.frames import read as frames_read
from headrace.events.frames import table_of
from headrace.events.reasons import Reason
from headrace.events.schema import Role, Schema
from headrace.journal.batch import Decisions, Inputs, JournalBatch
from headrace.lifecycle.alternatives import SearchSettings, search_history
from headrace.lifecycle.backtest import backtest as run_backtest
from headrace.lifecycle.direction_training import TrainedDirection, train_direction
from headrace.lifecycle.training import Trained, TrainingSettings
from headrace.lifecycle.training import train as train_model
from headrace.models.artefact import Artefact
from headrace.models.onnx_specification import Onnx
from headrace.models.specification import ModelFile
from headrace.pipeline.acceptance import Verdict
from headrace.pipeline.lane import Lane, LaneLimits
from headrace.pipeline.step import accept, step
from headrace.pipeline.use_case import UseCase
from headrace.runtime.intake import Assembly, HistoryIntake
from headrace.runtime.models import import_declared, served_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Floats, Int64s
    from headrace.definitions.plan import Feature
    from headrace.lifecycle.alternatives import Alternatives, Chosen
    from headrace.lifecycle.backtest import Backtest
    from headrace.models.serving import Model
    from headrace.pipeline.inputs import Inputs as GatheredInputs
    from headrace.pipeline.lane import Definition
    from headrace.policy.policy import Policy

#: A frame, or a frame for each stream and table by name.
Frames: TypeAlias = Any

_BATCH = 16_384
#: What was wrong with a row: as quarantine says it of an event.
_REFUSED = pa.struct([(name, pa.string()) for name in ("field", "value", "expected")])
#: Nothing is kept across calls, so the key of the hashes of ids needs no secrecy.
_KEY = (0, 0)


def _intake(case: UseCase, frames: Frames, *, labels: str | None = None) -> HistoryIntake:
    """The frames in known order; `labels` is the stream of labels where they are needed."""
    _check_case(case)
    plan = case.plan
    given: Mapping[str, Any] = frames if isinstance(frames, Mapping) else {plan.on: frames}
    assembly = Assembly(plan, None)
    for name in given:
        if name not in assembly.names:
            raise DataError(
                f"a frame is called {name!r}, and {case.name} reads {', '.join(assembly.names)}:"
                " call it as one of them"
            )
    lacking = [name for name in (*plan.read(), labels) if name and name not in given]
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
    return HistoryIntake(assembly, sources, after, time.time_ns)


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


class _Rows:
    """What became of each row of the decided stream's frame, in the frame's order."""

    def __init__(self, case: UseCase, frames: Mapping[str, Any]) -> None:
        self.case = case
        self.rank = [stream.name for stream in case.plan.streams].index(case.plan.on)
        self.ids = _ids(case, frames[case.plan.on])
        rows = len(self.ids)
        self.verdict = np.full(rows, Verdict.QUARANTINED, dtype=np.uint8)
        self.reason = np.zeros(rows, dtype=np.uint16)
        self.features = np.full((len(case.plan.features), rows), np.nan)
        self.decided = np.zeros(rows, dtype=bool)
        self.told: dict[int, dict[str, str]] = {}

    def judged(
        self, inputs: GatheredInputs, verdicts: NDArray[np.uint8], reasons: NDArray[np.uint16]
    ) -> None:
        """Note what became of the inputs of one batch."""
        mine = np.flatnonzero(inputs.stream == self.rank)
        self.verdict[inputs.position[mine]] = verdicts[mine]
        self.reason[inputs.position[mine]] = reasons[mine]
        refused = inputs.refused
        for place, index in enumerate(refused.index.tolist()):
            if inputs.stream[index] == self.rank:
                self.told[int(inputs.position[index])] = {
                    "field": refused.fields[place],
                    "value": refused.values[place],
                    "expected": refused.expected[place],
                }

    def computed(self, positions: Int64s, values: Floats) -> None:
        """Note the features of the rows at `positions`."""
        self.features[:, positions] = values
        self.decided[positions] = True

    def columns(self, categories: Sequence[str]) -> dict[str, pa.Array]:
        """Id, status, what was wrong, and features, as Arrow columns."""
        names = np.array(["accepted", "duplicate", "quarantined"])
        texts = {int(reason): reason.text for reason in Reason}
        columns: dict[str, pa.Array] = {
            "id": pa.array(self.ids, pa.string()),
            "status": pa.array(names[self.verdict]),
            "reason": pa.array([texts.get(int(code)) for code in self.reason], pa.string()),
        }
        columns["refused"] = pa.array(
            [self.told.get(row) for row in range(len(self.ids))], _REFUSED
        )
        for number, feature in enumerate(self.case.plan.features):
            columns[feature.name] = _feature_column(feature, self.features[number], categories)
        return columns


def _ids(case: UseCase, table: pa.Table) -> NDArray[np.object_]:
    """The id of every row of the decided stream's frame, where there is one to be read.

    A row that is refused for another field is known by its id all the same.
    """
    ids = np.full(len(table), None, dtype=object)
    schema = case.plan.stream(case.plan.on).schema
    id_field = schema.having(Role.ID)
    if id_field is not None and id_field.name in table.column_names:
        for chunk in frames_read(table):
            parsed = chunk.parsed(Schema(schema.name, (id_field,)))
            ids[chunk.first + parsed.rows] = parsed.batch.text(id_field.name).strings()
    return ids


def _held(case: UseCase, frames: Frames) -> dict[str, pa.Table]:
    """The frames by name, as tables that can be read more than once."""
    _check_case(case)
    given: Mapping[str, Any] = frames if isinstance(frames, Mapping) else {case.plan.on: frames}
    return {name: frame if frame is None else table_of(frame) for name, frame in given.items()}


def _feature_column(feature: Feature, values: Floats, categories: Sequence[str]) -> pa.Array:
    """A feature as people read it: categories as text, counts as integers."""
    missing = np.isnan(values)
    if feature.kind in CATEGORICAL:
        codes = np.unique(values[~missing]).astype(np.int64)
        texts = {int(code): category_text(feature.kind, int(code), categories) for code in codes}
        return pa.array(
            [
                None if gone else texts[int(value)]
                for gone, value in zip(missing, values, strict=True)
            ],
            pa.string(),
        )
    if feature.kind in (Kind.INT, Kind.BOOL):
        whole = np.where(missing, 0.0, values).astype(np.int64)
        column = pa.array(whole, mask=missing)
        return column.cast(pa.bool_()) if feature.kind is Kind.BOOL else column
    return pa.array(values, mask=missing)


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
    rows = _Rows(case, held)
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
        threads: For the engine; None takes what the machine has. The result does not depend on it.

    Returns:
        What `compute` returns, with `margin`, `score`, `outcome`, `rule` (the first that matched),
        `rules` (all), and `reasons` (features that raised the score, the most first, and by how
        much each raised the margin).

    Raises:
        DataError: When a frame's columns cannot be those of its stream.
        NotFound: When the use case declares a model that is to be trained, and none is given.
    """
    return OpenLane(case, model, policy, threads).decide(frames)


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

    def decide(self, frames: Frames) -> pa.Table:
        """The decisions on every event of the decided stream's frame.

        Args:
            frames: As in the function `decide`.

        Raises:
            DataError: When a frame's columns cannot be those of its stream.
        """
        case, lane = self._case, self._lane
        held = _held(case, frames)
        intake = _intake(case, held)
        rows = _Rows(case, held)
        width = len(lane.definition.columns)
        nothing = JournalBatch(0, Inputs.empty(), decisions=Decisions.empty(width))
        parts = [_decision_columns(lane.definition, nothing, nothing.inputs.position)]
        for inputs in intake.batches(0, _BATCH):
            batch = step(lane, inputs)
            rows.judged(inputs, batch.inputs.kind, batch.inputs.reason)
            positions = inputs.position[batch.decisions.seq - batch.first_seq]
            rows.computed(positions, batch.decisions.features[: len(case.plan.features)])
            parts.append(_decision_columns(lane.definition, batch, positions))
        made = pa.concat_tables(parts).sort_by("position")
        taken = np.full(len(rows.decided), -1, dtype=np.int64)
        taken[made["position"].to_numpy()] = np.arange(len(made))
        places = pa.array(taken, mask=~rows.decided)
        columns = rows.columns(lane.engine.categories)
        for name in made.column_names[1:]:
            columns[name] = made[name].combine_chunks().take(places)
        return pa.table(columns)


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


def _decision_columns(definition: Definition, batch: JournalBatch, positions: Int64s) -> pa.Table:
    """Score, outcome, rules and reasons of one batch, each row with its place in the frame."""
    made = batch.decisions
    policy = definition.policy
    outcomes = np.array(policy.outcomes if policy else ["undecided"])
    names = [rule.name for rule in policy.policy.rules] if policy else []
    features = [feature.name for feature in definition.plan.features]
    reasons = [
        [
            {"feature": features[f], "contribution": float(made.reason_contribution[k, i])}
            for k, f in enumerate(made.reason_feature[:, i].tolist())
            if f >= 0
        ]
        for i in range(len(made))
    ]
    reason_type = pa.list_(pa.struct([("feature", pa.string()), ("contribution", pa.float64())]))
    rules = [
        [name for bit, name in enumerate(names) if mask >> bit & 1] for mask in made.rules.tolist()
    ]
    return pa.table(
        {
            "position": pa.array(positions),
            "margin": pa.array(made.margin, mask=np.isnan(made.margin)),
            "score": pa.array(made.score, mask=np.isnan(made.score)),
            **{
                column.name: pa.array(values, mask=np.isnan(values))
                for column, values in zip(
                    definition.columns[len(features) :],
                    made.features[len(features) :],
                    strict=True,
                )
            },
            "outcome": pa.array(outcomes[made.outcome], pa.string()),
            "rule": pa.array([names[r] if r >= 0 else None for r in made.rule], pa.string()),
            "rules": pa.array(rules, pa.list_(pa.string())),
            "reasons": pa.array(reasons, reason_type),
        }
    )


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
