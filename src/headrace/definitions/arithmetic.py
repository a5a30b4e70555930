"""The typing rules of arithmetic: which operands go together, and as which instructions.

Whole numbers, exact decimals and money of one currency are added as integers as long as the
result provably fits 64 bits; every product and quotient is a float. Money keeps its currency
through sums, and through products and quotients with plain numbers; a ratio of money of one
currency is a plain number.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError
from headrace.definitions.literals import Operand, float_constant, literal, natural
from headrace.definitions.plan import Op
from headrace.definitions.terms import (
    FLOAT,
    TIME,
    WORD_LIMIT,
    Applied,
    Constant,
    Term,
    ValueType,
    made_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.errors import SourceLine


def to_float(term: Term, at: SourceLine | None) -> Term:
    """A number as a float, in units (of a varying currency: in minor units)."""
    if term.type.kind is Kind.FLOAT:
        return term
    scale = term.type.scale
    kind = ValueType(Kind.FLOAT, 0, term.type.unit, term.type.varying)
    if isinstance(term.node, Constant) and not term.type.varying:
        constant = float_constant(float(Decimal(term.node.bits).scaleb(-scale)), at)
        return Term(constant.node, kind, at)
    return made_of(Applied(Op.TO_FLOAT, (term,), scale), kind, at, (term,))


def rescaled(term: Term, scale: int, at: SourceLine | None) -> Term:
    """An integer with more digits after the point; the caller has seen that it fits."""
    up = scale - term.type.scale
    if up == 0:
        return term
    kind = ValueType(Kind.DECIMAL, scale)
    made = made_of(Applied(Op.SCALE_UP_I, (term,), up), kind, at, (term,))
    return _bounded(made, term.bound * 10**up)


def same_scale(terms: Sequence[Term], at: SourceLine | None) -> list[Term] | None:
    """Whole numbers and decimals at one scale; None where that may not fit 64 bits."""
    scale = max(term.type.scale for term in terms)
    if any(term.bound * 10 ** (scale - term.type.scale) > WORD_LIMIT for term in terms):
        return None
    return [rescaled(term, scale, at) for term in terms]


def _bounded(term: Term, bound: int) -> Term:
    return Term(
        term.node,
        term.type,
        term.at,
        bound=min(bound, WORD_LIMIT),
        stream=term.stream,
        windowed=term.windowed,
        currency=term.currency,
    )


def number(operand: Operand, at: SourceLine | None, doing: str) -> Term:
    """An operand that arithmetic is defined on."""
    term = operand if isinstance(operand, Term) else natural(operand, at)
    if term.type.is_number:
        return term
    fixes = {
        Kind.BOOL: "make a number of it: `hr.when(condition).then(1).otherwise(0)`",
        Kind.TIME: "take `hr.seconds_between(first, second)`, or a part such as `.hour(zone)`",
    }
    raise DefinitionError(
        f"can't {doing} {term.type}",
        at=at,
        fix=fixes.get(term.type.kind, "arithmetic takes numbers and money; compare codes with =="),
    )


def _pair(left: Operand, right: Operand, at: SourceLine | None, doing: str) -> tuple[Term, Term]:
    return number(left, at, doing), number(right, at, doing)


def unlike(left: ValueType, right: ValueType, at: SourceLine | None, doing: str) -> DefinitionError:
    """Two currencies that can't go together."""
    return DefinitionError(
        f"can't {doing} unlike currencies: {left} and {right}",
        at=at,
        fix='convert one, as in `.in_currency("EUR", rates)`, or split by currency',
    )


def _common_unit(left: Term, right: Term, at: SourceLine | None, doing: str) -> ValueType:
    """The unit of a sum, as the type of it as a float."""
    a, b = left.type, right.type
    if a.unit and b.unit:
        if a.unit != b.unit:
            raise unlike(a, b, at, doing)
        return ValueType(Kind.FLOAT, 0, a.unit, a.varying)
    with_unit = a if a.unit else b
    if with_unit.unit and (with_unit.kind is Kind.MONEY or with_unit.varying):
        plain = b if a.unit else a
        raise DefinitionError(
            f"can't {doing} {with_unit} and {plain}",
            at=at,
            fix='make the number money, as in hr.money("5", "EUR"), or divide the money first',
        )
    return ValueType(Kind.FLOAT, 0, with_unit.unit)


