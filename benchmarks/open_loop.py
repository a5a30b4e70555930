"""Requests at a fixed rate, as many clients together make them: they do not wait for each other."""

from __future__ import annotations

import selectors
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from benchmarks.http_connection import HttpConnection

if TYPE_CHECKING:
    from benchmarks.endless import EndlessPayments


@dataclass(slots=True)
class Waited:
    """How long requests took.

    Attributes:
        ms: Of each, in milliseconds since it was due; what it waited for a connection counts.
        refused: Requests that got no answer, or one of a service that cannot take it.
    """

    ms: list[float] = field(default_factory=list)
    refused: int = 0

    def percentile(self, which: float) -> float:
        """Milliseconds that so many percent of the requests took at most."""
        return float(np.percentile(self.ms, which))


class OpenLoop:
    """Clients that send one event in each request.

    Args:
        lines: The events.
        port: Of a service on this machine.
        path: Of its decisions.
        connections: That stay open.
        rate: Requests a second, over all connections.
    """

    def __init__(
        self, lines: EndlessPayments, port: int, path: str, connections: int, rate: float
    ) -> None:
        self._lines = lines
        self._to = (port, path, "application/json")
        self._interval_ns = 1e9 / rate
        self._selector = selectors.DefaultSelector()
        self._idle: deque[HttpConnection] = deque()
        self._due_of: dict[HttpConnection, int] = {}
        for _ in range(connections):
            self._connect()

    def run(self, seconds: float) -> Waited:
        """Send for so long, and wait for all answers."""
        waited = Waited()
        begun = time.monotonic_ns()
        requests, sent = int(seconds * 1e9 / self._interval_ns), 0
        while sent < requests or self._due_of:
            now = time.monotonic_ns()
            while sent < requests and self._idle:
                due = begun + int(sent * self._interval_ns)
                if due > now:
                    break
                one = self._idle.popleft()
                self._due_of[one] = due
                one.send(self._lines.take(1))
                sent += 1
            for key, _ in self._selector.select(timeout=0.0005):
                self._receive(key.fileobj, waited)  # type: ignore[arg-type]  # what was registered
        return waited

    def _connect(self) -> None:
        one = HttpConnection(*self._to)
        self._selector.register(one, selectors.EVENT_READ)
        self._idle.append(one)

    def _receive(self, one: HttpConnection, waited: Waited) -> None:
        """Take what has arrived; a connection that was closed is opened again."""
        try:
            whole = one.receive()
        except OSError:
            self._selector.unregister(one)
            one.close()
            if self._due_of.pop(one, None) is None:
                self._idle.remove(one)
            else:
                waited.refused += 1
            self._connect()
            return
        if whole:
            waited.ms.append((time.monotonic_ns() - self._due_of.pop(one)) / 1e6)
            waited.refused += one.status >= 500 or one.status == 429
            self._idle.append(one)

    def close(self) -> None:
        """Hang up."""
        for one in self._idle:
            one.close()
        self._selector.close()
