# ruff: noqa: PLW0108 - the call must be made from a line of this file, when it is asked for
"""What can't be meant is refused on the user's line, with the value, and what to do about it."""

from __future__ import annotations

import importlib
import sys
from typing import Any, cast

import pytest

from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError
from headrace.definitions import expressions as hr
from headrace.definitions.compiler import compile_plan
from headrace.definitions.feature_set import features
from headrace.definitions.streams import stream, table
from headrace.events.schema import Field, Role, Schema

ID = Field("id", Kind.TEXT, Role.ID)
AT = Field("at", Kind.TIME, Role.EVENT_TIME)
PAYMENT = Schema(
    "Payment",
    (
        ID,
        AT,
        Field("card", Kind.TEXT, Role.KEY),
        Field("merchant", Kind.TEXT, Role.KEY),
        Field("amount", Kind.MONEY, currency_field="currency"),
        Field("currency", Kind.CURRENCY),
        Field("fee", Kind.MONEY, scale=2, currency="EUR"),
        Field("tip", Kind.MONEY, scale=2, currency="USD"),
        Field("country", Kind.COUNTRY),
        Field("channel", Kind.TEXT, Role.CATEGORY),
        Field("tries", Kind.INT),
        Field("weight", Kind.FLOAT),
        Field("online", Kind.BOOL),
    ),
)
CHARGEBACK = Schema(
    "Chargeback",
    (
        ID,
        AT,
        Field("payment_id", Kind.TEXT, Role.REF, refers_to="Payment"),
        Field("shop", Kind.TEXT, Role.KEY),
        Field("tries", Kind.TEXT),
    ),
)
RATE = Schema(
    "Rate",
    (
        Field("base", Kind.CURRENCY),
        Field("quote", Kind.CURRENCY),
        Field("rate", Kind.DECIMAL, scale=8),
        Field("approximate", Kind.FLOAT),
        Field("valid_from", Kind.TIME, Role.EVENT_TIME),
    ),
)
payments = stream(PAYMENT, lateness="10m")
chargebacks = stream(CHARGEBACK)
rates = table(RATE, key=("base", "quote"))
rate_by_base = table(RATE, key="base")
card = payments.by("card")
eur = payments.amount.in_currency("EUR", rates)
NAMELESS = Schema("Nameless", (ID,))


def plan(**named: Any) -> object:
    return compile_plan(on=payments, features=features(**named))


