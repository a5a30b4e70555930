from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.columns import Batch, Fixed, Kind, Text, pack_letters
from headrace.core.compiled import float_bits
from headrace.core.errors import DefinitionError
from headrace.definitions.plan import Feature
from headrace.events.schema import Field, Role, Schema
from headrace.policy.conditions import Condition, feature, field, score
from headrace.policy.evaluate import CompiledPolicy
from headrace.policy.explain import because
from headrace.policy.policy import Policy, approve, block, outcome, review

SCHEMA = Schema(
    "Payment",
    (
        Field("payment_id", Kind.TEXT, Role.ID),
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("card", Kind.TEXT, Role.KEY, pii=True),
        Field("channel", Kind.TEXT, Role.CATEGORY, optional=True),
        Field("way", Kind.TEXT, optional=True),
        Field("country", Kind.COUNTRY, optional=True),
        Field("amount", Kind.MONEY, currency_field="currency"),
        Field("fee", Kind.MONEY, scale=2, currency="EUR", optional=True),
        Field("limit", Kind.MONEY, scale=2, currency="EUR", optional=True),
        Field("currency", Kind.CURRENCY),
        Field("lat", Kind.FLOAT, optional=True),
        Field("tries", Kind.INT, optional=True),
        Field("present", Kind.BOOL, optional=True),
    ),
)
FEATURES = ("amount", "count")

# A way to write one term of a rule, its operand's value for a row, and the plain comparison.
Row = dict[str, Any]
Oracle = "Callable[[Row], bool | None]"


def compare(relation: str, one: Any, other: Any) -> bool | None:
    if one is None or other is None:
        return None
    return bool(
        {
            "<": lambda: one < other,
            "<=": lambda: one <= other,
            ">": lambda: one > other,
            ">=": lambda: one >= other,
            "==": lambda: one == other,
            "!=": lambda: one != other,
        }[relation]()
    )


def written(term: Any, relation: str, other: Any) -> Any:
    return {
        "<": lambda: term < other,
        "<=": lambda: term <= other,
        ">": lambda: term > other,
        ">=": lambda: term >= other,
        "==": lambda: term == other,
        "!=": lambda: term != other,
    }[relation]()


ORDERED = ["<", "<=", ">", ">=", "==", "!="]
COUNTS = st.integers(0, 4)


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[Condition, Any]:  # noqa: PLR0911 - one for each kind
    what = draw(st.sampled_from(["score", "feature", "fee", "tries", "channel", "country", "pair"]))
    relation = draw(st.sampled_from(ORDERED))
    equality = draw(st.sampled_from(["==", "!="]))
    if what == "score":
        limit = draw(st.sampled_from([0.25, 0.5, 0.95]))
        return written(score, relation, limit), lambda r: compare(relation, r["score"], limit)
    if what == "feature":
        name = draw(st.sampled_from(FEATURES))
        limit = draw(COUNTS) + 0.5
        return (
            written(feature(name), relation, limit),
            lambda r: compare(relation, r["f_" + name], limit),
        )
    if what == "fee":
        exact = Decimal(draw(st.integers(-3, 3))) / 100
        return (
            written(field("fee"), relation, exact),
            lambda r: compare(relation, r["fee"], exact),
        )
    if what == "tries":
        bound = draw(st.sampled_from([0, 1, 2, 1.5, -0.5]))
        wanted = relation if bound == int(bound) else draw(st.sampled_from(ORDERED[:4]))
        return (
            written(field("tries"), wanted, bound),
            lambda r: compare(wanted, r["tries"], bound),
        )
    if what == "channel":
        word = draw(st.sampled_from(["pos", "online", ""]))
        return (
            written(field("channel"), equality, word),
            lambda r: compare(equality, r["channel"], word),
        )
    if what == "country":
        codes = draw(st.lists(st.sampled_from(["FR", "SE", "GB"]), min_size=1, max_size=2))
        return (
            field("country").is_in(codes),
            lambda r: None if r["country"] is None else r["country"] in codes,
        )
    one, other = draw(
        st.sampled_from([("fee", "limit"), ("tries", "lat"), ("channel", "way"), ("fee", "score")])
    )
    wanted = equality if one == "channel" else relation
    right = score if other == "score" else field(other)
    return (
        written(field(one), wanted, right),
        lambda r: compare(
            wanted,
            r[one] if one != "fee" or other == "limit" or r[one] is None else float(r[one]),
            r[other],
        ),
    )


