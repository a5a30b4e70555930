"""The use case of the speed benchmark: card payments, twenty features, trees, three outcomes.

It is run as a user's file is, `headrace run benchmarks/payments.py --source -`. What differs from
run to run stands in a JSON file that `HEADRACE_BENCHMARK` names: `model` (a file of XGBoost),
`review` and `block` (scores), `explain_all`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import headrace as hr


class Payment(hr.Event):
    """One card payment, in euro."""

    payment_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    card: hr.Key = hr.field(pii=True, subject=True)
    merchant: hr.Key
    amount: hr.Money("EUR")  # type: ignore[valid-type]  # a type with a parameter
    currency: hr.Currency
    country: hr.Country


payments = hr.stream(Payment, name="payments", lateness="10m")
card, merchant = payments.by("card"), payments.by("merchant")
WINDOWS = ("5m", "1h", "24h", "7d")

features = hr.features(
    **{f"card_count_{window}": card.count(window) for window in WINDOWS},
    **{f"card_sum_{window}": card.sum(payments.amount, window) for window in WINDOWS},
    **{f"card_mean_{window}": card.mean(payments.amount, window) for window in WINDOWS},
    card_max_24h=card.max(payments.amount, "24h"),
    card_seconds_since_last=card.seconds_since_last("7d"),
    merchant_count_1h=merchant.count("1h"),
    merchant_count_24h=merchant.count("24h"),
    merchant_sum_1h=merchant.sum(payments.amount, "1h"),
    merchant_sum_24h=merchant.sum(payments.amount, "24h"),
    hour=payments.at.hour(),
    log_amount=payments.amount.log1p(),
)


def use_case(settings: dict[str, Any] | None) -> hr.UseCase:
    """The use case; without settings it has no model and no policy, as features alone need none."""
    if settings is None:
        return hr.UseCase(on=payments, features=features, name="benchmark")
    return hr.UseCase(
        on=payments,
        features=features,
        model=hr.ModelFile(settings["model"]),
        policy=hr.Policy(
            hr.block("score_very_high", hr.score >= settings["block"]),
            hr.review("score_high", hr.score >= settings["review"]),
            hr.review("burst", features.card_count_5m > 40),
            otherwise=hr.approve(),
        ),
        explain_all=settings["explain_all"],
        name=os.environ.get("HEADRACE_BENCHMARK_NAME", "benchmark"),
    )


_named = os.environ.get("HEADRACE_BENCHMARK")
case = use_case(json.loads(Path(_named).read_text()) if _named else None)
