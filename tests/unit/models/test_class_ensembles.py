"""XGBoost models of several classes against the library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.models.test_contributions import brute_force

from headrace.core.columns import Kind
from headrace.core.errors import ArtefactError, DefinitionError
from headrace.definitions.plan import Feature
from headrace.models.artefact import Artefact, Manifest
from headrace.models.class_ensembles import ServedClasses
from headrace.models.class_training import fit_xgboost_classes
from headrace.models.net_training import ClassExamples
from headrace.models.specification import XGBoost
from headrace.models.xgboost_format import read_xgboost_classes

NAMES = ("up", "flat", "down")
COLUMNS = ("a", "b", "c", "d")


def data(count: int = 1_200) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    X = random.normal(size=(count, len(COLUMNS)))
    X[random.random(X.shape) < 0.1] = np.nan
    y = np.digitize(np.nan_to_num(X[:, 0]) + 0.5 * np.nan_to_num(X[:, 1]), [-0.6, 0.6])
    return X, y.astype(np.int64)


def fitted(**options: Any) -> bytes:
    X, y = data()
    return fit_xgboost_classes(
        XGBoost(**{"max_depth": 3, "trees": 12, **options}),
        ClassExamples(X[:900], y[:900]),
        ClassExamples(X[900:], y[900:]),
        3,
        names=COLUMNS,
        categorical=[False] * len(COLUMNS),
    ).content


def served(content: bytes, classes: tuple[str, ...] = NAMES) -> ServedClasses:
    manifest = Manifest(
        model_sha256="",
        form="xgboost-classes-json",
        definition="",
        features=COLUMNS,
        vocabulary={},
        specification={},
        trees=0,
        data={},
        arrival="known",
        label={},
        split={},
        metrics={},
        libraries={},
        classes=classes,
    )
    features = [Feature(name, n, Kind.FLOAT) for n, name in enumerate(COLUMNS)]
    return ServedClasses(Artefact(content, manifest), features)


@pytest.mark.parametrize(
    "options",
    [{}, {"early_stopping": None}, {"class_weight": "balanced"}, {"extra": {"max_bin": 32}}],
)
def test_margins_are_the_librarys_bit_for_bit(options: dict[str, Any]) -> None:
    content = fitted(**options)
    X, _ = data()
    booster = xgboost.Booster(model_file=bytearray(content))
    matrix = xgboost.DMatrix(X, feature_names=list(COLUMNS))
    wanted = booster.predict(matrix, output_margin=True)
    model = served(content)
    taken = model.taken(np.ascontiguousarray(X.T), [])
    np.testing.assert_array_equal(model.margins(taken).astype(np.float32).T, wanted)
    scores = model.score(taken)
    np.testing.assert_allclose(scores.classes.T, booster.predict(matrix), atol=1e-6)
    np.testing.assert_array_equal(scores.probability, scores.classes[0])
    np.testing.assert_allclose(scores.classes.sum(axis=0), 1.0, atol=1e-12)


def test_reasons_are_what_raised_the_first_class() -> None:
    content = fitted()
    X, _ = data()
    booster = xgboost.Booster(model_file=bytearray(content))
    matrix = xgboost.DMatrix(X[:50], feature_names=list(COLUMNS))
    wanted = booster.predict(matrix, pred_contribs=True)[:, 0, :-1]
    model = served(content)
    taken = model.taken(np.ascontiguousarray(X[:50].T), [])
    feature, contribution = model.reasons(taken, np.arange(50), 2)
    for row in range(50):
        for place in range(2):
            if feature[place, row] >= 0:
                known = wanted[row, feature[place, row]]
                assert contribution[place, row] == pytest.approx(known, abs=1e-5)
        if (wanted[row] > 1e-3).any():
            assert feature[0, row] == wanted[row].argmax()


CONTENT = fitted(trees=4)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 299), st.integers(0, len(NAMES) - 1)), min_size=1, max_size=6
    ),
    st.integers(1, 4),
)
def test_each_row_is_explained_by_its_class(rows: list[tuple[int, int]], count: int) -> None:
    """Against Shapley values by their definition, of each class's own trees."""
    X, _ = data(300)
    model = served(CONTENT)
    taken = model.taken(np.ascontiguousarray(X.T), [])
    numbers, of = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    feature, contribution = model.reasons(taken, numbers, count, of)
    assert feature.shape == contribution.shape == (count, len(rows))
    ensembles = read_xgboost_classes(CONTENT)
    for at, (row, place) in enumerate(rows):
        exact = np.array(brute_force(ensembles[place], taken[:, row])[:-1])
        wanted = np.sort(exact[exact > 1e-9])[::-1][:count]
        there = feature[:, at] >= 0
        np.testing.assert_allclose(contribution[there, at][: len(wanted)], wanted, atol=1e-9)
        np.testing.assert_allclose(exact[feature[there, at]], contribution[there, at], atol=1e-9)
        # the same bits alone as among others
        alone = model.reasons(taken, numbers[at : at + 1], count, of[at : at + 1])
        assert alone[0].tobytes() == np.ascontiguousarray(feature[:, at]).tobytes()
        assert alone[1].tobytes() == np.ascontiguousarray(contribution[:, at]).tobytes()


def test_a_file_of_one_output_has_no_classes() -> None:
    X, y = data()
    booster = xgboost.train(
        {"objective": "binary:logistic"}, xgboost.QuantileDMatrix(X, y > 0), num_boost_round=2
    )
    with pytest.raises(ArtefactError, match="tells no classes apart"):
        read_xgboost_classes(bytes(booster.save_raw("json")))


def test_other_classes_than_the_manifest_names_are_refused() -> None:
    with pytest.raises(ArtefactError, match="has 3 outputs"):
        served(fitted(), ("up", "down"))


def test_a_number_as_the_weight_of_classes_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"class_weight=2\.0"):
        fitted(class_weight=2.0)
