"""Diagnostics as parts of a report: plots, each made when it is asked for, and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

import headrace as hr
from headrace_solutions.trading_signal import diagnostics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Maker: TypeAlias = Callable[[], hr.Plot]
    Table: TypeAlias = tuple[str, Sequence[str], Sequence[Sequence[str]]]

_SECOND = 1_000_000_000
_MINUTE = 60
_LAGS = 30
#: Mids are sampled so often at most: tests of stationarity take long over more.
_SAMPLES = 5_000
#: A season is looked for at the longest of these, in seconds, that the series holds three of.
_SEASONS = (86_400, 3_600, 600, 60, 30)
#: Intervals of a season.
_STEPS = 24


def confusion_part(
    truth: NDArray[np.integer], told: NDArray[np.integer], horizon: float
) -> hr.Plot:
    """What was told against what came true."""
    rows = (truth >= 0) & (told >= 0)
    names = diagnostics.DIRECTIONS
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (truth[rows], told[rows]), 1)
    return hr.matrix_plot(
        "Confusion",
        f"Of {rows.sum():,} events, over {horizon:g} s: each row is what came true, and sums to"
        f" 100 %. On the diagonal are the {np.trace(counts) / max(1, rows.sum()):.0%} that were"
        " told right.",
        names,
        counts,
        labels=("told", "came true"),
    )


def signal_parts(
    horizons: Sequence[diagnostics.Score],
    regimes: Sequence[diagnostics.Score],
    stale: Sequence[diagnostics.Score],
) -> list[Maker]:
    """Macro-F1 by horizon, by regime, and by how long ago the signal was told."""
    chance = 1 / len(diagnostics.DIRECTIONS)

    def by(
        scores: Sequence[diagnostics.Score], title: str, caption: str, label: str, *, log_x: bool
    ) -> hr.Plot:
        f1 = np.array([score.f1 for score in scores])
        twice = 2.0 * np.array([score.error for score in scores])
        return hr.line_plot(
            title,
            caption,
            [float(score.name) for score in scores],
            {"macro-F1": f1},
            labels=(label, "macro-F1"),
            log_x=log_x,
            level=chance,
            band=(f1 - twice, f1 + twice),
        )

    found: list[Maker] = []
    if horizons:
        found.append(
            lambda: by(
                horizons,
                "F1 by horizon",
                "What one model told, against what came true over other horizons. The shade is two"
                " standard errors each way; the dashed line is guessing.",
                "seconds ahead",
                log_x=True,
            )
        )
    if regimes:
        found.append(
            lambda: hr.bar_plot(
                "F1 by volatility",
                "The events in thirds by the volatility of ten seconds before. The lines are two"
                " standard errors each way.",
                [score.name for score in regimes],
                [score.f1 for score in regimes],
                errors=[score.error for score in regimes],
                labels=("regime", "macro-F1"),
            )
        )
    if stale:
        found.append(
            lambda: by(
                stale,
                "Decay of the signal",
                "The class told so long before, against what comes true from now on: how much of a"
                " signal is left when it is acted on late.",
                "seconds since it was told",
                log_x=False,
            )
        )
    return found


def series_parts(
    received: NDArray[np.int64], mid: NDArray[np.float64]
) -> tuple[str, list[Table], list[Maker]]:
    """Autocorrelation, the season of activity, stationarity: a sentence, tables, plots.

    Args:
        received: When each mid was known, in nanoseconds, ascending.
        mid: Of one symbol; NaN where missing.
    """
    tables: list[Table] = []
    makers: list[Maker] = []
    left_out = []
    lasting = int(received[-1] - received[0]) if len(received) else 0
    seconds = max(1, -(-lasting // (_SAMPLES * _SECOND)))
    try:
        _, levels = diagnostics.sampled(received, mid, seconds * _SECOND)
        returns = np.diff(np.log(levels))
        found = diagnostics.autocorrelation(returns, _LAGS)
        makers += [lambda: _correlated(found.returns, found, "returns"),
                   lambda: _correlated(found.absolute, found, "absolute returns")]  # fmt: skip
        tests = {
            "log mid": diagnostics.stationarity(np.log(levels)),
            "returns": diagnostics.stationarity(returns),
        }
        tables.append(_tests(tests))
    except (hr.DataError, hr.NotFound) as error:
        left_out.append(str(error))
    try:
        season = _season(received)
        step = season[0]
        makers.append(lambda: _seasonal(season[1], step))
        makers.append(lambda: _trend(season[1], step))
    except (hr.DataError, hr.NotFound) as error:
        left_out.append(str(error))
    often = "second" if seconds == 1 else f"{seconds} s"
    said = f"Mids are sampled every {often}. " + "".join(f"Left out: {each}. " for each in left_out)
    return said.strip(), tables, makers


def _correlated(values: NDArray[np.float64], of: diagnostics.Autocorrelation, name: str) -> hr.Plot:
    outside = int((np.abs(values) > of.band).sum())
    return hr.bar_plot(
        f"Autocorrelation of {name}",
        f"Of {len(values)} lags {outside} are outside the dashed lines, where one in twenty of a"
        " series without any would be.",
        [str(lag) for lag in of.lags],
        values,
        labels=("lag, samples", "correlation"),
        band=of.band,
    )


def _tests(tests: dict[str, diagnostics.Stationarity]) -> Table:
    return (
        "Stationarity: ADF asks for a unit root, KPSS for none; its p ends at 0.01 and 0.1",
        ("of", "ADF", "p", "KPSS", "p", "together"),
        [
            (name, f"{test.adf:.2f}", f"{test.adf_p:.3f}", f"{test.kpss:.3f}",
             f"{test.kpss_p:.2f}", test.says)
            for name, test in tests.items()
        ],
    )  # fmt: skip


def _season(received: NDArray[np.int64]) -> tuple[float, diagnostics.Decomposition]:
    """Activity by the longest season that there are three of; and an interval's seconds."""
    lasting = (received[-1] - received[0]) / _SECOND if len(received) else 0.0
    for season in _SEASONS:
        if lasting >= 3 * season:
            step = season / _STEPS
            activity = diagnostics.counted(received, round(step * _SECOND))
            # the last interval has not ended
            return step, diagnostics.decomposition(activity[:-1], _STEPS)
    raise hr.DataError(
        f"{lasting:.0f} s are too short for a season: {3 * _SEASONS[-1]} s or more are needed"
    )


def _seasonal(found: diagnostics.Decomposition, step: float) -> hr.Plot:
    # the median over seasons, of the last pattern that the decomposition tells
    pattern = np.array([np.median(found.season[n :: found.period]) for n in range(found.period)])
    return hr.line_plot(
        "Season of activity",
        f"Messages above or below the trend over a season of {_length(step * found.period)}. It"
        f" explains {found.strength:.0%} of what is not trend.",
        np.arange(found.period) * step / _MINUTE,
        {"season": pattern},
        labels=("minutes of the season", "messages an interval"),
        level=0.0,
    )


def _trend(found: diagnostics.Decomposition, step: float) -> hr.Plot:
    return hr.line_plot(
        "Trend of activity",
        f"Messages in {_length(step)}, and what of them is trend: what comes again and what is by"
        " chance taken away.",
        np.arange(len(found.observed)) * step / _MINUTE,
        {"observed": found.observed, "trend": found.trend},
        labels=("minutes", "messages an interval"),
    )


def _length(seconds: float) -> str:
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}{'s' if seconds > unit else ''}"
    return f"{seconds:g} seconds"
