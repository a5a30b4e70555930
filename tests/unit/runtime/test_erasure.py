"""A person is erased; the journal says so, and still verifies, replays and goes on."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest

from headrace.cli import build
from headrace.core.errors import DataError, JournalError, NotFound, SecurityError
from headrace.journal.journal import Journal
from headrace.journal.reader import stored_batches
from headrace.journal.tables import tables
from headrace.runtime.erasure import erase
from headrace.runtime.home import Home
from headrace.runtime.local_lane import open_vault, signing_key

if TYPE_CHECKING:
    from pathlib import Path

CASE = """
import headrace as hr

class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key = hr.field(pii=True, subject=True)
    device: hr.Key = hr.field(pii=True)
    amount: hr.Money("EUR")

payments = hr.stream(Payment, lateness="10m")
features = hr.features(amount=payments.amount, count=payments.by("card").count("1h"))
limits = hr.UseCase(
    name="limits",
    on=payments,
    features=features,
    policy=hr.Policy(hr.block("many", features.count > 1), otherwise=hr.approve()),
)
"""


def payment(number: int, card: str, device: str) -> str:
    event = {
        "payment_id": f"p{number}",
        "at": f"2026-03-01T12:{number:02}:00Z",
        "card": card,
        "device": device,
        "amount": 5,
    }
    return json.dumps(event) + "\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home whose lane has decided four payments of two cards."""
    (tmp_path / "limits.py").write_text(CASE)
    lines = [payment(n, f"card-{n % 2}", f"device-{n}") for n in range(4)]
    (tmp_path / "payments.jsonl").write_text("".join(lines))
    found = Home(tmp_path / "home")
    run(found)
    return found


def run(home: Home) -> None:
    folder = home.folder.parent
    source = str(folder / "payments.jsonl")
    case = str(folder / "limits.py")
    build()(("run", case, "--source", source, "--home", str(home.folder)))


def surrogate_of(home: Home, field: str, value: str) -> str | None:
    vault = open_vault(home)
    try:
        return vault.find(field, value)
    finally:
        vault.close()


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_a_person_is_erased_and_the_lane_goes_on(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = surrogate_of(home, "card", "card-0")
    give(monkeypatch, "card-0\n")
    build()(("erase", "--field", "card", "--yes", "--check", "--home", str(home.folder)))
    said = capsys.readouterr().out
    assert "3 values" in said
    assert "card-0" not in said
    assert "byte for byte" in said
    assert surrogate_of(home, "card", "card-0") is None
    assert surrogate_of(home, "device", "device-2") is None
    assert surrogate_of(home, "card", "card-1") is not None
    found = tables(home.journal("limits"))
    (record,) = found["controls"].to_pylist()
    assert json.loads(record["record"]) == {
        "control": "erasure",
        "surrogate": before,
        "values": 3,
    }
    assert record["seq"] == 4
    with (home.folder.parent / "payments.jsonl").open("a") as more:
        more.write(payment(5, "card-0", "device-0") + payment(6, "card-1", "device-1"))
    run(home)
    assert tables(home.journal("limits"))["decisions"]["count"].to_pylist() == [1, 1, 2, 2, 1, 3]
    witness = str(home.witness)
    build()(("verify", "limits", "--checkpoint", witness, "--home", str(home.folder)))
    build()(("replay", "limits", "--home", str(home.folder)))
    assert "6 inputs, 6 decisions" in capsys.readouterr().out


def test_nothing_is_erased_unless_it_is_meant(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "card-0\n")
    with pytest.raises(DataError, match=r"3 values .* --yes"):
        build()(("erase", "--field", "card", "--home", str(home.folder)))
    give(monkeypatch, "card-7\n")
    with pytest.raises(NotFound, match="no card of that value"):
        build()(("erase", "--field", "card", "--yes", "--home", str(home.folder)))
    with pytest.raises(DataError, match="name one person"):
        build()(("erase", "--yes", "--home", str(home.folder)))
    assert surrogate_of(home, "card", "card-0") is not None
    assert len(tables(home.journal("limits"))["controls"]) == 0


def test_what_is_of_a_person_is_erased_with_the_person_alone(home: Home) -> None:
    person, device = surrogate_of(home, "card", "card-1"), surrogate_of(home, "device", "device-1")
    assert device is not None
    with pytest.raises(SecurityError, match=f"of the person {person}"):
        build()(("erase", device, "--yes", "--home", str(home.folder)))


def test_while_a_journal_is_written_nothing_is_erased(home: Home) -> None:
    folder = home.journal("limits")
    header = next(stored_batches(folder)).header
    vault = open_vault(home)
    surrogate = vault.find("card", "card-0")
    assert surrogate is not None
    with (
        Journal.open(folder, header, signing_key(home)),
        pytest.raises(JournalError, match="another process"),
    ):
        erase(home, vault, surrogate)
    assert vault.reveal(surrogate) == "card-0"
    assert erase(home, vault, surrogate).use_cases == ("limits",)
    vault.close()
