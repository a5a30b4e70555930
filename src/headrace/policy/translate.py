"""From expressions over features, as users write them, to conditions of a policy.

`features.card_count_5m > 8` is an expression of the feature language: a tree whose leaves are
features by name, fields of the event, the score and constants. A rule takes the part of it that
compares and combines; anything that computes is refused with the advice to name it as a feature,
so that what a rule asks about is always a value that the journal holds.
"""

from __future__ import annotations

import datetime as dt
import struct
from decimal import Decimal
from typing import TYPE_CHECKING

from headrace.core.columns import Kind, unpack_letters
from headrace.core.errors import DefinitionError
from headrace.definitions.expressions import Expression
from headrace.definitions.plan import Op
from headrace.definitions.terms import (
    FLOAT,
    Among,
    Applied,
    FeatureValue,
    FieldOf,
    Outside,
    Term,
)
from headrace.definitions.terms import Constant as Written
from headrace.policy.conditions import (
    Comparison,
    Condition,
    Constant,
    Missing,
    Not,
    Operand,
    Relation,
    Source,
    as_condition,
    membership,
)

if TYPE_CHECKING:
    from headrace.policy.conditions import Scalar

_RELATIONS = {
    Op.EQ_I: Relation.EQ,
    Op.EQ_F: Relation.EQ,
    Op.NE_I: Relation.NE,
    Op.NE_F: Relation.NE,
    Op.LT_I: Relation.LT,
    Op.LT_F: Relation.LT,
    Op.LE_I: Relation.LE,
    Op.LE_F: Relation.LE,
}
#: Instructions that change how a value is held, not what it is.
_SAME_VALUE = frozenset({Op.TO_FLOAT, Op.SCALE_UP_I})
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


#: The score of the decision, from 0 to 1, beside features in a rule: `hr.score >= 0.95`.
score = Expression(Term(Outside("score"), FLOAT, None))


def score_of(name: str) -> Expression:
    """The score of one class of a model that tells several apart, in a rule.

    >>> str(condition_of(score_of("up") >= 0.6))
    'score_up >= 0.6'
    """
    return Expression(Term(Outside(f"score_{name}"), FLOAT, None))


def condition_of(value: object) -> Condition:
    """The condition that `value` stands for: one of ours, or an expression over features.

    >>> str(condition_of((score >= 0.95) | ~score.is_missing() & (score < 0.1)))
    'score >= 0.95 | (~(score is missing) & score < 0.1)'

    Raises:
        DefinitionError: When it is neither, or computes something that is not a feature yet.
    """
    ours = as_condition(value)
    if ours is not None:
        return ours
    if isinstance(value, Expression):
        return _condition(value.term)
    if isinstance(value, Term):
        return _condition(value)
    raise DefinitionError(
        f"{value!r} is not a condition",
        fix="write a comparison, such as hr.score >= 0.95 or features.card_count_5m > 8",
    )


def _condition(term: Term) -> Condition:  # noqa: PLR0911 - one way for each node
    node = term.node
    if isinstance(node, Among):
        return _among(node)
    if isinstance(node, FeatureValue | FieldOf | Outside):
        return Comparison(_operand(term), Relation.EQ, Constant.of(True))
    if isinstance(node, Applied):
        if node.op is Op.NOT:
            inner = _condition(node.arguments[0])
            return inner.part if isinstance(inner, Not) else Not(inner)
        if node.op is Op.AND:
            return _condition(node.arguments[0]) & _condition(node.arguments[1])
        if node.op is Op.OR:
            return _condition(node.arguments[0]) | _condition(node.arguments[1])
        if node.op is Op.IS_MISSING:
            return Missing(_operand(node.arguments[0]))
        if node.op in _RELATIONS:
            return _comparison(node.arguments[0], _RELATIONS[node.op], node.arguments[1])
    raise _computes(term)


def _comparison(left: Term, relation: Relation, right: Term) -> Condition:
    if isinstance(left.node, Written):
        if isinstance(right.node, Written):
            raise DefinitionError(
                "two constants are compared", at=left.at, fix="compare the score or a feature"
            )
        left, relation, right = right, relation.mirrored, left
    if isinstance(right.node, Written):
        return Comparison(_operand(left), relation, Constant.of(_value(right)))
    return Comparison(_operand(left), relation, _operand(right))


def _among(node: Among) -> Condition:
    operand = _operand(node.argument)
    if node.texts:
        return membership(operand, node.texts)
    return membership(operand, [_number(node.argument, number) for number in node.numbers])


def _operand(term: Term) -> Operand:
    node = term.node
    if isinstance(node, FeatureValue):
        return Operand(Source.FEATURE, node.name)
    if isinstance(node, FieldOf):
        return Operand(Source.FIELD, node.name, node.stream.name)
    if isinstance(node, Outside):
        # scores of classes stand beside the features
        source = Source.SCORE if node.name == "score" else Source.FEATURE
        return Operand(source, node.name)
    if isinstance(node, Applied) and node.op in _SAME_VALUE:
        return _operand(node.arguments[0])
    raise _computes(term)


def _value(term: Term) -> Scalar:
    """The constant, in the units that a rule is written in."""
    node = term.node
    if not isinstance(node, Written):
        raise _computes(term)
    if term.type.kind is Kind.TEXT:
        return node.category or ""
    return _number(term, node.bits)


def _number(term: Term, bits: int) -> Scalar:
    """What the 64 bits of a value of `term`'s type mean."""
    kind = term.type.kind
    if kind is Kind.FLOAT:
        return float(struct.unpack("<d", struct.pack("<q", bits))[0])
    if kind is Kind.BOOL:
        return bool(bits)
    if kind is Kind.TIME:
        return _EPOCH + dt.timedelta(microseconds=bits // 1000)
    if kind in (Kind.COUNTRY, Kind.CURRENCY):
        return unpack_letters(bits, 2 if kind is Kind.COUNTRY else 3)
    return Decimal(bits).scaleb(-term.type.scale)


def _computes(term: Term) -> DefinitionError:
    return DefinitionError(
        "a rule computes something that is not a feature",
        at=term.at,
        fix="name it in hr.features(...), and compare that feature in the rule",
    )
