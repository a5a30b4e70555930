"""Conditions of a policy: boolean combinations of comparisons, as pure data.

A condition asks about three things of a decision: its score, its features and the fields of its
event. Its value is one of true, false and missing (Kleene's logic): a comparison with a missing
value is missing, *false and missing* is false, *true or missing* is true. A rule matches where
its condition is true, so a value that is not there never matches by accident.

    All, AnyOf, Not        over conditions
    Comparison             an operand with a constant, or with another operand
    Membership             an operand among constants
    Missing                whether an operand is not there; never missing itself
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from headrace.core.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: What a user may write as a constant; numbers are kept as exact decimals.
Scalar: TypeAlias = bool | int | float | Decimal | str | dt.datetime


class Relation(StrEnum):
    """How two values are compared."""

    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    EQ = "=="
    NE = "!="

    @property
    def opposite(self) -> Relation:
        """The relation that holds, between values that are there, where this one does not."""
        return _OPPOSITE[self]

    @property
    def mirrored(self) -> Relation:
        """The same relation seen from the other side.

        >>> Relation.LT.mirrored.value
        '>'
        """
        return _MIRRORED[self]


_OPPOSITE = {
    Relation.LT: Relation.GE,
    Relation.LE: Relation.GT,
    Relation.GT: Relation.LE,
    Relation.GE: Relation.LT,
    Relation.EQ: Relation.NE,
    Relation.NE: Relation.EQ,
}
_MIRRORED = {
    Relation.LT: Relation.GT,
    Relation.LE: Relation.GE,
    Relation.GT: Relation.LT,
    Relation.GE: Relation.LE,
    Relation.EQ: Relation.EQ,
    Relation.NE: Relation.NE,
}


class Source(StrEnum):
    """Where an operand's value comes from."""

    SCORE = "score"
    FEATURE = "feature"
    FIELD = "field"


