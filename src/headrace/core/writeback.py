"""What is written to a file goes to its disk when it is synced, or when the system likes to."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from typing import Any

#: `SYNC_FILE_RANGE_WRITE`: begin, and wait for nothing.
_WRITE = 2


def _system_call() -> Any:
    """`sync_file_range(2)`, which Linux alone has; None elsewhere."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # a C library without it
            found = ctypes.CDLL(None).sync_file_range
            found.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
            return found
    return None


_SYNC_FILE_RANGE = _system_call()


def begin_writing(file: int, at: int, size: int) -> None:
    """Let the disk begin with bytes that were written, so that a sync soon after waits less.

    It promises nothing: what must be on the disk is to be synced. Where the system knows no such
    call, nothing happens.

    Args:
        file: A descriptor.
        at: The first byte.
        size: How many.
    """
    if _SYNC_FILE_RANGE is not None:
        _SYNC_FILE_RANGE(file, at, size, _WRITE)
