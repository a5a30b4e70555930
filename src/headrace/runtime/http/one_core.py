"""The front's threads on one core of the processor, whichever is free, and the lane on the others.

The server reads requests in a thread of its own and hands each to Python's, which hands back each
answer. Where the two run on two cores, every hand-over wakes a core and interrupts what it does; on
one core they take turns, and what has gathered meanwhile is taken at once. Python and the server
would rarely work at the same time anyway. The lane waits for the disk, whose interrupts may draw it
to the front's core: so it is kept off that one.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from pathlib import Path

#: How long the threads stay on a core before the system may choose another.
_HELD_SECONDS = 2.0
#: How long it may choose.
_FREE_SECONDS = 0.02
#: Where `/proc/PID/task/TID/stat` has the core, counted after the command's closing parenthesis.
_CORE_FIELD = 36
_TASKS = Path("/proc/self/task")
#: Whether a process may choose here where its threads run: on Linux.
_MAY_CHOOSE = hasattr(os, "sched_setaffinity") and _TASKS.is_dir()


def patient() -> None:
    """Let this thread, and those it starts, take up their work without interrupting another's.

    So the server answers all that Python has ready, and Python takes all that the server has read.
    Linux alone knows such a policy (`SCHED_BATCH`, see sched(7)); elsewhere nothing happens.
    """
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


async def keep_together(lane: int | None = None) -> None:
    """Hold the server's threads and this one on one core, and look for a freer one now and then.

    Other threads of Python here, which look up decisions, are free to run on any. Returns at once
    where there is but one core, or where the system does not let a process choose.

    Args:
        lane: A process whose first thread gets the other cores.
    """
    if not _MAY_CHOOSE:
        return
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        return
    here = threading.get_native_id()
    while True:
        _place(_threads(here), cores)
        await asyncio.sleep(_FREE_SECONDS)
        mine = _core_of(here)
        if lane is not None:
            _place([lane], cores - {mine})
        _place(_threads(here), {mine})
        await asyncio.sleep(_HELD_SECONDS)


def _threads(here: int) -> list[int]:
    """This thread and all that Python did not start: they are the server's."""
    free = {thread.native_id for thread in threading.enumerate()} - {here}
    return [number for task in _TASKS.iterdir() if (number := int(task.name)) not in free]


def _place(threads: list[int], cores: set[int]) -> None:
    for thread in threads:
        with suppress(OSError):  # it has ended meanwhile, or a sandbox forbids it
            os.sched_setaffinity(thread, cores)


def _core_of(thread: int) -> int:
    """The core that a thread ran on last."""
    fields = (_TASKS / str(thread) / "stat").read_text().rpartition(")")[2].split()
    return int(fields[_CORE_FIELD])
