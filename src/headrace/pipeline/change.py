"""What a changed definition keeps of a state, and what is made anew from the journal.

A state has parts: which ids were seen, texts, reference tables, and one for each group (a stream,
the key it is kept by, what is held of each event). Ids, texts and tables are kept all together or
not at all. A group is kept when the new definition holds the same of each event, and for no longer.
Any other is made anew from the events that can still be seen: earlier ones leave no trace in it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from headrace.definitions.plan import Op, Program
from headrace.engine.engine import Engine
from headrace.engine.layout import lay_out
from headrace.engine.ring_kernels import C_FLOAT, C_KIND, C_ONE, C_VALUE, C_WHERE
from headrace.engine.rows import StreamRows
from headrace.engine.state_bytes import opened, sealed
from headrace.engine.summary_kernels import C_WORD
from headrace.engine.texts import texts_read
from headrace.journal.batch import InputKind
from headrace.pipeline.lane import LaneState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Int64s
    from headrace.definitions.plan import Aggregate, Instruction, Plan, StreamPlan
    from headrace.journal.batch import JournalBatch
    from headrace.pipeline.lane import LaneLimits

_ENTERING = (InputKind.ACCEPTED, InputKind.BACKFILL)
_TABLE_READERS = {Op.CONVERT, Op.LOOK_UP}


@dataclass(frozen=True, slots=True)
class Change:
    """The way from one plan to another.

    Attributes:
        old: The plan that there is a state of.
        new: The plan that one is wanted of.
        kept: Groups of the new plan, to those of the old one that are the same.
        rebuilt: The other groups of the new plan.
    """

    old: Plan
    new: Plan
    kept: dict[int, int]
    rebuilt: tuple[int, ...]

    @staticmethod
    def between(old: Plan, new: Plan) -> Change:
        """What is the same in both; ask `whole` first."""
        held = [_held(old, number) for number in range(len(old.groups))]
        kept: dict[int, int] = {}
        for number in range(len(new.groups)):
            same, reach = _held(new, number)
            for other, (was, reached) in enumerate(held):
                if was == same and reached >= reach:
                    kept[number] = other
                    break
        rebuilt = tuple(number for number in range(len(new.groups)) if number not in kept)
        return Change(old, new, kept, rebuilt)

    @staticmethod
    def whole(old: Plan, new: Plan) -> str:
        """Why nothing can be kept; "" when some can."""
        if (old.on, _judged(old)) != (new.on, _judged(new)):
            return "streams, or how late, early or often their events may come, have changed"
        if _tables(old) != _tables(new):
            return "reference tables have changed"
        if old.books or new.books:
            return "features read order books, which come of all changes since their snapshot"
        if (old.texts, texts_read(old)) != (new.texts, texts_read(new)):
            return "features read other texts, and the numbers of all texts follow from that"
        if new.sequence is not None:
            return "vectors of a sequence are features as they were computed by one definition"
        return ""

    @property
    def reads_tables(self) -> bool:
        """Whether the groups that are made anew need reference tables as they were."""
        return any(
            step.op in _TABLE_READERS
            for stream in self.streams
            for step in stream.program.instructions
        )

    @property
    def streams(self) -> tuple[StreamPlan, ...]:
        """The streams of the groups that are made anew."""
        names = {self.new.groups[number].stream for number in self.rebuilt}
        return tuple(stream for stream in self.new.streams if stream.name in names)

    def reach_ns(self, stream: str) -> int:
        """How far behind the decided stream's watermark events of a stream are needed."""
        groups = [lay_out(self.new, number) for number in self.rebuilt]
        # a bucket that is seen in part is held as a whole
        return max(item.reach + 2 * item.every for item in groups if item.group.stream == stream)

    def kept_features(self) -> list[str]:
        """The features that read windows, all of which are kept."""
        anew, read = self.rebuilt_features(), _aggregates_read(self.new)
        return [name for name, numbers in read.items() if numbers and name not in anew]

    def rebuilt_features(self) -> dict[str, list[Aggregate]]:
        """The features that read windows which are made anew, and these windows."""
        found = {}
        for name, read in _aggregates_read(self.new).items():
            windows = [self.new.aggregates[number] for number in sorted(read)]
            anew = [item for item in windows if item.group in self.rebuilt]
            if anew:
                found[name] = anew
        return found

    def plan_of_rebuilt(self) -> Plan:
        """The new plan with nothing but the groups that are made anew."""
        place = {number: at for at, number in enumerate(self.rebuilt)}
        return replace(
            self.new,
            groups=tuple(self.new.groups[number] for number in self.rebuilt),
            aggregates=tuple(
                replace(item, group=place[item.group])
                for item in self.new.aggregates
                if item.group in place
            ),
            program=Program((), (), 0),
            features=(),
        )


