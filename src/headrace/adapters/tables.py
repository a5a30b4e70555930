"""Tables as history: read a stretch at a time, in the order in which their rows will be decided.

A table is looked through once for its times. Its rows are then read on from where the last stretch
ended, as long as the table stands in known order or nearly so. Where it does not, a large stretch
is gathered in one pass over the table, and the next one in another: slower, and as bounded.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from headrace.adapters.history import CarriedTimes, times_schema
from headrace.core.columns import concatenated
from headrace.core.errors import DataError, invariant
from headrace.events.chunks import CHUNK_ROWS
from headrace.events.parsed import Parsed, Rejections

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from headrace.adapters.stored import Stored
    from headrace.core.columns import Int64s
    from headrace.events.chunks import Chunk
    from headrace.events.schema import Schema

#: Rows that are read together where they lie close to each other.
_WINDOW = CHUNK_ROWS
#: Rows behind the last one read that are held, for what comes a little out of order.
_HELD_BACK = 2 * CHUNK_ROWS
#: Rows are close to each other when they lie within this many.
_CLOSE = 4 * CHUNK_ROWS


class Table(Protocol):
    """Rows in chunks, which can be read from the start as often as is needed."""

    def chunks(self, names: Collection[str] | None, first: int) -> Iterator[Chunk]:
        """Chunks one after the other, the first of them no later than the one with row `first`.

        Args:
            names: The columns to give; all when None.
            first: The row from which on they are wanted.
        """


@dataclass(frozen=True, slots=True)
class _Window:
    """Rows that were read and wait to be asked for, in the order in which they will be.

    Attributes:
        parsed: The rows.
        raw: The bytes of those that were refused.
    """

    parsed: Parsed
    raw: tuple[bytes, ...]

    @staticmethod
    def joined(parts: Sequence[_Window]) -> _Window:
        """Windows one after the other."""
        if len(parts) == 1:
            return parts[0]
        firsts = np.cumsum([0, *(part.parsed.received for part in parts)])[:-1]
        parsed = [part.parsed for part in parts]
        told = [item.rejections for item in parsed]
        return _Window(
            Parsed(
                concatenated([item.batch for item in parsed]),
                _moved([item.rows for item in parsed], firsts),
                Rejections(
                    _moved([item.rows for item in told], firsts),
                    np.concatenate([item.reasons for item in told]),
                    [text for item in told for text in item.fields],
                    [text for item in told for text in item.values],
                    [text for item in told for text in item.expected],
                ),
                sum(item.received for item in parsed),
            ),
            tuple(data for part in parts for data in part.raw),
        )

    def taken(self, places: Int64s) -> _Window:
        """The rows at those places, in that order."""
        at = np.empty(self.parsed.received, dtype=np.int64)
        at[self.parsed.rejections.rows] = np.arange(len(self.raw))
        parsed = _chosen(self.parsed, places)
        told = at[places[parsed.rejections.rows]].tolist()
        return _Window(parsed, tuple(self.raw[index] for index in told))


def _chosen(whole: Parsed, places: Int64s) -> Parsed:
    """Some of the rows that were read, in another order."""
    if len(places) == whole.received and bool((places[1:] > places[:-1]).all()):
        return whole
    row = np.empty(whole.received, dtype=np.int64)
    row[whole.rows] = np.arange(len(whole.rows))
    row[whole.rejections.rows] = -1 - np.arange(len(whole.rejections))
    of = row[places]
    valid, refused = np.flatnonzero(of >= 0), np.flatnonzero(of < 0)
    told = [whole.rejections[index] for index in (-1 - of[refused]).tolist()]
    return Parsed(
        batch=whole.batch.take(of[valid]),
        rows=valid.astype(np.int32),
        rejections=Rejections.of(refused.tolist(), told),
        received=len(places),
    )


def _moved(rows: Sequence[np.ndarray], firsts: np.ndarray) -> np.ndarray:
    moved = [part + first for part, first in zip(rows, firsts, strict=True)]
    return np.concatenate(moved).astype(np.int32)


class TableHistory:
    """A finished table.

    Args:
        name: How the journal calls the source.
        stream: Which stream or table its rows are of.
        schema: Of the stream.
        table: Its rows.
        stored: The bytes that it lies in; None for a frame.
    """

    def __init__(
        self, name: str, stream: str, schema: Schema, table: Table, stored: Stored | None = None
    ) -> None:
        self.name = name
        self.stream = stream
        self.stored = stored
        self._schema = schema
        self._table = table
        self._expected: Int64s = np.zeros(0, dtype=np.int64)
        self._served = self._loaded = 0
        self._window: _Window | None = None
        self._window_at = 0
        self._refused: dict[int, bytes] = {}
        self._chunks: Iterator[Chunk] = iter(())
        self._recent: deque[Chunk] = deque()

    def times(
        self, arrives_after_ns: int, progress: Callable[[int], None]
    ) -> tuple[Int64s, Int64s]:
        """See `HistoricSource.times`."""
        schema = times_schema(self._schema)
        carried = CarriedTimes(self._schema, arrives_after_ns)
        for chunk in self._table.chunks(None, 0):
            # columns that cannot be those of the stream are told before anything is decided
            try:
                chunk.without_rows().parsed(self._schema)
            except DataError as error:
                raise DataError(f"{self.name}: {error}") from error
            break
        for chunk in self._table.chunks(schema.names, 0):
            carried.add(chunk.parsed(schema))
            progress(carried.rows)
        return carried.all()

    def expect(self, rows: Int64s) -> None:
        """See `HistoricSource.expect`."""
        self._expected = rows
        self._served = self._loaded = self._window_at = 0
        self._window = None
        if len(rows) == 0:
            self._recent.clear()
            self._chunks = iter(())

    def read(self, rows: Int64s) -> Parsed:
        """See `HistoricSource.read`."""
        end = self._served + len(rows)
        invariant(np.array_equal(self._expected[self._served : end], rows), "rows come as expected")
        window = self._window
        if end > self._loaded or window is None:
            window = self._load(end)
        begin = self._served - self._window_at
        part = window.taken(np.arange(begin, begin + len(rows)))
        refused = rows[part.parsed.rejections.rows].tolist()
        self._refused = dict(zip(refused, part.raw, strict=True))
        self._served = end
        return part.parsed

    def raw(self, row: int) -> bytes:
        """The row, one of those read last, as its source shows it."""
        return self._refused[row]

    def _load(self, least: int) -> _Window:
        """Read more of the expected rows, at least up to `least`; what was served is let go."""
        ahead = self._expected[self._loaded : max(least, self._loaded + _WINDOW)]
        lowest = int(ahead.min())
        held_from = self._recent[0].first if self._recent else lowest
        if lowest < held_from or int(ahead.max()) - lowest > _CLOSE:
            ahead = self._expected[self._loaded :]
        order = np.argsort(ahead, kind="stable")
        fresh = self._gathered(ahead[order])
        if bool((order[1:] < order[:-1]).any()):
            place = np.empty(len(order), dtype=np.int64)
            place[order] = np.arange(len(order))
            fresh = fresh.taken(place)
        if self._window is not None and self._served < self._loaded:
            rest = np.arange(self._served, self._loaded) - self._window_at
            fresh = _Window.joined([self._window.taken(rest), fresh])
        self._window, self._window_at = fresh, self._served
        self._loaded += len(ahead)
        return fresh

    def _gathered(self, wanted: Int64s) -> _Window:
        """The rows of those ordinals, which ascend."""
        parts: list[_Window] = []
        done = 0
        for chunk in self._chunks_from(int(wanted[0])):
            end = int(np.searchsorted(wanted, chunk.first + chunk.received))
            if end > done:
                places = wanted[done:end] - chunk.first
                parsed = _chosen(chunk.parsed(self._schema), places)
                told = places[parsed.rejections.rows].tolist()
                parts.append(_Window(parsed, tuple(chunk.shown(place) for place in told)))
                done = end
            if done == len(wanted):
                return _Window.joined(parts)
        raise DataError(
            f"{self.name} has no row {wanted[done]:,} any more: it was changed while it was read;"
            " run again when nobody writes to it"
        )

    def _chunks_from(self, first: int) -> Iterator[Chunk]:
        """Chunks from the one with row `first` on: those held, then on from where reading stood."""
        if not self._recent or first < self._recent[0].first:
            self._recent.clear()
            self._chunks = self._table.chunks(None, first)
        yield from tuple(self._recent)
        for chunk in self._chunks:
            self._recent.append(chunk)
            while len(self._recent) > 1 and chunk.first - self._recent[1].first >= _HELD_BACK:
                self._recent.popleft()
            yield chunk
