from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from headrace.core.columns import Kind, pack_letters
from headrace.core.errors import ArtefactError
from headrace.definitions.plan import Feature
from headrace.models.artefact import Artefact, Manifest, model_card
from headrace.models.contributions import ContributionScorer
from headrace.models.encoding import CategoryEncoder, vocabularies
from headrace.models.scorer import TreeScorer
from headrace.models.serving import ServedModel
from headrace.models.specification import XGBoost
from headrace.models.training import Examples, fit

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: The plan's features; the model knows three of them, in another order.
PLAN = [
    Feature("unused", 0, Kind.FLOAT),
    Feature("merchant", 1, Kind.TEXT),
    Feature("amount", 2, Kind.FLOAT),
    Feature("country", 3, Kind.COUNTRY),
]
TAKEN = ("amount", "country", "merchant")
VOCABULARY: dict[str, tuple[str, ...]] = {"country": ("DE", "FR"), "merchant": ("a", "b", "c")}
DICTIONARY = ["c", "x", "a", "b"]


def make(features: tuple[str, ...] = TAKEN) -> Artefact:
    random = np.random.default_rng(5)
    X = np.column_stack(
        [random.normal(size=300), random.integers(0, 2, 300), random.integers(0, 3, 300)]
    ).astype(np.float64)
    y = (X[:, 0] + X[:, 1] + (X[:, 2] == 1) > 1).astype(np.float64)
    specification = XGBoost(trees=8, max_depth=3, extra={"nthread": 1})
    fitted = fit(
        specification, Examples(X, y), None, names=features, categorical=[False, True, True]
    )
    manifest = Manifest(
        model_sha256=hashlib.sha256(fitted.content).hexdigest(),
        form=fitted.form,
        definition="d" * 64,
        features=features,
        vocabulary=VOCABULARY,
        specification=specification.plain(),
        trees=fitted.trees,
        data={"rows": 300},
        arrival="assumed",
        label={"window": "30d"},
        split={"test": "2026-01-01"},
        metrics={"test auc": 0.875},
        libraries={"xgboost": "3"},
    )
    return Artefact(fitted.content, manifest)


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    return make()


def plan_values() -> NDArray[np.float64]:
    """Unused, merchant (a code of the dictionary), amount, country: four rows."""
    de, fr, us = (float(pack_letters(name)) for name in ("DE", "FR", "US"))
    return np.array(
        [
            [9.0, 9.0, 9.0, 9.0],
            [2.0, 1.0, math.nan, 3.0],
            [0.5, -1.0, math.nan, 2.0],
            [fr, us, math.nan, de],
        ]
    )


#: The same rows as the model takes them: unknown categories (merchant x, country US) are missing.
AS_TAKEN = np.array(
    [[0.5, -1.0, math.nan, 2.0], [1.0, math.nan, math.nan, 0.0], [0.0, math.nan, math.nan, 1.0]]
)


def test_features_are_matched_by_name_and_scored_as_the_model_alone(artefact: Artefact) -> None:
    served = ServedModel(artefact, PLAN)
    taken = served.taken(plan_values(), DICTIONARY)
    np.testing.assert_array_equal(taken, AS_TAKEN)
    scorer = TreeScorer(served.ensemble)
    scores = served.score(taken)
    assert scores.margin.tobytes() == scorer.margins(AS_TAKEN).tobytes()
    assert scores.probability.tobytes() == scorer.probabilities(scores.margin).tobytes()


def test_reasons_name_the_plans_features_and_only_rows_asked_for(artefact: Artefact) -> None:
    served = ServedModel(artefact, PLAN)
    rows = np.array([3, 0])
    numbers, values = served.reasons(AS_TAKEN, rows, 3)
    assert numbers.shape == values.shape == (3, 2)
    exact = ContributionScorer(served.ensemble).contributions(AS_TAKEN)
    for place, row in enumerate(rows):
        order = sorted(range(3), key=lambda feature, row=row: -exact[feature, row])  # type: ignore[misc]  # bound to this row
        expected = [TAKEN[feature] for feature in order if exact[feature, row] > 0]
        named = [PLAN[number].name for number in numbers[:, place] if number >= 0]
        assert named == expected
        assert (numbers[len(expected) :, place] == -1).all()
    assert 0 not in numbers


