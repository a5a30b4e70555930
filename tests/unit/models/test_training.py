from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from headrace.core.errors import DataError, DefinitionError
from headrace.models.scorer import TreeScorer
from headrace.models.serving import read_model
from headrace.models.specification import LightGBM, XGBoost
from headrace.models.training import Examples, fit, model_matrix, positive_weight, try_out

if TYPE_CHECKING:
    from headrace.models.ensemble import TreeEnsemble

NAMES = ["amount", "country", "hour"]
CATEGORICAL = [False, True, False]
SPECIFICATIONS = [
    XGBoost(trees=60, max_depth=3, learning_rate=0.3, early_stopping=5, extra={"nthread": 1}),
    LightGBM(trees=60, max_depth=3, learning_rate=0.3, early_stopping=5, extra={"num_threads": 1}),
]
pytestmark = pytest.mark.parametrize("specification", SPECIFICATIONS, ids=["xgboost", "lightgbm"])


def examples(seed: int, rows: int = 600) -> Examples:
    """Rows whose label depends on a number and on a category, with much noise."""
    random = np.random.default_rng(seed)
    X = np.column_stack(
        [
            random.exponential(size=rows),
            random.integers(0, 8, rows).astype(np.float64),
            random.integers(0, 24, rows).astype(np.float64),
        ]
    )
    X[random.random(rows) < 0.1, 0] = np.nan
    risky = np.isin(X[:, 1], [2, 5])
    score = np.nan_to_num(X[:, 0]) + 2 * risky + random.normal(size=rows)
    return Examples(X, (score > 2.5).astype(np.float64))


def grown(specification: XGBoost | LightGBM, *, stop: bool = True) -> tuple[TreeEnsemble, int]:
    fitted = fit(
        specification,
        examples(1),
        examples(2) if stop else None,
        names=NAMES,
        categorical=CATEGORICAL,
    )
    return read_model(fitted.content, fitted.form), fitted.trees


def changed(specification: XGBoost | LightGBM, **settings: object) -> XGBoost | LightGBM:
    held = {name: value for name, value in specification.plain().items() if name != "kind"}
    return type(specification)(**{**held, **settings})  # type: ignore[arg-type]  # as it was given


def test_categories_are_split_as_sets_and_names_are_kept(
    specification: XGBoost | LightGBM,
) -> None:
    ensemble, _ = grown(specification)
    assert ensemble.feature_names == tuple(NAMES)
    by_set = ensemble.feature[ensemble.category_set >= 0]
    assert len(by_set)
    assert set(by_set.tolist()) == {NAMES.index("country")}
    assert not (ensemble.feature[ensemble.category_set < 0] == NAMES.index("country")).any()


def test_growing_stops_where_validation_no_longer_improves(
    specification: XGBoost | LightGBM,
) -> None:
    stopped, kept = grown(specification)
    assert stopped.trees == kept < specification.trees
    whole, trees = grown(specification, stop=False)
    assert whole.trees == trees == specification.trees
    # what is kept is the beginning of what would have been grown
    nodes = int(stopped.tree_start[-1])
    assert stopped.value.tobytes() == whole.value[:nodes].tobytes()
    held_out = examples(2)
    X = model_matrix(held_out.X)

    def loss(ensemble: TreeEnsemble) -> float:
        scorer = TreeScorer(ensemble)
        p = scorer.probabilities(scorer.margins(np.ascontiguousarray(X)))
        return float(-np.log(np.where(held_out.y > 0, p, 1 - p)).mean())

    assert loss(stopped) < loss(whole)


def test_weight_of_positives_raises_scores(specification: XGBoost | LightGBM) -> None:
    X = model_matrix(examples(3).X)
    plain = TreeScorer(grown(specification, stop=False)[0]).margins(X).mean()
    heavy = changed(specification, class_weight="balanced")
    assert TreeScorer(grown(heavy, stop=False)[0]).margins(X).mean() > plain
    y = examples(1).y
    assert positive_weight(y, "balanced") == pytest.approx((1 - y.mean()) / y.mean())
    assert positive_weight(y, 7) == 7.0


def test_a_seed_gives_the_same_model_again(specification: XGBoost | LightGBM) -> None:
    drawn = changed(specification, subsample=0.5, colsample=0.7, trees=5, seed=3)
    again, other = changed(drawn), changed(drawn, seed=4)
    assert grown(drawn)[0].digest() == grown(again)[0].digest()
    assert grown(drawn)[0].digest() != grown(other)[0].digest()


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_missing_class_is_refused(specification: XGBoost | LightGBM, label: float) -> None:
    one_class = Examples(examples(1).X, np.full(600, label))
    with pytest.raises(DataError, match="both classes are needed"):
        fit(specification, one_class, None, names=NAMES, categorical=CATEGORICAL)


def test_progress_is_told(specification: XGBoost | LightGBM) -> None:
    seen: list[tuple[int, int]] = []
    fit(
        changed(specification, trees=4),
        examples(1),
        None,
        names=NAMES,
        categorical=CATEGORICAL,
        progress=lambda done, most: seen.append((done, most)),
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"treemethod": "x"}, "'treemethod', which the library does not know"),
        ({"tree_method": "nope", "boosting": "nope"}, "refused by the library: .*nope"),
    ],
)
def test_settings_of_the_library_are_tried_before_a_history_is_read(
    specification: XGBoost | LightGBM, extra: dict[str, object], says: str
) -> None:
    wrong = changed(specification, extra=extra)
    with pytest.raises(DefinitionError, match=says) as caught:
        try_out(wrong, names=NAMES, categorical=CATEGORICAL)
    assert caught.value.at is not None
    assert caught.value.at.path == __file__
    try_out(specification, names=NAMES, categorical=CATEGORICAL)
