"""`headrace run`, in this process."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from headrace.cli import build
from headrace.core.errors import DefinitionError

if TYPE_CHECKING:
    from pathlib import Path

CASE = """
import headrace as hr


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key
    amount: hr.Money("EUR")


class Rate(hr.Row):
    base: hr.Currency
    quote: hr.Currency
    rate: hr.Decimal(8)
    valid_from: hr.EventTime


payments = hr.stream(Payment, name="payments")
rates = hr.table(Rate, key=("base", "quote"), name="rates")
usd = payments.amount.in_currency("USD", rates)
features = hr.features(usd=usd)
converted = hr.UseCase(on=payments, features=features, name="converted")
"""


def test_a_run_without_what_features_read_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "case.py").write_text(CASE)
    rates = tmp_path / "rates.jsonl"
    rates.write_text(
        '{"base":"EUR","quote":"USD","rate":"2","valid_from":"2026-01-01T00:00:00Z"}\n'
    )

    def said(number: int, *more: str) -> str:
        """What a run over payments of its own says beside the result."""
        payments = tmp_path / f"payments{number}.jsonl"
        event = {"payment_id": f"p{number}", "at": f"2026-03-01T12:0{number}:00Z", "card": "c"}
        payments.write_text(json.dumps({**event, "amount": "5"}) + "\n")
        words = ("run", str(tmp_path / "case.py"), "--source", str(payments), *more)
        build()((*words, "--home", str(tmp_path / "home")))
        return " ".join(capsys.readouterr().err.split())

    warning = "warning: features read rates, and neither this run nor an earlier one was given it"
    assert warning in said(1)
    assert "warning" not in said(2, "--source", f"rates={rates}")
    assert "warning" not in said(3)


def test_a_run_says_what_it_came_back_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case, payments = tmp_path / "case.py", tmp_path / "payments.jsonl"
    case.write_text(CASE)
    event = {"payment_id": "p", "at": "2026-03-01T12:00:00Z", "card": "c", "amount": "5"}
    payments.write_text(json.dumps(event) + "\n")

    def said(*more: str) -> str:
        """What a run says beside the result."""
        words = ("run", str(case), "--source", str(payments), "--home", str(tmp_path / "home"))
        build()((*words, *more))
        return " ".join(capsys.readouterr().err.split())

    assert "recovered" not in said()
    assert re.search(r"recovered in \d+\.\d s: a state of 0\.0 MB before input 1 ", said())
    case.write_text(CASE.replace("usd=usd", 'usd=usd, often=payments.by("card").count("7d")'))
    assert "that of often was rebuilt from the journal, its first input on, in " in said()
    with pytest.raises(DefinitionError, match="recover_within 'soon' is no length of time"):
        said("--recover-within", "soon")
