"""The demo of a use case that is labelled with a direction: its decisions held against the moves.

A decision acts on a direction where its rule asks about the score of one; it was right where the
value then moved that way by more than the threshold that training set.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet

from headrace.core.errors import DataError, invariant
from headrace.definitions.directions import DIRECTIONS
from headrace.lifecycle.classification import class_metrics
from headrace.lifecycle.directions import classes_of, moves
from headrace.models.classes import class_columns
from headrace.policy.conditions import operands
from headrace.runtime.demo import ALARM_SEVERITY, Judged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Floats
    from headrace.lifecycle.classification import ClassMetrics
    from headrace.models.artefact import Manifest
    from headrace.pipeline.use_case import UseCase
    from headrace.runtime.demo import DemoFolder


@dataclass(frozen=True, slots=True)
class JudgedDirections:
    """The decisions after the end of history, and where the value went.

    Attributes:
        judged: The same as a demo of label events has it: positive is what was acted on rightly,
            alarmed what was acted on, worth the score that it was acted on by.
        truth: Number of the direction that each went; -1 where that is not known.
        told: Number of the direction of the highest score.
        metrics: Of the scores, over events whose direction is known.
        threshold: The least move that is not flat.
    """

    judged: Judged
    truth: NDArray[np.int8]
    told: NDArray[np.int64]
    metrics: ClassMetrics
    threshold: float


def acting_outcomes(case: UseCase) -> list[str]:
    """The outcomes that act on a direction: those of rules that ask about the score of one."""
    names = {column.name for column in class_columns(DIRECTIONS)}
    rules = case.policy.rules if case.policy else ()
    found = {
        rule.outcome.name
        for rule in rules
        if rule.outcome.severity >= ALARM_SEVERITY
        and any(operand.name in names for operand in operands(rule.condition))
    }
    return sorted(found)


def judge_directions(
    case: UseCase, manifest: Manifest, place: DemoFolder, since_ns: int
) -> JudgedDirections:
    """Hold the decisions against the moves that followed.

    Args:
        case: With a label of direction.
        manifest: Of its model, which says the threshold.
        place: Where the decisions are.
        since_ns: When history ended: the model has seen what was before.

    Raises:
        DataError: When nothing was decided after the end of history, or no move is known.
    """
    label = case.direction
    invariant(label is not None, "a demo of directions has a label of one")
    assert label is not None
    at_name = case.on.definition.event_time
    # a feature that is called as a field is told apart from it
    names = [column.name for column in class_columns(DIRECTIONS)] + [label.feature]
    fields = case.on.definition.schema.names
    *scored, value = [f"feature_{name}" if name in fields else name for name in names]
    read = [at_name, label.key, "seq", "received", "outcome", "rule", "reasons", value, *scored]
    table = pyarrow.parquet.read_table(place.decisions, columns=read)
    table = table.filter(table["received"].cast("int64").to_numpy() >= since_ns)
    if len(table) == 0:
        raise DataError("nothing was decided after the end of history: simulate more days")
    scores = np.array([_floats(table[name]) for name in scored])
    _, series = np.unique(np.array(table[label.key].to_pylist()), return_inverse=True)
    at = table[at_name].cast("int64").to_numpy()
    made = moves(_floats(table[value]), at, series, after_ns=label.after_ns, events=label.events)
    threshold = float(manifest.label["threshold"])
    truth = classes_of(made.size, threshold)
    known = truth >= 0
    if not known.any():
        raise DataError("no move after the end of history is known: simulate more events")
    told = scores.argmax(axis=0)
    outcome = np.array(table["outcome"].to_pylist())
    acted = np.isin(outcome, acting_outcomes(case))
    first = (given[0]["feature"] for given in table["reasons"].to_pylist() if given)
    judged = Judged(
        seq=table["seq"].to_numpy(),
        score=scores[0],
        positive=acted & (told == truth),
        worth=scores.max(axis=0),
        outcome=outcome,
        rule=np.array(table["rule"].to_pylist()),
        alarmed=acted,
        reasons=dict(Counter(first).most_common()),
    )
    metrics = class_metrics(truth[known], scores[:, known], DIRECTIONS)
    return JudgedDirections(judged, truth, told, metrics, threshold)


def _floats(column: pyarrow.ChunkedArray) -> Floats:
    values: Floats = column.cast("float64").to_numpy(zero_copy_only=False)
    return values
