"""Losses, vintages and alternatives on public credit data.

Run `python -m benchmarks.credit_book` with `HEADRACE_DATA` naming the folder that holds
`credit_lgd`, `credit_lendingclub` and the sets of `benchmarks.credit`. It prints tables of
`docs/benchmarks/credit.md`.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

import headrace as hr
from headrace_solutions.credit_risk.loss_given_default import fit_loss
from headrace_solutions.credit_risk.open_data import german, gmsc, lendingclub, lgd, taiwan
from headrace_solutions.credit_risk.stability import read_as, stability_over_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FOLDS, REPEATS, BINS = 5, 10, 10
#: Of a quick run: how often folds are drawn, models tried, and rows read.
QUICK_REPEATS, QUICK_MODELS, QUICK_ROWS = 2, 3, 3000
#: Of the searches: what is measured by, and how many models over how many folds.
SEARCHES: dict[str, tuple[ModuleType, dict[str, tuple[float, ...]], int]] = {
    "Taiwan": (taiwan, {"sex": (), "age": (30, 60)}, 16),
    "Give Me Some Credit": (gmsc, {"age": (30, 62)}, 8),
    "German": (german, {"sex_status": (), "age": (30, 60)}, 24),
}


def mean_loss(_values: Floats, lost: Floats) -> Callable[[Floats], Floats]:
    """The mean of the loans that were learned from."""
    return lambda fresh: np.full(len(fresh), lost.mean())


def fractional(values: Floats, lost: Floats) -> Callable[[Floats], Floats]:
    """Fractional regression with the logistic link: each loan once as a loss, once as none."""
    twice = np.concatenate([values, values])
    kind = np.repeat([1, 0], len(lost))
    fitted = LogisticRegression(C=1e6).fit(
        twice, kind, sample_weight=np.concatenate([lost, 1 - lost])
    )
    return lambda fresh: fitted.predict_proba(fresh)[:, 1]


def two_stages(values: Floats, lost: Floats) -> Callable[[Floats], Floats]:
    """The model of `headrace_solutions.credit_risk.loss_given_default`."""
    return fit_loss(values, lost, lgd.NAMES, lgd.MONOTONE).predict


MODELS = {
    "the mean": mean_loss,
    "fractional regression, logistic link": fractional,
    "two stages of boosting, monotone": two_stages,
}


def figures(lost: Floats, found: Floats) -> tuple[float, float, float, float]:
    """Mean absolute error, R², and the root mean square over bins of equal count and of width."""
    squares = float(((lost - found) ** 2).sum()), float(((lost - lost.mean()) ** 2).sum())
    order = np.argsort(found, kind="stable")
    apart = [lost[part].mean() - found[part].mean() for part in np.array_split(order, BINS)]
    return (
        float(np.abs(lost - found).mean()),
        1.0 - squares[0] / squares[1],
        float(np.sqrt(np.mean(np.square(apart)))),
        float(found.mean() - lost.mean()),
    )


def print_losses(data: Path, repeats: int = REPEATS) -> None:
    """Loss given default, out of fold, of every model on the same folds, two repeats or more."""
    values, lost = lgd.losses(data)
    print(f"\n### Loss given default: {len(lost):,} loans, {FOLDS} folds, {repeats} times\n")
    print("| model | MAE | R² | to the mean, MAE | RMS over 10 bins | predicted less lost |")
    print("|---|---|---|---|---|---|")
    by_model: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in MODELS}
    for repeat in range(repeats):
        found = {name: np.empty(len(lost)) for name in MODELS}
        parted = KFold(FOLDS, shuffle=True, random_state=repeat)
        for learned, judged in parted.split(values):
            for name, fit in MODELS.items():
                found[name][judged] = fit(values[learned], lost[learned])(values[judged])
        for name in MODELS:
            by_model[name].append(figures(lost, found[name]))
    base = np.array(by_model["the mean"])[:, 0]
    for name, rows in by_model.items():
        table = np.array(rows)
        mean, error = table.mean(axis=0), table.std(axis=0, ddof=1) / np.sqrt(repeats)
        print(
            f"| {name} | {mean[0]:.4f} ± {error[0]:.4f} | {mean[1]:.3f} ± {error[1]:.3f}"
            f" | {(table[:, 0] - base).mean():+.4f} | {mean[2]:.4f} | {mean[3]:+.4f} |"
        )


def print_vintages(data: Path) -> None:
    """The share that is bad by month of issue, and how far the population moved."""
    loans = lendingclub.loans(data)
    quarter = loans.month // 3
    print(f"\n### Lending Club 2018: {len(loans.bad):,} loans\n")
    print("| issued in | loans | bad | of grade A | C | E |")
    print("|---|---|---|---|---|---|")
    for month in range(12):
        chosen = loans.month == month
        grades = [
            f"{loans.bad[chosen & (loans.grade == grade)].mean():.1%}" for grade in ("A", "C", "E")
        ]
        said = " | ".join([f"{chosen.sum():,}", f"{loans.bad[chosen].mean():.1%}", *grades])
        print(f"| 2018-{month + 1:02} | {said} |")
    columns = dict(loans.columns)
    rank = np.searchsorted(np.array(["A", "B", "C", "D", "E", "F", "G"]), loans.grade)
    columns["the lender's grade"] = rank.astype(np.float64)
    found = stability_over_time(columns, quarter, 1)
    print("\n| stability against the first quarter | second | third | fourth | read as |")
    print("|---|---|---|---|---|")
    for name, line in sorted(found.items(), key=lambda item: -max(item[1])):
        values = " | ".join(f"{index:.3f}" for index in line)
        print(f"| {name} | {values} | {read_as(max(line))} |")


def print_search(title: str, data: Path, *, quick: bool = False) -> None:
    """The declared model and the front of its alternatives.

    Args:
        title: Of the search.
        data: The folder of the sets.
        quick: Whether to try few models on few rows.
    """
    module, by, count = SEARCHES[title]
    frames = module.history(data)
    if quick:
        count = QUICK_MODELS
        frames["applications"] = frames["applications"].slice(0, QUICK_ROWS)
    case: Any = module.case
    one = hr.UseCase(
        name=case.name,
        on=case.on,
        features=case.features,
        label=case.label,
        model=replace(case.model, calibration=None, extra={"nthread": 1}),
    )
    found = hr.alternatives(one, frames, by=by, count=count, folds=3)
    print(f"\n### Alternatives, {title}: {count} models, {found.events:,} rows, 3 folds\n")
    print(f"| model | AUC | to the declared | {' | '.join(f'ratio by {name}' for name in by)} |")
    print(f"|---|---|---|{'---|' * len(by)}")
    shown = {0: found.declared, **{other.number: other for other in found.front}}
    for other in shown.values():
        apart, error = other.over(found.declared)
        ratios = " | ".join(f"{impact.ratio:.3f} ± {impact.error:.3f}" for impact in other.impacts)
        beside = f"{apart:+.4f} ± {error:.4f}" if other.number else ""
        says = other.says if other.number else "as declared"
        print(f"| {says} | {other.area:.4f} | {beside} | {ratios} |")


def main() -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = ["losses", "vintages", *SEARCHES]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--quick", action="store_true", help="few repeats, models and rows")
    asked = parser.parse_args()
    data = Path(os.environ.get("HEADRACE_DATA", "data"))
    if not (data / lgd.FILE).exists():
        sys.exit("credit_lgd is not there; set HEADRACE_DATA to the folder that holds it")
    for name in asked.only:
        if name == "losses":
            print_losses(data, QUICK_REPEATS if asked.quick else REPEATS)
        elif name == "vintages":
            print_vintages(data)
        else:
            print_search(name, data, quick=asked.quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
