"""The use case on a simulated loan book: from files to decisions, replay, notices and reviews."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import headrace as hr
from headrace.cli.explain import explain
from headrace.cli.notice import notice
from headrace.core.errors import DataError, DefinitionError
from headrace.journal.reader import stored_batches
from headrace.lifecycle.notice import text_notice
from headrace.lifecycle.split import SplitSettings
from headrace.lifecycle.training import TrainingSettings
from headrace.pipeline.lane import LaneLimits
from headrace.runtime.home import Home
from headrace.runtime.journals import Journals
from headrace.runtime.loading import load_case
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.local_lane import LaneSettings
from headrace.runtime.notices import notice_of
from headrace.runtime.replaying import recorded_definitions, replay
from headrace.runtime.sources import SourceName
from headrace.runtime.training import train_on_files
from headrace_solutions.credit_risk import case as case_module
from headrace_solutions.credit_risk import credit_risk, simulate_to
from headrace_solutions.credit_risk.case import MONOTONE
from headrace_solutions.credit_risk.simulator import SimulationSettings, simulate

if TYPE_CHECKING:
    from headrace.journal.batch import JournalBatch

CASE = str(Path(case_module.__file__))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("book")
    (written,) = simulate_to(folder, events=3000, days=720, seed=3)
    return written


@pytest.fixture(scope="module")
def home(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which the use case was trained and has decided the whole book, with reviews."""
    made = Home(tmp_path_factory.mktemp("home"))
    names = [SourceName(stream, str(path)) for stream, path in files.items()]
    settings = TrainingSettings(split=SplitSettings(test=0.1))
    train_on_files(credit_risk, made, names, settings)
    reviews = files["applications"].parent / "reviews.parquet"
    pq.write_table(reviews_of(files), reviews)
    run(made, {**files, "reviews": reviews}, rows=4096)
    return made


def reviews_of(files: dict[str, Path]) -> pa.Table:
    """The first application is contested, and a person looks at it again, both late in the book."""
    last = pq.read_table(files["applications"])["at"][-1].as_py()
    at = [last + dt.timedelta(hours=hour) for hour in (1, 2)]
    return pa.table(
        {
            "review_id": ["contest_1", "review_1"],
            "at": pa.array(at, pa.timestamp("s", "UTC")),
            "received": pa.array(at, pa.timestamp("s", "UTC")),
            "application_id": ["app_0000000"] * 2,
            "kind": ["contest", "review"],
            "officer": [None, "officer 7"],
            "outcome": [None, "upheld"],
            "words": ["My income was typed wrongly.", "Payslips agree with the application."],
        }
    )


def run(home: Home, files: dict[str, Path], *, rows: int, threads: int = 1) -> list[JournalBatch]:
    sources = [f"{stream}={path}" for stream, path in files.items()]
    settings = RunSettings(
        lane=LaneSettings(durability="os", limits=LaneLimits(threads=threads)), batch_rows=rows
    )
    LocalRun(credit_risk, home, sources, settings=settings).go()
    return [stored.batch() for stored in stored_batches(home.journal("credit-risk"))]


def decisions(home: Home) -> list[tuple[int, str]]:
    """Number and outcome of every decision."""
    found = []
    for stored in stored_batches(home.journal("credit-risk")):
        made = stored.batch().decisions
        names = [stored.header.outcomes[number] for number in made.outcome.tolist()]
        found += list(zip(made.seq.tolist(), names, strict=True))
    return found


def test_the_book_is_the_same_for_a_seed_and_follows_the_economy() -> None:
    settings = SimulationSettings(events=6000, days=720, seed=5)
    book = simulate(settings)
    assert book.defaults.equals(simulate(settings).defaults)
    assert not book.defaults.equals(simulate(SimulationSettings(6000, 720, seed=6)).defaults)
    bad = np.isin(
        book.applications["application_id"].to_numpy(),
        book.defaults["application_id"].to_numpy(),
    )
    assert 0.05 < bad.mean() < 0.2
    rates = [part.mean() for part in np.array_split(bad, 8)]
    assert max(rates[4:7]) > 1.25 * np.mean(rates[:3])  # the recession is in the second half


def test_it_decides_with_every_outcome_and_replays_byte_for_byte(home: Home) -> None:
    outcomes = {name for _, name in decisions(home)}
    assert outcomes == {"approve", "approve_standard", "approve_high", "review", "block"}
    replayed = replay(home.journal("credit-risk"), recorded_definitions(home, "credit-risk"))
    assert replayed.difference is None
    assert replayed.decisions == 3000


