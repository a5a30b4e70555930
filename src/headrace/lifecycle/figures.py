"""Plots for whatever a use case has to show: lines, bars and a matrix of counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.errors import DataError
from headrace.lifecycle.drawing import (
    COLOURS,
    FIRST,
    INK,
    MUTED,
    SHADE,
    Plot,
    picture,
    short_tick,
    thinned,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

#: Lines of so many points show each of them.
_MARKED_MOST = 40
#: Bars of one plot that are named.
_BARS_NAMED = 12


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
    if not 1 <= len(series) <= len(COLOURS):
        raise DataError(
            f"{len(series)} lines in {title!r}: give 1 to {len(COLOURS)}, told apart by colour"
        )

    def draw(axes: Any) -> None:
        if band is not None:
            axes.fill_between(np.asarray(x), *map(np.asarray, band), color=SHADE, linewidth=0)
        if level is not None:
            axes.axhline(level, color=MUTED, linestyle="--", linewidth=1.2)
        few = len(np.asarray(x)) <= _MARKED_MOST
        for colour, (name, values) in zip(COLOURS, series.items(), strict=False):
            points = thinned(x, values)
            axes.plot(*points, color=colour, label=name, marker="o" if few else "", markersize=4)
        if log_x:
            axes.set_xscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(short_tick)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        if len(series) > 1:
            axes.legend(ncols=len(series), loc="lower right", bbox_to_anchor=(1.0, 1.0))

    return picture(title, caption, draw)


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
        axes.bar(places, values, width=0.68, color=FIRST, yerr=whiskers, ecolor=MUTED, capsize=3)
        for height in () if band is None else (band, -band):
            axes.axhline(height, color=MUTED, linestyle="--", linewidth=1.2)
        every = max(1, -(-len(names) // _BARS_NAMED))
        axes.set_xticks(places[::every], list(names)[::every])
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_formatter(short_tick)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])

    return picture(title, caption, draw)


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
            axes.scatter([column], [row], s=60 + 2_600 * part, color=SHADE, zorder=1)
            text = f"{table[row, column]:,}\n{part:.0%}"
            axes.annotate(text, (column, row), ha="center", va="center", color=INK, zorder=3)
        ends = (-0.5, len(names) - 0.5)
        axes.set(xlim=ends, ylim=ends[::-1])
        axes.set_xticks(range(len(names)), list(names))
        axes.set_yticks(range(len(names)), list(names))
        axes.grid(visible=False)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])

    return picture(title, caption, draw)


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
            axes.plot(x, y, color=FIRST, alpha=shade, label=name, marker="o", markersize=3)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.legend(fontsize=8, loc="upper left")

    return picture(title, caption, draw)
