"""A tree ensemble as plain arrays: what every model file is read into, and every kernel built from.

A node is a split or a leaf. A numeric split sends a row right when `x >= threshold`; a categorical
one sends it by whether its category is in the split's set. Where a value is missing, and what a
library counts as missing, is the split's `missing` rule. Nothing here depends on a library.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import ArtefactError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAGIC = b"headrace/tree-ensemble/v1\n"


class Missing(IntEnum):
    """What a split does with a value that is missing.

    XGBoost has the first two. LightGBM has all: a split may read a missing value as zero, or take
    zero itself for missing.
    """

    LEFT = 0
    RIGHT = 1
    AS_ZERO = 2
    LEFT_WITH_ZERO = 3
    RIGHT_WITH_ZERO = 4


class Link(IntEnum):
    """How a margin becomes the model's prediction."""

    IDENTITY = 0
    LOGISTIC = 1


@dataclass(frozen=True, slots=True, eq=False)
class TreeEnsemble:
    """All trees of a model with one output, as arrays over their nodes.

    Nodes of tree `t` are `tree_start[t]` to `tree_start[t + 1]`, its root first; children are
    indices into the same arrays. Two ensembles are equal when their canonical bytes are.

    Attributes:
        library: `xgboost` or `lightgbm`: whose arithmetic the margin repeats.
        objective: the library's name of the objective.
        feature_names: one for each column of the matrix, in its order.
        feature_types: `float`, `int`, `i` (indicator) or `c` (categorical codes).
        link: how a margin becomes a prediction.
        link_scale: what the margin is multiplied by before a logistic link.
        single: features and sums are float32 (XGBoost); otherwise float64.
        base_margin: where the sum of leaves starts.
        divisor: what the margin is divided by before the link: the number of trees of LightGBM's
            random forests, whose raw score is a sum, else 1.
        tree_start: int64 `[trees + 1]`.
        feature: int32 `[nodes]`; -1 is a leaf.
        threshold: float64 `[nodes]`; a numeric split goes right when `x >= threshold`, and at NaN
            no number does.
        left: int32 `[nodes]`, the child of rows that go left; -1 on a leaf.
        right: int32 `[nodes]`.
        missing: uint8 `[nodes]`, a `Missing`.
        category_set: int32 `[nodes]`; -1 unless the split is categorical.
        inside_right: a category in the set goes right (XGBoost), else left (LightGBM).
        set_start: int64 `[sets + 1]`, into `set_codes`.
        set_codes: int32, the category codes of every set, ascending within a set.
        value: float64 `[nodes]`, what a leaf adds; 0 on a split.
        cover: float64 `[nodes]`, the weight of training rows that came to the node.
    """

    library: str
    objective: str
    feature_names: tuple[str, ...]
    feature_types: tuple[str, ...]
    link: Link
    link_scale: float
    single: bool
    base_margin: float
    divisor: float
    tree_start: NDArray[np.int64]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    missing: NDArray[np.uint8]
    category_set: NDArray[np.int32]
    inside_right: bool
    set_start: NDArray[np.int64]
    set_codes: NDArray[np.int32]
    value: NDArray[np.float64]
    cover: NDArray[np.float64]

    @property
    def trees(self) -> int:
        """The number of trees."""
        return len(self.tree_start) - 1

    @property
    def features(self) -> int:
        """The number of features, used by a split or not."""
        return len(self.feature_names)

    def __post_init__(self) -> None:
        """Refuse arrays that are not trees, since a kernel would walk out of them.

        Raises:
            ArtefactError: a child, feature or set that is not there, or a cycle.
        """
        nodes = len(self.feature)
        split = self.feature >= 0
        if len(self.tree_start) < 1 or self.tree_start[0] != 0 or self.tree_start[-1] != nodes:
            raise ArtefactError(
                f"trees end at node {self.tree_start[-1:]} of {nodes}: the file is damaged; "
                "save the model again"
            )
        if nodes and int(self.feature.max()) >= self.features:
            raise ArtefactError(
                f"a split reads feature {int(self.feature.max())}, but the model names "
                f"{self.features}; save the model again"
            )
        if not np.isfinite(self.value).all() or not np.isfinite(self.base_margin):
            raise ArtefactError(
                "a leaf or the base margin is not a finite number; train the model again, "
                "with a smaller learning rate or without infinite labels"
            )
        parents = np.zeros(nodes, np.int64)
        for child in (self.left[split], self.right[split]):
            if len(child) and (child.min() < 0 or child.max() >= nodes):
                raise ArtefactError("a split names a node that is not there; save the model again")
            np.add.at(parents, child, 1)
        tree_of = np.repeat(np.arange(self.trees), np.diff(self.tree_start))
        roots = np.zeros(nodes, np.int64)
        roots[self.tree_start[:-1]] = 1
        same_tree = (tree_of[self.left[split]] == tree_of[split]).all() and (
            tree_of[self.right[split]] == tree_of[split]
        ).all()
        if not same_tree or (parents + roots != 1).any() or self._reached() != nodes:
            raise ArtefactError(
                "the nodes of a tree do not hang together (a cycle, or a node with two parents); "
                "save the model again"
            )

    def _reached(self) -> int:
        """How many nodes can be reached from the roots; each has one parent at most."""
        level = self.tree_start[:-1]
        reached = 0
        while len(level):
            reached += len(level)
            level = level[self.feature[level] >= 0]
            level = np.concatenate([self.left[level], self.right[level]]).astype(np.int64)
            if reached > len(self.feature):
                break
        return reached

    def canonical_bytes(self) -> bytes:
        """The ensemble as bytes, the same for the same ensemble on every machine.

        Fields stand in the order of the class, each framed by its length; numbers are
        little-endian. A file's spelling (JSON or UBJSON, white space, order) does not matter.
        """
        parts = [_MAGIC]
        for field in fields(self):
            held = getattr(self, field.name)
            if isinstance(held, np.ndarray):
                body = np.ascontiguousarray(held, held.dtype.newbyteorder("<")).tobytes()
            elif isinstance(held, str):
                body = held.encode()
            elif isinstance(held, tuple):
                names = [name.encode() for name in held]
                body = b"".join(struct.pack("<q", len(name)) + name for name in names)
            elif isinstance(held, float):
                body = struct.pack("<d", held)
            else:
                body = struct.pack("<q", int(held))
            parts.append(struct.pack("<q", len(body)) + body)
        return b"".join(parts)

    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.canonical_bytes()).digest()

    def depth(self, tree: int) -> int:
        """The number of splits on the longest path of a tree; 0 for a single leaf."""
        level = self.tree_start[tree : tree + 1]
        depth = -1
        while len(level):
            depth += 1
            level = level[self.feature[level] >= 0]
            level = np.concatenate([self.left[level], self.right[level]]).astype(np.int64)
        return depth

    def leaves(self, tree: int) -> int:
        """The number of leaves of a tree."""
        start, end = self.tree_start[tree : tree + 2]
        return int((self.feature[start:end] < 0).sum())
