"""Rows of vendors' tables, CSV or Parquet: columns are checked whole, bad rows go to quarantine.

forms = {"price": DECIMAL, "side": one_of("buy", "sell")}
told = csv_rows(path, forms, quarantine)
kept = told.checked(forms, quarantine)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from headrace import DataError
from headrace_solutions.trading_signal.capture_lines import CaptureLines
from headrace_solutions.trading_signal.feed import Feed, split_words
from headrace_solutions.trading_signal.message_fields import NUMBER
from headrace_solutions.trading_signal.quarantine import Quarantine, Reason, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

#: Digits after the point that are kept; a float tells no more than 2⁵³ of such units exactly.
SCALE = 8
_EXACT = 2**53
#: Lines of which words are split at once.
_AT_ONCE = 1 << 18


class Form(NamedTuple):
    """What each value of a column looks like.

    Attributes:
        pattern: Of the whole text.
        expected: The same in words.
        reason: Why a value that is there and does not look so is not accepted.
    """

    pattern: str
    expected: str
    reason: Reason = Reason.WRONG_TYPE


def one_of(*words: str) -> Form:
    """Nothing but these words.

    >>> one_of("bid", "ask").expected
    'bid or ask'
    """
    return Form("|".join(words), " or ".join(words))


NAME = Form(r"[!-~]{1,64}", "a name without spaces, of at most 64 letters")
DECIMAL = Form("-?" + NUMBER, "a number below 90 million with at most 8 digits after the point")
SIZE = Form(NUMBER, "a number from 0 to 90 million, with at most 8 digits after the point")
#: What is not there is no level.
DECIMAL_IF_ANY = Form(f"(?:-?{NUMBER})?", "a number, or nothing")
SIZE_IF_ANY = Form(f"(?:{NUMBER})?", "a number from 0 on, or nothing")
WHOLE = Form(r"[0-9]{1,18}", "a whole number")
SIGNED = Form(r"-?[0-9]{1,18}", "a whole number")
MICROSECONDS = Form(r"[0-9]{1,15}|[1-8][0-9]{15}", "whole microseconds", Reason.BAD_TIME)
MILLISECONDS = Form(r"[0-9]{1,12}|[1-8][0-9]{12}", "whole milliseconds", Reason.BAD_TIME)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one file.

    Attributes:
        told: Their columns; of a CSV each is text.
        lines: The number of each in the file, from 1.
        count: How many the file has, those in quarantine among them.
    """

    told: pa.Table
    lines: NDArray[np.int64]
    count: int

    def __len__(self) -> int:
        return int(self.told.num_rows)

    def filtered(self, kept: NDArray[np.bool_]) -> Rows:
        """Some of them."""
        return Rows(self.told.filter(pa.array(kept)).combine_chunks(), self.lines[kept], self.count)

    def checked(self, forms: Mapping[str, Form], quarantine: Quarantine) -> Rows:
        """Those whose texts look as they should; the first wrong column is a row's reason.

        Args:
            forms: Of each column.
            quarantine: Where the others go.
        """
        wrong = np.zeros(len(self), dtype=bool)
        for name, form in forms.items():
            fits = pc.match_substring_regex(self.told[name], rf"\A(?:{form.pattern})\z")
            bad = ~pc.fill_null(fits, False).to_numpy() & ~wrong
            for row in np.flatnonzero(bad).tolist():
                said = self.told[name][row].as_py()
                reason = form.reason if said else Reason.MISSING
                detail = f"{name} is {(said or '')[:80]!r}, expected {form.expected}"
                quarantine.add(int(self.lines[row]), reason, detail, self.content(row))
            wrong |= bad
        return self.filtered(~wrong)

    def without(
        self, bad: NDArray[np.bool_], reason: Reason, detail: str, quarantine: Quarantine
    ) -> Rows:
        """Those of which a thing does not hold; the others go to quarantine.

        Args:
            bad: Of which rows it holds.
            reason: Why they are not accepted.
            detail: What was found, and what was expected.
            quarantine: Where they go.
        """
        for row in np.flatnonzero(bad).tolist():
            quarantine.add(int(self.lines[row]), reason, detail, self.content(row))
        return self.filtered(~bad)

    def content(self, row: int) -> bytes:
        """A row as a line; an empty line is read as one of empty columns."""
        values = [column[row].as_py() for column in self.told.columns]
        if all(value == "" for value in values):
            return b""
        return ",".join("" if value is None else str(value) for value in values).encode()

    def floats_fit(
        self,
        names: Iterable[str],
        quarantine: Quarantine,
        *,
        least: float | None = None,
        scale: int = SCALE,
    ) -> Rows:
        """Those whose floats are there, finite, and small enough to be told exactly.

        Args:
            names: Columns.
            quarantine: Where the others go.
            least: What a value may not be below, if there is such.
            scale: Digits after the point that are kept.
        """
        kept = self
        for name in names:
            values = _floats(kept.told[name])
            most = _EXACT / 10**scale
            bad = ~(np.abs(values) < most) | (values < (-most if least is None else least))
            detail = f"{name} is no number from {-most if least is None else least:g} to {most:g}"
            kept = kept.without(bad, Reason.OUT_OF_RANGE, detail, quarantine)
        return kept


