from __future__ import annotations

import hashlib
import math

import msgspec
import numpy as np
import pytest

from headrace.core.columns import Kind
from headrace.core.errors import ArtefactError, DataError, DefinitionError
from headrace.definitions.plan import Feature
from headrace.lifecycle.metrics import roc_auc
from headrace.models.artefact import Artefact, Manifest, model_card
from headrace.models.contributions import ContributionScorer
from headrace.models.monotonicity import violations
from headrace.models.scorecard import Bin, decoded, read_scorecard
from headrace.models.scorer import TreeScorer
from headrace.models.serving import ServedModel, read_model
from headrace.models.specification import Scorecard
from headrace.models.training import Examples, Fitted, fit, model_matrix

NAMES = ["income", "region", "utilisation", "noise"]
CATEGORICAL = [False, True, False, False]
SPECIFICATION = Scorecard(
    bins=6, smallest=0.02, information=0.05, monotone={"income": -1, "utilisation": 1}
)


def examples(seed: int, rows: int = 3000) -> Examples:
    random = np.random.default_rng(seed)
    X = np.column_stack(
        [
            random.lognormal(8.0, 0.5, rows),
            random.integers(0, 6, rows),
            random.beta(2, 3, rows),
            random.normal(size=rows),
        ]
    )
    logit = -1.2 * (np.log(X[:, 0]) - 8.0) + 3 * X[:, 2] + 0.5 * np.sin(3 * X[:, 1]) - 2.5
    X[random.random(rows) < 0.08, 0] = np.nan
    return Examples(X, (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.float64))


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit(SPECIFICATION, examples(1), None, names=NAMES, categorical=CATEGORICAL)


def adds(item: tuple[Bin, ...], missing: Bin, value: float) -> float:
    """What a value's bin adds, read off the table."""
    for part in item:
        if part.categories:
            if value in part.categories:
                return part.adds
            continue
        low = -math.inf if part.low is None else part.low
        high = math.inf if part.high is None else part.high
        if low <= value < high:
            return part.adds
    return missing.adds


def test_the_served_margin_is_the_sum_that_the_table_shows(fitted: Fitted) -> None:
    card = decoded(fitted.content)
    X = examples(2, 400).X
    X[:40] = np.nan
    X[40:60, 1] = 17.0  # a category that no bin has
    edges = [edge for item in card.features for part in item.bins for edge in (part.low, part.high)]
    at_edges = np.array([math.nan if edge is None else edge for edge in edges])
    X[60 : 60 + len(edges), [0, 2, 3]] = at_edges[:, None]
    margins = TreeScorer(read_scorecard(fitted.content)).margins(model_matrix(X))
    for row, margin in zip(X, margins, strict=True):
        total = card.intercept
        for item in card.features:
            total += adds(item.bins, item.missing, row[card.names.index(item.name)])
        assert margin == total


def test_contributions_are_those_of_the_bins_less_their_mean(fitted: Fitted) -> None:
    card = decoded(fitted.content)
    X = model_matrix(examples(3, 300).X)
    found = ContributionScorer(read_scorecard(fitted.content)).contributions(X)
    for feature, name in enumerate(NAMES):
        item = next((item for item in card.features if item.name == name), None)
        if item is None:
            assert not found[feature].any()
            continue
        every = [*item.bins, item.missing]
        count = np.array([part.negatives + part.positives for part in every])
        mean = float(np.average([part.adds for part in every], weights=count))
        expected = [adds(item.bins, item.missing, value) - mean for value in X[feature]]
        np.testing.assert_allclose(found[feature], expected, atol=1e-12)


def test_weights_of_evidence_come_from_the_counts_and_noise_is_left_out(fitted: Fitted) -> None:
    card = decoded(fitted.content)
    train = examples(1)
    assert {item.name for item in card.features} == {"income", "region", "utilisation"}
    for item in card.features:
        every = [*item.bins, item.missing]
        negatives, positives = (sum(getattr(part, n) for part in every) for n in
                                ("negatives", "positives"))  # fmt: skip
        assert (negatives, positives) == (int((1 - train.y).sum()), int(train.y.sum()))
        slope = [part.adds / part.woe for part in every if part.woe]
        assert max(slope) < 0
        assert np.ptp(slope) == pytest.approx(0.0, abs=1e-9)
        for part in item.bins:
            good = (part.negatives + 0.5) / (negatives + 0.5)
            bad = (part.positives + 0.5) / (positives + 0.5)
            assert part.woe == pytest.approx(math.log(good / bad))


