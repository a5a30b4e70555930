"""Credit scores on public data: discrimination, calibration, and what fairness and form cost.

Run `python -m benchmarks.credit` with `HEADRACE_DATA` naming the folder that holds `credit_taiwan`,
`credit_gmsc` and `credit_german`. It prints the tables of `docs/benchmarks/credit.md`: repeated
stratified cross-validation, the same folds for every row, each fold's scores by the scorer that
serves.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.model_selection import StratifiedKFold

import headrace as hr
from headrace.lifecycle.metrics import calibration, calibration_error, roc_auc
from headrace.models.calibration import fit_calibration
from headrace.models.scorer import TreeScorer
from headrace.models.serving import read_model
from headrace.models.training import Examples, fit, model_matrix
from headrace_solutions.credit_risk.open_data import german, gmsc, taiwan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Model = hr.XGBoost | hr.LightGBM | hr.Scorecard

FOLDS = 5
#: Parts of a fold's training rows by whose held-out margins its calibration is fitted.
INNER = 3
BINS = 20
THREADS = 1
#: Stated settings of the model that ours is held against.
LIGHTGBM = hr.LightGBM(
    trees=200, max_depth=6, leaves=31, learning_rate=0.03, min_child_weight=1e-3, l2=0.0,
    early_stopping=None, seed=7, extra={"min_data_in_leaf": 20, "num_threads": THREADS},
)  # fmt: skip
#: As the library comes: 100 trees of 31 leaves at a rate of 0.1.
UNTUNED = replace(LIGHTGBM, trees=100, max_depth=63, learning_rate=0.1)


@dataclass(frozen=True, slots=True)
class Matrix:
    """Columns that a model is fitted to.

    Attributes:
        names: Of the columns.
        categorical: Which of them are categories, held as codes.
        values: float64 `[rows, columns]`, NaN missing.
    """

    names: tuple[str, ...]
    categorical: tuple[bool, ...]
    values: Floats

    @staticmethod
    def of(table: pa.Table, names: Sequence[str]) -> Matrix:
        """Columns of a table; texts become codes."""
        columns, kinds = [], []
        for name in names:
            column = table[name].combine_chunks()
            text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
            if text:
                column = column.dictionary_encode().indices
            columns.append(pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy())
            kinds.append(text)
        return Matrix(tuple(names), tuple(kinds), np.column_stack(columns))

    def beside(self, other: Matrix) -> Matrix:
        """These columns and those."""
        return Matrix(
            self.names + other.names,
            self.categorical + other.categorical,
            np.column_stack([self.values, other.values]),
        )


@dataclass(frozen=True, slots=True)
class DataSet:
    """A public set, as its use case sees it.

    Attributes:
        title: For people.
        case: The use case.
        bad: Whether each row defaulted.
        raw: The columns as published, protected ones among them.
        features: The use case's features.
        protected: The columns that no feature reads.
        repeats: Of cross-validation.
        untuned: What untuned boosting came to before.
        published: The figure of the literature, and its source.
    """

    title: str
    case: hr.UseCase
    bad: NDArray[np.bool_]
    raw: Matrix
    features: Matrix
    protected: Matrix
    repeats: int
    untuned: float
    published: str

    @staticmethod
    def load(module: ModuleType, data: Path, **said: Any) -> DataSet:
        """Read a set and compute its features with the engine."""
        frames = module.history(data)
        case: hr.UseCase = module.case
        taken = frames["applications"]
        schema = case.on.definition.schema
        computed = hr.compute(case, frames)
        raw = [name for name in schema.names if name not in ("application_id", "at")]
        return DataSet(
            case=case,
            bad=pc.is_in(
                taken["application_id"], value_set=frames["defaults"]["application_id"]
            ).to_numpy(),
            raw=Matrix.of(taken, raw),
            features=Matrix.of(computed, list(case.features)),
            protected=Matrix.of(taken, [f.name for f in schema.fields if f.protected]),
            **said,
        )

    def folds(self, repeat: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Rows to learn from, and rows to judge, of every fold of a repeat."""
        parted = StratifiedKFold(FOLDS, shuffle=True, random_state=repeat)
        yield from parted.split(self.bad, self.bad)


def margins(model: Model, matrix: Matrix, bad: Floats, learned: Any, judged: Any) -> Floats:
    """Margins of the judged rows by the serving scorer, of a model fitted to the learned ones."""
    fitted = fit(
        model,
        Examples(matrix.values[learned], bad[learned]),
        None,
        names=matrix.names,
        categorical=matrix.categorical,
    )
    scorer = TreeScorer(read_model(fitted.content, fitted.form))
    return scorer.margins(model_matrix(matrix.values[judged]))


def held_out_margins(model: Model, matrix: Matrix, bad: Floats, learned: Any) -> Floats:
    """Margins of the learned rows, each by a model that has not seen it."""
    found = np.empty(len(learned))
    parted = StratifiedKFold(INNER, shuffle=True, random_state=0)
    for inside, outside in parted.split(learned, bad[learned]):
        found[outside] = margins(model, matrix, bad, learned[inside], learned[outside])
    return found


