"""Which window belongs to which stage, and what passes between them."""

from __future__ import annotations

import pytest

import headrace as hr
from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError
from headrace.definitions.plan import Plan
from headrace.definitions.stage_lines import stage_lines
from headrace.definitions.stages import Stages, plan_stages
from headrace.events.schema import Role


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key = hr.field(pii=True, subject=True)
    payee: hr.Key
    merchant: hr.Key
    terminal: hr.Key
    amount: hr.Money
    currency: hr.Currency
    shop: hr.Category
    load: hr.Float


class Transfer(hr.Event):
    transfer_id: hr.Id
    at: hr.EventTime
    sender: hr.Key
    receiver: hr.Key
    card: hr.Key


class Rate(hr.Row):
    base: hr.Currency
    quote: hr.Currency
    rate: hr.Decimal(8)  # type: ignore[valid-type]  # the digits are an argument of the type
    valid_from: hr.EventTime


payments = hr.stream(Payment, lateness="10m")
transfers = hr.stream(Transfer)
rates = hr.table(Rate, key=("base", "quote"))
euro = payments.amount.in_currency("EUR", rates)
card, merchant = payments.by("card"), payments.by("merchant")


def stages_of(key: str | None = None, /, **named: hr.Expression) -> Stages:
    return plan_stages(on=payments, features=hr.features(**named), key=key)


def test_one_key_needs_one_stage() -> None:
    stages = stages_of(amount=euro, burst=card.count("5m"), shop=payments.shop)
    assert (stages.key, stages.sides, stages.keyed) == ("card", (), {"payment": "card"})
    assert stages.main == stages.whole
    assert stage_lines(stages)[0] == "One stage: all windows are kept by card."


def test_no_window_needs_no_key() -> None:
    stages = stages_of(amount=euro)
    assert (stages.key, stages.sides) == ("", ())
    assert "anything" in stage_lines(stages)[0]


def test_the_usual_key_is_the_one_that_most_windows_are_kept_by() -> None:
    named = {"a": merchant.count("5m"), "b": card.count("5m"), "c": card.count("1h")}
    assert stages_of(None, **named).key == "card"
    assert stages_of(a=named["a"], b=named["b"]).key == "merchant"
    assert stages_of("payment_id", **named).key == "payment_id"
    assert [side.key for side in stages_of("payment_id", **named).sides] == ["merchant", "card"]


def test_a_window_by_several_keys_is_kept_where_one_of_them_is() -> None:
    both, pair = payments.by("merchant", "card"), payments.by("terminal", "merchant")
    stages = stages_of(
        "card", a=pair.count("1h"), b=both.count("1h"), c=merchant.count("1h"), d=card.count("5m")
    )
    assert [group.key for group in stages.main.groups] == [("merchant", "card"), ("card",)]
    (side,) = stages.sides
    assert side.key == "merchant"
    assert [group.key for group in side.plan.groups] == [("merchant",), ("terminal", "merchant")]


def test_a_side_stage_sees_the_fields_that_it_reads_and_no_names_of_persons() -> None:
    stages = stages_of("merchant", a=card.sum(euro, "1h"), b=merchant.count("1h"))
    (side,) = stages.sides
    (stream,) = side.plan.streams
    assert stream.schema.names == ("payment_id", "at", "card", "amount", "currency")
    assert not any(spec.pii or spec.subject for spec in stream.schema.fields)
    assert [table.name for table in side.plan.tables] == ["rate"]
    assert stages.main.streams[0].schema.field("card").pii
    # rows of tables come to the main stage as admission ranks them
    assert stages.main.tables == stages.admission.tables == stages.whole.tables


def test_the_main_stage_computes_features_of_both_keys() -> None:
    usual = merchant.mean(euro, "7d")
    stages = stages_of("card", over=euro / usual, busy=card.count("5m"), usual=usual)
    (side,) = stages.sides
    (given,) = side.given
    assert (given.field.name, given.field.kind, given.features) == (
        "by_merchant_0",
        Kind.FLOAT,
        (0,),
    )
    assert given.text == "the merchant's 7-day mean of amount in EUR"
    assert stages.main.streams[0].schema.fields[-1] == given.field
    assert (given.field.role, given.field.optional) == (Role.GIVEN, True)
    assert "field:by_merchant_0" in stages.main.program.loads
    assert [f.name for f in stages.main.features] == ["over", "busy", "usual"]


def test_what_a_float_cannot_hold_is_given_in_two_parts() -> None:
    last = merchant.last(payments.at, "1h")
    stages = stages_of(
        "card",
        since=hr.seconds_between(last, payments.at),
        dear=merchant.max(euro, "1h"),
        shop=merchant.last(payments.shop, "1h"),
        shops=merchant.distinct(payments.shop, "1h"),
    )
    (side,) = stages.sides
    kinds = [(given.field.kind, len(given.features)) for given in side.given]
    assert kinds == [(Kind.TIME, 2), (Kind.DECIMAL, 1), (Kind.TEXT, 1), (Kind.INT, 1)]
    assert [feature.kind for feature in side.plan.features] == [
        *[Kind.INT] * 3,
        Kind.TEXT,
        Kind.INT,
    ]


def test_names_that_are_given_are_free() -> None:
    stages = stages_of("card", by_merchant_0=merchant.count("1h"), other=card.count("1h"))
    assert stages.sides[0].given[0].field.name == "by_merchant_0_"


def test_one_stream_by_two_of_its_keys_takes_two_stages() -> None:
    sent = transfers.by("sender", asked_by="card")
    received = transfers.by("receiver", asked_by="card")
    stages = stages_of("card", a=sent.count("1h"), b=received.count("1h"), c=card.count("1h"))
    assert stages.keyed == {"payment": "card", "transfer": "sender"}
    (side,) = stages.sides
    assert (side.name, dict(side.routes)) == ("card", {"payment": "card", "transfer": "receiver"})
    more = stages_of("merchant", a=sent.count("1h"), b=received.count("1h"))
    assert [side.name for side in more.sides] == ["card", "card_2"]


def test_an_event_cannot_be_in_two_partitions() -> None:
    given = payments.by("payee", asked_by="card")
    with pytest.raises(DefinitionError, match="two partitions at once") as error:
        stages_of(a=given.count("1h"))
    assert "single" in str(error.value)


@pytest.mark.parametrize(("key", "says"), [("cards", "did you mean 'card'"), ("load", "a float")])
def test_a_key_must_be_a_field_that_can_be_one(key: str, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        stages_of(key, a=card.count("1h"))


def test_plans_of_stages_are_kept_as_others_are() -> None:
    stages = stages_of("card", a=merchant.count("1h"), b=card.count("1h"))
    for plan in (stages.admission, stages.main, stages.sides[0].plan):
        again = Plan.from_canonical(plan.canonical())
        assert again.canonical() == plan.canonical()
        assert again.admitted == plan.admitted
    assert b"admitted" in stages.sides[0].plan.canonical()
    assert b"admitted" not in stages.main.canonical()
