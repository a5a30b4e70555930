from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from headrace.core.errors import ArtefactError, DataError
from headrace.models.calibration import METHODS, Calibration, fit_calibration

if TYPE_CHECKING:
    from headrace.core.columns import Floats


def events(seed: int, rows: int = 4000) -> tuple[Floats, Floats, Floats]:
    """Margins that are too sure of themselves, labels, and the truth behind them."""
    random = np.random.default_rng(seed)
    logit = random.normal(-1.0, 1.2, rows)
    truth = 1.0 / (1.0 + np.exp(-logit))
    return 2.0 * logit + 1.0, (random.random(rows) < truth).astype(np.float64), truth


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_come_closer_to_the_truth(method: str) -> None:
    margins, labels, _ = events(1)
    fitted = fit_calibration(method, margins, labels)
    margins, _, truth = events(2)
    raw = 1.0 / (1.0 + np.exp(-margins))
    off = float(np.sqrt(np.mean((fitted.probability(margins) - truth) ** 2)))
    assert off < 0.25 * float(np.sqrt(np.mean((raw - truth) ** 2)))
    assert off < 0.04


@pytest.mark.parametrize("method", METHODS)
def test_a_formula_is_what_it_says(method: str) -> None:
    margins, labels, _ = events(3)
    fitted = fit_calibration(method, margins, labels)
    asked = np.concatenate([np.linspace(-40.0, 40.0, 501), margins[:200]])
    p = 1.0 / (1.0 + np.exp(-asked))
    if method == "isotonic":
        oracle = IsotonicRegression().fit(margins, labels)
        levels = np.clip(oracle.y_thresholds_, 0.5 / len(labels), 1.0 - 0.5 / len(labels))
        expected = np.interp(asked, oracle.X_thresholds_, levels)
        np.testing.assert_allclose(fitted.probability(asked), expected, rtol=0, atol=1e-12)
        return
    if method == "platt":
        slope, shift = fitted.coefficients
        logit = slope * asked + shift
    else:
        a, b, c = fitted.coefficients
        inside = np.abs(asked) < 15.0  # further out 1 - p is not exact enough for an oracle
        asked, p = asked[inside], p[inside]
        logit = a * np.log(p) - b * np.log1p(-p) + c
    expected = 1.0 / (1.0 + np.exp(-logit))
    np.testing.assert_allclose(fitted.probability(asked), expected, rtol=1e-8)


def test_the_likelihood_of_a_formula_is_largest() -> None:
    margins, labels, _ = events(4)

    def loss(fitted: Calibration) -> float:
        p = fitted.probability(margins)
        return float(-np.mean(labels * np.log(p) + (1 - labels) * np.log1p(-p)))

    best = fit_calibration("beta", margins, labels)
    for place in range(3):
        for step in (-0.02, 0.02):
            moved = list(best.coefficients)
            moved[place] += step
            assert loss(msgspec.structs.replace(best, coefficients=tuple(moved))) > loss(best)


steps = st.lists(
    st.tuples(st.floats(-30, 30), st.booleans()), min_size=2, max_size=40, unique_by=lambda e: e[0]
).filter(lambda drawn: len({label for _, label in drawn}) == 2)


@given(drawn=steps, asked=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
def test_a_table_never_falls_in_any_bit(
    drawn: list[tuple[float, bool]], asked: list[float]
) -> None:
    margins = np.array([margin for margin, _ in drawn])
    fitted = fit_calibration("isotonic", margins, np.array([float(label) for _, label in drawn]))
    beside = np.array([*asked, *margins])
    rising = np.sort(np.concatenate([beside, np.nextafter(beside, np.inf)]))
    found = fitted.probability(rising)
    assert (np.diff(found) >= 0).all()
    assert ((found > 0) & (found < 1)).all()
    # a row alone gets what it gets among others
    assert np.concatenate([fitted.probability(row) for row in rising[:, None]]).tobytes() == (
        found.tobytes()
    )


@pytest.mark.parametrize("method", ["platt", "beta"])
def test_a_formula_never_falls_by_more_than_its_last_places(method: str) -> None:
    margins, labels, _ = events(5)
    fitted = fit_calibration(method, margins, labels)
    found = fitted.probability(np.linspace(-50.0, 50.0, 200_001))
    assert (np.diff(found) >= -4 * np.spacing(found[1:])).all()
    assert found[0] < found[-1]


@pytest.mark.parametrize("method", METHODS)
def test_it_survives_being_written(method: str) -> None:
    margins, labels, _ = events(6)
    fitted = fit_calibration(method, margins, labels)
    again = msgspec.json.decode(msgspec.json.encode(fitted), type=Calibration)
    assert again == fitted
    assert again.probability(margins).tobytes() == fitted.probability(margins).tobytes()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_calibrates_nothing(method: str, label: float) -> None:
    with pytest.raises(DataError, match="needs both classes"):
        fit_calibration(method, np.arange(5.0), np.full(5, label))


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "spline"},
        {"method": "isotonic"},
        {"method": "isotonic", "margins": (1.0, 0.0), "probabilities": (0.1, 0.2)},
        {"method": "isotonic", "margins": (0.0, 1.0), "probabilities": (0.2, 0.1)},
        {"method": "isotonic", "margins": (0.0,), "probabilities": (1.5,)},
        {"method": "platt", "coefficients": (-1.0, 0.0)},
        {"method": "platt", "coefficients": (1.0, 0.0, 0.0)},
        {"method": "beta", "coefficients": (1.0, -0.5, 0.0)},
        {"method": "platt", "coefficients": (float("inf"), 0.0)},
    ],
)
def test_what_is_no_calibration_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises((ArtefactError, msgspec.ValidationError)):
        Calibration(**wrong)  # type: ignore[arg-type]  # what a damaged manifest may hold
