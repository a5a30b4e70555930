"""Search for less discriminatory alternatives: the front, the choice, and its record."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import headrace as hr
from headrace.cli import build
from headrace.core.errors import DataError, DefinitionError
from headrace.lifecycle.alternatives import Alternatives, SearchSettings, stratified
from headrace.lifecycle.alternatives_record import read_alternatives, write_alternatives
from headrace.lifecycle.alternatives_report import alternatives_report
from headrace.lifecycle.candidates import candidates, difference
from headrace.lifecycle.split import SplitSettings
from headrace.lifecycle.training import TrainingSettings
from headrace.models.artefact import Artefact
from headrace.runtime.home import Home
from headrace.runtime.loading import load_case

if TYPE_CHECKING:
    from pathlib import Path

CASE = """
import headrace as hr


class Application(hr.Event):
    application_id: hr.Id
    at: hr.EventTime
    income: hr.Float
    debt: hr.Float
    quarter: hr.Category
    sex: hr.Category = hr.field(protected=True)
    age: hr.Int = hr.field(protected=True)


class Default(hr.Event):
    default_id: hr.Id
    at: hr.EventTime
    application_id: hr.Ref[Application]


applications = hr.stream(Application, name="applications")
defaults = hr.stream(Default, name="defaults")
case = hr.UseCase(
    name="loans",
    on=applications,
    features=hr.features(
        income=applications.income, debt=applications.debt, quarter=applications.quarter
    ),
    label=defaults.of(applications).within("1d"),
    model=hr.XGBoost(
        trees=20, max_depth=2, early_stopping=None, monotone={"debt": 1}, seed=3,
        extra={"nthread": 1},
    ),
    policy=hr.Policy(hr.block("risk", hr.score >= 0.5), otherwise=hr.approve()),
)
"""
ROWS = 3000


def frames() -> dict[str, pa.Table]:
    """Debt says who defaults; the quarter of town says little of that, and much of sex."""
    random = np.random.default_rng(5)
    female = random.random(ROWS) < 0.5
    debt, income = random.random(ROWS), random.random(ROWS)
    west = random.random(ROWS) < np.where(female, 0.9, 0.1)
    chance = 1 / (1 + np.exp(-(-2.5 + 3 * debt + 0.8 * west)))
    bad = random.random(ROWS) < chance
    at = np.datetime64("2026-01-01", "s") + 600 * np.arange(ROWS)
    ids = np.array([f"a{number}" for number in range(ROWS)])
    return {
        "applications": pa.table(
            {
                "application_id": ids,
                "at": pa.array(at, pa.timestamp("s", "UTC")),
                "income": income,
                "debt": debt,
                "quarter": np.where(west, "west", "east"),
                "sex": np.where(female, "f", "m"),
                "age": random.integers(18, 80, ROWS),
            }
        ),
        "defaults": pa.table(
            {
                "default_id": np.char.add("d", ids[bad]),
                "at": pa.array(at[bad] + 60, pa.timestamp("s", "UTC")),
                "application_id": ids[bad],
            }
        ),
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loans")
    (folder / "loans.py").write_text(CASE)
    for name, table in frames().items():
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def case(place: Path) -> hr.UseCase:
    return load_case(str(place / "loans.py"))


BY: dict[str, tuple[float, ...]] = {"sex": (), "age": (30, 62)}


@pytest.fixture(scope="module")
def found(case: hr.UseCase) -> Alternatives:
    return hr.alternatives(case, frames(), by=BY, count=9, folds=3, approved=0.7)


def test_every_model_is_judged_on_the_same_events_and_approves_as_many(found: Alternatives) -> None:
    assert len(found.tried) == 9
    assert found.declared.says == "nothing: as declared"
    for one in found.tried:
        assert len(one.areas) == 3
        for impact in one.impacts:
            assert sum(group.count for group in impact.groups) == found.events
            share = sum(group.approved for group in impact.groups) / found.events
            assert share == pytest.approx(0.7, abs=0.002)
    table = found.table()
    assert table.num_rows == 9
    assert {"sex impact ratio", "age difference", "AUC"} <= set(table.column_names)


def test_the_front_is_what_no_other_beats(found: Alternatives) -> None:
    front = {one.number for one in found.front}
    for one in found.tried:
        beaten = any(
            other.area >= one.area
            and other.ratio >= one.ratio
            and (other.area, other.ratio, -other.number) > (one.area, one.ratio, -one.number)
            for other in found.tried
        )
        assert (one.number in front) != beaten
    for better, worse in itertools.pairwise(found.front):
        assert better.area > worse.area
        assert better.ratio < worse.ratio


def test_leaving_out_the_proxy_is_found_to_weigh_less(found: Alternatives) -> None:
    """Without the quarter of town, which speaks of sex, the ratio by sex is near 1."""
    without = [one for one in found.tried if "quarter" in one.model.without]
    reading = [one for one in found.tried if "quarter" not in one.model.without]
    assert without
    assert min(one.impacts[0].ratio for one in without) > max(
        one.impacts[0].ratio for one in reading
    )
    assert found.front[-1] in without


def test_the_same_seed_finds_the_same_and_another_does_not(
    case: hr.UseCase, found: Alternatives
) -> None:
    again = hr.alternatives(case, frames(), by=BY, count=9, folds=3, approved=0.7)
    assert again == found
    other = hr.alternatives(case, frames(), by=BY, count=2, folds=3, approved=0.7, seed=1)
    assert other.tried[1].model != found.tried[1].model


def test_candidates_are_drawn_without_data_and_differ_in_what_they_say() -> None:
    declared = hr.XGBoost(trees=50, subsample=0.8)
    models = list(candidates(declared, ["a", "b", "c", "d"], 13, seed=2))
    assert models[0] is declared
    assert len({difference(declared, one) for one in models}) == 13
    assert "seed" in difference(declared, models[1])
    assert all(0 < len(one.without) < 4 for one in (models[3], models[4]))
    # where nothing is drawn in fitting, another seed would be the same model
    still = list(candidates(hr.XGBoost(), ["a", "b", "c", "d"], 9, seed=2))
    assert not any("seed" in difference(still[0], one) for one in still)
    cards = list(candidates(hr.Scorecard(), ["a", "b", "c"], 5, seed=2))
    assert all(isinstance(one, hr.Scorecard) for one in cards)
    assert len(set(map(repr, cards))) == 5


def test_folds_hold_both_classes_evenly() -> None:
    y = (np.arange(103) % 5 == 0).astype(np.float64)
    fold = stratified(y, 4, seed=9)
    for value in (0.0, 1.0):
        counts = np.bincount(fold[y == value], minlength=4)
        assert counts.max() - counts.min() <= 1


def test_the_choice_and_its_reason_are_part_of_the_model(
    case: hr.UseCase, found: Alternatives
) -> None:
    chosen = found.choose(found.front[-1].number, because="level in accuracy, and more even")
    trained = hr.train(case, frames(), alternative=chosen)
    manifest = trained.artefact.manifest
    left_out = set(chosen.alternative.model.without)
    assert left_out
    assert set(manifest.features) == {"income", "debt", "quarter"} - left_out
    record = manifest.alternatives
    assert record["because"] == "level in accuracy, and more even"
    assert record["chosen"]["number"] == chosen.alternative.number
    assert record["declared"]["ROC AUC"] == found.declared.area
    assert 0 < record["on the test part"]["sex"]["impact ratio"] <= 1
    # it is served as any other: what is left out is not read, and is no reason
    decided = hr.decide(case, frames(), model=trained.artefact)
    assert not np.isnan(decided["score"].to_numpy()).any()
    reasons = {r["feature"] for given in decided["reasons"].to_pylist() for r in given}
    assert not reasons & left_out
    plain = hr.train(case, frames())
    assert plain.artefact.manifest.alternatives == {}
    assert plain.artefact.id != trained.artefact.id


def test_a_search_is_read_as_it_was_written(found: Alternatives, tmp_path: Path) -> None:
    path = tmp_path / "alternatives.json"
    write_alternatives(found, path)
    again = read_alternatives(path)
    assert [one.model for one in again.tried] == [one.model for one in found.tried]
    assert [one.impacts for one in again.tried] == [one.impacts for one in found.tried]
    assert again.front == found.front
    path.write_text(json.dumps({"version": 9}))
    with pytest.raises(DataError, match="holds no search"):
        read_alternatives(path)


def test_the_page_shows_the_front_and_every_group(found: Alternatives) -> None:
    page = alternatives_report(found).html()
    assert "The front" in page
    assert "62 and over" in page
    for one in found.tried:
        assert f"{one.area:.4f}" in page


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ({"income": ()}, "no protected field"),
        ({"age": ()}, "is a number"),
        ({"sex": (3,)}, "no number"),
        ({"age": (62, 30)}, "ascending"),
        ({}, "names no protected attribute"),
    ],
)
def test_what_is_measured_by_is_checked(case: hr.UseCase, by: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        hr.alternatives(case, frames(), by=by, count=2, folds=2)


def test_a_choice_needs_a_reason_and_the_same_definition(
    case: hr.UseCase, found: Alternatives
) -> None:
    with pytest.raises(DefinitionError, match="no reason"):
        found.choose(1, because=" ")
    with pytest.raises(DefinitionError, match="no alternative 99"):
        found.choose(99, because="it is there")
    chosen = found.choose(1, because="a try")
    other = replace(chosen, search=replace(found, definition="another"))
    with pytest.raises(DefinitionError, match="another definition"):
        hr.train(case, frames(), alternative=other)
    early = TrainingSettings(split=SplitSettings(test=0.6))
    with pytest.raises(DataError, match="took part in the search"):
        hr.train(case, frames(), settings=early, alternative=chosen)
    with pytest.raises(DefinitionError, match="folds=1"):
        SearchSettings(BY, folds=1)


def test_without_is_checked_when_the_case_is_loaded(case: hr.UseCase) -> None:
    for wrong in (("unheard",), ("income", "debt", "quarter")):
        with pytest.raises(DefinitionError, match="without="):
            hr.UseCase(
                on=case.on,
                features=case.features,
                label=case.label,
                model=hr.XGBoost(without=wrong),
            )


def test_by_the_commands(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = build()
    files = (
        *("--history", str(place / "applications.parquet")),
        *("--labels", str(place / "defaults.parquet")),
    )
    out, home, file = place / "alternatives", place / "home", str(place / "loans.py")
    search = ("alternatives", file, *files, "--out", str(out), "--count", "5", "--folds", "3")
    command((*search, "--by", "sex", "--by", "age=30,62"))
    printed = capsys.readouterr().out
    assert "the front of 5 models" in printed
    assert "--choose NUMBER" in printed
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    train = ("train", file, *files, "--home", str(home))
    which = ("--alternatives", str(out / "alternatives.json"))
    command((*train, *which, "--choose", "3", "--because", "more even by sex"))
    assert "chosen because: more even by sex" in capsys.readouterr().out
    (model,) = [item for item in Home.at(home).models.iterdir() if item.is_dir()]
    assert Artefact.load(model).manifest.alternatives["because"] == "more even by sex"
    assert "Chosen because: more even by sex" in (model / "card.md").read_text()
    with pytest.raises(DefinitionError, match="not which of them"):
        command((*train, *which))
    with pytest.raises(DefinitionError, match="name the file too"):
        command((*train, "--choose", "1"))
    with pytest.raises(DefinitionError, match="age=young"):
        command((*search, "--by", "age=young"))


@pytest.mark.parametrize(
    "model",
    [
        hr.LightGBM(trees=10, without=("income",), monotone={"income": -1, "debt": 1}),
        hr.Scorecard(without=("income",), monotone={"income": -1}),
    ],
    ids=["LightGBM", "Scorecard"],
)
def test_every_kind_of_model_leaves_features_out(case: hr.UseCase, model: Any) -> None:
    assert case.label is not None
    leaner = hr.UseCase(
        name="loans", on=case.on, features=case.features, label=case.label, model=model
    )
    artefact = hr.train(leaner, frames()).artefact
    assert artefact.manifest.features == ("debt", "quarter")
    assert artefact.manifest.specification["without"] == ("income",)
    given = frames()
    moved = given["applications"].set_column(2, "income", pa.array(np.full(ROWS, 9.0)))
    one = hr.decide(leaner, {"applications": given["applications"]}, model=artefact)
    other = hr.decide(leaner, {"applications": moved}, model=artefact)
    assert one["score"].equals(other["score"])


def test_a_model_of_directions_leaves_none_out(case: hr.UseCase) -> None:
    features = hr.features(debt=case.features.debt, income=case.features.income)
    towards = hr.UseCase(
        on=case.on,
        features=features,
        label=hr.direction(features.debt, key="quarter", events=1),
        model=hr.XGBoost(without=("income",)),
    )
    with pytest.raises(DefinitionError, match="reads every feature"):
        hr.train(towards, frames()["applications"])
