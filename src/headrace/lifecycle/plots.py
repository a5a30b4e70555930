"""Plots of a model, a policy and a run, each with a caption that says what to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.lifecycle.drawing import (
    COLOURS,
    FIRST,
    INK,
    MUTED,
    SECOND,
    SHADE,
    THIRD,
    Plot,
    minor_tick,
    picture,
    short_tick,
    thinned,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from headrace.lifecycle.metrics import (
        Calibration,
        MoneyCurve,
        PrecisionRecallCurve,
        RocCurve,
    )


def roc(curve: RocCurve) -> Plot:
    """The receiver operating characteristic."""

    def draw(axes: Any) -> None:
        x, y = thinned(curve.false_positive, curve.true_positive)
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1.2)
        axes.fill_between(x, y, color=SHADE, linewidth=0)
        axes.plot(x, y, color=FIRST)
        axes.set(xlim=(-0.01, 1.01), ylim=(0, 1.02))
        axes.set_xlabel("genuine events alarmed")
        axes.set_ylabel("positives found")
        axes.annotate("chance", (0.62, 0.56), color=MUTED)

    return picture(
        "ROC curve",
        f"Area {curve.area:.3f}: the chance that a positive scores above a negative. The further "
        "the line bends to the upper left, the better; the dashed line is guessing.",
        draw,
    )


def precision_recall(curve: PrecisionRecallCurve, base_rate: float) -> Plot:
    """Precision against recall, with the share of positives that guessing would give."""

    def draw(axes: Any) -> None:
        x, y = thinned(curve.recall, curve.precision)
        axes.fill_between(x, y, color=SHADE, linewidth=0)
        axes.plot(x, y, color=FIRST)
        axes.axhline(base_rate, color=MUTED, linestyle="--", linewidth=1.2)
        axes.set(xlim=(-0.01, 1.01), ylim=(0, 1.03))
        axes.set_xlabel("recall: positives found")
        axes.set_ylabel("precision: alarms that are right")

    return picture(
        "Precision and recall",
        f"Average precision {curve.average_precision:.3f}. Read along the line what more positives "
        f"found costs in false alarms; guessing gives the dashed line ({base_rate:.2%}).",
        draw,
    )


def calibration(found: Calibration) -> Plot:
    """Predicted probabilities against what came true."""

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1.2)
        axes.plot(found.predicted, found.observed, color=FIRST, linewidth=1.4)
        sizes = 18 + 60 * np.sqrt(found.count / found.count.max())
        axes.scatter(found.predicted, found.observed, s=sizes, color=FIRST, zorder=3)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        axes.set_xlabel("score")
        axes.set_ylabel("share that is positive")

    return picture(
        "Calibration",
        "Points on the dashed line mean what they say: of events scored 0.8, eight in ten are "
        "positive. Below it the score promises too much, above it too little. Large points hold "
        "more events.",
        draw,
    )


def front(accuracy: ArrayLike, ratio: ArrayLike, on_front: Sequence[int], *, limit: float) -> Plot:
    """Models by accuracy and impact ratio, the first the declared one, with their front."""
    area, even = (np.asarray(values, dtype=np.float64) for values in (accuracy, ratio))
    chosen = sorted(on_front, key=lambda number: area[number])

    def draw(axes: Any) -> None:
        axes.scatter(area, even, s=26, color=MUTED, zorder=2)
        axes.plot(area[chosen], even[chosen], color=FIRST, linewidth=1.4, zorder=3)
        axes.scatter(area[chosen], even[chosen], s=44, color=FIRST, zorder=4, label="front")
        axes.scatter(area[:1], even[:1], s=90, color=THIRD, marker="D", zorder=5, label="declared")
        for number in chosen:
            axes.annotate(
                str(number),
                (area[number], even[number]),
                xytext=(5, 5),
                textcoords="offset points",
                color=INK,
            )
        if even.min() < limit < even.max():
            axes.axhline(limit, color=MUTED, linestyle="--", linewidth=1.2)
        axes.set_xlabel("area under the ROC curve")
        axes.set_ylabel("lowest adverse impact ratio")
        axes.legend(ncols=2, loc="lower right", bbox_to_anchor=(1.0, 1.0))

    return picture(
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
        axes.barh(shown[::-1], amounts[::-1], color=FIRST, height=0.68)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_xlabel(unit)
        axes.xaxis.set_major_formatter(short_tick)

    return picture(
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
        x, y = thinned(seconds, rate)
        axes.fill_between(x, y, color=SHADE, linewidth=0)
        axes.plot(x, y, color=FIRST)
        axes.axhline(median, color=MUTED, linestyle="--", linewidth=1.2)
        axes.set_ylim(0, float(rate.max()) * 1.12)
        axes.set_xlabel("seconds of the run")
        axes.set_ylabel("decisions a second")
        axes.yaxis.set_major_formatter(short_tick)

    return picture(
        "Throughput",
        f"Median {median:,.0f} decisions a second (dashed). "
        "A flat line is a machine that keeps up without pauses.",
        draw,
    )


def latency(seconds: ArrayLike, quantiles: dict[str, ArrayLike]) -> Plot:
    """Milliseconds from event to durable decision over a run, by quantile (such as "p99")."""

    def draw(axes: Any) -> None:
        for colour, (name, values) in zip(COLOURS, quantiles.items(), strict=False):
            x, y = thinned(seconds, values)
            axes.plot(x, y, color=colour, label=name)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(short_tick)
        axes.yaxis.set_minor_formatter(minor_tick)
        axes.set_xlabel("seconds of the run")
        axes.set_ylabel("milliseconds")
        axes.legend(ncols=len(quantiles), loc="lower right", bbox_to_anchor=(1.0, 1.0))

    worst = {name: float(np.median(np.asarray(values))) for name, values in quantiles.items()}
    said = ", ".join(
        f"{name} {value:,.0f} ms" if value >= 100 else f"{name} {value:.3g} ms"
        for name, value in worst.items()
    )
    return picture(
        "Latency",
        f"From reading an event to its decision being on disk, signed: {said} (medians over the "
        "run). The scale is logarithmic.",
        draw,
    )


def money(curve: MoneyCurve, currency: str, *, chosen: float | None = None) -> Plot:
    """What each threshold saves, and where it saves most."""
    best = curve.best

    def draw(axes: Any) -> None:
        axes.plot(curve.threshold, curve.saved, color=SECOND, label="loss stopped")
        axes.plot(curve.threshold, curve.cost, color=THIRD, label="cost of alarms")
        axes.plot(curve.threshold, curve.net, color=FIRST, linewidth=2.6, label="net")
        axes.scatter([curve.threshold[best]], [curve.net[best]], color=FIRST, s=46, zorder=4)
        if chosen is not None:
            axes.axvline(chosen, color=MUTED, linestyle="--", linewidth=1.2)
        top = max(float(curve.saved.max()), 1e-9)
        axes.set_ylim(min(0.0, float(curve.net.max())) - 0.15 * top, 1.08 * top)
        axes.set_xlabel("threshold")
        axes.set_ylabel(currency)
        axes.yaxis.set_major_formatter(short_tick)
        axes.legend(ncols=3, loc="lower right", bbox_to_anchor=(1.0, 1.0))

    line = "" if chosen is None else f" The dashed line is the policy's threshold, {chosen:g}."
    return picture(
        "Threshold and money",
        f"Alarms from {curve.threshold[best]:.2f} upward save most: {curve.net[best]:,.0f} "
        f"{currency} net, with {curve.alarms[best]:,} alarms.{line}",
        draw,
    )
