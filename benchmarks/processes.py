"""What processes take, as Linux tells it: processor seconds and memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Processes:
    """A process and all that it started.

    Attributes:
        root: Its id.
    """

    root: int

    def ids(self) -> list[int]:
        """The ids of all that live."""
        found, unseen = [], [self.root]
        while unseen:
            one = unseen.pop()
            found.append(one)
            for task in Path(f"/proc/{one}/task").glob("*/children"):
                unseen += map(int, task.read_text().split())
        return found

    def processor_seconds(self) -> float:
        """What they have taken so far."""
        return sum(_seconds(one) for one in self.ids())

    def peak_mb(self) -> float:
        """The most memory that each of them had at any time, added up, in MB."""
        return sum(_peak_kb(one) for one in self.ids()) / 1024


def _seconds(process: int) -> float:
    stat = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(stat[11]) + int(stat[12])) / _TICKS


def _peak_kb(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0
