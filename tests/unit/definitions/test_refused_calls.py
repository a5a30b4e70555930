"""Calls of the public names that can't be meant: refused with the user's line and the fix."""
# mypy: disable-error-code="call-arg, arg-type"

from __future__ import annotations

from typing import Any

import pyarrow as pa
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
features = hr.features(n=card.count("5m"), spent=payments.amount, hour=payments.at.hour())


FRAME = pa.table(
    {
        **{name: ["x"] for name in ("payment_id", "card", "merchant", "channel")},
        "at": ["2026-01-01T00:00:00Z"],
        "amount": ["5"],
        "country": ["DE"],
    }
)


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
    "no trees": (lambda: hr.XGBoost(trees=0), "trees=0 of hr.XGBoost", "at least 1"),
    "trees in letters": (lambda: hr.LightGBM(trees="a"), "trees='a' of hr.LightGBM", "whole"),
    "half a tree": (lambda: hr.XGBoost(max_depth=2.5), "max_depth=2.5", "whole"),
    "one leaf": (lambda: hr.LightGBM(leaves=1), "leaves=1", "at least 2"),
    "rate of learning": (lambda: hr.XGBoost(learning_rate=0), "learning_rate=0", "over 0"),
    "unknown class weight": (
        lambda: hr.XGBoost(class_weight="balancd"),
        "class_weight='balancd'",
        '"balanced"',
    ),
    "negative class weight": (lambda: hr.XGBoost(class_weight=-5), "class_weight=-5", "over 0"),
    "negative penalty": (lambda: hr.LightGBM(l2=-1), "l2=-1 of hr.LightGBM", "from 0 on"),
    "no number": (lambda: hr.XGBoost(min_child_weight=float("nan")), "=nan", "from 0 on"),
    "a model that is no classifier": (
        lambda: hr.XGBoost(extra={"objective": "reg:squarederror"}),
        "'reg:squarederror'",
        "leave it out",
    ),
    "a setting of ours": (
        lambda: hr.XGBoost(extra={"eta": 0.2}),
        "that is the setting learning_rate",
        "learning_rate=0.2",
    ),
    "extra that is no mapping": (lambda: hr.XGBoost(extra=5), "extra=5", "by name"),
    "misspelt aggregate": (lambda: card.cuont("5m"), "'cuont'; did you mean 'count'", "one of"),
    "misspelt method": (
        lambda: payments.amount.clipp(greatest=5),
        "'clipp'; did you mean 'clip'",
        "one of",
    ),
    "misspelt argument": (
        lambda: card.count("5m", wehre=payments.lat > 0),
        "count() has no wehre=; did you mean 'where'",
        "call it as count(window=..., where=",
    ),
    "features in a dictionary": (
        lambda: hr.UseCase(on=payments, features={"a": 5}),
        "features={'a': 5}",
        "hr.features(",
    ),
    "features in a list": (
        lambda: hr.UseCase(on=payments, features=[1]),
        "features=[1]",
        "hr.features(",
    ),
    "the class of events": (
        lambda: hr.UseCase(on=Payment, features=features),
        "on=<class",
        "on=hr.stream(",
    ),
    "label without its time": (
        lambda: hr.UseCase(on=payments, features=features, label=chargebacks.of(payments)),
        "label=<chargeback of payment, without a time> of hr.UseCase",
        'within("60d")',
    ),
    "label of a class": (lambda: chargebacks.of(Payment), "is of no stream", "hr.stream("),
    "no features": (lambda: hr.UseCase(on=payments), "missing a required", "features=..."),
    "rates from a stream": (
        lambda: payments.amount.in_currency("EUR", chargebacks),
        "from <stream chargeback of Chargeback>, which is no table",
        "hr.table(",
    ),
    "rates from text": (
        lambda: payments.amount.in_currency("EUR", "rates"),
        "'rates'",
        "hr.table(",
    ),
    "no rates": (
        lambda: payments.amount.in_currency("EUR"),
        "'rates'",
        "in_currency(currency, rates",
    ),
    "key in numbers": (lambda: payments.by(5), "5 names no field of Payment", "as text"),
    "table key in numbers": (lambda: hr.table(Rate, key=5), "key=5 is no key", "key=("),
    "table without key": (lambda: hr.table(Rate), "'key'", "table(rows, key=..."),
    "set in numbers": (lambda: payments.channel.is_in(5), "is_in(5)", "is_in([5])"),
    "reasons in letters": (
        lambda: hr.UseCase(on=payments, features=features, reasons="3"),
        "reasons='3'",
        "0 to 8",
    ),
    "name in numbers": (
        lambda: hr.UseCase(on=payments, features=features, name=5),
        "can't be called 5",
        "small letters",
    ),
    "stream name in numbers": (lambda: hr.stream(Payment, name=5), "5 is no name", "name="),
    "model file in numbers": (lambda: hr.ModelFile(5), "hr.ModelFile(5)", "path"),
    "one value to coalesce": (
        lambda: hr.coalesce(payments.lat),
        "'second'",
        "coalesce(first, second",
    ),
    "one place": (
        lambda: hr.great_circle(payments.lat, payments.lon),
        "missing a required argument: 'other_latitude'",
        "great_circle(latitude, longitude, other_latitude, other_longitude)",
    ),
    "policy without the rest": (
        lambda: hr.Policy(hr.block("x", features.n > 5)),
        "Policy() was called wrongly: missing a required argument: 'otherwise'",
        "Policy(..., otherwise=...)",
    ),
    "rule without condition": (lambda: hr.block("x"), "'condition'", "block(name, condition)"),
    "compute without use case": (lambda: hr.compute("x", None), "'x' is no use case", "hr.UseCase"),
    "frame first": (
        lambda: hr.compute(FRAME, case()),
        "pyarrow.Table payment_id: string",
        "hr.UseCase(...) made",
    ),
    "decide by a text": (
        lambda: hr.decide(case(), None, model="x"),
        "model='x' is no artefact",
        "hr.import_model",
    ),
    "decide by another text": (
        lambda: hr.decide(case(), FRAME, policy="x"),
        "policy='x' is no policy",
        "hr.Policy",
    ),
    "stream of a name": (
        lambda: hr.stream("Payment"),
        "a stream of 'Payment', which is no class of hr.Event",
        "class Name(hr.Event)",
    ),
    "stream of a table's rows": (lambda: hr.stream(Rate), "is no class of hr.Event", "hr.Event"),
    "table of events": (lambda: hr.table(Payment, key="card"), "is no class of hr.Row", "hr.Row"),
    "rule that computes": (
        lambda: hr.block("x", card.count("5m") > 5),
        "rule x: a rule computes something that is not a feature",
        "name it in hr.features(",
    ),
    "count below 0": (
        lambda: case(policy=rules(hr.block("x", features.n < 0))),
        "rule x can never match: n < 0 is true of no event",
        "correct the condition",
    ),
    "count from 0 on": (
        lambda: case(policy=rules(hr.block("x", features.n >= 0))),
        "rule x matches every event",
        "otherwise=block",
    ),
    "missing count": (
        lambda: case(policy=rules(hr.block("x", features.n.is_missing()))),
        "rule x can never match",
        "correct the condition",
    ),
    "hour beyond the day": (
        lambda: case(policy=rules(hr.block("x", features.hour > 23))),
        "rule x can never match",
        "correct the condition",
    ),
    "two halves": (
        lambda: case(policy=rules(hr.block("x", (features.n > 5) | (features.n <= 5)))),
        "rule x matches every event",
        "otherwise=block",
    ),
    "rule after all": (
        lambda: case(
            policy=rules(
                hr.block("x", features.n > 5),
                hr.review("y", features.n < 6),
                hr.review("z", features.spent > 1),
            )
        ),
        "rule z can never decide: the rules before it match every event",
        "move it before them, or end the policy with otherwise=review",
    ),
    "unlike itself": (
        lambda: hr.Policy(hr.block("x", features.n != features.n), otherwise=hr.approve()),
        "rule x can never match: n != n",
        "correct the condition",
    ),
    "format of no kind": (
        lambda: payments.amount.described("spent {value:zz}"),
        "'spent {value:zz}' is no text for a reason",
        "{value}",
    ),
    "format of numbers on text": (
        lambda: payments.channel.described("by {value:.2f}"),
        "is no text for a reason: text as 'DE' gives",
        "{value}",
    ),
    "located by money": (
        lambda: hr.great_circle(payments.lat, payments.lon, payments.amount, payments.lon),
        "can't locate by money in EUR",
        "degrees",
    ),
    "negative threads": (
        lambda: hr.compute(case(), FRAME, threads=-3),
        "threads=-3",
        "from 1 on",
    ),
    "misspelt setting": (
        lambda: hr.XGBoost(tres=5),
        "XGBoost() has no tres=; did you mean 'trees'",
        "XGBoost(trees=..., max_depth=...",
    ),
    "label without a length": (
        lambda: chargebacks.of(payments).within(),
        "within() was called wrongly: missing a required argument: 'length'",
        "within(length)",
    ),
    "choice without the rest": (
        lambda: hr.when(payments.lat > 0).then(1).otherwise(),
        "otherwise() was called wrongly",
        "otherwise(value)",
    ),
    "outcome in numbers": (lambda: hr.outcome(5), "5 cannot name an outcome", "letters"),
    "severity in letters": (
        lambda: hr.outcome("step_up", severity="a"),
        "severity 'a' of outcome step_up",
        "from 0 (approve) to 100 (block)",
    ),
    "asked by a number": (lambda: payments.by("card", asked_by=5), "is asked by 5", "for each"),
    "zone in numbers": (lambda: payments.at.hour(5), "unknown time zone 5", "IANA"),
    "country in numbers": (lambda: payments.at.is_holiday(5), "no calendar of holidays", '"DE"'),
    "neither true nor false": (
        lambda: card.count("5m", include_current="no"),
        "include_current='no'",
        "True or False",
    ),
    "explain nobody knows what": (
        lambda: hr.UseCase(on=payments, features=features, explain_all="x"),
        "explain_all='x'",
        "True or False",
    ),
    "model file of no use case": (
        lambda: hr.import_model("m.json", case()),
        "import_model('m.json', <use case",
        "hr.import_model(case,",
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