def kleene_and(one: Any, other: Any) -> bool | None:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


@st.composite
def conditions(draw: st.DrawFn, depth: int = 3) -> tuple[Condition, Any]:
    shape = draw(st.sampled_from(["leaf", "leaf", "and", "or", "not", "missing"]))
    if depth == 0 or shape == "leaf":
        return draw(comparisons())
    if shape == "missing":
        name = draw(st.sampled_from(["fee", "channel", "score", "count"]))
        term = {"score": score, "count": feature("count")}.get(name, field(name))
        key = "f_count" if name == "count" else name
        return term.is_missing(), lambda r: r[key] is None
    one, judge = draw(conditions(depth - 1))
    if shape == "not":
        return ~one, lambda r: None if judge(r) is None else not judge(r)
    other, judge_other = draw(conditions(depth - 1))
    if shape == "and":
        return one & other, lambda r: kleene_and(judge(r), judge_other(r))

    def either(r: Row) -> bool | None:
        one, other = judge(r), judge_other(r)
        if one is True or other is True:
            return True
        return None if one is None or other is None else False

    return one | other, either


ROWS = st.fixed_dictionaries(
    {
        "score": st.sampled_from([None, 0.0, 0.25, 0.5, 0.7, 0.95, 1.0]),
        "f_amount": st.sampled_from([None, 0.0, 1.5, 3.0]),
        "f_count": st.sampled_from([None, 0.0, 1.0, 4.5]),
        "fee": st.none() | st.integers(-3, 3).map(lambda n: Decimal(n) / 100),
        "limit": st.none() | st.integers(-3, 3).map(lambda n: Decimal(n) / 100),
        "tries": st.none() | COUNTS,
        "lat": st.none() | st.sampled_from([0.0, 1.0, 1.5, 3.0]),
        "channel": st.sampled_from([None, "pos", "online", "", "po"]),
        "way": st.sampled_from([None, "pos", "online", ""]),
        "country": st.sampled_from([None, "FR", "SE", "GB", "US"]),
    }
)


def batch(rows: list[Row]) -> Batch:
    def cents(name: str) -> Fixed:
        return Fixed.of([None if r[name] is None else int(r[name] * 100) for r in rows])

    return Batch(
        {
            "fee": cents("fee"),
            "limit": cents("limit"),
            "tries": Fixed.of([r["tries"] for r in rows]),
            "lat": Fixed.of([None if r["lat"] is None else float_bits(r["lat"]) for r in rows]),
            "channel": Text.of([r["channel"] for r in rows]),
            "way": Text.of([r["way"] for r in rows]),
            "country": Fixed.of(
                [None if r["country"] is None else pack_letters(r["country"]) for r in rows]
            ),
        },
        len(rows),
    )


def nan(value: float | None) -> float:
    return math.nan if value is None else value


def numbers(rows: list[Row]) -> tuple[Any, Any]:
    features = np.array([[nan(r["f_" + name]) for r in rows] for name in FEATURES])
    return features.reshape(len(FEATURES), len(rows)), np.array([nan(r["score"]) for r in rows])


