"""What more data would give: models of the simulated market, learned from ever more of it.

    python -m benchmarks.learning_curve [--messages 1000000] [--sizes 10000 30000 ...]

A long market is simulated (`headrace_solutions.trading_signal.simulator`), and its last fifth is
what all models are judged on. Each learns from the moments just before that, from few to all; a
second is left out between. Which moves count as flat is set once, on all that comes before the last
fifth. Errors come from resampling blocks of neighbours. A net is trained on a GPU where there is
one: then its time is told beside that on the processor, and whether it comes out the same twice.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from benchmarks.books import inputs_of
from benchmarks.report import curves, surroundings, table

import headrace as hr
from headrace.core.interning import TextTable
from headrace.definitions.directions import DIRECTIONS
from headrace.lifecycle.classification import block_error, macro_f1, paired_test
from headrace.lifecycle.directions import classes_of, moves, threshold_of
from headrace.lifecycle.training_set import training_set
from headrace.models.class_training import fit_xgboost_classes
from headrace.models.net_training import ClassExamples, fit_logistic, fit_lstm
from headrace.models.onnx_graph import FLAT, SEQUENCE
from headrace.models.onnx_model import BLOCK_ROWS, opened, run
from headrace.models.scorer import TreeScorer
from headrace.models.training import model_matrix
from headrace.models.xgboost_format import read_xgboost_classes
from headrace.pipeline.lane import Lane
from headrace_solutions.trading_signal.case import trading_signal, trading_signal_by
from headrace_solutions.trading_signal.simulator import SimulationSettings, simulate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Floats, Int64s
    from headrace.models.net_training import FittedNet

MESSAGES, SIZES = 1_000_000, (10_000, 30_000, 100_000, 300_000, 750_000)
#: Messages of a session of all books together.
SESSION = 18_000
EMBARGO_NS = 10**9
#: A block of the bootstrap lasts so long: some thirty horizons.
BLOCK_NS, DRAWS = 60 * 10**9, 200
LOGISTIC = hr.LogisticRegression(penalty=10.0, steps=200)
LSTM = hr.Lstm(hidden=32, epochs=12, early_stopping=3, batch=256, learning_rate=2e-3, seed=7)
MODELS = ("logistic regression", "boosting", "LSTM")
#: Moments by which the net's time is told on both devices, and passes over them.
TIMED, PASSES = 100_000, 2


@dataclass(frozen=True, slots=True)
class Series:
    """A simulated market as models read it.

    Attributes:
        at: When each moment was, ascending, in nanoseconds.
        values: Features: float64 [moments, features], without the price itself.
        sequences: The last vectors: float32 [moments, length, features].
        names: Of the features.
        truth: The class of each moment.
        learned: Moments that may be learned from, in order.
        judged: Those of the last fifth.
        threshold: The least move that is not flat.
    """

    at: Int64s
    values: Floats
    sequences: NDArray[np.float32]
    names: tuple[str, ...]
    truth: NDArray[np.int64]
    learned: Int64s
    judged: Int64s
    threshold: float

    @staticmethod
    def of(messages: int) -> Series:
        """Simulate a market, compute its features, and look where prices went."""
        days = max(1, messages // SESSION)
        market = simulate(SimulationSettings(events=messages, days=days))
        case = trading_signal_by(hr.Lstm())
        label = case.direction
        assert label is not None
        data = training_set(
            Lane(case.definition(None), (1, 2)), None, inputs_of(case, market.tables)
        )
        assert data.sequences is not None
        names = list(case.features)
        key = TextTable().intern(data.events.text(label.key))
        price = data.values[names.index(label.feature)]
        made = moves(price, data.at_ns, key, after_ns=label.after_ns)
        first = data.at_ns[int(0.8 * len(data.at_ns))]
        there = ~np.isnan(made.size)
        learned = np.flatnonzero(there & (made.settled_ns < first - EMBARGO_NS))
        judged = np.flatnonzero(there & (data.at_ns >= first))
        threshold = threshold_of(made.size[learned], label.flat)
        read = [place for place, name in enumerate(names) if name != label.feature]
        return Series(
            data.at_ns,
            np.ascontiguousarray(data.values[read].T),
            data.sequences.vectors,
            tuple(names[place] for place in read),
            classes_of(made.size, threshold).astype(np.int64),
            learned,
            judged,
            threshold,
        )

    def parts(self, size: int) -> tuple[Int64s, Int64s]:
        """The last so many moments that may be learned from; of them the last fifth to stop by."""
        rows = self.learned[-size:]
        cut = int(0.8 * len(rows))
        return rows[:cut], rows[cut:]

    def flat(self, rows: Int64s) -> ClassExamples:
        """Moments without a sequence."""
        return ClassExamples(self.values[rows].astype(np.float32), self.truth[rows])

    def deep(self, rows: Int64s) -> ClassExamples:
        """Moments with their sequences."""
        return ClassExamples(self.sequences[rows], self.truth[rows])

    @property
    def block(self) -> int:
        """Moments of a block of the bootstrap."""
        return int(np.ceil(len(self.judged) * BLOCK_NS / _open_ns(self.at[self.judged])))


def logistic(series: Series, size: int) -> Floats:
    """Scores of what is judged by logistic regression."""
    train, validation = series.parts(size)
    net = fit_logistic(LOGISTIC, series.flat(np.concatenate([train, validation])), len(DIRECTIONS))
    return _run(net, FLAT, series.flat(series.judged).X)


def boosting(series: Series, size: int) -> Floats:
    """Scores by the use case's own boosting."""
    said = trading_signal.model
    assert isinstance(said, hr.XGBoost)

    def examples(rows: Int64s) -> ClassExamples:
        values = model_matrix(np.ascontiguousarray(series.values[rows].T))
        return ClassExamples(values, series.truth[rows])  # type: ignore[arg-type]  # trees take floats of 64 bits

    train, validation = (examples(rows) for rows in series.parts(size))
    fitted = fit_xgboost_classes(
        said,
        train,
        validation,
        len(DIRECTIONS),
        names=series.names,
        categorical=[False] * len(series.names),
    )
    taken = np.ascontiguousarray(series.values[series.judged].T)
    return np.stack(
        [TreeScorer(one).margins(taken) for one in read_xgboost_classes(fitted.content)]
    )


