"""The state of one group, and how a batch moves it on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.address import address_of
from headrace.core.columns import Text
from headrace.core.exact import WIDTH
from headrace.core.memory import entry
from headrace.engine import key_kernels as keys
from headrace.engine import pool_kernels as pools
from headrace.engine import query_kernels as queries
from headrace.engine import record_kernels as records
from headrace.engine import ring_kernels as rings
from headrace.engine import summary_kernels as summaries
from headrace.engine import window_kernels as window
from headrace.engine.ratio_kernels import wide_ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Batch, Int64s
    from headrace.engine.layout import GroupLayout

    Task = Callable[[], object]

_WORK_WORDS = 6 * WIDTH


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one stream, ready for groups.

    Attributes:
        batch: Their columns.
        sequence: Their places in known order.
        at: Event times.
        watermark: Of the decided stream just after each.
        registers: Of the row program.
        valid: Of the registers.
    """

    batch: Batch
    sequence: Int64s
    at: Int64s
    watermark: Int64s
    registers: NDArray[np.int64]
    valid: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Answers:
    """What aggregates give: registers that queries write, by row of the matrices.

    Attributes:
        words: Rows by decided events.
        present: Their validity.
        row_of: Which row each aggregate goes to.
    """

    words: NDArray[np.int64]
    present: NDArray[np.uint8]
    row_of: Int64s


