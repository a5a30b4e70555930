"""Ctrl-C and SIGTERM, heard whatever the main thread does."""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ENDS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into calls of `stop`, in a thread of its own.

    Python's own handlers run in the main thread, when it comes back from the system. A signal just
    before it begins to wait there goes unheard until something else wakes it, perhaps for ever. So
    this listens to what the part of Python's handler writes that runs at once.

    Outside the main thread, which alone may say what signals do, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard, told = socket.socketpair()
    told.setblocking(False)
    thread = threading.Thread(target=_react, args=(heard, stop), name="signals")
    thread.start()
    before = {number: signal.signal(number, lambda *_: None) for number in _ENDS}
    woken = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        told.close()
        thread.join()
        heard.close()


def _react(heard: socket.socket, stop: Callable[[], None]) -> None:
    while number := heard.recv(1):
        if number[0] in _ENDS:
            stop()
