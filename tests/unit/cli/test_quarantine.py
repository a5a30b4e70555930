"""`headrace quarantine`: what is shown of events that were not accepted."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest

from headrace.cli import build
from headrace.core.errors import DataError, NotFound

if TYPE_CHECKING:
    from pathlib import Path

CASE = """
import headrace as hr

class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    note: hr.Category = hr.field(longest=40)
    amount: hr.Money("EUR")

payments = hr.stream(Payment, name="payments", lateness="10m")
listed = hr.UseCase(
    name="listed",
    on=payments,
    features=hr.features(count=payments.by("payment_id").count("5m")),
)
"""

LINES = (
    {"payment_id": "p0", "at": "2026-03-01T12:00:00Z", "note": "a", "amount": "1.00"},
    {"payment_id": "p1", "at": "2026-03-01T12:00:00Z", "note": "a", "amount": "12,50"},
    {"payment_id": "p2", "at": "2026-03-01T12:00:00Z", "note": "[/x]" * 11, "amount": "1.00"},
    {"payment_id": "p3", "at": "2026-03-01T12:00:00Z", "note": "a", "amount": "90071992547409.92"},
)
RANGE = "an amount in EUR with at most 2 digits after the point, within ±90071992547409.91"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("listed")
    (folder / "case.py").write_text(CASE)
    (folder / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    home = str(folder / "home")
    build()(("run", str(folder / "case.py"), f"--source={folder}/in.jsonl", f"--home={home}"))
    return home


def said(capsys: pytest.CaptureFixture[str], *tokens: str) -> str:
    build()(("quarantine", *tokens))
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_a_list_shows_every_value_whole_in_80_columns(
    home: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, "list", f"--home={home}")
    assert max(len(line) for line in told.splitlines()) <= 80
    column = [line.split("│")[4] for line in told.splitlines() if line.startswith("│")]
    whole = "".join("".join(column).split())
    for value in ("12,50", "[/x]" * 11, "90071992547409.92"):
        assert value in whole
    assert "".join(RANGE.split()) in whole
    assert len(column) <= 16  # and no column of one word a line


def test_a_list_can_be_taken_as_csv_and_json(home: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(said(capsys, "list", f"--home={home}", "--form=csv"))))
    assert [row["reason"] for row in rows] == ["wrong type", "too long", "out of range"]
    assert rows[2]["expected"] == RANGE
    told = said(capsys, "list", f"--home={home}", "--form=json", "--rows=1")
    assert [json.loads(line)["value"] for line in told.splitlines()] == [
        "12,50",
        "[/x]" * 11,
        "90071992547409.92",
    ]


def test_one_input_is_shown_as_it_came(home: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "show", "2", f"--home={home}", "--raw")
    assert told.count("[/x]" * 11) == 2


@pytest.mark.parametrize("more", [("list",), ("retry", "case.py")])
def test_reasons_that_do_not_exist_are_answered_with_those_that_do(
    home: str, more: tuple[str, ...]
) -> None:
    with pytest.raises(DataError, match=r"no such reason; expected one of .*wrong-type.*, late"):
        build()(("quarantine", *more, "--reason=bogus", f"--home={home}"))


def test_a_reason_that_nothing_was_refused_for_says_what_there_is(
    home: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = " ".join(said(capsys, "list", "--reason=late", f"--home={home}").split())
    assert told == (
        "nothing is in quarantine for reason 'late'; what is there is wrong type, too long,"
        " out of range"
    )
    assert "12,50" in said(capsys, "list", "--reason=wrong-type", f"--home={home}")


def test_a_retry_says_why_it_is_refused_again(
    home: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "case.py").write_text(CASE)
    case = str(tmp_path / "case.py")
    told = said(capsys, "retry", case, "--seq=1", "--seq=2", f"--home={home}")
    assert "2 retried: 0 accepted as backfills, 0 decided, 2 refused again" in told
    assert f"input 1: wrong type; amount is 12,50; expected {RANGE}" in told
    assert f"input 2: too long; note is {'[/x]' * 11}; expected" in told
    with pytest.raises(NotFound, match="nothing is in quarantine for reason 'late'"):
        said(capsys, "retry", case, "--reason=late", f"--home={home}")


def test_a_home_without_a_journal_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no journal yet"):
        build()(("quarantine", "list", f"--home={tmp_path}"))
