"""A small use case for the service's tests: rules alone, two streams, personal data."""

import headrace as hr


class Payment(hr.Event):
    """A card payment."""

    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key = hr.field(pii=True, subject=True)
    amount: hr.Money("EUR")  # type: ignore[valid-type]  # a type with a parameter
    country: hr.Country


class Chargeback(hr.Event):
    """A payment that was disputed."""

    chargeback_id: hr.Id
    at: hr.EventTime
    card: hr.Key = hr.field(pii=True, subject=True)


payments = hr.stream(Payment, name="payments", lateness="1d")
chargebacks = hr.stream(Chargeback, name="chargebacks", lateness="1d")

features = hr.features(
    count=payments.by("card").count("1h"),
    spent=payments.by("card").sum(payments.amount, "24h"),
    disputed=chargebacks.by("card").count("90d"),
)

case = hr.UseCase(
    on=payments,
    features=features,
    policy=hr.Policy(
        hr.block("disputed", features.disputed > 0),
        hr.review("burst", features.count > 3),
        otherwise=hr.approve(),
    ),
    name="served",
)
