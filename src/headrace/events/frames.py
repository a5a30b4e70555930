"""Frames as Arrow: pyarrow, pandas, Polars, DuckDB and what else speaks its protocol.

They are taken by the Arrow PyCapsule interface (`__arrow_c_stream__`, `__arrow_c_array__`), so none
of these libraries is imported.

Source: Apache Arrow, "The Arrow PyCapsule Interface".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from headrace.core.columns import Kind
from headrace.core.errors import DataError
from headrace.events.chunks import Chunk, chunks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.events.schema import Schema


def as_reader(frame: object) -> pa.RecordBatchReader:
    """A frame as a reader of its Arrow batches, without a copy where its library has none.

    Raises:
        DataError: When it is no frame, or a column cannot be Arrow.

    >>> as_reader(pa.table({"n": [1, 2]})).read_all().num_rows
    2
    """
    try:
        if isinstance(frame, pa.RecordBatchReader):
            return frame
        if isinstance(frame, pa.RecordBatch):
            return pa.RecordBatchReader.from_batches(frame.schema, [frame])
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(frame)
        if hasattr(frame, "__arrow_c_array__"):
            batch = pa.record_batch(frame)
            return pa.RecordBatchReader.from_batches(batch.schema, [batch])
    except (pa.ArrowException, TypeError) as error:
        raise DataError(
            f"the {type(frame).__name__} cannot be taken as Arrow: {error}; "
            "expected columns of one type each: convert the column named"
        ) from error
    if hasattr(frame, "collect"):
        raise DataError(
            f"a {type(frame).__name__} has no rows yet; give what its collect() returns"
        )
    raise DataError(
        f"a {type(frame).__name__} is no frame; expected a pyarrow, pandas or Polars frame, "
        "or anything that has __arrow_c_stream__"
    )


def table_of(frame: object) -> pa.Table:
    """A frame whole, as an Arrow table; raises `DataError` as `as_reader` does."""
    reader = as_reader(frame)
    try:
        return reader.read_all()
    except pa.ArrowException as error:
        raise DataError(f"the {type(frame).__name__} broke off: {error}") from error


def _check_zone(name: str, kind: pa.DataType) -> None:
    if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None):
        raise DataError(
            f"column {name!r} holds times without a zone ({kind}); expected times whose zone is"
            f" known, as timestamp[us, tz=UTC]: say which zone they are of, as by"
            f" frame[{name!r}].dt.tz_localize('UTC') in pandas,"
            f" pl.col({name!r}).dt.replace_time_zone('UTC') in Polars, or"
            f" pyarrow.compute.assume_timezone(column, 'UTC')"
        )


def read(frame: object, schema: Schema | None = None) -> Iterator[Chunk]:
    """The rows of a frame, a chunk at a time.

    Args:
        frame: Of any library that speaks Arrow.
        schema: What its rows should be, where its columns of times are to be looked at first.

    Raises:
        DataError: As `as_reader` does, or when a column of times has no zone: not one of its rows
            could be accepted.
    """
    reader = as_reader(frame)
    for field in schema.fields if schema is not None else ():
        place = reader.schema.get_field_index(field.name)
        if field.kind is Kind.TIME and place >= 0:
            _check_zone(field.name, reader.schema.field(place).type)
    try:
        yield from chunks_of(iter(reader), schema=reader.schema)
    except pa.ArrowException as error:
        raise DataError(f"the {type(frame).__name__} broke off: {error}") from error
