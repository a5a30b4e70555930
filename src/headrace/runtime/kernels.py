"""Compiling all kernels at once, before the first event waits for one.

The compiler uses one core. So the parts of the product (`kernel_parts`) are dealt out to as many
processes as there are cores, which share the cache on disk. It is done once for each version of the
kernels; a mark in the cache says so.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.compiled import cache_folder
from headrace.core.kernel_cache import COMPLETE
from headrace.runtime.kernel_parts import PARTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Parts whose kernels are called when a lane is opened.
_LOADED_BY_OPENING = ("vault", "state", "operations", "readers")


@dataclass(frozen=True, slots=True)
class Compilation:
    """What compiling came to.

    Attributes:
        seconds: How long it took; 0 where all was there already.
        folder: Where machine code is kept; None where it lives in this process alone.
        parts: Seconds by part.
    """

    seconds: float
    folder: Path | None
    parts: dict[str, float]


def load_all() -> None:
    """Bring the kernels of a run into this process, so that the first event does not wait for it.

    They are loaded from the cache, or compiled where there is none.
    """
    for name, part in PARTS.items():
        if name not in _LOADED_BY_OPENING:
            part()


def is_compiled() -> bool:
    """Whether all kernels of this version are in the cache."""
    folder = cache_folder()
    return folder is not None and (folder / COMPLETE).exists()


def compile_all(
    progress: Callable[[int], None] = lambda _parts: None, processes: int | None = None
) -> Compilation:
    """Compile every kernel of the product that is not in the cache yet.

    Without a cache that can be written they are compiled in this process, which then has them.

    Args:
        progress: Called with the number of parts that are ready, of `len(PARTS)`.
        processes: How many compile at once; as many as there are cores if not given.
    """
    begun = time.perf_counter()
    folder = cache_folder()
    parts: dict[str, float] = {}
    wanted = min(processes or cores(), len(PARTS))
    if folder is not None and wanted > 1:
        _in_processes(wanted, parts, progress)
    for name in [name for name in PARTS if name not in parts]:
        start = time.perf_counter()
        PARTS[name]()
        parts[name] = time.perf_counter() - start
        progress(len(parts))
    if folder is not None and not is_compiled():
        (folder / COMPLETE).touch()
    return Compilation(time.perf_counter() - begun, folder, parts)


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _in_processes(count: int, parts: dict[str, float], progress: Callable[[int], None]) -> None:
    """Deal the parts out to processes. What one of them leaves undone is left for the caller."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in PARTS:
        waiting.put(name)
    lock = threading.Lock()

    def tend() -> None:
        """Give one process part after part, until none waits or it fails."""
        with subprocess.Popen(
            [sys.executable, "-m", "headrace.runtime.kernel_parts"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as worker:
            if worker.stdin is None or worker.stdout is None:
                return
            while not waiting.empty():
                try:
                    name = waiting.get_nowait()
                except queue.Empty:
                    break
                start = time.perf_counter()
                try:
                    worker.stdin.write(f"{name}\n")
                    worker.stdin.flush()
                except BrokenPipeError:
                    return
                if worker.stdout.readline().strip() != name:
                    return
                with lock:
                    parts[name] = time.perf_counter() - start
                    progress(len(parts))

    threads = [threading.Thread(target=tend, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
