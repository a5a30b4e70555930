"""The typing rules of comparisons, conditions and sets.

An exact value is compared with a literal exactly, whatever digits the literal has: `amount < 4.995`
in euro asks whether the cents are below 499.5, which is to say below 500.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING

from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError
from headrace.definitions.arithmetic import number, same_scale, to_float, unlike
from headrace.definitions.literals import Operand, exact, literal, natural, scaled
from headrace.definitions.plan import Op
from headrace.definitions.terms import (
    BOOL,
    WORD_LIMIT,
    Among,
    Applied,
    Constant,
    Term,
    made_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from headrace.core.errors import SourceLine
    from headrace.definitions.literals import Literal

_INTEGER_OPS = {"==": Op.EQ_I, "!=": Op.NE_I, "<": Op.LT_I, "<=": Op.LE_I}
_FLOAT_OPS = {"==": Op.EQ_F, "!=": Op.NE_F, "<": Op.LT_F, "<=": Op.LE_F}
_SWAPPED = {">": "<", ">=": "<="}
_ROUNDING: dict[tuple[str, bool], Callable[[Decimal], int]] = {
    # (sign, literal on the right): the whole threshold that asks the same of whole numbers.
    ("<", True): math.ceil,
    ("<", False): math.floor,
    ("<=", True): math.floor,
    ("<=", False): math.ceil,
}


def compare(sign: str, left: Operand, right: Operand, at: SourceLine | None) -> Term:
    """`left sign right`, missing where one of them is."""
    if sign in _SWAPPED:
        sign, left, right = _SWAPPED[sign], right, left
    if not isinstance(left, Term):
        left, right_is_literal = _term_and_literal(left, right, at)
        return _with_literal(sign, left, right_is_literal, at, literal_right=False)
    if not isinstance(right, Term):
        return _with_literal(sign, left, right, at, literal_right=True)
    a, b = left.type, right.type
    if a.is_number and b.is_number:
        return _numbers(sign, left, right, at)
    if a.kind is not b.kind:
        raise DefinitionError(
            f"can't compare {a} with {b}", at=at, fix="compare values of one type"
        )
    _check_ordered(sign, left, at)
    return _made(_INTEGER_OPS[sign], left, right, at)


def _term_and_literal(left: Literal, right: Operand, at: SourceLine | None) -> tuple[Term, Literal]:
    if isinstance(right, Term):
        return right, left
    return natural(right, at), left


def _made(op: Op, left: Term, right: Term, at: SourceLine | None) -> Term:
    return made_of(Applied(op, (left, right)), BOOL, at, (left, right))


def _check_ordered(sign: str, term: Term, at: SourceLine | None) -> None:
    if sign in ("<", "<=") and term.type.kind in (
        Kind.TEXT,
        Kind.BOOL,
        Kind.CURRENCY,
        Kind.COUNTRY,
    ):
        raise DefinitionError(
            f"{term.type} has no order", at=at, fix="compare with == or !=, or ask .is_in([...])"
        )


def _with_literal(
    sign: str, term: Term, value: Literal, at: SourceLine | None, *, literal_right: bool
) -> Term:
    if value is None:
        raise DefinitionError("nothing equals None", at=at, fix="ask `.is_missing()`")
    if not term.type.is_number:
        other = literal(value, term.type, at)
        _check_ordered(sign, term, at)
        pair = (term, other) if literal_right else (other, term)
        return _made(_INTEGER_OPS[sign], *pair, at)
    if term.type.varying:
        raise DefinitionError(
            f"can't compare {term.type} with {value!r}: each event has its own currency",
            at=at,
            fix='convert first, as in `.in_currency("EUR", rates)`',
        )
    number_value = exact(value, at)
    if number_value is None:
        raise DefinitionError(
            f"can't compare {term.type} with {value!r}", at=at, fix="compare it with a number"
        )
    if term.type.kind is Kind.FLOAT:
        other = to_float(natural(float(number_value), at), at)
        pair = (term, other) if literal_right else (other, term)
        return _made(_FLOAT_OPS[sign], *pair, at)
    return _exactly(sign, term, number_value, at, literal_right=literal_right)


def _exactly(
    sign: str, term: Term, value: Decimal, at: SourceLine | None, *, literal_right: bool
) -> Term:
    """Compare whole units with a decimal of any digits, by the threshold that asks the same."""
    units = scaled(value, term.type.scale)
    if sign in ("==", "!="):
        whole = int(units) if units == units.to_integral_value() else WORD_LIMIT
        if abs(whole) > term.bound or whole == WORD_LIMIT:
            # No value of the field equals it, so ask for one that the register can't hold.
            whole = WORD_LIMIT
    else:
        whole = _ROUNDING[sign, literal_right](units)
        whole = max(-WORD_LIMIT, min(WORD_LIMIT, whole))
    words = f"{value:f}" + (f" {term.type.unit}" if term.type.unit else "")
    other = Term(Constant(whole, words), term.type, at, bound=abs(whole))
    pair = (term, other) if literal_right else (other, term)
    return _made(_INTEGER_OPS[sign], *pair, at)


def _numbers(sign: str, left: Term, right: Term, at: SourceLine | None) -> Term:
    a, b = left.type, right.type
    if a.unit != b.unit:
        if a.unit and b.unit:
            raise unlike(a, b, at, "compare")
        if Kind.MONEY in (a.kind, b.kind) or a.varying or b.varying:
            raise DefinitionError(
                f"can't compare {a} with {b}",
                at=at,
                fix='compare money with money, as in hr.money("5", "EUR"), or with a literal',
            )
    if a.is_integer and b.is_integer:
        same = [left, right] if a.kind is Kind.MONEY else same_scale((left, right), at)
        if same is not None:
            return _made(_INTEGER_OPS[sign], same[0], same[1], at)
    return _made(_FLOAT_OPS[sign], to_float(left, at), to_float(right, at), at)


def condition(operand: Operand, at: SourceLine | None, doing: str) -> Term:
    """An operand that is true, false or missing."""
    term = operand if isinstance(operand, Term) else natural(operand, at)
    if term.type.kind is not Kind.BOOL:
        raise DefinitionError(
            f"{doing} takes a condition, and this is {term.type}",
            at=at,
            fix="compare it with something; put brackets around each comparison beside & and |",
        )
    return term


def both(left: Operand, right: Operand, at: SourceLine | None) -> Term:
    """Kleene's and: false if one is false, whatever the other is."""
    return _logical(Op.AND, left, right, at, "&")


