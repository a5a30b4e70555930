"""What definitions compile to."""

from __future__ import annotations

from headrace.core.columns import Kind, pack_letters
from headrace.definitions import expressions as hr
from headrace.definitions.compiler import compile_plan
from headrace.definitions.describe import (
    feature_table,
    group_sizes,
    horizon_ns,
    worst_case_bytes,
)
from headrace.definitions.feature_set import features
from headrace.definitions.plan import (
    Aggregate,
    Feature,
    Function,
    Group,
    Held,
    Hold,
    Instruction,
    Op,
    Plan,
)
from headrace.definitions.streams import stream, table
from headrace.events.event import Event, Row
from headrace.events.fields import (  # noqa: TC001 - an event class reads its annotations
    Category,
    Currency,
    Decimal,
    EventTime,
    Float,
    Id,
    Int,
    Key,
    Money,
    Ref,
)

MINUTE = 60 * 10**9
DAY = 86_400 * 10**9


class Payment(Event):
    payment_id: Id
    at: EventTime
    card: Key
    merchant: Key
    amount: Money
    currency: Currency
    channel: Category
    lat: Float
    tries: Int


class Chargeback(Event):
    chargeback_id: Id
    at: EventTime
    payment_id: Ref[Payment]
    shop: Key


class Rate(Row):
    base: Currency
    quote: Currency
    rate: Decimal(8)  # type: ignore[valid-type]  # the digits are an argument of the type
    valid_from: EventTime


class Merchant(Row):
    merchant: Key
    risk: Float
    valid_from: EventTime


payments = stream(Payment, lateness="10m")
chargebacks = stream(Chargeback, dedupe="7d", arrives_after="2h")
rates = table(Rate, key=("base", "quote"))
merchants = table(Merchant, key="merchant")
card = payments.by("card")
eur = payments.amount.in_currency("EUR", rates)


def plan(**named: hr.Expression) -> Plan:
    return compile_plan(on=payments, features=features(**named))


def test_a_count_is_one_aggregate_of_one_group() -> None:
    made = plan(burst=card.count("5m"))
    assert made.on == "payment"
    assert made.groups == (Group("payment", ("card",), ("card",), 0, (Held(Hold.COUNT),)),)
    assert made.aggregates == (Aggregate(Function.COUNT, 0, window_ns=5 * MINUTE),)
    assert made.program.loads == ("aggregate:0",)
    assert made.features == (
        Feature("burst", 0, Kind.INT, 0, "the card's payments in the last 5 minutes: {value}"),
    )


def test_a_converted_sum_is_converted_once() -> None:
    made = plan(amount=eur, spend=card.sum(eur, "1d"), over=eur / card.mean(eur, "30d"))
    row = made.streams[0].program
    assert row.loads == ("amount", "currency", "at")
    assert row.instructions == (Instruction(Op.CONVERT, 3, (0, 1, 2), 0),)
    assert made.program.loads == ("row:3", "aggregate:0", "aggregate:1")
    assert made.program.instructions == (
        Instruction(Op.TO_FLOAT, 3, (0,), 2),
        Instruction(Op.DIV_F, 4, (3, 2)),
    )
    assert made.features[0].kind is Kind.MONEY
    assert made.features[0].scale == 2
    assert made.features[2].text == "amount in EUR over the card's 30-day mean: {value}"
    conversion = made.conversions[0]
    assert (conversion.rate, conversion.rate_scale, conversion.target_digits) == ("rate", 8, 2)
    assert conversion.target == pack_letters("EUR")
    assert dict(conversion.digits)[pack_letters("JPY")] == 0
    assert made.groups[0].held == (Held(Hold.SUM, 3), Held(Hold.COUNT, 3))


def test_equal_windows_are_one_aggregate() -> None:
    made = plan(a=card.count("1h"), b=card.count("60m") + 1, c=payments.by("card").count("1h"))
    assert len(made.aggregates) == len(made.groups) == 1


def test_what_is_held_for_each_function() -> None:
    tries, lat = payments.tries, payments.lat
    made = plan(
        deviation=card.std(tries, "1d"),
        mean=card.mean(lat, "1d"),
        where=card.seconds_since_last("1d", where=tries > 2),
    )
    assert made.groups[0].held == (
        Held(Hold.COUNT, 0),
        Held(Hold.SUM, 0),
        Held(Hold.SQUARES, 0),
        Held(Hold.COUNT, 1, floating=True),
        Held(Hold.VALUE, 1, floating=True),
        Held(Hold.COUNT, where=3),
    )


def test_options_of_windows() -> None:
    made = plan(
        before=card.count("1h", include_current=False),
        delayed=card.count("1h", delay="7d"),
        bucketed=card.count("30d", every="1d"),
        previous=card.previous(payments.tries, "1d"),
    )
    assert [a.include_current for a in made.aggregates] == [False, False, True, False]
    assert made.aggregates[1].delay_ns == 7 * DAY
    assert [group.every_ns for group in made.groups] == [0, DAY]
    assert horizon_ns(made, 0) == 7 * DAY + 60 * MINUTE + 10 * MINUTE


def test_another_stream_is_asked_by_a_field_of_the_decided_one() -> None:
    made = plan(n=chargebacks.by("shop", asked_by="merchant").count("90d"))
    assert [s.name for s in made.streams] == ["payment", "chargeback"]
    assert made.groups[0].key == ("shop",)
    assert made.groups[0].asked_by == ("merchant",)
    assert made.stream("chargeback").dedupe_ns == 7 * DAY
    assert made.stream("chargeback").arrives_after_ns == 120 * MINUTE


