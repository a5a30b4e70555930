"""What each feature of the public sets is of one application: reckoned by hand, for tests."""

from __future__ import annotations

import math
from typing import Any

MISSING = math.nan


def taiwan(row: dict[str, Any]) -> dict[str, object]:
    """Of an account with six months of bills, payments and delays."""
    limit, delays = row["credit_limit"], [row[f"delay_{month}"] for month in range(1, 7)]
    bills, paid = ([row[f"{what}_{month}"] for month in range(1, 7)] for what in ("bill", "paid"))
    behind = [max(delay, 0) for delay in delays]
    covered = [
        min(max(paid[month] / bills[month + 1], 0), 2) if bills[month + 1] > 0 else MISSING
        for month in range(3)
    ]
    return {
        "credit_limit": limit,
        **{f"delay_{month + 1}": value for month, value in enumerate(behind)},
        "worst_delay": max(behind),
        "months_behind": sum(value > 0 for value in behind),
        "utilisation": bills[0] / limit,
        "mean_utilisation": sum(bill / limit for bill in bills) / 6,
        "utilisation_rise": bills[0] / limit - bills[5] / limit,
        **{f"paid_{month + 1}": paid[month] for month in range(3)},
        "paid_total": sum(paid),
        **{f"covered_{month + 1}": covered[month] for month in range(3)},
        "bill_1": bills[0],
        "unused": delays[0] <= -2,
        "paid_in_full": delays.count(-1),
        "education": row["education"],
    }


def gmsc(row: dict[str, Any]) -> dict[str, object]:
    """Of a borrower; counts of late payments are of so late or later, and 96 and 98 are codes."""
    late = [row[f"late_{days}"] for days in (30, 60, 90)]
    known = [MISSING if count >= 90 else count for count in late]
    income, ratio = row["income"], row["debt_ratio"]
    earns = income is not None and income > 1
    debt = ratio * income if earns else ratio
    return {
        "utilisation": row["utilisation"],
        "no_utilisation": row["utilisation"] <= 0,
        "late_30": sum(known),
        "late_60": known[1] + known[2],
        "late_90": known[2],
        "late_weighted": known[0] + 2 * known[1] + 3 * known[2],
        "late_code": late[2] >= 90,
        "debt_ratio": ratio if earns else MISSING,
        "debt": debt,
        "income": MISSING if income is None else income,
        "left": income - debt if earns else MISSING,
        "open_lines": row["open_lines"],
        "estate_loans": row["estate_loans"],
        "dependents": MISSING if row["dependents"] is None else row["dependents"],
    }


def german(row: dict[str, Any]) -> dict[str, object]:
    """Of a loan that is asked for."""
    as_they_are = (
        *("duration", "credit_history", "purpose", "amount", "employment", "installment_rate"),
        *("other_debtors", "residence_since", "property", "other_installments", "housing"),
        *("existing_credits", "job", "dependents", "telephone"),
    )
    known = {name: MISSING if row[name] is None else row[name] for name in ("checking", "savings")}
    return {
        **known,
        "no_checking": row["checking"] is None,
        "a_month": row["amount"] / row["duration"],
        **{name: row[name] for name in as_they_are},
    }
