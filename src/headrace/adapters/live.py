"""Lines as they arrive: a pipe, a terminal, or any file that another process is still writing.

A reader hands over what has arrived as soon as it is wanted downstream, and gathers while it is
not: batches are small when events are few, large when they are many.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.events.json_lines import WholeLines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_READ = 1024 * 1024
_PIPE = 1024 * 1024
_POLL_SECONDS = 0.05
_GATHER_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class ArrivedLines:
    """Whole lines, each with its newline, and when the first of them was read."""

    data: bytes
    read_ns: int


class LiveLines:
    r"""The lines of a file descriptor, in batches.

    Args:
        descriptor: To read from; it stays open.
        clock: Nanoseconds since 1970, read when bytes have arrived.
        most_bytes: Of one batch.

    >>> inside, outside = os.pipe()
    >>> _ = os.write(outside, b"one\ntwo")
    >>> os.close(outside)
    >>> [batch.data for batch in LiveLines(inside, clock=lambda: 7).batches(lambda _: True)]
    [b'one\n', b'two\n']
    >>> os.close(inside)
    """

    def __init__(
        self, descriptor: int, clock: Callable[[], int], most_bytes: int = 4 * 1024 * 1024
    ) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._most = most_bytes
        # Linux alone has larger pipes; a small one works too, only with more calls
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE)

    def batches(
        self, takes: Callable[[int], bool], stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[ArrivedLines]:
        """Batches of lines until the end of the file, or until `stopped` says so.

        Args:
            takes: Whether what is downstream wants a batch of so many bytes now.
            stopped: Whether to end early; what was read by then is handed over.
        """
        held: list[bytes] = []
        size = 0
        read_ns = 0
        lines = WholeLines()
        # made once: memory for the largest read costs more than a small read itself
        buffer = memoryview(bytearray(_READ))
        open_ = True
        while open_ and not stopped():
            ready, _, _ = select.select(
                [self._descriptor], [], [], _GATHER_SECONDS if held else _POLL_SECONDS
            )
            if ready:
                count = os.readv(self._descriptor, [buffer])
                open_ = count > 0
                whole = lines.take(buffer[:count].tobytes())
                if whole:
                    read_ns = read_ns if held else self._clock()
                    held.append(whole)
                    size += len(whole)
            if held and (size >= self._most or not open_ or takes(size)):
                yield ArrivedLines(b"".join(held), read_ns)
                held, size = [], 0
        if held:
            yield ArrivedLines(b"".join(held), read_ns)
        rest = lines.rest()
        if rest and not stopped():
            yield ArrivedLines(rest + b"\n", self._clock())
