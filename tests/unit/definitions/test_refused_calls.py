"""Calls of the public names that can't be meant: refused with the user's line and the fix."""

from __future__ import annotations

from typing import Any

import pytest

import headrace as hr


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key
    merchant: hr.Key
    amount: hr.Money = hr.field(currency="EUR")
    country: hr.Country
    channel: hr.Category
    lat: hr.Float | None
    lon: hr.Float | None


class Chargeback(hr.Event):
    chargeback_id: hr.Id
    at: hr.EventTime
    payment_id: hr.Ref[Payment]
    merchant: hr.Key


class Rate(hr.Row):
    base: hr.Currency
    quote: hr.Currency
    rate: hr.Decimal = hr.field(scale=8)
    valid_from: hr.EventTime


payments = hr.stream(Payment)
chargebacks = hr.stream(Chargeback)
rates = hr.table(Rate, key=("base", "quote"))
card = payments.by("card")
features = hr.features(n=card.count("5m"), spent=payments.amount)


def case(**more: Any) -> hr.UseCase:
    return hr.UseCase(**{"on": payments, "features": features, **more})


def rules(*made: Any) -> hr.Policy:
    return hr.Policy(*made, otherwise=hr.approve())


#: What is called, what the message says, what the fix says.
CASES: dict[str, tuple[Any, str, str]] = {
    "feature called as a result": (
        lambda: hr.features(score=payments.amount),
        "can't be called 'score': a column of results",
        "rename it",
    ),
    "feature called as a result in capitals": (
        lambda: hr.features(Outcome=payments.amount),
        "can't be called 'Outcome'",
        "card_outcome=",
    ),
    "rule on another stream's field": (
        lambda: case(policy=rules(hr.block("x", chargebacks.merchant == "5"))),
        "rule x asks about chargeback.merchant, and the event that is decided is of 'payment'",
        "a field of 'payment'",
    ),
    "rule on a score that nothing makes": (
        lambda: case(policy=rules(hr.block("x", hr.score >= 0.9))),
        "rule x asks about the score, and the use case has no model",
        "model=hr.XGBoost()",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_with_line_and_fix(name: str) -> None:
    call, message, fix = CASES[name]
    with pytest.raises(hr.DefinitionError) as caught:
        call()
    error = caught.value
    text = str(error).split("\n  fix: ")[0]
    assert message in text
    assert error.fix is not None
    assert fix in error.fix
    assert error.at is not None
    assert error.at.path == __file__
    assert error.at.line in {line for _, _, line in call.__code__.co_lines()}
    assert str(error).count(f"{error.at.path}:") == 1


def test_another_policy_is_checked_against_the_decided_stream_too() -> None:
    with pytest.raises(hr.DefinitionError, match="rule x asks about chargeback"):
        case().definition(None, rules(hr.block("x", chargebacks.merchant == "5")))
    kept = rules(hr.block("x", payments.merchant == "5"))
    assert hr.Policy.from_canonical(kept.canonical()) == kept
    assert case().definition(None, kept).policy is not None
