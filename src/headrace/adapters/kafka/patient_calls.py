"""Calls that may never return, made beside the thread that waits for them.

librdkafka can wait for good for the group's coordinator, whatever time it was given
(confluentinc/librdkafka issue 5456); seen after a broker was killed and had long been back. Whoever
waits must be able to go on without it: the client is then left alone, and another takes its place.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class NoAnswer(Exception):
    """A call has not returned in time, and may never do."""


class PatientCalls:
    """Makes calls one after the other, in a thread of its own that may be left behind.

    >>> calls = PatientCalls("doubling")
    >>> calls.made(lambda: None, within_s=10.0)
    >>> calls.end()

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._asked: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._stuck = False
        # one that is left behind must not keep the process
        threading.Thread(target=self._work, name=name, daemon=True).start()

    @property
    def stuck(self) -> bool:
        """Whether a call has not returned: neither this nor what was called is to be used."""
        return self._stuck

    def made(self, call: Callable[[], None], within_s: float) -> None:
        """Make a call, and raise what it raises.

        Raises:
            NoAnswer: It has not returned in time.
        """
        self._asked.put(call)
        try:
            error = self._done.get(timeout=within_s)
        except queue.Empty:
            self._stuck = True
            raise NoAnswer from None
        if error is not None:
            raise error

    def end(self) -> None:
        """Make no more calls."""
        self._asked.put(None)

    def _work(self) -> None:
        while (call := self._asked.get()) is not None:
            try:
                call()
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                self._done.put(error)
            else:
                self._done.put(None)
