"""Intake: rows of several sources become batches of inputs in known order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from headrace.adapters.live import ArrivedLines
from headrace.core.columns import concatenated
from headrace.core.errors import DataError, invariant
from headrace.events.order import Ordered, Times, is_ordered, known_order
from headrace.events.schema import Role
from headrace.pipeline.inputs import Inputs, Refused
from headrace.runtime.continuation import Continuation, FedAgain
from headrace.runtime.door import Door, RefusedRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from headrace.adapters.history import HistoricSource
    from headrace.adapters.live import LiveLines
    from headrace.core.columns import Batch, Int32s, Int64s
    from headrace.definitions.plan import Plan
    from headrace.events.json_lines import JsonLines
    from headrace.events.parsed import Parsed
    from headrace.events.schema import Schema
    from headrace.journal.batch import Position
    from headrace.security.vault import Vault


#: Places of the known order that sources are told of ahead: no more than this is held of them.
_STRETCH = 524_288


class Part(Struct, frozen=True):
    """What one source gives to a batch of inputs.

    Attributes:
        source: Its number.
        rank: Of its stream.
        places: Where in the batch its rows go, ascending; None where they are all of it.
        positions: Their ordinals in the source.
        parsed: What was read.
        raw: The bytes of a row of `parsed`.
    """

    source: int
    rank: int
    places: Int64s | None
    positions: Int64s
    parsed: Parsed
    raw: Callable[[int], bytes]

    def placed(self, rows: Int32s) -> Int32s | Int64s:
        """Where in the batch these of its rows go."""
        return rows if self.places is None else self.places[rows]


class Assembly:
    """Makes inputs of the parts that sources give, through the doors of their streams.

    Args:
        plan: Whose streams and tables the sources are of.
        vault: Behind the doors; None where nothing is recorded.
    """

    def __init__(self, plan: Plan, vault: Vault | None) -> None:
        schemas = [*((s.name, s.schema) for s in plan.streams)]
        schemas += [(table.name, table.schema) for table in plan.tables]
        self.names = [name for name, _ in schemas]
        self.schemas: Mapping[str, Schema] = dict(schemas)
        self._doors = [Door(schema, vault) for _, schema in schemas]

    def rank(self, stream: str) -> int:
        """The rank of a stream or table.

        Raises:
            DataError: When the use case has none of that name.
        """
        if stream not in self.names:
            raise DataError(
                f"the use case has no stream {stream!r}; it has {', '.join(self.names)}:"
                " write --source STREAM=FILE"
            )
        return self.names.index(stream)

    def inputs(
        self,
        parts: Sequence[Part],
        received_ns: Int64s,
        read_ns: int,
        next_positions: Mapping[str, Position],
        *,
        retried: bool = False,
    ) -> Inputs:
        """One batch of inputs; the places of all parts together are 0, 1, 2, ..."""
        size = len(received_ns)
        stream = np.empty(size, dtype=np.uint8)
        row = np.empty(size, dtype=np.int32)
        row.fill(-1)
        read = np.empty(size, dtype=np.int64)
        read.fill(read_ns)
        source = np.empty(size, dtype=np.uint16)
        position = np.empty(size, dtype=np.int64)
        refused: list[tuple[int, RefusedRow]] = []
        typed: dict[int, list[tuple[Int32s | Int64s, Batch]]] = {}
        for part in parts:
            places = slice(None) if part.places is None else part.places
            stream[places] = part.rank
            source[places] = part.source
            position[places] = part.positions
            door = self._doors[part.rank]
            batch = door.typed(part.parsed)
            if len(batch):
                typed.setdefault(part.rank, []).append((part.placed(part.parsed.rows), batch))
            if len(part.parsed.rejections):
                at = part.placed(part.parsed.rejections.rows).tolist()
                refused += zip(at, door.refused(part.parsed, part.raw, read_ns), strict=True)
        batches: dict[str, Batch] = {}
        for rank, pieces in typed.items():
            at, batches[self.names[rank]] = _in_order(pieces)
            row[at] = np.arange(len(at))
        refused.sort(key=lambda item: item[0])
        return Inputs(
            stream=stream,
            row=row,
            source=source,
            position=position,
            received_ns=received_ns,
            read_ns=read,
            batches=batches,
            refused=_refused(refused),
            retried=retried,
            next_positions=next_positions,
        )


def _in_order(
    pieces: Sequence[tuple[Int32s | Int64s, Batch]],
) -> tuple[Int32s | Int64s, Batch]:
    """The rows of one stream that several sources give, by their places in the batch."""
    if len(pieces) == 1:
        return pieces[0]
    places = np.concatenate([places for places, _ in pieces])
    order = np.argsort(places, kind="stable")
    return places[order], concatenated([batch for _, batch in pieces]).take(order)


def _refused(rows: Sequence[tuple[int, RefusedRow]]) -> Refused:
    if not rows:
        return Refused.none()
    return Refused(
        index=np.array([at for at, _ in rows], dtype=np.int64),
        reasons=np.array([row.reason for _, row in rows], dtype=np.uint16),
        fields=tuple(row.field for _, row in rows),
        values=tuple(row.value for _, row in rows),
        expected=tuple(row.expected for _, row in rows),
        references=tuple(row.reference for _, row in rows),
        lengths=np.array([row.length for _, row in rows], dtype=np.int64),
    )


class HistoryIntake:
    """Finished sources, merged in known order (the design's contract of time, point 2).

    Args:
        assembly: Makes inputs.
        sources: Each with its number in the journal's header.
        arrives_after_ns: For each stream by name, how long after it happens an event is assumed to
            be known, where its schema does not say.
        clock: For the measured part alone.
        progress: Called with the rows looked through while the order is worked out.
        earlier: Where the journal says that each source goes on; None where nothing is journaled.
        keeps_times: Whether `happened` can be asked for.

    Attributes:
        begin: The place in known order that comes after what an earlier run decided.

    Raises:
        DataError: When the sources are not those that the earlier run decided a part of.
    """

    def __init__(
        self,
        assembly: Assembly,
        sources: Sequence[tuple[int, HistoricSource]],
        arrives_after_ns: Mapping[str, int],
        clock: Callable[[], int],
        progress: Callable[[int], None] = lambda _rows: None,
        earlier: Mapping[str, Position] | None = None,
        *,
        keeps_times: bool = False,
    ) -> None:
        self._assembly = assembly
        # sources in the order of their streams' ranks, so that their places break ties as ranks do
        self._sources = sorted(sources, key=lambda item: assembly.rank(item[1].stream))
        self._clock = clock
        self._ranks = [assembly.rank(source.stream) for _, source in self._sources]
        self._arrives_after_ns = arrives_after_ns
        self.begin = 0
        self._goes_on: list[Position] = []
        self._happened: list[Int64s] = []
        if earlier is None:
            times = self._times(progress)
            self._order = _in_known_order(times)
            self._happened = [part.at for part in times] if keeps_times else []
            return
        named = [source for _, source in self._sources]
        with Continuation(named, earlier, arrives_after_ns) as continuation:
            times = self._times(progress)
            self._order = _in_known_order(times)
            self._happened = [part.at for part in times] if keeps_times else []
            self._goes_on = continuation.positions([len(part) for part in times])
        self.begin = continuation.begin(self._order)

    def _times(self, progress: Callable[[int], None]) -> list[Times]:
        """When the rows of each source happened and were known."""
        times: list[Times] = []
        for place, (_, source) in enumerate(self._sources):
            after = self._arrives_after_ns.get(source.stream, 0)
            times.append(Times.of(place, *source.times(after, progress)))
        return times

    def __len__(self) -> int:
        return len(self._order)

    @property
    def known(self) -> Int64s:
        """When each input is known, in known order."""
        return self._order.known

    def ranks(self, begin: int, end: int) -> Int64s:
        """The ranks of the streams of inputs at these places of the known order."""
        return np.array(self._ranks, dtype=np.int64)[self._order.ranks[begin:end]]

    def happened(self, begin: int, end: int) -> Int64s:
        """When the inputs at these places of the known order happened."""
        of, rows = self._order.ranks[begin:end], self._order.positions[begin:end]
        at = np.empty(end - begin, dtype=np.int64)
        for index, times in enumerate(self._happened):
            mine = of == index
            at[mine] = times[rows[mine]]
        return at

    def batches(self, begin: int, size: int, end: int | None = None) -> Iterator[Inputs]:
        """Inputs from place `begin` of the known order on, `size` at a time, to before `end`.

        The first batches are smaller, so that the first decisions come at once.
        """
        width = min(size, 1_024)
        stretch = begin
        last = len(self._order) if end is None else end
        while begin < last:
            if begin == stretch:
                stretch = min(begin + _STRETCH, last)
                self._expect(begin, stretch)
            end = min(begin + width, stretch)
            yield self._batch(begin, end)
            begin = end
            width = min(size, width * 4)

    def _expect(self, begin: int, end: int) -> None:
        """Tell every source which rows of it come next."""
        rows, of = self._order.positions[begin:end], self._order.ranks[begin:end]
        for index, (_, source) in enumerate(self._sources):
            source.expect(rows[of == index])

    def _batch(self, begin: int, end: int) -> Inputs:
        rows = self._order.positions[begin:end]
        of = self._order.ranks[begin:end]
        received = self._order.known[begin:end]
        parts: list[Part] = []
        positions: dict[str, Position] = {}
        for index, (number, source) in enumerate(self._sources):
            places = np.flatnonzero(of == index) if len(self._sources) > 1 else None
            mine = rows if places is None else rows[places]
            if len(mine) == 0:
                continue
            parsed = source.read(mine)
            invariant(parsed.received == len(mine), f"{source.name} gives the rows asked for")
            parts.append(
                Part(number, self._ranks[index], places, mine, parsed, _raw_of(source, mine))
            )
            if self._goes_on:
                before = self._goes_on[index]
                self._goes_on[index] = replace(before, ordinal=before.ordinal + len(mine))
                positions[source.name] = self._goes_on[index]
        return self._assembly.inputs(parts, received, self._clock(), positions)


def _raw_of(source: HistoricSource, rows: Int64s) -> Callable[[int], bytes]:
    return lambda row: source.raw(int(rows[row]))


def _in_known_order(times: Sequence[Times]) -> Ordered:
    """The known order over all sources; one that stands in it already is not sorted again."""
    if len(times) == 1 and is_ordered(times[0]):
        only = times[0]
        return Ordered(np.zeros(len(only), dtype=np.uint16), only.positions, only.known)
    return known_order(times)


class LiveIntake:
    """Lines of one stream as they arrive: the order of arrival is the known order.

    Where an event says when it was received (`KnownAt`), that is its receive time; else the clock
    at the door is.

    Args:
        assembly: Makes inputs.
        name: Of the source, with its number in the journal's header.
        stream: Which stream the lines are of.
        parser: Of its schema.
        lines: As they arrive.
        clock: At the door.
        earlier: Where the journal says that the source goes on.
    """

    def __init__(
        self,
        assembly: Assembly,
        name: tuple[int, str],
        stream: str,
        parser: JsonLines,
        lines: LiveLines,
        *,
        clock: Callable[[], int],
        earlier: Position,
    ) -> None:
        self._assembly = assembly
        self._number, self._name = name
        self._earlier = earlier
        self._rank = assembly.rank(stream)
        self._known = assembly.schemas[stream].having(Role.KNOWN_AT)
        self._parser = parser
        self._lines = lines
        self._clock = clock

    def batches(
        self, takes: Callable[[int], bool], stopped: Callable[[], bool]
    ) -> Iterator[Inputs]:
        """Inputs from where an earlier run ended; the lines before must be those that it decided.

        Raises:
            DataError: When they are others.
        """
        again = FedAgain(self._name, self._earlier)
        first = self._earlier.ordinal
        for arrived in self._lines.batches(takes, stopped):
            fresh = again.fresh(arrived.data)
            if not fresh:
                continue
            parsed = self._parser.parse(fresh)
            size = parsed.received
            if size:
                position = {self._name: again.position(first + size)}
                yield self._inputs(ArrivedLines(fresh, arrived.read_ns), parsed, first, position)
            first += size
        if not stopped():
            again.end()

    def _inputs(
        self,
        arrived: ArrivedLines,
        parsed: Parsed,
        first: int,
        position: Mapping[str, Position],
    ) -> Inputs:
        size = parsed.received
        received = np.full(size, arrived.read_ns, dtype=np.int64)
        if self._known is not None:
            said = parsed.batch.fixed(self._known.name)
            received[parsed.places] = np.where(said.valid, said.values, arrived.read_ns)
        lines: list[bytes] = []

        def raw(row: int) -> bytes:
            if not lines:
                lines.extend(_lines_of(arrived.data))
            return lines[row]

        positions = np.arange(first, first + size)
        part = Part(self._number, self._rank, None, positions, parsed, raw)
        return self._assembly.inputs([part], received, arrived.read_ns, position)


def _lines_of(data: bytes) -> list[bytes]:
    """The lines that are not blank, without their ends."""
    stripped = (line.removesuffix(b"\r") for line in data.split(b"\n"))
    return [line for line in stripped if line]
