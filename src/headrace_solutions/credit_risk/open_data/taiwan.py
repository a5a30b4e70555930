"""Default of credit card clients in Taiwan (Yeh and Lien, Expert Systems with Applications, 2009).

30,000 clients in September 2005, with six months of bills, payments and delays; whether they
defaulted in October. Sex, education, marriage and age are in it: sex, marriage and age are
protected, and no feature reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import headrace as hr
from headrace_solutions.credit_risk.open_data import declared

if TYPE_CHECKING:
    from pathlib import Path

#: Below the folder of data.
FILE = "credit_taiwan/UCI_Credit_Card.parquet"
MONTHS = (1, 2, 3, 4, 5, 6)


class Application(hr.Event):
    """A client's account at the end of September; month 1 is September, month 6 is April.

    `delay` is months of payment delay: -2 no use, -1 paid in full, 0 the least paid, 1 and more
    months behind. Amounts are in whole New Taiwan dollars.
    """

    application_id: hr.Id
    at: hr.EventTime
    credit_limit: hr.Float
    sex: hr.Category = hr.field(protected=True)
    education: hr.Int
    marriage: hr.Category = hr.field(protected=True)
    age: hr.Int = hr.field(protected=True)
    delay_1: hr.Int
    delay_2: hr.Int
    delay_3: hr.Int
    delay_4: hr.Int
    delay_5: hr.Int
    delay_6: hr.Int
    bill_1: hr.Float
    bill_2: hr.Float
    bill_3: hr.Float
    bill_4: hr.Float
    bill_5: hr.Float
    bill_6: hr.Float
    paid_1: hr.Float
    paid_2: hr.Float
    paid_3: hr.Float
    paid_4: hr.Float
    paid_5: hr.Float
    paid_6: hr.Float


class Default(hr.Event):
    """A client did not pay in October."""

    default_id: hr.Id
    at: hr.EventTime
    application_id: hr.Ref[Application]


applications = hr.stream(Application, name="applications")
defaults = hr.stream(Default, name="defaults")


def _months(name: str) -> list[Any]:
    return [getattr(applications, f"{name}_{month}") for month in MONTHS]


_limit = applications.credit_limit
_delays = [hr.maximum(delay, 0) for delay in _months("delay")]
_used = [bill / _limit for bill in _months("bill")]
_paid = _months("paid")
# what was paid in a month is set against the bill of the month before
_covered = [
    hr.when(bill > 0).then((paid / bill).clip(0, 2)).otherwise(None)
    for paid, bill in zip(_paid[:-1], _months("bill")[1:], strict=True)
]


def _sum(values: list[Any]) -> Any:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


features = hr.features(
    credit_limit=_limit.described("the credit limit is {value:,.0f}"),
    delay_1=_delays[0].described("months that the account is behind: {value:.0f}"),
    delay_2=_delays[1].described("months that the account was behind a month ago: {value:.0f}"),
    delay_3=_delays[2].described("months that the account was behind two months ago: {value:.0f}"),
    delay_4=_delays[3].described(
        "months that the account was behind three months ago: {value:.0f}"
    ),
    delay_5=_delays[4].described("months that the account was behind four months ago: {value:.0f}"),
    delay_6=_delays[5].described("months that the account was behind five months ago: {value:.0f}"),
    worst_delay=hr.maximum(*_delays).described(
        "the longest delay of half a year, in months: {value:.0f}"
    ),
    months_behind=_sum([hr.when(d > 0).then(1).otherwise(0) for d in _delays]).described(
        "the account was behind in {value} of six months"
    ),
    utilisation=_used[0].described("{value:.0%} of the credit limit is used"),
    mean_utilisation=(_sum(_used) / 6).described(
        "{value:.0%} of the limit was used in half a year"
    ),
    utilisation_rise=(_used[0] - _used[5]).described(
        "the share of the limit in use rose by {value:.0%} in five months"
    ),
    paid_1=_paid[0].described("{value:,.0f} was paid last month"),
    paid_2=_paid[1].described("{value:,.0f} was paid two months ago"),
    paid_3=_paid[2].described("{value:,.0f} was paid three months ago"),
    paid_total=_sum(_paid).described("{value:,.0f} was paid in half a year"),
    covered_1=_covered[0].described("the last payment covered {value:.0%} of the bill"),
    covered_2=_covered[1].described("the payment before covered {value:.0%} of its bill"),
    covered_3=_covered[2].described("the third last payment covered {value:.0%} of its bill"),
    bill_1=applications.bill_1.described("the last bill is {value:,.0f}"),
    unused=(applications.delay_1 <= -2).described("the card was not used last month: {value}"),
    paid_in_full=_sum([hr.when(d == -1).then(1).otherwise(0) for d in _months("delay")]).described(
        "{value} of six bills were paid in full"
    ),
    education=applications.education.described(
        "the level of education is {value} (1 graduate school, 2 university, 3 high school)"
    ),
)

#: The score may only rise as these grow (1), or only fall (-1).
MONOTONE = {
    **{f"delay_{month}": 1 for month in MONTHS},
    "worst_delay": 1,
    "months_behind": 1,
    "credit_limit": -1,
    "mean_utilisation": 1,
    "paid_1": -1,
    "paid_2": -1,
    "paid_3": -1,
    "paid_total": -1,
    "covered_1": -1,
    "covered_2": -1,
    "covered_3": -1,
}

case = hr.UseCase(
    name="credit-taiwan",
    on=applications,
    features=features,
    label=defaults.of(applications).within("1m"),
    model=hr.XGBoost(
        trees=450,
        max_depth=4,
        learning_rate=0.03,
        min_child_weight=10,
        subsample=0.7,
        colsample=0.5,
        early_stopping=None,
        monotone=MONOTONE,
        calibration="beta",
        seed=7,
    ),
    policy=hr.Policy(
        hr.block("risk_too_high", hr.score >= 0.45),
        hr.review("risk_unclear", hr.score >= 0.25),
        otherwise=hr.approve(),
    ),
    reasons=4,
    # features share bills, payments and delays, so none can be changed alone
    adverse_action=declared.adverse_action(),
)


def history(folder: Path) -> dict[str, pa.Table]:
    """The frames of both streams.

    Args:
        folder: Of data, with `FILE` below it.
    """
    table = pq.read_table(folder / FILE)
    delays = ["PAY_0", *(f"PAY_{month}" for month in MONTHS[1:])]
    columns = {
        "credit_limit": table["LIMIT_BAL"],
        "sex": _words(table["SEX"], {1: "male", 2: "female"}),
        "education": table["EDUCATION"],
        "marriage": _words(table["MARRIAGE"], {1: "married", 2: "single"}),
        "age": table["AGE"],
        **{f"delay_{m}": table[name] for m, name in zip(MONTHS, delays, strict=True)},
        **{f"bill_{m}": table[f"BILL_AMT{m}"] for m in MONTHS},
        **{f"paid_{m}": table[f"PAY_AMT{m}"] for m in MONTHS},
    }
    bad = table["default.payment.next.month"].to_numpy() == 1
    return {"applications": declared.applications(columns), "defaults": declared.defaults(bad)}


def _words(column: pa.ChunkedArray, words: dict[int, str]) -> pa.Array:
    return pa.array([words.get(code, "other") for code in np.asarray(column).tolist()])
