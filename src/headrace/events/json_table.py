"""The table by which the kernel that reads JSON lines knows a schema, and a chunk read by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.address import address_of
from headrace.core.columns import Fixed, Kind, Text
from headrace.core.compiled import float_bits
from headrace.events import countries, currencies
from headrace.events import json_kernels as kernels
from headrace.events.schema import EXACT_LIMIT, Field, Schema
from headrace.events.times import EPOCH_DIGITS, TIME_MAX, TIME_MIN, Reading
from headrace.events.values import NEVER_EMPTY

if TYPE_CHECKING:
    from headrace.core.columns import Bytes, Column, Int32s, Int64s

#: How many bytes behind a line feed the kernel may read, though it never passes the line feed.
_PADDING = 64

#: A chunk is read in blocks of about this many bytes: so much room for texts is enough for one.
_BLOCK = 2**18

#: A chunk of so many bytes is copied sooner than its last line is looked for.
_SMALL = 2**15

_WORD = 8
_HEAD = kernels.HEAD_END // _WORD
_FIELD = kernels.FIELD_BYTES // _WORD
_EASY = kernels.EASY // _WORD


@dataclass(frozen=True, slots=True)
class Taken:
    """What the kernel made of a chunk.

    Attributes:
        easy: How many lines went into columns.
        columns: Those lines.
        numbers: For each of them, its place among the lines that are not empty; int32, ascending.
        hard: A row for each other line: where it starts and ends in the chunk, and its place.
    """

    easy: int
    columns: dict[str, Column]
    numbers: Int32s
    hard: Int64s


class SchemaTable:
    """A schema as the kernel reads it; it is not changed by reading, so threads may share it.

    Args:
        schema: What each line should be.
        reading: What the source says of its times.
        longest: The most bytes of a line.
    """

    def __init__(self, schema: Schema, reading: Reading, longest: int) -> None:
        self._digits = currencies.digits_by_letters().astype(np.uint8)
        self._countries = countries.known_by_letters().astype(np.uint8)
        self._words, spans = _words_of(schema)
        self._table = np.zeros(_HEAD + (len(schema.fields) + 1) * _FIELD, dtype=np.int64)
        _put(self._table, kernels.LONGEST_LINE, longest)
        _put(self._table, kernels.DIGITS_OF, address_of(self._digits))
        _put(self._table, kernels.COUNTRIES, address_of(self._countries))
        fields = self._table[_HEAD:].reshape(-1, _FIELD)
        _describe(fields, schema, reading)
        fields[:, kernels.NAME // _WORD] = address_of(self._words) + spans[:, 0]
        fields[:, kernels.NAME_END // _WORD] = address_of(self._words) + spans[:, 1]
        fields[1:, kernels.NAME_BYTES // _WORD] = [len(name.encode()) + 2 for name in schema.names]
        self._layout = _Layout(schema)

    def read(self, chunk: Bytes) -> Taken:
        """Read a chunk of whole lines, C-contiguous; the last may be without a line feed."""
        size = len(chunk)
        address = address_of(chunk)
        room = kernels.most_lines(address, size) + 1
        table = self._table.copy()
        head = address_of(table)
        rows = self._layout.placed(table, head, room)
        # a small chunk is read from a copy that has room behind its end
        whole = _whole(chunk) if size > _SMALL else 0
        at = 0
        while at < whole:
            stop = min(at + _BLOCK, whole)
            rows.reserve(int(table[_EASY]), at, size)
            at = kernels.read_lines(head, address, at, stop)
        if at < size:
            rest = np.zeros(size - at + 1 + _PADDING, dtype=np.uint8)
            rest[: size - at] = chunk[at:]
            rest[size - at] = ord("\n")
            rows.reserve(int(table[_EASY]), at, size)
            kernels.read_lines(head, address_of(rest) - at, at, size)
        return rows.taken(int(table[_EASY]), int(table[kernels.HARD // _WORD]))


class _Layout:
    """How the rows of a schema lie in one piece of memory, whatever the room for rows.

    First come the columns of values, then those of offsets (with two entries more than there are
    rows), the numbers of the rows, the columns of validity, and last the hard lines, which are
    memory untouched until there are any.
    """

    def __init__(self, schema: Schema) -> None:
        self.fields = schema.fields
        is_text = np.array([field.kind is Kind.TEXT for field in schema.fields], dtype=bool)
        count, texts = len(is_text), int(is_text.sum())
        self._fixed = count - texts
        nth_text = np.cumsum(is_text) - is_text
        nth_fixed = np.arange(count) - nth_text
        # where a part starts: so many bytes for each row of room, and so many more
        offsets = 8 * self._fixed + 4 * nth_text
        self.values = np.where(is_text, offsets, 8 * nth_fixed).astype(np.int64)
        self.more = np.where(is_text, 8 * nth_text, 0).astype(np.int64)
        self.numbers = 8 * self._fixed + 4 * texts
        self.behind = 8 * texts
        self.valid = self.numbers + 4
        self.hard = self.valid + count
        self.size = self.hard + 8 * kernels.HARD_COLUMNS

    def placed(self, table: Int64s, head: int, room: int) -> _Rows:
        """Memory for rows, its addresses in the table at the address `head`."""
        room = (room + 7) & -8
        memory = np.empty(room * self.size + self.behind, dtype=np.uint8)
        start = address_of(memory)
        base = head + kernels.HEAD_END
        _put(table, kernels.NUMBERS, start + self.numbers * room + self.behind)
        _put(table, kernels.HARD_LINES, start + self.hard * room + self.behind)
        _put(table, kernels.FIELDS, base + kernels.FIELD_BYTES)
        _put(table, kernels.FIELDS_END, head + table.nbytes)
        fields = table[_HEAD:].reshape(-1, _FIELD)
        fields[:, kernels.NEXT // _WORD] += base
        partners = fields[:, kernels.PARTNER // _WORD]
        partners += np.where(partners != 0, base, 0)
        fields[1:, kernels.VALUES // _WORD] = self.values * room + (self.more + start)
        first_valid = start + self.valid * room + self.behind
        fields[1:, kernels.VALID // _WORD] = np.arange(len(self.values)) * room + first_valid
        return _Rows(self, memory, room, fields[1:, kernels.TEXTS // _WORD])


class _Rows:
    """The rows of a chunk while it is read."""

    def __init__(self, layout: _Layout, memory: Bytes, room: int, texts: Int64s) -> None:
        self._layout = layout
        self._memory = memory
        self._room = room
        self._places = texts
        self._fixed: dict[int, Int64s] = {}
        self._offsets: dict[int, Int32s] = {}
        self._texts: dict[int, Bytes] = {}
        for i, field in enumerate(layout.fields):
            start = int(layout.values[i]) * room + int(layout.more[i])
            if field.kind is Kind.TEXT:
                offsets = memory[start : start + 4 * room + 8].view(np.int32)
                offsets[0] = 0
                self._texts[i] = np.empty(0, dtype=np.uint8)
                self._offsets[i] = offsets
            else:
                self._fixed[i] = memory[start : start + 8 * room].view(np.int64)

    def reserve(self, rows: int, done: int, size: int) -> None:
        """Make room for the texts of a block after so many rows, and bytes of all the chunk's."""
        for i, texts in self._texts.items():
            used = int(self._offsets[i][rows])
            # the last copy may go past a text's end
            need = used + min(_BLOCK, size - done) + self._layout.fields[i].longest + _PADDING
            if need > len(texts):
                likely = used * size // done * 9 // 8 if done else 0
                grown = np.empty(max(need, likely), dtype=np.uint8)
                grown[:used] = texts[:used]
                self._texts[i] = grown
                self._places[i] = address_of(grown)

    def taken(self, easy: int, hard: int) -> Taken:
        """What was read: so many rows in columns, and so many hard lines."""
        layout, room, memory = self._layout, self._room, self._memory
        columns: dict[str, Column] = {}
        for i, field in enumerate(layout.fields):
            start = (layout.valid + i) * room + layout.behind
            valid = memory[start : start + easy]
            if field.kind is Kind.TEXT:
                texts, offsets = self._texts[i], self._offsets[i]
                used = int(offsets[easy])
                kept = texts[:used] if 2 * used > len(texts) else texts[:used].copy()
                columns[field.name] = Text(offsets[: easy + 1], kept, valid)
            else:
                columns[field.name] = Fixed(self._fixed[i][:easy], valid)
        start = layout.numbers * room + layout.behind
        numbers = memory[start : start + 4 * easy].view(np.int32)
        start = layout.hard * room + layout.behind
        listed = memory[start : start + 8 * kernels.HARD_COLUMNS * hard].view(np.int64)
        return Taken(easy, columns, numbers, listed.reshape(-1, kernels.HARD_COLUMNS))