def test_scores_are_calibrated_and_small_batches_change_nothing(
    home: Home, files: dict[str, Path], tmp_path: Path
) -> None:
    other = Home(tmp_path / "home")
    shutil.copytree(home.models, other.models)
    again = run(other, files, rows=777, threads=2)
    whole = [stored.batch() for stored in stored_batches(home.journal("credit-risk"))]
    for name in ("margin", "score", "outcome", "rules", "features", "reason_contribution"):
        one, two = (
            np.concatenate(
                [np.atleast_2d(getattr(b.decisions, name)) for b in batches if len(b.decisions)],
                axis=1,
            )
            for batches in (whole, again)
        )
        assert one.tobytes() == two.tobytes(), name
    margin, score = (
        np.concatenate([getattr(batch.decisions, name) for batch in whole])
        for name in ("margin", "score")
    )
    assert not np.allclose(score, 1 / (1 + np.exp(-margin)))
    order = np.argsort(margin, kind="stable")
    assert (np.diff(score[order]) >= -1e-15).all()


def test_a_notice_names_the_reasons_with_the_applicants_own_values(
    home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    journals = Journals(home)
    blocked = [seq for seq, outcome in decisions(home) if outcome == "block"]
    told = 0
    for seq in blocked[:40]:
        made = notice_of(credit_risk, home, journals.decision(f"credit-risk/0/{seq}"), "Jo Doe")
        assert 1 <= len(made.reasons) <= 4
        assert len(made.factors) <= 4
        assert all(re.search(r"\d|not known|kind", reason) for reason in made.reasons)
        assert "missing" not in " ".join(made.reasons)
        assert made.score is not None
        assert 300 <= made.score.points <= 850
        if made.counterfactual:
            assert re.search(r"would have been approved at (our|a) \w+ price", made.counterfactual)
            told += 1
    assert told > 0
    decision = f"credit-risk/0/{blocked[0]}"
    notice(CASE, decision, applicant="Jo Doe, 3 Elm St", home=home.folder)
    text = capsys.readouterr().out
    for part in ("Jo Doe, 3 Elm St", "Example Bank", "declined", "Principal reasons", decision):
        assert part in text
    page = tmp_path / "notice.html"
    notice(CASE, decision, form="html", out=page, home=home.folder)
    assert "<ol><li>" in page.read_text()
    assert "applicant " in page.read_text()  # by surrogate, where no name is given
    capsys.readouterr()
    notice(CASE, decision, form="json", home=home.folder)
    plain: dict[str, Any] = msgspec.json.decode(capsys.readouterr().out)
    assert plain["decision"] == decision


def test_a_rule_that_asks_for_no_score_is_the_reason_and_the_score_is_none(home: Home) -> None:
    """The instalment alone declined them: nothing of the score is named as a reason of it."""
    journals = Journals(home)
    alone = [
        made
        for seq, outcome in decisions(home)
        if outcome == "block"
        for made in [notice_of(credit_risk, home, journals.decision(f"credit-risk/0/{seq}"))]
        if made.reasons != made.factors
    ]
    assert alone
    for made in alone:
        (reason,) = made.reasons
        assert re.fullmatch(
            r"What is required: an instalment of at most 60% of the income;"
            r" the instalment would take \d+% of the income\.",
            reason,
        )
        text = text_notice(made)
        assert "which did not decide" in text
        assert "instalment_share" not in text


def test_there_is_no_notice_of_an_approval_or_without_a_declaration(home: Home) -> None:
    approved = next(seq for seq, outcome in decisions(home) if outcome == "approve")
    place = Journals(home).decision(f"credit-risk/0/{approved}")
    with pytest.raises(DataError, match="not adverse"):
        notice_of(credit_risk, home, place)
    silent = hr.UseCase(
        name="credit-risk", on=credit_risk.on, features=credit_risk.features, policy=None
    )
    with pytest.raises(DefinitionError, match="nothing of adverse action"):
        notice_of(silent, home, place)


def test_reviews_are_recorded_beside_the_decision_and_read_by_no_feature(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    explain("app_0000000", later=True, home=home.folder)
    said = capsys.readouterr().out
    assert "contest" in said
    assert "My income was typed wrongly." in said
    assert "officer 7" in said
    read = {group.stream for group in credit_risk.plan.groups}
    assert "reviews" not in read
    with pytest.raises(DefinitionError, match="beside="):
        hr.UseCase(on=credit_risk.on, features=credit_risk.features, beside=("reviews",))  # type: ignore[arg-type]  # the mistake


def test_the_file_is_a_use_case_of_its_own_and_declares_directions_of_its_features() -> None:
    found = load_case(CASE)
    assert found.name == "credit-risk"
    assert set(MONOTONE) <= set(found.features)
