"""Sequences: the last vectors of features of a key, for models that read them as one tensor.

The sequence of an event *e* holds the feature vectors of the last `length` events of its key by
(event time, known order), `e` itself last, that were known before it and lie in the window
`e.at - within < h.at <= e.at`. A vector is what was computed when its event was decided; nothing
known later changes it. Where there are fewer, the first places are missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.columns import CATEGORICAL
from headrace.core.durations import duration_ns
from headrace.core.errors import DefinitionError
from headrace.definitions.calls import checked, shown
from headrace.definitions.feature_set import Features
from headrace.definitions.sequence_plan import SequencePlan
from headrace.definitions.source_lines import user_line
from headrace.definitions.suggestions import did_you_mean, known_field

if TYPE_CHECKING:
    from datetime import timedelta

    from headrace.core.errors import SourceLine
    from headrace.definitions.plan import Plan
    from headrace.definitions.streams import Stream

#: The most vectors of a sequence, and the most numbers: a batch of 16,384 events then takes 1 GiB.
LONGEST, NUMBERS_MAX = 4_096, 16_384


@dataclass(frozen=True, slots=True)
class SequenceDefinition:
    """The last vectors of features, as a user declared them.

    Made by `sequence`.

    Attributes:
        names: The features of a vector, in order.
        key: Fields of the decided stream that make the key.
        length: Vectors at most.
        within_ns: How far back in event time they may lie.
        at: The user's line.
    """

    names: tuple[str, ...]
    key: tuple[str, ...]
    length: int
    within_ns: int
    at: SourceLine | None

    def planned(self, plan: Plan, on: Stream) -> SequencePlan:
        """The sequence over the features of a plan.

        Raises:
            DefinitionError: When the plan lacks a feature, or the decided stream a field of the
                key.
        """
        places = {feature.name: place for place, feature in enumerate(plan.features)}
        for name in self.names:
            if name not in places:
                raise DefinitionError(
                    f"the sequence reads {name!r}, which is no feature of the use case"
                    f"{did_you_mean(name, places)}",
                    at=self.at,
                    fix=f"use some of {', '.join(places)}",
                )
        for name in self.key:
            known_field(on.definition.schema, name, self.at)
        return SequencePlan(
            key=self.key,
            features=tuple(places[name] for name in self.names),
            length=self.length,
            within_ns=self.within_ns,
        )


@checked
def sequence(
    features: Features,
    *,
    key: str | tuple[str, ...],
    length: int,
    within: str | timedelta,
    only: tuple[str, ...] | None = None,
) -> SequenceDefinition:
    """The last vectors of `features` for each key, as one tensor of `length` by features.

    Args:
        features: Of the use case.
        key: The field (or fields) of the decided stream that the sequence is kept by.
        length: How many vectors at most; so many are held for each key, and no more.
        within: How far back in event time a vector may lie: no state is kept for ever.
        only: The features of a vector, in order; all of `features` that are numbers if not given.

    Raises:
        DefinitionError: For a feature that is a category, or a length out of range.

    >>> from headrace.definitions.streams import stream
    >>> from headrace.events.schema import Field, Kind, Role, Schema
    >>> from headrace.definitions.feature_set import features
    >>> quotes = stream(Schema("Quote", (
    ...     Field("id", Kind.TEXT, Role.ID), Field("at", Kind.TIME, Role.EVENT_TIME),
    ...     Field("symbol", Kind.TEXT, Role.KEY), Field("mid", Kind.FLOAT))))
    >>> made = sequence(features(mid=quotes.mid), key="symbol", length=32, within="10m")
    >>> made.names, made.length
    (('mid',), 32)
    """
    at = user_line()
    if not isinstance(features, Features):
        raise DefinitionError(
            f"hr.sequence({shown(features)})", at=at, fix="give the features that a vector holds"
        )
    kinds = {name: term.type.kind for name, term in features.definitions.items()}
    names = tuple(name for name, kind in kinds.items() if kind not in CATEGORICAL)
    if only is not None:
        names = tuple(only)
        for name in names:
            features[name]  # a name that is not there is told by the set itself
            if kinds[name] in CATEGORICAL:
                raise DefinitionError(
                    f"the sequence holds {name!r}, which is a category",
                    at=at,
                    fix="leave it out, or make numbers of it, as in (payments.mcc == '6011')",
                )
    if not names:
        raise DefinitionError("no feature of the sequence is a number", at=at, fix="add some")
    if type(length) is not int or not 1 <= length <= LONGEST:
        raise DefinitionError(
            f"length={shown(length)} of a sequence", at=at, fix=f"give 1 to {LONGEST} vectors"
        )
    if length * len(names) > NUMBERS_MAX:
        raise DefinitionError(
            f"a sequence of {length} vectors of {len(names)} features is"
            f" {length * len(names):,} numbers for each event",
            at=at,
            fix=f"take {NUMBERS_MAX:,} at most: a shorter one, or fewer features, as in only=(...)",
        )
    within_ns = duration_ns(within, what="within", at=at)
    if within_ns == 0:
        raise DefinitionError("a sequence within 0", at=at, fix='give a length, as in "10m"')
    fields = (key,) if isinstance(key, str) else tuple(key)
    if not fields or not all(isinstance(field, str) for field in fields):
        raise DefinitionError(
            f"key={shown(key)} of a sequence", at=at, fix='name a field, as in key="symbol"'
        )
    return SequenceDefinition(names, fields, length, within_ns, at)