@dataclass(frozen=True, slots=True, order=True)
class Operand:
    """A value that a condition asks about: the score, a feature, or a field of the event.

    Attributes:
        source: Where its value comes from.
        name: What it is called there.
        stream: Of a field: the stream that it was written with, "" where that was not said. What
            is compared and recorded of a rule is of the event that is decided, so this is checked
            when a use case takes the policy, and is no part of it.
    """

    source: Source
    name: str
    stream: str = dataclass_field(default="", compare=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Constant:
    """A value written in a rule. Numbers are exact decimals, so that 8 and 8.0 are the same.

    >>> Constant.of(8) == Constant.of(8.0)
    True
    """

    value: bool | Decimal | str | dt.datetime

    @staticmethod
    def of(value: Scalar) -> Constant:
        """The constant for a Python value.

        Raises:
            DefinitionError: For a number that is not finite, a time without a zone, or a value
                of another type.
        """
        if isinstance(value, bool | str):
            return Constant(value)
        if isinstance(value, dt.datetime):
            if value.tzinfo is None:
                raise DefinitionError(
                    f"the time {value} has no zone", fix="give it one: tzinfo=datetime.UTC"
                )
            return Constant(value.astimezone(dt.UTC))
        if isinstance(value, int | Decimal):
            number = Decimal(value)
        elif isinstance(value, float) and math.isfinite(value):
            number = Decimal(repr(value))
        else:
            raise DefinitionError(
                f"a rule compares with {value!r}",
                fix="compare with a finite number, text, True, False, or a time with its zone",
            )
        if not number.is_finite():
            raise DefinitionError(
                f"a rule compares with {value!r}", fix="compare with a finite number"
            )
        return Constant(_plain_number(number))

    def __str__(self) -> str:
        if isinstance(self.value, str):
            return repr(self.value)
        if isinstance(self.value, dt.datetime):
            return self.value.isoformat()
        return str(self.value)


def _plain_number(number: Decimal) -> Decimal:
    """`number` without trailing zeros or an exponent, and without a negative zero."""
    if number == 0:
        return Decimal(0)
    # not `normalize`, which rounds to the context's digits
    sign, digits, exponent = number.as_tuple()
    trimmed = list(digits)
    power = int(exponent)
    while trimmed[-1] == 0:
        trimmed.pop()
        power += 1
    if power > 0:
        trimmed += [0] * power
        power = 0
    return Decimal((sign, tuple(trimmed), power))


class Condition:
    """A question about one decision; combine with `&`, `|` and `~`.

    `and`, `or` and `not` would ask Python for a truth value that a condition does not have yet,
    and say so.
    """

    __slots__ = ()

    def __and__(self, other: object) -> Condition:
        joined = as_condition(other)
        return NotImplemented if joined is None else All(_flat(All, (self, joined)))

    def __rand__(self, other: object) -> Condition:
        joined = as_condition(other)
        return NotImplemented if joined is None else All(_flat(All, (joined, self)))

    def __or__(self, other: object) -> Condition:
        joined = as_condition(other)
        return NotImplemented if joined is None else AnyOf(_flat(AnyOf, (self, joined)))

    def __ror__(self, other: object) -> Condition:
        joined = as_condition(other)
        return NotImplemented if joined is None else AnyOf(_flat(AnyOf, (joined, self)))

    def __invert__(self) -> Condition:
        return self.part if isinstance(self, Not) else Not(self)

    def __bool__(self) -> bool:
        raise DefinitionError(
            f"the condition {self} was used as true or false",
            fix="combine conditions with & and |, negate with ~, each comparison in parentheses",
        )


@dataclass(frozen=True, slots=True)
class Comparison(Condition):
    """An operand compared with a constant or with another operand."""

    left: Operand
    relation: Relation
    right: Operand | Constant

    def __str__(self) -> str:
        return f"{self.left} {self.relation.value} {self.right}"


@dataclass(frozen=True, slots=True)
class Membership(Condition):
    """Whether an operand is among constants."""

    operand: Operand
    values: tuple[Constant, ...]

    def __str__(self) -> str:
        return f"{self.operand} in ({', '.join(str(value) for value in self.values)})"


@dataclass(frozen=True, slots=True)
class Missing(Condition):
    """Whether an operand is not there; itself always true or false."""

    operand: Operand

    def __str__(self) -> str:
        return f"{self.operand} is missing"


@dataclass(frozen=True, slots=True)
class All(Condition):
    """True where every part is."""

    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return " & ".join(_bracketed(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf(Condition):
    """True where any part is."""

    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return " | ".join(_bracketed(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """True where its part is false; missing where it is missing."""

    part: Condition

    def __str__(self) -> str:
        return f"~({self.part})"


def _bracketed(part: Condition) -> str:
    return f"({part})" if isinstance(part, All | AnyOf) else str(part)


def _flat(kind: type[All | AnyOf], parts: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """`parts`, with those of the same kind opened: a & (b & c) is a & b & c."""
    opened: list[Condition] = []
    for part in parts:
        opened.extend(part.parts if isinstance(part, kind) else (part,))
    return tuple(opened)


class Term:
    """An operand as a user writes it: comparing it gives a condition.

    >>> str((score >= 0.95) | score.is_missing())
    'score >= 0.95 | score is missing'
    """

    __slots__ = ("operand",)

    def __init__(self, operand: Operand) -> None:
        self.operand = operand

    def _compare(self, relation: Relation, other: object) -> Any:
        if isinstance(other, Term):
            return Comparison(self.operand, relation, other.operand)
        if isinstance(other, bool | int | float | Decimal | str | dt.datetime):
            return Comparison(self.operand, relation, Constant.of(other))
        return NotImplemented

    def __lt__(self, other: object) -> Any:
        return self._compare(Relation.LT, other)

    def __le__(self, other: object) -> Any:
        return self._compare(Relation.LE, other)

    def __gt__(self, other: object) -> Any:
        return self._compare(Relation.GT, other)

    def __ge__(self, other: object) -> Any:
        return self._compare(Relation.GE, other)

    def __eq__(self, other: object) -> Any:
        return self._compare(Relation.EQ, other)

    def __ne__(self, other: object) -> Any:
        return self._compare(Relation.NE, other)

    __hash__ = None  # type: ignore[assignment]  # equality makes a condition, so there is no hash

    def is_missing(self) -> Missing:
        """Whether the value is not there."""
        return Missing(self.operand)

    def is_in(self, values: Iterable[Scalar]) -> Membership:
        """Whether the value is one of `values`.

        Raises:
            DefinitionError: When `values` is empty.
        """
        return membership(self.operand, values)

    def between(self, least: Scalar, most: Scalar) -> Condition:
        """Whether the value lies between the two, ends included."""
        return All((self >= least, self <= most))

    def __bool__(self) -> bool:
        raise DefinitionError(
            f"{self.operand} was used as true or false", fix="compare it: term >= value"
        )

    def __repr__(self) -> str:
        return f"<{self.operand.source.value} {self.operand.name}>"


def membership(operand: Operand, values: Iterable[Scalar]) -> Membership:
    """Whether `operand` is one of `values`; their order and repetition do not matter.

    Raises:
        DefinitionError: When `values` is empty.
    """
    constants = {str(constant): constant for constant in map(Constant.of, values)}
    if not constants:
        raise DefinitionError(f"{operand} is asked to be in nothing", fix="name at least one value")
    return Membership(operand, tuple(constants[text] for text in sorted(constants)))


#: The score of the decision, from 0 to 1: `hr.score >= 0.95`.
score = Term(Operand(Source.SCORE, "score"))


def feature(name: str) -> Term:
    """The feature called `name`.

    >>> str(feature("card_count_5m") > 8)
    'card_count_5m > 8'
    """
    return Term(Operand(Source.FEATURE, name))


def field(name: str) -> Term:
    """The field called `name` of the event that is decided.

    >>> str(field("country").is_in(["SE", "FR"]))
    "country in ('FR', 'SE')"
    """
    return Term(Operand(Source.FIELD, name))


def as_condition(value: object) -> Condition | None:
    """The condition that `value` stands for: a term alone asks whether it is true; or None."""
    if isinstance(value, Condition):
        return value
    if isinstance(value, Term):
        return Comparison(value.operand, Relation.EQ, Constant.of(True))
    return None


def operands(condition: Condition) -> Iterator[Operand]:
    """Every operand that the condition asks about, in order, with repetitions."""
    for atom in atoms(condition):
        if isinstance(atom, Comparison):
            yield atom.left
            if isinstance(atom.right, Operand):
                yield atom.right
        else:
            yield atom.operand


def atoms(condition: Condition) -> Iterator[Comparison | Membership | Missing]:
    """The conditions that are not made of others, from left to right."""
    if isinstance(condition, All | AnyOf):
        for part in condition.parts:
            yield from atoms(part)
    elif isinstance(condition, Not):
        yield from atoms(condition.part)
    elif isinstance(condition, Comparison | Membership | Missing):
        yield condition


def to_plain(condition: Condition) -> dict[str, Any]:
    """The condition as JSON-ready data: what its policy's digest is taken of."""
    match condition:
        case All(parts) | AnyOf(parts):
            key = "all" if isinstance(condition, All) else "any"
            return {key: [to_plain(part) for part in parts]}
        case Not(part):
            return {"not": to_plain(part)}
        case Missing(operand):
            return {"missing": _plain_side(operand)}
        case Membership(operand, values):
            return {"in": [_plain_side(value) for value in values], "left": _plain_side(operand)}
        case Comparison(left, relation, right):
            return {
                "left": _plain_side(left),
                "relation": relation.value,
                "right": _plain_side(right),
            }
    raise DefinitionError(f"{condition!r} is not a condition of a policy")


def from_plain(plain: dict[str, Any]) -> Condition:
    """The inverse of `to_plain`.

    >>> from_plain(to_plain(score > 0.5)) == (score > 0.5)
    True

    Raises:
        DefinitionError: When `plain` is not what `to_plain` gives.
    """
    match plain:
        case {"all": parts}:
            return All(tuple(from_plain(part) for part in parts))
        case {"any": parts}:
            return AnyOf(tuple(from_plain(part) for part in parts))
        case {"not": part}:
            return Not(from_plain(part))
        case {"missing": side}:
            return Missing(_operand_of(side))
        case {"in": values, "left": side}:
            return Membership(_operand_of(side), tuple(_constant_of(value) for value in values))
        case {"left": left, "relation": relation, "right": right}:
            other = _operand_of(right) if "name" in right else _constant_of(right)
            return Comparison(_operand_of(left), Relation(relation), other)
    raise DefinitionError(f"{plain!r} is not a condition of a policy")


def _plain_side(side: Operand | Constant) -> dict[str, object]:
    if isinstance(side, Operand):
        return {"source": side.source.value, "name": side.name}
    if isinstance(side.value, bool):
        return {"bool": side.value}
    if isinstance(side.value, Decimal):
        return {"number": str(side.value)}
    if isinstance(side.value, str):
        return {"text": side.value}
    return {"time": side.value.isoformat()}


def _operand_of(plain: dict[str, Any]) -> Operand:
    return Operand(Source(plain["source"]), plain["name"])


def _constant_of(plain: dict[str, Any]) -> Constant:
    match plain:
        case {"bool": bool(value)}:
            return Constant(value)
        case {"number": str(text)}:
            return Constant.of(Decimal(text))
        case {"text": str(text)}:
            return Constant(text)
        case {"time": str(text)}:
            return Constant.of(dt.datetime.fromisoformat(text))
    raise DefinitionError(f"{plain!r} is not a constant of a policy")
