"""The table by which the kernel that reads JSON lines knows a schema, and a chunk read by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from headrace.core.address import address_of
from headrace.core.columns import Fixed, Kind, Text
from headrace.core.compiled import float_bits
from headrace.events import countries, currencies
from headrace.events import json_kernels as kernels
from headrace.events.schema import EXACT_LIMIT, Field, Schema
from headrace.events.times import EPOCH_DIGITS, TIME_MAX, TIME_MIN, Reading
from headrace.events.values import NEVER_EMPTY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Bytes, Column, Int32s, Int64s

#: How many bytes behind a line feed the kernel may read, though it never passes the line feed.
_PADDING = 64

#: What stands behind a chunk that is read from a copy.
_BEHIND = b"\n" + bytes(_PADDING)

#: A chunk is read in blocks of about this many bytes: so much room for texts is enough for one.
_BLOCK = 2**18

#: A chunk of so many bytes is copied sooner than its last line is looked for.
_SMALL = 2**15

_WORD = 8
_HEAD = kernels.HEAD_END // _WORD
_FIELD = kernels.FIELD_BYTES // _WORD
_EASY, _HARD = kernels.EASY // _WORD, kernels.HARD // _WORD


class Taken(Struct, frozen=True):
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
        table = np.zeros(_HEAD + (len(schema.fields) + 1) * _FIELD, dtype=np.int64)
        _put(table, kernels.LONGEST_LINE, longest)
        _put(table, kernels.DIGITS_OF, address_of(self._digits))
        _put(table, kernels.COUNTRIES, address_of(self._countries))
        fields = table[_HEAD:].reshape(-1, _FIELD)
        _describe(fields, schema, reading)
        fields[:, kernels.NAME // _WORD] = address_of(self._words) + spans[:, 0]
        fields[:, kernels.NAME_END // _WORD] = address_of(self._words) + spans[:, 1]
        fields[1:, kernels.NAME_BYTES // _WORD] = [len(name.encode()) + 2 for name in schema.names]
        self._layout = _Layout(schema, table)

    def read(self, chunk: Bytes) -> Taken:
        """Read a chunk of whole lines, C-contiguous; the last may be without a line feed."""
        size = len(chunk)
        # a small chunk is read from a copy that has room behind its end, and so is a last line
        whole = _whole(chunk) if size > _SMALL else 0
        rest: Bytes = np.frombuffer(bytearray(chunk[whole:]) + _BEHIND, dtype=np.uint8)
        address, behind = address_of(chunk) if whole else 0, address_of(rest)
        lines = kernels.most_lines(behind, len(rest))
        if whole:
            lines += kernels.most_lines(address, whole)
        rows = _Rows(self._layout, lines, size)
        at = 0
        while at < whole:
            rows.reserve(at, size)
            at = kernels.read_lines(rows.head, address, at, min(at + _BLOCK, whole))
        rows.reserve(at, size)
        kernels.read_lines(rows.head, behind - at, at, size)
        return rows.taken()


class _Layout:
    """How the rows of a schema lie in one piece of memory, whatever the room for rows.

    First come the columns of values, then those of offsets (with two entries more than there are
    rows), the numbers of the rows, the columns of validity, and last the hard lines, which are
    memory untouched until there are any. Texts lie apart, each column with the same room at first.

    Every slot of the table is a sum, so one product makes the table of a chunk: `terms` holds what
    a slot has of each term, which are 1, the addresses of the table, of the rows and of the texts,
    the room for rows and that for bytes of a text.

    Args:
        schema: Of the rows.
        table: The slots that are the same for every chunk; addresses within the table count from
            its first field.
    """

    def __init__(self, schema: Schema, table: Int64s) -> None:
        self.fields = schema.fields
        is_text = np.array([field.kind is Kind.TEXT for field in schema.fields], dtype=bool)
        self.count, self.texts = len(is_text), int(is_text.sum())
        self.fixed = self.count - self.texts
        self.longest = [field.longest for field in schema.fields if field.kind is Kind.TEXT]
        #: The most bytes that a block gives to a column; its last line may end behind it.
        self.most_text = _BLOCK + max(self.longest, default=0)
        # where a part starts: so many bytes for each row of room, and so many more
        self.offsets = 8 * self.fixed
        self.numbers = self.offsets + 4 * self.texts
        self.behind = 8 * self.texts
        self.valid = self.numbers + 4
        self.hard = self.valid + self.count
        self.size = self.hard + 8 * kernels.HARD_COLUMNS
        self.terms = np.zeros((6, len(table)), dtype=np.int64)
        self.terms[0] = table
        self._place_head()
        self._place_fields(is_text)
        slots = np.arange(_HEAD, len(table)).reshape(-1, _FIELD)[1:, kernels.TEXTS // _WORD]
        #: Of each text, the slot that holds the address of its bytes.
        self.text_slots: list[int] = slots[is_text].tolist()

    def _place_head(self) -> None:
        one, head, rows, _, room, _ = self.terms
        for slot, start in ((kernels.NUMBERS, self.numbers), (kernels.HARD_LINES, self.hard)):
            _put(one, slot, self.behind)
            _put(rows, slot, 1)
            _put(room, slot, start)
        _put(one, kernels.FIELDS, kernels.HEAD_END + kernels.FIELD_BYTES)
        _put(one, kernels.FIELDS_END, one.nbytes)
        _put(head, kernels.FIELDS, 1)
        _put(head, kernels.FIELDS_END, 1)

    def _place_fields(self, is_text: NDArray[np.bool_]) -> None:
        # of each field, its place among those that are texts, or among those that are not
        places = np.where(is_text, np.cumsum(is_text), np.cumsum(~is_text)) - 1
        one, head, rows, texts, room, text_room = self.terms[:, _HEAD:].reshape(6, -1, _FIELD)
        inside = np.zeros(one.shape, dtype=bool)
        inside[:, kernels.NEXT // _WORD] = True
        inside[:, kernels.PARTNER // _WORD] = one[:, kernels.PARTNER // _WORD] != 0
        one[inside] += kernels.HEAD_END
        head[inside] = 1
        slot = kernels.VALUES // _WORD
        rows[1:, slot] = 1
        room[1:, slot] = np.where(is_text, self.offsets + 4 * places, 8 * places)
        one[1:, slot] = np.where(is_text, 8 * places, 0)
        slot = kernels.VALID // _WORD
        rows[1:, slot] = 1
        room[1:, slot] = self.valid + np.arange(self.count)
        one[1:, slot] = self.behind
        slot = kernels.TEXTS // _WORD
        texts[1:, slot] = is_text
        text_room[1:, slot] = np.where(is_text, places, 0)


class _Rows:
    """The rows of a chunk while it is read.

    Args:
        layout: Of the schema.
        lines: As many as there may be.
        size: Of the chunk in bytes.

    Attributes:
        head: The address of the table that describes them to the kernel.
    """

    def __init__(self, layout: _Layout, lines: int, size: int) -> None:
        self._layout = layout
        self._room = room = (lines + 7) & -8
        self._memory = memory = np.empty(room * layout.size + layout.behind, dtype=np.uint8)
        self._values: Int64s = np.ndarray((layout.fixed, room), np.int64, memory)
        self._offsets: Int32s = np.ndarray(
            (layout.texts, room + 2), np.int32, memory, layout.offsets * room
        )
        self._offsets[:, 0] = 0
        text_room = min(layout.most_text, size) + _PADDING
        texts = np.empty((layout.texts, text_room), dtype=np.uint8)
        self._texts: list[Bytes] = list(texts)
        self._table = np.empty(layout.terms.shape[1], dtype=np.int64)
        self.head = address_of(self._table)
        terms = [1, self.head, address_of(memory), address_of(texts), room, text_room]
        np.array(terms).dot(layout.terms, out=self._table)

    def reserve(self, done: int, size: int) -> None:
        """Make room for the texts of a block behind so many bytes of the chunk's `size`."""
        if done == 0:  # there is room for the first
            return
        layout = self._layout
        for k, used in enumerate(self._offsets[:, self._table[_EASY]].tolist()):
            # a block's last line may end behind it, and the last copy behind its text
            need = used + min(_BLOCK + layout.longest[k], size - done) + _PADDING
            if need > len(self._texts[k]):
                grown = np.empty(max(need, used * size // done * 9 // 8), dtype=np.uint8)
                grown[:used] = self._texts[k][:used]
                self._texts[k] = grown
                self._table[layout.text_slots[k]] = address_of(grown)

    def taken(self) -> Taken:
        """What was read, in columns, and the hard lines."""
        easy, hard = int(self._table[_EASY]), int(self._table[_HARD])
        layout, memory, room = self._layout, self._memory, self._room
        start = layout.valid * room + layout.behind
        valids: Bytes = np.ndarray((layout.count, room), np.uint8, memory, start)
        columns: dict[str, Column] = {}
        values = iter(self._values[:, :easy])
        offsets = iter(self._offsets[:, : easy + 1])
        texts = map(_kept, self._texts, self._offsets[:, easy].tolist())
        for field, valid in zip(layout.fields, valids[:, :easy], strict=True):
            if field.kind is Kind.TEXT:
                columns[field.name] = Text(next(offsets), next(texts), valid)
            else:
                columns[field.name] = Fixed(next(values), valid)
        start = layout.numbers * room + layout.behind
        numbers: Int32s = np.ndarray(easy, np.int32, memory, start)
        start = layout.hard * room + layout.behind
        listed: Int64s = np.ndarray((hard, kernels.HARD_COLUMNS), np.int64, memory, start)
        return Taken(easy, columns, numbers, listed)


def _kept(texts: Bytes, used: int) -> Bytes:
    """The bytes of a column that are used; a copy if they are few in the memory they lie in."""
    held = texts if texts.base is None else texts.base
    return texts[:used] if 2 * used > held.size else texts[:used].copy()


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
