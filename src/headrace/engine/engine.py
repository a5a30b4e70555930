"""The engine runs a plan: rows of streams go in, features of the decided stream come out.

What it holds per key and per event can be asked for (`Engine.memory`).
"""

from __future__ import annotations

import hashlib
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import Fixed, Kind, Text
from headrace.core.errors import ArtefactError, LimitReached, invariant
from headrace.core.interning import TextTable
from headrace.core.mapping import reserve
from headrace.engine import expression_kernels as machine
from headrace.engine import pool_kernels as pools
from headrace.engine.group_state import Answers, GroupState, Rows
from headrace.engine.layout import defaults, lay_out
from headrace.engine.programs import CompiledProgram, Surroundings
from headrace.engine.reference import ReferenceTable
from headrace.engine.ring_kernels import LEAST
from headrace.events.schema import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from headrace.core.columns import Batch, Bytes, Floats, Int64s
    from headrace.definitions.plan import Plan

DEFAULT_LIMIT = 8 << 30
_MAGIC = b"headrace/engine/v1\0"
_SMALL = 512  # rows below which starting a thread costs more than it gives


@dataclass(frozen=True, slots=True)
class StreamRows:
    """Accepted rows of one stream (or rows of a table), in known order.

    Attributes:
        batch: Their columns.
        sequence: Their places in known order, ascending; no two inputs share one.
        watermark_ns: The watermark of the *decided* stream just after each; the least integer
            before it has any. Not read for tables.
    """

    batch: Batch
    sequence: Int64s
    watermark_ns: Int64s


@dataclass(frozen=True, slots=True)
class Features:
    """Features of the decided stream's rows.

    Attributes:
        values: One row for each feature, one column for each event; NaN is missing. Money and
            decimals are in units; a category is its code.
        categories: What the codes of text stand for.
    """

    values: Floats
    categories: list[str]


@dataclass(frozen=True, slots=True)
class Memory:
    """What state takes.

    Attributes:
        bytes_by: Bytes by structure.
        keys: Entities of each group.
        held: Events (or buckets) held by each group.
    """

    bytes_by: Mapping[str, int]
    keys: tuple[int, ...]
    held: tuple[int, ...]

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(self.bytes_by.values())