def plus(left: Operand, right: Operand, at: SourceLine | None, *, minus: bool = False) -> Term:
    """The sum, or the difference."""
    doing = "subtract" if minus else "add"
    a, b = _pair(left, right, at, doing)
    as_float = _common_unit(a, b, at, doing)
    if a.type.is_integer and b.type.is_integer:
        same = [a, b] if a.type.kind is Kind.MONEY else same_scale((a, b), at)
        bound = sum(term.bound for term in same) if same else WORD_LIMIT + 1
        if same and bound <= WORD_LIMIT:
            op = Op.SUB_I if minus else Op.ADD_I
            kind = same[0].type if same[0].type.scale else same[1].type
            return _bounded(made_of(Applied(op, tuple(same)), kind, at, same), bound)
        if a.type.kind is Kind.MONEY:
            raise DefinitionError(
                "so many amounts added may not fit 64 bits",
                at=at,
                fix="divide by a number first, which makes them floats",
            )
    parts = (to_float(a, at), to_float(b, at))
    return made_of(Applied(Op.SUB_F if minus else Op.ADD_F, parts), as_float, at, parts)


def times(left: Operand, right: Operand, at: SourceLine | None) -> Term:
    """The product, a float."""
    a, b = _pair(left, right, at, "multiply")
    if a.type.unit and b.type.unit:
        raise DefinitionError(
            f"can't multiply {a.type} by {b.type}", at=at, fix="multiply money by a plain number"
        )
    kind = a.type if a.type.unit else b.type
    parts = (to_float(a, at), to_float(b, at))
    return made_of(
        Applied(Op.MUL_F, parts), ValueType(Kind.FLOAT, 0, kind.unit, kind.varying), at, parts
    )


def over(left: Operand, right: Operand, at: SourceLine | None) -> Term:
    """The quotient, a float; missing where the divisor is 0."""
    a, b = _pair(left, right, at, "divide")
    if isinstance(b.node, Constant) and to_float(b, at).node.bits in (0, -(2**63)):  # type: ignore[union-attr]  # a constant stays one
        raise DefinitionError("division by 0", at=at, fix="divide by something else")
    kind = FLOAT
    if a.type.unit and b.type.unit:
        if a.type.unit != b.type.unit:
            raise unlike(a.type, b.type, at, "divide")
    elif a.type.unit:
        kind = ValueType(Kind.FLOAT, 0, a.type.unit, a.type.varying)
    elif b.type.varying:
        raise DefinitionError(
            f"can't divide {a.type} by {b.type}",
            at=at,
            fix='convert first, as in `.in_currency("EUR", rates)`',
        )
    parts = (to_float(a, at), to_float(b, at))
    return made_of(Applied(Op.DIV_F, parts), kind, at, parts)


def negative(operand: Operand, at: SourceLine | None) -> Term:
    """The number with the other sign."""
    return _keeping(operand, at, (Op.NEG_I, Op.NEG_F), "negate")


def magnitude(operand: Operand, at: SourceLine | None) -> Term:
    """The number without its sign."""
    return _keeping(operand, at, (Op.ABS_I, Op.ABS_F), "take the magnitude of")


def _keeping(operand: Operand, at: SourceLine | None, ops: tuple[Op, Op], doing: str) -> Term:
    term = number(operand, at, doing)
    op = ops[0] if term.type.is_integer else ops[1]
    return _bounded(made_of(Applied(op, (term,)), term.type, at, (term,)), term.bound)


def floor(operand: Operand, at: SourceLine | None) -> Term:
    """The greatest whole number not above, as a float; a whole number stays as it is."""
    term = number(operand, at, "floor")
    if term.type.kind is Kind.INT:
        return term
    part = plain_float(term, at, "floor", keep_unit=True)
    return made_of(Applied(Op.FLOOR_F, (part,)), part.type, at, (part,))


def function(op: Op, operand: Operand, at: SourceLine | None, doing: str) -> Term:
    """A function of one real number; of money, of its major units."""
    part = plain_float(number(operand, at, doing), at, doing)
    return made_of(Applied(op, (part,)), FLOAT, at, (part,))


def power(base: Operand, exponent: Operand, at: SourceLine | None) -> Term:
    """`base ** exponent`, a float."""
    a, b = _pair(base, exponent, at, "raise")
    parts = (plain_float(a, at, "raise"), plain_float(b, at, "raise"))
    return made_of(Applied(Op.POW_F, parts), FLOAT, at, parts)


