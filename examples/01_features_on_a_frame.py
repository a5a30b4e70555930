"""Features of a frame: the same values that a run would compute, in a notebook or a pipeline.

Run it with `python examples/01_features_on_a_frame.py`.
"""

import polars as pl

import headrace as hr


class Payment(hr.Event):
    """One card payment."""

    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key
    amount: hr.Money("EUR")


payments = hr.stream(Payment, name="payments")
card = payments.by("card")

case = hr.UseCase(
    on=payments,
    features=hr.features(
        amount=payments.amount,
        card_count_5m=card.count("5m"),
        card_mean_30d=card.mean(payments.amount, "30d"),
        over_usual=payments.amount / card.mean(payments.amount, "30d", include_current=False),
        seconds_since_last=card.seconds_since_last("30d"),
    ),
)

frame = pl.DataFrame(
    {
        "payment_id": ["p1", "p2", "p3", "p4", "p4"],
        "at": [
            "2026-03-01T12:00:00Z",
            "2026-03-01T12:02:00Z",
            "2026-03-01T12:03:00Z",
            "2026-03-08T09:00:00Z",
            "2026-03-08T09:00:00Z",
        ],
        "card": ["A", "A", "B", "A", "A"],
        "amount": ["10.00", "30.00", "5.00", "100.00", "100.00"],
    }
)

# an Arrow table with a row for each row of the frame; the last one came twice and is not counted
computed = pl.from_arrow(hr.compute(case, frame))
print(computed)
