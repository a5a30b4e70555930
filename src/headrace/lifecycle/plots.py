"""Plots of a report as inline SVG, each with a caption that says what to see.

Colours are written as variables of the page's style sheet, so one picture serves light, dark and
print. Matplotlib draws them (the extra `report`); it is imported when the first plot is made.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.errors import DataError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike

    from headrace.lifecycle.metrics import (
        Calibration,
        MoneyCurve,
        PrecisionRecallCurve,
        RocCurve,
    )

# Stand-ins that matplotlib draws with, and the variables that take their place in the SVG.
_INK, _MUTED, _GRID = "#010101", "#020202", "#030303"
_FIRST, _SECOND, _THIRD, _SHADE = "#040404", "#050505", "#060606", "#070707"
_VARIABLES = {
    _INK: "--ink",
    _MUTED: "--muted",
    _GRID: "--line",
    _FIRST: "--first",
    _SECOND: "--second",
    _THIRD: "--third",
    _SHADE: "--shade",
}
#: More points than this are thinned: the eye cannot see them, and the file would be large.
_POINTS_MAX = 600
#: Lines of so many points show each of them.
_MARKED_MOST = 40
#: Bars of one plot that are named.
_BARS_NAMED = 12
#: Of lines that stand together.
_COLOURS = (_FIRST, _SECOND, _THIRD)


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture of a report.

    Attributes:
        title: What it shows.
        caption: What to see in it, in a sentence or two.
        svg: The picture, as an element to stand in a page.
    """

    title: str
    caption: str
    svg: str


def _drawn(
    title: str, caption: str, draw: Callable[[Any], None], *, size: tuple[float, float] = (5.2, 3.6)
) -> Plot:
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra, and slow to import
        from matplotlib.figure import Figure  # noqa: PLC0415 - the same
    except ImportError as error:
        raise NotFound("plots need matplotlib: pip install 'headrace[report]'") from error
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": title,  # ids differ among the plots of a page, and not between runs
        "font.size": 10.0,
        "font.family": "sans-serif",
        "text.color": _INK,
        "axes.edgecolor": _MUTED,
        "axes.labelcolor": _INK,
        "xtick.color": _MUTED,
        "ytick.color": _MUTED,
        "grid.color": _GRID,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "lines.linewidth": 2.0,
        "legend.frameon": False,
        "path.simplify": True,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        figure.patch.set_alpha(0.0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0.0)
        draw(axes)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return Plot(title, caption, _inline(out.getvalue(), title))


