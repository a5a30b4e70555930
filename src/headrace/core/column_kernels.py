"""Kernels that move rows of text columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.compiled import kernel
from headrace.core.memory import copy_bytes

if TYPE_CHECKING:
    from headrace.core.columns import Int32s, Int64s


@kernel
def gathered_offsets(offsets: Int32s, rows: Int64s, out: Int32s) -> None:
    """Offsets of the text rows `rows` laid one after the other; `out` has one more entry."""
    position = 0
    out[0] = 0
    for i in range(len(rows)):
        position += offsets[rows[i] + 1] - offsets[rows[i]]
        out[i + 1] = position


@kernel
def gather_bytes(offsets: Int32s, data: int, rows: Int64s, starts: Int32s, out: int) -> None:
    """Copy the bytes of the text rows `rows` to the address `out`, row `i` at `starts[i]`.

    Bytes are given by their address: as arrays, those that are read-only would be a second type.
    """
    for i in range(len(rows)):
        source = offsets[rows[i]]
        copy_bytes(out + starts[i], data + source, offsets[rows[i] + 1] - source)
