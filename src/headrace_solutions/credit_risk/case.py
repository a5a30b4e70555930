"""The use case: what an application is, what is known of the applicant, and what is done about it.

A team copies this file, takes away what it does not have, and adds what it knows. The score is a
probability of default within 180 days, by boosting that keeps to declared directions, calibrated.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import headrace as hr


class Application(hr.Event):
    """Somebody asks for an instalment loan; amounts in US dollars, income a month."""

    application_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    applicant: hr.Key = hr.field(pii=True, subject=True)
    product: hr.Category
    amount: hr.Money = hr.field(currency="USD", minimum=0)
    months: hr.Int = hr.field(minimum=1, maximum=120)
    income: hr.Money | None = hr.field(currency="USD", minimum=0)
    employed_months: hr.Int | None = hr.field(minimum=0)
    sex: hr.Category = hr.field(protected=True)
    age: hr.Int = hr.field(protected=True)


class BureauUpdate(hr.Event):
    """What a credit bureau reports of a person, when it was asked or when it changed."""

    update_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    applicant: hr.Key = hr.field(pii=True, subject=True)
    utilisation: hr.Float = hr.field(minimum=0)
    late_24m: hr.Int = hr.field(minimum=0)
    open_lines: hr.Int = hr.field(minimum=0)
    inquiries_6m: hr.Int = hr.field(minimum=0)
    oldest_months: hr.Int = hr.field(minimum=0)


class Balance(hr.Event):
    """A month's end of an account that the person has with us."""

    balance_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    applicant: hr.Key = hr.field(pii=True, subject=True)
    balance: hr.Money = hr.field(currency="USD")
    credit_limit: hr.Money = hr.field(currency="USD", minimum="0.01")


class Repayment(hr.Event):
    """A monthly payment on that account."""

    repayment_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    applicant: hr.Key = hr.field(pii=True, subject=True)
    due: hr.Money = hr.field(currency="USD", minimum=0)
    paid: hr.Money = hr.field(currency="USD", minimum=0)
    days_late: hr.Int = hr.field(minimum=0)


class Default(hr.Event):
    """A loan is 90 days behind."""

    default_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    application_id: hr.Ref[Application]


class Review(hr.Event):
    """A person looked at a decision, or the applicant contests it; `outcome` is what it came to.

    No feature reads it: that somebody contests a decision must not be held against them.
    """

    review_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    application_id: hr.Ref[Application]
    kind: hr.Category
    officer: hr.Text | None
    outcome: hr.Category | None
    words: hr.Text | None


applications = hr.stream(Application, name="applications", lateness="1d")
bureau = hr.stream(BureauUpdate, name="bureau", lateness="1d", dedupe="30d")
balances = hr.stream(Balance, name="balances", lateness="1d", dedupe="30d")
repayments = hr.stream(Repayment, name="repayments", lateness="1d", dedupe="30d")
defaults = hr.stream(Default, name="defaults", lateness="1d", dedupe="30d")
reviews = hr.stream(Review, name="reviews", lateness="1d", dedupe="30d")

_reported, _held = bureau.by("applicant"), balances.by("applicant")
_repaid = repayments.by("applicant")
_instalment = applications.amount / applications.months
_drawn = balances.balance / balances.credit_limit
_paid_late = repayments.days_late >= 5

features = hr.features(
    amount=applications.amount.described("the amount asked for is {value:,.0f} USD"),
    months=applications.months.described("the loan runs for {value} months"),
    income=applications.income.described("the income is {value:,.0f} USD a month"),
    instalment_share=(_instalment / applications.income).described(
        "the instalment would take {value:.0%} of the income"
    ),
    employed_months=applications.employed_months.described("employed for {value} months"),
    product=applications.product.described("the loan is of the kind {value}"),
    utilisation=_reported.last(bureau.utilisation, "400d").described(
        "revolving utilisation is {value:.0%}"
    ),
    late_24m=_reported.last(bureau.late_24m, "400d").described(
        "{value} payments elsewhere were late within two years"
    ),
    open_lines=_reported.last(bureau.open_lines, "400d").described("{value} credit lines are open"),
    inquiries_6m=_reported.last(bureau.inquiries_6m, "400d").described(
        "credit was asked for {value} times within six months"
    ),
    oldest_months=_reported.last(bureau.oldest_months, "400d").described(
        "the oldest line of credit is {value} months old"
    ),
    drawn_90d=_held.mean(_drawn, "90d").described("{value:.0%} of our credit line was drawn"),
    late_365d=_repaid.count("365d", where=_paid_late).described(
        "{value} payments to us were late within a year"
    ),
    worst_late_365d=_repaid.max(repayments.days_late, "365d").described(
        "a payment to us was {value} days late within a year"
    ),
    repayments_365d=_repaid.count("365d").described("{value} payments to us within a year"),
    asked_30d=applications.by("applicant")
    .count("30d", include_current=False)
    .described("we were asked for credit {value} times before within 30 days"),
)