def units(column: pa.ChunkedArray, scale: int = SCALE) -> NDArray[np.int64]:
    """Floats that fit as whole numbers of the least unit, the nearest to each.

    >>> units(pa.chunked_array([[1.5, 0.1]]), 2).tolist()
    [150, 10]
    """
    whole: NDArray[np.int64] = np.rint(_floats(column) * 10**scale).astype(np.int64)
    return whole


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Numbers as floats; NaN where there is none."""
    values = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    found: NDArray[np.float64] = values.astype(np.float64)
    return found


def csv_rows(
    path: Path,
    names: Sequence[str],
    quarantine: Quarantine,
    *,
    form: str,
    headed: bool = True,
    own_head: bool = False,
) -> Rows:
    """A CSV's columns as text; lines with another number of columns go to quarantine.

    There is no quoting: no vendor's numbers and names need it, and a stray quote would swallow the
    lines after it.

    Args:
        path: Of the file, compressed or not.
        names: Columns that it must have; without a head, all that it has, in order.
        quarantine: Of bad lines.
        form: What the file should be, for its errors.
        headed: Whether its first line names the columns.
        own_head: Whether these names are taken by their places for `names`.

    Raises:
        DataError: If it cannot be read, or a column is missing.
    """
    given = CaptureLines(path, quarantine)
    lines = iter(given)
    found = list(names)
    if headed:
        head = next(lines, (0, b""))[1]
        told = head.decode("utf-8", "replace").removeprefix("\ufeff").split(",")
        found = list(names) if own_head else told
        needs(path, names, found, form)
    numbers, kept = [], []
    for number, line in lines:
        if line.count(b",") != len(found) - 1:
            detail = f"{line.count(b',') + 1} columns, expected {len(found)}"
            quarantine.add(number, Reason.MALFORMED, detail, line)
        elif not line.isascii():
            quarantine.add(number, Reason.MALFORMED, "letters beyond ASCII", line)
        else:
            numbers.append(number)
            kept.append(line)
    return Rows(_columns(kept, found), np.array(numbers, dtype=np.int64), given.count - headed)


def csv_feed(
    path: Path,
    forms: Mapping[str, Form],
    frames: Callable[[Rows], Mapping[str, pa.Table]],
    *,
    form: str,
) -> Feed:
    """A CSV whose first line names its columns, as a feed.

    Args:
        path: Of the file, compressed or not.
        forms: The columns that are read, and what may stand in each.
        frames: Makes frames of the rows that hold what they may.
        form: What the file should be, for its errors.

    Raises:
        DataError: If it cannot be read, or a column is missing.
    """
    quarantine = Quarantine(path.name)
    rows = csv_rows(path, list(forms), quarantine, form=form)
    made = frames(rows.checked(forms, quarantine))
    return Feed(made, quarantine.table(), rows.count)


def _columns(lines: Sequence[bytes], names: Sequence[str]) -> pa.Table:
    """Lines of as many words as there are names."""
    parts = []
    for begin in range(0, max(len(lines), 1), _AT_ONCE):
        some = lines[begin : begin + _AT_ONCE]
        words = split_words(b",".join(some)) if some else pa.array([], pa.string())
        count = len(some) * len(names)
        columns = [words.take(pa.array(np.arange(n, count, len(names)))) for n in range(len(names))]
        parts.append(pa.table(columns, names=list(names)))
    return pa.concat_tables(parts)


def parquet_rows(
    path: Path, names: Sequence[str], *, form: str, may_have: Sequence[str] = ()
) -> Rows:
    """A Parquet file's columns; lines are its rows, from 1.

    Args:
        path: Of the file.
        names: Columns that it must have; others are left out.
        form: What the file should be, for its errors.
        may_have: Columns that are read if they are there.

    Raises:
        DataError: If it is no Parquet, or a column is missing.
    """
    try:
        told = parquet.read_table(path)
    except pa.ArrowException as error:
        raise DataError(f"{path} is no Parquet: {error}; give {form}") from error
    needs(path, names, told.column_names, form)
    wanted = [*names, *(name for name in may_have if name in told.column_names)]
    told = told.select(wanted).combine_chunks()
    return Rows(told, np.arange(1, told.num_rows + 1), told.num_rows)


def needs(path: Path, names: Sequence[str], found: Sequence[str], form: str) -> None:
    """Refuse a file that lacks a column.

    Raises:
        DataError: With what it has.
    """
    lacking = [name for name in names if name not in found]
    if lacking:
        has = ", ".join(found)[:400]
        raise DataError(f"{path} lacks {', '.join(lacking)}; it has {printable(has)}: give {form}")