class _Keys:
    """The keys of a batch's rows: addresses of their columns, room for one and for all hashes."""

    def __init__(self, batch: Batch, names: Sequence[str]) -> None:
        self.rows = batch.rows
        self.longest = 0
        self.columns = np.zeros((len(names), keys.KEY_COLUMN_BYTES // 8), dtype=np.int64)
        for row, name in zip(self.columns, names, strict=True):
            column = batch.columns[name]
            if isinstance(column, Text):
                self.longest += len(column.data) // 8 + 2
                values, offsets = address_of(column.data), address_of(column.offsets)
                row[:] = [1, values, offsets, address_of(column.valid)]
            else:
                self.longest += 1
                row[:] = [0, address_of(column.values), 0, address_of(column.valid)]
        self.hashes = np.empty(self.rows, dtype=np.int64)


class GroupState:
    """The keyed state of one group: a control row for each shard, in the engine's pool."""

    def __init__(self, layout: GroupLayout, pool: Int64s, secret: tuple[int, int]) -> None:
        self.layout = layout
        self._pool = pool
        self._controls: NDArray[np.int64] = np.zeros(
            (pools.SHARDS, pools.CONTROL_BYTES // 8), dtype=np.int64
        )
        self._queries = layout.queries.copy()
        for query in self._queries:
            function, floating = query[queries.Q_FUNCTION // 8], query[queries.Q_FLOAT // 8]
            query[queries.Q_DO // 8] = entry(queries.reader(int(function), floating=bool(floating)))
        self._put_record = entry(records.put_record)
        self._table: Int64s = np.zeros(pools.TABLE_WORDS, dtype=np.int64)
        columns, asked = address_of(layout.columns), address_of(self._queries)
        self._set(
            self._table,
            {
                pools.POOL: address_of(pool),
                pools.CONTROLS: address_of(self._controls),
                pools.ROW: 8 * layout.row,
                pools.TOTALS: 8 * layout.totals,
                pools.SUMMARIES: layout.summaries,
                pools.EVERY: layout.every,
                pools.KEY_AT: layout.key_at,
                pools.REACH: layout.reach,
                pools.COLUMNS: columns,
                pools.COLUMNS_END: columns + layout.columns.nbytes,
                pools.EDGES: address_of(layout.edges),
                pools.EDGE_COUNT: layout.edges.nbytes,
                pools.QUERIES: asked,
                pools.QUERIES_AFTER: asked + layout.before * queries.QUERY_BYTES,
                pools.QUERIES_END: asked + self._queries.nbytes,
                pools.DO_BEGIN: entry(pools.begin_shard),
                pools.DO_ENTER: entry(pools.enter),
                pools.DO_INSERT: entry(rings.insert),
                pools.DO_NOTE: entry(summaries.note),
                pools.DO_RATIO: entry(wide_ratio),
                pools.DO_SWEEP: entry(window.sweep),
                pools.FIELDS: len(layout.group.key),
                pools.PHASES: layout.phases,
            },
        )
        self._table[pools.HASH_0 // 8 : pools.HASH_1 // 8 + 1] = np.array(
            secret, dtype=np.uint64
        ).view(np.int64)

    @staticmethod
    def _set(table: Int64s, slots: dict[int, int]) -> None:
        """Fill slots of a table."""
        for slot, value in slots.items():
            table[slot >> 3] = value

    def _with_room(self, table: Int64s, longest_key: int) -> Int64s:
        """A copy of a table with places of its own to work in; they stay behind its slots."""
        edges, columns = len(self.layout.edges), len(self.layout.columns)
        sizes = {
            pools.ADDED: 2 * columns,
            pools.PLACES: edges,
            pools.BOUNDS: edges,
            pools.ENTITIES_AT: window.CHUNK,
            pools.WORK: _WORK_WORDS,
            pools.THERE: 1,
            pools.SHARDS_AT: 2 * pools.SHARDS + 1,
            pools.KEY: longest_key,
        }
        whole = np.zeros(len(table) + sum(sizes.values()), dtype=np.int64)
        whole[: len(table)] = table
        place = address_of(whole) + table.nbytes
        for slot, size in sizes.items():
            whole[slot >> 3] = place
            place += 8 * size
        return whole

    def hashing(
        self, entering: Rows | None, asking: Rows | None, parts: int
    ) -> tuple[list[Task], list[_Keys]]:
        """The work of hashing a batch's keys, cut into parts; and the keys it is done to."""
        group, found = self.layout.group, []
        if entering is not None:
            found.append(_Keys(entering.batch, group.key))
        if asking is not None and not (self.layout.own and entering is not None):
            found.append(_Keys(asking.batch, group.asked_by))
        tasks: list[Task] = []
        table = address_of(self._table)
        for given in found:
            edges = [given.rows * part // parts for part in range(parts + 1)]
            for first, last in pairwise(edges):
                tasks.append(self._hash_part(table, given, first, last))
        return tasks, found

    @staticmethod
    def _hash_part(table: int, given: _Keys, first: int, last: int) -> Task:
        def work() -> None:
            room = np.empty(given.longest, dtype=np.int64)
            hashes, columns = address_of(given.hashes), address_of(given.columns)
            keys.hash_keys(table, columns, hashes, address_of(room), first, last)

        return work

    def _merged(self, entering: Rows | None, asking: Rows | None) -> tuple[NDArray[np.int64], int]:
        """What a batch does to a group by two keys or streams, in known order."""
        given = []
        for rows in (entering, asking):
            if rows is None:
                given += [0, 0, 0, 0]
            else:
                arrays = (rows.sequence, rows.at, rows.watermark)
                given += [len(rows.at), *(address_of(array) for array in arrays)]
        made = np.empty((given[0] + 2 * given[4], keys.OPERATION_BYTES // 8), dtype=np.int64)
        about = np.array(given, dtype=np.int64)
        count = keys.merge_operations(address_of(about), self.layout.phases, address_of(made))
        return made, int(count)

    def advancing(
        self,
        entering: Rows | None,
        asking: Rows | None,
        found: list[_Keys],
        visible: int,
        answers: Answers,
        parts: int,
    ) -> list[Task]:
        """The work of a batch after hashing, cut into calls that share no shard."""
        if not found:
            return []
        own = self.layout.own and entering is not None
        made, count = (None, found[0].rows) if own else self._merged(entering, asking)
        order = np.empty(count, dtype=np.int64)
        source = entering if entering is not None else asking
        if source is None:
            return []
        enters, asks = found[0], found[-1]
        self._queries[:, queries.Q_OUT // 8] = answers.row_of[
            self.layout.queries[:, queries.Q_OUT // 8]
        ]
        slots = {
            pools.ENTERING: address_of(enters.columns),
            pools.ASKING: address_of(asks.columns),
            pools.HASHES: address_of(enters.hashes),
            pools.ASKING_HASHES: address_of(asks.hashes),
            pools.OPERATIONS: address_of(made) if made is not None else 0,
            pools.COUNT_OF: count,
            pools.ORDER: address_of(order),
            pools.AT: address_of(source.at),
            pools.WATERMARK: address_of(source.watermark),
            pools.REGISTERS: address_of(source.registers),
            pools.VALID: address_of(source.valid),
            pools.ROWS: len(source.at),
            pools.OUT: address_of(answers.words),
            pools.PRESENT: address_of(answers.present),
            pools.OUT_ROWS: answers.words.shape[1],
            pools.VISIBLE: visible,
        }
        self._set(self._table, slots)
        longest = max(given.longest for given in found)
        edges = [pools.SHARDS * part // parts for part in range(parts + 1)]
        kept = (made, order, found, source, answers)
        return [
            self._advance_part(self._with_room(self._table, longest), first, last, kept)
            for first, last in pairwise(edges)
        ]

    @staticmethod
    def _advance_part(table: Int64s, first: int, last: int, kept: tuple[object, ...]) -> Task:
        """The work of some shards; `kept` is what the table has addresses of."""

        def work() -> tuple[object, ...]:
            window.advance(address_of(table), first, last)
            return kept

        return work

    def _looking(self, visible: int, longest_key: int = 1) -> Int64s:
        """A table for calls outside of batches."""
        table = self._with_room(self._table, longest_key)
        self._set(table, {pools.VISIBLE: visible})
        return table

    def snapshot(self, visible: int) -> bytes:
        """All keys that hold something visible, in the order of their words, and what they hold."""
        table, size = self._looking(visible), np.zeros(1, dtype=np.int64)
        made = records.write_records(address_of(table), self._put_record, 0, address_of(size))
        words = np.empty(int(size[0]) // 8 + 1, dtype=np.int64)
        starts = np.zeros(int(made) + 1, dtype=np.int64)
        records.write_records(
            address_of(table), self._put_record, address_of(words), address_of(starts)
        )
        content = words.astype("<i8", copy=False).tobytes()
        edges = starts.tolist()
        return b"".join(sorted(content[a:b] for a, b in pairwise(edges)))

    def restore(self, content: bytes) -> None:
        """Take the keys of a snapshot, or of one key; what these keys held before is forgotten."""
        words = np.frombuffer(content, dtype="<i8").astype(np.int64)
        table, start = self._looking(rings.LEAST), address_of(words)
        records.read_records(address_of(table), start, start + words.nbytes)

    def key_state(self, key: Int64s, visible: int) -> bytes | None:
        """What one key holds; None if nothing is visible."""
        table = self._looking(visible)
        given = (address_of(table), self._put_record, address_of(key), len(key))
        words = np.empty(int(records.write_key(*given, 0)) // 8, dtype=np.int64)
        if len(words) == 0:
            return None
        records.write_key(*given, address_of(words))
        return words.astype("<i8", copy=False).tobytes()

    def key_words(self, kinds: Sequence[bool], key: tuple[str, ...]) -> Int64s:
        """The words of a key given as text; `kinds` says which of its fields are texts."""
        words: list[int] = []
        for is_text, part in zip(kinds, key, strict=True):
            if not is_text:
                words.append(int(part))
                continue
            raw = part.encode()
            padded = raw + bytes(-len(raw) % 8)
            words += [len(raw), *np.frombuffer(padded, dtype="<i8").tolist()]
        return np.array(words, dtype=np.int64)

    @property
    def entities(self) -> int:
        """Keys that hold something, or did lately."""
        return int(self._controls[:, pools.ENTITIES // 8].sum())

    @property
    def held(self) -> int:
        """Events or buckets held."""
        return int(self._controls[:, pools.HELD // 8].sum())
