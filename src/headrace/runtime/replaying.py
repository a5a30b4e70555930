"""`headrace replay`: decisions from the journaled inputs alone, compared byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.journal.reader import stored_batches
from headrace.lifecycle.registry import Registry
from headrace.models.classes import class_columns
from headrace.models.serving import served
from headrace.pipeline.lane import Definition, Lane
from headrace.pipeline.replay import (
    Difference,
    RecordedScores,
    first_difference,
    inputs_of,
    ranks_under,
    rebuild,
)
from headrace.pipeline.step import accept
from headrace.policy.evaluate import CompiledPolicy
from headrace.runtime.definitions import Definitions
from headrace.runtime.local_lane import EXPLAINING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headrace.journal.header import JournalHeader
    from headrace.pipeline.lane import LaneLimits
    from headrace.runtime.home import Home


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay found.

    Attributes:
        inputs: How many were put through again and compared.
        decisions: How many of them were decided.
        difference: The first that did not come out the same; None if all did.
        furthest: The most that a score recomputed from the journaled one, of a model whose scores
            are inputs; None where there was none, or what scores is not installed.
    """

    inputs: int
    decisions: int
    difference: Difference | None
    furthest: float | None = None


def replay(
    folder: Path,
    definition_of: Callable[[JournalHeader], Definition],
    *,
    from_seq: int = 0,
    limits: LaneLimits | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> Replayed:
    """Put the inputs of a journal through `step` again.

    The state is rebuilt from the first input on; records before `from_seq` are not compared. Where
    the journal's header changes (another model or policy), what decides changes with it.

    Args:
        folder: The journal.
        definition_of: What was in force under a header.
        from_seq: The first input to compare.
        limits: Of the lane.
        progress: Called with the inputs done.

    Raises:
        NotFound: When what was in force is not to be had.
    """
    lane: Lane | None = None
    under = ""
    inputs = decisions = 0
    scores = RecordedScores()
    for stored in stored_batches(folder):
        header = stored.header
        key = f"{header.definition}/{header.model}/{header.policy}/{header.tables[EXPLAINING]}"
        if lane is None:
            lane = Lane(definition_of(header), (0, 0), limits)
        elif key != under:
            lane = _changed(folder, lane, definition_of(header), limits)
        under = key
        batch = stored.batch()
        rebuilt = rebuild(lane, batch, scores)
        progress(lane.next_seq)
        if rebuilt is None or batch.next_seq <= from_seq:
            continue
        difference = first_difference(batch, rebuilt, header) or _too_far(lane, scores)
        if difference is not None:
            return Replayed(inputs, decisions, difference, scores.furthest)
        inputs += len(batch)
        decisions += len(batch.decisions)
    return Replayed(inputs, decisions, None, scores.furthest)


def _too_far(lane: Lane, scores: RecordedScores) -> Difference | None:
    """The score that recomputed further from the journaled one than its model allows."""
    model = lane.definition.model
    if model is None or model.exact or scores.furthest is None:
        return None
    if scores.furthest <= model.tolerance:
        return None
    return Difference(
        scores.seq,
        f"its score recomputes {scores.furthest:.3g} away, and the model says"
        f" {model.tolerance:.3g} at most",
    )


def _changed(folder: Path, lane: Lane, definition: Definition, limits: LaneLimits | None) -> Lane:
    """A lane of another definition, at the same place."""
    if definition.plan == lane.definition.plan:
        lane.definition = definition
        return lane
    # other features: their state comes of the same inputs, from the first on

    fresh = Lane(definition, (0, 0), limits)
    for stored in stored_batches(folder):
        if fresh.next_seq == lane.next_seq:
            break
        batch = stored.batch()
        if batch.controls:
            fresh.next_seq = batch.next_seq
        else:
            accept(fresh, inputs_of(batch, ranks_under(stored.header, definition.plan)))
    return fresh


def recorded_definitions(home: Home, use_case: str) -> Callable[[JournalHeader], Definition]:
    """What was in force under a header, from what the home keeps: no file of the user's is read."""
    definitions = Definitions(home.definitions)
    registry = Registry(home.models)

    def definition(header: JournalHeader) -> Definition:
        plan = definitions.plan(header.definition)
        policy = definitions.policy(header.policy)
        model = served(registry.load(header.model), plan) if header.model else None
        compiled = None
        if policy is not None:
            columns = plan.features + class_columns(model.classes if model else ())
            compiled = CompiledPolicy(policy, columns, plan.stream(plan.on).schema)
        explaining = definitions.explaining(header.tables[EXPLAINING])
        return Definition(use_case, plan, model, compiled, explaining)

    return definition


def seq_at(folder: Path, received_ns: int) -> int:
    """The first input of a journal that was received at or after a time."""
    end = 0
    for stored in stored_batches(folder):
        received = stored.batch().inputs.received_ns
        later = np.flatnonzero(received >= received_ns)
        if len(later):
            return stored.link.first_seq + int(later[0])
        end = stored.link.next_seq
    return end
