"""Fitting a scorecard: optimal bins by `optbinning`, weights by logistic regression.

The bins of a feature maximise its information value by constraint programming (Navas-Palencia,
2020), keep to the declared direction, and hold a least share of the examples. The regression is
over weights of evidence; a feature whose coefficient comes out with the wrong sign says the
contrary of its own bins, because others say it already, and is left out.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.errors import DataError, DefinitionError
from headrace.models.scorecard import Bin, BinnedFeature, Scorecard, bin_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Floats
    from headrace.models.specification import Scorecard as Specification

_TREND = {1: "ascending", -1: "descending"}


def fit_scorecard(
    specification: Specification,
    X: Floats,
    y: Floats,
    *,
    names: Sequence[str],
    categorical: Sequence[bool],
    progress: Callable[[int, int], None] | None = None,
) -> Scorecard:
    """Bin every feature, and weigh those that tell the classes apart.

    Args:
        specification: Its settings.
        X: Examples by features; categories as codes, NaN missing.
        y: 1.0 for a positive.
        names: Of the features.
        categorical: Which are categories.
        progress: Called with (features binned, of how many).

    Raises:
        DefinitionError: When `optbinning` is not installed.
        DataError: When no feature tells the classes apart.
    """
    binned = []
    for number, name in enumerate(names):
        made = _binned(specification, name, X[:, number], y, category=categorical[number])
        if made.information >= specification.information and len(made.bins) > 1:
            binned.append(made)
        if progress:
            progress(number + 1, len(names))
    places = [list(names).index(item.name) for item in binned]
    coefficients, intercept = np.zeros(0), 0.0
    while binned:
        woe = np.column_stack(
            [
                _looked_up(item, X[:, at], "woe", category=categorical[at])
                for item, at in zip(binned, places, strict=True)
            ]
        )
        coefficients, intercept = _regression(woe, y, specification.l2)
        wrong = int(np.argmax(coefficients))
        if coefficients[wrong] < 0:
            break
        del binned[wrong], places[wrong]
    if not binned:
        raise DataError(
            f"none of the features {', '.join(names)} tells the classes apart by an information"
            f" value of {specification.information}; give others, or lower information="
        )
    return Scorecard(
        names=tuple(names),
        categorical=tuple(categorical),
        intercept=intercept,
        features=tuple(
            _weighed(item, weight)
            for item, weight in zip(binned, coefficients.tolist(), strict=True)
        ),
        points=specification.points,
        odds=specification.odds,
        pdo=specification.pdo,
    )


def _binned(
    specification: Specification, name: str, x: Floats, y: Floats, *, category: bool
) -> BinnedFeature:
    """The bins of one feature with their weights of evidence; they add nothing yet."""
    present = ~np.isnan(x)
    groups = _groups(specification, name, x[present], y[present], category=category)
    total = np.array([len(y) - y.sum(), y.sum()])
    counted: list[Bin] = []
    sign = specification.monotone.get(name, 0)
    for part in groups:
        inside = np.isin(x, part) if category else _between(x, *part)
        ends = {"categories": part} if category else {"low": part[0], "high": part[1]}
        counted.append(_counted(y[inside], total, ends))
        # rates that are almost the same may come out in the other order as weights
        while len(counted) > 1 and sign * (counted[-1].woe - counted[-2].woe) > 0:
            low, high = counted[-2].low, counted[-1].high
            both = {"low": low, "high": high}
            counted[-2:] = [_counted(y[_between(x, low, high)], total, both)]
    missing = _counted(y[~present], total, {})
    every = [*counted, missing]
    shares = np.array([[item.negatives, item.positives] for item in every]) / total
    information = float(((shares[:, 0] - shares[:, 1]) * [item.woe for item in every]).sum())
    return BinnedFeature(name, tuple(counted), missing, information)


def _between(x: Floats, low: float | None, high: float | None) -> NDArray[np.bool_]:
    above = ~np.isnan(x) if low is None else x >= low
    inside: NDArray[np.bool_] = above if high is None else above & (x < high)
    return inside


def _counted(y: Floats, total: Floats, ends: dict[str, Any]) -> Bin:
    """A bin's examples; half an example more of each class keeps its weight finite."""
    positives = int(y.sum())
    negatives = len(y) - positives
    if len(y) == 0:
        return Bin(0, 0, 0.0, 0.0, **ends)
    shares = (np.array([negatives, positives]) + 0.5) / (total + 0.5)
    return Bin(negatives, positives, float(np.log(shares[0] / shares[1])), 0.0, **ends)


def _groups(
    specification: Specification, name: str, x: Floats, y: Floats, *, category: bool
) -> list[Any]:
    """Ends of bins of numbers, or codes of groups of categories."""
    try:
        optbinning: Any = importlib.import_module("optbinning")
    except ImportError as missing:
        raise DefinitionError(
            "the model is a scorecard, whose bins optbinning makes, and it is not installed",
            fix="pip install 'headrace[credit]'",
        ) from missing
    if len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return [tuple(np.unique(x).astype(int).tolist())] if category else [(None, None)]
    binning = optbinning.OptimalBinning(
        name=name,
        dtype="categorical" if category else "numerical",
        max_n_bins=specification.bins,
        min_bin_size=specification.smallest,
        min_prebin_size=min(specification.smallest, 0.05),
        monotonic_trend=_TREND.get(specification.monotone.get(name, 0), "auto"),
    )
    given = x.astype(np.int64).astype(str).astype(object) if category else x
    binning.fit(given, y.astype(np.int64))
    if category:
        return [tuple(sorted(int(code) for code in part)) for part in binning.splits]
    return bin_numbers(np.asarray(binning.splits, np.float64))


def _looked_up(item: BinnedFeature, x: Floats, what: str, *, category: bool) -> Floats:
    """What every example's bin says; one in no bin gets what a missing value gets."""
    found = np.full(len(x), float(getattr(item.missing, what)))
    for part in item.bins:
        inside = np.isin(x, part.categories) if category else _between(x, part.low, part.high)
        found[inside] = getattr(part, what)
    return found


def _regression(woe: Floats, y: Floats, l2: float) -> tuple[Floats, float]:
    """Coefficients and intercept of a logistic regression."""
    linear: Any = importlib.import_module("sklearn.linear_model")
    fitted = linear.LogisticRegression(C=1.0 / max(l2, 1e-12), max_iter=1000, tol=1e-8)
    fitted.fit(woe, y)
    coefficients: Floats = fitted.coef_[0].astype(np.float64)
    return coefficients, float(fitted.intercept_[0])


def _weighed(item: BinnedFeature, weight: float) -> BinnedFeature:
    """The bins with what they add to the margin."""

    def adding(part: Bin) -> Bin:
        return Bin(
            part.negatives,
            part.positives,
            part.woe,
            weight * part.woe,
            part.low,
            part.high,
            part.categories,
        )

    return BinnedFeature(
        item.name, tuple(map(adding, item.bins)), adding(item.missing), item.information
    )
