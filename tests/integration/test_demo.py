"""The demo from end to end, small: what it leaves behind can be read, proved and verified."""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute
import pyarrow.parquet
import pytest

import headrace as hr
from headrace.cli import build
from headrace.core.errors import DataError
from headrace.journal.keys import PublicKey
from headrace.journal.verification import verify
from headrace.runtime.audit import newest
from headrace.runtime.home import Home
from headrace.runtime.replaying import recorded_definitions, replay
from headrace_solutions.credit_risk import report_sections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SIZE = ("--events", "12000", "--days", "100", "--history-days", "75")
SECTIONS = (
    "How good the scores are",
    "What was decided",
    "How fast it was",
    "One decision explained",
    "Its proof, verified",
    "The model",
    "Commands to try next",
)


def demo(out: Path, *more: str) -> None:
    tokens: Sequence[str] = ("demo", "card-fraud", "--out", str(out), *SIZE, *more)
    build()(tokens)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("work") / "demo"
    demo(out)
    return out


@pytest.mark.slow
def test_the_report_is_whole_and_asks_nothing_of_any_network(made: Path) -> None:
    page = (made / "report.html").read_text()
    for title in SECTIONS:
        assert f"<h2>{title}</h2>" in page
    for title in ("ROC curve", "Precision and recall", "Calibration", "Threshold and money"):
        assert f"<h3>{title}</h3>" in page
    assert "✓ Verified" in page
    outside = set(re.findall(r"""https?://[^"'<> )]+""", page))
    assert outside <= {"http://www.w3.org/2000/svg"}
    assert "<script" not in page
    assert "src=" not in page


