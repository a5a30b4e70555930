"""The engine runs a plan: rows of streams go in, features of the decided stream come out.

What it holds per key and per event can be asked for (`Engine.memory`).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.address import address_of
from headrace.core.columns import Kind, Text
from headrace.core.errors import ArtefactError, LimitReached
from headrace.core.interning import TextTable
from headrace.core.mapping import reserve
from headrace.engine import pool_kernels as pools
from headrace.engine.books import OrderBooks
from headrace.engine.frozen import FrozenEngine, PoolCopy
from headrace.engine.group_inputs import Answers, GroupInputs, Rows
from headrace.engine.group_state import GroupState
from headrace.engine.layout import answer_rows, lay_out
from headrace.engine.programs import (
    CompiledProgram,
    Loads,
    RowProgram,
    Surroundings,
    outputs_of,
)
from headrace.engine.reference import ReferenceTable
from headrace.engine.ring_kernels import LEAST
from headrace.engine.rows import Features, Memory
from headrace.engine.sequences import SequenceState
from headrace.engine.state_bytes import opened
from headrace.engine.texts import intern_all, texts_read, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Floats, Int64s
    from headrace.core.sequences import Sequences
    from headrace.definitions.plan import Plan
    from headrace.engine.book_answers import BookAnswers
    from headrace.engine.layout import GroupLayout
    from headrace.engine.rows import StreamRows

DEFAULT_LIMIT = 8 << 30
_SMALL = 2048  # rows below which starting a thread costs more than it gives
_SMALL_COPY = 1 << 18  # words, likewise


class Engine:
    """Runs a plan over batches; holds its state.

    The result for an event depends on the inputs before it alone: not on how they were cut into
    batches, nor on threads.

    Args:
        plan: What to compute.
        threads: How many work at once; all cores if not given.
        memory_limit_bytes: At this no batch is begun, and one that comes to it gives nothing.
        secret: Two halves of the key of hashes. A random one keeps whoever chooses keys from
            aiming collisions; who takes events from outside gives one. It has no influence
            on results.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        threads: int | None = None,
        memory_limit_bytes: int = DEFAULT_LIMIT,
        secret: tuple[int, int] = (0, 0),
    ) -> None:
        self.plan = plan
        self._digest = plan.digest()
        self._threads = threads or os.cpu_count() or 1
        self._workers = ThreadPoolExecutor(self._threads - 1) if self._threads > 1 else None
        self._limit = memory_limit_bytes
        # a batch begun below the limit can at most double what rings hold; pages that are never
        # written take no memory
        self._pool = reserve(max(memory_limit_bytes // 4, 1 << 27), np.int64)
        # the first word counts the bytes that are in use
        self._pool[0] = pools.SLAB
        self._texts = TextTable(memory_limit_bytes)
        self._texts.intern(Text.of(plan.texts))
        self._categories = list(plan.texts)
        self._tables = [ReferenceTable(table) for table in plan.tables]
        self._around = Surroundings(plan)
        self._around.point_at(self._tables)
        self._row_programs = {
            stream.name: RowProgram(plan, stream, self._around) for stream in plan.streams
        }
        self._program = CompiledProgram(plan.program, self._around, outputs_of(plan))
        row_of, self._known = answer_rows(plan, self._program.registers)
        self._loads = Loads.of(plan, row_of)
        inputs = GroupInputs(plan.on)
        self._groups = [
            GroupState(lay_out(plan, n), self._pool, secret, row_of, inputs)
            for n in range(len(plan.groups))
        ]
        self._books = OrderBooks(plan, memory_limit_bytes, secret)
        self._sequence = SequenceState(plan, self._pool, secret) if plan.sequence else None
        # what is written down and restored: groups, and that of the sequence as one more
        self._kept = [*self._groups, *([self._sequence.group] if self._sequence else [])]
        self._watermark = LEAST
        #: Whether state is known to be within its limit: it was after the last batch.
        self._is_within_limit = False
        self._reads = texts_read(plan)

    def compute(
        self, streams: Mapping[str, StreamRows], tables: Mapping[str, StreamRows] | None = None
    ) -> Features:
        """Take a batch of inputs and give the features of its decided events.

        Args:
            streams: Accepted rows by stream; one that has none may be left out.
            tables: Rows of reference tables by table, likewise.

        Raises:
            LimitReached: If state had met its limit, and nothing has been taken; or it meets it
                with this batch, and no other will be taken.
        """
        if not self._is_within_limit:
            self._check_limit()
        self._is_within_limit = False
        tables = tables or {}
        codes = intern_all(self._texts, self._reads, streams, tables)
        for table in self._tables:
            if table.plan.name in tables:
                self._take_table(table, tables[table.plan.name], codes)
        self._around.point_at(self._tables)
        books = self._books.advance(streams, codes, self._run, self._threads)
        rows = {
            name: self._rows(name, given, codes, books[name])
            for name, given in streams.items()
            if given.batch.rows
        }
        decided = rows.get(self.plan.on)
        answers = self._answers(len(decided.at) if decided else 0)
        for given in rows.values():
            self._watermark = max(self._watermark, int(given.watermark[-1]))
        self._advance(rows, decided, answers)
        features = self._features(decided, answers, codes, books)
        sequences = self._sequences(decided, features)
        for table in self._tables:
            # last of all: programs read the rows that this lets go of
            table.settle()
        # a batch that went past the limit is not decided; no later one is begun
        self._check_limit()
        self._is_within_limit = True
        return Features(features, self._categories_now(), sequences)

    def _answers(self, count: int) -> Answers:
        """The registers of the feature program, with what aggregates give where nothing is known.

        An aggregate that the program does not load goes into a row after the registers.
        """
        shape = (len(self._known), count)
        words, present = np.zeros(shape, dtype=np.int64), np.empty(shape, dtype=np.uint8)
        present[:] = self._known
        return Answers(words, present)

    def _advance(self, rows: Mapping[str, Rows], decided: Rows | None, answers: Answers) -> None:
        """Move all groups on: keys are hashed first, then shards are worked on."""
        size = sum(len(given.at) for given in rows.values()) + (len(decided.at) if decided else 0)
        self._move(self._groups, rows, decided, answers, size)

    def _move(
        self,
        groups: Sequence[GroupState],
        rows: Mapping[str, Rows],
        decided: Rows | None,
        answers: Answers,
        size: int,
    ) -> None:
        """Move some groups on by a batch with so many rows to work on."""
        parts = self._threads if size >= _SMALL else 1
        moving = [
            group
            for group in groups
            if group.begin(
                rows.get(group.layout.group.stream),
                decided,
                answers,
                self._visible(group.layout),
                parts,
            )
        ]
        if parts == 1:
            for group in moving:
                group.hash_part(0, 1)
            for group in moving:
                group.advance_part(0, 1)
            return
        for work in (GroupState.hash_part, GroupState.advance_part):
            tasks = [partial(work, group, n, parts) for group in moving for n in range(parts)]
            self._run(tasks)

    def _visible(self, layout: GroupLayout) -> int:
        """Rows of a group at or before this time are seen by nobody any more."""
        if self._watermark == LEAST:
            return LEAST
        edge = max(self._watermark - layout.reach, LEAST)
        return edge - edge % layout.every if layout.every else edge

    def _check_limit(self) -> None:
        used = sum(self._sizes())
        if used >= self._limit:
            raise LimitReached(
                f"state takes {used:,} bytes, its limit is {self._limit:,}; "
                "raise the limit, shorten windows, or hold fewer keys in this lane"
            )

    def _run(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run tasks that share nothing, over all threads: each is worth one."""
        if self._workers is None or len(tasks) == 1:
            for task in tasks:
                task()
            return
        waiting = iter(tasks)
        taking = Lock()

        def work() -> None:
            while True:
                with taking:
                    task = next(waiting, None)
                if task is None:
                    return
                task()

        others = [self._workers.submit(work) for _ in range(min(self._threads, len(tasks)) - 1)]
        work()
        for other in others:
            other.result()

    def _take_table(
        self, table: ReferenceTable, given: StreamRows, codes: Mapping[tuple[str, str], Int64s]
    ) -> None:
        words = {
            field.name: words_of(given.batch, table.plan.name, field.name, codes)
            for field in table.plan.schema.fields
        }
        if given.batch.rows:
            table.add(words, given.sequence)

    def _rows(
        self,
        name: str,
        given: StreamRows,
        codes: Mapping[tuple[str, str], Int64s],
        books: BookAnswers,
    ) -> Rows:
        """Run a stream's row program."""
        program = self._row_programs[name]
        registers, valid = program.loaded(given.batch, codes, books)
        self._execute(program.compiled, registers, valid, given.sequence)
        at = given.batch.fixed(program.event_time).values
        return Rows(given.batch, given.sequence, at, given.watermark_ns, registers, valid)

    def _execute(
        self,
        program: CompiledProgram,
        registers: NDArray[np.int64],
        valid: NDArray[np.uint8],
        sequence: Int64s,
        features: Floats | None = None,
    ) -> None:
        """Run a program over all rows, in parts if there are many."""
        if program.idle:
            return
        count = registers.shape[1]
        parts = self._threads if count >= _SMALL else 1
        program.begin(registers, valid, sequence, features, parts)
        if parts == 1:
            program.run_part(0, 0, count)
            return
        edges = pairwise(count * n // parts for n in range(parts + 1))
        tasks = [partial(program.run_part, n, *edge) for n, edge in enumerate(edges)]
        self._run(tasks)

    def _features(
        self,
        rows: Rows | None,
        answers: Answers,
        codes: Mapping[tuple[str, str], Int64s],
        books: Mapping[str, BookAnswers],
    ) -> Floats:
        """Run the feature program and round its results."""
        count = len(rows.at) if rows else 0
        features = np.empty((len(self.plan.features), count), dtype=np.float64)
        if rows is None:
            return features
        registers, valid = answers.words, answers.present
        for register, source in self._loads.rows:
            registers[register], valid[register] = rows.registers[source], rows.valid[source]
        for register, name in self._loads.fields:
            registers[register], valid[register] = words_of(rows.batch, self.plan.on, name, codes)
        self._loads.books.put(books[self.plan.on], registers, valid)
        for register, twin in self._loads.copies:
            registers[register], valid[register] = registers[twin], valid[twin]
        self._execute(self._program, registers, valid, rows.sequence, features)
        return features

    def _sequences(self, decided: Rows | None, features: Floats) -> Sequences | None:
        """Put the decided events' vectors in, and read the last of each one's key."""
        if self._sequence is None:
            return None
        count = features.shape[1]
        answers, sequences = self._sequence.asked(count)
        if decided is not None:
            entering = self._sequence.entering(decided, features)
            given = {self.plan.on: entering}
            self._move([self._sequence.group], given, entering, answers, count)
        return sequences

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
        return b"".join(self.freeze().content()[1])

    def freeze(self, into: Int64s | None = None) -> FrozenEngine:
        """The state as it stands, to be made into bytes.

        Args:
            into: Words that what changes is copied into, `room_words` at least, so that batches
                can go on meanwhile; None where none does.
        """
        used = self.room_words
        copy = None
        if into is not None:
            parts = self._threads if used >= _SMALL_COPY else 1
            edges = pairwise(used * n // parts for n in range(parts + 1))
            tasks = [partial(_copy, into, self._pool, *edge) for edge in edges]
            self._run(tasks)
            copy = PoolCopy(into, address_of(self._pool))
        return FrozenEngine(
            digest=self._digest,
            watermark=self._watermark,
            texts=self._texts,
            known=len(self._texts),
            tables=[table.rows for table in self._tables],
            groups=[group.freeze(self._visible(group.layout)) for group in self._kept],
            books=self._books.snapshots(),
            copy=copy,
        )

    @property
    def room_words(self) -> int:
        """Words of the pool that are in use: what a copy of the state takes."""
        return int(self._pool[0]) // 8

    @property
    def room_most(self) -> int:
        """The most that `room_words` can become."""
        return len(self._pool)

    @classmethod
    def restore(
        cls,
        plan: Plan,
        snapshot: bytes,
        *,
        threads: int | None = None,
        memory_limit_bytes: int = DEFAULT_LIMIT,
        secret: tuple[int, int] = (0, 0),
    ) -> Engine:
        """An engine with the state of a snapshot.

        Raises:
            ArtefactError: If these are not the bytes of a snapshot of this plan.
        """
        digest, pieces = opened(snapshot)
        if digest != plan.digest():
            raise ArtefactError(
                f"the snapshot is of plan {digest}, not of {plan.digest()}; "
                "replay the journal to make the state of the new definition"
            )
        engine = cls(plan, threads=threads, memory_limit_bytes=memory_limit_bytes, secret=secret)
        engine._take(pieces)
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
        rest = pieces[2 + len(self._tables) :]
        books = len(self._books.states)
        for book, piece in zip(self._books.states, rest[:books], strict=True):
            book.restore(piece)
        for group, piece in zip(self._kept, rest[books:], strict=True):
            group.restore(piece)

    def book_state(self, book: int, key: str) -> bytes | None:
        """What the order book of one key is, as bytes; None if there is none."""
        return self._books.states[book].key_state(self._texts, key)

    def put_book_state(self, book: int, key: str, content: bytes) -> None:
        """Set the order book of one key to what `book_state` gave.

        Raises:
            ArtefactError: If the bytes are no such book.
        """
        self._is_within_limit = False
        self._books.states[book].put_key_state(self._texts, key, content)

    def key_state(self, group: int, key: tuple[str, ...]) -> bytes | None:
        """What a group holds for one key, as bytes; None if nothing that can still be seen.

        Args:
            group: Its number in the plan; that of the plan's sequence comes after the groups'.
            key: The key's fields as text (integers in decimal).
        """
        state = self._kept[group]
        words = state.key_words(self._key_texts(group), key)
        return state.key_state(words, self._visible(state.layout))

    def put_key_state(self, group: int, key: tuple[str, ...], content: bytes) -> None:
        """Set what a group holds for one key to what `key_state` gave.

        Raises:
            ArtefactError: If the bytes are of another key, or cut.
        """
        state = self._kept[group]
        words = state.key_words(self._key_texts(group), key)
        row = state.layout.row
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
        self._is_within_limit = False
        state.restore(content)

    def _key_texts(self, group: int) -> list[bool]:
        """Which fields of a group's key are texts."""
        plan = self._kept[group].layout.group
        schema = self.plan.stream(plan.stream).schema
        return [schema.field(name).kind is Kind.TEXT for name in plan.key]

    def _sizes(self) -> tuple[int, int, int, int]:
        """Bytes of keys and events, of texts, of reference tables and of order books."""
        tables = sum([table.rows.nbytes for table in self._tables])
        return int(self._pool[0]), self._texts.memory(), tables, self._books.size

    def has_rows(self, table: str) -> bool:
        """Whether a row of a reference table is known."""
        return any(len(held.rows) > 0 for held in self._tables if held.plan.name == table)

    def memory(self) -> Memory:
        """What state takes, by structure; order books where there are any."""
        names = ["keys and events", "texts", "reference tables"]
        if self._books.states:
            names.append("order books")
        return Memory(
            bytes_by=dict(zip(names, self._sizes(), strict=False)),
            keys=tuple(group.entities for group in self._kept),
            held=tuple(group.held for group in self._kept),
        )


def _copy(target: Int64s, source: Int64s, first: int, last: int) -> None:
    """Copy some words; other threads run meanwhile."""
    target[first:last] = source[first:last]
