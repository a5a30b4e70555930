"""Replay: the journaled inputs go through `step` again, and the records must come out the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import invariant
from headrace.journal.batch import InputKind
from headrace.journal.canonical import RecordWriter
from headrace.models.scores import Scores
from headrace.pipeline.inputs import Inputs, Refused
from headrace.pipeline.step import by_the_model, step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.columns import Floats, Int64s
    from headrace.core.sequences import Sequences
    from headrace.definitions.plan import Plan
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader
    from headrace.models.serving import Model
    from headrace.pipeline.lane import Lane


@dataclass(frozen=True, slots=True)
class Difference:
    """The first record that did not come out the same.

    Attributes:
        seq: Sequence number of the input.
        what: What differs: the names of the parts, with the recorded and the rebuilt value.
    """

    seq: int
    what: str

    def __str__(self) -> str:
        return f"input {self.seq} differs: {self.what}"


class RecordedScores:
    """Scores that another library gave, taken from the journal as the inputs that they are.

    Each is made again beside that, where the library is there, to see how far it recomputes.

    Attributes:
        furthest: The most that a score of a class, or a probability, differed; None while none was
            made again.
        seq: Which decision that was.
    """

    def __init__(self) -> None:
        self.furthest: float | None = None
        self.seq = -1
        self._batch: JournalBatch | None = None

    def of(self, batch: JournalBatch) -> RecordedScores:
        """The same, with the scores of a batch."""
        self._batch = batch
        return self

    def __call__(
        self, model: Model, taken: Floats, sequences: Sequences | None, seq: Int64s
    ) -> Scores:
        """The scores of these events; a model that is exact makes its own."""
        if model.exact:
            return by_the_model(model, taken, sequences, seq)
        invariant(self._batch is not None, "a batch is replayed")
        assert self._batch is not None
        recorded = _scores_in(self._batch, len(model.classes), seq)
        if getattr(model, "is_scored_here", True):
            self._compare(recorded, model.score(taken, sequences), seq)
        return recorded

    def _compare(self, recorded: Scores, now: Scores, seq: Int64s) -> None:
        pairs = [(recorded.probability, now.probability)]
        pairs += list(zip(recorded.classes, now.classes, strict=True))
        for old, new in pairs:
            apart = np.where(np.isnan(old) & np.isnan(new), 0.0, np.abs(old - new))
            apart = np.where(np.isnan(apart), np.inf, apart)
            place = int(np.argmax(apart))
            if self.furthest is None or apart[place] > self.furthest:
                self.furthest, self.seq = float(apart[place]), int(seq[place])


def _scores_in(batch: JournalBatch, classes: int, seq: Int64s) -> Scores:
    """The recorded scores of some decisions; missing where none was recorded."""
    decisions = batch.decisions
    place = np.searchsorted(decisions.seq, seq)
    place = np.where(place < len(decisions), place, 0)
    known = decisions.seq[place] == seq if len(decisions) else np.zeros(len(seq), dtype=np.bool_)

    def column(values: Floats) -> Floats:
        return np.where(known, values[place], np.nan) if len(values) else np.full(len(seq), np.nan)

    first = len(decisions.features) - classes
    rows = [column(values) for values in decisions.features[first:]]
    return Scores(
        column(decisions.margin),
        column(decisions.score),
        np.array(rows).reshape(classes, len(seq)),
    )


def inputs_of(batch: JournalBatch, ranks: Sequence[int] | None = None) -> Inputs:
    """The inputs of a journaled batch as `step` took them, control records left out.

    Args:
        batch: As it was journaled.
        ranks: What the recorded ranks of streams are now, where a definition since ranks them
            otherwise.
    """
    kept = np.flatnonzero(batch.inputs.kind != InputKind.CONTROL)
    inputs = batch.inputs
    untyped = np.flatnonzero(inputs.row[kept] < 0)
    stream = inputs.stream[kept]
    if ranks is not None:
        stream = np.array(ranks, dtype=np.uint8)[stream]
    told = batch.quarantined
    place = np.searchsorted(told.seq, kept[untyped] + batch.first_seq)

    def texts(column: list[str | None]) -> tuple[str, ...]:
        return tuple(column[at] or "" for at in place)

    return Inputs(
        stream=stream,
        row=inputs.row[kept],
        source=inputs.source[kept],
        position=inputs.position[kept],
        received_ns=inputs.received_ns[kept],
        read_ns=inputs.read_ns[kept],
        batches=batch.events,
        refused=Refused(
            index=untyped,
            reasons=inputs.reason[kept[untyped]],
            fields=texts(told.field.strings()),
            values=texts(told.value.strings()),
            expected=texts(told.expected.strings()),
            references=texts(told.vault.strings()),
            lengths=told.length[place] if len(place) else np.zeros(0, dtype=np.int64),
        ),
        retried=bool((inputs.kind == InputKind.BACKFILL).any()),
        next_positions=batch.positions,
    )


def ranks_under(header: JournalHeader, plan: Plan) -> tuple[int, ...] | None:
    """A plan's ranks of the streams of a header; None where both rank them alike."""
    names = [stream.name for stream in plan.streams] + [table.name for table in plan.tables]
    recorded = header.stream_names
    if recorded == tuple(names[: len(recorded)]):
        return None
    return tuple(names.index(name) for name in recorded)