def _inline(svg: str, title: str) -> str:
    """The picture without its XML prologue, in the page's colours, sized by the page."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', "", body, count=1)
    body = re.sub(r' xmlns:\w+="[^"]*"', "", body, count=1)
    body = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", body)
    # groups are named alike in every picture, and nothing refers to them
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    label = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return body.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _thinned(*columns: ArrayLike) -> list[Any]:
    """At most so many points of a curve, its ends among them."""
    arrays = [np.asarray(column) for column in columns]
    count = len(arrays[0])
    if count <= _POINTS_MAX:
        return arrays
    # by distance along the curve, so that steep stretches keep their points
    path = np.cumsum(
        sum(np.abs(np.diff(a, prepend=a[0])) / max(float(np.ptp(a)), 1e-300) for a in arrays)
    )
    kept = np.unique(np.searchsorted(path, np.linspace(0.0, path[-1], _POINTS_MAX)))
    kept = np.unique(np.concatenate([[0], np.minimum(kept, count - 1), [count - 1]]))
    return [a[kept] for a in arrays]


def drawn(*makers: Callable[[], Plot]) -> tuple[Plot, ...]:
    """The plots, or none where matplotlib is not installed."""
    try:
        return tuple(make() for make in makers)
    except NotFound:
        return ()


def roc(curve: RocCurve) -> Plot:
    """The receiver operating characteristic."""

    def draw(axes: Any) -> None:
        x, y = _thinned(curve.false_positive, curve.true_positive)
        axes.plot([0, 1], [0, 1], color=_MUTED, linestyle="--", linewidth=1.2)
        axes.fill_between(x, y, color=_SHADE, linewidth=0)
        axes.plot(x, y, color=_FIRST)
        axes.set(xlim=(-0.01, 1.01), ylim=(0, 1.02))
        axes.set_xlabel("genuine events alarmed")
        axes.set_ylabel("positives found")
        axes.annotate("chance", (0.62, 0.56), color=_MUTED)

    return _drawn(
        "ROC curve",
        f"Area {curve.area:.3f}: the chance that a positive scores above a negative. The further "
        "the line bends to the upper left, the better; the dashed line is guessing.",
        draw,
    )


def precision_recall(curve: PrecisionRecallCurve, base_rate: float) -> Plot:
    """Precision against recall, with the share of positives that guessing would give."""

    def draw(axes: Any) -> None:
        x, y = _thinned(curve.recall, curve.precision)
        axes.fill_between(x, y, color=_SHADE, linewidth=0)
        axes.plot(x, y, color=_FIRST)
        axes.axhline(base_rate, color=_MUTED, linestyle="--", linewidth=1.2)
        axes.set(xlim=(-0.01, 1.01), ylim=(0, 1.03))
        axes.set_xlabel("recall: positives found")
        axes.set_ylabel("precision: alarms that are right")

    return _drawn(
        "Precision and recall",
        f"Average precision {curve.average_precision:.3f}. Read along the line what more positives "
        f"found costs in false alarms; guessing gives the dashed line ({base_rate:.2%}).",
        draw,
    )


def calibration(found: Calibration) -> Plot:
    """Predicted probabilities against what came true."""

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=_MUTED, linestyle="--", linewidth=1.2)
        axes.plot(found.predicted, found.observed, color=_FIRST, linewidth=1.4)
        sizes = 18 + 60 * np.sqrt(found.count / found.count.max())
        axes.scatter(found.predicted, found.observed, s=sizes, color=_FIRST, zorder=3)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        axes.set_xlabel("score")
        axes.set_ylabel("share that is positive")

    return _drawn(
        "Calibration",
        "Points on the dashed line mean what they say: of events scored 0.8, eight in ten are "
        "positive. Below it the score promises too much, above it too little. Large points hold "
        "more events.",
        draw,
    )


def ordered_plot(
    title: str,
    caption: str,
    labels: tuple[str, str],
    values: Mapping[str, tuple[ArrayLike, ArrayLike]],
) -> Plot:
    """Lines that come in an order, such as vintages: each darker than the one before it.

    Args:
        title: What it shows.
        caption: What to see in it.
        labels: Of both axes.
        values: By the name of each line, its x and its y.

    Raises:
        NotFound: When matplotlib is not installed.
    """
    shades = np.linspace(0.25, 1.0, max(len(values), 2))

    def draw(axes: Any) -> None:
        for (name, (x, y)), shade in zip(values.items(), shades.tolist(), strict=False):
            axes.plot(x, y, color=_FIRST, alpha=shade, label=name, marker="o", markersize=3)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.legend(fontsize=8, loc="upper left")

    return _drawn(title, caption, draw)


def front(accuracy: ArrayLike, ratio: ArrayLike, on_front: Sequence[int], *, limit: float) -> Plot:
    """Models by accuracy and impact ratio, the first the declared one, with their front."""
    area, even = (np.asarray(values, dtype=np.float64) for values in (accuracy, ratio))
    chosen = sorted(on_front, key=lambda number: area[number])

    def draw(axes: Any) -> None:
        axes.scatter(area, even, s=26, color=_MUTED, zorder=2)
        axes.plot(area[chosen], even[chosen], color=_FIRST, linewidth=1.4, zorder=3)
        axes.scatter(area[chosen], even[chosen], s=44, color=_FIRST, zorder=4, label="front")
        axes.scatter(area[:1], even[:1], s=90, color=_THIRD, marker="D", zorder=5, label="declared")
        for number in chosen:
            axes.annotate(
                str(number),
                (area[number], even[number]),
                xytext=(5, 5),
                textcoords="offset points",
                color=_INK,
            )
        if even.min() < limit < even.max():
            axes.axhline(limit, color=_MUTED, linestyle="--", linewidth=1.2)
        axes.set_xlabel("area under the ROC curve")
        axes.set_ylabel("lowest adverse impact ratio")
        axes.legend(ncols=2, loc="lower right", bbox_to_anchor=(1.0, 1.0))

    return _drawn(
        "The front",
        "Each point is a model; further up weighs less on the group that is approved least, further"
        " right ranks defaults better. No model is better in both than one on the line. The diamond"
        f" is the declared model; below {limit:g}, selection is commonly looked into.",
        draw,
    )


def reason_bars(names: Sequence[str], values: ArrayLike, *, unit: str = "decisions") -> Plot:
    """How often (or how much) each reason decided, the greatest first."""
    order = np.argsort(-np.asarray(values, dtype=np.float64), kind="stable")[:12]
    shown = [names[i] for i in order]
    amounts = np.asarray(values, dtype=np.float64)[order]

    def draw(axes: Any) -> None:
        axes.barh(shown[::-1], amounts[::-1], color=_FIRST, height=0.68)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=_INK)
        axes.set_xlabel(unit)
        axes.xaxis.set_major_formatter(_short)

    return _drawn(
        "Reasons",
        f"The most common reason is {shown[0]}. A reason code is the exact amount by which "
        "one feature raised a score; one that dominates all others deserves a look.",
        draw,
        size=(5.2, 0.9 + 0.27 * max(len(shown), 5)),
    )


def throughput(seconds: ArrayLike, per_second: ArrayLike) -> Plot:
    """Decisions a second over the time of a run."""
    rate = np.asarray(per_second, dtype=np.float64)
    median = float(np.median(rate))

    def draw(axes: Any) -> None:
        x, y = _thinned(seconds, rate)
        axes.fill_between(x, y, color=_SHADE, linewidth=0)
        axes.plot(x, y, color=_FIRST)
        axes.axhline(median, color=_MUTED, linestyle="--", linewidth=1.2)
        axes.set_ylim(0, float(rate.max()) * 1.12)
        axes.set_xlabel("seconds of the run")
        axes.set_ylabel("decisions a second")
        axes.yaxis.set_major_formatter(_short)

    return _drawn(
        "Throughput",
        f"Median {median:,.0f} decisions a second (dashed). "
        "A flat line is a machine that keeps up without pauses.",
        draw,
    )


def latency(seconds: ArrayLike, quantiles: dict[str, ArrayLike]) -> Plot:
    """Milliseconds from event to durable decision over a run, by quantile (such as "p99")."""

    def draw(axes: Any) -> None:
        for colour, (name, values) in zip(_COLOURS, quantiles.items(), strict=False):
            x, y = _thinned(seconds, values)
            axes.plot(x, y, color=colour, label=name)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(_short)
        axes.yaxis.set_minor_formatter(_minor)
        axes.set_xlabel("seconds of the run")
        axes.set_ylabel("milliseconds")
        axes.legend(ncols=len(quantiles), loc="lower right", bbox_to_anchor=(1.0, 1.0))

    worst = {name: float(np.median(np.asarray(values))) for name, values in quantiles.items()}
    said = ", ".join(
        f"{name} {value:,.0f} ms" if value >= 100 else f"{name} {value:.3g} ms"
        for name, value in worst.items()
    )
    return _drawn(
        "Latency",
        f"From reading an event to its decision being on disk, signed: {said} (medians over the "
        "run). The scale is logarithmic.",
        draw,
    )


def money(curve: MoneyCurve, currency: str, *, chosen: float | None = None) -> Plot:
    """What each threshold saves, and where it saves most."""
    best = curve.best

    def draw(axes: Any) -> None:
        axes.plot(curve.threshold, curve.saved, color=_SECOND, label="loss stopped")
        axes.plot(curve.threshold, curve.cost, color=_THIRD, label="cost of alarms")
        axes.plot(curve.threshold, curve.net, color=_FIRST, linewidth=2.6, label="net")
        axes.scatter([curve.threshold[best]], [curve.net[best]], color=_FIRST, s=46, zorder=4)
        if chosen is not None:
            axes.axvline(chosen, color=_MUTED, linestyle="--", linewidth=1.2)
        top = max(float(curve.saved.max()), 1e-9)
        axes.set_ylim(min(0.0, float(curve.net.max())) - 0.15 * top, 1.08 * top)
        axes.set_xlabel("threshold")
        axes.set_ylabel(currency)
        axes.yaxis.set_major_formatter(_short)
        axes.legend(ncols=3, loc="lower right", bbox_to_anchor=(1.0, 1.0))

    line = "" if chosen is None else f" The dashed line is the policy's threshold, {chosen:g}."
    return _drawn(
        "Threshold and money",
        f"Alarms from {curve.threshold[best]:.2f} upward save most: {curve.net[best]:,.0f} "
        f"{currency} net, with {curve.alarms[best]:,} alarms.{line}",
        draw,
    )


def line_plot(
    title: str,
    caption: str,
    x: ArrayLike,
    series: Mapping[str, ArrayLike],
    *,
    labels: tuple[str, str],
    log_x: bool = False,
    level: float | None = None,
    band: tuple[ArrayLike, ArrayLike] | None = None,
) -> Plot:
    """One to three lines over the same x.

    Args:
        title: What it shows.
        caption: What to see in it.
        x: Of every point, ascending.
        series: y of each line, by its name; one alone needs no legend.
        labels: Of the two axes.
        log_x: Whether x is logarithmic.
        level: Where a dashed line stands, such as that of chance.
        band: The lower and upper end of a shade, such as an error's.

    Raises:
        DataError: When there is no line, or more than three.
        NotFound: When matplotlib is not installed.

    >>> line_plot("Squares", "They grow.", [1, 2], {"n": [1, 4]}, labels=("n", "n²")).title
    'Squares'
    """
    if not 1 <= len(series) <= len(_COLOURS):
        raise DataError(
            f"{len(series)} lines in {title!r}: give 1 to {len(_COLOURS)}, told apart by colour"
        )

    def draw(axes: Any) -> None:
        if band is not None:
            axes.fill_between(np.asarray(x), *map(np.asarray, band), color=_SHADE, linewidth=0)
        if level is not None:
            axes.axhline(level, color=_MUTED, linestyle="--", linewidth=1.2)
        few = len(np.asarray(x)) <= _MARKED_MOST
        for colour, (name, values) in zip(_COLOURS, series.items(), strict=False):
            points = _thinned(x, values)
            axes.plot(*points, color=colour, label=name, marker="o" if few else "", markersize=4)
        if log_x:
            axes.set_xscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(_short)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        if len(series) > 1:
            axes.legend(ncols=len(series), loc="lower right", bbox_to_anchor=(1.0, 1.0))

    return _drawn(title, caption, draw)


def bar_plot(
    title: str,
    caption: str,
    names: Sequence[str],
    values: ArrayLike,
    *,
    labels: tuple[str, str],
    errors: ArrayLike | None = None,
    band: float | None = None,
) -> Plot:
    """A bar for each name.

    Args:
        title: What it shows.
        caption: What to see in it.
        names: Of the bars; of many, every few are named.
        values: Their heights.
        labels: Of the two axes.
        errors: Standard errors of the heights, drawn as lines of twice that each way.
        band: Where two dashed lines stand, at this height and its negative.

    Raises:
        NotFound: When matplotlib is not installed.

    >>> bar_plot("Two", "One is more.", ["a", "b"], [1, 2], labels=("name", "count")).caption
    'One is more.'
    """

    def draw(axes: Any) -> None:
        places = np.arange(len(names))
        whiskers = None if errors is None else 2.0 * np.asarray(errors)
        axes.bar(places, values, width=0.68, color=_FIRST, yerr=whiskers, ecolor=_MUTED, capsize=3)
        for height in () if band is None else (band, -band):
            axes.axhline(height, color=_MUTED, linestyle="--", linewidth=1.2)
        every = max(1, -(-len(names) // _BARS_NAMED))
        axes.set_xticks(places[::every], list(names)[::every])
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_formatter(_short)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])

    return _drawn(title, caption, draw)


def matrix_plot(
    title: str, caption: str, names: Sequence[str], counts: ArrayLike, *, labels: tuple[str, str]
) -> Plot:
    """Counts by (row, column), with the share of the row: a confusion matrix.

    Args:
        title: What it shows.
        caption: What to see in it.
        names: Of rows and columns alike.
        counts: [rows, columns].
        labels: What columns are, and what rows are.

    Raises:
        NotFound: When matplotlib is not installed.

    >>> matrix_plot("M", "", ["a", "b"], [[3, 1], [0, 2]], labels=("told", "true")).title
    'M'
    """
    table = np.asarray(counts)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)

    def draw(axes: Any) -> None:
        for row, column in np.ndindex(*table.shape):
            part = float(share[row, column])
            axes.scatter([column], [row], s=60 + 2_600 * part, color=_SHADE, zorder=1)
            text = f"{table[row, column]:,}\n{part:.0%}"
            axes.annotate(text, (column, row), ha="center", va="center", color=_INK, zorder=3)
        ends = (-0.5, len(names) - 0.5)
        axes.set(xlim=ends, ylim=ends[::-1])
        axes.set_xticks(range(len(names)), list(names))
        axes.set_yticks(range(len(names)), list(names))
        axes.grid(visible=False)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])

    return _drawn(title, caption, draw)


def _minor(value: float, _position: object = None) -> str:
    """On a logarithmic scale, 2 and 5 between the powers of ten are named; the rest are not."""
    digit = value / 10.0 ** np.floor(np.log10(value) + 1e-9)
    return _short(round(value, 9)) if round(digit) in (2, 5) else ""


def _short(value: float, _position: object = None) -> str:
    """A number as a tick: 1,200 is 1.2k."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{suffix}"
    return f"{value:g}"
