"""Kernels of stages: which partition of a side stage an event belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.compiled import kernel, load_i32, load_u8
from headrace.core.siphash import sip64_at
from headrace.pipeline.acceptance_kernels import DATA, IS_TEXT, VALID, VALUES

if TYPE_CHECKING:
    from headrace.core.columns import Int64s

#: What a missing key counts as.
_NOWHERE = np.uint64(0)
_NO_SECRET = np.uint64(0)


@kernel
def route(column: Int64s, partitions: int, out: Int64s) -> None:
    """The partition of each row, by the hash of its key.

    The hash has no secret: every lane, on every machine, sends a key to the same place.

    Args:
        column: A row of `Batch.addresses`: whether it is text, values or offsets, data, validity.
        partitions: How many there are.
        out: One for each row.
    """
    for row in range(len(out)):
        low = _NOWHERE
        if load_u8(column[VALID] + row) != 0:
            if column[IS_TEXT] == 0:
                low = sip64_at(column[VALUES] + 8 * row, 8, _NO_SECRET, _NO_SECRET)
            else:
                begin = np.int64(load_i32(column[VALUES] + 4 * row))
                end = np.int64(load_i32(column[VALUES] + 4 * (row + 1)))
                low = sip64_at(column[DATA] + begin, end - begin, _NO_SECRET, _NO_SECRET)
        out[row] = np.int64(low % np.uint64(partitions))
