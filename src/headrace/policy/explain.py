"""Why a rule matched, in words: "card_count_5m is 12, over 8"."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from headrace.policy.conditions import (
    All,
    AnyOf,
    Comparison,
    Condition,
    Constant,
    Membership,
    Missing,
    Not,
    Operand,
    Relation,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What an operand was for one event, in the units that rules are written in; None is missing.
Seen: TypeAlias = bool | int | float | Decimal | str | dt.datetime | None

_WORDS = {
    Relation.LT: "under",
    Relation.LE: "at or under",
    Relation.GT: "over",
    Relation.GE: "at or over",
}


def holds(condition: Condition, values: Mapping[Operand, Seen]) -> bool | None:  # noqa: PLR0911 - one way for each kind
    """Whether `condition` is true, false or missing (None) for one event.

    >>> from headrace.policy.conditions import score
    >>> holds(score >= 0.6, {score.operand: 0.7})
    True
    """
    match condition:
        case All(parts) | AnyOf(parts):
            answers = [holds(part, values) for part in parts]
            decisive = isinstance(condition, AnyOf)
            if decisive in answers:
                return decisive
            return None if None in answers else not decisive
        case Not(part):
            answer = holds(part, values)
            return None if answer is None else not answer
        case Missing(operand):
            return values[operand] is None
        case Membership(operand, constants):
            each = [Comparison(operand, Relation.EQ, constant) for constant in constants]
            return holds(AnyOf(tuple(each)), values)
        case Comparison(left, relation, right):
            one = values[left]
            other = right.value if isinstance(right, Constant) else values[right]
            return None if one is None or other is None else _related(one, relation, other)
    return None


def _related(one: Seen, relation: Relation, other: Seen) -> bool:
    if isinstance(one, float) and isinstance(other, Decimal):
        other = float(other)
    if isinstance(one, Decimal) and isinstance(other, float):
        one = float(one)
    if relation is Relation.EQ:
        return one == other
    if relation is Relation.NE:
        return one != other
    less = one < other  # type: ignore[operator]  # the policy has checked that both are ordered
    if relation is Relation.LT:
        return bool(less)
    if relation is Relation.GE:
        return not less
    return bool(less or one == other) if relation is Relation.LE else bool(one > other)  # type: ignore[operator]  # the same


def because(condition: Condition, values: Mapping[Operand, Seen]) -> str:
    """Why `condition` is true of one event: the parts that make it so, with the values.

    Args:
        condition: A condition that holds of the event.
        values: What each of its operands was.

    >>> from headrace.policy.conditions import feature
    >>> burst = feature("card_count_5m") > 8
    >>> because(burst, {burst.left: 12.0})
    'card_count_5m is 12, over 8'
    """
    return _because(condition, values, wanted=True)


def _because(condition: Condition, values: Mapping[Operand, Seen], *, wanted: bool) -> str:
    match condition:
        case All(parts) | AnyOf(parts):
            making = [part for part in parts if holds(part, values) is wanted]
            return " and ".join(_because(part, values, wanted=wanted) for part in making)
        case Not(part):
            return _because(part, values, wanted=not wanted)
        case Missing(operand):
            return f"{operand} is missing" if wanted else f"{operand} is {_shown(values[operand])}"
        case Membership(operand, constants):
            among = ", ".join(_shown(constant.value) for constant in constants)
            where = "one of" if wanted else "none of"
            return f"{operand} is {_shown(values[operand])}, {where} {among}"
        case Comparison(left, relation, right):
            asked = relation if wanted else relation.opposite
            return _comparison(left, asked, right, values)
    return ""


def _comparison(
    left: Operand, relation: Relation, right: Operand | Constant, values: Mapping[Operand, Seen]
) -> str:
    seen = _shown(values[left])
    if isinstance(right, Constant):
        limit = _shown(right.value)
    else:
        limit = f"{right} ({_shown(values[right])})"
    if relation is Relation.EQ:
        return (
            f"{left} is {seen}" if isinstance(right, Constant) else f"{left} is {seen}, as {limit}"
        )
    if relation is Relation.NE:
        return f"{left} is {seen}, not {limit}"
    return f"{left} is {seen}, {_WORDS[relation]} {limit}"


def _shown(value: Seen) -> str:
    """A value as a person writes it: whole numbers bare, others to six significant digits."""
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return str(value)
