"""What an auditor asks of a home, by the real command: answers, and errors that say what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests import warm

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

CASE = """
import headrace as hr

class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key
    amount: hr.Money("EUR")

payments = hr.stream(Payment)
features = hr.features(count=payments.by("card").count("1h"))
limits = hr.UseCase(
    name="limits",
    on=payments,
    features=features,
    policy=hr.Policy(hr.review("burst", features.count > 2), otherwise=hr.approve()),
)
"""
LINES = "".join(
    json.dumps({"payment_id": f"p{n}", "at": f"2026-03-01T12:0{n}:00.000000001Z", "card": "A",
                "amount": f"{n}.50"}) + "\n"
    for n in range(5)
)  # fmt: skip


def headrace(
    home: Path, *arguments: str, limit: int | None = None, expected: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run the command in the folder above a home; no traceback whatever happens."""
    variables = {"HEADRACE_HOME": str(home), "COLUMNS": "120"}
    if limit is None:
        done = warm.headrace(arguments, home.parent, variables)
    else:  # blocks of 1,024 bytes that a file may have
        command = ["bash", "-c", f'ulimit -f {limit}; exec "$@"', "bash", sys.executable]
        done = subprocess.run(
            [*command, "-c", "from headrace.cli import main; main()", *arguments],
            cwd=home.parent,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == expected, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    (folder / "limits.py").write_text(CASE)
    (folder / "payments.jsonl").write_text(LINES)
    headrace(folder / "home", "run", "limits.py", "--source", "payments.jsonl")
    return folder / "home"


def test_an_explanation_as_json_keeps_every_nanosecond(home: Path) -> None:
    told = json.loads(headrace(home, "explain", "limits/0/3", "--json").stdout)
    assert told["outcome"] == "review"
    assert told["event"] == {
        "payment_id": "p3",
        "at": "2026-03-01T12:03:00.000000001Z",
        "card": "A",
        "amount": "3.50",
    }
    assert json.loads(headrace(home, "explain", "p3", "--json").stdout) == told


@pytest.mark.parametrize("name", ["limits/9/3", "other/0/3", "p9"])
def test_what_was_not_decided_is_not_explained(home: Path, name: str) -> None:
    for command in ("explain", "prove"):
        said = headrace(home, command, name, expected=1).stderr
        assert said.startswith(f"headrace: no decision '{name}': expected an id such as")


def test_a_policy_that_was_changed_is_not_believed(home: Path) -> None:
    (path,) = (home / "definitions").glob("*.policy.json")
    kept = path.read_text()
    try:
        for changed in (kept.replace("burst", "other"), "{", "[]"):
            path.write_text(changed)
            for command in (["explain", "limits/0/3"], ["replay"]):
                said = headrace(home, *command, expected=1).stderr
                assert f"{path} was changed" in said
    finally:
        path.write_text(kept)
    assert "the same, byte for byte" in headrace(home, "replay").stdout


def test_replay_from_beyond_the_end_compares_nothing_and_says_so(home: Path) -> None:
    for begin in ("5", "99999", "2199-01-01"):
        said = headrace(home, "replay", "--from", begin, expected=1).stderr
        assert "is not in the journal" in said
    assert "the same, byte for byte" in headrace(home, "replay", "--from", "4").stdout


def test_a_query_is_one_statement(home: Path) -> None:
    assert "5" in headrace(home, "query", "SELECT count(*) FROM decisions").stdout
    said = headrace(home, "query", "SELECT 1; SELECT 2", expected=1).stderr
    assert "several statements" in said
    said = headrace(home.parent / "none", "query", "SELECT 1", expected=1).stderr
    assert "has no journal yet" in said


def test_a_full_disk_loses_nothing_and_is_said(home: Path) -> None:
    folder = home.parent
    (folder / "many.jsonl").write_text(
        "".join(
            json.dumps(
                {"payment_id": f"q{n}", "at": f"2026-03-01T12:00:00.{n:06d}Z", "card": f"C{n}",
                 "amount": "1.00"}
            ) + "\n"
            for n in range(40_000)
        )
    )  # fmt: skip
    full = folder / "full"
    command = ("run", "limits.py", "--source", "many.jsonl")
    said = headrace(full, *command, limit=1_000, expected=1).stderr
    assert "could not be written" in said
    headrace(full, *command)
    headrace(full, "verify")
    counted = headrace(full, "query", "SELECT count(*) AS n FROM decisions").stdout
    assert "40000" in counted.replace(",", "")


def test_a_place_that_cannot_be_written_is_named(home: Path) -> None:
    said = headrace(home, "prove", "p3", "--out", "/proc/proof.json", expected=1).stderr
    assert "/proc/proof.json" in said