class Engine:
    """Runs a plan over batches; holds its state.

    The result for an event depends on the inputs before it alone: not on how they were cut into
    batches, nor on threads.

    Args:
        plan: What to compute.
        threads: How many work at once; all cores if not given.
        memory_limit_bytes: Above this no batch is begun.
        secret: Two halves of the key of hashes; drawn at random if not given. It has no influence
            on results.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        threads: int | None = None,
        memory_limit_bytes: int = DEFAULT_LIMIT,
        secret: tuple[int, int] | None = None,
    ) -> None:
        self.plan = plan
        self._threads = threads or os.cpu_count() or 1
        self._workers = ThreadPoolExecutor(self._threads) if self._threads > 1 else None
        self._limit = memory_limit_bytes
        # a batch begun below the limit can at most double what rings hold; pages that are never
        # written take no memory
        self._pool = reserve(max(memory_limit_bytes // 4, 1 << 27), np.int64)
        self._pool[0] = pools.SLAB
        halves = secret or (secrets.randbits(64), secrets.randbits(64))
        self._groups = [
            GroupState(lay_out(plan, n), self._pool, halves) for n in range(len(plan.groups))
        ]
        self._texts = TextTable(memory_limit_bytes)
        self._texts.intern(Text.of(plan.texts))
        self._categories = list(plan.texts)
        self._tables = [ReferenceTable(table) for table in plan.tables]
        self._around = Surroundings(plan)
        self._around.point_at(self._tables)
        self._row_programs = {
            stream.name: CompiledProgram(stream.program) for stream in plan.streams
        }
        self._program = CompiledProgram(plan.program)
        self._known = defaults(plan)
        self._watermark = LEAST
        self._reads = self._texts_read()

    def _texts_read(self) -> dict[str, tuple[str, ...]]:
        """For each stream and table, the text fields whose codes programs read, in order."""
        wanted: dict[str, tuple[str, ...]] = {}
        features = {load[6:] for load in self.plan.program.loads if load.startswith("field:")}
        for stream in self.plan.streams:
            loads = set(stream.program.loads)
            loads |= features if stream.name == self.plan.on else set()
            wanted[stream.name] = tuple(
                field.name
                for field in stream.schema.fields
                if field.kind is Kind.TEXT and field.name in loads
            )
        for table in self.plan.tables:
            wanted[table.name] = tuple(
                field.name for field in table.schema.fields if field.kind is Kind.TEXT
            )
        return wanted

    def compute(
        self, streams: Mapping[str, StreamRows], tables: Mapping[str, StreamRows] | None = None
    ) -> Features:
        """Take a batch of inputs and give the features of its decided events.

        Args:
            streams: Accepted rows by stream; one that has none may be left out.
            tables: Rows of reference tables by table, likewise.

        Raises:
            LimitReached: If state has met its limit; nothing has been taken.
        """
        self._check_limit()
        tables = tables or {}
        codes = self._intern(streams, tables)
        for table in self._tables:
            if table.plan.name in tables:
                self._take_table(table, tables[table.plan.name], codes)
        self._around.point_at(self._tables)
        rows = {
            name: self._rows(name, given, codes)
            for name, given in streams.items()
            if given.batch.rows
        }
        decided = rows.get(self.plan.on)
        answers = Answers.of(len(decided.at) if decided else 0, self._known)
        tasks: list[Callable[[], None]] = []
        for given in rows.values():
            self._watermark = max(self._watermark, int(given.watermark[-1]))
        for group in self._groups:
            visible = self._visible(group)
            entering = rows.get(group.layout.group.stream)
            size = sum(len(part.at) for part in (entering, decided) if part)
            parts = self._threads if size > _SMALL else 1
            tasks += group.tasks(entering, decided, visible, answers, parts)
        self._run(tasks)
        for table in self._tables:
            table.settle()
        return Features(self._features(decided, answers, codes), self._categories_now())

    def _visible(self, group: GroupState) -> int:
        """Rows of a group at or before this time are seen by nobody any more."""
        if self._watermark == LEAST:
            return LEAST
        reach, every = int(group.layout.shape[6]), int(group.layout.shape[4])
        edge = max(self._watermark - reach, LEAST)
        return edge - edge % every if every else edge

    def _check_limit(self) -> None:
        used = self.memory().total
        if used >= self._limit:
            raise LimitReached(
                f"state takes {used:,} bytes, its limit is {self._limit:,}; "
                "raise the limit, shorten windows, or hold fewer keys in this lane"
            )

    def _run(self, tasks: list[Callable[[], None]]) -> None:
        """Run tasks that share nothing, at once if there is more than one."""
        if self._workers is None or len(tasks) < 2:
            for task in tasks:
                task()
            return
        for done in [self._workers.submit(task) for task in tasks]:
            done.result()

    def _intern(
        self, streams: Mapping[str, StreamRows], tables: Mapping[str, StreamRows]
    ) -> dict[tuple[str, str], Int64s]:
        """Codes of all texts that programs read; new texts are numbered in known order."""
        sources = [
            (name, field, given)
            for given_by in (streams, tables)
            for name, given in given_by.items()
            for field in self._reads[name]
            if given.batch.rows
        ]
        if len(sources) == 1:
            name, field, given = sources[0]
            return {(name, field): self._texts.intern(given.batch.text(field))}
        if not sources:
            return {}
        columns = [given.batch.text(field) for _, field, given in sources]
        # ranks follow the plan, so that two fields of one event are numbered in its order
        ranks = {
            (name, field): (rank, place)
            for rank, (name, fields) in enumerate(self._reads.items())
            for place, field in enumerate(fields)
        }
        places = sorted(range(len(sources)), key=lambda s: ranks[sources[s][0], sources[s][1]])
        order = np.argsort(np.concatenate([sources[s][2].sequence for s in places]), kind="stable")
        merged = _joined([columns[s] for s in places]).take(order)
        found = np.empty(len(merged), dtype=np.int64)
        found[order] = self._texts.intern(merged)
        codes, first = {}, 0
        for s in places:
            name, field, given = sources[s]
            codes[name, field] = found[first : first + given.batch.rows]
            first += given.batch.rows
        return codes

    def _take_table(
        self, table: ReferenceTable, given: StreamRows, codes: Mapping[tuple[str, str], Int64s]
    ) -> None:
        words = {
            field.name: _words(given.batch, table.plan.name, field.name, codes)
            for field in table.plan.schema.fields
        }
        if given.batch.rows:
            table.add(words, given.sequence)

    def _rows(self, name: str, given: StreamRows, codes: Mapping[tuple[str, str], Int64s]) -> Rows:
        """Run a stream's row program."""
        stream = self.plan.stream(name)
        program = self._row_programs[name]
        count = given.batch.rows
        registers = np.empty((program.registers, count), dtype=np.int64)
        valid = np.empty((program.registers, count), dtype=np.uint8)
        for register, field in enumerate(program.loads):
            values, there = _words(given.batch, name, field, codes)
            invariant(
                stream.schema.field(field).optional or there.all(),
                f"{name}.{field} is present in every accepted event",
            )
            registers[register], valid[register] = values, there
        self._execute(program, registers, valid, given.sequence)
        event_time = stream.schema.having(Role.EVENT_TIME)
        invariant(event_time is not None, f"{name} has an event time")
        at = given.batch.fixed(event_time.name).values if event_time else given.sequence
        return Rows(given.batch, given.sequence, at, given.watermark_ns, registers, valid)

    def _execute(
        self,
        program: CompiledProgram,
        registers: NDArray[np.int64],
        valid: NDArray[np.uint8],
        sequence: Int64s,
    ) -> None:
        """Run a program over all rows, in parts if there are many."""
        if not len(program.code):
            return
        around, count = self._around, registers.shape[1]
        parts = self._threads if count > _SMALL else 1
        edges = np.linspace(0, count, parts + 1).astype(int).tolist()

        def part(low: int, high: int) -> Callable[[], None]:
            def work() -> None:
                machine.run_program(
                    program.code,
                    program.arguments,
                    registers,
                    valid,
                    sequence,
                    around.set_starts,
                    around.set_values,
                    around.calendars,
                    around.steps,
                    around.conversions,
                    around.digits,
                    around.lookups,
                    around.tables,
                    low,
                    high,
                )

            return work

        self._run([part(low, high) for low, high in zip(edges, edges[1:], strict=False)])

    def _features(
        self, rows: Rows | None, answers: Answers, codes: Mapping[tuple[str, str], Int64s]
    ) -> Floats:
        """Run the feature program and round its results."""
        outputs = self.plan.features
        if rows is None:
            return np.zeros((len(outputs), 0), dtype=np.float64)
        program, count = self._program, len(rows.at)
        registers = np.empty((program.registers, count), dtype=np.int64)
        valid = np.empty((program.registers, count), dtype=np.uint8)
        for register, load in enumerate(program.loads):
            what, _, name = load.partition(":")
            if what == "aggregate":
                registers[register] = answers.words[:, int(name)]
                valid[register] = answers.present[:, int(name)]
            elif what == "row":
                registers[register] = rows.registers[int(name)]
                valid[register] = rows.valid[int(name)]
            else:
                values, there = _words(rows.batch, self.plan.on, name, codes)
                registers[register], valid[register] = values, there
        self._execute(program, registers, valid, rows.sequence)
        features = np.empty((len(outputs), count), dtype=np.float64)
        scaled = {Kind.MONEY, Kind.DECIMAL}
        table = np.array(
            [
                [f.register, f.scale if f.kind in scaled else 0, f.kind is Kind.FLOAT]
                for f in outputs
            ],
            dtype=np.int64,
        ).reshape(-1, 3)
        machine.finish_features(registers, valid, table, features, 0, count)
        return features

    @property
    def categories(self) -> list[str]:
        """What the codes of text stand for, so far."""
        return self._categories_now()

    def _categories_now(self) -> list[str]:
        """The dictionary of texts, brought up to date."""
        known = len(self._categories)
        if len(self._texts) > known:
            fresh = self._texts.strings(np.arange(known, len(self._texts), dtype=np.int64))
            self._categories += [text or "" for text in fresh.strings()]
        return self._categories

    def snapshot(self) -> bytes:
        """The whole state: the same state gives the same bytes, however it came about."""
        pieces = [np.array([self._watermark], dtype="<i8").tobytes(), self._texts.snapshot()]
        pieces += [table.rows.astype("<i8").tobytes() for table in self._tables]
        pieces += [group.snapshot(self._visible(group)) for group in self._groups]
        framed = b"".join(len(piece).to_bytes(8, "little") + piece for piece in pieces)
        body = _MAGIC + bytes.fromhex(self.plan.digest()) + framed
        return body + hashlib.sha256(body).digest()

    @classmethod
    def restore(
        cls,
        plan: Plan,
        snapshot: bytes,
        *,
        threads: int | None = None,
        memory_limit_bytes: int = DEFAULT_LIMIT,
    ) -> Engine:
        """An engine with the state of a snapshot.

        Raises:
            ArtefactError: If these are not the bytes of a snapshot of this plan.
        """
        body, checksum = snapshot[:-32], snapshot[-32:]
        if not body.startswith(_MAGIC):
            raise ArtefactError(
                f"not a snapshot of this version: it begins with {snapshot[:24]!r}, expected "
                f"{_MAGIC!r}; replay the journal to make the state anew"
            )
        if hashlib.sha256(body).digest() != checksum:
            raise ArtefactError(
                "the snapshot was damaged or cut: its checksum differs; take an older"
            )
        digest = body[len(_MAGIC) : len(_MAGIC) + 32].hex()
        if digest != plan.digest():
            raise ArtefactError(
                f"the snapshot is of plan {digest}, not of {plan.digest()}; "
                "replay the journal to make the state of the new definition"
            )
        engine = cls(plan, threads=threads, memory_limit_bytes=memory_limit_bytes)
        engine._take(_unframed(body[len(_MAGIC) + 32 :]))
        return engine

    def _take(self, pieces: list[bytes]) -> None:
        """Take the pieces of a snapshot into an engine that has seen nothing."""
        self._watermark = int(np.frombuffer(pieces[0], dtype="<i8")[0])
        self._texts = TextTable(self._limit)
        self._texts.restore(pieces[1])
        self._categories = []
        self._categories_now()
        for table, piece in zip(self._tables, pieces[2:], strict=False):
            rows = np.frombuffer(piece, dtype="<i8").astype(np.int64)
            table.rows = rows.reshape(-1, table.rows.shape[1])
        self._around.point_at(self._tables)
        for group, piece in zip(self._groups, pieces[2 + len(self._tables) :], strict=True):
            group.restore(piece)

    def key_state(self, group: int, key: tuple[str, ...]) -> bytes | None:
        """What a group holds for one key, as bytes; None if nothing that can still be seen.

        Args:
            group: Its number in the plan.
            key: The key's fields as text (integers in decimal).
        """
        state = self._groups[group]
        words = state.key_words(self._key_texts(group), key)
        return state.key_state(words, self._visible(state))

    def put_key_state(self, group: int, key: tuple[str, ...], content: bytes) -> None:
        """Set what a group holds for one key to what `key_state` gave.

        Raises:
            ArtefactError: If the bytes are of another key, or cut.
        """
        state = self._groups[group]
        words = state.key_words(self._key_texts(group), key)
        row = int(state.layout.shape[0])
        head = len(words) + 2
        found = np.frombuffer(content[: len(content) // 8 * 8], dtype="<i8")
        if (
            len(content) % 8
            or len(found) < head
            or found[0] != len(words)
            or (found[1 : head - 1] != words).any()
            or len(found) != head + int(found[head - 1]) * row
        ):
            raise ArtefactError(
                f"these {len(content)} bytes are not the state of key {key} in group {group}; "
                "read them again with key_state of the same plan"
            )
        state.restore(content)

    def _key_texts(self, group: int) -> list[bool]:
        """Which fields of a group's key are texts."""
        plan = self.plan.groups[group]
        schema = self.plan.stream(plan.stream).schema
        return [schema.field(name).kind is Kind.TEXT for name in plan.key]

    def memory(self) -> Memory:
        """What state takes, by structure."""
        return Memory(
            bytes_by={
                "keys and events": 8 * int(self._pool[0]),
                "texts": self._texts.memory(),
                "reference tables": sum(table.rows.nbytes for table in self._tables),
            },
            keys=tuple(int(g.controls[:, pools.ENTITIES].sum()) for g in self._groups),
            held=tuple(int(g.controls[:, pools.HELD].sum()) for g in self._groups),
        )


def _unframed(content: bytes) -> list[bytes]:
    """The pieces of a snapshot's body."""
    pieces, place = [], 0
    while place < len(content):
        size = int.from_bytes(content[place : place + 8], "little")
        pieces.append(content[place + 8 : place + 8 + size])
        place += 8 + size
    return pieces


def _words(
    batch: Batch, source: str, field: str, codes: Mapping[tuple[str, str], Int64s]
) -> tuple[Int64s, Bytes]:
    """A field as words and validity; a text as its codes."""
    column = batch.columns[field]
    if isinstance(column, Fixed):
        return column.values, column.valid
    return np.maximum(codes[source, field], 0), column.valid


def _joined(columns: list[Text]) -> Text:
    """Text columns one after the other."""
    lengths = np.concatenate([np.diff(column.offsets) for column in columns])
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    pieces = [column.data[column.offsets[0] : column.offsets[-1]] for column in columns]
    return Text(offsets, np.concatenate(pieces), np.concatenate([c.valid for c in columns]))