def test_margins_and_contributions_together_are_those_apart(artefact: Artefact) -> None:
    served = ServedModel(artefact, PLAN)
    X = np.tile(AS_TAKEN, 2500)
    margins, contributions = served.contributions.explain(X, low=3)
    assert margins.tobytes() == served.score(X).margin[3:].tobytes()
    apart = ContributionScorer(served.ensemble).contributions(X)
    assert contributions.tobytes() == np.ascontiguousarray(apart[:, 3:]).tobytes()
    np.testing.assert_allclose(contributions.sum(axis=0), margins, atol=1e-5)


def test_a_plan_without_a_feature_of_the_model_is_refused(artefact: Artefact) -> None:
    with pytest.raises(ArtefactError, match=r"needs the features \['amount'\]"):
        ServedModel(artefact, [PLAN[1], PLAN[3]])


def test_a_category_that_training_never_saw_is_missing_and_dictionaries_grow() -> None:
    encoder = CategoryEncoder([PLAN[1]], VOCABULARY)
    codes = np.array([[0.0, 1.0, math.nan]])
    np.testing.assert_array_equal(encoder.encode(codes, ["x", "b"]), [[math.nan, 1.0, math.nan]])
    grown = np.array([[0.0, 1.0, 2.0]])
    np.testing.assert_array_equal(encoder.encode(grown, ["x", "b", "c"]), [[math.nan, 1.0, 2.0]])
    np.testing.assert_array_equal(codes, [[0.0, 1.0, math.nan]])


def test_vocabularies_are_the_sorted_categories_of_training() -> None:
    assert vocabularies(PLAN, plan_values(), DICTIONARY) == {
        "merchant": ("a", "b", "x"),
        "country": ("DE", "FR", "US"),
    }


def test_numbers_alone_are_not_copied() -> None:
    values = np.zeros((1, 3))
    assert CategoryEncoder([PLAN[0]], {}).encode(values, []) is values


def test_an_artefact_is_what_its_name_says(artefact: Artefact, tmp_path: Path) -> None:
    home = artefact.save(tmp_path)
    assert home.name == artefact.id
    assert artefact.save(tmp_path) == home
    loaded = Artefact.load(home)
    assert (loaded.content, loaded.id) == (artefact.content, artefact.id)
    assert [path.name for path in tmp_path.iterdir()] == [artefact.id]


def test_a_changed_artefact_is_refused(artefact: Artefact, tmp_path: Path) -> None:
    home = artefact.save(tmp_path)
    model, manifest = home / "model.json", home / "manifest.json"
    model.write_bytes(artefact.content.replace(b"0", b"1", 1))
    with pytest.raises(ArtefactError, match="SHA-256"):
        Artefact.load(home)
    model.write_bytes(artefact.content)
    said = msgspec.json.decode(manifest.read_bytes())
    manifest.write_bytes(msgspec.json.encode({**said, "metrics": {"test auc": 0.99}}))
    with pytest.raises(ArtefactError, match="makes the id"):
        Artefact.load(home)
    manifest.write_bytes(b"{")
    with pytest.raises(ArtefactError, match="cannot be read"):
        Artefact.load(home)
    with pytest.raises(ArtefactError, match="cannot be read"):
        Artefact.load(tmp_path / "nowhere")


def test_the_card_says_what_the_manifest_says(artefact: Artefact) -> None:
    card = model_card(artefact)
    assert card.startswith("# Model card")
    assert artefact.id in card
    assert "| test auc | 0.875 |" in card
    assert "equality with live scores is not claimed" in card
    assert all(f"- `{name}`" in card for name in TAKEN)
