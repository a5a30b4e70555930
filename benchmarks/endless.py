"""The payments of the workload, over and over: each round 31 days later and under other ids.

A load that goes round in a file would send duplicates. Here no round repeats another: the date of
every line and two letters of its id are written anew, so windows go on as they would in life.
"""

from __future__ import annotations

import datetime as dt
import mmap
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Days from one round to the next: more than the workload spans.
ROUND_DAYS = 31
#: Where a line has the two letters of its id that change, and its dates (`at`, `received`).
_LETTERS, _DATES, _DATE = (16, 17), (39, 77), 10
_MOST_ROUNDS = 26 * 26
_BLOCK = 4_096


class EndlessPayments:
    """Lines of a workload's file, one after the other, without an end.

    Args:
        path: JSON lines as `benchmarks.workload` writes them.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        held = np.frombuffer(self._data, dtype=np.uint8)
        ends = np.flatnonzero(held == ord("\n")) + 1
        self._starts = np.concatenate([np.zeros(1, np.int64), ends])
        self._line = 0
        self._round = 0
        self._block = b""
        self._ends: list[int] = []
        self._used = 0

    def take(self, count: int) -> bytes:
        """The next lines, each with its line feed."""
        parts = []
        while count:
            if self._used == len(self._ends):
                self._next_block()
            last = min(self._used + count, len(self._ends))
            begin = self._ends[self._used - 1] if self._used else 0
            parts.append(self._block[begin : self._ends[last - 1]])
            count -= last - self._used
            self._used = last
        return b"".join(parts)

    def _next_block(self) -> None:
        lines = len(self._starts) - 1
        if self._line == lines:
            self._line, self._round = 0, self._round + 1
        last = min(self._line + _BLOCK, lines)
        begin = int(self._starts[self._line])
        starts = self._starts[self._line : last] - begin
        self._ends = (self._starts[self._line + 1 : last + 1] - begin).tolist()
        self._block = self._data[begin : int(self._starts[last])]
        if self._round:
            self._block = moved(self._block, starts, self._round)
        self._line, self._used = last, 0


def moved(block: bytes, starts: NDArray[np.int64], round_: int) -> bytes:
    """Lines with the dates and ids of a later round.

    Args:
        block: Whole lines.
        starts: Where each begins.
        round_: Which one it is; 0 leaves them as they are.

    >>> line = b'{"payment_id":"pay_000000000000","at":"2026-01-05T00:00:05.424Z",'
    >>> line += b'"received":"2026-01-05T00:00:05.546Z","card":"9"}'
    >>> moved(line, np.array([0]), 1)[:49]
    b'{"payment_id":"pAB_000000000000","at":"2026-02-05'
    """
    if round_ >= _MOST_ROUNDS:
        raise ValueError(f"round {round_}: there are ids for {_MOST_ROUNDS} rounds")
    out = np.frombuffer(block, dtype=np.uint8).copy()
    for place, letter in zip(_LETTERS, divmod(round_, 26), strict=True):
        out[starts + place] = ord("A") + letter
    for place in _DATES:
        index = starts[:, None] + np.arange(place, place + _DATE)
        dates, which = np.unique(out[index].view(f"S{_DATE}").ravel(), return_inverse=True)
        later = [
            str(dt.date.fromisoformat(date.decode()) + dt.timedelta(ROUND_DAYS * round_)).encode()
            for date in dates.tolist()
        ]
        out[index] = np.array(later).view(np.uint8).reshape(-1, _DATE)[which]
    return out.tobytes()
