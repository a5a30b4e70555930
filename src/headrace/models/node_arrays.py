"""Building a `TreeEnsemble` tree by tree, whatever library's arrays the trees come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from headrace.models.ensemble import Missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(slots=True)
class Node:
    """One node as a file gives it; a leaf has no children.

    Attributes:
        value: what a leaf adds.
        cover: the weight of training rows that came here.
        feature: of a split; -1 on a leaf.
        threshold: of a numeric split; it goes right when `x >= threshold`.
        left: the child of rows that go left, in the numbering of the file.
        right: the other child.
        missing: what becomes of a missing value.
        categories: the set of a categorical split, else None.
    """

    value: float
    cover: float
    feature: int = -1
    threshold: float = 0.0
    left: int = -1
    right: int = -1
    missing: Missing = Missing.LEFT
    categories: tuple[int, ...] | None = None


@dataclass(slots=True)
class NodeLists:
    """The nodes of all trees so far, root first, children side by side."""

    tree_start: list[int] = field(default_factory=lambda: [0])
    nodes: list[Node] = field(default_factory=list)
    children: list[tuple[int, int]] = field(default_factory=list)

    def add_tree(self, nodes: Sequence[Node], root: int = 0) -> None:
        """Add a tree; nodes that cannot be reached from its root are left out."""
        base = len(self.nodes)
        order = [root]
        at = 0
        while at < len(order) and len(order) <= len(nodes):
            node = nodes[order[at]]
            if node.feature >= 0:
                self.children.append((base + len(order), base + len(order) + 1))
                order += [node.left, node.right]
            else:
                self.children.append((-1, -1))
            self.nodes.append(node)
            at += 1
        self.tree_start.append(len(self.nodes))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays of a `TreeEnsemble`, by the names of its attributes."""
        sets = [node.categories for node in self.nodes if node.categories is not None]
        numbers = np.full(len(self.nodes), -1, np.int32)
        numbers[[node.categories is not None for node in self.nodes]] = np.arange(len(sets))
        starts = np.zeros(len(sets) + 1, np.int64)
        np.cumsum([len(held) for held in sets], out=starts[1:])
        return {
            "tree_start": np.array(self.tree_start, np.int64),
            "feature": np.array([node.feature for node in self.nodes], np.int32),
            "threshold": np.array([node.threshold for node in self.nodes], np.float64),
            "left": np.array([left for left, _ in self.children], np.int32),
            "right": np.array([right for _, right in self.children], np.int32),
            "missing": np.array([node.missing for node in self.nodes], np.uint8),
            "category_set": numbers,
            "set_start": starts,
            "set_codes": np.array([code for held in sets for code in sorted(held)], np.int32),
            "value": np.array([node.value for node in self.nodes], np.float64),
            "cover": np.array([node.cover for node in self.nodes], np.float64),
        }
