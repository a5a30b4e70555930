"""JSON lines to typed columns: fast where a line is plain, in the general way where it is not.

A line holds one JSON object and ends with a line feed, before which a carriage return may stand;
the last may go without. An empty line is no event, is not counted, and is not an error. Names that
the schema does not have are passed over, whatever their values; a field of the schema that is named
twice refuses the line. A schema with fewer fields reads those alone, and passes over the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from headrace.core.columns import Batch, Fixed, Kind, Text
from headrace.core.compiled import float_bits
from headrace.core.errors import LimitReached
from headrace.events import countries, currencies
from headrace.events import json_kernels as kernels
from headrace.events.json_object import read_object
from headrace.events.parsed import Parsed, Rejections
from headrace.events.reasons import LONGEST_EVENT, Rejected
from headrace.events.schema import EXACT_LIMIT, Field, Schema
from headrace.events.times import STRICT, TIME_MAX, TIME_MIN, Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headrace.core.columns import Bytes, Column, Int64s
    from headrace.events.values import Value

#: Zero bytes behind a chunk, which the kernel may read but never passes.
_PADDING = 64

#: The most bytes of one chunk: positions in it must fit 31 bits.
LONGEST_CHUNK = 2**31 - 2**20


class JsonLines:
    r"""Reads lines of JSON as events of one schema.

    It holds no state between calls, so threads may share it.

    Args:
        schema: What each line should be.
        reading: What the source says of its times where they leave it open.
        longest: The most bytes of a line, its line feed not counted; a longer one is refused.

    >>> from headrace.events.schema import Field, Schema
    >>> lines = JsonLines(Schema("Card", (Field("card", Kind.TEXT), Field("n", Kind.INT))))
    >>> parsed = lines.parse(b'{"card": "c1", "n": 3}\n{"card": "c2"}\n')
    >>> parsed.batch.text("card").strings(), parsed.rejections[0].reason.text
    (['c1'], 'missing')
    """

    def __init__(
        self, schema: Schema, reading: Reading = STRICT, *, longest: int = LONGEST_EVENT
    ) -> None:
        self.schema = schema
        self._reading = reading
        self._longest = longest
        self._fields, self._words = _described(schema)
        self._digits = currencies.digits_by_letters().astype(np.uint8)
        self._countries = countries.known_by_letters().astype(np.uint8)
        waiting = [i for i, field in enumerate(schema.fields) if field.currency_field]
        self._pending = np.array(waiting, dtype=np.int64)

    def parse(self, data: Bytes | bytes | bytearray | memoryview) -> Parsed:
        """Read a chunk of whole lines.

        Args:
            data: UTF-8 bytes, uint8 if an array. A last line without a line feed is a whole line.

        Returns:
            The valid lines as columns, and for each other line why it is refused; rows are
            numbered over the lines that are not empty.

        Raises:
            LimitReached: When the chunk has more than `LONGEST_CHUNK` bytes; split it by lines.
        """
        given = data if isinstance(data, np.ndarray) else np.frombuffer(data, dtype=np.uint8)
        if len(given) > LONGEST_CHUNK:
            raise LimitReached(
                f"a chunk of {len(given)} bytes is more than {LONGEST_CHUNK}; split it by lines"
            )
        length = len(given)
        chunk = np.empty(length + 1 + _PADDING, dtype=np.uint8)
        chunk[:length] = given
        chunk[length:] = 0
        if length and chunk[length - 1] != ord("\n"):
            chunk[length] = ord("\n")
            length += 1
        return self._read(chunk, length)

    def _read(self, chunk: Bytes, length: int) -> Parsed:
        room = kernels.count_lines(chunk[:length])
        count = len(self.schema.fields)
        values = np.empty((count, room), dtype=np.int64)
        valid = np.empty((count, room), dtype=np.uint8)
        lines = np.empty((room, kernels.LINE_COLUMNS), dtype=np.int64)
        work = np.empty(2 * count + kernels.PREDICTED, dtype=np.int64)
        tables = self._tables(values, valid, work, room)
        received, _ = kernels.read_lines(
            tables.ctypes.data, chunk.ctypes.data, length, lines.ctypes.data
        )
        hard = np.flatnonzero(lines[:received, kernels.STATE])
        extra = bytearray()
        refused: dict[int, Rejected] = {}
        for row in hard.tolist():
            line = chunk[lines[row, kernels.START] : lines[row, kernels.END]]
            read = read_object(self.schema, _without_return(line), self._longest, self._reading)
            if isinstance(read, Rejected):
                refused[row] = read
            else:
                self._fill(read, row, values, valid, length, extra)
        kept = np.arange(received)
        if refused:
            kept = np.delete(kept, list(refused))
        columns = self._columns(chunk, length, extra, kept, values, valid)
        rejections = Rejections.of(list(refused), list(refused.values()))
        batch = Batch(columns, len(kept))
        return Parsed(batch, kept.astype(np.int32), rejections, int(received))

    def _tables(self, values: Int64s, valid: Bytes, work: Int64s, room: int) -> Int64s:
        count = len(self.schema.fields)
        tables = np.zeros(kernels.TABLE_SLOTS, dtype=np.int64)
        tables[kernels.FIELDS] = self._fields.ctypes.data
        tables[kernels.NAME_WORDS] = self._words.ctypes.data
        tables[kernels.DIGITS] = self._digits.ctypes.data
        tables[kernels.COUNTRIES] = self._countries.ctypes.data
        tables[kernels.PENDING] = self._pending.ctypes.data
        tables[kernels.EXPONENTS] = work.ctypes.data
        tables[kernels.SEEN] = work.ctypes.data + 8 * count
        tables[kernels.PREDICTIONS] = work.ctypes.data + 16 * count
        tables[kernels.VALUES] = values.ctypes.data
        tables[kernels.VALID] = valid.ctypes.data
        tables[kernels.FIELD_COUNT] = count
        tables[kernels.PENDING_COUNT] = len(self._pending)
        tables[kernels.ROOM] = room
        tables[kernels.LONGEST_LINE] = self._longest
        return tables

    def _fill(  # noqa: PLR0913 - a row is written across all columns
        self,
        read: dict[str, Value],
        row: int,
        values: Int64s,
        valid: Bytes,
        length: int,
        extra: bytearray,
    ) -> None:
        """Write a row that was read in the general way; its texts go behind the chunk."""
        for i, field in enumerate(self.schema.fields):
            value = read[field.name]
            if value is None:
                continue
            valid[i, row] = 1
            if isinstance(value, str):
                text = value.encode()
                values[i, row] = ((length + len(extra)) << kernels.SPAN_BITS) | len(text)
                extra += text
            elif field.kind is Kind.FLOAT:
                values[i, row] = float_bits(float(value))
            else:
                values[i, row] = value

    def _columns(  # noqa: PLR0913 - a column is made of all of them
        self,
        chunk: Bytes,
        length: int,
        extra: bytearray,
        kept: Int64s,
        values: Int64s,
        valid: Bytes,
    ) -> dict[str, Column]:
        whole = len(kept) == values.shape[1]
        behind = np.frombuffer(extra, dtype=np.uint8)
        columns: dict[str, Column] = {}
        for i, field in enumerate(self.schema.fields):
            present = valid[i] if whole else valid[i][kept]
            if field.kind is not Kind.TEXT:
                columns[field.name] = Fixed(values[i] if whole else values[i][kept], present)
                continue
            offsets = np.empty(len(kept) + 1, dtype=np.int32)
            size = kernels.text_offsets(values[i], kept, offsets)
            text = np.empty(size, dtype=np.uint8)
            kernels.copy_texts(
                chunk.ctypes.data, behind.ctypes.data, length, values[i], kept, text.ctypes.data
            )
            columns[field.name] = Text(offsets, text, present)
        return columns


def whole_lines(pieces: Iterable[bytes], *, longest: int = LONGEST_EVENT) -> Iterator[bytes]:
    r"""Cut a stream of bytes into chunks that end where lines do.

    A byte order mark at the start is dropped. What follows the last line feed is a line too. Of a
    line without an end no more than twice `longest` bytes are kept, enough for it to be refused.

    >>> list(whole_lines([b'{"a"', b':1}\n{"a":2}\n{', b'}']))
    [b'{"a":1}\n{"a":2}\n', b'{}']
    """
    rest = bytearray()
    first = True
    for piece in pieces:
        cut = piece.rfind(b"\n") + 1
        if cut == 0:
            if len(rest) <= 2 * longest:
                rest += piece[: 2 * longest + 4]
            continue
        whole = bytes(rest) + piece[:cut]
        rest = bytearray(piece[cut:])
        yield _without_mark(whole) if first else whole
        first = False
    if rest:
        yield _without_mark(bytes(rest)) if first else bytes(rest)


def _without_mark(chunk: bytes) -> bytes:
    return chunk.removeprefix(b"\xef\xbb\xbf")


def _without_return(line: Bytes) -> Bytes:
    return line[:-1] if len(line) and line[-1] == ord("\r") else line


def _described(schema: Schema) -> tuple[Int64s, Int64s]:
    """The table of fields and that of the words of their names."""
    table = np.zeros((len(schema.fields), kernels.FIELD_COLUMNS), dtype=np.int64)
    words: list[tuple[int, int]] = []
    names = schema.names
    for row, field in zip(table, schema.fields, strict=True):
        name = field.name.encode()
        key = name + b'"'
        parts = [key[i : i + 8] for i in range(0, len(key), 8)]
        row[kernels.KIND] = field.kind
        row[kernels.OPTIONAL] = field.optional
        row[kernels.SCALE] = field.scale
        row[kernels.LOW], row[kernels.HIGH] = _bounds(field)
        row[kernels.PARTNER] = names.index(field.currency_field) if field.currency_field else -1
        row[kernels.LONGEST] = field.longest
        row[kernels.WORD] = len(words)
        row[kernels.WORDS] = len(parts)
        row[kernels.NAME] = len(name)
        words += [(int.from_bytes(part, "little"), 2 ** (8 * len(part)) - 1) for part in parts]
    laid = np.array(words, dtype=np.uint64).reshape(-1, 2)
    return table, cast("Int64s", laid.view(np.int64))


def _bounds(field: Field) -> tuple[int, int]:
    """The least and the greatest value that the kernel may accept, as 64 bits."""
    if field.kind is Kind.FLOAT:
        low = -np.inf if field.minimum is None else float(field.minimum)
        high = np.inf if field.maximum is None else float(field.maximum)
        return float_bits(low), float_bits(high)
    least, most = (TIME_MIN, TIME_MAX) if field.kind is Kind.TIME else (-EXACT_LIMIT, EXACT_LIMIT)
    # A limit between two units (a float) is rounded towards what it allows.
    low_limit = least if field.minimum is None else int(np.ceil(field.minimum))
    high_limit = most if field.maximum is None else int(np.floor(field.maximum))
    return max(least, low_limit), min(most, high_limit)
