"""Kernels over the lines of a file that is mapped into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.compiled import kernel

if TYPE_CHECKING:
    from headrace.core.columns import Bytes, Int64s

_NEWLINE = 10
_RETURN = 13


@kernel
def line_starts(data: Bytes, begin: int, end: int, starts: Int64s, ends: Int64s) -> int:
    """Where the lines of `data[begin:end]` start and end, newlines left out; returns how many.

    Blank lines are left out, as is the carriage return before a newline or the end; a last line
    without newline counts.
    """
    count = 0
    start = begin
    for i in range(begin, end + 1):
        if i == end or data[i] == _NEWLINE:
            stop = i - 1 if i > start and data[i - 1] == _RETURN else i
            if stop > start:
                starts[count] = start
                ends[count] = stop
                count += 1
            start = i + 1
    return count


@kernel
def gather_lines(data: Bytes, starts: Int64s, ends: Int64s, rows: Int64s, out: Bytes) -> int:
    """Copy the lines `rows` to `out`, a newline behind each; returns the bytes written."""
    position = 0
    for i in range(len(rows)):
        row = rows[i]
        for k in range(starts[row], ends[row]):
            out[position] = data[k]
            position += 1
        out[position] = _NEWLINE
        position += 1
    return position