def either(left: Operand, right: Operand, at: SourceLine | None) -> Term:
    """Kleene's or: true if one is true, whatever the other is."""
    return _logical(Op.OR, left, right, at, "|")


def _logical(op: Op, left: Operand, right: Operand, at: SourceLine | None, sign: str) -> Term:
    return _made(op, condition(left, at, sign), condition(right, at, sign), at)


def opposite(operand: Operand, at: SourceLine | None) -> Term:
    """True where false, false where true, missing where missing."""
    term = condition(operand, at, "~")
    return made_of(Applied(Op.NOT, (term,)), BOOL, at, (term,))


def is_missing(term: Term, at: SourceLine | None) -> Term:
    """Whether there is no value; never missing itself."""
    return made_of(Applied(Op.IS_MISSING, (term,)), BOOL, at, (term,))


def among(term: Term, values: Iterable[Literal], at: SourceLine | None) -> Term:
    """Whether a value is one of several; missing where it is missing."""
    if isinstance(values, str):
        raise DefinitionError(
            f"is_in({values!r}) would ask for letters", at=at, fix=f"write is_in([{values!r}])"
        )
    if not isinstance(values, Iterable):
        raise DefinitionError(
            f"is_in({values!r}) has no list of values", at=at, fix=f"write is_in([{values!r}])"
        )
    members = list(values)
    if not members:
        raise DefinitionError("is_in() of nothing", at=at, fix="name the values")
    if term.type.kind in (Kind.FLOAT, Kind.BOOL, Kind.TIME) or term.type.varying:
        raise DefinitionError(
            f"can't look for {term.type} in a set",
            at=at,
            fix="is_in() is for whole numbers, decimals, money of one currency, codes and text",
        )
    if any(member is None for member in members):
        raise DefinitionError("nothing equals None", at=at, fix="ask `.is_missing()`")
    words = ", ".join(str(member) for member in members)
    if term.type.kind is Kind.TEXT:
        for member in members:
            literal(member, term.type, at)
        node = Among(term, (), tuple(dict.fromkeys(str(member) for member in members)), words)
    else:
        node = Among(term, _units(term, members, at), (), words)
    return made_of(node, BOOL, at, (term,))


def _units(term: Term, members: list[Literal], at: SourceLine | None) -> tuple[int, ...]:
    """The registers' integers of the members; those that no value equals are left out."""
    if term.type.is_number:
        exacts = [exact(member, at) for member in members]
        for value, member in zip(exacts, members, strict=True):
            if value is None:
                literal(member, number(term, at, "look for").type, at)
        units = [scaled(value, term.type.scale) for value in exacts if value is not None]
        whole = {int(unit) for unit in units if unit == unit.to_integral_value()}
        return tuple(sorted(unit for unit in whole if abs(unit) <= WORD_LIMIT))
    constants = [literal(member, term.type, at).node for member in members]
    bits = map(operator.attrgetter("bits"), constants)
    return tuple(sorted(set(bits)))
