"""Frames: what is said of rows that are not accepted."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import polars as pl
import pytest

import headrace as hr
from headrace.core.errors import DataError

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key
    amount: hr.Money("EUR")  # type: ignore[valid-type]  # a type made by a call


payments = hr.stream(Payment, name="payments", lateness="10m")
case = hr.UseCase(
    name="framed",
    on=payments,
    features=hr.features(value=payments.amount, count=payments.by("card").count("5m")),
    policy=hr.Policy(otherwise=hr.approve()),
)
FRAME = pl.DataFrame(
    {
        "payment_id": ["a", "b", "c", None, "e"],
        "at": [NOON] * 5,
        "card": ["x", None, "x", "x", "y"],
        "amount": [1.5, 2.0, 1.333, 2.0, 3.0],
    }
)


@pytest.mark.parametrize("call", [hr.compute, hr.decide])
@pytest.mark.parametrize("form", [lambda f: f, lambda f: f.to_arrow().to_reader()])
def test_a_row_that_is_refused_says_why(call: Any, form: Any) -> None:
    table = call(case, form(FRAME))
    assert table["id"].to_pylist() == ["a", "b", "c", None, "e"]
    assert table["reason"].to_pylist() == [None, "missing", "not exact", "missing", None]
    refused = table["refused"].to_pylist()
    assert [why and why["field"] for why in refused] == [None, "card", "amount", "payment_id", None]
    assert [why and why["value"] for why in refused] == [None, "null", "1.333", "null", None]
    assert "at most 2 digits" in refused[2]["expected"]
    assert table["value"].to_pylist() == [1.5, None, None, None, 3.0]


@pytest.mark.parametrize("form", [lambda f: f, lambda f: f.to_arrow(), lambda f: f.to_pandas()])
def test_times_without_a_zone_are_named_with_the_way_out(form: Any) -> None:
    naive = form(FRAME.with_columns(pl.col("at").dt.replace_time_zone(None)))
    with pytest.raises(DataError, match=r"'at' holds times without a zone.*tz_localize\('UTC'\)"):
        hr.compute(case, naive)
    if isinstance(naive, pd.DataFrame):
        naive["at"] = naive["at"].dt.tz_localize("UTC")
        assert hr.compute(case, naive)["status"].to_pylist()[0] == "accepted"