def lstm(series: Series, size: int) -> Floats:
    """Scores by the net."""
    train, validation = (series.deep(rows) for rows in series.parts(size))
    return _run(
        fit_lstm(LSTM, train, validation, len(DIRECTIONS)),
        SEQUENCE,
        series.sequences[series.judged],
    )


def _run(net: FittedNet, name: str, rows: NDArray[np.float32]) -> Floats:
    binding = msgspec.structs.replace(net.binding, rows=BLOCK_ROWS)
    return run(opened(net.content), binding, {name: rows}).T.astype(np.float64)


def curve(series: Series, sizes: list[int]) -> None:
    """The table and the picture."""
    truth = series.truth[series.judged]
    shares = ", ".join(f"{share:.0%}" for share in np.bincount(truth, minlength=3) / len(truth))
    rows: list[tuple[str, ...]] = [
        ("moments learned from", "minutes of it", *MODELS, "LSTM to boosting")
    ]
    lines: dict[str, list[tuple[float, float, float]]] = {name: [] for name in MODELS}
    for size in sizes:
        began = time.perf_counter()
        train, _ = series.parts(size)
        told = {}
        for name, fit in zip(MODELS, (logistic, boosting, lstm), strict=True):
            told[name] = fit(series, size).argmax(axis=0)
            value, error = _judged(truth, told[name], series.block)
            lines[name].append((float(size), value, error))
        apart = paired_test(
            truth, told["LSTM"], told["boosting"], 3, length=series.block, draws=DRAWS
        )
        cells = [f"{value:.3f} ± {error:.3f}" for *_, (_, value, error) in lines.values()]
        cells.append(f"{apart.difference:+.3f} ± {apart.error:.3f}")
        rows.append(
            (f"{size:,}", f"{_open_ns(series.at[train[0] : series.judged[0]]) / 60e9:,.0f}", *cells)
        )
        sys.stderr.write(f"{rows[-1]}, {time.perf_counter() - began:.0f} s\n")
    title = (
        f"Macro-F1 of a simulated market by what was learned from; {len(truth):,} moments judged"
    )
    table(title, rows)
    print(
        f"\nUp, flat and down are {shares} of what is judged; flat is what moves by at most"
        f" {series.threshold:g}. Blocks of {series.block:,} moments."
    )
    axes = ("moments learned from", "macro-F1")
    curves("Macro-F1 by what was learned from", "learning-curve", lines, axes)


def _open_ns(at: Int64s) -> int:
    """How long a stretch lasts; what lies between sessions does not count."""
    steps = np.diff(at)
    return int(steps[steps < 3_600 * 10**9].sum())


def _judged(truth: NDArray[np.int64], told: NDArray[np.int64], block: int) -> tuple[float, float]:
    """Macro-F1 and its standard error."""
    error = block_error(
        lambda rows: macro_f1(truth[rows], told[rows], 3), len(truth), length=block, draws=DRAWS
    )
    return macro_f1(truth, told, 3), error


def devices(series: Series) -> None:
    """The net's time on each device; nothing where there is no GPU."""
    cuda = importlib.import_module("torch").cuda
    if not cuda.is_available():
        return
    train, validation = (series.deep(rows) for rows in series.parts(TIMED))
    head = (
        "device",
        "seconds a pass",
        "moments/s",
        "the same net twice",
        "apart from ONNX Runtime",
    )
    rows: list[tuple[str, ...]] = [head]
    passes = replace(LSTM, epochs=PASSES, early_stopping=None)
    for said, name in (
        (replace(passes, device="auto"), cuda.get_device_name()),
        (replace(passes, device="cpu"), "processor"),
    ):
        began = time.perf_counter()
        nets = [fit_lstm(said, train, validation, len(DIRECTIONS)) for _ in range(2)]
        took = (time.perf_counter() - began) / 2 / PASSES
        same = len({hashlib.sha256(net.content).digest() for net in nets}) == 1
        apart = nets[0].told["apart from library"]
        rate = f"{len(train.y) / took:,.0f}"
        rows.append((name, f"{took:.1f}", rate, "yes" if same else "no", f"{apart:.1g}"))
    table(f"The net on a GPU; {len(train.y):,} moments, batches of {LSTM.batch}", rows)


def main() -> int:
    """Measure, and print tables of Markdown."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=MESSAGES, help="of all books together")
    options.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    given = options.parse_args()
    surroundings()
    series = Series.of(given.messages)
    sys.stderr.write(f"{len(series.learned):,} moments to learn from\n")
    devices(series)
    curve(series, [size for size in given.sizes if size <= len(series.learned)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
