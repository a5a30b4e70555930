"""Durations read as they are written, and nothing else is one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.durations import LONGEST_NS, duration_ns, duration_text, duration_words
from headrace.core.errors import DefinitionError


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("5m", 300),
        ("24h", 86_400),
        ("7d", 604_800),
        ("1w", 604_800),
        ("1h30m", 5_400),
        ("0s", 0),
        (timedelta(days=1, seconds=1), 86_401),
    ],
)
def test_lengths_are_exact(written: str | timedelta, seconds: int) -> None:
    assert duration_ns(written) == seconds * 10**9


def test_small_units() -> None:
    assert duration_ns("1ms") == 10**6
    assert duration_ns("1us") == 10**3
    assert duration_ns(timedelta(microseconds=1)) == 10**3
    assert duration_ns("7ns") == 7


@pytest.mark.parametrize("written", ["", "5", "m", "5 m", "-5m", "1.5h", "5x", "5M", "1 year", 5])
def test_what_is_no_length_is_refused(written: str) -> None:
    with pytest.raises(DefinitionError, match="is no length of time"):
        duration_ns(written)


def test_months_have_no_fixed_length() -> None:
    with pytest.raises(DefinitionError, match="no fixed length"):
        duration_ns("3M")


@pytest.mark.parametrize("written", ["36501d", timedelta(seconds=-1)])
def test_out_of_bounds(written: str | timedelta) -> None:
    with pytest.raises(DefinitionError, match="out of bounds"):
        duration_ns(written)


@given(st.integers(0, LONGEST_NS))
def test_text_reads_back(length: int) -> None:
    assert duration_ns(duration_text(length)) == length


@pytest.mark.parametrize(
    ("written", "said"),
    [("1d", "24 hours"), ("2w", "14 days"), ("1h", "1 hour"), ("90s", "90 seconds")],
)
def test_words(written: str, said: str) -> None:
    assert duration_words(duration_ns(written)) == said
