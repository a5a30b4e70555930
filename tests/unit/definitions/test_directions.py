"""Labels of direction as they are declared."""

from __future__ import annotations

from typing import Any

import pytest

import headrace as hr
from headrace.core.errors import DefinitionError


class Quote(hr.Event):
    quote_id: hr.Id
    at: hr.EventTime
    symbol: hr.Key
    mid: hr.Float


quotes = hr.stream(Quote, name="quotes")
features = hr.features(mid=quotes.mid)


def test_a_horizon_is_a_length_of_time_or_a_number_of_events() -> None:
    by_time = hr.direction(features.mid, key="symbol", after="5s", threshold=0.5)
    assert (by_time.after_ns, by_time.events, by_time.threshold) == (5_000_000_000, 0, 0.5)
    by_events = hr.direction(features.mid, key="symbol", events=20)
    assert (by_events.after_ns, by_events.events, by_events.threshold) == (0, 20, None)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "after=None and events=None"),
        ({"after": "5s", "events": 3}, "after='5s' and events=3"),
        ({"after": "0s"}, "a direction after 0"),
        ({"events": 0}, "events=0"),
        ({"events": 5, "threshold": -1.0}, r"threshold=-1\.0"),
        ({"events": 5, "flat": 1.0}, r"flat=1\.0"),
    ],
)
def test_what_cannot_be_meant_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        hr.direction(features.mid, key="symbol", **more)


def test_only_a_feature_has_a_direction() -> None:
    with pytest.raises(DefinitionError, match=r"as in features\.mid"):
        hr.direction(quotes.mid, key="symbol", events=5)


def test_a_label_by_a_field_that_is_not_there_is_refused() -> None:
    label = hr.direction(features.mid, key="symbl", events=5)
    with pytest.raises(DefinitionError, match="symbl"):
        hr.UseCase(on=quotes, features=features, label=label, model=hr.XGBoost())


def test_the_scores_of_directions_are_for_rules_to_ask_about() -> None:
    label = hr.direction(features.mid, key="symbol", events=5)
    policy = hr.Policy(hr.review("down", hr.score_of("down") > 0.5), otherwise=hr.approve())
    case = hr.UseCase(on=quotes, features=features, label=label, model=hr.XGBoost(), policy=policy)
    assert case.classes == ("up", "flat", "down")
    assert "score_down > 0.5" in str(policy.rules[0])
