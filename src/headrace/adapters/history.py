"""Finished files as history: each source says when its rows were known, and reads any of them.

Known order is worked out over all sources of a run together (`headrace.events.order`), and rows
are then read in that order, a batch at a time. A file of lines is mapped into memory and indexed
once: 32 bytes a line, however long the lines are. Tables are in `headrace.adapters.tables`.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Protocol

import numpy as np

from headrace.adapters.line_kernels import gather_lines, line_starts
from headrace.adapters.stored import Stored
from headrace.core.columns import Fixed
from headrace.core.errors import DataError, invariant
from headrace.events.json_lines import BYTE_ORDER_MARK
from headrace.events.order import known_times
from headrace.events.schema import Role, Schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headrace.core.columns import Bytes, Int64s
    from headrace.events.json_lines import JsonLines
    from headrace.events.parsed import Parsed

_CHUNK = 16 * 1024 * 1024


class HistoricSource(Protocol):
    """Rows of one stream that are all there, in the order in which the source holds them."""

    @property
    def name(self) -> str:
        """How the journal calls the source."""

    @property
    def stream(self) -> str:
        """Which stream or table its rows are of."""

    def times(
        self, arrives_after_ns: int, progress: Callable[[int], None]
    ) -> tuple[Int64s, Int64s]:
        """When each row happened, and when it was known (nanoseconds since 1970).

        A row that does not say when it was known is assumed to be `arrives_after_ns` after it
        happened. A row that can't be read carries the times of the one before it. `progress` is
        called with the rows done so far.
        """

    @property
    def stored(self) -> Stored | None:
        """The bytes that it lies in; None for a frame in memory."""

    def expect(self, rows: Int64s) -> None:
        """Say which rows will be read next, in that order, so that they can be read together."""

    def read(self, rows: Int64s) -> Parsed:
        """The next of the expected rows, in that order."""

    def raw(self, row: int) -> bytes:
        """What stands in the source for that row, as it came."""


class CarriedTimes:
    """Event and known times of a source, piece by piece.

    A row that can't be read takes those of the one before it; the first take those of the first
    that can be read.

    Args:
        schema: Of the source's stream.
        arrives_after_ns: How long after it happens a row is assumed to be known.
    """

    def __init__(self, schema: Schema, arrives_after_ns: int) -> None:
        at_field, known_field = schema.having(Role.EVENT_TIME), schema.having(Role.KNOWN_AT)
        if at_field is None:
            raise DataError(
                f"{schema.name} has no EventTime, so its rows have no order; give it one"
            )
        self._at, self._known = at_field.name, known_field.name if known_field else None
        self._arrives_after_ns = arrives_after_ns
        nothing = np.zeros(0, dtype=np.int64)
        self._read: list[tuple[Int64s, Int64s, Int64s]] = [(nothing, nothing, nothing)]
        self.rows = 0

    def add(self, parsed: Parsed) -> None:
        """The rows that come next."""
        at = parsed.batch.fixed(self._at).values
        said = Fixed(np.zeros(len(at), dtype=np.int64), np.zeros(len(at), dtype=np.uint8))
        if self._known is not None:
            said = parsed.batch.fixed(self._known)
        known = known_times(at, said.values, said.valid, self._arrives_after_ns)
        self._read.append((at.copy(), known, self.rows + parsed.rows.astype(np.int64)))
        self.rows += parsed.received

    def all(self) -> tuple[Int64s, Int64s]:
        """Event and known times of all rows."""
        at, known, rows = (np.concatenate(parts) for parts in zip(*self._read, strict=True))
        if len(at) == self.rows:
            return at, known
        if len(at) == 0:
            nothing = np.full(self.rows, np.iinfo(np.int64).min)
            return nothing, nothing
        before = np.searchsorted(rows, np.arange(self.rows), side="right") - 1
        held = np.maximum(before, 0)
        return at[held], known[held]


def times_schema(schema: Schema) -> Schema:
    """The part of a schema that says when a row happened and when it was known."""
    wanted = (Role.EVENT_TIME, Role.KNOWN_AT)
    return Schema(schema.name, tuple(f for f in schema.fields if f.role in wanted), schema.at)


class JsonLinesHistory:
    """A finished file of JSON lines.

    Args:
        path: The file.
        stream: Which stream its events are of.
        schema: Of the stream.
        codec: Makes a parser of a schema.

    Raises:
        DataError: When the file cannot be opened.
    """

    def __init__(
        self, path: Path, stream: str, schema: Schema, codec: Callable[[Schema], JsonLines]
    ) -> None:
        self.name = str(path)
        self.stream = stream
        self._schema = schema
        self._parser = codec(schema)
        self._times_parser = codec(times_schema(schema))
        self._data = _mapped(path)
        self._starts, self._ends = _lines(self._data)

    def times(
        self, arrives_after_ns: int, progress: Callable[[int], None]
    ) -> tuple[Int64s, Int64s]:
        """See `HistoricSource.times`."""
        total = len(self._starts)
        carried = CarriedTimes(self._schema, arrives_after_ns)
        while carried.rows < total:
            done = carried.rows
            stop = int(np.searchsorted(self._starts, self._starts[done] + _CHUNK))
            rows = np.arange(done, max(stop, done + 1))
            carried.add(self._times_parser.parse(self._gathered(rows)))
            invariant(carried.rows == done + len(rows), "the parser counts lines as the index does")
            progress(carried.rows)
        return carried.all()

    @property
    def stored(self) -> Stored:
        """See `HistoricSource.stored`."""
        return Stored(len(self._data), grows=True, at=lambda begin, end: self._data[begin:end].data)

    def expect(self, rows: Int64s) -> None:
        """See `HistoricSource.expect`; any line can be read at any time."""

    def read(self, rows: Int64s) -> Parsed:
        """See `HistoricSource.read`."""
        return self._parser.parse(self._gathered(rows))

    def raw(self, row: int) -> bytes:
        """The line, without its newline."""
        return self._data[self._starts[row] : self._ends[row]].tobytes()

    def _gathered(self, rows: Int64s) -> Bytes:
        """The lines of those rows; of neighbours with nothing between them, where they stand."""
        first, last = int(rows[0]), int(rows[-1])
        begin, end = int(self._starts[first]), int(self._ends[last]) + 1
        size = int((self._ends[rows] - self._starts[rows]).sum()) + len(rows)
        together = size == end - begin and last - first == len(rows) - 1
        if together and end <= len(self._data) and bool((rows[1:] > rows[:-1]).all()):
            return self._data[begin:end]
        out = np.empty(size, dtype=np.uint8)
        gather_lines(self._data, self._starts, self._ends, rows, out)
        return out


def _mapped(path: Path) -> Bytes:
    """The bytes of a file, mapped into memory, read only as far as they are touched."""
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                return np.zeros(0, dtype=np.uint8)
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check the name") from error
    return np.frombuffer(mapping, dtype=np.uint8)


def _lines(data: Bytes) -> tuple[Int64s, Int64s]:
    """Where every line that is not blank starts and ends; a byte order mark is of no line."""
    starts: list[Int64s] = []
    ends: list[Int64s] = []
    begin = len(BYTE_ORDER_MARK) if data[:3].tobytes() == BYTE_ORDER_MARK else 0
    while begin < len(data):
        end = min(begin + _CHUNK, len(data))
        while end < len(data) and data[end - 1] != ord("\n"):
            step = data[end : end + 65_536]
            found = np.flatnonzero(step == ord("\n"))
            end += int(found[0]) + 1 if len(found) else len(step)
        most = end - begin
        first = np.empty(most // 2 + 1, dtype=np.int64)
        last = np.empty(most // 2 + 1, dtype=np.int64)
        count = line_starts(data, begin, end, first, last)
        starts.append(first[:count].copy())
        ends.append(last[:count].copy())
        begin = end
    none = np.zeros(0, dtype=np.int64)
    return np.concatenate([none, *starts]), np.concatenate([none, *ends])
