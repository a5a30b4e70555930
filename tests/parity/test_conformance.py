"""The conformance vectors: the contract says what they say, and so does every way to run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from contract import Contract
from vectors import NAMES, Vector, changes

import headrace as hr
from headrace.engine import engine
from headrace.engine.reference import ReferenceTable
from headrace.journal.reader import stored_batches
from headrace.lifecycle.registry import Registry
from headrace.runtime.home import Home
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.local_lane import LaneSettings
from headrace.runtime.replaying import recorded_definitions, replay

if TYPE_CHECKING:
    from pathlib import Path

    from contract import Input


@pytest.fixture(params=NAMES, scope="module")
def vector(request: pytest.FixtureRequest) -> Vector:
    return Vector(request.param)


def test_there_are_vectors() -> None:
    assert len(NAMES) > 10


def test_the_contract_says_so(vector: Vector) -> None:
    expected = vector.expected()
    scores = {line["seq"]: float.fromhex(line["score"]) for line in expected if "score" in line}
    for line, said in zip(expected, vector.by_contract(scores), strict=True):
        features = said.pop("features", {})
        assert said.items() <= line.items()
        assert features.items() <= line.get("features", {}).items()
        assert features.keys() | vector.recorded >= line.get("features", {}).keys()


def near(name: str, contract: float, recorded: float) -> bool:
    """Whether a recorded value is as near to the contract's as is promised, and Python's own is."""
    if name in ("moved", "from_berlin"):  # kilometres: a metre, or one part in 10 ** 9
        return abs(contract - recorded) <= max(1e-3, 1e-9 * contract)
    return abs(contract - recorded) <= 2 * math.ulp(contract)


@pytest.mark.parametrize("name", ["distance", "elementary", "mixed"])
def test_what_is_recorded_is_near_to_what_the_contract_says(name: str) -> None:
    vector = Vector(name)
    contract = Contract(vector.data, vector.prepared.names)
    events: list[Input] = contract.run(vector.prepared.lines)
    compared = 0
    for event, line in zip(events, vector.expected(), strict=False):
        for feature in vector.recorded & event.features.keys():
            value, recorded = event.features[feature], line["features"][feature]
            assert (value is None) == (recorded is None), f"{feature} of {line}"
            if isinstance(value, float):
                assert near(feature, value, float.fromhex(recorded)), f"{feature} of {line}"
                compared += 1
    assert compared


def test_the_model_says_so() -> None:
    """Margins are XGBoost's own, bit for bit; contributions are its within 1e-5 of their sum."""
    xgboost = pytest.importorskip("xgboost")
    vector = Vector("tree_model")
    names = list(vector.data["features"])
    booster = xgboost.Booster(model_file=str(vector.folder / vector.data["model"]))
    lines = [line for line in vector.expected() if "margin" in line]
    rows = [[line["features"][name] for name in names] for line in lines]
    table = np.array([[math.nan if v is None else float.fromhex(v) for v in row] for row in rows])
    matrix = xgboost.DMatrix(table, feature_names=names)
    margins = booster.predict(matrix, output_margin=True)
    contributions = booster.predict(matrix, pred_contribs=True).astype(float)[:, :-1]
    for line, margin, shares in zip(lines, margins, contributions, strict=True):
        assert float.fromhex(line["margin"]) == margin
        logistic = 1 / (1 + math.exp(-float(margin)))
        assert abs(float.fromhex(line["score"]) - logistic) <= 2 * math.ulp(logistic)
        slack = 1e-5 * max(1.0, float(np.abs(shares).sum()))
        # reasons are what raised the margin, the most first
        most = [share for share in sorted(shares, reverse=True) if share > slack][:3]
        assert len(most) <= len(line["reasons"]) <= 3
        for place, (name, share) in enumerate(line["reasons"]):
            assert abs(float.fromhex(share) - shares[names.index(name)]) <= slack
            assert abs(float.fromhex(share) - [*most, 0.0, 0.0, 0.0][place]) <= slack


def test_every_way_gives_them(
    vector: Vector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = vector.expected()
    assert changes(expected, vector.made()) == []
    digests = [line.get("digest") for line in expected]
    prepared = vector.prepared
    monkeypatch.setattr(engine, "_SMALL", 1)  # small batches get a second thread all the same
    for size, threads in ((1, 2), (7, 1), (100_000, 2)):
        assert vector.digests(vector.run(size, threads)[1]) == digests, f"batches of {size}"
    batches = vector.run(7)[1]
    assert vector.digests(prepared.replayed(batches)) == digests
    read = prepared.steps(prepared.intake(tmp_path), 100_000)
    assert vector.digests(read) == digests[: sum(map(len, read))]
    stopped = prepared.with_a_stop(prepared.intake(), 5, 2)
    assert vector.digests(stopped) == digests[: sum(map(len, stopped))]


def test_rows_of_tables_are_let_go_of_when_nothing_reads_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was replaced is overwritten here at once, as whatever comes next would in time."""
    settle = ReferenceTable.settle
    replaced = []

    def overwritten(table: ReferenceTable) -> None:
        rows = table.rows
        settle(table)
        if rows is not table.rows:
            replaced.append(len(rows))
            rows[:] = 0

    monkeypatch.setattr(ReferenceTable, "settle", overwritten)
    vector = Vector("reference_tables")
    assert changes(vector.expected(), vector.made()) == []
    assert replaced


def test_a_run_over_files_and_its_replay_give_them(vector: Vector, tmp_path: Path) -> None:
    home, case = Home(tmp_path), vector.prepared.case
    if vector.prepared.model is not None:
        registry = Registry(home.models)
        registry.use(case.name, registry.add(vector.artefact))
    settings = RunSettings(lane=LaneSettings(durability="os"), batch_rows=16)
    LocalRun(case, home, vector.sources(), settings=settings).go()
    journal = home.journal(case.name)
    batches = [stored.batch() for stored in stored_batches(journal)]
    digests = [line.get("digest") for line in vector.expected()]
    made = vector.digests(batches)
    assert made == digests[: len(made)]
    assert len(made) == sum(map(len, vector.prepared.lines.values())) <= len(digests)
    found = replay(journal, recorded_definitions(home, case.name))
    assert found.difference is None
    assert found.inputs == len(made)


def test_frames_give_them(vector: Vector) -> None:
    prepared, data = vector.prepared, vector.data
    model = vector.artefact if prepared.model is not None else None
    table = hr.decide(prepared.case, prepared.frames(), model=model)
    rows = {
        name: column.to_pylist() for name, column in zip(table.column_names, table, strict=True)
    }
    compared = 0
    for line in vector.expected()[: sum(map(len, prepared.lines.values()))]:
        if line["stream"] != data["on"]:
            continue
        place = line["position"]
        assert rows["status"][place] == line["verdict"]
        assert rows["reason"][place] == line.get("reason")
        for name, value in line.get("features", {}).items():
            mine = rows[name][place]
            number = mine if mine is None or isinstance(mine, str) else float(mine).hex()
            assert number == value, f"{name} of input {line['seq']}"
            compared += 1
        assert rows["outcome"][place] == line.get("outcome")
        if "margin" in line:
            assert rows["margin"][place].hex() == line["margin"]
    assert compared
