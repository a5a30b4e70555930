"""Between stages: what one hands on to the next, as pure functions of what it has journaled.

    admission --forwarded--> side stage --answered--> main stage
        |                                                 ^
        +------------------ all its inputs ---------------+

Each stage is a lane of its own, with `step`, a state and a journal. An event is known between them
by its lane of admission (the source of what a side stage takes) and its sequence number there (the
position). A value that is handed on is in the journal of the stage that made it, as a feature, and
in that of the main stage, as a field of the event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from headrace.core.columns import Batch, Fixed, Kind, Text, concatenated
from headrace.core.errors import invariant
from headrace.definitions.stages import LOW_DIGITS
from headrace.journal.batch import InputKind
from headrace.pipeline.inputs import Inputs
from headrace.pipeline.replay import inputs_of
from headrace.pipeline.stage_kernels import route

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.core.columns import Column, Int64s
    from headrace.definitions.plan import Plan
    from headrace.definitions.stages import Given, SideStage, Stages
    from headrace.journal.batch import JournalBatch

_ENTERED = (InputKind.ACCEPTED, InputKind.BACKFILL)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a side stage computed for events of one lane of admission.

    Attributes:
        seq: Their sequence numbers there, in no order.
        values: The fields that it gives (`SideStage.given`), a row for each.
    """

    seq: Int64s
    values: Batch

    def __len__(self) -> int:
        return len(self.seq)


def partitions_of(batch: Batch, field: str, partitions: int) -> Int64s:
    """The partition of a side stage that each row belongs to, by its key.

    >>> keys = Batch({"merchant": Text.of(["m", "n", "m", None])}, 4)
    >>> partitions_of(keys, "merchant", 4).tolist()
    [1, 3, 1, 0]
    """
    out = np.empty(len(batch), dtype=np.int64)
    place = list(batch.columns).index(field)
    route(batch.addresses[place], partitions, out)
    return out


def forwarded(
    batch: JournalBatch, admission: Plan, side: SideStage, lane: int, partitions: int
) -> dict[int, Inputs]:
    """What a batch of admission hands on to a side stage, by its partition.

    Args:
        batch: As the lane of admission journaled it.
        admission: Its plan.
        side: The stage.
        lane: Number of the lane of admission: the source of what is handed on.
        partitions: How many lanes the side stage has.
    """
    names = [stream.name for stream in side.plan.streams]
    ranks = {stream.name: rank for rank, stream in enumerate(admission.streams)}
    found: dict[str, tuple[Int64s, Batch, Int64s]] = {}
    for stream in side.plan.streams:
        chosen = _entered(batch, ranks[stream.name])
        if len(chosen):
            rows = batch.events[stream.name]
            columns = {name: rows.columns[name] for name in stream.schema.names}
            taken = Batch(columns, len(rows)).take(batch.inputs.row[chosen])
            where = partitions_of(taken, side.routes[stream.name], partitions)
            found[stream.name] = (chosen, taken, where)
    retried = bool((batch.inputs.kind == InputKind.BACKFILL).any())
    targets = sorted({int(to) for _, _, where in found.values() for to in np.unique(where)})
    return {
        target: replace(_sent(batch, names, found, lane, target), retried=retried)
        for target in targets
    }


def _entered(batch: JournalBatch, rank: int) -> Int64s:
    """The inputs of a batch that are accepted events of a stream."""
    kinds = batch.inputs.kind
    mine = (batch.inputs.stream == rank) & np.isin(kinds, [int(kind) for kind in _ENTERED])
    return np.flatnonzero(mine)


def _sent(
    batch: JournalBatch,
    names: Sequence[str],
    found: Mapping[str, tuple[Int64s, Batch, Int64s]],
    lane: int,
    target: int,
) -> Inputs:
    """Those of the events handed on that go to one partition, in known order."""
    indices: list[Int64s] = []
    ranks: list[Int64s] = []
    batches: dict[str, Batch] = {}
    for name, (chosen, rows, where) in found.items():
        mine = np.flatnonzero(where == target)
        if len(mine):
            indices.append(chosen[mine])
            ranks.append(np.full(len(mine), names.index(name)))
            batches[name] = rows.take(mine)
    index = np.concatenate(indices)
    order = np.argsort(index, kind="stable")
    row = np.concatenate([np.arange(len(part)) for part in indices])[order]
    index = index[order]
    return Inputs(
        stream=np.concatenate(ranks)[order].astype(np.uint8),
        row=row.astype(np.int32),
        source=np.full(len(index), lane, dtype=np.uint16),
        position=batch.first_seq + index,
        received_ns=batch.inputs.received_ns[index],
        read_ns=batch.inputs.read_ns[index],
        batches=batches,
    )


