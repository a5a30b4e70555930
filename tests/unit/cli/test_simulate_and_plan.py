"""`headrace simulate` and `headrace plan`, in this process."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pyarrow.csv
import pytest

from headrace.cli import build, main
from headrace.core.errors import DataError, DefinitionError, NotFound
from headrace.definitions.describe import worst_case_bytes
from headrace.runtime.loading import load_case

if TYPE_CHECKING:
    from pathlib import Path

SMALL = ("--events", "500", "--days", "20", "--seed", "3")


def test_simulate_writes_every_stream_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        build()(("simulate", "card-fraud", "--out", str(tmp_path / name), *SMALL))
    for name in ("payments.jsonl", "chargebacks.csv", "rates.csv", "truth.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    lines = (tmp_path / "one" / "payments.jsonl").read_bytes().splitlines()
    assert len(lines) >= 500
    assert len(pyarrow.csv.read_csv(tmp_path / "one" / "truth.csv")) == 500


def test_simulate_writes_lines_to_stdout(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    build()(("simulate", "card-fraud", "--out", "-", "--start", "2026-03-01", *SMALL))
    lines = capfdbinary.readouterr().out.splitlines()
    assert len(lines) >= 500
    assert json.loads(lines[0])["at"].startswith("2026-03-01")


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        (("--events", "0"), DefinitionError, "0 events"),
        (("--rate", "5"), DataError, "--out -"),
        (("--start", "soon"), DataError, "2026-01-05"),
    ],
)
def test_simulate_says_what_is_wrong(
    tmp_path: Path, more: tuple[str, ...], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        build()(("simulate", "card-fraud", "--out", str(tmp_path / "new"), *more))
    assert not (tmp_path / "new").exists()


def test_simulate_names_what_can_be_simulated(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there are: card-fraud"):
        build()(("simulate", "loans", "--out", str(tmp_path)))


def test_simulate_into_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(DataError, match="name a folder"):
        build()(("simulate", "card-fraud", "--out", str(file)))


def test_plan_shows_features_state_and_policy(capsys: pytest.CaptureFixture[str]) -> None:
    build()(("plan", "card-fraud", "--keys", "1000", "--events-per-key", "10"))
    said = capsys.readouterr().out
    worst = worst_case_bytes(load_case("card-fraud").plan, 1_000, 10)
    for words in ("card_count_10m", "payments by card", "score_very_high", "otherwise"):
        assert words in said
    assert f"together {worst:,} bytes" in said


def test_plan_shows_stages(capsys: pytest.CaptureFixture[str]) -> None:
    build()(("plan", "card-fraud"))
    said = capsys.readouterr().out
    assert "3 stages: windows are kept by card, merchant." in said
    assert "partition topics of payments by card; of other streams by anything" in said
    assert "merchant: takes payments by merchant, chargebacks by merchant" in said
    assert "gives by_merchant_2: the merchant's chargebacks in the last 30 days" in said
    build()(("plan", "card-fraud", "--key", "merchant"))
    said = capsys.readouterr().out
    assert "partition topics of payments by merchant, chargebacks by merchant" in said
    assert "card: takes payments by card" in said


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        (("plan", "card-fraud", "--key", "cards"), "did you mean 'card'"),
        (("plan", "nowhere.py"), "no file nowhere.py"),
        (("plan", "loans"), "card-fraud"),
        (("plan", "card-fraud", "--keys", "0"), "--keys 0: expected 1 or more"),
    ],
)
def test_a_users_mistake_is_one_message(
    tokens: tuple[str, ...],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["headrace", *tokens])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 1
    assert told.startswith("headrace: ")
    assert says in told
    assert "Traceback" not in told