def test_declared_directions_hold_and_it_ranks_about_as_well_as_what_made_it(
    fitted: Fitted,
) -> None:
    assert violations(read_scorecard(fitted.content), SPECIFICATION.monotone) == {}
    held_out = examples(4)
    scorer = TreeScorer(read_scorecard(fitted.content))
    assert roc_auc(held_out.y, scorer.margins(model_matrix(held_out.X))) > 0.68


@pytest.mark.parametrize("seed", range(8))
def test_bins_of_almost_the_same_rate_are_one_where_a_direction_is_declared(seed: int) -> None:
    random = np.random.default_rng(seed)
    X = np.column_stack([random.integers(1, 5, 700), random.integers(0, 9, 700)]).astype(float)
    y = (random.random(700) < 0.25 + 0.02 * X[:, 0] + 0.01 * X[:, 1]).astype(np.float64)
    made = Scorecard(information=0.0, monotone={"rate": 1, "other": 1})
    fitted = fit(made, Examples(X, y), None, names=["rate", "other"], categorical=[False] * 2)
    assert violations(read_scorecard(fitted.content), made.monotone) == {}
    for item in decoded(fitted.content).features:
        woe = [part.woe for part in item.bins]
        assert woe == sorted(woe, reverse=True)


def test_points_add_up_to_the_odds(fitted: Fitted) -> None:
    card = decoded(fitted.content)
    X = model_matrix(examples(5, 50).X)
    margins = TreeScorer(read_scorecard(fitted.content)).margins(X)
    for column, margin in zip(X.T, margins, strict=True):
        points = 0.0
        for item in card.features:
            added = adds(item.bins, item.missing, column[card.names.index(item.name)])
            points += card.points_of(Bin(0, 0, 0.0, added))
        odds = math.exp(-margin)
        assert points == pytest.approx(600 + 20 * math.log2(odds / 50))


def test_it_is_served_as_an_artefact_and_its_card_shows_the_table(fitted: Fitted) -> None:
    vocabulary: dict[str, tuple[str, ...]] = {
        "region": ("north", "south", "east", "west", "centre", "abroad")
    }
    manifest = Manifest(
        model_sha256=hashlib.sha256(fitted.content).hexdigest(),
        form=fitted.form,
        definition="d" * 64,
        features=tuple(NAMES),
        vocabulary=vocabulary,
        specification=SPECIFICATION.plain(),
        trees=fitted.trees,
        data={},
        arrival="assumed",
        label={},
        split={},
        metrics={},
        libraries={"training": fitted.library},
    )
    artefact = Artefact(fitted.content, manifest)
    kinds = [Kind.FLOAT, Kind.TEXT, Kind.FLOAT, Kind.FLOAT]
    plan = [
        Feature(name, at, kind) for at, (name, kind) in enumerate(zip(NAMES, kinds, strict=True))
    ]
    served = ServedModel(artefact, plan)
    values = model_matrix(examples(6, 20).X)
    taken = served.taken(values, vocabulary["region"])
    numbers, _ = served.reasons(taken, np.arange(20), 4)
    assert set(numbers.ravel().tolist()) <= {-1, 0, 1, 2}
    card = model_card(artefact)
    assert "| utilisation | below " in card
    assert "north" in card
    assert "20 points double the odds" in card


@pytest.mark.parametrize(
    "harm",
    [
        lambda plain: plain.update(form="other"),
        lambda plain: plain["features"][0].update(name="unknown"),
        lambda plain: plain["features"][0].update(bins=[]),
        lambda plain: plain["features"][0]["bins"].reverse(),
        lambda plain: plain["features"][0]["bins"].pop(1),
    ],
)
def test_a_damaged_file_is_refused(fitted: Fitted, harm: object) -> None:
    plain = msgspec.json.decode(fitted.content)
    harm(plain)  # type: ignore[operator]  # a function, one of those above
    with pytest.raises(ArtefactError, match=r"scorecard|bins"):
        read_model(msgspec.json.encode(plain), "scorecard-json")


def test_nothing_to_tell_apart_is_said() -> None:
    random = np.random.default_rng(1)
    noise = Examples(random.normal(size=(500, 1)), random.integers(0, 2, 500).astype(np.float64))
    with pytest.raises(DataError, match="information value"):
        fit(Scorecard(information=0.5), noise, None, names=["noise"], categorical=[False])


@pytest.mark.parametrize("wrong", [{"bins": 1}, {"smallest": 0.5}, {"pdo": 0}, {"monotone": 1}])
def test_settings_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(DefinitionError, match=next(iter(wrong))):
        Scorecard(**wrong)  # type: ignore[arg-type]  # the mistake
