"""A state held still: a copy of what deciding changes, made into bytes in another thread.

Blocks are known by their addresses, so a copy of the pool still leads into the pool that it was
copied from. What a reader follows from a shard to a row (directory, pages, entities, rings) is
moved to the copy before anything is read; free lists are not.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.address import address_of
from headrace.engine import pool_kernels as pools
from headrace.engine.state_bytes import framed, head_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Int64s
    from headrace.core.interning import TextTable
    from headrace.engine.group_state import GroupState

_DIRECTORY, _DEPTH = pools.DIRECTORY // 8, pools.DEPTH // 8
_RING = pools.E_RING // 8
_ENTITIES = np.arange(pools.PAGE_FIRST // 8 + 1, pools.PAGE_BYTES // 8, 2, dtype=np.int64)
#: Records that are put in order at once: some hundred kilobytes, that caches hold.
_CHUNK = 8_192


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a group's keys as they were found.

    Attributes:
        words: Of all records.
        edges: Where each begins among them, and the last ends, in words.
    """

    words: Int64s
    edges: Int64s

    @property
    def size(self) -> int:
        """How many bytes they are."""
        return 8 * int(self.edges[-1])

    def ordered(self) -> Iterator[bytes]:
        """Their bytes in the order of their keys, in pieces."""
        order = self._order()
        lengths = np.diff(self.edges)
        for first in range(0, len(order), _CHUNK):
            chosen = order[first : first + _CHUNK]
            sizes = lengths[chosen]
            ends = np.cumsum(sizes)
            places = np.repeat(self.edges[chosen] - ends + sizes, sizes)
            places += np.arange(len(places))
            yield self.words[places].astype("<i8", copy=False).tobytes()

    def _order(self) -> Int64s:
        """Records by their bytes; these differ within the key, so that decides."""
        begins = self.edges[:-1]
        counts = self.words[begins]
        found = []
        for count in sorted(np.unique(counts).tolist(), key=lambda n: n.to_bytes(8, "little")):
            rows = np.flatnonzero(counts == count)
            keys = [_as_bytes(self.words[begins[rows] + n]) for n in range(count, 0, -1)]
            found.append(rows[np.lexsort(keys)] if keys else rows)
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _as_bytes(words: Int64s) -> NDArray[np.uint64]:
    """Numbers in the order of the bytes, the lowest first, that these words are written as."""
    return words.byteswap().view(np.uint64)


@dataclass(frozen=True, slots=True)
class FrozenGroup:
    """A group, its control rows as they stood, and from which time on rows are visible."""

    group: GroupState
    controls: NDArray[np.int64]
    visible: int


@dataclass(frozen=True, slots=True)
class PoolCopy:
    """A copy of a pool, and the address that the pool itself has."""

    words: Int64s
    origin: int

    def take_in(self, controls: NDArray[np.int64]) -> None:
        """Lead a group's control rows, and all that they lead to, into the copy."""
        moved = address_of(self.words) - self.origin
        for control in controls:
            if not control[_DIRECTORY]:
                continue
            first = self._place(control[_DIRECTORY])
            directory = self.words[first : first + (1 << int(control[_DEPTH]))]
            # the entries of one page lie side by side
            pages = directory[np.append(True, directory[1:] != directory[:-1])]
            directory += moved
            control[_DIRECTORY] += moved
            slots = self._place(pages)[:, None] + _ENTITIES
            slots = slots[self.words[slots] != 0]
            entities = self.words[slots]
            self.words[slots] = entities + moved
            rings = self._place(entities) + _RING
            rings = rings[self.words[rings] != 0]
            self.words[rings] += moved

    def _place(self, address: Int64s) -> Int64s:
        """Where in the copy lies what has this address in the pool."""
        return (address - self.origin) >> 3


@dataclass(frozen=True, slots=True)
class FrozenEngine:
    """The state of an engine at one input.

    Attributes:
        digest: Of the plan.
        watermark: Of the decided stream.
        texts: The table, which only grows.
        known: How many of its texts there were.
        tables: Rows of each reference table.
        groups: In the plan's order.
        books: The bytes of each declaration of order books.
        copy: What groups lie in; None while the engine itself stands still.
    """

    digest: str
    watermark: int
    texts: TextTable
    known: int
    tables: Sequence[NDArray[np.int64]]
    groups: Sequence[FrozenGroup]
    books: Sequence[bytes]
    copy: PoolCopy | None

    def content(self) -> tuple[int, Iterator[bytes]]:
        """How many bytes the state is, and they themselves in pieces; to be called once.

        The same state gives the same bytes, however it came about.
        """
        found = [self._records(frozen) for frozen in self.groups]
        small = [np.array([self.watermark], dtype="<i8").tobytes(), self.texts.snapshot(self.known)]
        small += [table.astype("<i8").tobytes() for table in self.tables]
        small += self.books
        head = b"".join([head_of(self.digest), *map(framed, small)])
        size = len(head) + sum(8 + records.size for records in found)
        return size + hashlib.sha256().digest_size, _sealed(head, found)

    def _records(self, frozen: FrozenGroup) -> Records:
        if self.copy is not None:
            self.copy.take_in(frozen.controls)
        return frozen.group.records(frozen.controls, frozen.visible)


def _sealed(head: bytes, found: list[Records]) -> Iterator[bytes]:
    """The pieces of a state, and their checksum."""
    checksum = hashlib.sha256(head)
    yield head
    while found:
        records = found.pop(0)
        size = records.size.to_bytes(8, "little")
        checksum.update(size)
        yield size
        for piece in records.ordered():
            checksum.update(piece)
            yield piece
    yield checksum.digest()
