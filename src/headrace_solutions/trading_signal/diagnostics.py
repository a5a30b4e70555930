"""What a series of prices is like, and where a signal holds: figures, each to be drawn or tabled.

Autocorrelation, decomposition and tests of stationarity are those of statsmodels (the extra
`trading`).
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

import headrace as hr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Int64s: TypeAlias = NDArray[np.int64]
    Classes: TypeAlias = NDArray[np.integer]

#: Two-sided 95 % of the normal distribution.
_BAND = 1.959964
#: Classes of a direction.
DIRECTIONS = ("up", "flat", "down")
_SECOND = 1_000_000_000
#: A series is tested for stationarity from so many values on.
_FEWEST = 30


def _statsmodels(module: str) -> Any:
    try:
        return importlib.import_module(f"statsmodels.{module}")
    except ImportError as error:
        raise hr.NotFound(
            "diagnostics of series need statsmodels: pip install 'headrace[trading]'"
        ) from error


def sampled(
    moment: Int64s, value: Floats, interval_ns: int, *, begin: int | None = None
) -> tuple[Int64s, Floats]:
    """The last value known at the end of each interval.

    Args:
        moment: Of each value, ascending, in nanoseconds.
        value: NaN where missing, which is passed over.
        interval_ns: How long one is.
        begin: Where the first begins; at the first value by default.

    Returns:
        Ends of the intervals, and values there.

    >>> sampled(np.array([0, 4, 25]), np.array([1.0, 2.0, 3.0]), 10)[1].tolist()
    [2.0, 2.0, 3.0]
    """
    there = ~np.isnan(value)
    moment, value = moment[there], value[there]
    if len(moment) == 0:
        raise hr.DataError("no value of this series is known: there is nothing to sample")
    start = int(moment[0]) if begin is None else begin
    ends = np.arange(start, int(moment[-1]) + 1, interval_ns) + interval_ns
    rows = np.searchsorted(moment, ends, side="left") - 1
    return ends, value[rows]


def counted(moment: Int64s, interval_ns: int) -> Floats:
    """Events in each interval from the first on.

    >>> counted(np.array([0, 4, 25]), 10).tolist()
    [2.0, 0.0, 1.0]
    """
    return np.bincount((moment - moment[0]) // interval_ns).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Autocorrelation:
    """How a series goes with itself, later.

    Attributes:
        lags: From 1.
        returns: Of the series.
        absolute: Of its absolute values: of the size of moves.
        band: Within which 95 % of a series without any would be.
    """

    lags: Int64s
    returns: Floats
    absolute: Floats
    band: float


def autocorrelation(returns: Floats, lags: int = 30) -> Autocorrelation:
    """Of returns and of their size.

    Raises:
        DataError: When there are hardly more returns than lags, or they do not vary.
        NotFound: When statsmodels is not installed.
    """
    if len(returns) < lags + 2 or np.ptp(returns) == 0:
        raise hr.DataError(
            f"{len(returns)} returns over {lags} lags: give more than that, which are not all alike"
        )
    acf = _statsmodels("tsa.stattools").acf
    signed, absolute = (
        np.asarray(acf(each, nlags=lags))[1:] for each in (returns, np.abs(returns))
    )
    band = _BAND / float(np.sqrt(len(returns)))
    return Autocorrelation(np.arange(1, lags + 1), signed, absolute, band)


@dataclass(frozen=True, slots=True)
class Decomposition:
    """Activity as a trend, a season and the rest (Cleveland's STL).

    Attributes:
        period: Of the season, in intervals.
        observed: Events of each interval.
        trend: What is slow.
        season: What comes again.
        rest: What is left.
    """

    period: int
    observed: Floats
    trend: Floats
    season: Floats
    rest: Floats

    @property
    def strength(self) -> float:
        """How much of what is not trend the season explains, from 0 to 1 (Hyndman)."""
        around = float(np.var(self.season + self.rest))
        return max(0.0, 1.0 - float(np.var(self.rest)) / around) if around else 0.0


def decomposition(activity: Floats, period: int) -> Decomposition:
    """A series of counts taken apart, with regard to outliers.

    Raises:
        DataError: When it is shorter than two periods.
        NotFound: When statsmodels is not installed.
    """
    if period < 2 or len(activity) < 2 * period:
        raise hr.DataError(
            f"{len(activity)} intervals with a period of {period}: give two periods or more"
        )
    found = _statsmodels("tsa.seasonal").STL(activity, period=period, robust=True).fit()
    parts = (np.asarray(each) for each in (found.trend, found.seasonal, found.resid))
    return Decomposition(period, activity, *parts)


@dataclass(frozen=True, slots=True)
class Stationarity:
    """Two tests that ask opposite things.

    Attributes:
        adf: The statistic of Dickey and Fuller (augmented).
        adf_p: The chance of it where there is a unit root.
        kpss: The statistic of Kwiatkowski, Phillips, Schmidt and Shin.
        kpss_p: The chance of it where the series is stationary; tables end at 0.01 and 0.1.
    """

    adf: float
    adf_p: float
    kpss: float
    kpss_p: float

    @property
    def says(self) -> str:
        """What both say together, at 5 %."""
        rooted, moved = self.adf_p > 0.05, self.kpss_p < 0.05
        if rooted and moved:
            return "a unit root"
        if not rooted and not moved:
            return "stationary"
        return "they disagree" if moved else "not decided"


def stationarity(series: Floats) -> Stationarity:
    """Test a series for a unit root, and for stationarity.

    Raises:
        DataError: When it is too short, or does not vary.
        NotFound: When statsmodels is not installed.
    """
    if len(series) < _FEWEST or np.ptp(series) == 0:
        raise hr.DataError(
            f"{len(series)} values: a test of stationarity needs {_FEWEST} or more, not all alike"
        )
    tools = _statsmodels("tsa.stattools")
    with warnings.catch_warnings():
        # beyond its table of p-values KPSS gives the table's end, and says so each time
        warnings.simplefilter("ignore")
        adf = tools.adfuller(series, autolag="AIC")
        kpss = tools.kpss(series, nlags="auto")
    return Stationarity(float(adf[0]), float(adf[1]), float(kpss[0]), float(kpss[1]))


@dataclass(frozen=True, slots=True)
class Told:
    """What a model told of events that it had not learned from, in order of time.

    Attributes:
        at: When each was, in nanoseconds.
        key: A number for each series.
        mid: Of each.
        told: Number of the class that was told, of `DIRECTIONS`.
        learned_until: Moves that were settled before this set the threshold; in nanoseconds.
        before: Times, keys and mids of events of that earlier time.
        flat: The share of moves that are flat then.
    """

    at: Int64s
    key: Int64s
    mid: Floats
    told: Classes
    learned_until: int
    before: tuple[Int64s, Int64s, Floats]
    flat: float = 1 / 3

    def truth(self, horizon_ns: int) -> NDArray[np.int8]:
        """What came true over a horizon: the class, or -1 where it is not known."""
        at, key, mid = self.before
        earlier = hr.moves(mid, at, key, after_ns=horizon_ns)
        settled = earlier.settled_ns <= self.learned_until
        threshold = hr.threshold_of(np.where(settled, earlier.size, np.nan), self.flat)
        found = hr.moves(self.mid, self.at, self.key, after_ns=horizon_ns)
        return hr.classes_of(found.size, threshold)


@dataclass(frozen=True, slots=True)
class Score:
    """Macro-F1 of a part of the events.

    Attributes:
        name: Of the part.
        events: How many there are.
        f1: Macro-F1.
        error: Its standard error, by blocks.
        apart: How many horizons that do not overlap the part holds.
    """

    name: str
    events: int
    f1: float
    error: float
    apart: int


def _score(
    name: str, told: Told, truth: Classes, told_class: Classes, chosen: NDArray[np.bool_], span: int
) -> Score | None:
    """F1 over the chosen events whose class is known; None where there are too few."""
    rows = np.flatnonzero(chosen & (truth >= 0) & (told_class >= 0))
    if len(rows) < _FEWEST:
        return None
    apart = len(np.unique(told.at[rows] // max(span, 1)))
    # neighbours depend on each other for as long as their horizons overlap
    length = min(len(rows), max(1, -(-len(rows) // max(apart, 1))))
    mine, said = truth[rows], told_class[rows]
    classes = len(DIRECTIONS)
    error = hr.block_error(
        lambda each: hr.macro_f1(mine[each], said[each], classes), len(rows), length=length,
        draws=200,
    )  # fmt: skip
    return Score(name, len(rows), hr.macro_f1(mine, said, classes), error, apart)


def by_horizon(told: Told, horizons: Sequence[float]) -> list[Score]:
    """What was told, against what came true over each horizon, in seconds."""
    found = []
    for seconds in horizons:
        span = round(seconds * _SECOND)
        try:
            truth = told.truth(span)
        except hr.DataError:
            # no move of the time before reaches so far
            continue
        found.append(_score(f"{seconds:g}", told, truth, told.told, truth >= 0, span))
    return [each for each in found if each is not None]


def by_regime(told: Told, horizon: float, volatility: Floats) -> list[Score]:
    """The same in thirds of volatility, from calm to wild."""
    span = round(horizon * _SECOND)
    truth = told.truth(span)
    known = ~np.isnan(volatility)
    if not known.any():
        return []
    low, high = np.quantile(volatility[known], [1 / 3, 2 / 3])
    regimes = {
        "calm": known & (volatility <= low),
        "middle": known & (volatility > low) & (volatility <= high),
        "wild": known & (volatility > high),
    }
    found = [_score(name, told, truth, told.told, mine, span) for name, mine in regimes.items()]
    return [each for each in found if each is not None]


def by_staleness(told: Told, horizon: float, latencies: Sequence[float]) -> list[Score]:
    """The same where what is acted on was told so many seconds before: how a signal decays."""
    span = round(horizon * _SECOND)
    truth = told.truth(span)
    found = []
    for seconds in latencies:
        stale = _as_of(told, round(seconds * _SECOND))
        found.append(_score(f"{seconds:g}", told, truth, stale, truth >= 0, span))
    return [each for each in found if each is not None]


def _as_of(told: Told, latency_ns: int) -> Classes:
    """The class last told of the same key that long before each event; -1 where there is none."""
    found = np.full(len(told.at), -1, dtype=np.int64)
    for key in np.unique(told.key):
        rows = np.flatnonzero(told.key == key)
        place = np.searchsorted(told.at[rows], told.at[rows] - latency_ns, side="right") - 1
        # at no latency an event is told of itself, also where others are of the same moment
        place = np.arange(len(rows)) if latency_ns == 0 else place
        there = place >= 0
        found[rows[there]] = told.told[rows[place[there]]]
    return found
