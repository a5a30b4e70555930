"""`headrace schema`, in this process; what it prints is what its readers take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import fastavro
import jsonschema
import pytest

from headrace.cli import build
from headrace.core.errors import NotFound

if TYPE_CHECKING:
    from pathlib import Path

CASE = """import headrace as hr


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key
    amount: hr.Money
    currency: hr.Currency
    rate: hr.Decimal(4) | None


payments = hr.stream(Payment)
case = hr.UseCase(
    on=payments, features=hr.features(n=payments.by("card").count("5m")),
    policy=hr.Policy(otherwise=hr.approve()),
)
"""


@pytest.fixture
def case(tmp_path: Path) -> str:
    path = tmp_path / "schema_case.py"
    path.write_text(CASE)
    return str(path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    build()(("schema", *arguments))
    return capsys.readouterr().out


def test_every_form(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = json.loads(said(capsys, case))
    jsonschema.Draft202012Validator.check_schema(made)
    assert made["required"] == ["payment_id", "at", "card", "amount", "currency"]
    avro = json.loads(said(capsys, case, "--form", "avro"))
    fastavro.parse_schema(avro)
    assert [field["name"] for field in avro["fields"]] == list(made["properties"])
    proto = said(capsys, case, "--form", "protobuf")
    assert "  optional sint64 amount = 4;\n" in proto
    assert "rate: decimal128(18, 4)" in said(capsys, case, "--form", "arrow")


def test_other_streams_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(said(capsys, "card-fraud"))["title"] == "Payment"
    table = json.loads(said(capsys, "card-fraud", "--stream", "rates"))
    assert "valid_from" in table["properties"]
    with pytest.raises(
        NotFound, match="has no stream 'nothing'; there are: chargebacks, payments, rates"
    ):
        build()(("schema", "card-fraud", "--stream", "nothing"))
