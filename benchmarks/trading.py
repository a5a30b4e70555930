"""Where prices go next, on real captures: nets, boosting and logistic regression on the same folds.

    HEADRACE_DATA=FOLDER python -m benchmarks.trading [--quick]

It prints the tables of `docs/benchmarks/trading.md`. Folds walk forward, purged and embargoed; the
threshold between flat and a move is set on each training part; scores are those of the scorers that
serve. Errors come from resampling blocks of neighbours.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from benchmarks.next_move import MILLISECOND, QUESTIONS, Question
from benchmarks.report import curves, section, surroundings, table

import headrace as hr
from headrace.definitions.directions import DIRECTIONS
from headrace.lifecycle.classification import block_error, class_metrics, macro_f1, paired_test
from headrace.lifecycle.directions import classes_of, threshold_of
from headrace.lifecycle.folds import FoldSettings, walk_forward
from headrace.models.class_kernels import softmax
from headrace.models.class_training import fit_xgboost_classes
from headrace.models.net_training import ClassExamples, fit_logistic, fit_lstm
from headrace.models.onnx_graph import FLAT, SEQUENCE, quantised
from headrace.models.onnx_model import BLOCK_ROWS, opened, run
from headrace.models.scorer import TreeScorer
from headrace.models.training import model_matrix
from headrace.models.xgboost_format import read_xgboost_classes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from headrace.core.columns import Floats
    from headrace.lifecycle.classification import ClassMetrics
    from headrace.lifecycle.folds import Fold

    Classes = NDArray[np.int64]

FOLDS = FoldSettings(folds=4, embargo_ns=1_000 * MILLISECOND)
#: A block of the bootstrap lasts so long at least, and two horizons.
BLOCK_NS, DRAWS = 5_000 * MILLISECOND, 200
GOAL = 0.78
BOOSTING = hr.XGBoost(
    trees=200, max_depth=3, learning_rate=0.05, min_child_weight=100.0, l2=10.0, subsample=0.5,
    colsample=0.4, early_stopping=15, class_weight="balanced", seed=7,
    extra={"max_bin": 64, "nthread": 1},
)  # fmt: skip
LOGISTIC = hr.LogisticRegression(penalty=10.0, steps=200)
LSTM = hr.Lstm(
    hidden=16, epochs=12, early_stopping=3, batch=256, learning_rate=2e-3, dropout=0.3, prune=0.5,
    quantise=True, device="cpu", seed=7,
)  # fmt: skip
#: The net as it was fitted, and what makes it smaller.
NET, SMALLER = "LSTM", ("LSTM, pruned", "LSTM, quantised", "LSTM, pruned and quantised")
MODELS = ("logistic regression", "boosting", NET)


@dataclass(frozen=True, slots=True)
class Answers:
    """What the judged moments of all folds came to, at one horizon.

    Attributes:
        truth: Number of each one's class.
        scores: Of each model, classes by moments.
        thresholds: Of each fold.
        block: Moments of a block.
        apart: How many horizons that do not overlap were judged.
        learned: Moments that the last fold learned from.
    """

    truth: Classes
    scores: dict[str, Floats]
    thresholds: tuple[float, ...]
    block: int
    apart: int
    learned: int

    def metrics(self, model: str) -> ClassMetrics:
        """The figures of a model."""
        return class_metrics(self.truth, self.scores[model], DIRECTIONS)

    def error(self, model: str) -> float:
        """The standard error of its macro-F1."""
        told = self.scores[model].argmax(axis=0)
        return block_error(
            lambda rows: macro_f1(self.truth[rows], told[rows], len(DIRECTIONS)),
            len(self.truth),
            length=self.block,
            draws=DRAWS,
        )

    def against(self, one: str, other: str) -> str:
        """One model's macro-F1 less another's."""
        first, second = (self.scores[model].argmax(axis=0) for model in (one, other))
        found = paired_test(
            self.truth, first, second, len(DIRECTIONS), length=self.block, draws=DRAWS
        )
        return f"{found.difference:+.3f} ± {found.error:.3f}, p {found.p:.3f}"


def boosting(asked: Question, fold: Fold, truth: Classes) -> Iterator[tuple[str, Floats]]:
    """Scores of the judged moments by boosting."""

    def examples(rows: NDArray[np.int64]) -> ClassExamples:
        values = model_matrix(np.ascontiguousarray(asked.values[rows].T))
        return ClassExamples(values, truth[rows])  # type: ignore[arg-type]  # trees take floats of 64 bits

    fitted = fit_xgboost_classes(
        BOOSTING,
        examples(fold.train),
        examples(fold.validation),
        len(DIRECTIONS),
        names=asked.names,
        categorical=[False] * len(asked.names),
    )
    taken = np.ascontiguousarray(asked.values[fold.test].T)
    scorers = [TreeScorer(ensemble) for ensemble in read_xgboost_classes(fitted.content)]
    margins = np.stack([scorer.margins(taken) for scorer in scorers])
    scores = np.empty_like(margins)
    softmax(margins, scores)
    yield "boosting", scores


def logistic(asked: Question, fold: Fold, truth: Classes) -> Iterator[tuple[str, Floats]]:
    """Scores by logistic regression, fitted to what the others stop by too."""
    flat = asked.values.astype(np.float32)
    learned = np.concatenate([fold.train, fold.validation])
    net = fit_logistic(LOGISTIC, ClassExamples(flat[learned], truth[learned]), len(DIRECTIONS))
    binding = msgspec.structs.replace(net.binding, rows=BLOCK_ROWS)
    made = run(opened(net.content), binding, {FLAT: flat[fold.test]})
    yield "logistic regression", made.T.astype(np.float64)


def lstm(asked: Question, fold: Fold, truth: Classes) -> Iterator[tuple[str, Floats]]:
    """Scores by the net as fitted, and as each option that makes it smaller leaves it."""

    def examples(rows: NDArray[np.int64]) -> ClassExamples:
        return ClassExamples(asked.sequences[rows], truth[rows])

    net = fit_lstm(LSTM, examples(fold.train), examples(fold.validation), len(DIRECTIONS))
    whole, pruned = net.stages["as fitted"], net.stages["pruned"]
    contents = (whole, pruned, quantised(whole), net.stages["quantised"])
    for name, content in zip((NET, *SMALLER), contents, strict=True):
        # with dynamic quantisation, rows of a block change each other
        rows = 1 if "quantised" in name else BLOCK_ROWS
        binding = msgspec.structs.replace(net.binding, rows=rows)
        made = run(opened(content), binding, {SEQUENCE: asked.sequences[fold.test]})
        yield name, made.T.astype(np.float64)


def answers(asked: Question, horizon: int, settings: FoldSettings) -> Answers:
    """Fit all models on all folds, and judge them."""
    moves = asked.moves(horizon)
    fittings: list[Callable[[Question, Fold, Classes], Iterator[tuple[str, Floats]]]] = [
        logistic,
        boosting,
    ]
    fittings += [lstm] if horizon in asked.deep else []
    truths: list[Classes] = []
    scores: dict[str, list[Floats]] = {}
    thresholds, apart, learned = [], 0, 0
    folds = list(walk_forward(asked.at, moves.settled_ns, settings))
    for fold in folds:
        thresholds.append(threshold_of(moves.size[fold.train], 1 / 3))
        truth = classes_of(moves.size, thresholds[-1]).astype(np.int64)
        truths.append(truth[fold.test])
        for fit in fittings:
            for name, made in fit(asked, fold, truth):
                scores.setdefault(name, []).append(made)
        apart += _apart(asked, horizon, fold)
        learned = len(fold.train)
    judged = np.concatenate([fold.test for fold in folds])
    spans = (moves.settled_ns - asked.at)[judged]
    lasts = max(BLOCK_NS, 2 * int(np.median(spans)))
    block = int(np.ceil(len(judged) * lasts / (asked.at[judged[-1]] - asked.at[judged[0]])))
    return Answers(
        np.concatenate(truths),
        {name: np.concatenate(parts, axis=1) for name, parts in scores.items()},
        tuple(thresholds),
        min(max(block, 1), len(judged) // 4),
        apart,
        learned,
    )


def _apart(asked: Question, horizon: int, fold: Fold) -> int:
    """How many horizons lie one after the other in what is judged."""
    if asked.unit != "ms":
        return len(fold.test) // horizon
    return int(asked.at[fold.test[-1]] - asked.at[fold.test[0]]) // (horizon * MILLISECOND)


def horizons(asked: Question, settings: FoldSettings, name: str) -> None:
    """The tables and the curve of one question."""
    found = {}
    head = ("horizon", "horizons apart", "up, flat, down", "least move", "logistic regression",
            "boosting", "LSTM")  # fmt: skip
    rows: list[tuple[str, ...]] = [head]
    lines: dict[str, list[tuple[float, float, float]]] = {}
    for horizon in asked.horizons:
        made = found[horizon] = answers(asked, horizon, settings)
        shares = np.bincount(made.truth, minlength=3) / len(made.truth)
        told = []
        for model in MODELS:
            if model not in made.scores:
                told.append("")
                continue
            value, error = made.metrics(model).macro_f1, made.error(model)
            lines.setdefault(model, []).append((float(horizon), value, error))
            told.append(f"{value:.3f} ± {error:.3f}")
        sys.stderr.write(f"{asked.title}, {horizon} {asked.unit}: {told}\n")
        rows.append((f"{horizon:,} {asked.unit}", f"{made.apart:,}",
                     ", ".join(f"{share:.0%}" for share in shares),
                     f"{min(made.thresholds):g} to {max(made.thresholds):g}", *told))  # fmt: skip
    judged = len(next(iter(found.values())).truth)
    table(f"{asked.title}: macro-F1; {len(asked.at):,} moments, {judged:,} of them judged", rows)
    curves(
        f"Macro-F1 by horizon: {asked.title}",
        f"next-move-{name}",
        lines,
        (f"horizon, {asked.unit}", "macro-F1"),
        goal=GOAL,
    )
    for horizon in asked.deep:
        details(asked, horizon, found[horizon])


def details(asked: Question, horizon: int, made: Answers) -> None:
    """Each class, what is behind the averages, and how models compare."""
    head = ("model", "precision up, flat, down", "recall up, flat, down", "AUC up, flat, down")
    rows: list[tuple[str, ...]] = [head]
    for model in MODELS:
        figures = made.metrics(model)
        rows.append((model, *(", ".join(f"{value:.2f}" for value in values)
                     for values in (figures.precision, figures.recall, figures.auc))))  # fmt: skip
    print(f"\nAt {horizon:,} {asked.unit}, blocks of {made.block:,} moments:\n")
    print_rows(rows)
    pairs = (("boosting", "logistic regression"), (NET, "boosting"), (NET, "logistic regression"))
    rows = [("compared", "difference of macro-F1")]
    rows += [(f"{one} to {other}", made.against(one, other)) for one, other in pairs]
    rows += [(f"{small} to {NET}", made.against(small, NET)) for small in SMALLER]
    print()
    print_rows(rows)


def print_rows(rows: list[tuple[str, ...]]) -> None:
    """A table without a section of its own."""
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows[1:]:
        print("| " + " | ".join(row) + " |")
    sys.stdout.flush()


def main() -> int:
    """Measure, and print tables of Markdown."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="few moments, for a trial")
    options.add_argument("--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    given = options.parse_args()
    folder = os.environ.get("HEADRACE_DATA")
    if folder is None:
        sys.exit("HEADRACE_DATA names no folder: it holds the captures that are learned from")
    surroundings()
    began = time.perf_counter()
    settings = replace(FOLDS, folds=2) if given.quick else FOLDS
    for name in given.only:
        asked = QUESTIONS[name](Path(folder))
        horizons(asked.thinned(12) if given.quick else asked, settings, name)
    section("Time")
    print(f"The whole took {time.perf_counter() - began:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
