"""A use case in stages, in one process: lanes by partition, and what passes between them.

Which lane goes on next, and with how much, is drawn: what passes between two lanes keeps its
order, as in a partition of a topic, and nothing else is promised.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace
from ways import KEY, Prepared, frame_of, stored

from headrace.adapters.opening import open_frame
from headrace.journal.canonical import records
from headrace.pipeline.lane import Definition, Lane, LaneLimits
from headrace.pipeline.replay import inputs_of
from headrace.pipeline.staging import Answered, Joining, answered, forwarded
from headrace.pipeline.step import step
from headrace.runtime.intake import Assembly, HistoryIntake
from headrace.runtime.local_lane import header_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headrace.definitions.plan import Plan
    from headrace.definitions.stages import SideStage, Stages
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader
    from headrace.pipeline.inputs import Inputs

    Data = Mapping[str, Any]


class Always(Random):
    """Draws the first of whatever there is."""

    def choice(self, seq: Any) -> Any:
        """The first."""
        return seq[0]


#: A lane of a stage: the stage's name, the partition.
Place = tuple[str, int]

ADMISSION, MAIN = "admission", "main"


@dataclass
class Partitioned:
    """The lines of every stream, dealt out to partitions; rows of tables go to all of them."""

    prepared: Prepared
    lines: Sequence[Mapping[str, Sequence[Data]]]

    @staticmethod
    def of(prepared: Prepared, stages: Stages, partitions: int, drawn: Random) -> Partitioned:
        """Streams that the main stage keeps by a key go by that key; others go anywhere."""
        parts: list[dict[str, list[Data]]] = [
            {name: [] for name in prepared.names} for _ in range(partitions)
        ]
        tables = prepared.data["tables"]
        for name in prepared.names:
            homes: dict[Any, int] = {}
            for line in prepared.lines[name]:
                if name in tables:
                    for part in parts:
                        part[name].append(line)
                    continue
                key = line.get(stages.keyed[name]) if name in stages.keyed else line[_id(name)]
                home = homes.setdefault(key, drawn.randrange(partitions))
                parts[home][name].append(line)
        return Partitioned(prepared, parts)

    def inputs(self, part: int, drawn: Random) -> Iterator[Inputs]:
        """What one partition brings, in batches of drawn sizes."""
        prepared = self.prepared
        assembly = Assembly(prepared.case.plan, None)
        sources = [
            (
                number,
                open_frame(
                    frame_of(prepared.fields(name), self.lines[part][name]),
                    name,
                    assembly.schemas[name],
                ),
            )
            for number, name in enumerate(prepared.names)
        ]
        after = {stream.name: stream.arrives_after_ns for stream in prepared.case.plan.streams}
        intake, begin = HistoryIntake(assembly, sources, after, lambda: 0), 0
        while begin < len(intake):
            size = drawn.choice([1, 2, 5, 1_000])
            yield next(intake.batches(begin, size))
            begin += size


def _id(stream: str) -> str:
    return "payment_id" if stream == "payments" else "chargeback_id"


@dataclass
class Staged:
    """All lanes of all stages, and the journal of each.

    Attributes:
        stages: Of the use case.
        journals: What each lane journaled, in its order.
    """

    prepared: Prepared
    stages: Stages
    partitions: int
    side_partitions: int
    journals: dict[Place, list[JournalBatch]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        places = [(stage, n) for stage in (ADMISSION, MAIN) for n in range(self.partitions)]
        places += [(s.name, n) for s in self.stages.sides for n in range(self.side_partitions)]
        self.journals = {place: [] for place in places}
        self._lanes = {place: self.lane(place[0]) for place in places}
        self._passing: dict[Place, deque[Inputs]] = {place: deque() for place in places}
        self._joining = [Joining(self.stages) for _ in range(self.partitions)]
        self._admitted: list[deque[JournalBatch]] = [deque() for _ in range(self.partitions)]
        self._given: list[deque[tuple[str, Answered]]] = [deque() for _ in range(self.partitions)]

    def side(self, name: str) -> SideStage:
        """A side stage by its name."""
        return next(side for side in self.stages.sides if side.name == name)

    def definition(self, stage: str) -> Definition:
        """What decides in a stage."""
        whole = self.prepared.definition
        if stage == MAIN:
            return dataclasses.replace(whole, plan=self.stages.main)
        plan = self.stages.admission if stage == ADMISSION else self.side(stage).plan
        return Definition(f"drawn.{stage}", plan, None, None)

    def state(self, place: Place) -> Lane:
        """A lane as it stands."""
        return self._lanes[place]

    def lane(self, stage: str, plan: Plan | None = None) -> Lane:
        """A lane of a stage with nothing in it."""
        definition = self.definition(stage)
        if plan is not None:
            definition = dataclasses.replace(definition, plan=plan)
        return Lane(definition, KEY, LaneLimits(threads=1))

    def run(self, parts: Partitioned, drawn: Random) -> None:
        """Let lanes go on, one after the other as drawn, until nothing waits."""
        arriving = {n: parts.inputs(n, drawn) for n in range(self.partitions)}
        tables = self._table_rows()
        while True:
            able = [(ADMISSION, n) for n in arriving]
            able += [place for place, waiting in self._passing.items() if waiting]
            able += [place for place, waiting in tables.items() if waiting]
            able += [(MAIN, n) for n in range(self.partitions) if self._can_go_on(n)]
            if not able:
                return
            stage, number = place = drawn.choice(able)
            if stage == ADMISSION:
                inputs = next(arriving[number], None)
                if inputs is None:
                    del arriving[number]
                else:
                    self._admit(number, inputs)
            elif stage == MAIN:
                self._decide(number)
            else:
                waiting = [w for w in (self._passing[place], tables[place]) if w]
                self._compute(place, drawn.choice(waiting).popleft())

    def run_undisturbed(self, parts: Partitioned) -> None:
        """One input at a time goes through all stages before the next: as one lane would work."""
        for inputs in parts.inputs(0, Always()):
            self._admit(0, inputs)
            for side in self.stages.sides:
                for waiting in (self._rows_in(inputs, side.plan), self._passing[side.name, 0]):
                    while waiting:
                        self._compute((side.name, 0), waiting.popleft())
            while self._can_go_on(0):
                self._decide(0)

    @staticmethod
    def _rows_in(inputs: Inputs, plan: Plan) -> deque[Inputs]:
        """The rows of tables among inputs, as a side stage takes them."""
        found: deque[Inputs] = deque()
        for rank, table in enumerate(plan.tables, len(plan.streams)):
            if table.name in inputs.batches:
                ranks = np.full(len(inputs), rank, dtype=np.uint8)
                found.append(replace(inputs, stream=ranks, next_positions={}))
        return found

    def _admit(self, number: int, inputs: Inputs) -> None:
        batch = self._step((ADMISSION, number), inputs)
        self._admitted[number].append(batch)
        for side in self.stages.sides:
            sent = forwarded(batch, self.stages.admission, side, number, self.side_partitions)
            for target, handed_on in sent.items():
                self._passing[side.name, target].append(handed_on)

    def _compute(self, place: Place, inputs: Inputs) -> None:
        side = self.side(place[0])
        for lane, answer in answered(self._step(place, inputs), side).items():
            self._given[lane].append((side.name, answer))

    def _can_go_on(self, number: int) -> bool:
        if self._given[number]:
            return True
        waiting = self._admitted[number]
        return bool(waiting) and self._joining[number].is_whole(waiting[0])

    def _decide(self, number: int) -> None:
        """Take an answer, or decide what all answers are there for."""
        joining, waiting = self._joining[number], self._admitted[number]
        if waiting and joining.is_whole(waiting[0]):
            self._step((MAIN, number), joining.joined(waiting.popleft()))
        else:
            joining.take(*self._given[number].popleft())

    def _step(self, place: Place, inputs: Inputs) -> JournalBatch:
        batch = step(self._lanes[place], inputs)
        self.journals[place].append(batch)
        return batch

    def _table_rows(self) -> dict[Place, deque[Inputs]]:
        """The rows of tables that each lane of a side stage reads, of itself."""
        found: dict[Place, deque[Inputs]] = {}
        for side in self.stages.sides:
            names = [stream.name for stream in side.plan.streams]
            names += [table.name for table in side.plan.tables]
            for number in range(self.side_partitions):
                waiting: deque[Inputs] = deque()
                for table in side.plan.tables:
                    waiting.extend(self._rows_of(table.name, names.index(table.name), side.plan))
                found[side.name, number] = waiting
        return found

    def _rows_of(self, table: str, rank: int, plan: Plan) -> list[Inputs]:
        """The rows of one table in known order, some at a time."""
        assembly = Assembly(plan, None)
        assert assembly.rank(table) == rank
        frame = frame_of(self.prepared.fields(table), self.prepared.lines[table])
        source = open_frame(frame, table, assembly.schemas[table])
        number = self.prepared.names.index(table)
        return list(HistoryIntake(assembly, [(number, source)], {}, lambda: 0).batches(0, 2))

    def records(self, place: Place, batches: Sequence[JournalBatch]) -> list[bytes]:
        """The canonical bytes of what a lane journaled."""
        header = self.header(place)
        return [record for batch in batches for record in records(batch, header)]

    def header(self, place: Place) -> JournalHeader:
        """What the journal of a lane begins with."""
        return header_of(self.definition(place[0]), tuple(self.prepared.names))

    def replayed(self, place: Place) -> list[JournalBatch]:
        """The inputs that a lane journaled through `step` again, by a plan that was read back."""
        definition = self.definition(place[0])
        lane = self.lane(
            place[0], type(definition.plan).from_canonical(definition.plan.canonical())
        )
        header = self.header(place)
        return [step(lane, inputs_of(stored(batch, header))) for batch in self.journals[place]]
