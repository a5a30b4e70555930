from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

import headrace as hr
from headrace.core.columns import Batch, Fixed
from headrace.core.errors import DefinitionError
from headrace.lifecycle.counterfactual import CounterfactualSearch, Decided
from headrace.policy.adverse_action import Change, ScoreScale
from headrace.runtime.models import served_model

if TYPE_CHECKING:
    from headrace.core.columns import Floats
    from headrace.pipeline.lane import Definition


class Application(hr.Event):
    application_id: hr.Id
    at: hr.EventTime
    utilisation: hr.Float
    income: hr.Float
    months: hr.Int


class Default(hr.Event):
    default_id: hr.Id
    at: hr.EventTime
    application_id: hr.Ref[Application]


applications = hr.stream(Application, name="applications")
defaults = hr.stream(Default, name="defaults")
features = hr.features(
    utilisation=applications.utilisation,
    income=applications.income,
    months=applications.months,
)
CHANGES = (
    Change("utilisation", -1, step=0.01, limit=0.3, text="utilisation of at most {value:.0%}"),
    Change("income", 1, step=100, limit=3500, text="an income of at least {value:,.0f}"),
)
case = hr.UseCase(
    name="small",
    on=applications,
    features=features,
    label=defaults.of(applications).within("1m"),
    model=hr.XGBoost(
        trees=30,
        max_depth=3,
        early_stopping=None,
        monotone={"utilisation": 1},
        extra={"nthread": 1},
    ),
    policy=hr.Policy(
        hr.block("risky", hr.score >= 0.3),
        hr.block("deep_in_debt", features.utilisation > 0.9),
        hr.review("unclear", hr.score >= 0.2),
        otherwise=hr.approve(),
    ),
)
UTILISATION, INCOME = 0, 1


def rows(seed: int, count: int) -> Floats:
    random = np.random.default_rng(seed)
    return np.stack(
        [
            np.round(random.beta(2, 2, count), 3),
            np.round(random.lognormal(7.6, 0.4, count), -1),
            random.integers(0, 60, count).astype(float),
        ]
    )


@pytest.fixture(scope="module")
def definition() -> Definition:
    X = rows(1, 4000)
    random = np.random.default_rng(2)
    logit = 5 * X[0] - 0.0008 * X[1] - 0.02 * X[2] - 1.5
    bad = np.flatnonzero(random.random(4000) < 1 / (1 + np.exp(-logit)))
    minute = np.arange(4000) * 60_000_000
    at = pa.array(minute, pa.timestamp("us", tz="UTC"))
    ids = [f"a{row}" for row in range(4000)]
    frames = {
        "applications": pa.table(
            {
                "application_id": ids,
                "at": at,
                "utilisation": X[0],
                "income": X[1],
                "months": X[2].astype(int),
            }
        ),
        "defaults": pa.table(
            {
                "default_id": [f"d{row}" for row in bad],
                "at": at.take(pa.array(bad)),
                "application_id": [ids[row] for row in bad],
            }
        ),
    }
    return case.definition(served_model(case, hr.train(case, frames).artefact))


def outcomes(definition: Definition, values: Floats) -> list[str]:
    assert definition.model is not None
    assert definition.policy is not None
    score = definition.model.score(definition.model.taken(values, ())).probability
    events = Batch({"n": Fixed.of([0] * values.shape[1])}, values.shape[1])
    found = definition.policy.evaluate(np.ascontiguousarray(values), score, events).outcome
    return [definition.policy.outcomes[number] for number in found.tolist()]


def grid(was: float, change: Change) -> Floats:
    """Every value that the change can bring a feature to."""
    count = round(abs(change.limit - was) / change.step) + 3
    steps = np.floor(was / change.step) + change.direction * np.arange(count)
    found = np.round(steps * change.step, 12)
    keep = change.direction * (found - was) > 0
    keep &= change.direction * (change.limit - found) >= 0
    kept: Floats = found[keep]
    return kept


def brute(definition: Definition, row: Floats, outcome: str) -> dict[int, float]:
    """The nearest value of each feature alone that leads to the outcome, by trying all."""
    best: dict[int, float] = {}
    for number, change in enumerate(CHANGES):
        tried = grid(row[number], change)
        values = np.repeat(row[:, None], len(tried), axis=1)
        values[number] = tried
        enough = [
            v for v, o in zip(tried, outcomes(definition, values), strict=True) if o == outcome
        ]
        if enough:
            best[number] = enough[int(np.argmin(np.abs(np.array(enough) - row[number])))]
    return best


def size(row: Floats, number: int, value: float) -> float:
    return float(abs(value - row[number]) / abs(CHANGES[number].limit - row[number]))


