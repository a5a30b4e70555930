"""The use cases of public data: directions and reasons, on the models that serve."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import headrace as hr
from headrace.core.columns import CATEGORICAL
from headrace.lifecycle.training_set import training_set
from headrace.models.monotonicity import violations
from headrace.models.serving import ServedModel
from headrace.pipeline.lane import Lane
from headrace.runtime.frames import _intake
from headrace.runtime.models import served_model
from headrace_solutions.credit_risk.open_data import german, gmsc, taiwan

if TYPE_CHECKING:
    from types import ModuleType

    from headrace.core.columns import Floats

DATA = Path(os.environ.get("HEADRACE_DATA", "data"))
SETS = {"taiwan": taiwan, "gmsc": gmsc, "german": german}
#: Enough to learn from, and quick.
ROWS = 6000
pytestmark = [
    pytest.mark.skipif(
        not (DATA / taiwan.FILE).exists(), reason="HEADRACE_DATA has no credit data"
    ),
]


@dataclass(frozen=True)
class Served:
    """A trained use case, and events as its model takes them: features by rows."""

    module: ModuleType
    model: ServedModel
    taken: Floats
    names: list[str]

    def declined(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The rows with the highest scores."""
        score = self.model.score(self.taken).probability
        return np.argsort(-score, kind="stable")[: min(300, len(score) // 5)]


@pytest.fixture(scope="module", params=SETS, ids=list(SETS))
def served(request: pytest.FixtureRequest) -> Served:
    module = SETS[request.param]
    frames = {name: table.slice(0, ROWS) for name, table in module.history(DATA).items()}
    case = module.case
    quick = replace(case.model, trees=80, learning_rate=0.1, extra={"nthread": 1})
    small = hr.UseCase(
        name=case.name,
        on=case.on,
        features=case.features,
        label=case.label,
        model=quick,
        policy=case.policy,
        reasons=4,
    )
    model = served_model(small, hr.train(small, frames).artefact)
    assert isinstance(model, ServedModel)
    lane = Lane(small.definition(None), (0, 0))
    data = training_set(lane, None, _intake(small, frames).batches(0, 100_000))
    taken = model.taken(data.values, data.dictionary)
    return Served(module, model, taken, list(small.features))


def test_nothing_protected_is_a_feature(served: Served) -> None:
    schema = served.module.case.on.definition.schema
    protected = {field.name for field in schema.fields if field.protected}
    assert protected
    assert not protected & set(served.names)


def test_the_served_trees_keep_to_every_declared_direction(served: Served) -> None:
    assert violations(served.model.ensemble, served.module.MONOTONE) == {}


def test_making_a_reason_better_never_raises_the_probability(served: Served) -> None:
    """Every value of the data on the better side, for each reason of each declined applicant."""
    rows = served.declined()
    numbers, _ = served.model.reasons(served.taken, rows, 4)
    tried = 0
    for place, row in enumerate(rows.tolist()):
        before = served.model.score(np.ascontiguousarray(served.taken[:, row : row + 1]))
        for number in numbers[:, place].tolist():
            sign = served.module.MONOTONE.get(served.names[number], 0) if number >= 0 else 0
            value = served.taken[number, row]
            if sign == 0 or np.isnan(value):
                continue
            seen = np.unique(served.taken[number])
            better = seen[sign * (value - seen) > 0][:40]
            changed = np.repeat(served.taken[:, row : row + 1], len(better), axis=1)
            changed[number] = better
            after = served.model.score(np.ascontiguousarray(changed))
            assert (after.margin <= before.margin).all()
            # a formula of calibration may move by the last places of its logistic function
            slack = 4 * np.spacing(before.probability)
            assert (after.probability <= before.probability + slack).all()
            tried += len(better)
    assert tried > 100


def test_reasons_are_specific_ranked_and_at_most_four(served: Served) -> None:
    rows = served.declined()
    numbers, values = served.model.reasons(served.taken, rows, 4)
    assert numbers.shape[0] == 4
    assert (np.diff(values, axis=0) <= 0).all()
    assert (values[numbers >= 0] > 0).all()
    for column in numbers.T:
        named = column[column >= 0].tolist()
        assert len(named) == len(set(named)) > 0
    texts = {feature.name: feature.text for feature in served.module.case.plan.features}
    assert all("{value" in texts[served.names[n]] for n in np.unique(numbers[numbers >= 0]))


def test_reasons_are_those_of_the_exact_contributions_in_any_company(served: Served) -> None:
    """The order and number of rows beside one, and the order of the asking, change no bit."""
    rows = served.declined()
    whole = served.model.reasons(served.taken, rows, 4)
    shuffled = np.random.default_rng(1).permutation(len(rows))
    again = served.model.reasons(served.taken, rows[shuffled], 4)
    assert whole[0][:, shuffled].tobytes() == again[0].tobytes()
    assert whole[1][:, shuffled].tobytes() == again[1].tobytes()
    alone = served.model.reasons(np.ascontiguousarray(served.taken[:, rows[:1]]), np.array([0]), 4)
    assert alone[0].tobytes() == np.ascontiguousarray(whole[0][:, :1]).tobytes()


def test_small_changes_do_not_flip_reasons_arbitrarily(served: Served) -> None:
    """Numbers moved by a hundredth of their spread: the mean Jaccard index of the reasons.

    The index of two sets is the size of what they share over that of what they have together.
    """
    rows = served.declined()
    random = np.random.default_rng(2)
    moved = served.taken[:, rows].copy()
    features = served.module.case.plan.features
    for number, feature in enumerate(features):
        whole = np.nanmax(np.abs(moved[number] - np.round(moved[number]))) == 0
        if feature.kind in CATEGORICAL or whole:
            continue
        spread = np.nanpercentile(moved[number], 75) - np.nanpercentile(moved[number], 25)
        moved[number] += random.normal(scale=0.01 * spread, size=len(rows))
    before, strength = served.model.reasons(served.taken, rows, 4)
    after, _ = served.model.reasons(np.ascontiguousarray(moved), np.arange(len(rows)), 4)
    shared = []
    for left, right in zip(before.T, after.T, strict=True):
        one, other = set(left[left >= 0].tolist()), set(right[right >= 0].tolist())
        shared.append(len(one & other) / len(one | other))
    assert np.mean(shared) >= 0.85
    kept = before[0] == after[0]
    assert kept.mean() >= 0.85
    # where the first reason changed, it had been close to another one
    gap = (strength[0] - strength[1]) / strength[0]
    assert np.median(gap[~kept]) < np.median(gap[kept]) if (~kept).any() else True
