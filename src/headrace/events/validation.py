"""Validation at the door: a batch of Arrow becomes valid rows in columns, and reasons for the rest.

Whole columns are read at once; only rows that a column is not certain of are read one by one, by
the reference in `values`. So what is accepted, and why the rest is not, is the same as if every row
had been read by the reference.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace.core.columns import Batch, Column, Fixed, Kind, Text, unpack_letters
from headrace.core.compiled import float_bits
from headrace.core.errors import DataError, invariant
from headrace.events import currencies
from headrace.events.arrow_columns import MINOR_UNITS, ArrowColumn
from headrace.events.parsed import Parsed, Rejections
from headrace.events.reasons import Reason, Rejected, shown
from headrace.events.times import STRICT, Reading
from headrace.events.values import expected, read_value

if TYPE_CHECKING:
    from headrace.core.columns import Int64s
    from headrace.events.schema import Field, Schema
    from headrace.events.text_columns import Mask


@dataclass(slots=True)
class _Judged:
    """One field of all rows: its canonical values, and what is wrong."""

    values: Int64s | Text
    valid: Mask
    wrong: dict[int, Rejected]

    def column(self) -> Column:
        """The field as a column; a missing row holds 0, or no bytes."""
        if isinstance(self.values, Text):
            return self.values
        return Fixed(np.where(self.valid, self.values, 0), self.valid.view(np.uint8))


def validate(schema: Schema, table: pa.RecordBatch | pa.Table, reading: Reading = STRICT) -> Parsed:
    """Read every row of `table` into the fields of `schema`, by name.

    Any Arrow type that can mean the field is taken: integers as keys, dates, times with and without
    a zone, decimals, binary floats as amounts, text as anything. Integers are whole amounts, unless
    the column's metadata says that they are minor units (`MINOR_UNITS`). Other columns are ignored.
    An optional field may have no column.

    Args:
        schema: What the rows should be.
        table: The rows.
        reading: What the source says of its times.

    Raises:
        DataError: When a required column is not there, or a column is of a type (a list, a
            structure) that can mean no field.

    >>> from headrace.events.schema import Field, Role, Schema
    >>> schema = Schema("Tick", (Field("id", Kind.TEXT, Role.ID), Field("n", Kind.INT)))
    >>> parsed = validate(schema, pa.table({"id": ["a", "b"], "n": ["1", "x"]}))
    >>> parsed.batch.text("id").strings(), parsed.rejections[0].reason.text
    (['a'], 'wrong type')
    """
    rows = table.num_rows
    columns = {field.name: _column(schema, field, table) for field in schema.fields}
    judged: dict[str, _Judged] = {}
    for field in schema.fields:
        if not field.currency_field:
            judged[field.name] = _judge(field, columns[field.name], reading, rows)
    for field in schema.fields:
        if field.currency_field:
            by = judged[field.currency_field]
            judged[field.name] = _judge_amount(field, columns[field.name], by)
    rejections = _first_wrong(schema, judged)
    batch = Batch({field.name: judged[field.name].column() for field in schema.fields}, rows)
    if not len(rejections):
        return Parsed(batch, np.arange(rows, dtype=np.int32), rejections, rows)
    kept = np.ones(rows, dtype=np.bool_)
    kept[rejections.rows] = False
    places = np.flatnonzero(kept).astype(np.int32)
    return Parsed(batch.take(places), places, rejections, rows)


def _column(schema: Schema, field: Field, table: pa.RecordBatch | pa.Table) -> ArrowColumn:
    """The column of that name; all missing where an optional field has none."""
    found = table.schema.get_all_field_indices(field.name)
    if len(found) > 1:
        raise DataError(
            f"{len(found)} columns are called {field.name!r}; expected one: rename them"
        )
    if not found:
        if field.optional:
            return ArrowColumn(field.name, pa.nulls(table.num_rows))
        names = table.schema.names
        free = [name for name in names if name not in schema.names]
        near = difflib.get_close_matches(field.name, free, n=1)
        hint = f"give it, or declare it as {field.name}: ... | None"
        if near:
            hint = f"rename {near[0]!r} to {field.name!r}"
        raise DataError(
            f"no column {field.name!r}, which {schema.name} requires; "
            f"there are {', '.join(names) or 'none'}: {hint}"
        )
    column = table.column(found[0])
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            raise DataError(
                f"column {field.name!r} holds more text than one array can; "
                "expected less than 2 GiB: read it in smaller batches"
            )
    told = table.schema.field(found[0]).metadata or {}
    return ArrowColumn(field.name, column, minor=MINOR_UNITS.items() <= told.items())


def _judge(field: Field, column: ArrowColumn, reading: Reading, rows: int) -> _Judged:
    digits = np.full(rows, field.scale, dtype=np.int64)
    judged, doubtful = _read(field, column, digits, reading)
    for row in doubtful.tolist():
        _settle(judged, row, read_value(field, column.at(row), reading=reading))
    return judged


def _judge_amount(field: Field, column: ArrowColumn, by: _Judged) -> _Judged:
    """An amount whose currency another field holds, judged where that could be read."""
    codes = by.column()
    invariant(isinstance(codes, Fixed), "a currency is of fixed width")
    packed: Int64s = codes.values  # type: ignore[union-attr]  # the invariant above has looked
    known = by.valid.copy()
    digits = np.where(known, currencies.digits_by_letters()[packed], 0).astype(np.int64)
    judged, doubtful = _read(field, column, digits, STRICT)
    # Without a currency even a clean number has no meaning yet.
    unsettled = np.flatnonzero(~known & column.present)
    judged.valid[unsettled] = False
    for row in np.union1d(doubtful, unsettled).tolist():
        value = column.at(row)
        if value is None or known[row]:
            code = "" if value is None else unpack_letters(int(packed[row]), 3)
            _settle(judged, row, read_value(field, value, currency=code))
        elif row not in by.wrong:
            why = Rejected(Reason.CURRENCY_MISSING, field.name, shown(value), expected(field))
            _settle(judged, row, why)
    return judged


def _read(
    field: Field, column: ArrowColumn, digits: Int64s, reading: Reading
) -> tuple[_Judged, Int64s]:
    """What the column is certain of, and the rows that are left to the reference."""
    read = column.read(field, digits, reading)
    good = read.good
    if not isinstance(read.values, Text):
        values = read.values.view(np.float64) if field.kind is Kind.FLOAT else read.values
        if field.minimum is not None:
            good = good & (values >= field.minimum)
        if field.maximum is not None:
            good = good & (values <= field.maximum)
    doubtful = ~good if not field.optional else ~good & column.present
    return _Judged(read.values, good.copy(), {}), np.flatnonzero(doubtful)


def _settle(judged: _Judged, row: int, read: object) -> None:
    """Enter what the reference says of one row."""
    if isinstance(read, Rejected):
        judged.wrong[row] = read
        return
    if read is None:
        return
    invariant(not isinstance(judged.values, Text), "text that is valid is never in doubt")
    judged.values[row] = float_bits(read) if isinstance(read, float) else read  # type: ignore[index, call-overload]  # the invariant above has looked
    judged.valid[row] = True


def _first_wrong(schema: Schema, judged: dict[str, _Judged]) -> Rejections:
    """For each bad row the first bad field, in the order of the schema."""
    first: dict[int, Rejected] = {}
    for field in reversed(schema.fields):
        first.update(judged[field.name].wrong)
    rows = sorted(first)
    return Rejections.of(rows, [first[row] for row in rows])
