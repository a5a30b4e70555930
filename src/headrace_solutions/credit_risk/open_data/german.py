"""Statlog's German credit (Hofmann, 1994): 1,000 loans of 1973 to 1975, bad ones oversampled.

The original's codes (`A11` and so on) are read as words, of ordered attributes as numbers. Age,
personal status and sex, and being a foreign worker are protected, and no feature reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

import headrace as hr
from headrace_solutions.credit_risk.open_data import declared

if TYPE_CHECKING:
    from pathlib import Path

#: Below the folder of data.
FILE = "credit_german/german.parquet"

#: Ordered attributes as numbers; a code that is not here has no place in the order.
ORDERED = {
    "status_checking": {"A11": 0, "A12": 1, "A13": 2},
    "savings": {"A61": 0, "A62": 1, "A63": 2, "A64": 3},
    "employment": {"A71": 0, "A72": 1, "A73": 2, "A74": 3, "A75": 4},
}

#: What the other codes stand for, by the original's description.
WORDS = {
    "credit_history": {
        "A30": "none, or all paid back duly",
        "A31": "all with this bank paid back duly",
        "A32": "running loans paid back duly so far",
        "A33": "payments were late in the past",
        "A34": "critical, or loans elsewhere",
    },
    "purpose": {
        "A40": "a new car",
        "A41": "a used car",
        "A42": "furniture or equipment",
        "A43": "radio or television",
        "A44": "domestic appliances",
        "A45": "repairs",
        "A46": "education",
        "A48": "retraining",
        "A49": "business",
        "A410": "another",
    },
    "sex_status": {
        "A91": "male, divorced or separated",
        "A92": "female, divorced, separated or married",
        "A93": "male, single",
        "A94": "male, married or widowed",
    },
    "other_debtors": {"A101": "none", "A102": "a co-applicant", "A103": "a guarantor"},
    "property": {
        "A121": "real estate",
        "A122": "savings with a building society, or life insurance",
        "A123": "a car or other",
        "A124": "none, or not known",
    },
    "other_installments": {"A141": "at a bank", "A142": "at stores", "A143": "none"},
    "housing": {"A151": "rented", "A152": "owned", "A153": "for free"},
    "job": {
        "A171": "unemployed, or unskilled and not resident",
        "A172": "unskilled and resident",
        "A173": "skilled employee or official",
        "A174": "management, self-employed or highly qualified",
    },
    "telephone": {"A191": "none", "A192": "registered in the applicant's name"},
    "foreign_worker": {"A201": "yes", "A202": "no"},
}


class Application(hr.Event):
    """An application for a loan; the amount in Deutsche Mark."""

    application_id: hr.Id
    at: hr.EventTime
    checking: hr.Int | None
    duration: hr.Int
    credit_history: hr.Category
    purpose: hr.Category
    amount: hr.Int
    savings: hr.Int | None
    employment: hr.Int
    installment_rate: hr.Int
    sex_status: hr.Category = hr.field(protected=True)
    other_debtors: hr.Category
    residence_since: hr.Int
    property: hr.Category
    age: hr.Int = hr.field(protected=True)
    other_installments: hr.Category
    housing: hr.Category
    existing_credits: hr.Int
    job: hr.Category
    dependents: hr.Int
    telephone: hr.Category
    foreign_worker: hr.Category = hr.field(protected=True)


class Default(hr.Event):
    """A loan turned out bad."""

    default_id: hr.Id
    at: hr.EventTime
    application_id: hr.Ref[Application]


applications = hr.stream(Application, name="applications")
defaults = hr.stream(Default, name="defaults")

features = hr.features(
    checking=applications.checking.described(
        "the balance of the current account is of class {value}"
        " (0 below 0 DM, 1 below 200 DM, 2 from there on)"
    ),
    no_checking=applications.checking.is_missing().described(
        "there is no current account: {value}"
    ),
    duration=applications.duration.described("the loan runs for {value} months"),
    credit_history=applications.credit_history.described("the credit history is {value}"),
    purpose=applications.purpose.described("the purpose is {value}"),
    amount=applications.amount.described("the amount is {value:,} DM"),
    a_month=(applications.amount / applications.duration).described(
        "the loan is {value:,.0f} DM for each month that it runs"
    ),
    savings=applications.savings.described(
        "savings are of class {value} (0 below 100 DM, 1 below 500 DM, 2 below 1,000 DM, 3 above)"
    ),
    employment=applications.employment.described(
        "employment is of class {value} (0 none, 1 below a year, 2 below 4, 3 below 7, 4 above)"
    ),
    installment_rate=applications.installment_rate.described(
        "the instalment takes a share of the income of class {value} of 4"
    ),
    other_debtors=applications.other_debtors.described("other debtors: {value}"),
    residence_since=applications.residence_since.described("years at the address: {value}"),
    property=applications.property.described("property: {value}"),
    other_installments=applications.other_installments.described("other instalments: {value}"),
    housing=applications.housing.described("housing: {value}"),
    existing_credits=applications.existing_credits.described("loans at this bank: {value}"),
    job=applications.job.described("job: {value}"),
    dependents=applications.dependents.described("dependents: {value}"),
    telephone=applications.telephone.described("telephone: {value}"),
)

#: The score may only rise as these grow (1), or only fall (-1).
MONOTONE: dict[str, Any] = {
    "checking": -1,
    "duration": 1,
    "savings": -1,
    "employment": -1,
    "installment_rate": 1,
}

case = hr.UseCase(
    name="credit-german",
    on=applications,
    features=features,
    label=defaults.of(applications).within("1m"),
    model=hr.XGBoost(
        trees=300,
        max_depth=2,
        learning_rate=0.05,
        min_child_weight=3,
        subsample=0.7,
        colsample=0.3,
        early_stopping=None,
        monotone=MONOTONE,
        calibration="platt",
        seed=7,
    ),
    policy=hr.Policy(
        hr.block("risk_too_high", hr.score >= 0.5),
        # a bad loan that is granted costs five times a good one that is not
        hr.review("risk_unclear", hr.score >= 0.1667),
        otherwise=hr.approve(),
    ),
    reasons=4,
    # what an applicant could soon change, amount and duration, make the instalment together
    adverse_action=declared.adverse_action(),
)


def history(folder: Path) -> dict[str, pa.Table]:
    """The frames of both streams.

    Args:
        folder: Of data, with `FILE` below it.
    """
    table = pq.read_table(folder / FILE)
    columns: dict[str, Any] = {name: table[name] for name in table.column_names if name != "risk"}
    for name, order in ORDERED.items():
        codes = [order.get(code) for code in table[name].to_pylist()]
        columns[name] = pa.array(codes, pa.int64())
    for name, words in WORDS.items():
        columns[name] = pa.array([words[code] for code in table[name].to_pylist()])
    columns["checking"] = columns.pop("status_checking")
    bad = table["risk"].to_numpy() == 2
    return {"applications": declared.applications(columns), "defaults": declared.defaults(bad)}
