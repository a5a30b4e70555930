from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError
from headrace.definitions import comparisons
from headrace.definitions.expressions import Expression
from headrace.definitions.terms import (
    BOOL,
    FLOAT,
    INT,
    FeatureValue,
    Outside,
    StreamDefinition,
    Term,
    ValueType,
    field_term,
)
from headrace.events.schema import Field, Role, Schema
from headrace.policy import translate
from headrace.policy.conditions import feature, field, score
from headrace.policy.policy import review
from headrace.policy.translate import condition_of

SCHEMA = Schema(
    "Payment",
    (
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("country", Kind.COUNTRY),
        Field("channel", Kind.TEXT, Role.CATEGORY),
        Field("fee", Kind.MONEY, scale=2, currency="EUR"),
    ),
)
STREAM = StreamDefinition("payments", SCHEMA, 0, 0, 0, 0)


def named(name: str, kind: ValueType) -> Term:
    inner = Term(Outside("whatever"), kind, None)
    return Term(FeatureValue(name, inner), kind, None)


SCORE = Term(Outside("score"), FLOAT, None)
COUNT = named("count", INT)
SPEND = named("spend", ValueType(Kind.MONEY, 2, "EUR"))
WEEKEND = named("weekend", BOOL)


def of(name: str) -> Term:
    return field_term(STREAM, SCHEMA.field(name), None)


def compare(sign: str, left: Any, right: Any) -> Term:
    return comparisons.compare(sign, left, right, None)


NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("term", "condition"),
    [
        (compare(">=", SCORE, 0.95), score >= 0.95),
        (compare("<", 0.5, SCORE), score > 0.5),
        (compare(">", COUNT, 8), feature("count") > 8),
        (compare("<=", SPEND, Decimal("99.99")), feature("spend") <= 99.99),
        (compare(">", COUNT, SCORE), score < feature("count")),
        (compare("==", of("country"), "SE"), field("country") == "SE"),
        (compare("!=", of("channel"), "pos"), field("channel") != "pos"),
        (compare("<", of("at"), NOON), field("at") < NOON),
        (compare(">", of("fee"), 5), field("fee") > 5),
        (
            comparisons.among(of("country"), ["SE", "FR"], None),
            field("country").is_in(["FR", "SE"]),
        ),
        (comparisons.among(of("channel"), ["pos"], None), field("channel").is_in(["pos"])),
        (comparisons.among(COUNT, [1, 3], None), feature("count").is_in([1, 3])),
        (comparisons.is_missing(COUNT, None), feature("count").is_missing()),
        (WEEKEND, condition_of(feature("weekend"))),
        (
            comparisons.both(
                comparisons.either(compare("<", COUNT, 2), WEEKEND, None),
                comparisons.opposite(compare(">", SCORE, 0.5), None),
                None,
            ),
            ((feature("count") < 2) | condition_of(feature("weekend"))) & ~(score > 0.5),
        ),
    ],
)
def test_expressions_become_conditions(term: Term, condition: Any) -> None:
    assert condition_of(term) == condition


def test_what_computes_is_to_be_named_as_a_feature() -> None:
    from headrace.definitions.arithmetic import plus  # noqa: PLC0415 - for this test alone

    with pytest.raises(DefinitionError, match=r"name it in hr\.features"):
        condition_of(compare(">", plus(COUNT, COUNT, None), 8))
    with pytest.raises(DefinitionError, match="rule odd"):
        review("odd", plus(COUNT, COUNT, None))


def test_the_score_stands_beside_features_in_one_rule() -> None:
    count = Expression(COUNT)
    rule = review("burst", (count > 8) & (translate.score >= 0.2) | Expression(WEEKEND))
    same = (feature("count") > 8) & (score >= 0.2) | condition_of(feature("weekend"))
    assert rule.condition == same
    assert str(rule.at).startswith(__file__)
