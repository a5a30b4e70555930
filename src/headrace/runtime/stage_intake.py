"""Intake of side and main stages: messages of other stages become batches of inputs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from headrace.core.columns import concatenated
from headrace.core.errors import JournalError, Unavailable
from headrace.journal.batch import Position
from headrace.journal.group_reader import GroupReader
from headrace.pipeline.inputs import Inputs
from headrace.runtime.intake import Part
from headrace.runtime.registry_wait import RegistryWait
from headrace.runtime.stage_messages import decoded_events, decoded_values
from headrace.runtime.topic_intake import TopicSource, received_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from headrace.adapters.kafka.messages import Partition
    from headrace.adapters.kafka.whole_messages import WholeMessage, WholeMessages
    from headrace.core.columns import Batch, Int32s
    from headrace.definitions.stages import SideStage
    from headrace.journal.batch import JournalBatch
    from headrace.journal.keys import PublicKey
    from headrace.pipeline.staging import Joining
    from headrace.runtime.intake import Assembly

_POLL_SECONDS = 0.05
_GATHER_SECONDS = 0.001
#: The most inputs of a batch; and of what was admitted and waits for values, about.
_MOST, _MOST_WAITING = 16_384, 65_536


class Ending:
    """When a lane that goes on for as long as others feed it has reached the end.

    Args:
        messages: That it reads.
        fed: Whether those who feed it are through; None where it goes on for good.
    """

    def __init__(self, messages: WholeMessages, fed: Callable[[], bool] | None) -> None:
        self._messages, self._fed = messages, fed
        self._ends: Mapping[Partition, int] | None = None

    def reached(self) -> bool:
        """Whether nothing more will come."""
        if self._fed is None:
            return False
        if self._ends is None and self._fed():
            self._ends = self._messages.expect_ends()
        return self._ends is not None and self._messages.has_reached(self._ends)


class SideIntake:
    """Events that lanes of admission hand on, and rows of tables, in the order of their arrival.

    Args:
        assembly: Of the side stage's plan, without a vault.
        plan: Digest of that plan.
        sources: What the journal knows each partition as: of the stage's events, and of tables.
        lanes: Numbers of the sources that stand for lanes of admission, by lane.
        messages: As they arrive.
        clock: Nanoseconds since 1970.
        fed: Whether admission is through; None to go on for good.
        say: Told what a user should know while it goes on.
    """

    def __init__(
        self,
        assembly: Assembly,
        plan: str,
        *,
        sources: Mapping[Partition, TopicSource],
        lanes: Sequence[int],
        messages: WholeMessages,
        clock: Callable[[], int],
        fed: Callable[[], bool] | None,
        say: Callable[[str], None] = lambda _word: None,
    ) -> None:
        self._say = say
        self._assembly, self._plan, self._sources = assembly, plan, sources
        self._lanes = np.array(lanes, dtype=np.uint16)
        self._messages, self._clock = messages, clock
        self._ending = Ending(messages, fed)
        self._parsers = {
            source.stream: source.form.codec(assembly.schemas[source.stream])
            for source in sources.values()
            if source.stream
        }

    def batches(
        self, takes: Callable[[int], bool], stopped: Callable[[], bool]
    ) -> Iterator[Inputs]:
        """Inputs, a batch at a time."""
        names = self._assembly.names
        held: list[Inputs] = []
        while not stopped():
            got = self._messages.poll(_GATHER_SECONDS if held else _POLL_SECONDS)
            for message in got:
                inputs = self._inputs(message, stopped)
                if inputs is None:
                    break  # what is left is in no journal, so it is read again
                if held and (len(inputs.refused) or inputs.retried):
                    yield merged(held, names)
                    held = []
                held.append(inputs)
                if len(inputs.refused) or inputs.retried:
                    yield held.pop()
            size = sum(map(len, held))
            if held and (size >= _MOST or takes(size)):
                yield merged(held, names)
                held = []
            elif not got and not held and self._ending.reached():
                return
        if held:
            yield merged(held, names)

    def _inputs(self, message: WholeMessage, stopped: Callable[[], bool]) -> Inputs | None:
        """What a message brings; None where it was stopped before it could be read."""
        source = self._sources[message.partition]
        place = f"{message.partition}, offset {message.offset}"
        positions = {source.name: Position(message.next_offset, digest=source.topic_id)}
        if source.stream:
            return self._row(message, source, positions, stopped)
        inputs = decoded_events(message.content, self._plan, place)
        return replace(inputs, source=self._lanes[inputs.source], next_positions=positions)

    def _row(
        self,
        message: WholeMessage,
        source: TopicSource,
        positions: Mapping[str, Position],
        stopped: Callable[[], bool],
    ) -> Inputs | None:
        """A row of a table; it waits for a schema registry that has to be asked."""
        values, now = [message.content], self._clock()
        wait, parsed = RegistryWait(self._say, stopped), None
        while parsed is None:
            try:
                parsed = self._parsers[source.stream].parse(values)
            except Unavailable as error:
                if not wait.goes_on(error):
                    return None
        wait.ends()
        part = Part(
            source.number,
            self._assembly.rank(source.stream),
            None,
            np.array([message.offset]),
            parsed,
            values.__getitem__,
        )
        received = np.full(1, now, dtype=np.int64)
        received_at(received, self._assembly.schemas[source.stream], part)
        return self._assembly.inputs([part], received, now, positions)


def merged(parts: Sequence[Inputs], names: Sequence[str]) -> Inputs:
    """Inputs one after the other, as one batch; none of them were refused.

    Args:
        parts: At least one.
        names: Of streams and tables, by rank.
    """
    if len(parts) == 1:
        return parts[0]
    before = np.zeros(len(names), dtype=np.int32)
    rows: dict[str, list[Batch]] = {}
    row: list[Int32s] = []
    positions: dict[str, Position] = {}
    for part in parts:
        row.append(part.row + before[part.stream])
        for name, batch in part.batches.items():
            rows.setdefault(name, []).append(batch)
            before[names.index(name)] += len(batch)
        positions.update(part.next_positions)
    return Inputs(
        stream=np.concatenate([part.stream for part in parts]),
        row=np.concatenate(row),
        source=np.concatenate([part.source for part in parts]),
        position=np.concatenate([part.position for part in parts]),
        received_ns=np.concatenate([part.received_ns for part in parts]),
        read_ns=np.concatenate([part.read_ns for part in parts]),
        batches={name: concatenated(batches) for name, batches in rows.items()},
        next_positions=positions,
    )


@dataclass(slots=True)
class _Side:
    """What is read of one side stage.

    Attributes:
        name: Of the stage.
        plan: Digest of its plan.
        source: What the journal knows the partition of its values as.
        next_offset: After the last message that was read.
        held: Messages that hold values for events to come: offset, and the greatest of their
            sequence numbers.
    """

    name: str
    plan: str
    source: TopicSource
    next_offset: int
    held: deque[tuple[int, int]] = field(default_factory=deque)

    def position(self, next_seq: int) -> Position:
        """Where to go on from, when all before `next_seq` is decided."""
        while self.held and self.held[0][1] < next_seq:
            self.held.popleft()
        offset = self.held[0][0] if self.held else self.next_offset
        return Position(offset, digest=self.source.topic_id)


class MainIntake:
    """What was admitted, in its order, with what side stages give for it.

    Args:
        joining: Holds values until they are wanted.
        admitted: The partition of the journal of admission, and what this journal knows it as.
        begin: The first input of admission that is not decided yet.
        keys: That admission is signed by.
        number: Of each source of admission by name, in this journal.
        sides: For each partition of values, the stage that gives them, and what this journal knows
            it as.
        messages: As they arrive.
        fed: Whether admission and side stages are through; None to go on for good.
    """

    def __init__(
        self,
        joining: Joining,
        *,
        admitted: tuple[Partition, TopicSource],
        begin: int,
        keys: Sequence[PublicKey],
        number: Callable[[str], int],
        sides: Mapping[Partition, tuple[SideStage, TopicSource, int]],
        messages: WholeMessages,
        fed: Callable[[], bool] | None,
    ) -> None:
        self._joining = joining
        self._place, self._source = admitted
        self._begin, self._keys, self._number = begin, keys, number
        self._messages = messages
        self._ending = Ending(messages, fed)
        self._sides = {
            place: _Side(side.name, side.plan.digest(), source, offset)
            for place, (side, source, offset) in sides.items()
        }
        self._reader: GroupReader | None = None
        self._waiting: deque[tuple[JournalBatch, Position]] = deque()
        self._inputs_waiting = 0

    def batches(
        self, takes: Callable[[int], bool], stopped: Callable[[], bool]
    ) -> Iterator[Inputs]:
        """Inputs, a batch at a time; one that is not wanted yet waits."""
        while not stopped():
            whole = bool(self._waiting) and self._joining.is_whole(self._waiting[0][0])
            if whole and takes(len(self._waiting[0][0])):
                yield self._next()
                continue
            got = self._messages.poll(_GATHER_SECONDS if whole else _POLL_SECONDS)
            for message in got:
                self._take(message)
            self._hold_back()
            if not got and not self._waiting and self._ending.reached():
                return

    @property
    def waits(self) -> bool:
        """Whether anything that was admitted waits for values."""
        return bool(self._waiting)

    def _take(self, message: WholeMessage) -> None:
        place = f"{message.partition}, offset {message.offset}"
        if message.partition in self._sides:
            side = self._sides[message.partition]
            answer = decoded_values(message.content, side.plan, place)
            self._joining.take(side.name, answer)
            side.held.append((message.offset, int(answer.seq.max())))
            side.next_offset = message.next_offset
            return
        if self._reader is None:
            self._reader = GroupReader.at(message.content, self._keys)
        try:
            group = self._reader.follow(message.content)
        except JournalError as error:
            raise JournalError(
                f"{place}: what was admitted does not follow ({error}). All stages are signed by"
                " one key: give every worker the same folder of keys"
            ) from error
        found = group.batches()
        for (_, header, _), batch in zip(group.links, found, strict=True):
            at_end = batch is found[-1]
            offset = message.next_offset if at_end else message.offset
            position = Position(offset, digest=self._source.topic_id, rows=batch.next_seq)
            if batch.next_seq > self._begin and not batch.controls:
                self._waiting.append((self._renumbered(batch, header.sources), position))
                self._inputs_waiting += len(batch)

    def _renumbered(self, batch: JournalBatch, sources: Sequence[str]) -> JournalBatch:
        """A batch whose sources are numbered as this journal does."""
        numbers = np.array([self._number(name) for name in sources], dtype=np.uint16)
        return replace(batch, inputs=replace(batch.inputs, source=numbers[batch.inputs.source]))

    def _next(self) -> Inputs:
        batch, position = self._waiting.popleft()
        self._inputs_waiting -= len(batch)
        inputs = self._joining.joined(batch)
        positions = {
            side.source.name: side.position(batch.next_seq) for side in self._sides.values()
        }
        positions[self._source.name] = position
        return replace(inputs, next_positions=positions)

    def _hold_back(self) -> None:
        """Fetch no more of what was admitted while much of it waits."""
        full, paused = self._inputs_waiting > _MOST_WAITING, self._place in self._messages.paused
        if full and not paused:
            self._messages.pause(self._place)
        elif paused and not full:
            self._messages.resume(self._place)
