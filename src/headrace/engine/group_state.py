"""The state of one group, and how a batch moves it on."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.address import address_of
from headrace.core.exact import WIDTH
from headrace.core.mapping import reserve
from headrace.core.memory import entry
from headrace.engine import float_sum_kernels as float_sums
from headrace.engine import pool_kernels as pools
from headrace.engine import query_kernels as queries
from headrace.engine import record_kernels as records
from headrace.engine import ring_kernels as rings
from headrace.engine import summary_kernels as summaries
from headrace.engine import window_kernels as window
from headrace.engine.frozen import FrozenGroup, Records
from headrace.engine.group_inputs import Room
from headrace.engine.ratio_kernels import wide_ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Int64s
    from headrace.engine.group_inputs import Answers, GroupInputs, Keys, Rows
    from headrace.engine.layout import GroupLayout

_WORK_WORDS = 6 * WIDTH
_BATCH = struct.Struct(f"{pools.BATCH_WORDS}q")


def _float_sums(layout: GroupLayout) -> int:
    """For how many queries sums of floats are kept: for all, if one of them reads such sums."""
    function, floating = (layout.queries[:, q // 8] for q in (queries.Q_FUNCTION, queries.Q_FLOAT))
    sums = (function >= queries.SUM) & (function <= queries.STD) & (floating != 0)
    return len(layout.queries) if sums.any() else 0


class _WorkTable:
    """A copy of a group's table with places of its own to work in.

    Attributes:
        address: Of its slots.
    """

    def __init__(self, table: Int64s, layout: GroupLayout) -> None:
        edges, columns = len(layout.edges), len(layout.columns)
        sizes = {
            pools.ADDED: 2 * columns,
            pools.PLACES: edges,
            pools.BOUNDS: edges,
            pools.ENTITIES_AT: window.CHUNK,
            pools.WORK: _WORK_WORDS,
            pools.THERE: 1,
            pools.SHARDS_AT: 2 * pools.SHARDS + 1,
            pools.KEPT_SUMS: float_sums.KEPT * float_sums.KEPT_WORDS * _float_sums(layout),
        }
        self._words = np.zeros(len(table) + sum(sizes.values()), dtype=np.int64)
        self._words[: len(table)] = table
        self._bytes = self._words.data
        self._key = Room()
        self.address = address_of(self._words)
        place = self.address + table.nbytes
        for slot, size in sizes.items():
            self.set(slot, place)
            place += 8 * size

    def set(self, slot: int, value: int) -> None:
        """Fill one slot."""
        self._words[slot >> 3] = value

    def begin(self, longest_key: int, slots: tuple[int, ...]) -> None:
        """Fill the slots of a batch."""
        self.set(pools.KEY, self._key.of(longest_key))
        _BATCH.pack_into(self._bytes, pools.HASHES, *slots)


class GroupState:
    """The keyed state of one group: a control row for each shard, in the engine's pool.

    A batch is taken in three steps: `begin`; `hash_part` for each part of it; and, when all keys
    are hashed, `advance_part` for each. The parts of one step may run at the same time.

    Args:
        layout: Of the group.
        pool: The engine's.
        secret: Two halves of the key of hashes.
        row_of: The row of `Answers` that each aggregate of the plan goes to.
        inputs: What it shares with other groups that are moved together.
    """

    def __init__(
        self,
        layout: GroupLayout,
        pool: Int64s,
        secret: tuple[int, int],
        row_of: Int64s,
        inputs: GroupInputs,
    ) -> None:
        self.layout = layout
        self._pool = pool
        self._controls: NDArray[np.int64] = np.zeros(
            (pools.SHARDS, pools.CONTROL_BYTES // 8), dtype=np.int64
        )
        self._queries = layout.queries.copy()
        for query in self._queries:
            function, floating = query[queries.Q_FUNCTION // 8], query[queries.Q_FLOAT // 8]
            query[queries.Q_DO // 8] = entry(queries.reader(int(function), floating=bool(floating)))
            query[queries.Q_OUT // 8] = row_of[query[queries.Q_OUT // 8]]
        self._put_record = entry(records.put_record)
        self._entering, self._asking = inputs.entering(layout), inputs.asking(layout)
        self._operations = inputs.operations(layout)
        self._hashing: list[Keys] = []
        self._order = Room()
        self._table = self._laid_out(secret)
        self._parts: list[_WorkTable] = []

    def _laid_out(self, secret: tuple[int, int]) -> Int64s:
        """The group's table, without what a batch and a thread put in it."""
        layout = self.layout
        columns, asked = address_of(layout.columns), address_of(self._queries)
        slots = {
            pools.POOL: address_of(self._pool),
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
            pools.ENTERING: self._entering.columns,
            pools.ASKING: self._asking.columns,
            pools.PHASES: layout.phases,
        }
        table: Int64s = np.zeros(pools.TABLE_WORDS, dtype=np.int64)
        for slot, value in slots.items():
            table[slot >> 3] = value
        halves = np.array(secret, dtype=np.uint64).view(np.int64)
        table[pools.HASH_0 // 8 : pools.HASH_1 // 8 + 1] = halves
        return table

    def begin(
        self,
        entering: Rows | None,
        asking: Rows | None,
        answers: Answers,
        visible: int,
        parts: int,
    ) -> bool:
        """Lay out what a batch does to the group, for so many parts; whether it does anything.

        Args:
            entering: Rows of the group's stream.
            asking: The decided events.
            answers: Where their aggregates go. Keep these three until all parts are done.
            visible: Rows at or before this time are seen by nobody any more.
            parts: In how many the work is done.
        """
        source = entering or asking
        if source is None:
            return False
        # an event that asks by the key that it enters by is one operation
        given = [(self._entering, entering)]
        operations, count = 0, len(source.at)
        if not self.layout.own:
            given.append((self._asking, asking))
            self._operations.merge(entering, asking)
            operations, count = self._operations.address, self._operations.count
        self._hashing = [keys for keys, rows in given if keys.point_at(rows)]
        longest = max(keys.longest for keys, _ in given)
        slots = (
            *(self._entering.hashes, self._asking.hashes, operations, count),
            *(self._order.of(count), *source.slots, *answers.slots, visible),
        )
        while len(self._parts) < parts:
            self._parts.append(_WorkTable(self._table, self.layout))
        for table in self._parts[:parts]:
            table.begin(longest, slots)
        return True

    def hash_part(self, part: int, parts: int) -> None:
        """Hash a part of those of the batch's keys that no group before has taken."""
        for given in self._hashing:
            given.hash_part(self._parts[part].address, part, parts)

    def advance_part(self, part: int, parts: int) -> None:
        """Move a part of the shards on."""
        first, last = pools.SHARDS * part // parts, pools.SHARDS * (part + 1) // parts
        window.advance(self._parts[part].address, first, last)

    def _looking(self, visible: int) -> _WorkTable:
        """A table for calls outside of batches."""
        table = _WorkTable(self._table, self.layout)
        table.set(pools.VISIBLE, visible)
        return table

    def freeze(self, visible: int) -> FrozenGroup:
        """The control rows as they stand; rows after `visible` count."""
        return FrozenGroup(self, self._controls.copy(), visible)

    def records(self, controls: NDArray[np.int64], visible: int) -> Records:
        """What all keys hold that these control rows lead to, where something is visible."""
        table = self._looking(visible)
        table.set(pools.CONTROLS, address_of(controls))
        # the record of a key is smaller than its blocks, and pages never written take no memory
        words = reserve(int(self._pool[0]) // 8, np.int64)
        starts = np.zeros(int(controls[:, pools.ENTITIES // 8].sum()) + 1, dtype=np.int64)
        made = records.write_records(
            table.address, self._put_record, address_of(words), address_of(starts)
        )
        return Records(words, starts[: int(made) + 1] // 8)

    def restore(self, content: bytes) -> None:
        """Take the keys of a snapshot, or of one key; what these keys held before is forgotten."""
        words = np.frombuffer(content, dtype="<i8").astype(np.int64)
        table, start = self._looking(rings.LEAST), address_of(words)
        records.read_records(table.address, start, start + words.nbytes)

    def key_state(self, key: Int64s, visible: int) -> bytes | None:
        """What one key holds; None if nothing is visible."""
        table = self._looking(visible)
        given = (table.address, self._put_record, address_of(key), len(key))
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
