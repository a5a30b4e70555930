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

import headrace as hr
from headrace_solutions.credit_risk.case import LOSS_GIVEN_DEFAULT
from headrace_solutions.credit_risk.grades import GRADES, calibration_by_grade, grade_of
from headrace_solutions.credit_risk.roll_rates import BUCKETS, roll_rates
from headrace_solutions.credit_risk.stability import read_as, stability_over_time
from headrace_solutions.credit_risk.term_structure import (
    expected_loss,
    exposures,
    term_structure,
    vintage_curves,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Table: TypeAlias = tuple[str, Sequence[str], Sequence[Sequence[str]]]

#: Months for which every loan of the simulation is followed, and interest a month.
MONTHS, RATE = 6, 0.01
#: Below this share of the best group's rate of approval, selection is looked into (29 CFR 1607.4).
FOUR_FIFTHS = 0.8
_MONTH = 30 * 86_400

_LOSS_TEXT = (
    "Probability of default (the score) times loss given default times what is owed then, against"
    " what was lost. Loss given default is assumed by product; what is owed follows the loan's"
    " instalments, over the months in which loans of the history defaulted. Prices are set by it:"
    " from 1.5 % and from 4 % of the amount on. Loans that were blocked or reviewed are followed"
    " too, as only a simulation can."
)
_TIME_TEXT = (
    "Vintages by the quarter of application: the recession of the simulation is in the later ones,"
    " and a model of earlier months cannot know it. Stability is measured against the quarters"
    " before the end of history."
)
_VINTAGE_CAPTION = (
    "The share of each quarter's loans that has defaulted, by months on the book, in per cent;"
    " later quarters are darker. A line that lies above the one before it is a worse quarter."
)
_TERM_CAPTION = (
    "The probability of default by the end of each month, by grade of the score, in per cent;"
    " riskier grades are darker."
)
_STABILITY_CAPTION = (
    "Population stability (of the score) and characteristic stability (of what it reads): quarters"
    " after the end of history against those before"
)
_ROLL_TEXT = (
    "Accounts that applicants have with us, by days behind, from one month to the next. What stands"
    " on the diagonal stayed; to the right of it rolled forward; to the left was cured. At 180 days"
    " an account is charged off, and is not counted any more."
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
    data: Path,
    decisions: Path,
    since: dt.datetime,
    answers: Path | None = None,  # noqa: ARG001 - as of every use case
) -> Sequence[tuple[str, str, Sequence[Table | hr.Plot]]]:
    """Sections of the report.

    Args:
        data: The folder of the simulation.
        decisions: Every decision, as Parquet.
        since: When history ended; before it the model has seen the outcomes.
        answers: None: nobody answers these decisions on paper.
    """
    book = _book(data, decisions, since)
    return (
        ("Expected loss", _LOSS_TEXT, (_losses(book), _grades(book))),
        (
            "The book over time",
            _TIME_TEXT,
            (
                *_curves_over_time(book),
                _vintages(book),
                _terms(book),
                _stability(book),
            ),
        ),
        ("Roll rates", _ROLL_TEXT, (_rolls(data),)),
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
    assumed = np.array([LOSS_GIVEN_DEFAULT[name] for name in table["product"].to_pylist()])
    months = "months" if "months" in table.column_names else "feature_months"
    term = table[months].cast(pa.float64()).to_numpy()
    score = table["score"].to_numpy()
    later = at >= int(since.timestamp())
    falls = term_structure(wait[~later], np.full(int((~later).sum()), float(MONTHS)), MONTHS)
    profile = falls.marginal / falls.marginal.sum()
    outcome = np.array(table["outcome"].to_pylist())
    return _Book(
        table,
        score,
        bad,
        (at - at.min()) // _MONTH,
        wait,
        amount,
        expected_loss(score, profile, assumed, exposures(amount, term, RATE, MONTHS)),
        np.where(bad, given * owed * amount, 0.0),
        np.char.startswith(outcome, "approve"),
        later,
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
    return (
        "Calibration by grade, after the end of history",
        ("grade", "loans", "mean PD", "defaulted", "standard errors apart"),
        [
            (
                found.grade,
                f"{found.count:,}",
                f"{found.predicted:.2%}",
                f"{found.observed:.2%}",
                f"{found.errors_apart:+.1f}",
            )
            for found in calibration_by_grade(book.score[book.later], book.bad[book.later])
        ],
    )


def _curves(book: _Book) -> dict[int, Floats]:
    followed = np.full(len(book.wait), float(MONTHS))
    return vintage_curves(book.month // 3, book.wait, followed, MONTHS)


def _vintages(book: _Book) -> Table:
    rows = []
    for quarter, curve in _curves(book).items():
        chosen = book.month // 3 == quarter
        rows.append(
            (
                f"months {3 * quarter + 1} to {3 * quarter + 3}",
                f"{chosen.sum():,}",
                f"{book.score[chosen].mean():.2%}",
                *(f"{curve[month - 1]:.2%}" for month in (2, 4, 6)),
            )
        )
    return (
        "Vintages of a quarter: defaulted by months on the book",
        ("application in", "loans", "mean PD", "by 2 months", "by 4 months", "by 6 months"),
        rows,
    )


def _curves_over_time(book: _Book) -> tuple[hr.Plot, ...]:
    """Vintages and term structure as pictures, where there is matplotlib."""
    months, labels = np.arange(1.0, MONTHS + 1), ("months on the book", "defaulted, %")
    vintages = {f"quarter {number + 1}": line for number, line in _curves(book).items()}

    def curves(title: str, caption: str, lines: dict[str, Floats]) -> hr.Plot:
        named = {name: (months, 100 * line) for name, line in lines.items()}
        return hr.ordered_plot(title, caption, labels, named)

    return hr.if_drawable(
        lambda: curves("Vintages", _VINTAGE_CAPTION, vintages),
        lambda: curves("Term structure", _TERM_CAPTION, _by_grade(book)),
    )


def _by_grade(book: _Book) -> dict[str, Floats]:
    """The cumulative rate of default of each grade that holds any loan."""
    place = grade_of(book.score)
    return {
        name: term_structure(
            book.wait[place == number], np.full(int((place == number).sum()), 6.0), MONTHS
        ).cumulative
        for number, name in enumerate(GRADES)
        if (place == number).any()
    }


def _terms(book: _Book) -> Table:
    return (
        "Term structure: the probability of default by the end of a month on the book",
        ("grade", *(f"month {month}" for month in range(2, MONTHS + 1))),
        [
            (name, *(f"{rate:.2%}" for rate in line[1:].tolist()))
            for name, line in _by_grade(book).items()
        ],
    )


def _stability(book: _Book) -> Table:
    names = ("utilisation", "instalment_share", "income", "late_24m", "inquiries_6m", "amount")
    columns = {"score": book.score}
    for name in names:
        named = f"feature_{name}" if f"feature_{name}" in book.table.column_names else name
        columns[name] = book.table[named].cast(pa.float64()).to_numpy(zero_copy_only=False)
    quarter = book.month // 3
    first = int(quarter[book.later].min())
    found = stability_over_time(columns, quarter, first)
    return (
        _STABILITY_CAPTION,
        ("of", *(f"quarter {number + 1}" for number in range(first, quarter.max() + 1)), "read as"),
        [
            (name, *(f"{index:.4f}" for index in line), read_as(float(np.nanmax(line))))
            for name, line in found.items()
        ],
    )


def _rolls(data: Path) -> Table:
    parts = [pq.read_table(data / part / "repayments.parquet") for part in ("history", "later")]
    table = pa.concat_tables(parts)
    at = _seconds(table["at"])
    account = table["applicant"].combine_chunks().dictionary_encode().indices.to_numpy()
    found = roll_rates(
        account.astype(np.int64), (at - at.min()) // _MONTH, table["days_late"].to_numpy()
    )
    return (
        "From the bucket on the left, a month later in",
        ("days behind", "accounts", *BUCKETS),
        [
            (
                name,
                f"{count:,}",
                *("-" if np.isnan(rate) else f"{rate:.1%}" for rate in rates.tolist()),
            )
            for name, count, rates in zip(
                BUCKETS, found.counts.sum(axis=1).tolist(), found.rates, strict=True
            )
        ],
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
