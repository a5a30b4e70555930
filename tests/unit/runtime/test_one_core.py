"""Threads of a server that are kept on one core."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.runtime.http import one_core

linux = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="a system that lets a process choose among cores",
)

#: Runs in a process of its own: what is changed is the process's.
_KEPT = """
import asyncio, os, subprocess, sys, threading
from headrace.runtime.http import one_core

async def looked():
    lane = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)
    other.start()
    cores = os.sched_getaffinity(0)
    one_core.patient()
    keeping = asyncio.ensure_future(one_core.keep_together(lane.pid))
    while len(os.sched_getaffinity(0)) > 1:
        await asyncio.sleep(0.01)
    mine = os.sched_getaffinity(0)
    assert mine < cores
    assert os.sched_getaffinity(lane.pid) == cores - mine
    assert os.sched_getaffinity(other.native_id) == cores
    assert os.sched_getscheduler(0) == os.SCHED_BATCH
    keeping.cancel()
    ended.set()
    lane.communicate(b"")
    print("kept")

asyncio.run(looked())
"""


@linux
def test_the_servers_threads_have_a_core_and_the_lane_the_others() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _KEPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "kept\n", done.stderr


@linux
def test_a_lane_that_has_ended_is_no_error() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    before = os.sched_getaffinity(0)

    async def briefly() -> None:
        keeping = asyncio.ensure_future(one_core.keep_together(ended.pid))
        await asyncio.sleep(0.2)
        assert not keeping.done()
        keeping.cancel()

    try:
        asyncio.run(briefly())
    finally:
        for task in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(task.name), before)


def test_without_a_choice_nothing_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_core, "_MAY_CHOOSE", False)
    monkeypatch.setattr(one_core, "_place", lambda *_: pytest.fail("a thread was held"))
    assert asyncio.run(asyncio.wait_for(one_core.keep_together(), 30)) is None