def test_streams_and_tables_that_no_feature_reads_come_last() -> None:
    made = compile_plan(
        on=payments, features=features(t=payments.tries), streams=[chargebacks], tables=[rates]
    )
    assert [s.name for s in made.streams] == ["payment", "chargeback"]
    assert [t.name for t in made.tables] == ["rate"]


def test_texts_are_codes_of_the_plan() -> None:
    made = plan(
        web=payments.channel == "web",
        some=payments.channel.is_in(["post", "web"]),
        named=hr.when(payments.tries > 1).then("post").otherwise(payments.channel),
    )
    assert made.texts == ("web", "post")
    assert made.sets == ((0, 1),)
    assert made.features[2].kind is Kind.TEXT


def test_a_table_is_looked_up_as_of_a_time() -> None:
    row = merchants.as_of(payments.at, merchant=payments.merchant)
    made = plan(risk=row.risk, worst=card.max(row.risk, "7d"))
    assert made.lookups[0].field == "risk"
    assert made.tables[made.lookups[0].table].valid_from == "valid_from"
    assert made.streams[0].program.instructions == (Instruction(Op.LOOK_UP, 2, (0, 1), 0),)
    assert made.program.loads[0] == "row:2"


def test_literals_beside_money_are_major_units_and_exact() -> None:
    def threshold(condition: hr.Expression) -> tuple[Op, int]:
        made = plan(c=condition).program.instructions
        constant = next(step for step in made if step.op is Op.CONST)
        return made[-1].op, constant.immediate

    assert threshold(eur < 5) == (Op.LT_I, 500)
    assert threshold(eur < 4.995) == (Op.LT_I, 500)
    assert threshold(eur <= "4.995") == (Op.LE_I, 499)
    assert threshold(eur > 4.995) == (Op.LT_I, 499)
    assert threshold(eur >= 4.995) == (Op.LE_I, 500)
    assert threshold(eur == 0.1) == (Op.EQ_I, 10)
    assert threshold(eur == 0.001) == (Op.EQ_I, 2**63 - 1)


def test_money_split_by_currency_comes_out_in_major_units() -> None:
    split = payments.by("card", "currency")
    made = plan(
        spend=split.sum(payments.amount, "1d"),
        ratio=payments.amount / split.mean(payments.amount, "1d"),
    )
    last = made.program.instructions[made.features[0].register - len(made.program.loads)]
    assert last.op is Op.DIV_F
    assert any(pack_letters("JPY") in numbers for numbers in made.sets)
    assert made.features[1].kind is Kind.FLOAT


def test_decimals_that_may_not_fit_are_added_as_floats() -> None:
    rate = rates.as_of(payments.at, base=payments.currency, quote="EUR").rate
    made = plan(exact=payments.tries + rate * 1, sum=payments.tries + rate)
    operations = [step.op for step in made.program.instructions]
    assert Op.SCALE_UP_I not in operations
    assert Op.ADD_I not in operations


def test_a_feature_stands_for_its_definition() -> None:
    base = features(burst=card.count("5m"))
    made = compile_plan(on=payments, features=features(base, high=base.burst > 8))
    assert len(made.aggregates) == 1
    assert [feature.name for feature in made.features] == ["burst", "high"]
    assert list(base) == ["burst"]
    assert "burst" in base
    assert len(base) == 1


def test_a_deep_expression_compiles_without_recursion() -> None:
    total = payments.lat
    for _ in range(3_000):
        total = total + payments.lat
    assert plan(total=total).program.registers == 3_001


def test_lines_do_not_matter_for_the_digest() -> None:
    first = plan(a=card.count("5m"), b=eur)

    second = plan(a=card.count("5m"), b=eur)
    assert first.digest() == second.digest()
    assert plan(b=eur, a=card.count("5m")).digest() != first.digest()
    assert first.digest() == GOLDEN


GOLDEN = "f96986a46b11b84e47a7e254f172f0668e5e2c907021471958ff88b78ae29d54"


def test_texts_for_reasons() -> None:
    tries = payments.tries
    made = plan(
        a=card.count("1h", where=(tries > 2) & (payments.channel == "{web}")),
        b=tries.described("{value} tries"),
        c=tries.described("many tries"),
        d=card.distinct(payments.merchant, "7d"),
        e=hr.coalesce(card.previous(tries, "1d"), 0),
        f=hr.when(tries > 1).then(1).otherwise(0),
        g=hr.seconds_between(payments.at, payments.at),
    )
    texts = [feature.text for feature in made.features]
    assert texts[:3] == [
        (
            "the card's payments in the last 1 hour, "
            "where (2 < tries) and (channel = '{{web}}'): {value}"
        ),
        "{value} tries",
        "many tries: {value}",
    ]
    assert all(text.format(value=1) for text in texts)
    assert "feature" in feature_table(made)


def test_the_worst_case_counts_every_group() -> None:
    made = plan(a=card.count("1h"), b=card.sum(eur, "30d", every="1d"))
    sizes = group_sizes(made, {"payment by card": 10, "payment by card every 1d": 20}, 1_000_000)
    assert [size.entries for size in sizes] == [2**20, 32]
    assert [size.entry_bytes for size in sizes] == [16, 24]
    assert worst_case_bytes(made, 10, 100) < worst_case_bytes(made, 11, 100)
    assert "payment by card" in str(sizes[0])
    assert [size.entries for size in group_sizes(made, 1, 1)] == [4, 4]


def test_labels_refer_to_their_stream() -> None:
    label = chargebacks.of(payments).within("60d")
    assert (label.stream.name, label.of.name, label.reference) == (
        "chargeback",
        "payment",
        "payment_id",
    )
    assert label.within_ns == 60 * DAY
    assert label.event_time == "at"
