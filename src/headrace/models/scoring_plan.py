"""The table of addresses that scoring kernels read a model by, and the room that they work in."""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from headrace.core.address import address_of
from headrace.models import scorer_kernels as slots
from headrace.models.contributions_kernels import add_paths, add_units, write_contributions
from headrace.models.vector_kernels import STRIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: In place of an output that is not asked for.
NO_MARGINS: Final = np.empty(0)
NO_CONTRIBUTIONS: Final = np.empty((0, 0))


def _from_a_line(size: int) -> NDArray[np.uint8]:
    """So many bytes that begin where a line of the caches does: no vector lies across two."""
    held = np.empty(size + STRIDE, np.uint8)
    return held[-address_of(held) % STRIDE :][:size]


@dataclass(frozen=True, slots=True)
class _Room:
    """Memory that one thread works in."""

    held: NDArray[np.uint8]
    address: int


class ScoringPlan:
    """A model as kernels read it: a number or an address in each slot.

    The plan keeps the arrays that it holds the addresses of. Each thread works in a room of its
    own, which lives as long as the thread and the plan.

    Attributes:
        table: int64, the slots that `headrace.models.scorer_kernels` names.
        some_walked: whether a tree is walked even in a batch.
        some_paths: whether a tree is explained path by path.
    """

    def __init__(self) -> None:
        self.table = np.zeros(slots.PLAN_SLOTS, np.int64)
        self.some_walked = False
        self.some_paths = False
        self._address = address_of(self.table)
        self._held: dict[int, NDArray[Any]] = {}
        self._rooms = threading.local()
        self._room_bytes = 8 * slots.BLOCK_ROWS
        self._arena_bytes = slots.CONSTANT_BYTES

    @property
    def precision(self) -> type[np.floating[Any]]:
        """What leaf values are added in."""
        return np.float32 if self.table[slots.SINGLE // 8] else np.float64

    def number(self, slot: int, value: int) -> None:
        """Put a whole number in a slot."""
        self.table[slot // 8] = value

    def real(self, slot: int, value: float) -> None:
        """Put a float64 in a slot."""
        self.number(slot, struct.unpack("<q", struct.pack("<d", value))[0])

    def hold(self, slot: int, array: NDArray[Any]) -> None:
        """Keep an array and put its address in a slot."""
        held = self._held[slot] = _from_a_line(array.nbytes).view(array.dtype).reshape(array.shape)
        held[...] = array
        self.number(slot, address_of(held))

    def room(self, slot: int, size: int) -> None:
        """Set so many bytes of the room apart, and put their offset in a slot."""
        self.number(slot, self._room_bytes)
        self._room_bytes += (size + STRIDE - 1) // STRIDE * STRIDE
        self.number(slots.ARENA_AT, self._room_bytes)

    def arena(self, size: int) -> None:
        """Make the arena of byte columns at least so large; it lies at the end of the room."""
        self._arena_bytes = max(self._arena_bytes, size)

    def copy(self) -> ScoringPlan:
        """Another plan that holds the same, to be added to."""
        plan = ScoringPlan()
        plan.table[:] = self.table
        plan._held = dict(self._held)
        plan.some_walked, plan.some_paths = self.some_walked, self.some_paths
        plan._room_bytes, plan._arena_bytes = self._room_bytes, self._arena_bytes
        return plan

    def run(
        self,
        X: NDArray[np.float64],
        rows: NDArray[np.int64],
        low: int,
        high: int,
        margins: NDArray[np.float64],
        contributions: NDArray[np.float64],
    ) -> None:
        """Score or explain rows `low` to `high`, or both; an output without places is not wanted.

        Args:
            X: `[features, rows]`.
            rows: the numbers of the rows to take; all if there are none.
            low: the first row, or place in `rows`.
            high: one past the last.
            margins: `[high - low]`.
            contributions: `[features + 1, high - low]`.
        """
        try:
            room = self._rooms.held
        except AttributeError:
            room = self._rooms.held = self._made()
        plan, work = self._address, room.address
        features, apart = address_of(X), X.shape[1]
        chosen = address_of(rows) if len(rows) else 0
        score, explain = len(margins) > 0, len(contributions) > 0
        few = high - low <= slots.WALK_ROWS
        ranked = (score and (few or self.some_walked)) or (explain and self.some_paths)
        width = (min(slots.BLOCK_ROWS, high - low) + STRIDE - 1) // STRIDE * STRIDE
        for begin in range(low, high, slots.BLOCK_ROWS):
            count = min(slots.BLOCK_ROWS, high - begin)
            slots.encode(features, apart, chosen, begin, count, plan, work, width)
            if ranked:
                slots.fill_ranks(plan, work, width, count)
            if score:
                out = address_of(margins) + 8 * (begin - low)
                slots.add_margins(plan, work, width, count, out, int(few))
            if explain:
                out, wide = address_of(contributions) + 8 * (begin - low), contributions.shape[1]
                add_units(plan, work, width, count)
                write_contributions(plan, work, count, out, wide)
                if self.some_paths:
                    add_paths(plan, work, count, out, wide)

    def _made(self) -> _Room:
        """A room whose arena begins with a vector of each byte's value."""
        room = _from_a_line(self._room_bytes + self._arena_bytes)
        arena = room[self._room_bytes :][: slots.CONSTANT_BYTES]
        arena[:] = np.repeat(np.arange(256, dtype=np.uint8), STRIDE)
        return _Room(room, address_of(room))
