"""Order books as state of the engine: one row of words for each key, exact and bounded."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import numpy as np

from headrace.core.address import address_of
from headrace.core.columns import Text
from headrace.core.errors import ArtefactError
from headrace.core.mapping import reserve
from headrace.definitions.plan import BookPart
from headrace.engine import book_words as w
from headrace.engine.book_answers import BookAnswers, asked_by, values_in_rows
from headrace.engine.book_kernels import advance, in_known_order, places_of
from headrace.engine.order_kernels import SLOT, restore_orders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Batch, Int64s
    from headrace.core.interning import TextTable
    from headrace.definitions.plan import Book, BookValue, Plan
    from headrace.engine.rows import StreamRows

_PARTS = {part: number for number, part in enumerate(BookPart)}
_MOST_BOOKS = 1 << 20
_NONE: Int64s = np.zeros(0, dtype=np.int64)


#: Changes and questions below which another thread costs more than it gives.
_SMALL = 4_096


class Run(Protocol):
    """Runs tasks that share nothing, over all threads if they are worth it."""

    def __call__(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run them all."""


class OrderBooks:
    """The order books of a plan.

    Args:
        plan: The plan.
        most_bytes: Beyond which the engine takes no batch; no book is begun beyond it.
        secret: Two halves of the key of the hash of order ids; it changes nothing.

    Attributes:
        states: One for each declaration.
    """

    def __init__(self, plan: Plan, most_bytes: int, secret: tuple[int, int]) -> None:
        self.states = [BookState(plan, n, most_bytes, secret) for n in range(len(plan.books))]
        self._times = {stream.name: stream.event_time for stream in plan.streams}

    def advance(
        self,
        streams: Mapping[str, StreamRows],
        codes: Mapping[tuple[str, str], Int64s],
        run: Run,
        threads: int,
    ) -> dict[str, BookAnswers]:
        """Move all books on; what they say for each stream's events.

        Args:
            streams: Accepted rows by stream.
            codes: Of texts.
            run: Runs tasks that share nothing.
            threads: How many work at once where it is worth it.
        """
        answers = {name: BookAnswers() for name in streams}
        if not self.states:
            return answers
        given = {name: rows for name, rows in streams.items() if rows.batch.rows}
        size = sum(rows.batch.rows for rows in given.values())
        parts = threads if size >= _SMALL else 1
        for state in self.states:
            state.advance(given, self._times, codes, answers, run, parts)
        return answers

    def snapshots(self) -> list[bytes]:
        """The bytes of each declaration's books."""
        return [state.snapshot() for state in self.states]

    @property
    def size(self) -> int:
        """Bytes that books take."""
        return sum([state.size for state in self.states])


