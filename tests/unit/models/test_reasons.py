from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import DataError, DefinitionError
from headrace.models.reasons import reason_text, top_reasons


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 5),
    st.lists(st.lists(st.sampled_from([-1.0, -0.0, 0.0, 0.5, 0.5, 2.0]), min_size=7, max_size=7)),
)
def test_reasons_are_the_largest_positive_contributions(
    count: int, rows: list[list[float]]
) -> None:
    table = np.array(rows, np.float64).reshape(-1, 7).T
    numbers, values = top_reasons(np.vstack([table, np.full((1, table.shape[1]), 9.0)]), count)
    for row in range(table.shape[1]):
        order = sorted(
            (-value, feature) for feature, value in enumerate(table[:, row]) if value > 0
        )
        expected = [(feature, -value) for value, feature in order[:count]]
        expected += [(-1, 0.0)] * (count - len(expected))
        assert list(zip(numbers[:, row], values[:, row], strict=True)) == expected


def test_wrong_questions_are_refused() -> None:
    with pytest.raises(DataError, match="at least one"):
        top_reasons(np.zeros((3, 2)), 0)
    with pytest.raises(DataError, match="float64"):
        top_reasons(np.zeros((3, 2), np.float32), 1)


def test_text_says_the_value() -> None:
    assert (
        reason_text("amount", 12.5, "amount {value:.2f} in {feature}") == "amount 12.50 in amount"
    )
    assert reason_text("country", "FR") == "country is FR"
    assert reason_text("amount", None, "{value:,.2f} spent") == "missing spent"
    assert reason_text("amount", math.nan) == "amount is missing"
    with pytest.raises(DefinitionError, match="cannot say amount"):
        reason_text("amount", 1.0, "{amount}")
    with pytest.raises(DefinitionError, match="cannot say country"):
        reason_text("country", "FR", "{value:.2f}")
