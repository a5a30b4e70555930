"""Ctrl-C and SIGTERM are heard, whatever the main thread waits for."""

from __future__ import annotations

import signal
import threading

import pytest

from headrace.runtime.stopping import stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_heard_while_the_main_thread_waits(number: signal.Signals) -> None:
    """Another thread gets it, so that it wakes nobody: as one does that comes too early to."""
    waiting, end = threading.Semaphore(0), threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    assert other.ident is not None
    before = signal.getsignal(number)
    try:
        with stopping(waiting.release):
            signal.pthread_kill(other.ident, number)
            assert waiting.acquire(timeout=60)
    finally:
        end.set()
        other.join()
    assert signal.getsignal(number) is before
