"""What a demo's report shows of the loan book: expected loss, vintages, stability, groups.

All of it comes from the decisions and from what the simulation knows of each loan. Protected
attributes are read here and nowhere else: to measure what decisions did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace_solutions.credit_risk.case import EXPOSURE, LOSS_GIVEN_DEFAULT

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Table: TypeAlias = tuple[str, Sequence[str], Sequence[Sequence[str]]]

#: Upper ends of the grades' probabilities of default.
GRADES = {"A": 0.01, "B": 0.025, "C": 0.05, "D": 0.10, "E": 0.16, "F": 1.0}
#: Below this share of the best group's rate of approval, selection is looked into (29 CFR 1607.4).
FOUR_FIFTHS = 0.8
_MONTH = 30 * 86_400

_LOSS_TEXT = (
    "Probability of default (the score) times loss given default times exposure at default, with"
    " the last two assumed by product, against what was lost. Loans that were blocked or reviewed"
    " are followed too, as only a simulation can."
)
_TIME_TEXT = (
    "Vintages by the month of application: the recession of the simulation is in the later ones,"
    " and a model of earlier months cannot know it. Stability is measured against the months before"
    " the end of history."
)
_GROUP_TEXT = (
    "Sex and age are recorded to measure by, and are read by no feature and no rule. The impact"
    " ratio is a group's rate of approval over the highest; below 0.8 it is looked into."
)


@dataclass(frozen=True, slots=True)
class _Book:
    """Decided loans with how they turned out, one row each."""

    table: Any
    score: Floats
    bad: NDArray[np.bool_]
    month: NDArray[np.int64]
    wait: Floats
    amount: Floats
    expected: Floats
    lost: Floats
    approved: NDArray[np.bool_]
    later: NDArray[np.bool_]

    def texts(self, name: str) -> NDArray[np.str_]:
        """A column of texts."""
        return np.array(self.table[name].to_pylist())


def report_sections(
    data: Path, decisions: Path, since: dt.datetime
) -> Sequence[tuple[str, str, Sequence[Table]]]:
    """Sections of the report.

    Args:
        data: The folder of the simulation.
        decisions: Every decision, as Parquet.
        since: When history ended; before it the model has seen the outcomes.
    """
    book = _book(data, decisions, since)
    return (
        (
            "Expected loss",
            _LOSS_TEXT,
            (_losses(book), _grades(book)),
        ),
        (
            "The book over time",
            _TIME_TEXT,
            (_vintages(book), _terms(book), _stability(book)),
        ),
        (
            "Groups",
            _GROUP_TEXT,
            (_groups(book, "sex", book.texts("sex")), _groups(book, "age", _ages(book))),
        ),
    )


def _book(data: Path, decisions: Path, since: dt.datetime) -> _Book:
    table = pq.read_table(decisions)
    truth = pq.read_table(data / "truth.parquet")
    parts = [pq.read_table(data / part / "defaults.parquet") for part in ("history", "later")]
    defaults = pa.concat_tables(parts)
    row = pc.index_in(table["application_id"], value_set=truth["application_id"]).to_numpy()
    hit = pc.index_in(table["application_id"], value_set=defaults["application_id"])
    bad = hit.is_valid().to_numpy()
    at, moment = (_seconds(each["at"]) for each in (table, defaults))
    wait = np.full(len(at), np.inf)
    wait[bad] = (moment[hit.drop_null().to_numpy()] - at[bad]) / _MONTH
    # a column of the event, or of the feature of the same name
    named = "amount" if "amount" in table.column_names else "feature_amount"
    amount = table[named].cast(pa.float64()).to_numpy()
    given = truth["loss_given_default"].to_numpy()[row]
    owed = truth["exposure"].to_numpy()[row]
    product = table["product"].to_pylist()
    assumed = np.array([LOSS_GIVEN_DEFAULT[name] for name in product])
    score = table["score"].to_numpy()
    outcome = np.array(table["outcome"].to_pylist())
    return _Book(
        table,
        score,
        bad,
        (at - at.min()) // _MONTH,
        wait,
        amount,
        score * assumed * EXPOSURE * amount,
        np.where(bad, given * owed * amount, 0.0),
        np.char.startswith(outcome, "approve"),
        at >= int(since.timestamp()),
    )


def _seconds(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Times as seconds since 1970; files keep them in finer units."""
    found: NDArray[np.int64] = column.cast(pa.timestamp("s", "UTC")).cast(pa.int64()).to_numpy()
    return found


def _losses(book: _Book) -> Table:
    outcome = book.texts("outcome")
    rows = []
    for name in ("approve", "approve_standard", "approve_high", "review", "block"):
        chosen = (outcome == name) & book.later
        if chosen.any():
            rows.append((name, *_line(book, chosen)))
    rows.append(("all", *_line(book, book.later)))
    return (
        "After the end of history, by outcome; amounts in USD",
        ("outcome", "loans", "mean PD", "defaulted", "expected loss", "lost", "lost of lent"),
        rows,
    )


