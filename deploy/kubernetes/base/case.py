"""A use case to put yours in the place of: card payments by simple rules."""

import headrace as hr


class Payment(hr.Event):
    """A card payment."""

    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key = hr.field(pii=True, subject=True)
    amount: hr.Money("EUR")


payments = hr.stream(Payment, name="payments", lateness="10m")
features = hr.features(
    amount=payments.amount,
    card_count_5m=payments.by("card").count("5m"),
)
limits = hr.UseCase(
    name="limits",
    on=payments,
    features=features,
    policy=hr.Policy(
        hr.block("burst", features.card_count_5m > 8),
        hr.review("large", features.amount > 1000),
        otherwise=hr.approve(),
    ),
)
