"""The lane hears that it is to end, whatever it waits for."""

from __future__ import annotations

import signal
import threading

from headrace.runtime.http.front_process import signals_heard


def test_a_signal_is_heard_while_the_main_thread_waits() -> None:
    """Another thread gets it, so that it wakes nobody: as one does that comes too early to."""
    waiting, end = threading.Semaphore(0), threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    assert other.ident is not None
    before = signal.getsignal(signal.SIGTERM)
    try:
        with signals_heard((signal.SIGTERM,), waiting.release):
            signal.pthread_kill(other.ident, signal.SIGTERM)
            assert waiting.acquire(timeout=60)
    finally:
        end.set()
        other.join()
    assert signal.getsignal(signal.SIGTERM) is before
