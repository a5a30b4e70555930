from __future__ import annotations

from decimal import Decimal as ExactDecimal

import pytest

from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError
from headrace.events.event import Event, Row, schema_of
from headrace.events.fields import (
    Bool,
    Category,
    Country,
    Currency,
    Decimal,
    EventTime,
    Float,
    Id,
    Int,
    Key,
    KnownAt,
    Money,
    Ref,
    Text,
    field,
)
from headrace.events.schema import Role


class Payment(Event):
    payment_id: Id
    at: EventTime
    card: Key = field(pii=True, subject=True)
    amount: Money = field(minimum=0)
    currency: Currency
    country: Country
    received: KnownAt
    note: Text | None = field(longest=40)
    fee: Money("EUR") | None = field(minimum="0.01", maximum=ExactDecimal("99.5"))  # type: ignore[valid-type]  # a parameter, not a type
    rate: Decimal(8)  # type: ignore[valid-type]  # a parameter, not a type
    x: Float = field(maximum=1)
    n: Int
    ok: Bool
    refund_of: Ref[Payment] | None
    kind: Category


def test_every_type_of_field_is_understood() -> None:
    schema = schema_of(Payment)
    assert schema.field("payment_id").role is Role.ID
    assert schema.field("amount").currency_field == "currency"
    assert schema.field("amount").minimum == 0
    assert schema.field("card").pii
    assert schema.field("card").subject
    assert schema.field("received").optional
    assert schema.field("note").optional
    assert schema.field("note").longest == 40
    fee = schema.field("fee")
    assert (fee.kind, fee.currency, fee.scale, fee.optional) == (Kind.MONEY, "EUR", 2, True)
    assert (fee.minimum, fee.maximum) == (1, 9950)
    assert schema.field("rate").scale == 8
    assert schema.field("refund_of").refers_to == "Payment"
    assert schema.field("refund_of").optional
    assert schema.at is not None
    assert schema.at.path == __file__
    with open(__file__, encoding="utf-8") as source:  # noqa: PTH123 - the line is what is asked for
        assert source.readlines()[schema.at.line - 1] == "class Payment(Event):\n"


def test_what_type_checkers_understand_means_the_same() -> None:
    class Plain(Event):
        id: Id
        at: EventTime
        amount: Money = field(currency="JPY")
        rate: Decimal | None = field(scale=4)

    schema = schema_of(Plain)
    assert (schema.field("amount").currency, schema.field("amount").scale) == ("JPY", 0)
    assert (schema.field("rate").scale, schema.field("rate").optional) == (4, True)


def test_a_row_needs_no_id() -> None:
    class Rate(Row):
        base: Currency
        quote: Currency
        rate: Decimal(8)  # type: ignore[valid-type]  # a parameter, not a type
        valid_from: EventTime

    assert schema_of(Rate).names == ("base", "quote", "rate", "valid_from")


def test_there_are_no_instances() -> None:
    with pytest.raises(DefinitionError, match="no instances"):
        Payment()


BAD = {
    "has no hr.Id": "at: EventTime",
    "has no hr.EventTime": "id: Id",
    "second hr.EventTime beside at": "id: Id\n    at: EventTime\n    then: EventTime",
    "second hr.Id": "id: Id\n    id2: Id\n    at: EventTime",
    "unknown type": "id: Id\n    at: EventTime\n    x: int",
    "cannot be evaluated": "id: Id\n    at: 'Nothing'",
    "does not say its currency, and Bad has 0": "id: Id\n    at: EventTime\n    m: Money",
    "has 2 Currency": "id: Id\n    at: EventTime\n    m: Money\n    a: Currency\n    b: Currency",
    "does not list": "id: Id\n    at: EventTime\n    m: Money('XXX')",
    "no surrogate": "id: Id\n    at: EventTime\n    n: Int = field(pii=True)",
    "is not pii": "id: Id\n    at: EventTime\n    n: Key = field(subject=True)",
    "cannot be missing": "id: Id | None\n    at: EventTime",
    "refers to nothing": "id: Id\n    at: EventTime\n    r: Ref",
    "does not say its digits": "id: Id\n    at: EventTime\n    d: Decimal",
    "has the scale 16": "id: Id\n    at: EventTime\n    d: Decimal(16)",
    "above the maximum": "id: Id\n    at: EventTime\n    d: Int = field(minimum=2, maximum=1)",
    "in no fixed currency": (
        "id: Id\n    at: EventTime\n    c: Currency\n    m: Money = field(minimum=1)"
    ),
    "too many digits": "id: Id\n    at: EventTime\n    m: Money('EUR') = field(minimum='0.001')",
    "has no type": "id: Id\n    at: EventTime\n    m = field()",
    "second subject": (
        "id: Id = field(pii=True, subject=True)\n    at: EventTime\n"
        "    m: Key = field(pii=True, subject=True)"
    ),
    "which is no hr.Currency": (
        "id: Id\n    at: EventTime\n    m: Money = field(currency_field='at')"
    ),
    "begins with an underscore": "id: Id\n    at: EventTime\n    _m: Int",
    "has the default 5": "id: Id\n    at: EventTime\n    m: Int = 5",
    "has no longest|no text": "id: Id\n    at: EventTime\n    m: Int = field(longest=3)",
}


@pytest.mark.parametrize(("message", "body"), BAD.items())
def test_a_bad_class_is_refused_with_its_line_and_the_fix(message: str, body: str) -> None:
    names = {**globals()}
    with pytest.raises(DefinitionError, match=message) as caught:
        exec(compile(f"class Bad(Event):\n    {body}\n", "case.py", "exec", 0, True), names)  # noqa: S102 - the module of a user
    assert caught.value.fix
    assert str(caught.value).startswith("case.py:1: Bad")


def test_an_event_class_is_not_derived_from() -> None:
    with pytest.raises(DefinitionError, match="derives from Payment"):

        class Refund(Payment):
            pass


@pytest.mark.parametrize("field", ["m: Money", "m: Int = 5", "m: 'Kez'", "m: int"])
def test_the_line_is_the_one_of_the_field(tmp_path, field: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - pytest's own fixture
    path = tmp_path / "case.py"
    path.write_text("\nclass Bad(Event):\n    id: Id\n    at: EventTime\n\n    " + field + "\n")
    with pytest.raises(DefinitionError) as caught:
        exec(compile(path.read_text(), str(path), "exec", 0, True), {**globals()})  # noqa: S102 - the module of a user
    assert caught.value.at is not None
    assert caught.value.at.line == 6