@settings(max_examples=300, deadline=None)
@given(st.lists(conditions(), min_size=1, max_size=5), st.lists(ROWS, min_size=1, max_size=12))
def test_every_rule_is_what_plain_python_says(made: list[Any], rows: list[Row]) -> None:
    rules: list[Any] = []
    judges: list[Any] = []
    for i, (condition, judge) in enumerate(made):
        try:
            rule = review(f"rule_{i}", condition)
            Policy(*rules, rule, otherwise=approve())
        except DefinitionError:
            # said to be certain, so no row may show the opposite
            alone = [judge(row) is True for row in rows]
            earlier = [any(j(row) is True for j in judges) for row in rows]
            scored = [row["score"] is not None for row in rows]
            never = not any(alone)
            always = all(one for one, s in zip(alone, scored, strict=True) if s)
            covered = all(e for one, e in zip(alone, earlier, strict=True) if one)
            assert never or always or covered
            continue
        rules.append(rule)
        judges.append(judge)
    try:
        compiled = CompiledPolicy(Policy(*rules, otherwise=approve()), FEATURES, SCHEMA)
    except DefinitionError as error:
        assert "can never" in str(error) or "matches every" in str(error)  # noqa: PT017 - only whole numbers tell
        return
    features, scores = numbers(rows)
    got = compiled.evaluate(features, scores, batch(rows))
    for i, row in enumerate(rows):
        matched = [r for r, judge in enumerate(judges) if judge(row) is True]
        assert [r for r in range(len(rules)) if int(got.rules[i]) >> r & 1] == matched
        assert got.rule[i] == (matched[0] if matched else -1)
        assert compiled.outcomes[got.outcome[i]] == ("review" if matched else "approve")
    one = [
        compiled.evaluate(
            np.ascontiguousarray(features[:, i : i + 1]), scores[i : i + 1], batch(rows[i : i + 1])
        )
        for i in range(len(rows))
    ]
    assert np.array_equal(np.concatenate([o.rules for o in one]), got.rules)


def compiled(*rules: Any, **kwargs: Any) -> CompiledPolicy:
    return CompiledPolicy(
        Policy(*rules, otherwise=approve()), kwargs.get("features", FEATURES), SCHEMA
    )