def answered(batch: JournalBatch, side: SideStage) -> dict[int, Answered]:
    """What a batch of a side stage gives back, by the lane of admission that asked.

    Args:
        batch: As the lane of the side stage journaled it.
        side: The stage.
    """
    index = batch.decisions.seq - batch.first_seq
    source = batch.inputs.source[index]
    values = {given.field.name: _column(given, batch) for given in side.given}
    whole = Batch(values, len(index))
    found = {}
    for lane in np.unique(source).tolist():
        mine = np.flatnonzero(source == lane)
        found[lane] = Answered(batch.inputs.position[index[mine]], whole.take(mine))
    return found


def _column(given: Given, batch: JournalBatch) -> Column:
    """A given field of the decided events, of the features that it is made of."""
    features = batch.decisions.features
    first = features[given.features[0]]
    there = ~np.isnan(first)
    valid = there.astype(np.uint8)
    kind = given.field.kind
    if kind is Kind.FLOAT:
        return Fixed(np.where(there, first, 0.0).view(np.int64), valid)
    words = np.where(there, first, 0.0).astype(np.int64)
    if kind is Kind.TEXT:
        texts = [
            batch.categories[code] if is_there else None
            for code, is_there in zip(words.tolist(), there.tolist(), strict=True)
        ]
        return Text.of(texts)
    if len(given.features) > 1:
        low = features[given.features[1]]
        words = words * 10**LOW_DIGITS + np.where(there, low, 0.0).astype(np.int64)
    return Fixed(words, valid)


class Joining:
    """Holds what side stages gave until the main stage takes it, in its own order.

    Args:
        stages: Of the use case.
        begin: The first input of admission that is still to be taken; answers to those before it
            are let go of.
    """

    def __init__(self, stages: Stages, begin: int = 0) -> None:
        self._begin = begin
        self._plan = stages.admission
        self._rank = [stream.name for stream in self._plan.streams].index(self._plan.on)
        self._nothing = {side.name: _missing(side) for side in stages.sides}
        # what each message brought, in the order of sequence numbers
        self._held: dict[str, list[Answered]] = {side.name: [] for side in stages.sides}

    def __len__(self) -> int:
        """How many answers wait."""
        return sum(len(answer) for held in self._held.values() for answer in held)

    def take(self, side: str, answer: Answered) -> None:
        """Hold what a side stage gave."""
        order = np.argsort(answer.seq, kind="stable")
        fresh = order[answer.seq[order] >= self._begin]
        if len(fresh):
            self._held[side].append(Answered(answer.seq[fresh], answer.values.take(fresh)))

    def is_whole(self, batch: JournalBatch) -> bool:
        """Whether all that sides give for the next batch of admission is there."""
        wanted = len(_entered(batch, self._rank))
        return all(
            sum(int(np.searchsorted(answer.seq, batch.next_seq)) for answer in held) >= wanted
            for held in self._held.values()
        )

    def joined(self, batch: JournalBatch) -> Inputs:
        """A batch of admission as the main stage takes it; what was given for it is let go of.

        An event that was not accepted was not handed on: what sides would give is missing.

        Args:
            batch: The next one; it `is_whole`.
        """
        inputs = inputs_of(batch)
        on = self._plan.on
        if on not in batch.events:
            self._begin = batch.next_seq
            return inputs
        chosen = _entered(batch, self._rank)
        columns = dict(batch.events[on].columns)
        for name, held in self._held.items():
            seq, values = self._until(name, held, batch.next_seq)
            invariant(
                seq.tolist() == (batch.first_seq + chosen).tolist(),
                f"stage {name} answers each event once",
            )
            # the last row is that of an event which nothing was given for
            place = np.full(len(batch.events[on]), len(seq), dtype=np.int64)
            place[batch.inputs.row[chosen]] = np.arange(len(seq))
            columns.update(values.take(place).columns)
        for name, held in self._held.items():
            self._held[name] = [
                Answered(rest.seq[last:], rest.values.take(np.arange(last, len(rest))))
                for rest in held
                for last in [int(np.searchsorted(rest.seq, batch.next_seq))]
                if last < len(rest)
            ]
        self._begin = batch.next_seq
        return replace(
            inputs, batches={**inputs.batches, on: Batch(columns, len(batch.events[on]))}
        )

    def _until(self, side: str, held: Sequence[Answered], next_seq: int) -> tuple[Int64s, Batch]:
        """Answers to inputs before a sequence number in their order, and a row of nothing."""
        seqs, parts = [np.zeros(0, dtype=np.int64)], []
        for answer in held:
            last = int(np.searchsorted(answer.seq, next_seq))
            if last:
                seqs.append(answer.seq[:last])
                parts.append(answer.values.take(np.arange(last)))
        seq = np.concatenate(seqs)
        order = np.append(np.argsort(seq, kind="stable"), len(seq))
        return seq[order[:-1]], concatenated([*parts, self._nothing[side]]).take(order)


def _missing(side: SideStage) -> Batch:
    """The fields that a side stage gives, of one event: all are missing."""
    columns: dict[str, Column] = {
        given.field.name: Text.of([None]) if given.field.kind is Kind.TEXT else Fixed.of([None])
        for given in side.given
    }
    return Batch(columns, 1)
