"""What benchmarks print: tables and sentences of Markdown, and figures for the docs.

What a benchmark prints to stdout is what its page shows (`benchmarks.pages`): a head line of the
machine, then sections, each under a heading of the third level.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

#: The environment variable that names the folder that figures go to.
FIGURES = "HEADRACE_BENCHMARK_FIGURES"


def section(title: str) -> None:
    """Begin a section."""
    print(f"\n### {title}\n")


def table(title: str, rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows as a section with a table of Markdown; the first row is its head."""
    section(title)
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows[1:]:
        print("| " + " | ".join(row) + " |")
    sys.stdout.flush()


def surroundings() -> None:
    """Print what the figures were taken on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), "unknown processor",
    )  # fmt: skip
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{len(os.sched_getaffinity(0))} cores of {model}; load before the run: {load}")


def second_by_second(
    title: str, name: str, rates: ArrayLike, p50_ms: ArrayLike, p99_ms: ArrayLike
) -> None:
    """Draw throughput above latency, a point for each second, and print the picture's place.

    Args:
        title: What the picture shows, for those who cannot see it.
        name: Of its file, without an ending.
        rates: Decisions of each second.
        p50_ms: Median latency of each second, in milliseconds.
        p99_ms: The 99th percentile.
    """
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, and of no use to the load
    from matplotlib.figure import Figure  # noqa: PLC0415 - the same

    folder = os.environ.get(FIGURES)
    if folder is None:
        return
    seconds = np.arange(1, len(np.asarray(rates)) + 1)
    with mpl.rc_context(_style(name)):
        figure = Figure(figsize=(7.2, 4.6), layout="constrained", facecolor="white")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
        above.bar(seconds, np.asarray(rates) / 1e3, width=0.8, color="#4c78a8")
        above.set_ylabel("thousand decisions/s")
        below.plot(seconds, p99_ms, color="#e45756", label="p99")
        below.plot(seconds, p50_ms, color="#54a24b", label="p50")
        below.set_ylabel("ms to durable")
        below.set_xlabel("second")
        below.set_ylim(bottom=0)
        below.set_xlim(0.5, len(seconds) + 0.5)
        # above the plot, where no line runs through it
        below.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2)
        figure.savefig(Path(folder) / f"{name}.svg", metadata={"Date": None, "Creator": None})
    print(f"\n![{title}]({name}.svg)")
    sys.stdout.flush()


def curves(
    title: str,
    name: str,
    lines: Mapping[str, Sequence[tuple[float, float, float]]],
    axes: tuple[str, str],
    *,
    goal: float | None = None,
) -> None:
    """Draw values over a logarithmic axis, with two standard errors, and print the picture's place.

    Args:
        title: What the picture shows, for those who cannot see it.
        name: Of its file, without an ending.
        lines: Of each line: place, value, standard error.
        axes: What stands below and beside.
        goal: A value that a dashed line marks, if there is one.
    """
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, and of no use to the work
    from matplotlib.figure import Figure  # noqa: PLC0415 - the same

    folder = os.environ.get(FIGURES)
    if folder is None:
        return
    with mpl.rc_context(_style(name)):
        figure = Figure(figsize=(7.2, 3.6), layout="constrained", facecolor="white")
        plot = figure.subplots()
        for (label, points), colour in zip(
            lines.items(), ("#4c78a8", "#e45756", "#54a24b", "#b279a2"), strict=False
        ):
            at, value, error = np.array(points).T
            plot.errorbar(
                at, value, yerr=2 * error, label=label, color=colour, marker="o", capsize=3
            )
        if goal is not None:
            plot.axhline(goal, color="#888888", linestyle="--", linewidth=1)
        plot.axhline(1 / 3, color="#cccccc", linestyle=":", linewidth=1)
        plot.set_xscale("log")
        plot.set_xlabel(axes[0])
        plot.set_ylabel(axes[1])
        plot.legend(frameon=False)
        figure.savefig(Path(folder) / f"{name}.svg", metadata={"Date": None, "Creator": None})
    print(f"\n![{title}]({name}.svg)")
    sys.stdout.flush()


def _style(name: str) -> dict[Any, Any]:
    """How pictures look; the name keeps ids apart among those of a page."""
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": 10.0,
        "font.family": "sans-serif",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#d8d8d8",
    }