class Horizon:
    """How far back in the journal the events lie that groups are made anew from.

    An event that is accepted is no further behind its stream's watermark than the stream's
    lateness. So whatever came before it, in known order, was no later than its own time and that
    lateness together. Where this can be seen no more, nothing before can.

    Args:
        change: What is made anew.
        watermark: Of the decided stream, where the state stands.
    """

    def __init__(self, change: Change, watermark: int) -> None:
        self._plan = change.new
        self._edges = {
            stream.name: watermark - change.reach_ns(stream.name) - stream.lateness_ns
            for stream in change.streams
        }
        self._everything = change.reads_tables

    @property
    def reached(self) -> bool:
        """Whether no event before the batches that were looked at is needed."""
        return not self._edges and not self._everything

    def look(self, batch: JournalBatch, ranks: Sequence[int] | None = None) -> None:
        """Look at a batch; `ranks` are those of the new plan."""
        for name, edge in list(self._edges.items()):
            chosen = _accepted(batch, _rank(self._plan, name, ranks), (InputKind.ACCEPTED,))
            if len(chosen):
                at = times_of(self._plan, batch, name)[batch.inputs.row[chosen]]
                if int(at.min()) <= edge:
                    del self._edges[name]


class Rebuilding:
    """Makes the groups anew that a change does not keep, and puts a state together.

    Args:
        change: From the plan of the state to the one in force.
        state: The bytes of a lane's state.
        limits: Of the lane.
        key: Of the hashes of keys; it changes nothing.
    """

    def __init__(
        self, change: Change, state: bytes, limits: LaneLimits, key: tuple[int, int]
    ) -> None:
        self._change = change
        self._state = LaneState.opened(state)
        self._pieces = opened(self._state.engine)[1]
        self._plan = change.plan_of_rebuilt()
        self.watermark = int(np.frombuffer(self._pieces[0], dtype="<i8")[0])
        tables = len(change.new.tables)
        # rows of tables that were replaced are gone: who reads them needs them from the first on
        rows = [b""] * tables if change.reads_tables else self._pieces[2 : 2 + tables]
        none = [b""] * len(self._plan.groups)
        self._engine = Engine.restore(
            self._plan,
            sealed(self._plan.digest(), [*self._pieces[:2], *rows, *none]),
            threads=limits.threads,
            memory_limit_bytes=limits.state_bytes,
            secret=key,
        )

    @property
    def next_seq(self) -> int:
        """The input that the state stands before: batches up to there are needed."""
        return self._state.next_seq

    def take(self, batch: JournalBatch, ranks: Sequence[int] | None = None) -> None:
        """Put a journaled batch's accepted events in; `ranks` are those of the new plan."""
        streams, tables = {}, {}
        for stream in self._change.streams:
            if stream.name in batch.events:
                streams[stream.name] = self._rows(batch, stream.name, ranks)
        for table in self._plan.tables if self._change.reads_tables else ():
            if table.name in batch.events:
                tables[table.name] = self._rows(batch, table.name, ranks)
        if streams or tables:
            self._engine.compute(streams, tables)

    def _rows(self, batch: JournalBatch, name: str, ranks: Sequence[int] | None) -> StreamRows:
        """Accepted rows; what cannot be seen where the state stands need not be held before."""
        chosen = _accepted(batch, _rank(self._plan, name, ranks), _ENTERING)
        return StreamRows(
            batch.events[name].take(batch.inputs.row[chosen]),
            chosen + batch.first_seq,
            np.full(len(chosen), self.watermark, dtype=np.int64),
        )

    def state(self) -> bytes:
        """The bytes of the lane's state under the new plan."""
        change, tables = self._change, len(self._change.new.tables)
        first = 2 + tables
        fresh = opened(self._engine.snapshot())[1][first:]
        groups = [
            self._pieces[first + change.kept[number]]
            if number in change.kept
            else fresh[change.rebuilt.index(number)]
            for number in range(len(change.new.groups))
        ]
        engine = sealed(change.new.digest(), [*self._pieces[:first], *groups])
        return replace(self._state, engine=engine).sealed()


