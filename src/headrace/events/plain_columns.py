"""Columns of Arrow as Python's own types can hold their values.

Python's times end at microseconds: of nanoseconds, PyArrow makes times of pandas where that is
installed, and else refuses. Here they are texts, the same wherever it runs.
"""

from __future__ import annotations

from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)


def in_plain_types(rows: Rows) -> Rows:
    """The same rows, with texts in place of times and durations in nanoseconds.

    >>> at = pa.array([1_767_623_505_488_637_930, None], pa.timestamp("ns", "UTC"))
    >>> in_plain_types(pa.table({"at": at})).to_pylist()
    [{'at': '2026-01-05 14:31:45.488637930Z'}, {'at': None}]
    """
    columns = [_plain(column) for column in rows.columns]
    made: Rows = type(rows).from_arrays(columns, names=rows.schema.names)
    return made


def _plain(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    kind = column.type
    if getattr(kind, "unit", None) != "ns":
        return column
    if pa.types.is_timestamp(kind):
        # by way of its number: no zone is looked up, which not every machine knows
        text = column.cast(pa.int64()).cast(pa.timestamp("ns")).cast(pa.string())
        return pc.binary_join_element_wise(text, "Z", "") if kind.tz else text
    return column.cast(pa.int64() if pa.types.is_duration(kind) else pa.string())
