"""A use case of payments, rich enough to touch every part, and histories of it with every fault."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import headrace as hr
from headrace_solutions.card_fraud.lines import write, write_table
from headrace_solutions.card_fraud.simulator import SimulationSettings, simulate

if TYPE_CHECKING:
    import pyarrow as pa

MODELS = Path(__file__).parent.parent / "golden" / "models"


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    card: hr.Key = hr.field(pii=True, subject=True)
    merchant: hr.Key
    amount: hr.Money
    currency: hr.Currency
    country: hr.Country
    mcc: hr.Category
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


payments = hr.stream(Payment, name="payments", lateness="10m")
chargebacks = hr.stream(Chargeback, name="chargebacks", arrives_after="1d")
rates = hr.table(Rate, key=("base", "quote"), name="rates")

eur = payments.amount.in_currency("EUR", rates)
card, merchant = payments.by("card"), payments.by("merchant")

features = hr.features(
    amount=eur,
    hour=payments.at.hour("Europe/Berlin"),
    mcc=payments.mcc,
    country=payments.country,
    card_count_5m=card.count("5m"),
    card_sum_24h=card.sum(eur, "24h"),
    card_mean_30d=card.mean(eur, "30d"),
    card_std_7d=card.std(eur, "7d"),
    card_max_24h=card.max(eur, "24h"),
    card_small_1h=card.count("1h", where=eur < 5),
    card_count_before=card.count("7d", include_current=False),
    card_merchants_1d=card.distinct(payments.merchant, "1d"),
    card_by_day=card.sum(eur, "30d", every="1d"),
    previous_mcc=card.previous(payments.mcc, within="30d"),
    since_last=card.seconds_since_last(within="90d"),
    over_usual=eur / card.mean(eur, "30d"),
    moved=hr.great_circle(
        card.previous(payments.lat, within="7d"),
        card.previous(payments.lon, within="7d"),
        payments.lat,
        payments.lon,
    ),
    merchant_sum_1h=merchant.sum(eur, "1h"),
    merchant_chargebacks=chargebacks.by("merchant").count("90d"),
)

card_fraud = hr.UseCase(
    name="parity",
    on=payments,
    features=features,
    label=chargebacks.of(payments).within("20d"),
    model=hr.XGBoost(
        max_depth=4,
        trees=40,
        early_stopping=None,
        monotone={"merchant_chargebacks": 1},
        calibration="isotonic",
    ),
    policy=hr.Policy(
        hr.block("score_high", hr.score >= 0.6),
        hr.review("score_middle", hr.score >= 0.1),
        hr.review("burst", features.card_count_5m > 4),
        otherwise=hr.approve(),
    ),
    explain_all=True,
)


#: The same with a model in ONNX that reads the last vectors of the card beside features.
card_sequence = hr.UseCase(
    name="parity-sequence",
    on=payments,
    features=features,
    sequence=hr.sequence(
        features,
        key="card",
        length=6,
        within="30d",
        only=("amount", "since_last", "card_count_5m", "over_usual"),
    ),
    model=hr.Onnx(
        MODELS / "sequence.onnx",
        classes=("fraud", "genuine"),
        flat="flat",
        sequence="sequence",
        mask="mask",
        features=("amount", "card_sum_24h", "card_std_7d", "merchant_sum_1h", "hour"),
    ),
    policy=hr.Policy(
        hr.block("score_high", hr.score >= 0.95),
        hr.review("score_middle", hr.score_of("genuine") <= 0.25),
        hr.review("burst", features.card_count_5m > 4),
        otherwise=hr.approve(),
    ),
)

CASES = (card_fraud, card_sequence)


@dataclass(frozen=True)
class History:
    """Files of one simulation, and its tables."""

    payments: Path
    chargebacks: Path
    rates: Path
    frames: dict[str, pa.Table]

    @property
    def sources(self) -> list[str]:
        return [
            str(self.payments),
            f"chargebacks={self.chargebacks}",
            f"rates={self.rates}",
        ]


def history(folder: Path, *, events: int = 6_000, seed: int = 5, invalid: float = 0.01) -> History:
    """A history with late, repeated and unreadable payments, in several currencies.

    Unreadable lines stand in the file of payments alone: frames hold what they would have been.
    """
    simulation = simulate(
        SimulationSettings(
            events=events,
            cards=300,
            merchants=60,
            days=90,
            seed=seed,
            fraud=0.03,
            late=0.03,
            duplicates=0.01,
            invalid=invalid,
        )
    )
    files = [folder / name for name in ("payments.jsonl", "chargebacks.parquet", "rates.csv")]
    write(simulation, files[0])
    write_table(simulation.chargebacks, files[1])
    write_table(simulation.rates, files[2])
    frames = {
        "payments": simulation.payments,
        "chargebacks": simulation.chargebacks,
        "rates": simulation.rates,
    }
    return History(files[0], files[1], files[2], frames)
