"""Training sets: history through the serving kernels, labels as they were known.

History goes through the first half of `step`, in known order: a feature value here is the value
that would have been served, and a chargeback that arrives at night is not known at noon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import Batch, concatenated
from headrace.core.errors import DataError
from headrace.core.interning import TextTable
from headrace.core.sequences import Sequences
from headrace.events.schema import Role
from headrace.pipeline.acceptance import Verdict
from headrace.pipeline.step import accept

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from headrace.core.columns import Floats, Int64s, Text
    from headrace.definitions.labels import LabelDefinition
    from headrace.pipeline.inputs import Inputs
    from headrace.pipeline.lane import Lane

_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Decided events of a history, in known order.

    Attributes:
        values: Features by events.
        dictionary: Texts of category codes.
        at_ns: When each event happened.
        known_ns: When each was known.
        labelled_ns: When its label was known; the last representable time where none was.
        events: The events themselves.
        received: How many inputs there were.
        quarantined: How many of them were not accepted.
        duplicates: How many came again.
        end_ns: The last time at which anything was known.
        sequences: The last vectors of each event's key, where the plan has a sequence.
    """

    values: Floats
    dictionary: list[str]
    at_ns: Int64s
    known_ns: Int64s
    labelled_ns: Int64s
    events: Batch
    received: int
    quarantined: int
    duplicates: int
    end_ns: int
    sequences: Sequences | None = None

    def __len__(self) -> int:
        return len(self.at_ns)

    def labels(self, rows: NDArray[np.int64], as_known_at_ns: int) -> Floats:
        """1.0 for the events that were labelled by that time, else 0.0.

        Whether an unlabelled one may be called negative is a question of maturity: see
        `headrace.lifecycle.split`.
        """
        return (self.labelled_ns[rows] <= as_known_at_ns).astype(np.float64)


class _Gathering:
    """What is kept of a history while it goes by."""

    def __init__(self, lane: Lane, label: LabelDefinition | None) -> None:
        self.lane = lane
        self.label = label
        self.values: list[Floats] = []
        self.events: list[Batch] = []
        self.known: list[Int64s] = []
        self.referred: list[Text] = []
        self.labels_at: list[Int64s] = []
        self.labels_known: list[Int64s] = []
        self.counts = np.zeros(3, dtype=np.int64)
        self.end_ns = np.iinfo(np.int64).min
        self.dictionary: list[str] = []
        self.sequences: list[Sequences] = []

    def add(self, inputs: Inputs) -> None:
        """Put a batch through acceptance and features."""
        first = self.lane.next_seq
        accepted = accept(self.lane, inputs)
        verdicts = accepted.verdicts.verdict
        self.counts += np.bincount(verdicts, minlength=3)[:3]
        self.end_ns = max(self.end_ns, int(inputs.received_ns.max()))
        self.dictionary = list(accepted.features.categories)
        if len(accepted.seq):
            index = accepted.seq - first
            self.values.append(accepted.features.values)
            self.events.append(accepted.events)
            if accepted.features.sequences is not None:
                self.sequences.append(accepted.features.sequences)
            self.known.append(inputs.received_ns[index])
        if self.label is not None and self.label.stream.name in inputs.batches:
            self._add_labels(inputs, verdicts)

    def _add_labels(self, inputs: Inputs, verdicts: NDArray[np.uint8]) -> None:
        label = self.label
        assert label is not None
        names = [stream.name for stream in self.lane.definition.plan.streams]
        chosen = np.flatnonzero(
            (inputs.stream == names.index(label.stream.name)) & (verdicts == Verdict.ACCEPTED)
        )
        rows = inputs.batches[label.stream.name].take(inputs.row[chosen])
        self.referred.append(rows.text(label.reference))
        self.labels_at.append(rows.fixed(label.event_time).values)
        self.labels_known.append(inputs.received_ns[chosen])


def training_set(
    lane: Lane, label: LabelDefinition | None, history: Iterable[Inputs]
) -> TrainingSet:
    """Put a whole history through a fresh lane, and label its events.

    Args:
        lane: With nothing in it; it holds the state after the history then.
        label: What labels events; None labels nothing.
        history: In known order.

    Raises:
        DataError: When no event of the decided stream is accepted.
    """
    gathered = _Gathering(lane, label)
    for inputs in history:
        gathered.add(inputs)
    plan = lane.definition.plan
    if not gathered.values:
        raise DataError(
            f"no event of {plan.on!r} was accepted, of {int(gathered.counts.sum())} inputs;"
            " check that the history is of that stream (--source STREAM=FILE)"
        )
    events = concatenated(gathered.events)
    schema = plan.stream(plan.on).schema
    at_field, id_field = schema.having(Role.EVENT_TIME), schema.having(Role.ID)
    assert at_field is not None
    assert id_field is not None
    at_ns = events.fixed(at_field.name).values
    return TrainingSet(
        values=np.ascontiguousarray(np.concatenate(gathered.values, axis=1)),
        dictionary=gathered.dictionary,
        at_ns=at_ns,
        known_ns=np.concatenate(gathered.known),
        labelled_ns=_labelled(gathered, events.text(id_field.name), at_ns),
        events=events,
        received=int(gathered.counts.sum()),
        quarantined=int(gathered.counts[Verdict.QUARANTINED]),
        duplicates=int(gathered.counts[Verdict.DUPLICATE]),
        end_ns=int(gathered.end_ns),
        sequences=Sequences.joined(gathered.sequences) if gathered.sequences else None,
    )


def _labelled(gathered: _Gathering, ids: Text, at_ns: Int64s) -> Int64s:
    """When the label of each event was known, the earliest of those in time."""
    labelled = np.full(len(at_ns), _NEVER)
    if gathered.label is None or not gathered.referred:
        return labelled
    table = TextTable()
    codes = table.intern(ids)
    row_of = np.full(len(table), -1, dtype=np.int64)
    row_of[codes] = np.arange(len(codes))
    for referred, at, known in zip(
        gathered.referred, gathered.labels_at, gathered.labels_known, strict=True
    ):
        found = table.find(referred)
        hit = np.flatnonzero(found >= 0)
        rows = row_of[found[hit]]
        delay = at[hit] - at_ns[rows]
        timely = (delay >= 0) & (delay <= gathered.label.within_ns)
        np.minimum.at(labelled, rows[timely], known[hit][timely])
    return labelled
