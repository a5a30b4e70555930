"""Card fraud on the transactions of the Fraud Detection Handbook: train in July, decide in August.

The handbook (Le Borgne, Siblini, Lebichot and Bontempi, Reproducible Machine Learning for Credit
Card Fraud Detection, 2022) publishes 1.75 million simulated card transactions with their frauds.
Put them as one Parquet file where `DATA` says, below the folder that `HEADRACE_DATA` names, and run
`python examples/03_fraud_handbook.py`; a day behind it, such as 2018-07-30, is the first that is
learned from, and makes it quicker. Amounts are read as euro, times as UTC. That a transaction
was a fraud is an event of its own, which is known seven days later.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import headrace as hr
from headrace.lifecycle.metrics import card_precision_at
from headrace.lifecycle.split import SplitSettings
from headrace.lifecycle.training import TrainingSettings

DATA = Path("fraud_handbook") / "transactions_dev_2018-04-01_2018-09-04.parquet"


class Payment(hr.Event):
    """One transaction of a customer's card at a terminal."""

    payment_id: hr.Id
    at: hr.EventTime
    customer: hr.Key
    terminal: hr.Key
    amount: hr.Money = hr.field(currency="EUR")


class Fraud(hr.Event):
    """A payment that was a fraud; its time is the payment's."""

    fraud_id: hr.Id
    at: hr.EventTime
    payment_id: hr.Ref[Payment]
    customer: hr.Key
    terminal: hr.Key
    amount: hr.Money = hr.field(currency="EUR")


payments = hr.stream(Payment, name="payments")
frauds = hr.stream(Fraud, name="frauds", arrives_after="7d")

amount = payments.amount
customer, terminal = payments.by("customer"), payments.by("terminal")
customer_frauds, terminal_frauds = frauds.by("customer"), frauds.by("terminal")

# What the customer usually pays. The last two weeks are left out, since that is how long a stolen
# card may have been in use.
usual = customer.mean(amount, "90d", delay="14d")
usual_spread = customer.std(amount, "90d", delay="14d")
usual_highest = customer.max(amount, "90d", delay="14d")
highest_14d = customer.max(amount, "14d", include_current=False)

# The same, over payments that are known not to have been frauds.
genuine = (
    customer.sum(amount, "90d", delay="7d") - customer_frauds.sum(frauds.amount, "90d", delay="7d")
) / (customer.count("90d", delay="7d") - customer_frauds.count("90d", delay="7d"))

# A terminal where unremarkable amounts turned out to be frauds is likely to be at fault itself.
unremarkable = frauds.amount <= 220
last_labelled = terminal.last(payments.at, "60d", delay="7d")

customer_features = hr.features(
    amount=amount,
    usual=usual,
    over_usual=amount / usual,
    spreads_over_usual=(amount - usual) / usual_spread,
    mean_90d=customer.mean(amount, "90d", include_current=False),
    genuine=genuine,
    over_genuine=amount / genuine,
    mean_7d_over_usual=customer.mean(amount, "7d", include_current=False) / usual,
    mean_14d_over_usual=customer.mean(amount, "14d", include_current=False) / usual,
    highest_7d_over_usual=customer.max(amount, "7d", include_current=False) / usual,
    highest_14d_over_usual=highest_14d / usual,
    highest_14d_over_highest=highest_14d / usual_highest,
    highest_30d_over_highest=customer.max(amount, "30d", include_current=False) / usual_highest,
    over_highest_14d=amount / highest_14d,
)

