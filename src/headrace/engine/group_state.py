"""The state of one group, and how a batch moves it on."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.address import address_of
from headrace.core.columns import Text
from headrace.core.exact import WIDTH
from headrace.core.mapping import reserve
from headrace.core.memory import entry
from headrace.engine import key_kernels as keys
from headrace.engine import pool_kernels as pools
from headrace.engine import query_kernels as queries
from headrace.engine import record_kernels as records
from headrace.engine import ring_kernels as rings
from headrace.engine import summary_kernels as summaries
from headrace.engine import window_kernels as window
from headrace.engine.frozen import FrozenGroup, Records
from headrace.engine.ratio_kernels import wide_ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Batch, Int64s
    from headrace.engine.layout import GroupLayout

_WORK_WORDS = 6 * WIDTH
_BATCH = struct.Struct(f"{pools.BATCH_WORDS}q")


@dataclass(slots=True)
class Rows:
    """Rows of one stream, ready for groups.

    Attributes:
        batch: Their columns.
        sequence: Their places in known order.
        at: Event times.
        watermark: Of the decided stream just after each.
        registers: Of the row program.
        valid: Of the registers.
        slots: What the slots `AT` to `ROWS` of a group's table hold for them.
    """

    batch: Batch
    sequence: Int64s
    at: Int64s
    watermark: Int64s
    registers: NDArray[np.int64]
    valid: NDArray[np.uint8]
    slots: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        times = address_of(self.at), address_of(self.watermark)
        self.slots = (*times, address_of(self.registers), address_of(self.valid), len(self.at))


@dataclass(slots=True)
class Answers:
    """What aggregates give: registers that queries write, by row of the matrices.

    Attributes:
        words: Rows by decided events.
        present: Their validity.
        slots: What the slots `OUT` to `OUT_ROWS` of a group's table hold for them.
    """

    words: NDArray[np.int64]
    present: NDArray[np.uint8]
    slots: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.slots = (address_of(self.words), address_of(self.present), self.words.shape[1])


class _Room:
    """Words to work in, which stay between batches, and grow."""

    def __init__(self) -> None:
        self._words: Int64s = np.empty(0, dtype=np.int64)
        self._address = 0

    def of(self, words: int) -> int:
        """The address of room for so many words; what was there before is lost."""
        if words > len(self._words):
            self._words = np.empty(max(words, 2 * len(self._words)), dtype=np.int64)
            self._address = address_of(self._words)
        return self._address


class _Keys:
    """The keys of a batch's rows: addresses of their columns, and room for their hashes.

    Attributes:
        columns: Where the addresses stand.
        rows: How many rows there are.
        hashes: Where their hashes go.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._held = np.zeros((len(names), keys.KEY_COLUMN_BYTES // 8), dtype=np.int64)
        self._room = _Room()
        self.columns = address_of(self._held)
        self.rows = self.hashes = 0

    def point_at(self, rows: Rows | None) -> int:
        """Take the keys of these rows, if there are any; words of the longest at most."""
        self.rows = 0
        if rows is None:
            return 0
        self.rows = rows.batch.rows
        self.hashes = self._room.of(self.rows)
        longest = 0
        for place, name in enumerate(self._names):
            column = rows.batch.columns[name]
            if isinstance(column, Text):
                longest += len(column.data) // 8 + 2
                about = (1, address_of(column.data), address_of(column.offsets))
            else:
                longest += 1
                about = (0, address_of(column.values), 0)
            self._held[place] = (*about, address_of(column.valid))
        return longest

    def hash_part(self, table: int, part: int, parts: int) -> None:
        """Hash one part of the rows."""
        first, last = self.rows * part // parts, self.rows * (part + 1) // parts
        keys.hash_keys(table, self.columns, self.hashes, first, last)


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
        }
        self._words = np.zeros(len(table) + sum(sizes.values()), dtype=np.int64)
        self._words[: len(table)] = table
        self._bytes = self._words.data
        self._key = _Room()
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
    """

    def __init__(
        self, layout: GroupLayout, pool: Int64s, secret: tuple[int, int], row_of: Int64s
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
        self._entering, self._asking = _Keys(layout.group.key), _Keys(layout.group.asked_by)
        self._operations, self._order = _Room(), _Room()
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
        own = self.layout.own
        longest = self._entering.point_at(entering)
        longest = max(longest, self._asking.point_at(None if own else asking))
        operations, count = (0, len(source.at)) if own else self._merged(entering, asking)
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
        """Hash a part of the batch's keys."""
        for given in (self._entering, self._asking):
            if given.rows:
                given.hash_part(self._parts[part].address, part, parts)

    def advance_part(self, part: int, parts: int) -> None:
        """Move a part of the shards on."""
        first, last = pools.SHARDS * part // parts, pools.SHARDS * (part + 1) // parts
        window.advance(self._parts[part].address, first, last)

    def _merged(self, entering: Rows | None, asking: Rows | None) -> tuple[int, int]:
        """What a batch does to a group by two keys or streams, in known order; how much it is."""
        given: list[int] = []
        for rows in (entering, asking):
            if rows is None:
                given += [0, 0, 0, 0]
            else:
                given += [len(rows.at), address_of(rows.sequence), *rows.slots[:2]]
        most = given[0] + 2 * given[4]
        operations = self._operations.of(most * keys.OPERATION_BYTES // 8)
        about = np.array(given, dtype=np.int64)
        count = keys.merge_operations(address_of(about), self.layout.phases, operations)
        return operations, int(count)

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
