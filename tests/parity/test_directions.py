"""Models of direction: what is trained is what is served, journaled and replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from directions import case, features, frame, quotes

import headrace as hr
from headrace.core.errors import DefinitionError
from headrace.journal.reader import stored_batches
from headrace.journal.tables import tables
from headrace.lifecycle.classification import class_metrics
from headrace.lifecycle.direction_training import TrainedDirection
from headrace.lifecycle.folds import FoldSettings
from headrace.lifecycle.registry import Registry
from headrace.lifecycle.training import TrainingSettings
from headrace.runtime.audit import explain
from headrace.runtime.definitions import Definitions
from headrace.runtime.home import Home
from headrace.runtime.journals import Place
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.local_lane import LaneSettings
from headrace.runtime.models import served_model
from headrace.runtime.replaying import recorded_definitions, replay

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

MODELS: dict[str, Any] = {
    "boosting": hr.XGBoost(trees=30, max_depth=3),
    "logistic": hr.LogisticRegression(),
    "lstm": hr.Lstm(hidden=6, epochs=8, learning_rate=0.02, prune=0.3, quantise=True),
}
SETTINGS = TrainingSettings(folds=FoldSettings(folds=2, embargo_ns=2_000_000_000))


@pytest.fixture(scope="module")
def history() -> pa.Table:
    return frame()


@pytest.fixture(scope="module", params=MODELS)
def trained(
    request: pytest.FixtureRequest, history: pa.Table
) -> tuple[hr.UseCase, TrainedDirection]:
    name: str = request.param
    if name != "boosting":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    if name == "lstm":
        pytest.importorskip("torch")
    made = case(MODELS[name])
    found = hr.train(made, {"quotes": history}, settings=SETTINGS)
    assert isinstance(found, TrainedDirection)
    return made, found


def test_a_direction_that_can_be_told_is_told(
    trained: tuple[hr.UseCase, TrainedDirection],
) -> None:
    _, found = trained
    # two thirds of the next move are made of the imbalance; a guess would come to 0.33
    assert found.metrics.macro_f1 > 0.6
    assert len(found.judged) == 2
    assert found.artefact.manifest.metrics["macro-F1"] == found.metrics.macro_f1
    for judged in found.judged:
        again = class_metrics(judged.truth, judged.scores, ("up", "flat", "down"))
        assert again.macro_f1 == judged.metrics.macro_f1
        moves = np.abs(found.moves.size[judged.fold.train])
        assert np.mean(moves <= judged.threshold) == pytest.approx(1 / 3, abs=0.01)


def test_what_a_smaller_net_costs_is_in_its_manifest(
    trained: tuple[hr.UseCase, TrainedDirection],
) -> None:
    made, found = trained
    told = found.artefact.manifest.metrics
    if isinstance(made.model, hr.Lstm):
        for stage in ("as fitted", "pruned", "quantised"):
            assert 0.0 <= told[f"macro-F1 {stage}, last fold"] <= 1.0
        # the last stage is what was judged
        assert told["macro-F1 quantised, last fold"] == found.judged[-1].metrics.macro_f1
    else:
        assert not any("last fold" in name for name in told)


def test_what_was_judged_is_what_is_served(
    tmp_path: Path, history: pa.Table, trained: tuple[hr.UseCase, TrainedDirection]
) -> None:
    made, found = trained
    home = Home(tmp_path / "home")
    registry = Registry(home.models)
    registry.use(made.name, registry.add(found.artefact))
    path = tmp_path / "quotes.parquet"
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(history, path)
    settings = RunSettings(lane=LaneSettings(durability="os"), batch_rows=700)
    LocalRun(made, home, [str(path)], settings=settings).go()
    served = tables(home.journal(made.name))["decisions"].sort_by("seq")
    # the model of the last fold scored these events in training: the same bits come out live
    rows = found.judged[-1].fold.test
    for place, name in enumerate(("up", "flat", "down")):
        column = served[f"score_{name}"].to_numpy(zero_copy_only=False)
        assert column[rows].tobytes() == found.judged[-1].scores[place].tobytes()
    assert served["score"].equals(served["score_up"])
    assert {"buy", "sell"} <= set(served["outcome"].to_pylist())
    replayed = replay(home.journal(made.name), recorded_definitions(home, made.name))
    assert replayed.difference is None
    assert replayed.decisions == len(history)
    assert replayed.furthest == (None if isinstance(made.model, hr.XGBoost) else 0.0)
    told = hr.decide(made, {"quotes": history}, model=found.artefact)
    assert told["score_down"].to_numpy(zero_copy_only=False).tobytes() == (
        served["score_down"].to_numpy(zero_copy_only=False).tobytes()
    )
    batch = next(stored_batches(home.journal(made.name))).batch()
    has_reasons = bool((batch.decisions.reason_feature >= 0).any())
    assert has_reasons == isinstance(made.model, hr.XGBoost)


def test_a_decision_is_explained_by_the_class_that_it_rests_on(
    tmp_path: Path, history: pa.Table, trained: tuple[hr.UseCase, TrainedDirection]
) -> None:
    made, found = trained
    if not isinstance(made.model, hr.XGBoost):
        pytest.skip("a net has no exact contributions, and gives no reasons")
    home = Home(tmp_path / "home")
    registry = Registry(home.models)
    registry.use(made.name, registry.add(found.artefact))
    path = tmp_path / "quotes.parquet"
    pytest.importorskip("pyarrow.parquet").write_table(history, path)
    settings = RunSettings(lane=LaneSettings(durability="os"), batch_rows=700)
    LocalRun(made, home, [str(path)], settings=settings).go()
    model = served_model(made, found.artefact)
    names = [feature.name for feature in made.plan.features]
    journal = home.journal(made.name)
    seen = set()
    for stored in stored_batches(journal):
        decisions = stored.batch().decisions
        taken = model.taken(decisions.features[: len(names)], ())
        for at in np.flatnonzero(decisions.rule >= 0).tolist():
            rule = stored.header.rules[int(decisions.rule[at])]
            place = ("up", "flat", "down").index(rule)
            wanted = model.reasons(taken, np.array([at]), 3, np.array([place]))
            assert decisions.reason_feature[:, at].tolist() == wanted[0][:, 0].tolist()
            assert decisions.reason_contribution[:, at].tobytes() == wanted[1].tobytes()
            if rule not in seen:
                seen.add(rule)
                where = Place(journal, made.name, 0, int(decisions.seq[at]))
                assert explain(where, Definitions(home.definitions)).explains == rule
    assert seen == {"up", "down"}


@pytest.mark.parametrize("model", [hr.Lstm(), hr.LogisticRegression()])
def test_a_model_of_direction_needs_a_label_of_one(model: hr.Lstm) -> None:
    with pytest.raises(DefinitionError, match="no label of one"):
        hr.UseCase(on=quotes, features=features, model=model)


def test_a_use_case_is_refused_where_its_label_cannot_be_read() -> None:
    with pytest.raises(DefinitionError, match="LightGBM is not fitted to directions"):
        case(hr.LightGBM())
    other = hr.features(last=quotes.bid)
    with pytest.raises(DefinitionError, match="direction of 'last', which is no feature"):
        hr.UseCase(
            on=quotes,
            features=features,
            label=hr.direction(other.last, key="symbol", events=5),
            model=hr.XGBoost(),
        )
    with pytest.raises(DefinitionError, match="is called as the score of a class"):
        hr.UseCase(
            on=quotes,
            features=hr.features(features, score_up=quotes.bid),
            label=hr.direction(features.mid, key="symbol", events=5),
            model=hr.XGBoost(),
        )
