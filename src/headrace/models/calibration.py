"""Calibration: from a margin to a probability that comes out as often as it says.

A model ranks; what it says of one event need not be the rate at which such events turn out. A
calibration is fitted to margins of events that the model has not seen, with their labels, and never
changes the order of two margins. It is data in the model's manifest: a table of points, or the
coefficients of a formula, evaluated by kernels of our own, so that a probability has the same bits
in training, streaming, online and in replay. Contributions explain the margin and stay exact.

- **isotonic**: the non-decreasing step function with the least squared error (pool adjacent
  violators; Zadrozny and Elkan, 2002), joined by lines.
- **platt**: the logistic function of a line over the margin (Platt, 1999), with his smoothed
  targets.
- **beta**: the logistic function of `a log p - b log(1 - p) + c` (Kull, Silva Filho and Flach,
  2017), with a and b at least 0; the identity is among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import msgspec
import numpy as np

from headrace.core.errors import ArtefactError, DataError
from headrace.models.calibration_kernels import beta, interpolate, platt

if TYPE_CHECKING:
    from headrace.core.columns import Floats

Method: TypeAlias = Literal["isotonic", "platt", "beta"]
#: How a calibration can be fitted.
METHODS: tuple[str, ...] = get_args(Method)

_COEFFICIENTS = {"isotonic": 0, "platt": 2, "beta": 3}


class Calibration(msgspec.Struct, frozen=True, omit_defaults=True):
    """A non-decreasing function from margins to probabilities.

    Attributes:
        method: "isotonic", "platt" or "beta".
        margins: Of an isotonic calibration: points, ascending.
        probabilities: At those points, from 0 to 1, not descending.
        coefficients: Of a formula: slope and shift (platt); a, b and c (beta).

    Raises:
        ArtefactError: When it would not be such a function.
    """

    method: str
    margins: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()
    coefficients: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        numbers = np.array([*self.margins, *self.probabilities, *self.coefficients])
        points, values = np.array(self.margins), np.array(self.probabilities)
        table = self.method == "isotonic"
        sound = (
            self.method in METHODS
            and np.isfinite(numbers).all()
            and len(self.coefficients) == _COEFFICIENTS[self.method]
            and len(points) == len(values)
            and (len(points) > 0) == table
            and (np.diff(points) > 0).all()
            and (np.diff(values) >= 0).all()
            and ((values >= 0) & (values <= 1)).all()
            and min(self.coefficients[:-1], default=0.0) >= 0
        )
        if not sound:
            raise ArtefactError(
                f"a {self.method!r} calibration of {len(points)} margins, {len(values)}"
                f" probabilities and coefficients {self.coefficients} is no non-decreasing function"
                f" to probabilities (methods: {', '.join(METHODS)}); train the model again"
            )

    def probability(self, margins: Floats) -> Floats:
        """The calibrated probability of every margin.

        >>> Calibration("platt", coefficients=(1.0, 0.0)).probability(np.array([0.0]))
        array([0.5])
        """
        out = np.empty(len(margins))
        if self.method == "isotonic":
            interpolate(margins, np.array(self.margins), np.array(self.probabilities), out)
        elif self.method == "platt":
            slope, shift = self.coefficients
            platt(margins, slope, shift, out)
        else:
            positive, negative, shift = self.coefficients
            beta(margins, positive, negative, shift, out)
        return out


def fit_calibration(method: str, margins: Floats, labels: Floats) -> Calibration:
    """Fit a calibration to margins of events that the model did not learn from.

    Args:
        method: "isotonic", "platt" or "beta".
        margins: float64 `[events]`, finite.
        labels: 1.0 for a positive, 0.0 for a negative.

    Raises:
        DataError: When a class is missing, which leaves nothing to fit.
    """
    positives = int(labels.sum())
    if positives in (0, len(labels)):
        raise DataError(
            f"calibration needs both classes, and {positives} of the {len(labels)} events it is"
            " fitted to are positive; give a longer history or a larger validation part"
        )
    fits = {"isotonic": _isotonic, "platt": _platt, "beta": _beta}
    return fits[method](np.asarray(margins, np.float64), np.asarray(labels, np.float64))


def _isotonic(margins: Floats, labels: Floats) -> Calibration:
    """Pool adjacent violators, and keep both ends of every level."""
    from scipy.optimize import isotonic_regression  # noqa: PLC0415 - needed in training only

    points, place = np.unique(margins, return_inverse=True)
    counts = np.bincount(place).astype(np.float64)
    rates = np.bincount(place, weights=labels) / counts
    levels = isotonic_regression(rates, weights=counts).x
    # no finite number of events shows a rate of 0 or 1
    levels = np.clip(levels, 0.5 / len(labels), 1.0 - 0.5 / len(labels))
    changes = np.diff(levels) > 0
    kept = np.concatenate([[True], changes]) | np.concatenate([changes, [True]])
    return Calibration(
        "isotonic",
        tuple(points[kept].tolist()),
        tuple(np.maximum.accumulate(levels[kept]).tolist()),
    )


def _platt(margins: Floats, labels: Floats) -> Calibration:
    positives = float(labels.sum())
    negatives = len(labels) - positives
    high, low = (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0)
    table = np.column_stack([margins, np.ones_like(margins)])
    found = _logistic(table, np.where(labels > 0, high, low), (1.0, 0.0))
    return Calibration("platt", coefficients=found)


def _beta(margins: Floats, labels: Floats) -> Calibration:
    table = np.column_stack(
        [-np.logaddexp(0.0, -margins), np.logaddexp(0.0, margins), np.ones_like(margins)]
    )
    return Calibration("beta", coefficients=_logistic(table, labels, (1.0, 1.0, 0.0)))


def _logistic(table: Floats, targets: Floats, start: tuple[float, ...]) -> tuple[float, ...]:
    """Coefficients of the largest likelihood; all but the last, the shift, are at least 0."""
    from scipy.optimize import minimize  # noqa: PLC0415 - needed in training only

    def loss(coefficients: Floats) -> tuple[float, Floats]:
        logits = table @ coefficients
        slope = 1.0 / (1.0 + np.exp(-np.clip(logits, -500.0, 500.0))) - targets
        return float(np.mean(np.logaddexp(0.0, logits) - targets * logits)), table.T @ slope / len(
            targets
        )

    bounds = [(0.0, None)] * (len(start) - 1) + [(None, None)]
    found = minimize(loss, np.array(start), jac=True, bounds=bounds, method="L-BFGS-B")
    return tuple(float(value) for value in found.x)
