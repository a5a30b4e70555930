"""Train on simulated payments, then decide on them: the whole way, on frames.

Run it with `python examples/02_train_and_decide.py`.
"""

import pyarrow.compute as pc

import headrace as hr
from headrace_solutions.card_fraud.simulator import SimulationSettings, simulate


class Payment(hr.Event):
    """One card payment."""

    payment_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    card: hr.Key
    merchant: hr.Key
    amount: hr.Money
    currency: hr.Currency


class Chargeback(hr.Event):
    """A payment that its card holder took back."""

    chargeback_id: hr.Id
    at: hr.EventTime
    payment_id: hr.Ref[Payment]
    merchant: hr.Key


class Rate(hr.Row):
    """How much of `quote` one `base` is worth."""

    base: hr.Currency
    quote: hr.Currency
    rate: hr.Decimal(8)
    valid_from: hr.EventTime


payments = hr.stream(Payment, name="payments", lateness="10m")
chargebacks = hr.stream(Chargeback, name="chargebacks")
rates = hr.table(Rate, key=("base", "quote"), name="rates")
eur = payments.amount.in_currency("EUR", rates)
card, merchant = payments.by("card"), payments.by("merchant")

features = hr.features(
    amount=eur,
    hour=payments.at.hour("Europe/Berlin"),
    card_count_1h=card.count("1h"),
    card_count_24h=card.count("24h"),
    card_spend_24h=card.sum(eur, "24h"),
    over_usual=eur / card.mean(eur, "30d"),
    seconds_since_last=card.seconds_since_last("30d"),
    merchant_chargebacks_30d=chargebacks.by("merchant").count("30d"),
)

case = hr.UseCase(
    on=payments,
    features=features,
    label=chargebacks.of(payments).within("14d"),
    model=hr.XGBoost(max_depth=4, trees=100),
    policy=hr.Policy(
        hr.block("score_very_high", hr.score >= 0.5),
        hr.review("score_high", hr.score >= 0.1),
        hr.review("burst", features.card_count_1h > 8),
        otherwise=hr.approve(),
    ),
)

simulation = simulate(SimulationSettings(events=30_000, cards=2_000, merchants=300, days=60))
frames = {
    "payments": simulation.payments,
    "chargebacks": simulation.chargebacks,
    "rates": simulation.rates,
}

trained = hr.train(case, frames)
for name, value in trained.artefact.manifest.metrics.items():
    print(f"{name:20} {value:.4g}")

decisions = hr.decide(case, frames, model=trained.artefact)
print(decisions["outcome"].value_counts())

blocked = decisions.filter(pc.equal(decisions["outcome"], "block"))
for reason in blocked["reasons"][0].as_py():
    print(reason)
