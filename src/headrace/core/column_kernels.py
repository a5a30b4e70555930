"""Kernels that move rows of text columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.compiled import kernel

if TYPE_CHECKING:
    from headrace.core.columns import Bytes, Int32s, Int64s


@kernel
def gathered_offsets(offsets: Int32s, rows: Int64s, out: Int32s) -> None:
    """Offsets of the text rows `rows` laid one after the other; `out` has one more entry."""
    position = 0
    out[0] = 0
    for i in range(len(rows)):
        position += offsets[rows[i] + 1] - offsets[rows[i]]
        out[i + 1] = position


@kernel
def gather_bytes(offsets: Int32s, data: Bytes, rows: Int64s, starts: Int32s, out: Bytes) -> None:
    """Copy the bytes of the text rows `rows` to `out`, row `i` at `starts[i]`."""
    for i in range(len(rows)):
        source = offsets[rows[i]]
        target = starts[i]
        for k in range(offsets[rows[i] + 1] - source):
            out[target + k] = data[source + k]
