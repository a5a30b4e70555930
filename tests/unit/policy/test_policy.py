from __future__ import annotations

import datetime as dt
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import DefinitionError
from headrace.policy.conditions import Condition, feature, field, from_plain, score, to_plain
from headrace.policy.policy import Policy, Rule, approve, block, outcome, review
from headrace.policy.tables import diff, truth_table

x, y, z = feature("x"), feature("y"), feature("z")


def policy(*rules: Rule) -> Policy:
    return Policy(*rules, otherwise=approve())


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        ([(x > 5) & (x < 3)], "a can never match"),
        ([(x >= 5) & (x < 5)], "a can never match"),
        ([(x == 5) & (x != 5)], "a can never match"),
        ([x.is_missing() & (x > 3)], "a can never match"),
        ([(field("c") == "FR") & (field("c") == "SE")], "a can never match"),
        ([field("c").is_in(["FR"]) & (field("c") != "FR")], "a can never match"),
        ([(x < y) & ~(y > x)], "a can never match"),
        ([score > 1], "never true"),
        ([score >= 0], "always true"),
        ([score >= 95], "never true"),
        ([score <= 1.0], "always true"),
        ([score < 0.5, score >= 0.5], None),
        ([(score < 0.5) | (score >= 0.0001)], None),
        ([x.is_missing() | ~x.is_missing()], "matches every event"),
        ([x.is_missing() | ~x.is_missing(), y > 3], "so the 1 after it never decide"),
        ([score >= 0.6, score >= 0.95], r"b can never decide.*\(a\)"),
        ([score >= 0.95, score >= 0.6], None),
        ([x > 5, (x > 7) & (y > 1)], "b can never decide"),
        ([(x > 5) | (y > 1), x > 7, z > 0], "b can never decide"),
        ([x > 5, x < 3, (x == 7) | (x == 1)], r"c can never decide.*\(a, b\)"),
        ([x > 5, x >= 5], None),
        ([x < 5, ~(x >= 5)], "b can never decide"),
        ([x.is_in([1, 2, 3]), x == 2], "b can never decide"),
        ([~x.is_missing(), x == 2], "b can never decide"),
        ([field("c") != "FR", field("c") == "SE"], "b can never decide"),
        ([x > y, y < x], "b can never decide"),
        ([x > y, x >= y], None),
        ([x == 5, (x >= 5) & (x <= 5)], "b can never decide"),
        ([x.between(1, 3), x.between(2, 4)], None),
    ],
)
def test_only_what_is_certain_is_refused(conditions: list[Condition], says: str | None) -> None:
    rules = [review("abc"[i], condition) for i, condition in enumerate(conditions)]
    if says is None:
        policy(*rules)
        return
    with pytest.raises(DefinitionError, match=says) as caught:
        policy(*rules)
    assert "fix:" in str(caught.value)
    assert "test_policy.py:" in str(caught.value)


def test_bad_names_and_outcomes() -> None:
    with pytest.raises(DefinitionError, match="two rules are called a"):
        policy(review("a", x > 1), block("a", y > 1))
    with pytest.raises(DefinitionError, match="did you mean 'block'"):
        outcome("blok")
    with pytest.raises(DefinitionError, match="cannot name a rule"):
        review("a rule", x > 1)
    with pytest.raises(DefinitionError, match="severity 101"):
        outcome("arrest", severity=101)
    with pytest.raises(DefinitionError, match="severity 40 and 30"):
        policy(outcome("hold")("a", x > 1), outcome("hold", severity=30)("b", y > 1))
    with pytest.raises(DefinitionError, match="65 rules"):
        policy(*(review(f"r{i}", x == i) for i in range(65)))
    with pytest.raises(DefinitionError, match="not a condition"):
        review("a", 3)
    with pytest.raises(DefinitionError, match="not a rule"):
        policy(score > 0.5)
    with pytest.raises(DefinitionError, match="true or false"):
        review("a", x > 1 and y > 1)
    with pytest.raises(DefinitionError, match="there is no rule 'hgh'"):
        policy(review("high", score > 0.5)).rule("hgh")
    with pytest.raises(DefinitionError, match="finite"):
        review("a", x > -math.inf)


def test_an_outcome_of_severity_0_takes_the_place_of_approval() -> None:
    hold = outcome("hold", severity=0)
    policy = Policy(outcome("buy")("up", score >= 0.5), otherwise=hold)
    assert [known.name for known in policy.outcomes] == ["hold", "buy", "review", "block"]
    assert Policy.from_canonical(policy.canonical()).outcomes == policy.outcomes
    harder = Policy(otherwise=outcome("wait", severity=1))
    assert [known.name for known in harder.outcomes] == ["approve", "wait", "review", "block"]


