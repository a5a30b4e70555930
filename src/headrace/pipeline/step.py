"""`step`: the one function that decides.

    accept -> features -> score -> policy -> record

Everything that drives Headrace calls it: runs over files and streams, services, training,
back-tests, replay. It reads no clock, draws nothing at random, and knows nothing of where inputs
come from or where records go.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Protocol

import numpy as np
from msgspec import Struct

from headrace.core.columns import Batch, Text
from headrace.core.errors import invariant
from headrace.engine.rows import StreamRows
from headrace.journal.batch import (
    MARK_BACKFILLED,
    Decisions,
    InputKind,
    JournalBatch,
    Quarantined,
)
from headrace.journal.batch import (
    Inputs as JournaledInputs,
)
from headrace.pipeline.acceptance import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Floats, Int64s
    from headrace.core.sequences import Sequences
    from headrace.definitions.plan import StreamPlan, TablePlan
    from headrace.engine.rows import Features
    from headrace.models.scores import Scores
    from headrace.models.serving import Model
    from headrace.pipeline.acceptance import Verdicts
    from headrace.pipeline.inputs import Inputs
    from headrace.pipeline.lane import Definition, Lane

#: Up to so many values, NumPy takes longer to begin than Python to end.
_FEW = 512


class Scoring(Protocol):
    """Where scores come from: the model, or the journal in a replay."""

    def __call__(
        self, model: Model, taken: Floats, sequences: Sequences | None, seq: Int64s
    ) -> Scores:
        """The scores of events with these sequence numbers."""


def by_the_model(
    model: Model,
    taken: Floats,
    sequences: Sequences | None,
    seq: Int64s,  # noqa: ARG001 - as the journal needs it
) -> Scores:
    """The scores that a model gives now."""
    return model.score(taken, sequences)


class Accepted(Struct, frozen=True):
    """What was accepted of a batch of inputs.

    Attributes:
        verdicts: Of every input.
        events: The decided stream's accepted events.
        seq: Their sequence numbers, ascending.
        features: Of those events.
    """

    verdicts: Verdicts
    events: Batch
    seq: Int64s
    features: Features


def accept(lane: Lane, inputs: Inputs) -> Accepted:
    """The first half of `step`: judge inputs and compute the features of the decided events.

    This half is all that training needs. The lane's state moves on, and its next sequence number.
    """
    plan = lane.definition.plan
    first_seq = lane.next_seq
    verdicts = lane.acceptance.judge(inputs, first_seq)
    streams = _accepted_rows(inputs, verdicts, first_seq, plan.streams, 0)
    tables = _accepted_rows(inputs, verdicts, first_seq, plan.tables, len(plan.streams))
    features = lane.engine.compute(streams, tables)
    lane.next_seq = first_seq + len(inputs)
    decided = streams.get(plan.on)
    if decided is None:
        return Accepted(verdicts, Batch({}, 0), np.zeros(0, dtype=np.int64), features)
    if plan.admitted:
        _leave_out_late(plan.stream(plan.on), decided, features)
    return Accepted(verdicts, decided.batch, decided.sequence, features)


def _leave_out_late(stream: StreamPlan, rows: StreamRows, features: Features) -> None:
    """Take the features away of events that look back further than state is held for.

    Where a lane judges its inputs itself there are none: they are quarantined as late.
    """
    at = rows.batch.fixed(stream.event_time).values
    late = rows.watermark_ns - at > stream.lateness_ns
    features.values[:, late] = np.nan


def _accepted_rows(
    inputs: Inputs,
    verdicts: Verdicts,
    first_seq: int,
    sources: Sequence[StreamPlan | TablePlan],
    rank: int,
) -> dict[str, StreamRows]:
    """The rows that were accepted of each of these streams or tables, whose ranks begin there."""
    every, size = verdicts.all_accepted, len(inputs)
    accepted = None if every else verdicts.are(Verdict.ACCEPTED)
    found = {}
    for number, source in enumerate(sources, rank):
        batch = inputs.batches.get(source.name)
        if not batch:
            continue
        if every and batch.rows == size:
            sequence = np.arange(first_seq, first_seq + size)
            found[source.name] = StreamRows(batch, sequence, verdicts.watermark)
            continue
        mine = inputs.stream == number
        chosen = (mine if accepted is None else mine & accepted).nonzero()[0]
        if len(chosen) < batch.rows:
            batch = batch.take(inputs.row[chosen])
        found[source.name] = StreamRows(batch, chosen + first_seq, verdicts.watermark[chosen])
    return found


def step(lane: Lane, inputs: Inputs, scoring: Scoring = by_the_model) -> JournalBatch:
    """Decide a batch of inputs, in known order, and move the lane's state on.

    Args:
        lane: With the state.
        inputs: What came in.
        scoring: Where scores come from.

    Returns:
        What the journal keeps: every input with what became of it, and the decisions.

    Raises:
        LimitReached: When the state would pass its limit; nothing of the batch is decided.
    """
    first_seq = lane.next_seq
    accepted = accept(lane, inputs)
    decisions = decide(
        lane.definition,
        accepted.features.values,
        accepted.features.categories,
        accepted.events,
        accepted.seq,
        sequences=accepted.features.sequences,
        backfilled=accepted.verdicts.backfill,
        scoring=scoring,
    )
    verdicts = accepted.verdicts
    kind, original = verdicts.verdict, verdicts.original
    if verdicts.backfill:
        kind = np.where(verdicts.are(Verdict.ACCEPTED), np.uint8(InputKind.BACKFILL), kind)
    if not verdicts.all_accepted:
        original = np.where(verdicts.are(Verdict.DUPLICATE), original, -1)
    return JournalBatch(
        first_seq=first_seq,
        inputs=JournaledInputs(
            stream=inputs.stream,
            kind=kind,
            row=inputs.row,
            source=inputs.source,
            position=inputs.position,
            received_ns=inputs.received_ns,
            reason=verdicts.reason,
            original_seq=original,
            read_ns=inputs.read_ns,
        ),
        events=inputs.batches,
        decisions=decisions,
        quarantined=_quarantined(inputs, verdicts, first_seq),
        positions=inputs.next_positions,
        categories=_categories(lane.definition.texts, accepted.features),
    )


def _categories(texts: list[int], computed: Features) -> dict[int, str]:
    """What the codes of texts stand for, which are among the features at these places."""
    if not texts:
        return {}
    values = computed.values[texts]
    if values.size <= _FEW:
        known = sorted({int(code) for code in values.ravel().tolist() if not isnan(code)})
    else:
        codes = np.unique(values)
        known = codes[~np.isnan(codes)].astype(int).tolist()
    return {code: computed.categories[code] for code in known}


def decide(
    definition: Definition,
    values: Floats,
    categories: Sequence[str],
    events: Batch,
    seq: Int64s,
    *,
    sequences: Sequences | None = None,
    backfilled: bool = False,
    scoring: Scoring = by_the_model,
) -> Decisions:
    """The second half of `step`: score, policy and reasons of events with their features.

    Args:
        definition: What decides.
        values: Features by events.
        categories: What the codes of text categories stand for.
        events: The events, in the same order.
        seq: Their sequence numbers.
        sequences: The last vectors of their keys, where the plan has a sequence.
        backfilled: Whether they came back from quarantine.
        scoring: Where scores come from.
    """
    count = len(seq)
    if count == 0:
        return Decisions.empty(len(definition.columns))
    invariant(values.shape[1] == count, "every accepted event has features")
    taken = values
    if definition.model is None:
        margin = score = np.full(count, np.nan)
    else:
        taken = definition.model.taken(values, categories)
        scores = scoring(definition.model, taken, sequences, seq)
        margin, score = scores.margin, scores.probability
        if len(scores.classes):
            values = np.concatenate([values, scores.classes])
    if definition.policy is None:
        outcome = np.zeros(count, dtype=np.uint8)
        rule = np.full(count, -1, dtype=np.int16)
        rules = np.zeros(count, dtype=np.uint64)
    else:
        decided = definition.policy.evaluate(values, score, events)
        outcome, rule, rules = decided.outcome, decided.rule, decided.rules
    feature, contribution = _reasons(definition, taken, outcome, rule)
    marks = np.zeros(count, dtype=np.uint8)
    if backfilled:
        marks[:] = MARK_BACKFILLED
    return Decisions(
        seq=seq,
        features=values,
        margin=margin,
        score=score,
        reason_feature=feature,
        reason_contribution=contribution,
        rules=rules,
        rule=rule,
        outcome=outcome,
        arm=np.zeros(count, dtype=np.uint8),
        marks=marks,
    )


def _reasons(
    definition: Definition, taken: Floats, outcome: NDArray[np.uint8], rule: NDArray[np.int16]
) -> tuple[NDArray[np.int16], Floats]:
    """Reason codes of the decisions that carry some."""
    count = taken.shape[1]
    feature = np.empty((definition.explaining.most, count), dtype=np.int16)
    feature.fill(-1)
    contribution = np.zeros((definition.explaining.most, count))
    if definition.model is None or definition.explaining.most == 0:
        return feature, contribution
    everyone = definition.explaining.everyone or definition.policy is None
    rows = np.arange(count) if everyone else outcome.nonzero()[0]
    if len(rows):
        of = definition.explained[rule[rows]]
        found, added = definition.model.reasons(taken, rows, definition.explaining.most, of)
        feature[:, rows] = found
        contribution[:, rows] = added
    return feature, contribution


def _quarantined(inputs: Inputs, verdicts: Verdicts, first_seq: int) -> Quarantined:
    """What is said of each quarantined input: by the door, or by acceptance."""
    if verdicts.all_accepted:
        return Quarantined.empty()
    index = verdicts.are(Verdict.QUARANTINED).nonzero()[0]
    if len(index) == 0:
        return Quarantined.empty()
    refused = inputs.refused
    place: Mapping[int, int] = {int(row): at for at, row in enumerate(refused.index)}
    at = [place.get(int(row), -1) for row in index]

    def told(items: tuple[str, ...]) -> Text:
        return Text.of([items[k] or None if k >= 0 else None for k in at])

    return Quarantined(
        seq=index + first_seq,
        field=told(refused.fields),
        value=told(refused.values),
        expected=told(refused.expected),
        vault=told(refused.references),
        length=np.array([refused.lengths[k] if k >= 0 else 0 for k in at], dtype=np.int64),
    )