def times_of(plan: Plan, batch: JournalBatch, name: str) -> Int64s:
    """When a batch's events of a stream were."""
    return batch.events[name].fixed(plan.stream(name).event_time).values


def _rank(plan: Plan, name: str, ranks: Sequence[int] | None) -> int:
    """The rank that a batch was recorded under, of a stream or table of the plan."""
    names = [stream.name for stream in plan.streams] + [table.name for table in plan.tables]
    rank = names.index(name)
    return rank if ranks is None else ranks.index(rank)


def _accepted(batch: JournalBatch, rank: int, kinds: tuple[InputKind, ...]) -> NDArray[np.intp]:
    """The inputs of a batch that are of a stream, and of one of these kinds."""
    return np.flatnonzero((batch.inputs.stream == rank) & np.isin(batch.inputs.kind, kinds))


def _judged(plan: Plan) -> list[tuple[object, ...]]:
    """All that decides which inputs count."""
    return [
        (item.name, item.schema.canonical(), item.lateness_ns, item.max_ahead_ns, item.dedupe_ns)
        for item in plan.streams
    ]


def _tables(plan: Plan) -> list[tuple[object, ...]]:
    """The reference tables, wherever they are declared."""
    return [(item.name, item.schema.canonical(), item.key, item.valid_from) for item in plan.tables]


def _held(plan: Plan, number: int) -> tuple[tuple[object, ...], int]:
    """What a group holds of each event, spelled out; and for how long behind the watermark."""
    layout = lay_out(plan, number)
    group = layout.group
    meanings = _meanings(plan, plan.stream(group.stream).program)
    columns = [
        (
            *(int(column[place // 8]) for place in (C_KIND, C_WORD, C_ONE, C_FLOAT)),
            *(meanings.get(int(column[place // 8])) for place in (C_VALUE, C_WHERE)),
        )
        for column in layout.columns
    ]
    held = (group.stream, group.key, group.every_ns, layout.row, layout.totals, tuple(columns))
    return held, layout.reach


def _meanings(plan: Plan, program: Program) -> dict[int, str]:
    """What each register of a row program is, whatever the registers' numbers are."""
    found = {register: f"field {name}" for register, name in enumerate(program.loads)}
    for step in program.instructions:
        said = (step.op, _immediate(plan, step), [found[argument] for argument in step.arguments])
        found[step.out] = hashlib.sha256(repr(said).encode()).hexdigest()
    return found


def _immediate(plan: Plan, step: Instruction) -> object:
    """What an instruction says beside its arguments, with all that it names."""
    if step.op is Op.IS_IN:
        return sorted(plan.sets[step.immediate])
    if step.op is Op.CALENDAR:
        return plan.calendars[step.immediate]
    if step.op is Op.CONVERT:
        return plan.conversions[step.immediate]
    if step.op is Op.LOOK_UP:
        return plan.lookups[step.immediate]
    return step.immediate


def _aggregates_read(plan: Plan) -> dict[str, set[int]]:
    """For each feature the aggregates that it reads."""
    read: dict[int, set[int]] = {}
    for register, load in enumerate(plan.program.loads):
        what, _, number = load.partition(":")
        read[register] = {int(number)} if what == "aggregate" else set()
    for step in plan.program.instructions:
        read[step.out] = set().union(*(read[argument] for argument in step.arguments))
    return {feature.name: read[feature.register] for feature in plan.features}
