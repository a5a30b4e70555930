"""What a reader of a feed cannot accept: its place, the reason, and its bytes, for a file beside.

Reasons are those of Headrace's own quarantine where it has such. Market data are nobody's personal
data, so the bytes are kept as they came, to be corrected and read again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from pyarrow import parquet

if TYPE_CHECKING:
    from pathlib import Path

#: The most bytes that are kept of one line, and that are shown of it in a message.
LONGEST_KEPT, LONGEST_SHOWN = 1 << 16, 120
_COLUMNS = {
    "source": pa.string(),
    "line": pa.int64(),
    "reason": pa.string(),
    "detail": pa.string(),
    "length": pa.int64(),
    "content": pa.binary(),
}


class Reason(StrEnum):
    """Why a line was not accepted."""

    MALFORMED = "malformed"
    OVERSIZE = "oversize"
    TRUNCATED = "truncated"
    MISSING = "missing"
    WRONG_TYPE = "wrong type"
    OUT_OF_RANGE = "out of range"
    BAD_TIME = "bad time"
    UNKNOWN_MESSAGE = "unknown message"
    CANCELLED = "cancelled later"


class QuarantinedLine(NamedTuple):
    """A line, or a row of a table, that was not accepted.

    Attributes:
        source: The name of its file; "" of lines that came from none.
        line: Its number there, from 1. Of a table, that of the row.
        reason: A `Reason`.
        detail: What was found, and what was expected.
        length: Bytes that it has; of the rest of a file that cannot be read, 0.
        content: These bytes, as many as are kept.
    """

    source: str
    line: int
    reason: str
    detail: str
    length: int
    content: bytes


class BadLine(Exception):
    """One line cannot be accepted; the reader notes it and goes on.

    >>> str(BadLine(Reason.MISSING, "no price"))
    'missing: no price'
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass
class Quarantine:
    """Lines of a feed that were not accepted, in the order in which they were found.

    >>> quarantine = Quarantine("capture.gz")
    >>> quarantine.add(3, Reason.MALFORMED, "no JSON", b"{")
    >>> quarantine.table().to_pylist()[0]["detail"], quarantine.counts()
    ('no JSON', {'malformed': 1})
    """

    source: str = ""
    lines: list[QuarantinedLine] = field(default_factory=list)

    def add(
        self, line: int, reason: Reason, detail: str, content: bytes, *, length: int | None = None
    ) -> None:
        """Note a line.

        Args:
            line: Its number, from 1.
            reason: Why it was not accepted.
            detail: What was found, and what was expected.
            content: The line.
            length: How long it is, where not all of it was read.
        """
        told = len(content) if length is None else length
        kept = bytes(content[:LONGEST_KEPT])
        self.lines.append(
            QuarantinedLine(self.source, line, reason.value, printable(detail), told, kept)
        )

    def __len__(self) -> int:
        return len(self.lines)

    def table(self) -> pa.Table:
        """All of them, by source and line."""
        rows = sorted(self.lines, key=lambda each: (each.source, each.line))
        columns = zip(*rows, strict=True) if rows else [()] * len(_COLUMNS)
        return pa.table(
            {
                name: pa.array(column, kind)
                for (name, kind), column in zip(_COLUMNS.items(), columns, strict=True)
            }
        )

    def counts(self) -> dict[str, int]:
        """How many there are for each reason, the most frequent first."""
        return dict(Counter(each.reason for each in self.lines).most_common())


def write_quarantine(quarantined: pa.Table, path: Path) -> None:
    """Write what was not accepted as Parquet; of nothing no file, and none of before stays.

    Args:
        quarantined: As `Quarantine.table` gives it.
        path: Of the file.
    """
    if quarantined.num_rows == 0:
        path.unlink(missing_ok=True)
        return
    parquet.write_table(quarantined, path)


def printable(text: str) -> str:
    r"""A text that a terminal can show: no control characters, and not too long.

    >>> printable("a\x1b[2J")
    'a\\x1b[2J'
    """
    if not text.isprintable():
        text = "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode()
            for letter in text[: 4 * LONGEST_SHOWN]
        )
    return text if len(text) <= 4 * LONGEST_SHOWN else text[: 4 * LONGEST_SHOWN - 1] + "…"