terminal_features = hr.features(
    **{
        f"terminal_{name}_{days}d": value
        for days in (1, 3, 7, 14, 30)
        for name, value in (
            ("count", terminal.count(f"{days}d", delay="7d")),
            (
                "risk",
                hr.coalesce(
                    terminal_frauds.count(f"{days}d", delay="7d")
                    / terminal.count(f"{days}d", delay="7d"),
                    0.0,
                ),
            ),
            (
                "unremarkable_frauds",
                terminal_frauds.count(f"{days}d", delay="7d", where=unremarkable),
            ),
        )
    },
    seconds_since_first_fraud=hr.seconds_between(
        terminal_frauds.first(frauds.at, "35d", where=unremarkable), payments.at
    ),
    seconds_since_last_fraud=hr.seconds_between(
        terminal_frauds.last(frauds.at, "35d", where=unremarkable), payments.at
    ),
    genuine_since_fraud=hr.seconds_between(terminal_frauds.last(frauds.at, "60d"), last_labelled),
    genuine_since_unremarkable_fraud=hr.seconds_between(
        terminal_frauds.last(frauds.at, "60d", where=unremarkable), last_labelled
    ),
)

case = hr.UseCase(
    name="fraud-handbook",
    on=payments,
    features=hr.features(customer_features, terminal_features),
    label=frauds.of(payments).within("1s"),
    model=hr.XGBoost(
        trees=300,
        max_depth=3,
        learning_rate=0.05,
        subsample=0.7,
        colsample=0.5,
        early_stopping=None,
        # few payments are high, and bins of a histogram would blur where they become suspicious
        extra={"tree_method": "exact"},
    ),
    policy=hr.Policy(
        hr.block("score_very_high", hr.score >= 0.8),
        hr.review("score_high", hr.score >= 0.2),
        otherwise=hr.approve(),
    ),
)


def history(file: Path, first: dt.date, last: dt.date) -> dict[str, pa.Table]:
    """Payments and frauds of the days from `first` to `last`, as frames of the two streams."""
    midnight = dt.time()
    bounds = [
        ("TX_DATETIME", ">=", dt.datetime.combine(first, midnight)),
        ("TX_DATETIME", "<", dt.datetime.combine(last, midnight) + dt.timedelta(days=1)),
    ]
    names = ["TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD"]
    rows = pq.read_table(file, columns=names, filters=bounds)
    paid = pa.table(
        {
            "payment_id": rows["TRANSACTION_ID"].cast(pa.string()),
            "at": rows["TX_DATETIME"].cast(pa.timestamp("us", "UTC")),
            "customer": rows["CUSTOMER_ID"].cast(pa.string()),
            "terminal": rows["TERMINAL_ID"].cast(pa.string()),
            "amount": rows["TX_AMOUNT"],
        }
    )
    found = paid.filter(pc.equal(rows["TX_FRAUD"], 1))
    return {"payments": paid, "frauds": found.append_column("fraud_id", found["payment_id"])}


def main() -> None:
    """Train on July, decide on a week of August, and say how good that was."""
    file = Path(os.environ.get("HEADRACE_DATA", "data")) / DATA
    if not file.exists():
        print(f"{file} is not there; set HEADRACE_DATA to the folder that holds {DATA.parent}/")
        return
    first = dt.date.fromisoformat(sys.argv[1]) if len(sys.argv) > 1 else dt.date(2018, 6, 18)
    frames = history(file, first, dt.date(2018, 8, 14))
    print(f"{len(frames['payments']):,} payments, {len(frames['frauds']):,} frauds")

    settings = TrainingSettings(split=SplitSettings(test=0.15, validation=0.05))
    trained = hr.train(case, frames, settings=settings)
    for name, value in trained.artefact.manifest.metrics.items():
        print(f"{name:24} {value:,.4g}")
    tested = trained.data.events.take(trained.split.test)
    found = card_precision_at(
        trained.test_labels,
        trained.test_scores,
        np.array(tested.text("customer").strings()),
        trained.data.at_ns[trained.split.test] // 86_400_000_000_000,
    )
    print(f"{'card precision at 100':24} {found:.4g}")

    decisions = hr.decide(case, frames, model=trained.artefact)
    print(decisions["outcome"].value_counts())
    blocked = decisions.filter(pc.equal(decisions["outcome"], "block"))
    for reason in blocked["reasons"][len(blocked) - 1].as_py():
        print(f"{reason['feature']:34} {reason['contribution']:+.2f}")


if __name__ == "__main__":
    main()