def test_otherwise_takes_an_outcome_in_any_form() -> None:
    hold = outcome("hold", severity=60)
    for given_, name in [
        (approve(), "approve"),
        (review, "review"),
        ("block", "block"),
        (hold, "hold"),
    ]:
        assert Policy(review("a", x > 1), otherwise=given_).otherwise.name == name
    with pytest.raises(DefinitionError, match="otherwise= has a rule"):
        Policy(otherwise=review("a", x > 1))
    with pytest.raises(DefinitionError, match="otherwise= has 3"):
        Policy(otherwise=3)


def test_digest_is_of_meaning_and_canonical_bytes_come_back() -> None:
    def made(limit: float, codes: list[str]) -> Policy:
        hold = outcome("hold", severity=70)
        return Policy(
            block("a", (score >= limit) | ~(x > 8) & field("c").is_in(codes)),
            hold("b", (y == True) & z.is_missing() & (x < field("d"))),  # noqa: E712 - a rule
            otherwise=hold,
        )

    one = made(0.95, ["FR", "SE"])
    again = made(0.950, ["SE", "FR", "SE"])
    assert one == again
    assert hash(one) == hash(again)
    assert one.digest() == again.digest()
    assert one.digest() != made(0.951, ["FR", "SE"]).digest()
    back = Policy.from_canonical(one.canonical())
    assert back == one
    assert back.canonical() == one.canonical()
    for bad in (b"{}", b"[", b'{"outcomes":[],"otherwise":"approve","rules":[]}'):
        with pytest.raises(DefinitionError, match="not the bytes of a policy"):
            Policy.from_canonical(bad)


def test_the_digest_is_the_same_in_every_version() -> None:
    fixed = policy(block("a", score >= 0.95), review("b", x > 8))
    assert fixed.canonical() == (
        b'{"otherwise":"approve","outcomes":[{"name":"approve","severity":0},'
        b'{"name":"review","severity":50},{"name":"block","severity":100}],"rules":['
        b'{"condition":{"left":{"name":"score","source":"score"},"relation":">=",'
        b'"right":{"number":"0.95"}},"name":"a","outcome":"block"},'
        b'{"condition":{"left":{"name":"x","source":"feature"},"relation":">",'
        b'"right":{"number":"8"}},"name":"b","outcome":"review"}]}'
    )


CONSTANTS = st.one_of(
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.booleans(),
    st.datetimes(timezones=st.just(dt.UTC)),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(CONSTANTS, min_size=1, max_size=3))
def test_conditions_survive_being_written_down(constants: list[Any]) -> None:
    condition = ~(x == constants[0]) & (field("f").is_in(constants) | (score < y)) | z.is_missing()
    assert from_plain(to_plain(condition)) == condition


def test_truth_table_lists_each_way_to_match() -> None:
    text = str(
        truth_table(
            policy(
                block("high", score >= 0.95),
                review("odd", ((x > 8) | field("c").is_in(["SE"])) & ~(y > 2)),
            )
        )
    )
    assert text == "\n".join(  # noqa: FLY002 - a picture of the table
        [
            "   A  score >= 0.95",
            "   B  x > 8",
            "   C  c in ('SE')",
            "   D  y > 2",
            "",
            "   #  rule         A    B    C    D  outcome",
            "   1  high       yes    -    -    -  block",
            "   2  odd          -  yes    -   no  review",
            "                   -    -  yes   no  review",
            "      otherwise    -    -    -    -  approve",
        ]
    )


def test_diff_names_what_changed() -> None:
    old = policy(block("a", x > 1), review("b", y > 1), review("c", z > 1))
    new = Policy(review("b", y > 1), block("a", x > 2), review("d", z > 3), otherwise=review)
    found = diff(old, new)
    assert found.moved == ("a",)
    assert str(found).splitlines() == [
        "- review c: z > 1",
        "+ review d: z > 3",
        "- block a: x > 1",
        "+ block a: x > 2",
        "~ a changed its place",
        "- otherwise approve",
        "+ otherwise review",
    ]
    assert not diff(old, old)
    assert str(diff(old, old)) == "no difference"


def test_rules_know_their_line() -> None:
    rule = review("a", x > 1)
    assert re.search(r"test_policy\.py:\d+$", str(rule.at))