CASES: dict[str, tuple[Any, str, str]] = {
    "unknown field": (lambda: payments.amuont, "no field 'amuont'; did you mean 'amount'", "card"),
    "unknown key": (lambda: payments.by("crad"), "'crad'; did you mean 'card'", "use one of"),
    "key twice": (lambda: payments.by("card", "card"), "twice", "once"),
    "no key": (lambda: payments.by(), "without a key", 'by("card")'),
    "float key": (lambda: payments.by("weight"), "'weight' is a float", "text"),
    "asked by too few": (
        lambda: payments.by("card", "merchant", asked_by="card"),
        "is asked by ('card',)",
        "one for each",
    ),
    "unknown duration": (lambda: card.count("5x"), "'5x' is no length of time", '"5m"'),
    "window of months": (lambda: card.count("1M"), "'1M'", "no fixed length"),
    "window missing": (lambda: card.count(), "without a window", '"24h"'),
    "within missing": (lambda: card.seconds_since_last(), "without a window", '"30d"'),
    "zero window": (lambda: card.count("0s"), "window of 0", '"5m"'),
    "negative delay": (lambda: card.count("1h", delay="-1d"), "delay '-1d'", "whole number"),
    "too long": (lambda: card.count("36500d", delay="1d"), "beyond 36500d", "shorten"),
    "current with delay": (
        lambda: card.count("1h", delay="1h", include_current=True),
        "include_current=True with a delay",
        "leave out",
    ),
    "every does not divide": (
        lambda: card.count("1h", every="25m"),
        "every='25m' does not divide",
        "whole part",
    ),
    "every too long": (lambda: card.count("1h", every="1d"), "every='1d' does not", 'every="30m"'),
    "every zero": (lambda: card.count("1h", every="0s"), "every='0s' does not", "whole part"),
    "distinct in buckets": (
        lambda: card.distinct(payments.merchant, "1d", every="1h"),
        "distinct can't be kept in buckets",
        "every=",
    ),
    "first in buckets": (
        lambda: card.first(payments.tries, "1d", every="1h"),
        "first can't",
        "every=",
    ),
    "last in buckets": (
        lambda: card.last(payments.tries, "1d", every="1h"),
        "last can't",
        "every=",
    ),
    "previous in buckets": (
        lambda: card.previous(payments.tries, "1d", every="1h"),
        "previous can't",
        "every=",
    ),
    "since in buckets": (
        lambda: card.seconds_since_last("1d", every="1h"),
        "seconds_since_last can't",
        "every=",
    ),
    "floats in buckets": (
        lambda: card.sum(payments.weight, "1d", every="1h"),
        "exact sum of floats",
        "every=",
    ),
    "aggregate in aggregate": (
        lambda: card.sum(card.count("1h"), "1d"),
        "can't be aggregated again",
        "one event",
    ),
    "aggregate in where": (
        lambda: card.count("1d", where=card.count("1h") > 3),
        "can't be aggregated again",
        "one event",
    ),
    "sum of another stream": (
        lambda: chargebacks.by("shop").sum(payments.tries, "1d"),
        "reads a field of 'payment'",
        "'chargeback'",
    ),
    "where is no condition": (
        lambda: card.count("1d", where=payments.tries),
        "where= takes a condition",
        "compare",
    ),
    "where is a literal": (lambda: card.count("1d", where=True), "not an expression", "field"),
    "sum of text": (lambda: card.sum(payments.channel, "1d"), "the sum of text", "numbers"),
    "sum of a condition": (
        lambda: card.sum(payments.online, "1d"),
        "the sum of a condition",
        "where=",
    ),
    "minimum of a code": (lambda: card.min(payments.country, "1d"), "min of a country", "numbers"),
    "sum of nothing": (lambda: card.sum(None, "1d"), "sum of None", "field"),
    "sum of unlike money": (
        lambda: card.sum(payments.amount, "1d"),
        "unlike currencies",
        "in_currency",
    ),
    "unlike currencies": (
        lambda: payments.fee + payments.tip,
        "unlike currencies: money in EUR and money in USD",
        "in_currency",
    ),
    "unlike sums": (
        lambda: card.sum(payments.fee, "1d") - card.sum(payments.tip, "1d"),
        "unlike currencies",
        "in_currency",
    ),
    "unlike compared": (lambda: payments.fee < payments.tip, "unlike currencies", "in_currency"),
    "unlike ratio": (lambda: payments.fee / payments.tip, "unlike currencies", "in_currency"),
    "money and number": (lambda: payments.fee + 5, "can't add money in EUR", 'hr.money("5"'),
    "money squared": (lambda: payments.fee * payments.fee, "can't multiply", "plain number"),
    "money of many currencies and a literal": (
        lambda: payments.amount < 5,
        "each event has its own currency",
        "in_currency",
    ),
    "log of many currencies": (lambda: payments.amount.log(), "no one unit", "in_currency"),
    "finer than a cent": (lambda: hr.money("1.005", "EUR"), "finer than the 2 digits", "round"),
    "unknown currency": (lambda: hr.money(1, "EUX"), "unknown currency 'EUX'", "ISO 4217"),
    "clip finer": (lambda: payments.fee.clip(0, 0.001), "finer", "round"),
    "clip of nothing": (lambda: payments.tries.clip(), "without bounds", "least="),
    "clip the wrong way": (lambda: payments.tries.clip(5, 1), "leaves nothing", "swap"),
    "text and number": (lambda: payments.channel + 1, "can't add text", "numbers"),
    "time and number": (lambda: payments.at - 1, "can't subtract a time", "seconds_between"),
    "condition and number": (lambda: payments.online * 2, "multiply a condition", "hr.when"),
    "text has no order": (lambda: payments.channel < "web", "text has no order", "is_in"),
    "unknown country": (lambda: payments.country == "UK", "'UK' is no code", "ISO 3166-1"),
    "number and text": (lambda: payments.tries == "many", "compare a whole number", "number"),
    "different types": (lambda: payments.channel == payments.country, "can't compare", "one type"),
    "equal to None": (lambda: payments.tries == None, "nothing equals None", "is_missing"),  # noqa: E711 - what a user may write
    "not finite": (lambda: payments.weight < float("inf"), "not a number", "finite"),
    "division by 0": (lambda: payments.tries / 0, "division by 0", "else"),
    "and": (lambda: payments.online and payments.online, "neither true nor false", "& | ~"),
    "chained": (lambda: 1 < payments.tries < 3, "neither true nor false", "two comparisons"),
    "in": (lambda: 3 in payments.tries, "`in` asks", "is_in"),
    "math function": (lambda: float(payments.weight), "no value before", ".log()"),
    "and of numbers": (lambda: payments.tries & payments.online, "& takes a condition", "brackets"),
    "when of a number": (lambda: hr.when(payments.tries), "when() takes a condition", "compare"),
    "then of two types": (
        lambda: hr.when(payments.online).then("a").otherwise(1),
        "1 meets text",
        "both sides",
    ),
    "is_in of text": (lambda: payments.channel.is_in("web"), "would ask for letters", "['web']"),
    "is_in of nothing": (lambda: payments.channel.is_in([]), "of nothing", "name the values"),
    "is_in of floats": (lambda: payments.weight.is_in([1.0]), "can't look for a number", "whole"),
    "no such method": (lambda: payments.tries.logg(), "has no 'logg'", "log"),
    "unknown zone": (
        lambda: payments.at.hour("Europe/Berln"),
        "unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'",
        "IANA",
    ),
    "hour of a number": (lambda: payments.tries.hour(), "has no hour", "payments.at.hour"),
    "holidays of nowhere": (lambda: payments.at.is_holiday("ZZ"), "no calendar", '"DE"'),
    "no such exchange": (
        lambda: payments.at.is_session("XNYZ"),
        "exchange 'XNYZ'; did you mean",
        "10383",
    ),
    "seconds between numbers": (
        lambda: hr.seconds_between(payments.at, payments.tries),
        "takes times",
        "payments.at",
    ),
    "convert a number": (
        lambda: payments.tries.in_currency("EUR", rates),
        "can't convert a whole number",
        "amount itself",
    ),
    "convert to nothing": (
        lambda: payments.fee.in_currency("EUX", rates),
        "unknown currency 'EUX'",
        "ISO 4217",
    ),
    "convert by no rates": (
        lambda: payments.fee.in_currency("USD", rate_by_base),
        "not by two currencies",
        "base",
    ),
    "convert by floats": (
        lambda: payments.fee.in_currency("USD", rates, rate="approximate"),
        "no exact decimal",
        "Decimal(8)",
    ),
    "look up without a time": (lambda: rates.as_of(1, base="EUR"), "is no time", "payments.at"),
    "look up by half a key": (
        lambda: rates.as_of(payments.at, base="EUR"),
        "keyed by ('base', 'quote')",
        "quote=",
    ),
    "look up by another type": (
        lambda: rates.as_of(payments.at, base=payments.country, quote="EUR"),
        "base= is a country",
        "same type",
    ),
    "look up nothing": (
        lambda: rates.as_of(payments.at, base="USD", quote="EUR").rat,
        "'rat'; did you mean 'rate'",
        "use one of",
    ),
    "two streams in one": (
        lambda: payments.channel == chargebacks.shop,
        "of 'payment' and of 'chargeback'",
        "key and a window",
    ),
    "stream without time": (lambda: stream(NAMELESS), "no event time", "hr.EventTime"),
    "table without time": (
        lambda: table(NAMELESS, key="id"),
        "does not say from when",
        "valid_from",
    ),
    "bad name": (lambda: stream(PAYMENT, name="Pay ments"), "no name for a stream", "name="),
    "text for a reason": (
        lambda: payments.fee.described("{amount} spent"),
        "{value} alone",
        "times usual",
    ),
    "broken text": (lambda: payments.fee.described("{"), "no text for a reason", "times usual"),
    "label of nothing": (
        lambda: payments.of(chargebacks),
        "0 fields that refer to Chargeback",
        "hr.Ref[Chargeback]",
    ),
    "label by a value": (
        lambda: chargebacks.of(payments, reference="shop"),
        "refers to nothing",
        "hr.Ref[Payment]",
    ),
    "label within 0": (lambda: chargebacks.of(payments).within("0s"), "within 0", '"60d"'),
    "feature is a number": (lambda: features(one=cast("Any", 1)), "'one' is 1", "aggregate"),
    "feature is constant": (
        lambda: features(one=hr.money(1, "EUR")),
        "the same for every event",
        "window",
    ),
    "feature is a time": (lambda: features(when=payments.at), "is a time", "seconds_between"),
    "feature of unlike money": (
        lambda: features(a=payments.amount),
        "mean different things",
        "in_currency",
    ),
    "feature name taken": (
        lambda: features(features(a=payments.tries), a=payments.fee),
        "two features are called 'a'",
        "rename",
    ),
    "feature name of ours": (lambda: features(definitions=eur), "can't be called", "its own"),
    "feature name of Python's": (lambda: features(**{"if": eur}), "a word of Python", "rename"),
    "no features": (lambda: features(), "no features", "name=expression"),
    "unknown feature": (
        lambda: features(spend=eur).spnd,
        "no feature 'spnd'; did you mean 'spend'",
        "use one of",
    ),
    "another stream's field": (
        lambda: plan(shop=chargebacks.shop),
        "reads an event of 'chargeback'",
        "key and a window",
    ),
    "not asked by": (
        lambda: plan(n=chargebacks.by("shop").count("1d")),
        "Payment has no field 'shop'",
        "asked_by=",
    ),
    "asked by another type": (
        lambda: plan(n=chargebacks.by("tries").count("1d")),
        "asked by 'tries' (INT)",
        "same type",
    ),
    "two streams of one name": (
        lambda: plan(n=stream(PAYMENT).by("card").count("1d")),
        "two streams are called 'payment'",
        "name=",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_with_line_and_fix(case: str) -> None:
    define, message, fix = CASES[case]
    with pytest.raises(DefinitionError) as caught:
        define()
    error = caught.value
    text = str(error).split("\n  fix: ")[0]
    assert message in text
    assert error.fix is not None
    assert fix in error.fix
    assert error.at is not None
    assert error.at.path == __file__
    assert error.at.line in {line for _, _, line in define.__code__.co_lines()}


def test_the_line_is_the_one_that_is_wrong() -> None:
    with pytest.raises(DefinitionError) as caught:
        _ = (
            payments.tries
            + payments.nothing_like_it
        )  # fmt: skip
    assert caught.value.at is not None
    assert "nothing_like_it" in _line(caught.value.at.line)


def _line(number: int) -> str:
    with open(__file__, encoding="utf-8") as source:  # noqa: PTH123 - three lines of a test
        return source.read().splitlines()[number - 1]


@pytest.mark.parametrize("library", ["holidays", "exchange_calendars"])
def test_a_missing_extra_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    importlib.invalidate_caches()
    ask = payments.at.is_holiday if library == "holidays" else payments.at.is_session
    with pytest.raises(DefinitionError, match=r"pip install headrace\[calendars\]"):
        ask("DE")


def test_money_that_may_not_fit_is_refused() -> None:
    total = payments.fee
    for _ in range(9):
        total = total + total
    with pytest.raises(DefinitionError, match="may not fit 64 bits"):
        _ = total + total + total
