"""A scorecard: bins of each feature with what they add, as data, and as the trees that serve it.

A scorecard is additive: the margin is a sum over features of what the feature's bin adds. So it is
a tree ensemble in which each tree asks about one feature, and it is scored, explained and proved
monotone by the same kernels as any other; its contributions are those of the bins, less what the
bin adds on average.

The file is JSON and holds no code. A bin's weight of evidence is the log of its share of all
negatives over its share of all positives: above 0 it is safer than the average. Points are the
margin on a scale that people read: `points` at odds of `odds` to 1 against, and `pdo` more for each
doubling of the odds, shared out over the features. Points are rounded for people; the margin is
not.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from headrace.core.errors import ArtefactError
from headrace.models.ensemble import Link, Missing, TreeEnsemble
from headrace.models.node_arrays import Node, NodeLists

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.core.columns import Floats

#: The least double: every number is at least as much, and a missing value is not.
_LEAST: Final = -float(np.finfo(np.float64).max)


class Bin(msgspec.Struct, frozen=True, omit_defaults=True):
    """One bin of a feature.

    Attributes:
        negatives: Training examples of it that were negative.
        positives: Likewise.
        woe: Its weight of evidence.
        adds: What it adds to the margin.
        low: Of a number: the least value in it; None has no lower end.
        high: Of a number: the least value above it; None has no upper end.
        categories: Of a category: the codes in it.
    """

    negatives: int
    positives: int
    woe: float
    adds: float
    low: float | None = None
    high: float | None = None
    categories: tuple[int, ...] = ()


class BinnedFeature(msgspec.Struct, frozen=True):
    """A feature of a scorecard.

    Attributes:
        name: Of the feature.
        bins: From low to high, or sets of categories.
        missing: What a missing value, or a category that was not seen, gets.
        information: Its information value: how much its bins tell the classes apart.
    """

    name: str
    bins: tuple[Bin, ...]
    missing: Bin
    information: float


class Scorecard(msgspec.Struct, frozen=True, tag_field="form", tag="scorecard-json"):
    """The whole of a scorecard.

    Attributes:
        names: Of all features that it was offered, in the order of the columns.
        categorical: Which of them are categories.
        intercept: What the margin begins with.
        features: Those that it uses.
        points: At odds of `odds` to 1 against.
        odds: See `points`.
        pdo: Points to double the odds.
    """

    names: tuple[str, ...]
    categorical: tuple[bool, ...]
    intercept: float
    features: tuple[BinnedFeature, ...]
    points: float
    odds: float
    pdo: float

    def encoded(self) -> bytes:
        """The file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    def points_of(self, item: Bin) -> float:
        """A bin's points: a higher number is a lower risk.

        The intercept and the scale's offset are shared out evenly, so that the points of a row's
        bins add up to its score in points.
        """
        factor = self.pdo / math.log(2.0)
        share = max(len(self.features), 1)
        offset = self.points - factor * math.log(self.odds)
        return offset / share - factor * (item.adds + self.intercept / share)


_SCORECARD = msgspec.json.Decoder(Scorecard)


def read_scorecard(content: bytes) -> TreeEnsemble:
    """A scorecard's file as the trees that serve it.

    Raises:
        ArtefactError: When it is no scorecard, or bins do not follow each other.
    """
    card = decoded(content)
    trees = NodeLists()
    for binned in card.features:
        trees.add_tree(_tree(card, binned))
    arrays: Any = trees.arrays()
    return TreeEnsemble(
        library="headrace",
        objective="scorecard",
        feature_names=card.names,
        feature_types=tuple("c" if flag else "float" for flag in card.categorical),
        link=Link.LOGISTIC,
        link_scale=1.0,
        single=False,
        base_margin=card.intercept,
        divisor=1.0,
        inside_right=True,
        **arrays,
    )