def test_it_finds_what_trying_every_value_finds(definition: Definition) -> None:
    search = CounterfactualSearch(definition, CHANGES)
    everyone = rows(7, 150)
    seen = {"one": 0, "two": 0, "none": 0}
    for row, was in zip(everyone.T, outcomes(definition, everyone), strict=True):
        if was == "approve":
            continue
        found = search.find(Decided(row, (), Batch({"n": Fixed.of([0])}, 1)), ("approve",))
        alone = brute(definition, row, "approve")
        if alone:
            seen["one"] += 1
            assert found is not None
            assert len(found.wanted) == 1
            least = min(size(row, number, value) for number, value in alone.items())
            (wanted,) = found.wanted
            number = CHANGES.index(wanted.change)
            # a stretch is known by a value of it, at most a step further than the nearest
            step = wanted.change.step / abs(wanted.change.limit - row[number])
            assert least - 1e-9 <= size(row, number, wanted.value) <= least + step + 1e-9
        elif found is not None:
            seen["two"] += 1
            assert len(found.wanted) == 2
            assert check_pair(definition, row)
        else:
            seen["none"] += 1
            assert not check_pair(definition, row)
        if found is not None:
            changed = row.copy()
            for wanted in found.wanted:
                changed[CHANGES.index(wanted.change)] = wanted.value
            assert outcomes(definition, changed[:, None]) == ["approve"]
            assert found.text({"approve": "granted"}).startswith("With ")
            assert found.text({"approve": "granted"}).endswith("would have been granted.")
    assert seen["one"] > 10
    assert seen["two"] > 0


def check_pair(definition: Definition, row: Floats) -> bool:
    """Whether any pair of values leads to approval."""
    pairs = list(itertools.product(grid(row[0], CHANGES[0]), grid(row[1], CHANGES[1])))
    if not pairs:
        return False
    values = np.repeat(row[:, None], len(pairs), axis=1)
    values[:2] = np.array(pairs).T
    return "approve" in outcomes(definition, values)


def test_further_is_enough_where_the_direction_is_declared(definition: Definition) -> None:
    search = CounterfactualSearch(definition, CHANGES[:1])
    found = [
        search.find(Decided(row, (), Batch({"n": Fixed.of([0])}, 1)), ("approve",))
        for row in rows(8, 100).T
    ]
    told = [item for item in found if item is not None]
    assert told
    assert all(wanted.beyond for item in told for wanted in item.wanted)


def test_nothing_is_asked_of_what_cannot_be_changed_or_is_missing(definition: Definition) -> None:
    search = CounterfactualSearch(definition, CHANGES)
    row = np.array([0.2, 6000.0, 3.0])
    assert len(search.stretches(CHANGES[0], Decided(row, (), Batch({}, 1)))) == 0
    assert len(search.stretches(CHANGES[1], Decided(row, (), Batch({}, 1)))) == 0
    row[0] = np.nan
    assert len(search.stretches(CHANGES[0], Decided(row, (), Batch({}, 1)))) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"direction": 0},
        {"direction": 2},
        {"step": 0},
        {"limit": float("inf")},
        {"text": "{utilisation}"},
    ],
)
def test_a_change_is_checked(wrong: dict[str, object]) -> None:
    said = {"feature": "u", "direction": -1, "step": 0.1, "limit": 0, "text": "{value}", **wrong}
    with pytest.raises(DefinitionError, match="change of 'u'"):
        Change(**said)  # type: ignore[arg-type]  # the mistake


UNKNOWN = Change("x", 1, step=1, limit=9, text="{value}")


@pytest.mark.parametrize(
    "adverse",
    [
        hr.AdverseAction(
            "Bank", "CFPB", changes=(Change("x", 1, step=1, limit=9, text="{value}"),)
        ),
        hr.AdverseAction("Bank", "CFPB", outcomes={"refuse": "no"}),
        hr.AdverseAction("Bank", "CFPB", requirements={"unheard": "an income"}),
    ],
)
def test_it_speaks_of_the_use_case(adverse: hr.AdverseAction) -> None:
    with pytest.raises(DefinitionError, match=r"'x', which is no feature|none of the policy's"):
        hr.UseCase(
            on=applications,
            features=features,
            model=case.model,
            policy=case.policy,
            adverse_action=adverse,
        )


def test_points_rise_as_risk_falls() -> None:
    scale = ScoreScale()
    points = [scale.of(p) for p in np.linspace(0, 1, 101)]
    assert points == sorted(points, reverse=True)
    assert (points[0], points[-1]) == (850, 300)