@dataclass(slots=True)
class Row:
    """A line of the table: how to fit it, and the area under the curve of each fold."""

    title: str
    model: Model
    matrix: Matrix
    areas: list[float]

    @property
    def mean(self) -> float:
        """Over folds and repeats."""
        return float(np.mean(self.areas))

    @property
    def error(self) -> float:
        """Standard error of the mean, folds taken as independent."""
        return float(np.std(self.areas, ddof=1) / np.sqrt(len(self.areas)))

    def over(self, other: Row) -> tuple[float, float]:
        """The mean difference to another row on the same folds, and its standard error."""
        apart = np.array(self.areas) - np.array(other.areas)
        return float(apart.mean()), float(apart.std(ddof=1) / np.sqrt(len(apart)))


def one_thread(case: hr.UseCase) -> hr.XGBoost:
    """A use case's model, grown by one thread and not calibrated."""
    model = case.model
    assert isinstance(model, hr.XGBoost)
    return replace(model, calibration=None, extra={**model.extra, "nthread": THREADS})


def rows_of(found: DataSet) -> dict[str, Row]:
    """The lines of a set's table."""
    whole = found.features.beside(found.protected)
    held = one_thread(found.case)
    free = replace(held, monotone={})
    card = hr.Scorecard(monotone=held.monotone)
    return {
        name: Row(title, model, matrix, [])
        for name, title, model, matrix in (
            ("untuned", "LightGBM as it comes, the set's own columns", UNTUNED, found.raw),
            ("rival", "LightGBM at stated settings, all features", LIGHTGBM, whole),
            ("free", "Headrace, all features", free, whole),
            ("rival_fair", "LightGBM at stated settings, no protected", LIGHTGBM, found.features),
            ("fair", "Headrace, no protected", free, found.features),
            ("served", "Headrace, no protected, monotone: as served", held, found.features),
            ("scorecard", "Headrace's scorecard, no protected, monotone", card, found.features),
        )
    }


@dataclass(frozen=True, slots=True)
class Measured:
    """What a set came to.

    Attributes:
        rows: Lines of the table, by name.
        probability: Out of fold, of the model as served: `[repeats, rows]`.
        uncalibrated: The same without the calibration.
    """

    rows: dict[str, Row]
    probability: Floats
    uncalibrated: Floats


def measure(found: DataSet, only: Sequence[str] = (), keep: Path | None = None) -> Measured:
    """Fit and judge every line on every fold.

    Args:
        found: The set.
        only: The lines that are wanted; all when empty.
        keep: A folder in which each fold is kept once it is done, so that a run that was cut off
            goes on where it was.
    """
    rows = {name: row for name, row in rows_of(found).items() if not only or name in only}
    probability = np.full((found.repeats, len(found.bad)), np.nan)
    uncalibrated = probability.copy()
    digest = "" if keep is None else digest_of(found, rows)
    for repeat in range(found.repeats):
        for number, (learned, judged) in enumerate(found.folds(repeat)):
            path = None if keep is None else keep / f"{digest}-{repeat}-{number}.npz"
            done = kept_fold(path)
            if done is None:
                done = measure_fold(found, rows, learned, judged)
                keep_fold(path, done)
            for name, row in rows.items():
                row.areas.append(float(done[f"area of {name}"]))
            probability[repeat, judged] = done["probability"]
            uncalibrated[repeat, judged] = done["uncalibrated"]
    return Measured(rows, probability, uncalibrated)


def kept_fold(path: Path | None) -> dict[str, Floats] | None:
    """What `keep_fold` put there; None if nothing is."""
    if path is None or not path.exists():
        return None
    with np.load(path) as kept:
        return dict(kept)


