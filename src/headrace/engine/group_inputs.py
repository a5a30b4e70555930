"""What a batch brings to groups: rows, the hashes of their keys, and the order of what they do.

Groups with the same keys share them, so that a key is hashed once for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.address import address_of
from headrace.core.columns import Text
from headrace.engine import key_kernels as keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Batch, Int64s
    from headrace.engine.layout import GroupLayout


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


class Room:
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


class Keys:
    """The keys of a batch's rows: addresses of their columns, and room for their hashes.

    Args:
        names: Of the fields.

    Attributes:
        columns: Where the addresses stand.
        rows: How many rows there are.
        hashes: Where their hashes go.
        longest: Words of the longest key at most.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._held = np.zeros((len(names), keys.KEY_COLUMN_BYTES // 8), dtype=np.int64)
        self._room = Room()
        self._rows: Rows | None = None
        self.columns = address_of(self._held)
        self.rows = self.hashes = self.longest = 0

    def point_at(self, rows: Rows | None) -> bool:
        """Take the keys of these rows, if there are any; whether they are to be hashed."""
        if rows is self._rows:  # another group has taken them
            return False
        self._rows = rows
        self.rows = 0 if rows is None else rows.batch.rows
        self.hashes = self._room.of(self.rows)
        self.longest = 0 if rows is None else self._put(rows)
        return self.rows > 0

    def _put(self, rows: Rows) -> int:
        """Fill in the addresses of the columns; words of the longest key at most."""
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


class Operations:
    """What a batch does to groups by two keys or streams: events ask, and rows enter.

    Args:
        phases: Whether events ask before others of their time enter, after, or both.

    Attributes:
        address: Where the operations stand, in known order.
        count: How many there are.
    """

    def __init__(self, phases: int) -> None:
        self._phases = phases
        self._room = Room()
        self._merged: tuple[Rows | None, Rows | None] = (None, None)
        self.address = self.count = 0

    def merge(self, entering: Rows | None, asking: Rows | None) -> None:
        """Take the operations of a batch."""
        if self._merged[0] is entering and self._merged[1] is asking:
            return  # another group has taken them
        self._merged = entering, asking
        given: list[int] = []
        for rows in (entering, asking):
            if rows is None:
                given += [0, 0, 0, 0]
            else:
                given += [len(rows.at), address_of(rows.sequence), *rows.slots[:2]]
        self.address = self._room.of((given[0] + 2 * given[4]) * keys.OPERATION_BYTES // 8)
        about = np.array(given, dtype=np.int64)
        self.count = int(keys.merge_operations(address_of(about), self._phases, self.address))


class GroupInputs:
    """The inputs that groups of one engine share.

    Args:
        on: The stream whose events ask.
    """

    def __init__(self, on: str) -> None:
        self._on = on
        self._keys: dict[tuple[str, Sequence[str]], Keys] = {}
        self._operations: dict[tuple[str, int], Operations] = {}

    def entering(self, layout: GroupLayout) -> Keys:
        """The keys by which rows enter a group."""
        return self._of(layout.group.stream, layout.group.key)

    def asking(self, layout: GroupLayout) -> Keys:
        """The keys by which events ask a group."""
        return self._of(self._on, layout.group.asked_by)

    def operations(self, layout: GroupLayout) -> Operations:
        """What is done to a group."""
        about = layout.group.stream, layout.phases
        return self._operations.setdefault(about, Operations(layout.phases))

    def _of(self, stream: str, names: Sequence[str]) -> Keys:
        return self._keys.setdefault((stream, names), Keys(names))
