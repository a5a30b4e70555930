"""Labels of direction: where a value goes next, as up, flat or down.

Such a label is no event of a stream. It is made in training of the history itself: the move of a
feature from an event to one a horizon later. Nothing of it is served.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.durations import duration_ns
from headrace.core.errors import DefinitionError
from headrace.definitions.calls import checked, shown
from headrace.definitions.expressions import Expression
from headrace.definitions.source_lines import user_line
from headrace.definitions.terms import FeatureValue

if TYPE_CHECKING:
    from datetime import timedelta

#: What a move can be, in the order of the scores: `hr.score` is that of the first.
DIRECTIONS = ("up", "flat", "down")


@dataclass(frozen=True, slots=True)
class DirectionDefinition:
    """The sign of a value's move over a horizon, against a threshold.

    Made by `direction`.

    Attributes:
        feature: Whose value moves.
        key: The field of the decided stream that tells series apart.
        after_ns: The horizon in event time; 0 where it is counted in events.
        events: The horizon in events of the key; 0 where it is a length of time.
        threshold: The least move that is not flat; None sets it on each training fold.
        flat: The share of the training fold's moves that are flat then.
        read_value: Whether trees and regressions may read the value itself.
    """

    feature: str
    key: str
    after_ns: int
    events: int
    threshold: float | None
    flat: float
    read_value: bool = True


@checked
def direction(
    value: Expression,
    *,
    key: str,
    after: str | timedelta | None = None,
    events: int | None = None,
    threshold: float | None = None,
    flat: float = 1 / 3,
    read_value: bool = True,
) -> DirectionDefinition:
    """A label: whether a feature goes up, stays flat or goes down over a horizon.

    The move is the value at the horizon less the value now, never smoothed. It is up where it is
    over the threshold, down where it is below minus the threshold, else flat.

    Args:
        value: A feature, as in `features.mid`.
        key: The field that tells series apart, as in "symbol".
        after: The horizon in event time: the value then is that of the key's last event until
            then.
        events: The horizon in events of the key, in place of `after`.
        threshold: The least move that is not flat; None takes, on each training fold alone, the
            size that the share `flat` of its moves stays under or at.
        flat: That share.
        read_value: Whether trees and regressions may read the value itself. A price tells them
            which stretch of the history an event is of, and by that how it went on: False keeps
            them from learning it by heart.

    Raises:
        DefinitionError: Where the horizon is not given once, or `value` is no feature.

    >>> from headrace.definitions.streams import stream
    >>> from headrace.events.schema import Field, Kind, Role, Schema
    >>> from headrace.definitions.feature_set import features
    >>> quotes = stream(Schema("Quote", (
    ...     Field("id", Kind.TEXT, Role.ID), Field("at", Kind.TIME, Role.EVENT_TIME),
    ...     Field("symbol", Kind.TEXT, Role.KEY), Field("mid", Kind.FLOAT))))
    >>> direction(features(mid=quotes.mid).mid, key="symbol", after="5s").after_ns
    5000000000
    """
    at = user_line()
    node = value.term.node if isinstance(value, Expression) else None
    if not isinstance(node, FeatureValue):
        raise DefinitionError(
            f"hr.direction({shown(value)})", at=at, fix="give a feature, as in features.mid"
        )
    if (after is None) == (events is None):
        raise DefinitionError(
            f"after={shown(after)} and events={shown(events)} of a direction",
            at=at,
            fix='give one of them: after="5s" or events=20',
        )
    after_ns = 0 if after is None else duration_ns(after, what="after", at=at)
    if events is not None and (type(events) is not int or events < 1):
        raise DefinitionError(f"events={shown(events)}", at=at, fix="give 1 or more")
    if after is not None and after_ns == 0:
        raise DefinitionError("a direction after 0", at=at, fix='give a length, as in "5s"')
    if threshold is not None and not (
        isinstance(threshold, int | float) and 0.0 <= threshold < math.inf
    ):
        raise DefinitionError(
            f"threshold={shown(threshold)}", at=at, fix="give a number from 0 on, or None"
        )
    if not isinstance(flat, float) or not 0.0 < flat < 1.0:
        raise DefinitionError(f"flat={shown(flat)}", at=at, fix="give a share between 0 and 1")
    if not isinstance(read_value, bool):
        raise DefinitionError(
            f"read_value={shown(read_value)} of a direction", at=at, fix="give True or False"
        )
    return DirectionDefinition(node.name, key, after_ns, events or 0, threshold, flat, read_value)
