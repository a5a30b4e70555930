"""Give Me Some Credit (Kaggle, 2011): whether a borrower will be 90 days late within two years.

Ten fields of a borrower, with implausible codes (96 and 98 of counts of late payments) that are
read as missing. Age is protected, and no feature reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

import headrace as hr
from headrace_solutions.credit_risk.open_data import declared

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

#: Below the folder of data.
FILE = "credit_gmsc/cs-training.parquet"


class Application(hr.Event):
    """A borrower as a credit bureau knows them; income in US dollars a month."""

    application_id: hr.Id
    at: hr.EventTime
    utilisation: hr.Float
    age: hr.Int = hr.field(protected=True)
    late_30: hr.Int
    late_60: hr.Int
    late_90: hr.Int
    debt_ratio: hr.Float
    income: hr.Float | None
    open_lines: hr.Int
    estate_loans: hr.Int
    dependents: hr.Int | None


class Default(hr.Event):
    """A borrower was 90 days late or worse within two years."""

    default_id: hr.Id
    at: hr.EventTime
    application_id: hr.Ref[Application]


applications = hr.stream(Application, name="applications")
defaults = hr.stream(Default, name="defaults")


def _count(late: Any) -> Any:
    """A count of late payments; 96 and 98 are codes that say nothing of how many."""
    return hr.when(late < 90).then(late).otherwise(None)


_late = [_count(applications[name]) for name in ("late_30", "late_60", "late_90")]
# so late or later: a payment that was less late lowers some and raises none, as directions need
_at_least = (_late[0] + _late[1] + _late[2], _late[1] + _late[2], _late[2])
_income = applications.income
# without an income the field holds the debt itself
_debt = (
    hr.when(_income > 1).then(applications.debt_ratio * _income).otherwise(applications.debt_ratio)
)

features = hr.features(
    utilisation=applications.utilisation.described("{value:.0%} of revolving credit is used"),
    no_utilisation=(applications.utilisation <= 0).described(
        "no revolving credit is used: {value}"
    ),
    late_30=_at_least[0].described(
        "payments that were 30 days late or more within two years: {value}"
    ),
    late_60=_at_least[1].described(
        "payments that were 60 days late or more within two years: {value}"
    ),
    late_90=_at_least[2].described("payments that were 90 days late or more: {value}"),
    late_weighted=(_at_least[0] + _at_least[1] + _at_least[2]).described(
        "late payments, weighed by how late: {value}"
    ),
    late_code=(applications.late_90 >= 90).described(
        "the bureau gives a code in place of the count of late payments: {value}"
    ),
    debt_ratio=hr.when(_income > 1)
    .then(applications.debt_ratio)
    .otherwise(None)
    .described("debts take {value:.0%} of the income"),
    debt=_debt.described("debts take {value:,.0f} USD a month"),
    income=_income.described("the income is {value:,.0f} USD a month"),
    left=hr.when(_income > 1)
    .then(_income - _debt)
    .otherwise(None)
    .described("after debts {value:,.0f} USD a month are left"),
    open_lines=applications.open_lines.described("open loans and lines of credit: {value}"),
    estate_loans=applications.estate_loans.described("open loans on real estate: {value}"),
    dependents=applications.dependents.described("dependents: {value}"),
)

#: The score may only rise as these grow (1), or only fall (-1).
MONOTONE = {
    "utilisation": 1,
    "late_30": 1,
    "late_60": 1,
    "late_90": 1,
    "late_weighted": 1,
    "debt_ratio": 1,
    "income": -1,
    "left": -1,
}

case = hr.UseCase(
    name="credit-gmsc",
    on=applications,
    features=features,
    label=defaults.of(applications).within("1m"),
    model=hr.XGBoost(
        trees=400,
        max_depth=4,
        learning_rate=0.04,
        min_child_weight=10,
        subsample=0.7,
        colsample=0.5,
        early_stopping=None,
        monotone=MONOTONE,
        calibration="beta",
        seed=7,
    ),
    policy=hr.Policy(
        hr.block("risk_too_high", hr.score >= 0.25),
        hr.review("risk_unclear", hr.score >= 0.10),
        otherwise=hr.approve(),
    ),
    reasons=4,
    adverse_action=declared.adverse_action(
        # the least that is still use of revolving credit: of none, another feature speaks
        hr.Change(
            "utilisation", -1, step=0.01, limit=0.01, text="utilisation of at most {value:.0%}"
        ),
        bureau="Example Bureau, 2 Main Street, Springfield",
    ),
)


def history(folder: Path) -> dict[str, pa.Table]:
    """The frames of both streams.

    Args:
        folder: Of data, with `FILE` below it.
    """
    table = pq.read_table(folder / FILE)
    columns = {
        "utilisation": table["RevolvingUtilizationOfUnsecuredLines"],
        "age": table["age"],
        "late_30": table["NumberOfTime30-59DaysPastDueNotWorse"],
        "late_60": table["NumberOfTime60-89DaysPastDueNotWorse"],
        "late_90": table["NumberOfTimes90DaysLate"],
        "debt_ratio": table["DebtRatio"],
        "income": table["MonthlyIncome"],
        "open_lines": table["NumberOfOpenCreditLinesAndLoans"],
        "estate_loans": table["NumberRealEstateLoansOrLines"],
        "dependents": table["NumberOfDependents"].cast("int64"),
    }
    bad = table["SeriousDlqin2yrs"].to_numpy() == 1
    return {"applications": declared.applications(columns), "defaults": declared.defaults(bad)}
