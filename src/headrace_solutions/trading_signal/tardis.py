"""Tardis' CSV of changes of books (`incremental_book_L2`): a line for each level of a message.

Times are whole microseconds, of the exchange and of the receiver. Lines that were received in one
moment, of one exchange time and kind, are one message. There are no update ids: a gap cannot be
seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from headrace import DataError
from headrace_solutions.trading_signal.feed import TIME, Feed, Refused, in_order
from headrace_solutions.trading_signal.market import changes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: What each column looks like, and in words.
_COLUMNS = {
    "exchange": (r"^.+$", "a name"),
    "symbol": (r"^.+$", "a name"),
    "timestamp": (r"^[0-9]{1,16}$", "whole microseconds"),
    "local_timestamp": (r"^[0-9]{1,16}$", "whole microseconds"),
    "is_snapshot": (r"^(true|false)$", "true or false"),
    "side": (r"^(bid|ask)$", "bid or ask"),
    "price": (r"^-?[0-9]{1,10}(\.[0-9]{1,8})?$", "a number with at most 8 digits after the point"),
    "amount": (r"^[0-9]{1,10}(\.[0-9]{1,8})?$", "a number from 0 on, with at most 8 digits"),
}
_MICROSECOND = 1_000

#: Books of such changes: without update ids, a message that comes again is taken again.
book = changes.book(snapshot="is_snapshot", ends="is_last", place="place", levels=10_000)


def read_incremental(path: Path) -> Feed:
    """A file as frames of changes and depth.

    Lines that cannot be read are in `refused`, with what was expected of them.

    Args:
        path: Of the CSV, compressed by gzip or not; its first line names the columns.

    Raises:
        DataError: If a column is missing.
    """
    refused = Refused()
    told, lines = _lines(path, refused)
    wrong = np.zeros(told.num_rows, dtype=bool)
    for name, (form, expected) in _COLUMNS.items():
        fits = pc.match_substring_regex(told[name], form).to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(~fits & ~wrong).tolist():
            said = told[name][row].as_py()
            fields = list(told.slice(row, 1).to_pylist()[0].values())
            # an empty line is read as one of empty columns
            content = ",".join(fields) if any(fields) else ""
            reason = f"{name} is {said!r}, expected {expected}"
            refused.add(int(lines[row]), reason, content.encode())
        wrong |= ~fits
    refused.rows.sort()
    kept = told.filter(pa.array(~wrong)).combine_chunks()
    return Feed(_frames(kept), refused.table(), told.num_rows + _unread(refused, wrong))


def _unread(refused: Refused, wrong: NDArray[np.bool_]) -> int:
    """Lines that did not even have the right columns."""
    return len(refused.rows) - int(wrong.sum())


def _lines(path: Path, refused: Refused) -> tuple[pa.Table, NDArray[np.int64]]:
    """The file's columns as text, and the number of the line of each row."""
    bad: list[int] = []

    def skip(row: csv.InvalidRow) -> str:
        bad.append(row.number)
        reason = f"{row.actual_columns} columns, expected {row.expected_columns}"
        refused.add(row.number, reason, (row.text or "").encode())
        return "skip"

    try:
        told = csv.read_csv(
            path,
            read_options=csv.ReadOptions(use_threads=False),
            parse_options=csv.ParseOptions(
                invalid_row_handler=skip, ignore_empty_lines=False, quote_char=False
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(_COLUMNS, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is no CSV: {error}; give a file of incremental_book_L2") from error
    lacking = [name for name in _COLUMNS if name not in told.column_names]
    if lacking:
        raise DataError(
            f"{path} lacks {', '.join(lacking)}; it has {', '.join(told.column_names)}:"
            " give a file of incremental_book_L2"
        )
    numbers = np.setdiff1d(np.arange(2, told.num_rows + len(bad) + 2), np.array(bad, dtype=int))
    return told.select(list(_COLUMNS)), numbers


def _frames(told: pa.Table) -> dict[str, pa.Table]:
    """Lines that can be read, as changes and the ends of their messages."""
    count = told.num_rows
    times = {n: told[n].cast(pa.int64()).to_numpy() for n in ("timestamp", "local_timestamp")}
    snapshot = pc.equal(told["is_snapshot"], "true").to_numpy(zero_copy_only=False)
    symbol = pc.binary_join_element_wise(told["exchange"], told["symbol"], ":")
    codes = symbol.combine_chunks().dictionary_encode().indices.to_numpy()
    begins = np.ones(count, dtype=bool)
    apart = [c[1:] != c[:-1] for c in (*times.values(), snapshot, codes)]
    begins[1:] = np.logical_or.reduce(apart)
    message = np.cumsum(begins) - 1
    first = np.flatnonzero(begins)
    ends = np.append(first[1:], count) - 1 if count else first
    place = np.arange(count) - first[message] if count else np.zeros(0, dtype=np.int64)
    last = np.zeros(count, dtype=bool)
    last[ends] = True
    # messages of one microsecond keep their order by a nanosecond each
    known = in_order(times["local_timestamp"][first] * _MICROSECOND)
    made = {
        "at": pa.array(times["timestamp"] * _MICROSECOND).cast(TIME),
        "received": pa.array(known[message]).cast(TIME),
        "symbol": symbol,
    }
    nothing = pa.nulls(count, pa.int64())
    ids = pc.binary_join_element_wise(
        pc.cast(pa.array(message), pa.string()), pc.cast(pa.array(place), pa.string()), "/"
    )
    table = {
        "change_id": ids,
        **made,
        "bid": pc.equal(told["side"], "bid"),
        "price": told["price"],
        "size": told["amount"],
        "first_update": nothing,
        "last_update": nothing,
        "place": pa.array(place),
        "is_snapshot": pa.array(snapshot),
        "is_last": pa.array(last),
    }
    depth = {
        "depth_id": pc.cast(pa.array(np.arange(len(first))), pa.string()),
        **{name: column.take(pa.array(first)) for name, column in made.items()},
        "last_update": pa.nulls(len(first), pa.int64()),
    }
    return {"changes": pa.table(table), "depth": pa.table(depth)}
