"""Nets are fitted from a seed, agree with ONNX Runtime, and get smaller where asked to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.core.errors import DataError, DefinitionError
from headrace.models.net_specification import LogisticRegression, Lstm
from headrace.models.net_training import ClassExamples, class_weights, fit_logistic, fit_lstm
from headrace.models.onnx_model import independent_rows, opened, run

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

SMALL: dict[str, Any] = {"hidden": 4, "epochs": 4, "batch": 64, "learning_rate": 0.02}


def examples(first: int, last: int) -> ClassExamples:
    """Sequences whose class is that of the sum of one feature; some values are missing."""
    random = np.random.default_rng(5)
    X = random.normal(2.0, 3.0, (600, 5, 3)).astype(np.float32)
    y = np.digitize((X[:, :, 1] - 2.0).sum(axis=1), [-3.0, 3.0])
    X[random.random(X.shape) < 0.05] = np.nan
    return ClassExamples(X[first:last], y[first:last].astype(np.int64))


def fitted(**settings: Any) -> Any:
    pytest.importorskip("torch")
    said = Lstm(**{**SMALL, **settings})
    return fit_lstm(said, examples(0, 400), examples(400, 600), 3)


def accuracy(content: bytes, net: Any) -> float:
    later = examples(400, 600)
    scores = run(opened(content), net.binding, {"sequence": later.X})
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-5)
    return float((scores.argmax(axis=1) == later.y).mean())


@pytest.mark.parametrize("layers", [1, 2])
def test_what_is_learned_is_what_is_served(layers: int) -> None:
    net = fitted(layers=layers)
    assert accuracy(net.content, net) > 0.6
    # ONNX Runtime and PyTorch were compared on the way
    assert net.told["apart from library"] <= net.binding.tolerance
    assert list(net.stages) == ["as fitted"]


def test_a_seed_gives_the_same_file() -> None:
    net = fitted()
    assert fitted().content == net.content
    assert fitted(seed=1).content != net.content


def test_each_step_to_a_smaller_net_is_there_to_be_judged() -> None:
    net = fitted(prune=0.6, quantise=True, hidden=24)
    assert list(net.stages) == ["as fitted", "pruned", "quantised"]
    assert len(net.stages["quantised"]) < len(net.stages["as fitted"])
    for content in net.stages.values():
        assert 0.3 < accuracy(content, net) <= 1.0
    onnx: Any = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(net.stages["pruned"])
    weights = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    sized = [weights[name] for name in ("W_0", "R_0", "output_weight")]
    zeros = sum(int((part == 0).sum()) for part in sized)
    assert zeros / sum(part.size for part in sized) == pytest.approx(0.6, abs=0.01)
    assert (weights["B_0"] != 0).any()


def test_rows_of_a_quantised_net_are_scored_one_by_one() -> None:
    net = fitted(quantise=True)
    feeds = {"sequence": examples(0, 24).X}
    assert independent_rows(opened(net.stages["as fitted"]), net.binding, feeds) > 1
    assert independent_rows(opened(net.content), net.binding, feeds) == 1


def test_training_stops_when_validation_gets_no_better() -> None:
    net = fitted(epochs=60, early_stopping=2, learning_rate=0.1)
    assert net.told["epochs"] < 60


def test_logistic_regression_is_served_as_it_was_fitted() -> None:
    known = examples(0, 400)
    flat = ClassExamples(known.X[:, -1], known.y)
    net = fit_logistic(LogisticRegression(), flat, 3)
    scores = run(opened(net.content), net.binding, {"features": flat.X})
    assert (scores.argmax(axis=1) == flat.y).mean() > 0.4
    assert net.told["apart from library"] <= 1e-6


def test_two_classes_have_two_scores() -> None:
    known = examples(0, 400)
    flat = ClassExamples(known.X[:, -1], (known.y > 0).astype(np.int64))
    net = fit_logistic(LogisticRegression(class_weight=None), flat, 2)
    scores = run(opened(net.content), net.binding, {"features": flat.X})
    assert scores.shape == (400, 2)


def test_a_class_without_events_is_refused() -> None:
    with pytest.raises(DataError, match=r"\[2, 0, 1\] events of each class"):
        class_weights(np.array([0, 2, 0]), 3, "balanced")


@pytest.mark.parametrize(
    "settings",
    [{"hidden": 0}, {"prune": 1.0}, {"class_weight": 3.0}, {"seed": -1}, {"device": "gpu"}],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(DefinitionError, match=f"{name}=.* of hr.Lstm"):
        Lstm(**settings)
