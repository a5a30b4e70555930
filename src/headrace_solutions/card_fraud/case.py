"""The use case: what a payment is, what is looked at, and what is done about it.

A team copies this file, takes away what it does not have, and adds what it knows.
"""

from __future__ import annotations

import headrace as hr


class Payment(hr.Event):
    """A card payment that asks to be authorised."""

    payment_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    card: hr.Key = hr.field(pii=True, subject=True)
    merchant: hr.Key
    amount: hr.Money = hr.field(minimum=0)
    currency: hr.Currency
    country: hr.Country
    mcc: hr.Category
    channel: hr.Category
    lat: hr.Float | None = hr.field(minimum=-90, maximum=90)
    lon: hr.Float | None = hr.field(minimum=-180, maximum=180)
    device: hr.Key | None


class Chargeback(hr.Event):
    """A cardholder has said that a payment was not theirs."""

    chargeback_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    payment_id: hr.Ref[Payment]
    merchant: hr.Key


class Rate(hr.Row):
    """From when on one `base` is worth how much of `quote`."""

    base: hr.Currency
    quote: hr.Currency
    rate: hr.Decimal = hr.field(scale=8)
    valid_from: hr.EventTime


payments = hr.stream(Payment, name="payments", lateness="10m")
chargebacks = hr.stream(Chargeback, name="chargebacks", dedupe="7d")
rates = hr.table(Rate, key=("base", "quote"), name="rates")

eur = payments.amount.in_currency("EUR", rates)
card, merchant = payments.by("card"), payments.by("merchant")
card_and_device = payments.by("card", "device")

in_shop = ~payments.lat.is_missing()
hour = payments.at.hour("Europe/Berlin")
usual_amount = card.mean(eur, "30d", include_current=False)
previous_country = card.previous(payments.country, "30d")
kilometres = hr.great_circle(
    card.previous(payments.lat, "7d", where=in_shop),
    card.previous(payments.lon, "7d", where=in_shop),
    payments.lat,
    payments.lon,
)
hours_on_the_way = card.seconds_since_last("7d", where=in_shop) / 3600 + 0.05

features = hr.features(
    amount=eur.described("the amount is {value:,.2f} EUR"),
    amount_over_usual=(eur / usual_amount).described(
        "the amount is {value:.1f} times the card's mean of 30 days"
    ),
    usual_amount=usual_amount.described("the card's mean amount of 30 days is {value:,.2f} EUR"),
    card_count_10m=card.count("10m").described("{value} payments of the card within 10 minutes"),
    card_count_1h=card.count("1h").described("{value} payments of the card within an hour"),
    card_count_24h=card.count("24h").described("{value} payments of the card within a day"),
    card_count_30d=card.count("30d").described("{value} payments of the card within 30 days"),
    card_spend_1h=card.sum(eur, "1h").described("the card spent {value:,.2f} EUR within an hour"),
    card_spend_24h=card.sum(eur, "24h").described("the card spent {value:,.2f} EUR within a day"),
    card_largest_24h=card.max(eur, "24h").described(
        "the card's largest payment of a day is {value:,.2f} EUR"
    ),
    card_small_1h=card.count("1h", where=eur < hr.money("5.00", "EUR")).described(
        "{value} payments below 5 EUR within an hour"
    ),
    card_merchants_24h=card.distinct(payments.merchant, "24h").described(
        "{value} merchants within a day"
    ),
    card_countries_7d=card.distinct(payments.country, "7d").described(
        "{value} countries within a week"
    ),
    seconds_since_last=card.seconds_since_last("30d").described(
        "{value:,.0f} seconds since the card's previous payment"
    ),
    device_payments_90d=card_and_device.count("90d", include_current=False).described(
        "{value} earlier payments of the card from this device"
    ),
    country_changed=(payments.country != previous_country).described(
        "another country than before ({value})"
    ),
    kilometres=kilometres.described("{value:,.0f} km from the card's previous place"),
    speed=(kilometres / hours_on_the_way).described(
        "{value:,.0f} km/h from the card's previous place"
    ),
    merchant_count_1h=merchant.count("1h").described(
        "{value} payments at the merchant within an hour"
    ),
    merchant_mean_7d=merchant.mean(eur, "7d").described(
        "the merchant's mean amount of a week is {value:,.2f} EUR"
    ),
    merchant_chargebacks_30d=chargebacks.by("merchant")
    .count("30d")
    .described("{value} chargebacks at the merchant within 30 days"),
    hour=hour.described("at {value} o'clock"),
    night=(hour < 6).described("at night ({value})"),
    mcc=payments.mcc.described("the merchant's category is {value}"),
    channel=payments.channel.described("the channel is {value}"),
    country=payments.country.described("the merchant's country is {value}"),
)

card_fraud = hr.UseCase(
    name="card-fraud",
    on=payments,
    features=features,
    label=chargebacks.of(payments).within("30d"),
    model=hr.XGBoost(
        trees=200,
        max_depth=4,
        learning_rate=0.08,
        min_child_weight=2.0,
        subsample=0.8,
        colsample=0.8,
        # frauds are few: a validation part holds too few of them to stop by
        early_stopping=None,
        seed=7,
    ),
    policy=hr.Policy(
        hr.block("score_very_high", hr.score >= 0.80),
        hr.block("impossible_travel", (features.speed > 1_500) & (features.kilometres > 1_000)),
        hr.review("score_high", hr.score >= 0.15),
        hr.review("card_testing", (features.card_small_1h >= 6) & (payments.channel == "online")),
        hr.review("burst", features.card_count_10m > 12),
        otherwise=hr.approve(),
    ),
)
