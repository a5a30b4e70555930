"""Sequences as they are declared: what is refused, and where they are kept."""

from __future__ import annotations

from typing import Any

import pytest

import headrace as hr
from headrace.core.errors import DefinitionError
from headrace.definitions.describe import group_sizes, kept_names
from headrace.definitions.plan import Plan
from headrace.definitions.stage_lines import stage_lines
from headrace.pipeline.change import Change


class Quote(hr.Event):
    quote_id: hr.Id
    at: hr.EventTime
    symbol: hr.Key
    venue: hr.Key
    bid: hr.Float
    ask: hr.Float
    side: hr.Category


quotes = hr.stream(Quote, name="quotes")
features = hr.features(
    spread=quotes.ask - quotes.bid,
    side=quotes.side,
    quotes_5s=quotes.by("symbol").count("5s"),
    venue_5s=quotes.by("venue").count("5s"),
    venue_1m=quotes.by("venue").count("1m"),
)


def case(**more: Any) -> hr.UseCase:
    said: dict[str, Any] = {"key": "symbol", "length": 4, "within": "1m", **more}
    return hr.UseCase(on=quotes, features=features, sequence=hr.sequence(features, **said))


def test_a_sequence_holds_the_numbers_among_features() -> None:
    plan = case().plan
    assert plan.sequence is not None
    names = [plan.features[place].name for place in plan.sequence.features]
    assert names == ["spread", "quotes_5s", "venue_5s", "venue_1m"]
    chosen = case(only=("venue_1m", "spread")).plan.sequence
    assert chosen is not None
    assert chosen.features == (4, 0)


def test_it_is_part_of_the_definition_and_of_its_digest() -> None:
    with_one, without = case().plan, hr.UseCase(on=quotes, features=features).plan
    again = Plan.from_canonical(with_one.canonical())
    assert (again.sequence, again.digest()) == (with_one.sequence, with_one.digest())
    assert with_one.digest() != without.digest() != case(length=5).plan.digest()
    # a use case without one is written down as before there were any
    assert b"sequence" not in without.canonical()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"length": 0}, "length=0 of a sequence"),
        ({"length": 10_000}, "length=10000 of a sequence"),
        ({"length": 4_096, "only": ("spread",) * 5}, "is 20,480 numbers for each event"),
        ({"within": "0s"}, "a sequence within 0"),
        ({"only": ("side",)}, "'side', which is a category"),
        ({"only": ("spraed",)}, "no feature 'spraed'"),
        ({"key": ()}, r"key=\(\) of a sequence"),
        ({"key": "symbl"}, "symbl"),
    ],
)
def test_what_cannot_be_meant_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        case(**more)


def test_a_sequence_of_other_features_is_refused() -> None:
    other = hr.features(other=quotes.bid)
    with pytest.raises(DefinitionError, match="reads 'other', which is no feature"):
        hr.UseCase(
            on=quotes,
            features=features,
            sequence=hr.sequence(other, key="symbol", length=4, within="1m"),
        )


def test_the_main_stage_keeps_it_by_the_key_of_the_topics() -> None:
    # more windows are kept by the venue, and the sequence decides all the same
    stages = case().stages()
    assert stages.key == "symbol"
    assert stages.main.sequence == case().plan.sequence
    assert [side.plan.sequence for side in stages.sides] == [None]
    assert stages.admission.sequence is None
    assert any("sequence of quotes by symbol" in line for line in stage_lines(stages))
    with pytest.raises(DefinitionError, match="in several partitions"):
        case().stages("venue")
    assert case(key=("venue", "symbol")).stages("venue").key == "venue"


def test_its_worst_case_is_counted() -> None:
    plan = case().plan
    assert kept_names(plan)[-1] == "sequence of quotes by symbol"
    size = group_sizes(plan, 1_000, 10)[-1]
    assert (size.entries, size.entry_bytes) == (4, 8 * (1 + 4))
    assert size.total_bytes >= 1_000 * 4 * 40


def test_a_changed_definition_with_one_keeps_no_state() -> None:
    assert "sequence" in Change.whole(case().plan, case(length=5).plan)
    without = hr.UseCase(on=quotes, features=features).plan
    assert Change.whole(case().plan, without) == ""