def plain_float(term: Term, at: SourceLine | None, doing: str, *, keep_unit: bool = False) -> Term:
    """A number as a float whose digits are known: not of a varying currency."""
    if term.type.varying:
        raise DefinitionError(
            f"can't {doing} {term.type}: it has no one unit",
            at=at,
            fix='convert first, as in `.in_currency("EUR", rates)`',
        )
    made = to_float(term, at)
    if keep_unit or not made.type.unit:
        return made
    return made_of(made.node, FLOAT, at, (made,))


def alike(operands: Sequence[Operand], at: SourceLine | None, doing: str) -> list[Term]:
    """Operands as terms of one type: what `then` and `otherwise`, or `coalesce`, can give.

    Raises:
        DefinitionError: If they have no type in common.
    """
    given = [operand for operand in operands if isinstance(operand, Term)]
    like = next((term.type for term in given if term.type.unit), None)
    if like is None and given:
        like = given[0].type
    if like is None:
        given = _spoken(operands, at)
        like = given[0].type if given else FLOAT
    terms = [
        operand if isinstance(operand, Term) else literal(operand, like, at) for operand in operands
    ]
    return _one_type(terms, like, at, doing)


def _spoken(operands: Sequence[Operand], at: SourceLine | None) -> list[Term]:
    """Literals that are not None, by their Python types."""
    return [
        natural(operand, at)
        for operand in operands
        if operand is not None and not isinstance(operand, Term)
    ]


def _one_type(terms: list[Term], like: ValueType, at: SourceLine | None, doing: str) -> list[Term]:
    if not like.is_number:
        for term in terms:
            if term.type.kind is not like.kind:
                raise DefinitionError(
                    f"can't {doing} {like} and {term.type}", at=at, fix="give values of one type"
                )
        return terms
    for term in terms:
        number(term, at, doing)
        if term.type.unit != like.unit and not (like.kind is Kind.FLOAT and not term.type.unit):
            if term.type.unit:
                raise unlike(like, term.type, at, doing)
            raise DefinitionError(
                f"can't {doing} {like} and {term.type}",
                at=at,
                fix='make the number money, as in hr.money("5", "EUR")',
            )
    if all(term.type.kind is Kind.MONEY for term in terms):
        return terms
    if all(term.type.is_integer and not term.type.unit for term in terms):
        same = same_scale(terms, at)
        if same is not None:
            return same
    floats = [to_float(term, at) for term in terms]
    kind = ValueType(Kind.FLOAT, 0, like.unit, like.varying)
    return [made_of(term.node, kind, at, (term,)) for term in floats]


def extreme(operands: Sequence[Operand], at: SourceLine | None, *, least: bool) -> Term:
    """The least or the greatest; missing if one is missing."""
    doing = "take the minimum of" if least else "take the maximum of"
    terms = alike(operands, at, doing)
    kind = max((term.type for term in terms), key=lambda kind: kind.scale)
    if not (kind.is_number or kind == TIME):
        raise DefinitionError(f"can't {doing} {kind}", at=at, fix="give numbers, money or times")
    floating = kind.kind is Kind.FLOAT
    op = (Op.MIN_F if floating else Op.MIN_I) if least else (Op.MAX_F if floating else Op.MAX_I)
    result = terms[0]
    for term in terms[1:]:
        bound = max(result.bound, term.bound)
        made = made_of(Applied(op, (result, term)), kind, at, (result, term))
        result = _bounded(made, bound)
    return result


def select(condition: Term, then: Operand, otherwise: Operand, at: SourceLine | None) -> Term:
    """`then` where the condition holds, `otherwise` where it does not or is missing."""
    a, b = alike((then, otherwise), at, "choose between")
    kind = max(a.type, b.type, key=lambda kind: kind.scale)
    made = made_of(Applied(Op.SELECT, (condition, a, b)), kind, at, (condition, a, b))
    return _bounded(made, max(a.bound, b.bound))


def coalesced(operands: Sequence[Operand], at: SourceLine | None) -> Term:
    """The first that is not missing."""
    terms = alike(operands, at, "coalesce")
    kind = max((term.type for term in terms), key=lambda kind: kind.scale)
    result = terms[-1]
    for term in reversed(terms[:-1]):
        bound = max(result.bound, term.bound)
        made = made_of(Applied(Op.COALESCE, (term, result)), kind, at, (term, result))
        result = _bounded(made, bound)
    return result
