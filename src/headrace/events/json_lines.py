"""JSON lines to typed columns: fast where a line is plain, in the general way where it is not.

A line holds one JSON object and ends with a line feed, before which a carriage return may stand;
the last may go without. An empty line is no event, is not counted, and is not an error. Names that
the schema does not have are passed over, whatever their values; a field of the schema that is named
twice refuses the line. A schema with fewer fields reads those alone, and passes over the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import Batch
from headrace.core.errors import LimitReached
from headrace.events.json_object import read_object
from headrace.events.json_table import SchemaTable
from headrace.events.parsed import Parsed, Rejections
from headrace.events.reasons import LONGEST_EVENT
from headrace.events.times import STRICT, Reading

if TYPE_CHECKING:
    from headrace.core.columns import Bytes
    from headrace.events.json_table import Taken
    from headrace.events.schema import Schema

#: What some programs put before UTF-8; it may stand at the start of a file, and is no part of it.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

#: The most bytes of one chunk: positions in it must fit 31 bits.
LONGEST_CHUNK = 2**31 - 2**20
#: The most bytes that are kept of a line of which no end is in sight.
LONGEST_HELD = 2 * 1024 * 1024


class JsonLines:
    r"""Reads lines of JSON as events of one schema.

    It holds no state between calls, so threads may share it.

    Args:
        schema: What each line should be.
        reading: What the source says of its times where they leave it open.
        longest: The most bytes of a line, its line feed not counted; a longer one is refused.

    >>> from headrace.core.columns import Kind
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
        self._table = SchemaTable(schema, reading, longest)

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
        given: Bytes
        if isinstance(data, np.ndarray):
            given = np.ascontiguousarray(data)
        else:
            given = np.frombuffer(data, dtype=np.uint8)
        if len(given) > LONGEST_CHUNK:
            raise LimitReached(
                f"a chunk of {len(given)} bytes is more than {LONGEST_CHUNK}; split it by lines"
            )
        taken = self._table.read(given)
        if len(taken.hard) == 0:
            batch = Batch(taken.columns, taken.easy)
            return Parsed(batch, taken.numbers, Rejections.none(), taken.easy)
        return self._with_hard(given, taken)

    def _with_hard(self, given: Bytes, taken: Taken) -> Parsed:
        """Read the hard lines in the general way, and put them in their places."""
        easy = Parsed(
            Batch(taken.columns, taken.easy),
            np.arange(taken.easy, dtype=np.int32),
            Rejections.none(),
            taken.easy,
        )
        read = [
            read_object(
                self.schema, _without_return(given[start:end]), self._longest, self._reading
            )
            for start, end, _ in taken.hard.tolist()
        ]
        hard = Parsed.of(self.schema, read)
        return Parsed.merged([(easy, taken.numbers), (hard, taken.hard[:, 2])])


class WholeLines:
    r"""Cuts a stream of bytes, piece by piece, where lines end.

    A byte order mark at the start is dropped. What follows the last line feed is a line too. Of a
    line that goes over several pieces no more than `LONGEST_HELD` bytes are kept, enough for it to
    be refused: the same bytes give the same lines, wherever pieces of less than that were cut.

    >>> lines = WholeLines()
    >>> [lines.take(piece) for piece in (b'{"a"', b':1}\n{"a":2}\n{', b'}')], lines.rest()
    ([b'', b'{"a":1}\n{"a":2}\n', b''], b'{}')
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._first = True

    def take(self, piece: bytes) -> bytes:
        """The lines that a piece ends, whole; no bytes if it ends none."""
        cut = piece.rfind(b"\n") + 1
        if cut == 0:
            self._hold(piece)
            return b""
        begin = piece.find(b"\n") if self._rest else 0
        self._hold(piece[:begin])
        whole = self._unmarked(bytes(self._rest) + piece[begin:cut])
        self._rest = bytearray(piece[cut:])
        return whole

    def _hold(self, piece: bytes) -> None:
        self._rest += piece[: max(0, LONGEST_HELD - len(self._rest))]

    def rest(self) -> bytes:
        """The line that the stream ended in without a line feed; no bytes if there is none."""
        return self._unmarked(bytes(self._rest)) if self._rest else b""

    def _unmarked(self, chunk: bytes) -> bytes:
        first, self._first = self._first, False
        return chunk.removeprefix(BYTE_ORDER_MARK) if first else chunk


def _without_return(line: Bytes) -> Bytes:
    return line[:-1] if len(line) and line[-1] == ord("\r") else line