def keep_fold(path: Path | None, done: dict[str, Floats]) -> None:
    """Keep a fold, whole or not at all."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.stem}.draft.npz")
    np.savez(draft, **done)  # type: ignore[arg-type]  # by names of its own
    draft.rename(path)


def digest_of(found: DataSet, rows: dict[str, Row]) -> str:
    """Of all that a repeat comes from: data, features, settings, libraries."""
    said = hashlib.sha256(found.bad.tobytes())
    for name, row in rows.items():
        settings = sorted(row.model.plain().items(), key=str)
        said.update(f"{name} {settings} {row.matrix.names}".encode())
        said.update(row.matrix.values.tobytes())
    for library in ("xgboost-cpu", "lightgbm", "optbinning", "scikit-learn"):
        said.update(f"{library} {version(library)}".encode())
    said.update(f"{found.case.model} {FOLDS} {INNER}".encode())
    return said.hexdigest()[:20]


def measure_fold(
    found: DataSet, rows: dict[str, Row], learned: Any, judged: Any
) -> dict[str, Floats]:
    """Areas of each line on one fold, and probabilities of the model as served."""
    bad = found.bad.astype(np.float64)
    served = found.case.model
    assert isinstance(served, hr.XGBoost)
    done = {name: np.full(len(judged), np.nan) for name in ("probability", "uncalibrated")}
    for name, row in rows.items():
        out = margins(row.model, row.matrix, bad, learned, judged)
        done[f"area of {name}"] = np.array(roc_auc(found.bad[judged], out))
        if name == "served" and served.calibration is not None:
            inner = held_out_margins(row.model, row.matrix, bad, learned)
            fitted = fit_calibration(served.calibration, inner, bad[learned])
            done["probability"] = fitted.probability(out)
            done["uncalibrated"] = 1.0 / (1.0 + np.exp(-out))
    return done


def pooled(found: DataSet, probability: Floats, *, equal_counts: bool) -> float:
    """Root mean square over bins, of all rows of a repeat; the mean over repeats."""
    return float(
        np.mean(
            [
                calibration_error(found.bad, p, bins=BINS, equal_counts=equal_counts)
                for p in probability
            ]
        )
    )


def print_set(found: DataSet, measured: Measured) -> None:
    """The table of one set."""
    rows = measured.rows
    times = "once" if found.repeats == 1 else f"{found.repeats} times"
    print(f"\n### {found.title}: {len(found.bad):,} rows, {FOLDS} folds, {times}\n")
    print("| model and features | AUC | to LightGBM at stated settings, same features |")
    print("|---|---|---|")
    print(f"| published: {found.published} | | |")
    print(f"| untuned boosting, when first tried | {found.untuned:.3f} | |")
    rivals = {
        "free": "rival",
        "fair": "rival_fair",
        "served": "rival_fair",
        "scorecard": "rival_fair",
    }
    for name, row in rows.items():
        beside = ""
        if rivals.get(name) in rows:
            apart, error = row.over(rows[rivals[name]])
            beside = f"{apart:+.4f} ± {error:.4f}"
        print(f"| {row.title} | {row.mean:.4f} ± {row.error:.4f} | {beside} |")
    print_costs(rows)
    if "served" not in rows:
        return
    print("\n| calibration of the model as served | root mean square error |\n|---|---|")
    for title, probability in (
        ("calibrated", measured.probability),
        ("not calibrated", measured.uncalibrated),
    ):
        for equal in (True, False):
            kind = "equal count" if equal else "equal width"
            error = pooled(found, probability, equal_counts=equal)
            print(f"| {title}, {BINS} bins of {kind} | {error:.4f} |")
    wide = calibration(found.bad, measured.probability[0], bins=BINS)
    sizes = ", ".join(f"{count:,}" for count in wide.count.tolist())
    print(f"\nRows in the bins of equal width that hold any: {sizes}.")


_THEIRS = "one held-out test, tuned in a grid, all columns)"
#: What is changed from one line to another, and which lines those are.
COSTS = (
    ("leaving out protected attributes, Headrace", "free", "fair"),
    ("leaving out protected attributes, LightGBM", "rival", "rival_fair"),
    ("keeping to declared directions", "fair", "served"),
    ("a scorecard in place of boosting", "served", "scorecard"),
)


def print_costs(rows: dict[str, Row]) -> None:
    """What fairness and form cost in area, on the same folds."""
    print("\n| what it costs | change of AUC |\n|---|---|")
    for title, before, after in COSTS:
        if before in rows and after in rows:
            apart, error = rows[after].over(rows[before])
            print(f"| {title} | {apart:+.4f} ± {error:.4f} |")


def load(data: Path, repeats: int | None) -> dict[str, Callable[[], DataSet]]:
    """How to read each set."""

    def reader(module: ModuleType, usual: int, **said: Any) -> Callable[[], DataSet]:
        return lambda: DataSet.load(module, data, repeats=repeats or usual, **said)

    return {
        "taiwan": reader(
            taiwan, 4, title="Taiwan", untuned=0.785,
            published="XGBoost 0.800 (Kozodoi and others, 2022: " + _THEIRS,
        ),
        "gmsc": reader(
            gmsc, 9, title="Give Me Some Credit", untuned=0.867,
            published="XGBoost 0.861 (Kozodoi and others, 2022: " + _THEIRS,
        ),
        "german": reader(
            german, 10, title="German", untuned=0.79,
            published="XGBoost 0.817 (Kozodoi and others, 2022: " + _THEIRS,
        ),
    }  # fmt: skip


def run(names: Sequence[str], repeats: int | None, only: Sequence[str], keep: Path | None) -> None:
    """Measure sets, and print their tables."""
    data = Path(os.environ.get("HEADRACE_DATA", "data"))
    for name, read in load(data, repeats).items():
        if name in names:
            found = read()
            print_set(found, measure(found, only, keep))


def main() -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=["taiwan", "gmsc", "german"])
    parser.add_argument("--repeats", type=int, default=None)
    parser.add_argument("--only", nargs="+", default=())
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path(tempfile.gettempdir()) / "headrace-credit",
        help="where folds that are done are kept, so that a run that was cut off goes on",
    )
    asked = parser.parse_args()
    if not (Path(os.environ.get("HEADRACE_DATA", "data")) / taiwan.FILE).exists():
        sys.exit("credit_taiwan is not there; set HEADRACE_DATA to the folder that holds it")
    run(asked.sets, asked.repeats, asked.only, asked.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
