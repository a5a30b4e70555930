"""A load that keeps a number of events in flight: what is answered is followed by as much again.

It is a client in the process that calls it, over a pipe (JSON lines in, a line of JSON back for
each) or over HTTP (lines of events over connections that stay open, a request at a time on each).
It looks for the ends of answers alone, so that it takes little of the processor that it shares.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from benchmarks.http_connection import HttpConnection

if TYPE_CHECKING:
    from benchmarks.endless import EndlessPayments
    from numpy.typing import NDArray

_READ = 1 << 20


@dataclass(slots=True)
class Answers:
    """What was answered, in the order of the answers.

    Attributes:
        rows: For each bunch of events: when it was answered, when it was sent (nanoseconds), how
            many they are.
        refused: Requests that got another status than 200.
    """

    rows: list[tuple[int, int, int]] = field(default_factory=list)
    refused: int = 0

    def columns(self) -> NDArray[np.int64]:
        """The rows as an array [3, bunches]."""
        return np.array(self.rows, dtype=np.int64).reshape(-1, 3).T

    def between(self, begin_ns: int, end_ns: int) -> Taken:
        """What was answered in a stretch of time."""
        return Taken.of(self.columns(), begin_ns, end_ns)


@dataclass(frozen=True, slots=True)
class Taken:
    """A stretch of a load: decisions a second, and the milliseconds from sent to answered."""

    rate: float
    p50_ms: float
    p99_ms: float

    @staticmethod
    def of(rows: NDArray[np.int64], begin_ns: int, end_ns: int) -> Taken:
        """Of bunches [3, n], as `Answers` has them."""
        answered, sent, count = rows[:, (rows[0] >= begin_ns) & (rows[0] < end_ns)]
        rate = float(count.sum()) / (end_ns - begin_ns) * 1e9
        if not len(count):
            return Taken(rate, float("nan"), float("nan"))
        waited = (answered - sent) / 1e6
        order = np.argsort(waited)
        reached = np.cumsum(count[order]) / count.sum()
        p50, p99 = waited[order][np.searchsorted(reached, [0.5, 0.99])].tolist()
        return Taken(rate, p50, p99)


class Transport(Protocol):
    """How events go out and answers come back."""

    def begin(self) -> None:
        """Send until as many are in flight as should be."""

    def turn(self) -> None:
        """Wait for some answers, and send as many events."""


class Pipe:
    """JSON lines into a pipe, and a line back for each from another.

    Args:
        lines: To send.
        write: The descriptor to write to.
        read: The descriptor to read from.
        in_flight: Events that are sent and have no answer yet.
        answers: Where answers are noted.
    """

    def __init__(
        self, lines: EndlessPayments, write: int, read: int, in_flight: int, answers: Answers
    ) -> None:
        self._lines = lines
        self._write, self._read = write, read
        self._in_flight = in_flight
        self._answers = answers
        self._unsent = memoryview(b"")
        self._sent: deque[tuple[int, int]] = deque()
        self._waiting = selectors.DefaultSelector()
        os.set_blocking(write, False)
        os.set_blocking(read, False)
        self._waiting.register(read, selectors.EVENT_READ)

    def begin(self) -> None:
        """See `Transport`."""
        self._send(self._in_flight)

    def turn(self) -> None:
        """See `Transport`."""
        for key, _ in self._waiting.select():
            if key.fd == self._write:
                self._flush()
                continue
            piece = os.read(self._read, _READ)
            if not piece:
                raise RuntimeError("the service has ended")
            self._send(self._noted(piece.count(b"\n")))

    def _noted(self, count: int) -> int:
        now, left = time.monotonic_ns(), count
        while left:
            sent_ns, bunch = self._sent.popleft()
            mine = min(left, bunch)
            self._answers.rows.append((now, sent_ns, mine))
            left -= mine
            if mine < bunch:
                self._sent.appendleft((sent_ns, bunch - mine))
        return count

    def _send(self, count: int) -> None:
        if count:
            self._unsent = memoryview(bytes(self._unsent) + self._lines.take(count))
            self._sent.append((time.monotonic_ns(), count))
            self._flush()

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._unsent = self._unsent[os.write(self._write, self._unsent) :]
        watched = self._write in self._waiting.get_map()
        if self._unsent and not watched:
            self._waiting.register(self._write, selectors.EVENT_WRITE)
        elif watched and not self._unsent:
            self._waiting.unregister(self._write)


class Http:
    """Requests of so many events each, over as many connections as that takes.

    Args:
        lines: To send.
        port: Of the service on this machine.
        path: Of its decisions.
        in_flight: Events that are sent and have no answer yet.
        answers: Where answers are noted.
        batch: Events of a request; `in_flight` is a multiple of it.
    """

    def __init__(
        self,
        lines: EndlessPayments,
        port: int,
        path: str,
        in_flight: int,
        answers: Answers,
        batch: int = 100,
    ) -> None:
        self._lines = lines
        self._answers = answers
        self._batch = batch
        self._waiting = selectors.DefaultSelector()
        self._connections = [HttpConnection(port, path) for _ in range(in_flight // batch)]

    def begin(self) -> None:
        """See `Transport`."""
        for one in self._connections:
            self._waiting.register(one, selectors.EVENT_READ, one)
            one.send(self._lines.take(self._batch))

    def turn(self) -> None:
        """See `Transport`."""
        for key, _ in self._waiting.select():
            one: HttpConnection = key.data
            if one.receive():
                self._answers.rows.append((time.monotonic_ns(), one.sent_ns, self._batch))
                self._answers.refused += one.status != 200
                one.send(self._lines.take(self._batch))


def load(transport: Transport, seconds: float) -> tuple[int, int]:
    """Keep events that are in flight so for a time; when that began and ended, nanoseconds."""
    begun = time.monotonic_ns()
    end = begun + int(seconds * 1e9)
    while time.monotonic_ns() < end:
        transport.turn()
    return begun, time.monotonic_ns()