def decoded(content: bytes) -> Scorecard:
    """A scorecard's file as data.

    Raises:
        ArtefactError: When it is no scorecard, or bins do not follow each other.
    """
    try:
        card = _SCORECARD.decode(content)
    except msgspec.MsgspecError as error:
        raise ArtefactError(
            f"this is no scorecard ({error}); train it again, or restore the file"
        ) from error
    for binned in card.features:
        edges = [item.high for item in binned.bins[:-1]]
        follow = edges == [item.low for item in binned.bins[1:]] and None not in edges
        rising = follow and edges == sorted(set(edges))  # type: ignore[type-var]  # none is None
        number = binned.name in card.names and not card.categorical[card.names.index(binned.name)]
        if binned.name not in card.names or not binned.bins or (number and not rising):
            raise ArtefactError(
                f"the bins of {binned.name!r} are not those of a feature, one after the other;"
                " train the scorecard again"
            )
    return card


def _tree(card: Scorecard, binned: BinnedFeature) -> list[Node]:
    """One feature as a tree: missing to the left of the root, then bin after bin."""
    feature = card.names.index(binned.name)
    every = (binned.missing, *binned.bins)
    cover = [float(item.negatives + item.positives) for item in every]
    leaves = [
        Node(value=item.adds, cover=weight) for item, weight in zip(every, cover, strict=True)
    ]
    nodes: list[Node] = []
    if card.categorical[feature]:
        # a category goes right into its bin; one that is in none goes on to the missing
        for item, leaf in zip(binned.bins, leaves[1:], strict=True):
            rest = sum(cover) - sum(node.cover for node in nodes if node.feature < 0)
            at = len(nodes)
            split = Node(0.0, rest, feature, left=at + 2, right=at + 1, categories=item.categories)
            nodes += [split, leaf]
        return [*nodes, leaves[0]]
    rest = sum(cover)
    nodes += [Node(0.0, rest, feature, _LEAST, left=1, right=2), leaves[0]]
    rest -= cover[0]
    for item, leaf in zip(binned.bins[:-1], leaves[1:], strict=False):
        at = len(nodes)
        threshold = float(item.high or 0.0)
        split = Node(0.0, rest, feature, threshold, left=at + 1, right=at + 2, missing=Missing.LEFT)
        nodes += [split, leaf]
        rest -= leaf.cover
    return [*nodes, leaves[-1]]


def table(content: bytes, vocabulary: Mapping[str, Sequence[str]]) -> str:
    """A scorecard for people, as Markdown: a line for each bin, with its points.

    Args:
        content: Of the file.
        vocabulary: The categories of each categorical feature, by code.
    """
    card = decoded(content)
    scale = f"{card.points:g} points at odds of {card.odds:g} to 1 against"
    lines = [
        f"{scale}; {card.pdo:g} points double the odds.",
        "",
        "| feature | bin | points | share | rate | weight of evidence |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for binned in card.features:
        words = vocabulary.get(binned.name, ())
        named = [(_said(item, words), item) for item in binned.bins]
        everyone = sum(item.negatives + item.positives for _, item in named)
        everyone += binned.missing.negatives + binned.missing.positives
        for text, item in [*named, ("missing", binned.missing)]:
            count = item.negatives + item.positives
            rate = f"{item.positives / count:.2%}" if count else "none seen"
            lines.append(
                f"| {binned.name} | {text} | {card.points_of(item):.0f} | {count / everyone:.1%}"
                f" | {rate} | {item.woe:+.3f} |"
            )
    return "\n".join(lines)


def _said(item: Bin, words: Sequence[str]) -> str:
    if item.categories:
        return ", ".join(
            words[code] if code < len(words) else str(code) for code in item.categories
        )
    if item.low is None and item.high is None:
        return "any"
    if item.low is None:
        return f"below {item.high:g}"
    return f"{item.low:g} and more" if item.high is None else f"{item.low:g} to below {item.high:g}"


def bin_numbers(edges: Floats) -> list[tuple[Any, Any]]:
    """The ends of the bins that edges part numbers into.

    >>> bin_numbers(np.array([1.0, 2.0]))
    [(None, 1.0), (1.0, 2.0), (2.0, None)]
    """
    ends = [None, *edges.tolist(), None]
    return list(pairwise(ends))