@pytest.mark.parametrize(
    ("condition", "says", "fix"),
    [
        (lambda: feature("cuont") > 3, "there is no feature 'cuont'", "did you mean 'count'?"),
        (lambda: field("contry") == "FR", "no field of Payment called 'contry'", "'country'"),
        (lambda: field("card") == "4", "personal data", "a feature of it"),
        (lambda: field("amount") > 100, "no fixed worth", "amount.in_currency('EUR', rates)"),
        (lambda: field("country") == "france", "no country code", "2 capital letters"),
        (lambda: field("country") > "FR", "no order", "is_in"),
        (lambda: field("fee") == 0.125, "never 0.125", "value that it can have"),
        (lambda: field("fee") == "much", "compared with the text 'much'", "of its kind"),
        (lambda: field("channel") == 3, "compared with the number 3", "of its kind"),
        (lambda: field("tries") == True, "not true or false", "of its kind"),  # noqa: E712 - a rule
        (lambda: field("fee") > field("amount"), "unlike currencies", "one currency"),
        (lambda: field("at") > 5, "compared with the number", "of its kind"),
        (lambda: field("at") > field("tries"), "a time and a int", "one kind"),
        (lambda: (field("tries") > 2) & (field("tries") < 3), "never match", "correct"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(condition: Any, says: str, fix: str) -> None:
    with pytest.raises(DefinitionError, match=re.escape(says)) as caught:
        compiled(block("rule", condition()))
    assert fix in str(caught.value)
    assert re.match(r".*test_evaluate\.py:\d+: rule rule", str(caught.value))


def test_times_and_truth_values_are_compared_exactly() -> None:
    noon = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    policy = compiled(
        block("late", field("at") > noon),
        review("absent", field("present") == False),  # noqa: E712 - a rule
        outcome("step_up")("there", field("present")),
    )
    ns = int(noon.timestamp()) * 10**9
    events = Batch({"at": Fixed.of([ns, ns + 1, ns, ns]), "present": Fixed.of([0, 1, None, 1])}, 4)
    got = policy.evaluate(np.zeros((2, 4)), np.zeros(4), events)
    assert [policy.outcomes[o] for o in got.outcome] == ["review", "block", "approve", "step_up"]
    assert policy.outcomes == ("approve", "step_up", "review", "block")


def test_features_of_categories_and_truth_values() -> None:
    features = [Feature("home", 0, Kind.COUNTRY), Feature("weekend", 1, Kind.BOOL)]
    policy = compiled(
        block("home", (feature("home") == "SE") & feature("weekend")), features=features
    )
    matrix = np.array([[pack_letters("SE"), pack_letters("SE"), np.nan], [1.0, 0.0, 1.0]])
    assert policy.evaluate(matrix, np.zeros(3)).rule.tolist() == [0, -1, -1]
    with pytest.raises(DefinitionError, match="text"):
        compiled(block("r", feature("t") == "x"), features=[Feature("t", 0, Kind.TEXT)])


def test_a_rule_says_why() -> None:
    burst = (feature("count") > 8) & ~(score < 0.5) & ~field("channel").is_in(["pos", "atm"])
    seen: dict[Any, Any] = {
        feature("count").operand: 12.0,
        score.operand: 0.613,
        field("channel").operand: "online",
    }
    assert because(burst, seen) == (
        "count is 12, over 8 and score is 0.613, at or over 0.5 and "
        "channel is online, none of atm, pos"
    )


def test_sixty_four_rules_fill_the_mask() -> None:
    rules = [review(f"r{i}", feature("count") == i) for i in range(63)]
    policy = compiled(*rules, block("last", feature("count") >= 0))
    got = policy.evaluate(np.array([[0.0, 0.0], [70.0, 5.0]]), np.zeros(2))
    assert got.rules.tolist() == [1 << 63, 1 << 63 | 1 << 5]
    assert got.rule.tolist() == [63, 5]


def test_blocks_and_single_rows_decide_alike() -> None:
    policy = compiled(
        block("high", score >= 0.95),
        review("odd", (feature("count") > 8) & (field("tries") < 5) | field("lat").is_missing()),
    )
    draw = np.random.default_rng(7)
    rows = 1000
    features = draw.uniform(0, 12, (2, rows))
    features[draw.random((2, rows)) < 0.1] = np.nan
    scores = draw.random(rows)
    tries = Fixed(draw.integers(0, 9, rows), (draw.random(rows) < 0.9).astype(np.uint8))
    lat = Fixed(np.zeros(rows, dtype=np.int64), (draw.random(rows) < 0.9).astype(np.uint8))
    events = Batch({"tries": tries, "lat": lat}, rows)
    whole = policy.evaluate(features, scores, events)
    assert set(whole.rule.tolist()) == {-1, 0, 1}
    for size in (1, 255, 257):
        parts = [
            policy.evaluate(
                np.ascontiguousarray(features[:, i : i + size]),
                scores[i : i + size],
                events.take(np.arange(i, min(i + size, rows))),
            )
            for i in range(0, rows, size)
        ]
        assert np.array_equal(np.concatenate([part.rules for part in parts]), whole.rules)
        assert np.array_equal(np.concatenate([part.rule for part in parts]), whole.rule)
        assert np.array_equal(np.concatenate([part.outcome for part in parts]), whole.outcome)


def test_a_decision_is_explained_in_the_units_of_its_rules() -> None:
    no_place = field("lat").is_missing()
    policy = compiled(
        block("high", score >= 0.95),
        review("dear", (field("fee") >= 1.5) & (field("country") == "SE") & no_place),
        review("burst", (feature("count") > 8) | field("channel").is_in(["atm"])),
    )
    event = Batch(
        {
            "fee": Fixed.of([250]),
            "country": Fixed.of([pack_letters("SE")]),
            "lat": Fixed.of([None]),
            "channel": Text.of(["pos"]),
        },
        1,
    )
    features = np.array([[1.0], [12.0]])
    got = policy.evaluate(features, np.array([0.5]), event)
    assert policy.why(int(got.rules[0]), policy.seen(features[:, 0], 0.5, event)) == (
        "dear: fee is 2.50, at or over 1.5 and country is SE and lat is missing",
        "burst: count is 12, over 8",
    )
