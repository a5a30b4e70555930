"""The sequence that a decision was scored on, out of the journal.

The journal does not hold the tensor: its vectors are the features of earlier decisions, each
recorded once where it was made. So the journal is read backwards from a decision until all vectors
of its key are found that it can have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import Text
from headrace.journal.batch import MARK_BACKFILLED
from headrace.journal.reader import segment_starts, stored_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.core.columns import Column
    from headrace.definitions.plan import Plan
    from headrace.definitions.sequence_plan import SequencePlan
    from headrace.journal.reader import StoredBatch
    from headrace.runtime.journals import Place


@dataclass(frozen=True, slots=True)
class Vector:
    """One vector of a sequence.

    Attributes:
        decision: Id of the decision that it was made for.
        values: Features by name; None where missing.
    """

    decision: str
    values: dict[str, float | None]


def sequence_of(place: Place, plan: Plan) -> tuple[Vector, ...]:
    """The vectors that a decision was scored on, its own last.

    An event that came back from quarantine may have been scored on fewer: on those that state still
    held. Vectors made under another definition are not among them.

    Args:
        place: Of the decision.
        plan: Of its definition; without a sequence there are none.

    Raises:
        NotFound: The journal does not reach there.
    """
    said = plan.sequence
    if said is None:
        return ()
    looking = _Looking(place, plan, said)
    for stored in _backwards(place):
        if stored.header.definition != looking.definition or looking.take(stored):
            break
    return looking.found()


def _backwards(place: Place) -> Iterator[StoredBatch]:
    """The batches of a journal up to a decision's, the last first."""
    end = place.seq + 1
    for start in reversed(segment_starts(place.folder)):
        if start >= end:
            continue
        inside = []
        for stored in stored_batches(place.folder, start):
            if stored.link.first_seq >= end:
                break
            inside.append(stored)
        yield from reversed(inside)
        end = start


class _Looking:
    """What was found of a sequence so far.

    Attributes:
        definition: Digest of the definition that the decision was made under.
    """

    def __init__(self, place: Place, plan: Plan, said: SequencePlan) -> None:
        stored = place.found().stored
        self.definition = stored.header.definition
        self._place, self._plan, self._said = place, plan, said
        self._time = plan.stream(plan.on).event_time
        self._lateness = plan.stream(plan.on).lateness_ns
        batch = stored.batch()
        row = int(batch.inputs.row[place.seq - batch.first_seq])
        events = batch.events[plan.on]
        self._at = int(events.fixed(self._time).values[row])
        self._key = [_words(events.columns[name])[row] for name in said.key]
        self._earliest = self._at
        self._vectors: list[tuple[int, int, Vector]] = []

    def take(self, stored: StoredBatch) -> bool:
        """Look at the batch before those seen; whether all vectors are there."""
        batch = stored.batch()
        decisions = batch.decisions
        chosen = np.flatnonzero(decisions.seq <= self._place.seq)
        if len(chosen) and None not in self._key:
            rows = batch.inputs.row[decisions.seq[chosen] - batch.first_seq].astype(np.int64)
            events = batch.events[self._plan.on].take(rows)
            at = events.fixed(self._time).values
            # what came back from quarantine may lie anywhere
            in_time = at[(decisions.marks[chosen] & MARK_BACKFILLED) == 0]
            self._earliest = min(self._earliest, int(in_time.min(initial=self._earliest)))
            mine = (at <= self._at) & (at > self._at - self._said.within_ns)
            for name, value in zip(self._said.key, self._key, strict=True):
                mine &= np.array([word == value for word in _words(events.columns[name])])
            names = [self._plan.features[number].name for number in self._said.features]
            for index in np.flatnonzero(mine).tolist():
                values = decisions.features[list(self._said.features), chosen[index]]
                told = [None if np.isnan(value) else float(value) for value in values]
                seq = int(decisions.seq[chosen[index]])
                vector = Vector(f"{stored.header.lane}/{seq}", dict(zip(names, told, strict=True)))
                self._vectors.append((int(at[index]), seq, vector))
        return self._whole()

    def _whole(self) -> bool:
        """Whether no event before those seen can be among the last of the key.

        What was accepted lies no further behind anything known before it than the lateness: so
        nothing before is later than the earliest event seen and the lateness.
        """
        latest_before = self._earliest + self._lateness
        if latest_before <= self._at - self._said.within_ns:
            return True
        last = sorted(self._vectors, key=lambda item: item[:2])[-self._said.length :]
        return len(last) == self._said.length and last[0][0] >= latest_before

    def found(self) -> tuple[Vector, ...]:
        """The vectors, by event time and known order."""
        last = sorted(self._vectors, key=lambda item: item[:2])[-self._said.length :]
        return tuple(vector for _, _, vector in last)


def _words(column: Column) -> list[str | int | None]:
    """The values of a column of a key."""
    if isinstance(column, Text):
        return list(column.strings())
    values, valid = column.values.tolist(), column.valid.tolist()
    return [value if there else None for value, there in zip(values, valid, strict=True)]
