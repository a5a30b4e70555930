"""Sources of every kind that hold nothing: no events, wherever they come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pytest

import headrace as hr
from headrace.core.errors import DataError
from headrace.events import arrow_ipc, parquet
from headrace.runtime.home import Home
from headrace.runtime.local import LocalRun

if TYPE_CHECKING:
    from pathlib import Path


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key
    amount: hr.Money
    currency: hr.Currency


class Rate(hr.Row):
    base: hr.Currency
    quote: hr.Currency
    rate: hr.Decimal(8)  # type: ignore[valid-type]  # a type made by a call
    valid_from: hr.EventTime


payments = hr.stream(Payment, name="payments", lateness="10m")
rates = hr.table(Rate, key=("base", "quote"), name="rates")
eur = payments.amount.in_currency("EUR", rates)
features = hr.features(eur=eur, count=payments.by("card").count("5m"))
case = hr.UseCase(
    name="empty",
    on=payments,
    features=features,
    policy=hr.Policy(hr.review("large", features.eur > 1000), otherwise=hr.approve()),
)

PAYMENTS = pa.table(
    {
        "payment_id": ["p1"],
        "at": pa.array([0], pa.timestamp("us", "UTC")),
        "card": ["c"],
        "amount": ["1.50"],
        "currency": ["USD"],
    }
)
RATES = pa.table(
    {
        "base": ["USD"],
        "quote": ["EUR"],
        "rate": ["0.9"],
        "valid_from": pa.array([0], pa.timestamp("us", "UTC")),
    }
)


def nothing_of(table: pa.Table, path: Path) -> str:
    """A file with the table's columns, where its kind has any, and no rows."""
    if path.suffix == ".parquet":
        parquet.writer(path, table.schema).close()
    elif path.suffix == ".arrow":
        arrow_ipc.writer(path, table.schema).close()
    elif path.name == "header.csv":
        path.write_text(",".join(table.column_names) + "\n")
    else:
        held = {"blank": "\n\n", "marked": "\ufeff"}.get(path.stem, "")
        path.write_text(held, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "name",
    [
        "a.jsonl",
        "blank.jsonl",
        "marked.jsonl",
        "a.csv",
        "blank.csv",
        "marked.csv",
        "header.csv",
        "a.parquet",
        "a.arrow",
    ],
)
def test_a_file_without_events_is_no_events(tmp_path: Path, name: str) -> None:
    (tmp_path / "rates").mkdir()
    sources = [
        nothing_of(PAYMENTS, tmp_path / name),
        f"rates={nothing_of(RATES, tmp_path / 'rates' / name)}",
    ]
    opened = LocalRun(case, Home(tmp_path / "home"), sources)
    assert opened.total == 0
    opened.go()
    assert (opened.meters.received, opened.meters.decisions) == (0, 0)


def test_a_frame_without_rows_is_no_events() -> None:
    frames = {"payments": PAYMENTS.slice(0, 0), "rates": RATES.slice(0, 0)}
    full = {"payments": PAYMENTS, "rates": RATES}
    assert hr.compute(case, frames).schema == hr.compute(case, full).schema
    assert hr.decide(case, frames).schema == hr.decide(case, full).schema
    assert len(hr.decide(case, frames)) == 0
    no_rates = hr.decide(case, {"payments": pl.from_arrow(PAYMENTS), "rates": RATES.slice(0, 0)})
    assert no_rates["eur"].to_pylist() == [None]
    with pytest.raises(DataError, match="of 0 inputs"):
        hr.backtest(case, frames, new_policy=case.policy)


def test_columns_are_asked_for_even_without_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'at'"):
        hr.compute(case, {"payments": PAYMENTS.slice(0, 0).drop(["at"]), "rates": RATES})
    source = nothing_of(PAYMENTS.drop(["at"]), tmp_path / "header.csv")
    with pytest.raises(DataError, match="no column 'at'"):
        LocalRun(case, Home(tmp_path / "home"), [source])
