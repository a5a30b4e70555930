"""What the engine knows of a sequence: part of the plan."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SequencePlan:
    """The last vectors of features for each key (`headrace.definitions.sequences`).

    Attributes:
        key: Fields of the decided stream that make the key.
        features: Numbers of the plan's features that make a vector, in order.
        length: Vectors at most.
        within_ns: How far back in event time they may lie.
    """

    key: tuple[str, ...]
    features: tuple[int, ...]
    length: int
    within_ns: int
