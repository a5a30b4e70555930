"""What is said of conditions without seeing an event holds for every event that is tried."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.policy import reasoning
from headrace.policy.conditions import AnyOf, Condition, Term, feature, score
from headrace.policy.explain import holds
from headrace.policy.reasoning import Allowed, Known, Range

if TYPE_CHECKING:
    from headrace.policy.explain import Seen

COUNT, FREE = feature("count"), feature("free")
KNOWN = Known(
    {COUNT.operand}, {COUNT.operand: Allowed(missing=False, numbers=Range(low=Decimal(0)))}
)
#: Every whole and half number around the thresholds that are made up, and beyond them.
EVENTS: list[dict[object, Seen]] = [
    {COUNT.operand: count, FREE.operand: free, score.operand: scored}
    for count in (0, 1, 2, 3, 9)
    for free in (None, -9.0, *(half / 2 for half in range(-1, 8)), 9.0)
    for scored in (None, 0.0, 0.5, 1.0)
]


def comparisons(term: Term, values: st.SearchStrategy[float]) -> st.SearchStrategy[Condition]:
    signs = st.sampled_from(["__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__"])
    return st.builds(lambda sign, value: getattr(term, sign)(value), signs, values)


ATOMS = st.one_of(
    comparisons(COUNT, st.integers(-1, 3)),
    comparisons(FREE, st.integers(0, 6).map(lambda half: half / 2)),
    comparisons(score, st.sampled_from([0.0, 0.5, 1.0])),
    st.sampled_from([FREE.is_missing(), COUNT.is_missing(), FREE == FREE, FREE < FREE]),  # noqa: PLR0124 - what is asked
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda part: st.one_of(
        st.builds(lambda a, b: a & b, part, part),
        st.builds(lambda a, b: a | b, part, part),
        part.map(lambda a: ~a),
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=400)
@given(CONDITIONS)
def test_never_and_always_are_said_only_when_they_hold(condition: Condition) -> None:
    answers = {holds(condition, event) for event in EVENTS}  # type: ignore[arg-type]  # keys are operands
    found = reasoning.cases(condition, KNOWN)
    if reasoning.never(found):
        assert True not in answers
    if reasoning.always(found, KNOWN):
        assert answers == {True}


@settings(deadline=None, max_examples=400)
@given(st.lists(comparisons(COUNT, st.integers(-1, 3)), min_size=1, max_size=3))
def test_counts_that_are_all_taken_are_known_to_be(parts: list[Condition]) -> None:
    condition = AnyOf(tuple(parts))
    answers = {holds(condition, event) for event in EVENTS}  # type: ignore[arg-type]  # keys are operands
    found = reasoning.cases(condition, KNOWN)
    if not any("!=" in str(part) for part in parts):
        assert reasoning.always(found, KNOWN) == (answers == {True})