def rebuild(lane: Lane, batch: JournalBatch, scores: RecordedScores) -> JournalBatch | None:
    """Put a journaled batch through `step` again; None when it held control records alone.

    The lane must stand right before the batch; it stands right after it then. Scores of a model
    that is not exact are taken from the batch, and `scores` learns how far they recompute.
    """
    invariant(
        lane.next_seq == batch.first_seq,
        f"a lane at input {lane.next_seq} goes on with the batch from {batch.first_seq}",
    )
    if batch.controls:
        invariant(len(batch.controls) == len(batch), "control records have batches of their own")
        lane.next_seq = batch.next_seq
        return None
    return step(lane, inputs_of(batch), scores.of(batch))


def first_difference(
    recorded: JournalBatch, rebuilt: JournalBatch, header: JournalHeader
) -> Difference | None:
    """The first record whose decision part did not come out the same, byte for byte.

    If all did, the texts that codes stand for must be the same too.
    """
    old = RecordWriter(recorded, header).digests()
    new = RecordWriter(rebuilt, header).digests()
    differs = np.flatnonzero((old != new).any(axis=1))
    if len(differs) == 0:
        if recorded.categories != rebuilt.categories:
            return Difference(recorded.first_seq, "what the codes of its batch's texts stand for")
        return None
    index = int(differs[0])
    return Difference(recorded.first_seq + index, _what(recorded, rebuilt, header, index))


def _what(recorded: JournalBatch, rebuilt: JournalBatch, header: JournalHeader, index: int) -> str:
    parts: list[str] = []
    for name in ("kind", "reason", "original_seq"):
        old = int(getattr(recorded.inputs, name)[index])
        new = int(getattr(rebuilt.inputs, name)[index])
        if old != new:
            parts.append(f"{name} was {old}, is {new}")
    seq = recorded.first_seq + index
    places = [int(np.searchsorted(batch.decisions.seq, seq)) for batch in (recorded, rebuilt)]
    decided = [
        place < len(batch.decisions) and batch.decisions.seq[place] == seq
        for place, batch in zip(places, (recorded, rebuilt), strict=True)
    ]
    if all(decided):
        for number, name in enumerate(header.features):
            was, now = (
                float(batch.decisions.features[number, place])
                for place, batch in zip(places, (recorded, rebuilt), strict=True)
            )
            if was != now and not (np.isnan(was) and np.isnan(now)):
                parts.append(f"feature {name} was {was!r}, is {now!r}")
        for name in ("margin", "score", "rule", "rules", "outcome", "arm", "marks"):
            old, new = (
                getattr(batch.decisions, name)[place].item()
                for place, batch in zip(places, (recorded, rebuilt), strict=True)
            )
            if old != new and not (old != old and new != new):  # noqa: PLR0124 - NaN is not itself
                parts.append(f"{name} was {old!r}, is {new!r}")
    elif any(decided):
        parts.append("a decision was made" if decided[0] else "no decision was made")
    return "; ".join(parts) or "its reason codes"