@pytest.mark.slow
def test_the_proof_holds_without_headrace_and_a_changed_one_does_not(made: Path) -> None:
    def verified(proof: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", str(made / "verify_proof.py"), str(proof)]
        command += ["--public-key", str(made / "public-key.pem")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    good = verified(made / "proof.json")
    assert good.returncode == 0, good.stdout
    assert "witness's checkpoint" in good.stdout
    text = (made / "proof.json").read_text()
    record = re.search(r'"record": "([0-9a-f]+)"', text)
    assert record is not None
    changed = made / "changed.json"
    last = record[1][-1]
    changed.write_text(text.replace(record[1], record[1][:-1] + ("0" if last != "0" else "1")))
    assert verified(changed).returncode == 1


@pytest.mark.slow
def test_the_journal_verifies_against_the_witness(made: Path) -> None:
    key = PublicKey.read(made / "public-key.pem")
    checkpoint = newest(made / "witness.jsonl", "card-fraud/0")
    report = verify(made / "home" / "journal" / "card-fraud" / "0", key, checkpoint)
    assert report.good
    assert report.checkpoint
    decisions = pyarrow.parquet.read_table(made / "decisions.parquet")
    assert 11_500 < len(decisions) <= 12_000
    assert set(decisions["outcome"].unique().to_pylist()) <= {"approve", "review", "block"}


@pytest.mark.slow
def test_one_seed_is_one_demo(made: Path, tmp_path: Path) -> None:
    demo(tmp_path / "again")
    columns = ["payment_id", "score", "outcome", "rule"]
    tables = [
        pyarrow.parquet.read_table(place / "decisions.parquet", columns=columns)
        for place in (made, tmp_path / "again")
    ]
    assert tables[0].equals(tables[1])
    # a folder that a demo made is replaced
    before = (tmp_path / "again" / "witness.jsonl").read_text()
    demo(tmp_path / "again", "--seed", "8")
    assert (tmp_path / "again" / "witness.jsonl").read_text() != before


@pytest.mark.slow
def test_a_small_demo_has_fewer_folds_and_one_too_small_says_what_is_enough(
    tmp_path: Path,
) -> None:
    words = ("demo", "trading-signal", "--out", str(tmp_path / "demo"), "--events")
    build()((*words, "6000"))
    assert "2 purged folds of history" in (tmp_path / "demo" / "report.html").read_text()
    with pytest.raises(DataError, match=r"ask for --events 3,000 or more"):
        build()((*words, "2000"))
    build()((*words, "3000"))
    assert "1 purged folds of history" in (tmp_path / "demo" / "report.html").read_text()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "thesis.txt"
    kept.write_text("years of work")
    with pytest.raises(DataError, match="name another folder"):
        demo(tmp_path)
    assert kept.read_text() == "years of work"


@pytest.mark.slow
def test_credit_risk_shows_its_loan_book(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    build()(("demo", "credit-risk", "--out", str(out), "--events", "3000"))
    page = (out / "report.html").read_text()
    for title in (*SECTIONS, "Expected loss", "The book over time", "Roll rates", "Groups"):
        assert f"<h2>{title}</h2>" in page
    assert "defaults caught" in page.lower()
    assert "fraud" not in page.lower()
    # by month on the book, ever more loans have defaulted, and in the end about one in ten
    since = dt.datetime(2026, 1, 5, tzinfo=dt.UTC) + dt.timedelta(days=540)
    sections = report_sections(out / "data", out / "decisions.parquet", since)
    shown = [part for _, _, several in sections for part in several]
    parts: dict[str, Any] = {part[0]: part for part in shown if isinstance(part, tuple)}
    pictures = {part.title: part.svg for part in shown if isinstance(part, hr.Plot)}
    _, columns, rows = parts["Vintages of a quarter: defaulted by months on the book"]
    assert columns[-1] == "by 6 months"
    shares = np.array([[float(text.rstrip("%")) for text in row[3:]] for row in rows])
    assert (np.diff(shares, axis=1) >= 0).all()
    assert 3 < shares[:, -1].mean() < 25
    (losses,) = (part for title, part in parts.items() if title.startswith("After the end"))
    by_outcome = {row[0]: row for row in losses[2]}
    assert all(f"quarter {number}" in pictures["Vintages"] for number in range(1, 9))
    for title in ("Vintages", "Term structure", "What the applicant is told"):
        assert title in page
    # the shares of a bucket's accounts come to all of them
    for row in parts["From the bucket on the left, a month later in"][2]:
        went = [float(text.rstrip("%")) for text in row[2:] if text != "-"]
        assert not went or abs(sum(went) - 100) < 0.5
    lent = [float(by_outcome[name][-1].rstrip("%")) for name in ("approve_standard", "block")]
    assert lent[0] < lent[1]


def _without_pandas(folder: Path, *tokens: str) -> str:
    """What a command prints where pandas, an extra, does not read nanoseconds for it."""
    absent = folder / "absent"
    absent.mkdir(exist_ok=True)
    (absent / "pandas.py").write_text("raise ImportError('it is not installed here')")
    done = subprocess.run(
        [sys.executable, "-c", "from headrace.cli import main; main()", *tokens],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(absent), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_trading_signal_shows_its_directions_and_paper_orders(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    _without_pandas(tmp_path, "demo", "trading-signal", "--out", str(out), "--events", "30000")
    asked = "FROM inputs SELECT received, read LIMIT 3"
    told = _without_pandas(tmp_path, "query", asked, "--home", str(out / "home"))
    assert "2026-01-05 14:30:0" in told
    page = (out / "report.html").read_text()
    for title in SECTIONS:
        assert f"<h2>{title}</h2>" in page
    for words in (
        "Hit rate",
        "Directions told and true",
        "kill_switch",
        "This is no claim of profit",
        "What was traded on paper",
        "net of fees",
    ):
        assert words in page
    decisions = pyarrow.parquet.read_table(out / "decisions.parquet")
    # what came back on paper is in the journal, and only after the end of history
    answers = pyarrow.parquet.read_table(out / "answers.parquet")
    assert {"new", "filled"} <= set(answers["status"].to_pylist())
    assert answers["received"].to_pylist()[0].date() == dt.date(2026, 1, 8)
    acting = decisions.filter(pyarrow.compute.field("outcome").isin(["buy", "sell"]))
    later = acting.filter(
        pyarrow.compute.field("received") >= dt.datetime(2026, 1, 8, tzinfo=dt.UTC)
    )
    made = answers.filter(pyarrow.compute.field("status").isin(["new", "rejected"]))
    assert 0 < len(made) <= len(later)
    assert decisions["position"].to_numpy().max() > 0
    assert "fraud" not in page.lower()
    assert {"buy", "sell", "hold", "halt"} == set(decisions["outcome"].unique().to_pylist())
    # nothing is acted on while a book cannot be read
    unsound = decisions.filter(pyarrow.compute.not_equal(decisions["book_status"], 0))
    assert len(unsound) > 0
    assert set(unsound["outcome"].unique().to_pylist()) <= {"hold", "halt"}
    assert (
        replay(
            out / "home" / "journal" / "trading-signal" / "0",
            recorded_definitions(Home(out / "home"), "trading-signal"),
        ).difference
        is None
    )
    report = verify(
        out / "home" / "journal" / "trading-signal" / "0",
        PublicKey.read(out / "public-key.pem"),
        newest(out / "witness.jsonl", "trading-signal/0"),
    )
    assert report.good
