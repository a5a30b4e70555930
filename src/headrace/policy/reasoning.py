"""What can be said for certain of conditions without seeing an event.

A condition is brought into a disjunction of **cases**; a case is what must hold of each operand at
once (an interval, a set of texts, being there or not) plus comparisons between operands, taken as
opaque. From cases follow: *never* (no case can hold), *always* (a case asks nothing), and *implied*
(each case lies inside a case of another condition). All three are sound: they are said only when
certain, and a condition too large to expand is left alone. What follows only from how one operand
is computed of another, as of a feature that repeats a field, is not looked for.

A score, where there is one, lies in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING

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
    Source,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: A condition of more cases than this is not reasoned about.
CASES_MAX = 256

_INFINITE = Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers from `low` to `high`, without those `excluded`."""

    low: Decimal = -_INFINITE
    high: Decimal = _INFINITE
    low_open: bool = False
    high_open: bool = False
    excluded: frozenset[Decimal] = frozenset()

    def meet(self, other: Range) -> Range:
        """The numbers that lie in both."""
        low, low_open = max((self.low, self.low_open), (other.low, other.low_open))
        high, high_closed = min((self.high, not self.high_open), (other.high, not other.high_open))
        return Range(low, high, low_open, not high_closed, self.excluded | other.excluded)

    def is_empty(self) -> bool:
        """Whether no number is left."""
        if self.low == self.high:
            return self.low_open or self.high_open or self.low in self.excluded
        return self.low > self.high

    def within(self, other: Range) -> bool:
        """Whether every number here is also in `other`."""
        above = (self.low, self.low_open) >= (other.low, other.low_open)
        below = (self.high, not self.high_open) <= (other.high, not other.high_open)
        return above and below and all(not self.has(number) for number in other.excluded)

    def has(self, number: Decimal) -> bool:
        """Whether `number` is here."""
        if number in self.excluded or number < self.low or number > self.high:
            return False
        return not (
            (number == self.low and self.low_open) or (number == self.high and self.high_open)
        )

    def of_integers(self) -> Range:
        """The same integers, with closed ends."""
        low, high = self.low, self.high
        if low.is_finite():
            up = low.to_integral_value(ROUND_CEILING)
            low = up + 1 if up == low and self.low_open else up
        if high.is_finite():
            down = high.to_integral_value(ROUND_FLOOR)
            high = down - 1 if down == high and self.high_open else down
        excluded = set(self.excluded)
        while low in excluded:
            excluded.discard(low)
            low += 1
        while high in excluded:
            excluded.discard(high)
            high -= 1
        return Range(low, high, excluded=frozenset(excluded))


#: What the score can be.
UNIT = Range(Decimal(0), Decimal(1))


@dataclass(frozen=True, slots=True)
class Allowed:
    """What one operand may be: missing, or there and within what is said of it."""

    missing: bool = True
    present: bool = True
    numbers: Range = field(default_factory=Range)
    words: frozenset[object] | None = None  # texts, truth values and times; None is any
    not_words: frozenset[object] = frozenset()

    def meet(self, other: Allowed) -> Allowed:
        """What both allow."""
        words = self.words
        if other.words is not None:
            words = other.words if words is None else words & other.words
        not_words = self.not_words | other.not_words
        return Allowed(
            self.missing and other.missing,
            self.present and other.present,
            self.numbers.meet(other.numbers),
            None if words is None else words - not_words,
            frozenset() if words is not None else not_words,
        )

    def is_empty(self) -> bool:
        """Whether nothing is allowed."""
        there = self.present and not self.numbers.is_empty() and self.words != frozenset()
        return not self.missing and not there

    def within(self, other: Allowed) -> bool:
        """Whether all that is allowed here is allowed by `other`."""
        if self.missing and not other.missing:
            return False
        if not self.present:
            return True
        if not other.present or not self.numbers.within(other.numbers):
            return False
        if other.words is not None and (self.words is None or not self.words <= other.words):
            return False
        if self.words is not None:
            return not self.words & other.not_words
        return other.not_words <= self.not_words


