"""`headrace run`, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headrace.cli import build

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


@pytest.mark.parametrize("with_rates", [False, True])
def test_a_run_without_what_features_read_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, with_rates: bool
) -> None:
    (tmp_path / "case.py").write_text(CASE)
    payments, rates = tmp_path / "payments.jsonl", tmp_path / "rates.jsonl"
    payments.write_text('{"payment_id":"p1","at":"2026-03-01T12:00:00Z","card":"c","amount":"5"}\n')
    rates.write_text("")
    more = ("--source", f"rates={rates}") if with_rates else ()
    words = ("run", str(tmp_path / "case.py"), "--source", str(payments), *more)
    build()((*words, "--home", str(tmp_path / "home")))
    said = " ".join(capsys.readouterr().err.split())
    assert ("features read rates, and no --source rates=FILE is named" in said) is not with_rates
