"""Memory that is reserved at once and taken page by page, as it is first written.

A table that grows by copying stalls whoever waits for it. Reserved memory need not be copied: its
addresses are all there from the start, and the operating system gives real pages only where
something is written. So a reservation may be far larger than the machine's memory; what bounds a
state is its own count of bytes, never the size of its reservation.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from headrace.core.errors import LimitReached

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

#: `MAP_NORESERVE`: Python names it from 3.13 on.
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x40 if sys.platform == "darwin" else 0x4000)

#: `MADV_POPULATE_WRITE` of Linux 5.14 and later: pages are made ready in one call.
_POPULATE_WRITE = 23
#: Bytes of a large page.
_LARGE = 2 << 20
#: `MADV_COLLAPSE` of Linux 6.1 and later: what lies in small pages moves into a large one.
_COLLAPSE = 25
#: What is so large was reserved, and is written here and there.
_RESERVED = 1 << 30
_MAPS = Path("/proc/self/maps")


def reserve(count: int, kind: type[Scalar]) -> NDArray[Scalar]:
    """An array of `count` zeros whose memory is taken as it is first written.

    The memory goes back when the array (and every view of it) is gone.

    Raises:
        LimitReached: If the system refuses so many addresses (a limit on address space).

    >>> words = reserve(2**30, np.int64)
    >>> words[123_456_789] = 7
    >>> int(words[123_456_789]), int(words[0])
    (7, 0)
    """
    size = max(count * np.dtype(kind).itemsize, mmap.PAGESIZE)
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE)
    except (OSError, OverflowError) as error:
        raise LimitReached(
            f"the system refused to reserve {size:,} bytes of addresses ({error}); "
            "raise the limit on address space (ulimit -v) or lower the state's byte budget"
        ) from error
    return np.frombuffer(memory, dtype=kind, count=count)


def touch(array: NDArray[Scalar], start: int, stop: int) -> None:
    """Take the memory of `array[start:stop]` now, so that no writer waits for it later.

    What is already written stays as it is. `array` is one that `reserve` gave.
    """
    size = array.itemsize
    low = start * size // mmap.PAGESIZE * mmap.PAGESIZE
    high = min(-(-stop * size // mmap.PAGESIZE) * mmap.PAGESIZE, array.nbytes)
    memory = array.base
    if isinstance(memory, memoryview):
        memory = memory.obj
    if sys.platform == "linux" and isinstance(memory, mmap.mmap) and high > low:
        try:
            memory.madvise(_POPULATE_WRITE, low, high - low)
        except OSError:  # a kernel older than 5.14
            pass
        else:
            return
    pages = array.view(np.uint8)[low : high : mmap.PAGESIZE]
    pages |= np.uint8(0)


def take_large_pages() -> int:
    """Move what the process has written by now into large pages, where the system has them.

    What is read over and over (objects of the interpreter, definitions, models) then needs far
    fewer entries of the processor's table of pages, which is small, and dear to miss on a virtual
    machine. It takes some milliseconds, and memory for what lies between the objects.

    Returns:
        How many pages.
    """
    if not _MAPS.exists():  # elsewhere than on Linux
        return 0
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    taken = 0
    for low, high in _own_memory():
        for start in range(-(-low // _LARGE) * _LARGE, high - _LARGE + 1, _LARGE):
            taken += advise(start, _LARGE, _COLLAPSE) == 0
    return taken


def _own_memory() -> Iterator[tuple[int, int]]:
    """Where memory begins and ends that is of no file, but for what `reserve` gave."""
    for line in _MAPS.read_text().splitlines():
        edges, rights, *_, name = [*line.split(maxsplit=5), ""][:6]
        low, high = (int(edge, 16) for edge in edges.split("-"))
        if rights == "rw-p" and name in ("", "[heap]") and high - low < _RESERVED:
            yield low, high


class Room:
    """Memory that one thread makes ready, so that another copies into it without waiting.

    What is written first in fresh memory costs many times what copying costs.

    >>> room = Room(1_000_000)
    >>> room.make_ready(1_000)
    >>> room.words[:1_000] = 7
    """

    _STEP = 1 << 18  # words; whoever makes room holds the interpreter for so many

    def __init__(self, most: int) -> None:
        self.words: NDArray[np.int64] = reserve(most, np.int64)
        self._ready = 0

    def make_ready(self, words: int) -> None:
        """Take the memory of so many words now."""
        words = min(words, len(self.words))
        while self._ready < words:
            after = min(self._ready + self._STEP, words)
            touch(self.words, self._ready, after)
            self._ready = after