@dataclass(frozen=True, slots=True)
class Case:
    """What must hold at once: of each operand, and between operands."""

    allowed: tuple[tuple[Operand, Allowed], ...] = ()
    between: frozenset[Comparison] = frozenset()

    def meet(self, other: Case) -> Case:
        """Both at once."""
        merged = dict(self.allowed)
        for operand, allowed in other.allowed:
            merged[operand] = merged[operand].meet(allowed) if operand in merged else allowed
        return Case(tuple(sorted(merged.items(), key=_by_operand)), self.between | other.between)

    def is_empty(self) -> bool:
        """Whether it can never hold."""
        if any(allowed.is_empty() for _, allowed in self.allowed):
            return True
        return any(
            replace(pair, relation=pair.relation.opposite) in self.between for pair in self.between
        )

    def implies(self, other: Case) -> bool:
        """Whether `other` holds wherever this does."""
        mine = dict(self.allowed)
        return other.between <= self.between and all(
            operand in mine and mine[operand].within(allowed) for operand, allowed in other.allowed
        )


def _by_operand(item: tuple[Operand, Allowed]) -> Operand:
    return item[0]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of operands before any condition.

    Attributes:
        integers: Operands that are whole numbers: more than 8 is then at least 9.
        limits: What an operand can be, where that is not everything: a count is there, and not
            below 0.
    """

    integers: Collection[Operand] = ()
    limits: Mapping[Operand, Allowed] = field(default_factory=dict)

    def limit(self, operand: Operand) -> Allowed:
        """What an operand can be."""
        if operand.source is Source.SCORE:
            return Allowed(numbers=UNIT)
        return self.limits.get(operand, _ANYTHING)


_ANYTHING = Allowed()
NOTHING_KNOWN = Known()


def cases(condition: Condition, known: Known = NOTHING_KNOWN) -> list[Case] | None:
    """The cases in which `condition` is true; None when there are too many to reason about."""
    expanded = _cases(condition, True)
    if expanded is None:
        return None
    tidy = [_tidy(case, known) for case in expanded]
    return [case for case in tidy if not case.is_empty()]


def _tidy(case: Case, known: Known) -> Case:
    """What is known beside what is asked; integers with closed ends."""
    tidied: list[tuple[Operand, Allowed]] = []
    for operand, asked in case.allowed:
        allowed = asked.meet(known.limit(operand))
        if operand in known.integers:
            allowed = replace(allowed, numbers=allowed.numbers.of_integers())
        tidied.append((operand, allowed))
    return Case(tuple(tidied), case.between)


def _cases(  # noqa: PLR0911 - one way for each kind of condition
    condition: Condition,
    wanted: bool,  # noqa: FBT001 - which truth value is asked for
) -> list[Case] | None:
    """The cases in which `condition` is true (or, if not `wanted`, false)."""
    match condition:
        case Not(part):
            return _cases(part, not wanted)
        case All(parts) | AnyOf(parts):
            expanded = [_cases(part, wanted) for part in parts]
            if any(part is None for part in expanded):
                return None
            known = [part for part in expanded if part is not None]
            return _product(known) if isinstance(condition, All) is wanted else _sum(known)
        case Missing(operand):
            return [_one(operand, Allowed(missing=wanted, present=not wanted))]
        case Membership(operand, values):
            each = [_of_constant(operand, Relation.EQ, value) for value in values]
            if wanted:
                return [case for part in each for case in part]
            return _product([_of_constant(operand, Relation.NE, value) for value in values])
        case Comparison(left, relation, right):
            asked = relation if wanted else relation.opposite
            if isinstance(right, Constant):
                return _of_constant(left, asked, right)
            return _of_pair(left, asked, right)
    return None


def _sum(parts: list[list[Case]]) -> list[Case] | None:
    joined = [case for part in parts for case in part]
    return joined if len(joined) <= CASES_MAX else None


def _product(parts: list[list[Case]]) -> list[Case] | None:
    joined = [Case()]
    for part in parts:
        if len(joined) * len(part) > CASES_MAX:
            return None
        joined = [one.meet(other) for one in joined for other in part]
    return joined


def _one(operand: Operand, allowed: Allowed) -> Case:
    return Case(((operand, allowed),))


def _of_constant(operand: Operand, relation: Relation, constant: Constant) -> list[Case]:
    value = constant.value
    there = Allowed(missing=False)
    if isinstance(value, Decimal):
        return [_one(operand, replace(there, numbers=_range(relation, value)))]
    if isinstance(value, bool):
        # true and false are all there is, so "not true" is "false"
        wanted = value if relation is Relation.EQ else not value
        return [_one(operand, replace(there, words=frozenset([wanted])))]
    if relation is Relation.EQ:
        return [_one(operand, replace(there, words=frozenset([value])))]
    if relation is Relation.NE:
        return [_one(operand, replace(there, not_words=frozenset([value])))]
    # an order among times: opaque, but the value must be there
    pair = Comparison(operand, relation, constant)
    return [replace(_one(operand, there), between=frozenset([pair]))]


def _range(relation: Relation, value: Decimal) -> Range:
    if relation is Relation.LT:
        return Range(high=value, high_open=True)
    if relation is Relation.LE:
        return Range(high=value)
    if relation is Relation.GT:
        return Range(low=value, low_open=True)
    if relation is Relation.GE:
        return Range(low=value)
    if relation is Relation.EQ:
        return Range(value, value)
    return Range(excluded=frozenset([value]))


def _of_pair(left: Operand, relation: Relation, right: Operand) -> list[Case]:
    there = Allowed(missing=False)
    if left == right:
        equal = relation in (Relation.EQ, Relation.LE, Relation.GE)
        return [_one(left, there)] if equal else []
    if right < left:
        left, relation, right = right, relation.mirrored, left
    pair = Comparison(left, relation, right)
    both = _one(left, there).meet(_one(right, there))
    return [replace(both, between=frozenset([pair]))]


def never(found: list[Case] | None) -> bool:
    """Whether a condition of these cases can certainly not be true."""
    return found is not None and not found


def always(found: list[Case] | None, known: Known = NOTHING_KNOWN) -> bool:
    """Whether a condition of these cases is certainly true of every event."""
    if found is None:
        return False
    alone: dict[Operand, list[Allowed]] = {}
    for case in found:
        asked = [
            (operand, allowed)
            for operand, allowed in case.allowed
            if not known.limit(operand).within(allowed)
        ]
        if case.between or len(asked) > 1:
            continue
        if not asked:
            return True
        alone.setdefault(asked[0][0], []).append(asked[0][1])
    return any(_cover(parts, operand, known) for operand, parts in alone.items())


def _cover(parts: list[Allowed], operand: Operand, known: Known) -> bool:
    """Whether what is allowed of one operand, taken together, is all that it can be."""
    limit = known.limit(operand)
    if limit.missing and not any(part.missing for part in parts):
        return False
    there = [part for part in parts if part.present]
    if any(replace(limit, missing=False).within(part) for part in there):
        return True
    ranges = [part.numbers for part in there if part.words is None and not part.not_words]
    step = 1 if operand in known.integers else 0
    at, taken = limit.numbers.low, limit.numbers.low_open or not limit.numbers.low.is_finite()
    for part in sorted(ranges, key=lambda part: (part.low, part.low_open)):
        touches = part.low < at or (part.low == at and (taken or not part.low_open))
        if part.excluded or not (touches or (taken and part.low == at + step)):
            return False
        at, taken = max((at, taken), (part.high, not part.high_open))
    return (at, taken) >= (limit.numbers.high, not limit.numbers.high_open) or at == _INFINITE


def implied(found: list[Case] | None, earlier: list[Case]) -> bool:
    """Whether each case lies inside one of `earlier`."""
    return found is not None and all(
        any(case.implies(other) for other in earlier) for case in found
    )