def _line(book: _Book, chosen: NDArray[np.bool_]) -> tuple[str, ...]:
    lent, lost = float(book.amount[chosen].sum()), float(book.lost[chosen].sum())
    return (
        f"{chosen.sum():,}",
        f"{book.score[chosen].mean():.2%}",
        f"{book.bad[chosen].mean():.2%}",
        f"{book.expected[chosen].sum():,.0f}",
        f"{lost:,.0f}",
        f"{lost / max(lent, 1.0):.2%}",
    )


def _grades(book: _Book) -> Table:
    rows = []
    low = 0.0
    for grade, high in GRADES.items():
        chosen = (book.score >= low) & (book.score < high) & book.later
        if chosen.any():
            count, rate = int(chosen.sum()), float(book.bad[chosen].mean())
            predicted = float(book.score[chosen].mean())
            error = float(np.sqrt(predicted * (1 - predicted) / count))
            rows.append(
                (grade, f"{count:,}", f"{predicted:.2%}", f"{rate:.2%}",
                 f"{(rate - predicted) / error:+.1f}")
            )  # fmt: skip
        low = high
    return (
        "Calibration by grade, after the end of history",
        ("grade", "loans", "mean PD", "defaulted", "standard errors apart"),
        rows,
    )


def _vintages(book: _Book) -> Table:
    rows = []
    for first in range(0, int(book.month.max()) + 1, 3):
        chosen = (book.month >= first) & (book.month < first + 3)
        if chosen.any():
            within = [float((book.wait[chosen] < months).mean()) for months in (2, 4, 6)]
            rows.append(
                (f"{first + 1} to {first + 3}", f"{chosen.sum():,}",
                 f"{book.score[chosen].mean():.2%}", *(f"{rate:.2%}" for rate in within))
            )  # fmt: skip
    return (
        "Vintages of a quarter: defaulted by months on the book",
        ("months of application", "loans", "mean PD", "by 2 months", "by 4 months", "by 6 months"),
        rows,
    )


def _terms(book: _Book) -> Table:
    """Marginal and cumulative rates of default by month on the book, by grade."""
    rows = []
    low = 0.0
    for grade, high in GRADES.items():
        wait = book.wait[(book.score >= low) & (book.score < high)]
        low = high
        if len(wait):
            rows.append((grade, *(f"{float((wait < month).mean()):.2%}" for month in range(2, 7))))
    return (
        "Term structure: cumulative rate of default by month on the book",
        ("grade", *(f"month {month}" for month in range(2, 7))),
        rows,
    )


def stability_index(expected: Floats, found: Floats, bins: int = 10) -> float:
    """The population stability index: how far two distributions are apart.

    Bins hold about equal shares of `expected`; a bin that is empty counts as half an event.

    >>> even = np.arange(1000.0)
    >>> stability_index(even, even)
    0.0
    >>> stability_index(even, even + 500) > 0.25
    True
    """
    edges = np.unique(np.quantile(expected, np.linspace(0.0, 1.0, bins + 1)[1:-1]))
    shares = []
    for values in (expected, found):
        count = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        shares.append(np.maximum(count, 0.5) / len(values))
    before, after = shares
    return float(np.sum((after - before) * np.log(after / before)))


def _stability(book: _Book) -> Table:
    rows = []
    names = ("utilisation", "instalment_share", "income", "late_24m", "inquiries_6m", "amount")
    columns = {"score": book.score}
    for name in names:
        named = f"feature_{name}" if f"feature_{name}" in book.table.column_names else name
        columns[name] = book.table[named].cast(pa.float64()).to_numpy(zero_copy_only=False)
    for name, values in columns.items():
        known = ~np.isnan(values)
        index = stability_index(values[known & ~book.later], values[known & book.later])
        said = "stable" if index < 0.1 else "moved" if index < 0.25 else "another population"
        rows.append((name, f"{index:.4f}", said))
    return (
        "Population and characteristic stability: months after the end of history against before",
        ("of", "index", "read as"),
        rows,
    )


def _ages(book: _Book) -> NDArray[np.str_]:
    age = book.table["age"].to_numpy()
    return np.where(age < 30, "under 30", np.where(age < 62, "30 to 61", "62 and over"))


def _groups(book: _Book, name: str, group: NDArray[np.str_]) -> Table:
    rows = []
    rates = {
        value: float(book.approved[(group == value) & book.later].mean())
        for value in np.unique(group[book.later]).tolist()
    }
    best = max(rates.values())
    for value, rate in rates.items():
        chosen = (group == value) & book.later
        ratio = rate / best
        rows.append(
            (str(value), f"{chosen.sum():,}", f"{rate:.1%}", f"{ratio:.3f}",
             "looked into" if ratio < FOUR_FIFTHS else "within four fifths",
             f"{book.score[chosen].mean():.2%}", f"{book.bad[chosen].mean():.2%}")
        )  # fmt: skip
    return (
        f"Approvals by {name}, after the end of history",
        (name, "applications", "approved", "impact ratio", "", "mean PD", "defaulted"),
        rows,
    )