#: The score may only rise as these grow (1), or only fall (-1).
MONOTONE = {
    "income": -1,
    "instalment_share": 1,
    "employed_months": -1,
    "utilisation": 1,
    "late_24m": 1,
    "inquiries_6m": 1,
    "oldest_months": -1,
    "drawn_90d": 1,
    "late_365d": 1,
    "worst_late_365d": 1,
    "asked_30d": 1,
}

#: Loss given default that is assumed, by product: a share of what is owed then.
LOSS_GIVEN_DEFAULT = {"personal": 0.72, "car": 0.42, "home_improvement": 0.60}
#: What is assumed to be owed at default, as a share of the amount.
EXPOSURE = 0.93


def expects_to_lose(share: float) -> Any:
    """Whether expected loss is at or over a share of the amount.

    Expected loss is the probability of default times loss given default times exposure: for a
    product, at or over that share from one probability on.
    """
    conditions = [
        (applications.product == product) & (hr.score >= round(share / (loss * EXPOSURE), 4))
        for product, loss in LOSS_GIVEN_DEFAULT.items()
    ]
    return functools.reduce(operator.or_, conditions)


_prime = hr.approve()
_standard = hr.outcome("approve_standard", severity=10)
_high = hr.outcome("approve_high", severity=20)

credit_risk = hr.UseCase(
    name="credit-risk",
    on=applications,
    features=features,
    beside=(reviews,),
    label=defaults.of(applications).within("180d"),
    model=hr.XGBoost(
        trees=250,
        max_depth=3,
        learning_rate=0.05,
        min_child_weight=10,
        subsample=0.8,
        colsample=0.6,
        early_stopping=None,
        monotone=MONOTONE,
        calibration="beta",
        seed=7,
    ),
    policy=hr.Policy(
        hr.block("risk_too_high", hr.score >= 0.16),
        hr.block("instalment_too_high", features.instalment_share > 0.6),
        hr.review("risk_unclear", hr.score >= 0.10),
        hr.review("large_and_unsure", (features.amount > 20_000) & (hr.score >= 0.05)),
        hr.review("income_not_known", features.income.is_missing()),
        # the rest is approved, at a price that pays for what is expected to be lost
        _high("price_high", expects_to_lose(0.04)),
        _standard("price_standard", expects_to_lose(0.015)),
        otherwise=_prime,
    ),
    reasons=4,
    adverse_action=hr.AdverseAction(
        creditor="Example Bank, 1 Main Street, Springfield",
        agency="Consumer Financial Protection Bureau, 1700 G Street NW, Washington, DC 20552",
        bureau="Example Bureau, 2 Main Street, Springfield",
        outcomes={"block": "Your application for credit was declined."},
        granted={
            "approve": "approved at our best price",
            "approve_standard": "approved at our standard price",
            "approve_high": "approved at a higher price",
        },
        requirements={"instalment_too_high": "an instalment of at most 60% of the income"},
        scale=hr.ScoreScale(),
        changes=(
            hr.Change(
                "utilisation", -1, step=0.01, limit=0.0, text="utilisation of at most {value:.0%}"
            ),
            hr.Change(
                "instalment_share",
                -1,
                step=0.01,
                limit=0.02,
                text="an instalment of at most {value:.0%} of the income",
            ),
            hr.Change(
                "inquiries_6m", -1, step=1, limit=0, text="at most {value:.0f} credit inquiries"
            ),
        ),
    ),
)