def _put(table: Int64s, slot: int, value: int) -> None:
    table[slot // _WORD] = value


def _whole(chunk: Bytes) -> int:
    """The end of the last line behind whose line feed the chunk has `_PADDING` bytes; else 0."""
    end = len(chunk) - _PADDING
    while end > 0:
        start = max(0, end - 4096)
        found = np.flatnonzero(chunk[start:end] == ord("\n"))
        if len(found):
            return start + int(found[-1]) + 1
        end = start
    return 0


def _words_of(schema: Schema) -> tuple[Int64s, Int64s]:
    """The words of all names with their quotes, and where those of each start and end, in bytes.

    The first, of no field, is a word that nothing equals.
    """
    words = [(1, 0)]
    spans = [(0, 16)]
    for name in schema.names:
        key = f'"{name}"'.encode()
        parts = [key[i : i + 8] for i in range(0, len(key), 8)]
        spans.append((16 * len(words), 16 * (len(words) + len(parts))))
        words += [(int.from_bytes(part, "little"), 2 ** (8 * len(part)) - 1) for part in parts]
    return np.array(words, dtype=np.uint64).view(np.int64), np.array(spans, dtype=np.int64)


def _describe(table: Int64s, schema: Schema, reading: Reading) -> None:
    """Write the fields into their rows; addresses within the table count from its first row."""
    names = schema.names
    table[:, kernels.SEEN // _WORD] = -1
    following = (np.arange(len(table)) + 1) % len(table)
    table[:, kernels.NEXT // _WORD] = following * kernels.FIELD_BYTES
    for row, field in zip(table[1:], schema.fields, strict=True):
        _put(row, kernels.KIND, field.kind)
        _put(row, kernels.OPTIONAL, field.optional)
        _put(row, kernels.SCALE, _scale(field, reading))
        low, high = _bounds(field)
        _put(row, kernels.LOW, low)
        _put(row, kernels.HIGH, high)
        if field.currency_field:
            partner = names.index(field.currency_field) + 1
            _put(row, kernels.PARTNER, partner * kernels.FIELD_BYTES)


def _scale(field: Field, reading: Reading) -> int:
    if field.kind is Kind.TIME:
        return EPOCH_DIGITS[reading.epoch] if reading.epoch else -1
    return field.scale


def _bounds(field: Field) -> tuple[int, int]:
    """The least and the greatest value that the kernel may accept; of FLOAT, their bits."""
    if field.kind is Kind.TEXT:
        return int(field.role in NEVER_EMPTY), field.longest
    if field.kind is Kind.FLOAT:
        return _float_bounds(field)
    least, most = (TIME_MIN, TIME_MAX) if field.kind is Kind.TIME else (-EXACT_LIMIT, EXACT_LIMIT)
    # A limit between two units (a float) is rounded towards what it allows.
    low_limit = least if field.minimum is None else int(np.ceil(field.minimum))
    high_limit = most if field.maximum is None else int(np.floor(field.maximum))
    return max(least, low_limit), min(most, high_limit)


def _float_bounds(field: Field) -> tuple[int, int]:
    """The doubles next to the limits, on their inner side: an integer need not be a double."""
    low = -np.inf if field.minimum is None else float(field.minimum)
    high = np.inf if field.maximum is None else float(field.maximum)
    if field.minimum is not None and low < field.minimum:
        low = float(np.nextafter(low, np.inf))
    if field.maximum is not None and high > field.maximum:
        high = float(np.nextafter(high, -np.inf))
    return float_bits(low), float_bits(high)
