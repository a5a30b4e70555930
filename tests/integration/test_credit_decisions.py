"""The documented run on public credit data, on some of the rows: its report and all beside it."""

from __future__ import annotations

import html
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("HEADRACE_DATA", "data"))
SETS = {"taiwan": "Card clients in Taiwan", "gmsc": "Give Me Some Credit", "german": "German loans"}
SECTIONS = (
    "How good the scores are",
    "What was decided",
    "Why applications were refused",
    "Groups",
    "One decision explained",
    "What the applicant is told",
    "Its proof, verified",
    "The model",
    "Ask for yourself",
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DATA / "credit_taiwan").exists(), reason="HEADRACE_DATA has no credit data"
    ),
]


def run(command: list[str], folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command as the guide has it, on the first rows."""
    guide = (ROOT / "docs" / "how-to" / "decide-on-credit.md").read_text()
    assert "HEADRACE_DATA=FOLDER python -m benchmarks.credit_decisions OUT" in guide
    place = tmp_path_factory.mktemp("credit") / "out"
    told = run(
        [sys.executable, "-m", "benchmarks.credit_decisions", str(place), "--rows", "6000"], ROOT
    )
    assert told.splitlines() == [f"wrote {place / name / 'report.html'}" for name in SETS]
    return place


@pytest.mark.parametrize("name", SETS)
def test_the_report_is_one_whole_page_of_the_rows_that_were_held_out(out: Path, name: str) -> None:
    page = (out / name / "report.html").read_text()
    assert f"<h1>{SETS[name]}: decisions on credit</h1>" in page
    for title in SECTIONS:
        assert f"<h2>{title}</h2>" in page
    assert "✓ Verified" in page
    assert "come out byte for byte" in page
    assert "It turned out to be a default." in page
    # nothing is asked of any network
    assert set(re.findall(r"""https?://[^"'<> )]+""", page)) <= {"http://www.w3.org/2000/svg"}
    assert "<script" not in page
    assert "src=" not in page
    rows = 1000 if name == "german" else 6000
    assert pq.read_metadata(out / name / "decisions.parquet").num_rows == rows // 4
    ids = pq.read_table(out / name / "decisions.parquet")["application_id"].to_pylist()
    assert ids == [f"row_{number}" for number in range(rows * 3 // 4, rows)]


@pytest.mark.parametrize("name", SETS)
def test_what_the_report_tells_of_a_refusal_is_its_notice(out: Path, name: str) -> None:
    page = (out / name / "report.html").read_text()
    notices = sorted((out / name / "notices").glob("*.html"))
    assert len(notices) == 12
    outcomes = dict(
        zip(
            *(
                pq.read_table(out / name / "decisions.parquet")[column].to_pylist()
                for column in ("application_id", "outcome")
            ),
            strict=True,
        )
    )
    for notice in notices:
        assert outcomes[notice.stem] == "block"
        text = notice.read_text()
        reasons = re.findall(r"<li>(.*?)</li>", text)
        assert 1 <= len(reasons) <= 4
        assert f"<td>{notice.stem}</td>" in page
        assert f"<td>{' '.join(reasons)}</td>" in page
        assert "Example Bank" in text


@pytest.mark.parametrize("name", SETS)
def test_every_command_that_it_names_runs(out: Path, name: str) -> None:
    page = (out / name / "report.html").read_text()
    shown = page[page.index("<h2>Ask for yourself</h2>") :]
    commands = [html.unescape(code) for code in re.findall(r"<code>(.*?)</code>", shown)]
    said = {command.split()[1]: run(shlex.split(command), out) for command in commands}
    assert list(said) == [
        "explain",
        "notice",
        str(out / name / "verify_proof.py"),
        "verify",
        "query",
    ]
    assert "NOTICE OF ADVERSE ACTION" in said["notice"]
    assert "block" in said["query"]
