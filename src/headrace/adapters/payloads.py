"""Payloads: the bytes of one event each, as a topic or a queue hands them over.

Every form of payload has the same port, `PayloadCodec`: payloads in, columns and rejections out,
one row each. Nothing that is in a payload raises an error, and no payload is lost.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

import numpy as np

from headrace.events.parsed import Parsed
from headrace.events.reasons import Reason, Rejected, shown
from headrace.events.row_bytes import RowBytes
from headrace.events.row_columns import validated
from headrace.events.values import read_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.core.columns import Int64s
    from headrace.events.row_columns import RowColumn
    from headrace.events.schema import Schema
    from headrace.events.text_columns import Mask
    from headrace.events.times import Reading
    from headrace.events.values import Value

#: Rows that are read together: their columns fit the processor's cache.
_BLOCK = 8192
#: With fewer rows than this, one after the other is faster than by columns.
FEW = 48


class PayloadCodec(Protocol):
    """Reads payloads as events of one schema; it may be shared by threads."""

    @property
    def schema(self) -> Schema:
        """What each payload should be."""

    def parse(self, payloads: Sequence[bytes]) -> Parsed:
        """Read payloads, one row each, in their order.

        Returns:
            The valid rows as columns, and for each other row why it is refused.

        Raises:
            LimitReached: When they are more bytes together than a batch can have.
            Unavailable: When what they were written with has to be looked up, and cannot be now.
                None of them was read; hand them over again.
        """

    def readable(self, payloads: Sequence[bytes]) -> int:
        """How many of the first payloads `parse` reads without looking anything up elsewhere."""


class BinaryPayloads(ABC):
    """A binary form, read by columns where that is plain, and row by row where it is not.

    Both ways give the same. It holds no state between calls.

    Args:
        schema: What each payload should be.
        reading: What the source says of its times where they leave it open.
        longest: The most bytes of a payload; a longer one is refused.
    """

    def __init__(self, schema: Schema, reading: Reading, longest: int) -> None:
        self.schema = schema
        self._reading = reading
        self._longest = longest

    def parse(self, payloads: Sequence[bytes]) -> Parsed:
        """Read payloads, one row each.

        Raises:
            LimitReached: When they are more than `row_bytes.LONGEST_BATCH` bytes together.
        """
        return self.read(RowBytes.of(payloads))

    def readable(self, payloads: Sequence[bytes]) -> int:
        """All of them: nothing has to be looked up."""
        return len(payloads)

    def read(self, rows: RowBytes) -> Parsed:
        """Read payloads that lie in one buffer, one row each."""
        if len(rows) < FEW:
            return self.row_by_row(rows)
        parts: list[tuple[Parsed, Int64s]] = []
        for start in range(0, len(rows), _BLOCK):
            block = rows.take(slice(start, start + _BLOCK))
            easy, good = self.by_columns(block)
            hard = np.flatnonzero(~good)
            if len(hard) < len(block):
                parts.append((easy, np.flatnonzero(good) + start))
            if len(hard):
                parts.append((self.row_by_row(block.take(hard)), hard + start))
        return Parsed.merged(parts)

    def by_columns(self, rows: RowBytes) -> tuple[Parsed, Mask]:
        """The rows that are certain, read together, and which they are."""
        columns, good = self.take(rows)
        good = good & (rows.ends - rows.starts <= self._longest)
        chosen = slice(None) if good.all() else np.flatnonzero(good)
        return validated(self.schema, columns, rows, chosen, self._reading), good

    def row_by_row(self, rows: RowBytes) -> Parsed:
        """Rows as the library of the form reads them."""
        return Parsed.of(self.schema, [self._row(rows.at(row)) for row in range(len(rows))])

    def _row(self, payload: bytes) -> dict[str, Value] | Rejected:
        if len(payload) > self._longest:
            head = shown(payload[:1000])
            return Rejected(Reason.OVERSIZE, "", head, f"at most {self._longest} bytes")
        values = self.values(payload)
        if isinstance(values, Rejected):
            return values
        return read_row(self.schema, values, self._reading)

    @abstractmethod
    def take(self, rows: RowBytes) -> tuple[Mapping[str, RowColumn], Mask]:
        """Columns of all rows, and the rows that they are certain of."""

    @abstractmethod
    def values(self, payload: bytes) -> Mapping[str, object] | Rejected:
        """One payload as the library of the form decodes it, for `values.read_row`."""
