"""The state of one group, and how a batch moves it on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import Text
from headrace.engine import key_kernels as keys
from headrace.engine import pool_kernels as pools
from headrace.engine import record_kernels as records
from headrace.engine import window_kernels as window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Batch, Bytes, Int64s
    from headrace.engine.layout import GroupLayout


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


class GroupState:
    """The keyed state of one group: a control row for each shard, in the engine's pool."""

    def __init__(self, layout: GroupLayout, pool: Int64s, secret: tuple[int, int]) -> None:
        self.layout = layout
        self.pool = pool
        self.controls: NDArray[np.int64] = np.zeros(
            (pools.SHARDS, pools.CONTROL_WORDS), dtype=np.int64
        )
        self._secret = (np.uint64(secret[0]), np.uint64(secret[1]))

    def frame(self, sources: Sequence[tuple[Batch, tuple[str, ...]]]) -> FramedKeys:
        """Frame and hash the keys of batches, one after the other."""
        total = sum(batch.rows for batch, _ in sources)
        room = 1
        for batch, names in sources:
            for name in names:
                column = batch.columns[name]
                room += (
                    len(column.data) // 8 + 2 * len(column)
                    if isinstance(column, Text)
                    else len(column)
                )
        framed = FramedKeys(
            np.empty(room, dtype=np.int64),
            np.zeros(total + 1, dtype=np.int64),
            np.empty(total, dtype=np.int64),
        )
        first = 0
        for batch, names in sources:
            columns = np.array([_key_column(batch, name) for name in names], dtype=np.int64)
            keys.frame_keys(
                columns,
                first,
                batch.rows,
                framed.words,
                framed.starts,
                framed.hashes,
                *self._secret,
            )
            first += batch.rows
        return framed

    def operations(
        self, entering: Rows | None, asking: Rows | None
    ) -> tuple[FramedKeys, NDArray[np.int64]]:
        """What a batch does to this group, in known order, and the keys it is done to."""
        layout = self.layout
        if layout.own and entering is not None:
            framed = self.frame([(entering.batch, layout.group.key)])
            made = np.empty((len(entering.at), window.OPERATION_WIDTH), dtype=np.int64)
            keys.own_operations(entering.at, entering.watermark, layout.phases, made)
            return framed, made
        none = np.zeros(0, dtype=np.int64)
        sources, arrays = [], []
        for rows, names in ((entering, layout.group.key), (asking, layout.group.asked_by)):
            if rows is not None:
                sources.append((rows.batch, names))
                arrays += [rows.sequence, rows.at, rows.watermark]
            else:
                arrays += [none, none, none]
        framed = self.frame(sources)
        made = np.empty((2 * len(framed.hashes), window.OPERATION_WIDTH), dtype=np.int64)
        count = keys.merged_operations(*arrays, layout.phases, made)
        return framed, made[:count]

    def tasks(
        self,
        entering: Rows | None,
        asking: Rows | None,
        visible: int,
        answers: Answers,
        parts: int,
    ) -> list[Callable[[], None]]:
        """The work of a batch, cut into at most `parts` calls that share no shard."""
        if entering is None and asking is None:
            return []
        framed, made = self.operations(entering, asking)
        order = np.empty(len(made), dtype=np.int64)
        shards = np.zeros(pools.SHARDS + 1, dtype=np.int64)
        keys.deal(made, len(made), framed.starts, framed.hashes, order, shards)
        source = entering if entering is not None else asking
        if source is None:
            return []
        edges = np.linspace(0, pools.SHARDS, parts + 1).astype(int).tolist()

        def part(first: int, last: int) -> Callable[[], None]:
            def work() -> None:
                window.advance(
                    self.pool,
                    self.controls,
                    self.layout.shape,
                    self.layout.columns,
                    self.layout.edges,
                    self.layout.queries,
                    made,
                    order,
                    shards,
                    framed.words,
                    framed.starts,
                    framed.hashes,
                    source.registers,
                    source.valid,
                    visible,
                    answers.words,
                    answers.present,
                    first,
                    last,
                )

            return work

        return [part(first, last) for first, last in zip(edges, edges[1:], strict=False)]

    def snapshot(self, visible: int) -> bytes:
        """All keys that hold something visible, in the order of their words, with what they hold."""
        size = np.zeros(2, dtype=np.int64)
        records.measure(self.pool, self.controls, self.layout.shape, visible, size)
        words = np.empty(int(size[0]), dtype=np.int64)
        starts = np.zeros(int(size[1]) + 1, dtype=np.int64)
        records.write(
            self.pool,
            self.controls,
            self.layout.shape,
            self.layout.columns,
            visible,
            words,
            starts,
        )
        edges = starts.tolist()
        pieces = [
            words[a:b].astype("<i8").tobytes() for a, b in zip(edges, edges[1:], strict=False)
        ]
        return b"".join(sorted(pieces))

    def restore(self, content: bytes) -> None:
        """Take the keys of a snapshot, or of one key; what these keys held before is forgotten."""
        words = np.frombuffer(content, dtype="<i8").astype(np.int64)
        records.read(
            self.pool, self.controls, self.layout.shape, self.layout.columns, words, *self._secret
        )

    def key_state(self, key: Int64s, visible: int) -> bytes | None:
        """What one key holds; None if nothing is visible."""
        shape, columns = self.layout.shape, self.layout.columns
        room = records.key_room(self.pool, self.controls, shape, key, *self._secret)
        words = np.empty(room, dtype=np.int64)
        used = records.write_key(
            self.pool, self.controls, shape, columns, key, visible, words, *self._secret
        )
        return words[:used].astype("<i8").tobytes() if used else None

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


@dataclass(frozen=True, slots=True)
class FramedKeys:
    """Keys as words: key i is `words[starts[i]:starts[i + 1]]`, empty where a field is missing."""

    words: Int64s
    starts: Int64s
    hashes: Int64s


@dataclass(frozen=True, slots=True)
class Answers:
    """What aggregates gave, by decided row and aggregate."""

    words: NDArray[np.int64]
    present: NDArray[np.uint8]

    @staticmethod
    def of(rows: int, known: Bytes) -> Answers:
        """Answers as they are where nothing is known."""
        words = np.zeros((rows, max(len(known), 1)), dtype=np.int64)
        present = np.zeros((rows, max(len(known), 1)), dtype=np.uint8)
        present[:, : len(known)] = known
        return Answers(words, present)


def _key_column(batch: Batch, name: str) -> list[int]:
    """The row of the key's columns for one field."""
    column = batch.columns[name]
    if isinstance(column, Text):
        values, offsets = column.data.ctypes.data, column.offsets.ctypes.data
        return [1, values, offsets, column.valid.ctypes.data]
    return [0, column.values.ctypes.data, 0, column.valid.ctypes.data]
