"""Pictures of a report as inline SVG, in the colours of its page.

Colours are written as variables of the page's style sheet, so one picture serves light, dark and
print. Matplotlib draws them (the extra `report`); it is imported when the first plot is made.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

# Stand-ins that matplotlib draws with, and the variables that take their place in the SVG.
INK, MUTED, GRID = "#010101", "#020202", "#030303"
FIRST, SECOND, THIRD, SHADE = "#040404", "#050505", "#060606", "#070707"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--line",
    FIRST: "--first",
    SECOND: "--second",
    THIRD: "--third",
    SHADE: "--shade",
}
#: More points than this are thinned: the eye cannot see them, and the file would be large.
_POINTS_MAX = 600
#: Of lines that stand together.
COLOURS = (FIRST, SECOND, THIRD)


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


def picture(
    title: str, caption: str, draw: Callable[[Any], None], *, size: tuple[float, float] = (5.2, 3.6)
) -> Plot:
    """What `draw` puts on the axes it is given, as a plot.

    Raises:
        NotFound: When matplotlib is not installed.
    """
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
        "text.color": INK,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "grid.color": GRID,
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


def thinned(*columns: ArrayLike) -> list[Any]:
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


def if_drawable(*makers: Callable[[], Plot]) -> tuple[Plot, ...]:
    """The plots, or none where matplotlib is not installed."""
    try:
        return tuple(make() for make in makers)
    except NotFound:
        return ()


def minor_tick(value: float, _position: object = None) -> str:
    """On a logarithmic scale, 2 and 5 between the powers of ten are named; the rest are not."""
    digit = value / 10.0 ** np.floor(np.log10(value) + 1e-9)
    return short_tick(round(value, 9)) if round(digit) in (2, 5) else ""


def short_tick(value: float, _position: object = None) -> str:
    """A number as a tick: 1,200 is 1.2k."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{suffix}"
    return f"{value:g}"
