"""Trees as selections: each takes, row by row, one of the results of two levels of splits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace.models.scorer_kernels import COLUMN_BYTES, CONSTANT_BYTES
from headrace.models.vector_kernels import STRIDE

if TYPE_CHECKING:
    from headrace.models.ensemble import TreeEnsemble
    from headrace.models.sources import Chunk, Sources


@dataclass(slots=True)
class Selections:
    """Writes the selections of a chunk's trees; see `run_selections` for their words."""

    ensemble: TreeEnsemble
    sources: Sources
    chunk: Chunk
    slots_at: int
    words: list[list[int]] = field(default_factory=list)
    free: list[int] = field(default_factory=list)
    slots: int = 0
    leaves: dict[int, int] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)

    def add_tree(self, root: int, result: int) -> None:
        """Add one tree, whose leaf numbers go to the column at `result`."""
        self.leaves = {}
        self._measure(root)
        if self.ensemble.feature[root] < 0:
            self.words.append([0, *[CONSTANT_BYTES] * 3, *[0] * 11, result])
            return
        self._select(root, result)

    def _measure(self, root: int) -> None:
        """Number the leaves under a root and count those under every node."""
        order = [root]
        for node in order:
            if self.ensemble.feature[node] >= 0:
                order += [int(self.ensemble.left[node]), int(self.ensemble.right[node])]
            else:
                self.leaves[node] = len(self.leaves)
        for node in reversed(order):
            self.sizes[node] = (
                1
                if node in self.leaves
                else self.sizes[int(self.ensemble.left[node])]
                + self.sizes[int(self.ensemble.right[node])]
            )

    def _split(self, node: int) -> tuple[int, int]:
        """The column that a split reads, and the byte that it compares with."""
        reading = self.sources.readings[node]
        column = CONSTANT_BYTES + self.chunk.columns[reading] * COLUMN_BYTES
        return column, self.chunk.byte(reading, int(self.sources.ranks[node]))

    def _select(self, node: int, out: int | None = None) -> int:
        """Add the selections under a split; returns the offset of the column of leaf numbers."""
        column, byte = self._split(node)
        columns, thresholds = [column], [byte]
        results: list[int] = []
        for side in (int(self.ensemble.left[node]), int(self.ensemble.right[node])):
            if side in self.leaves:
                columns.append(column)
                thresholds.append(0)
                results += [side, side]
            else:
                side_column, side_byte = self._split(side)
                columns.append(side_column)
                thresholds.append(side_byte)
                results += [int(self.ensemble.left[side]), int(self.ensemble.right[side])]
        computed: dict[int, int] = {}
        for result in sorted(set(results), key=lambda held: (-self.sizes[held], held)):
            if result not in self.leaves:
                computed[result] = self._select(result)
        kind = 0 if not computed else 1 if len(computed) == 4 else 2
        operands, masks = [], []
        for result in results:
            if result in computed:
                operands.append(computed[result])
                masks.append(-1)
            else:
                number = self.leaves[result]
                operands.append(number if kind == 0 else number * STRIDE)
                masks.append(0)
        self.free += sorted(computed.values(), reverse=True)
        if out is None:
            if not self.free:
                self.free.append(self.slots_at + self.slots * COLUMN_BYTES)
                self.slots += 1
            out = self.free.pop()
        self.words.append([kind, *columns, *thresholds, *operands, *masks, out])
        return out