class BookState:
    """All books of one declaration.

    Args:
        plan: What declares it.
        number: Of the book in the plan.
        most_bytes: Beyond which the engine takes no batch; no book is begun beyond it.
        secret: Two halves of the key of the hash of order ids; it changes nothing.
    """

    def __init__(self, plan: Plan, number: int, most_bytes: int, secret: tuple[int, int]) -> None:
        self.number = number
        self.book: Book = plan.books[number]
        values = values_in_rows(plan, number)
        # the streams that ask by a field, and which rows of the answers each asks
        self._asking: list[tuple[str, str, int, int]] = []
        first = 0
        for (name, by), group in groupby(values, asked_by):
            last = first + len(list(group))
            self._asking.append((name, by, first, last))
            first = last
        self._asked = np.array(
            [_value_words(value) for _, value in values], dtype=np.int64
        ).reshape(-1, w.VALUE_WORDS)
        self._columns = _Columns(self.book, plan.stream(self.book.stream).event_time)
        slots = 1 << (2 * self.book.orders - 1).bit_length() if self.book.orders else 0
        halves = np.array(secret, dtype=np.uint64).view(np.int64).tolist()
        self._layout: Int64s = np.array(
            [
                *(self.book.levels, slots, self.book.stale_ns, self.book.starts_empty),
                *(*halves, self.book.orders, self.book.snapshot_levels),
            ],
            dtype=np.int64,
        )
        width = w.HEAD + 6 * self.book.levels + SLOT * slots
        self._most = min(most_bytes // (8 * width) + 2, _MOST_BOOKS)
        self._rows: NDArray[np.int64] = reserve(self._most * width, np.int64).reshape(-1, width)
        self._count = 0
        self._place: Int64s = np.full(64, -1, dtype=np.int64)

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """Bytes that the books take."""
        return int(self._count * self._rows.shape[1] * 8 + self._place.nbytes)

    def reads(self) -> list[tuple[str, str]]:
        """The text fields whose codes are needed: streams with their keys."""
        return [(self.book.stream, self.book.key), *(asking[:2] for asking in self._asking)]

    def advance(
        self,
        streams: Mapping[str, StreamRows],
        times: Mapping[str, str],
        codes: Mapping[tuple[str, str], Int64s],
        answers: Mapping[str, BookAnswers],
        run: Run,
        parts: int,
    ) -> None:
        """Apply a batch's changes, and answer those of its events that ask.

        Args:
            streams: Accepted rows by stream.
            times: The field of event time of each stream.
            codes: Of texts.
            answers: Where the answers go, by stream.
            run: Runs tasks that share nothing.
            parts: Into how many the work is split.
        """
        changes = streams.get(self.book.stream)
        asking = [one for one in self._asking if one[0] in streams]
        if changes is None and not asking:
            return
        columns: Int64s = np.zeros(w.COLUMN_WORDS, dtype=np.int64)
        rows = 0
        if changes is not None:
            rows = changes.batch.rows
            self._columns.put(changes.batch, columns)
            places = self._begun(codes[self.book.stream, self.book.key], changes.batch)
            columns[w.C_BOOK] = address_of(places)
        asked = self._in_order(changes, asking, streams, times, codes)
        most = max((streams[name].batch.rows for name, _, _, _ in asking), default=0)
        words = np.zeros((max(len(self._asked), 1), most), dtype=np.int64)
        present = np.zeros(words.shape, dtype=np.uint8)
        given = (self._rows, self._layout, columns, rows, asked, self._asked, words, present)
        run([partial(advance, *given, part, parts) for part in range(parts)])
        for name, _, _, _ in asking:
            count = streams[name].batch.rows
            answers[name].found[self.number] = words[:, :count], present[:, :count]

    def _begun(self, codes: Int64s, batch: Batch) -> Int64s:
        """The place of each change's book; one that is new is begun, in known order."""
        there = batch.columns[self.book.key].valid
        places = np.empty(len(codes), dtype=np.int64)
        if places_of(codes, there, self._place, places):
            known = codes[there != 0]
            self._make_room(int(known.max(initial=0)))
            found, first = np.unique(known, return_index=True)
            for code in found[np.argsort(first)].tolist():
                if self._place[code] < 0 and self._count < self._most:
                    self._begin(code)
            places_of(codes, there, self._place, places)
        return places

    def _begin(self, code: int) -> NDArray[np.int64]:
        """A book in which nothing is known."""
        row: NDArray[np.int64] = self._rows[self._count]
        row[w.H_KEY], row[w.H_STATE] = code, w.WAITING
        self._place[code] = self._count
        self._count += 1
        return row

    def _make_room(self, code: int) -> None:
        if code >= len(self._place):
            longer = np.full(max(code + 1, 2 * len(self._place)), -1, dtype=np.int64)
            longer[: len(self._place)] = self._place
            self._place = longer

    def _in_order(
        self,
        changes: StreamRows | None,
        asking: Sequence[tuple[str, str, int, int]],
        streams: Mapping[str, StreamRows],
        times: Mapping[str, str],
        codes: Mapping[tuple[str, str], Int64s],
    ) -> NDArray[np.int64]:
        """What the kernel is told of the events that ask, in known order."""
        askers, count = [], 0
        for name, by, first, last in asking:
            rows = streams[name]
            batch = rows.batch
            count += batch.rows
            askers.append(
                (
                    *(address_of(rows.sequence), batch.rows),
                    *(address_of(codes[name, by]), address_of(batch.columns[by].valid)),
                    *(address_of(batch.fixed(times[name]).values), first, last, 0),
                )
            )
        asked: NDArray[np.int64] = np.empty((count, w.ASKED_WORDS), dtype=np.int64)
        if count:
            known = _NONE if changes is None else changes.sequence
            in_known_order(np.array(askers, dtype=np.int64), known, self._place, asked)
        return asked

    def snapshot(self) -> bytes:
        """All books in the order of their keys' codes: the same books give the same bytes."""
        order = np.argsort(self._rows[: self._count, w.H_KEY], kind="stable")
        pieces = [self._record(self._rows[number]) for number in order.tolist()]
        return b"".join(pieces)

    def _record(self, row: NDArray[np.int64]) -> bytes:
        """A book's head, its levels, its orders in the order of their ids."""
        pieces = [row[: w.HEAD]]
        levels = self.book.levels
        for side in range(2):
            count = int(row[w.H_COUNT + side])
            for part in range(3):
                start = w.HEAD + (3 * side + part) * levels
                pieces.append(row[start : start + count])
        slots = row[w.HEAD + 6 * levels :].reshape(-1, SLOT)
        held = slots[slots[:, 1] != 0]
        pieces.append(held[np.argsort(held[:, 0], kind="stable")].ravel())
        return np.concatenate(pieces).astype("<i8", copy=False).tobytes()

    def restore(self, content: bytes) -> None:
        """Take the books of a snapshot into a state that has none.

        Raises:
            ArtefactError: If the bytes are no books of this declaration.
        """
        words = np.frombuffer(content[: len(content) // 8 * 8], dtype="<i8").astype(np.int64)
        place = 0
        while place < len(words) and self._count < self._most:
            place = self._taken(words, place)
        if place != len(words) or len(content) % 8:
            raise ArtefactError(
                f"these {len(content)} bytes are not the books of {self.book.stream!r};"
                " use an older snapshot, or replay the journal"
            )

    def _taken(self, words: Int64s, place: int) -> int:
        """Take one book; where the next begins, or beyond the end if this one is cut."""
        head = words[place : place + w.HEAD]
        if len(head) < w.HEAD:
            return len(words) + 1
        counts = [int(head[w.H_COUNT]), int(head[w.H_COUNT + 1])]
        orders = int(head[w.H_ORDERS])
        size = w.HEAD + 3 * sum(counts) + SLOT * orders
        fits = (
            max(counts) <= self.book.levels
            and min(*counts, orders, int(head[w.H_KEY])) >= 0
            and orders <= self.book.orders
        )
        if not fits or place + size > len(words):
            return len(words) + 1
        self._make_room(int(head[w.H_KEY]))
        row = self._begin(int(head[w.H_KEY]))
        row[: w.HEAD] = head
        at = place + w.HEAD
        for side in range(2):
            for part in range(3):
                start = w.HEAD + (3 * side + part) * self.book.levels
                row[start : start + counts[side]] = words[at : at + counts[side]]
                at += counts[side]
        restore_orders(row, self._layout, words[at : at + SLOT * orders])
        return place + size

    def key_state(self, texts: TextTable, key: str) -> bytes | None:
        """What the book of one key is, as bytes; None if there is none."""
        code = int(texts.find(Text.of([key]))[0])
        if code < 0 or code >= len(self._place) or self._place[code] < 0:
            return None
        row = self._rows[self._place[code]].copy()
        # another engine may know the key by another code
        row[w.H_KEY] = 0
        return self._record(row)

    def put_key_state(self, texts: TextTable, key: str, content: bytes) -> None:
        """Set the book of one key to what `key_state` gave.

        Raises:
            ArtefactError: If the bytes are no book of this declaration.
        """
        code = int(texts.intern(Text.of([key]))[0])
        words = np.frombuffer(content[: len(content) // 8 * 8], dtype="<i8").astype(np.int64)
        if len(words) >= w.HEAD:
            words[w.H_KEY] = code
        self._make_room(code)
        before, count = int(self._place[code]), self._count
        if self._taken(words, 0) != len(words) or len(content) % 8:
            raise ArtefactError(
                f"these {len(content)} bytes are not the book of {key!r} in"
                f" {self.book.stream!r}; read them again with key_state of the same plan"
            )
        if before >= 0:
            self._rows[before] = self._rows[count]
            self._rows[count] = 0
            self._place[code], self._count = before, count


class _Columns:
    """Where the kernel finds the columns of changes, by address.

    Args:
        book: Whose changes.
        at: Their field of event time.
    """

    def __init__(self, book: Book, at: str) -> None:
        self._wanted = [
            (column, valid, name)
            for column, valid, name in (
                (w.C_AT, None, at),
                (w.C_BID, None, book.bid),
                (w.C_PRICE, w.C_PRICE_VALID, book.price),
                (w.C_SIZE, None, book.size),
                (w.C_FIRST, w.C_FIRST_VALID, book.first),
                (w.C_LAST, w.C_LAST_VALID, book.last),
                (w.C_SNAPSHOT, None, book.snapshot),
                (w.C_ENDS, None, book.ends),
                (w.C_ORDER, w.C_ORDER_VALID, book.order),
                (w.C_REDUCES, None, book.reduces),
                (w.C_REMOVES, None, book.removes),
                (w.C_PLACE, None, book.place),
            )
            if name
        ]
        self._names: tuple[str, ...] = ()
        self._from, self._into = [np.zeros(0, dtype=np.intp)] * 2

    def put(self, batch: Batch, columns: Int64s) -> None:
        """Fill in the addresses of a batch's columns; keep the batch while they are used."""
        names = tuple(batch.columns)
        if names != self._names:
            self._lay_out(names)
        columns[self._into] = batch.addresses.ravel()[self._from]

    def _lay_out(self, names: tuple[str, ...]) -> None:
        """Learn where the addresses stand of batches with these columns."""
        pairs = []
        for column, valid, name in self._wanted:
            place = 4 * names.index(name)
            pairs.append((place + 1, column))
            if valid is not None:
                pairs.append((place + 3, valid))
        self._from, self._into = np.array(pairs, dtype=np.intp).T.copy()
        self._names = names


def _value_words(value: BookValue) -> list[int]:
    return [_PARTS[value.part], value.side, value.level]
