"""Clients that mean harm, each in a process of its own.

    python -m benchmarks.attackers KIND PORT PATH

It says `attacking` on stdout once it is under way, and goes on until it is ended.
"""

from __future__ import annotations

import contextlib
import itertools
import resource
import selectors
import socket
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

GIGABYTE = 1 << 30
IDLE_CONNECTIONS = 10_000
SLOW_CONNECTIONS = 500
#: Descriptors that a process needs beside its connections.
_OTHER_FILES = 100
_DRIP_SECONDS = 0.1
_NESTED_A_SECOND = 20
_GARBLED_A_SECOND = 200
_UPLOADS_A_SECOND = 10
_PIECE = b" " * 65_536


@dataclass(frozen=True, slots=True)
class Target:
    """What is attacked.

    Attributes:
        port: Of this machine.
        path: Of decisions.
    """

    port: int
    path: str

    def connected(self) -> socket.socket:
        """A new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def head(self, rest: str) -> bytes:
        """The head of a request, with further lines of it."""
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\n{rest}\r\n\r\n"
        ).encode()

    def post(self, connection: socket.socket, body: bytes) -> None:
        """Send a whole request, and read what comes back."""
        connection.sendall(self.head(f"Content-Length: {len(body)}") + body)
        connection.recv(1 << 20)


def _began() -> None:
    sys.stdout.write("attacking\n")
    sys.stdout.flush()


def slow_loris(target: Target) -> None:
    """Many connections whose requests come a byte at a time; one that is closed is opened again."""
    head = target.head("Content-Length: 1000")
    open_: dict[socket.socket, int] = {}
    selector = selectors.DefaultSelector()

    def begin() -> None:
        one = target.connected()
        one.setblocking(False)
        selector.register(one, selectors.EVENT_READ)
        open_[one] = 0

    def end(one: socket.socket) -> None:
        selector.unregister(one)
        one.close()
        del open_[one]

    for _ in range(SLOW_CONNECTIONS):
        begin()
    _began()
    while True:
        for one, sent in list(open_.items()):
            try:
                one.send(head[sent : sent + 1] or b" ")
                open_[one] = sent + 1
            except OSError:
                end(one)
        for key, _ in selector.select(timeout=_DRIP_SECONDS):
            one = key.fileobj  # type: ignore[assignment]  # what was registered
            with contextlib.suppress(OSError):
                if not one.recv(1 << 16):
                    end(one)
        while len(open_) < SLOW_CONNECTIONS:
            begin()
        time.sleep(_DRIP_SECONDS)


def idle(target: Target) -> None:
    """Ten thousand connections that say nothing; one that is closed is opened again."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count = min(IDLE_CONNECTIONS, most - _OTHER_FILES)
    selector = selectors.DefaultSelector()
    for _ in range(count):
        selector.register(target.connected(), selectors.EVENT_READ)
    if count < IDLE_CONNECTIONS:
        sys.stderr.write(
            f"{count:,} connections alone: raise the limit of open files (ulimit -n)\n"
        )
    _began()
    while True:
        for key, _ in selector.select(timeout=1):
            one = key.fileobj
            assert isinstance(one, socket.socket)
            selector.unregister(one)
            one.close()
            selector.register(target.connected(), selectors.EVENT_READ)


def gigabyte(target: Target) -> None:
    """Bodies of a gigabyte, with their length told and without, sent until they are refused."""
    _began()
    for number in itertools.count():
        chunked = number % 2 == 1
        rest = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {GIGABYTE}"
        piece = b"%x\r\n%b\r\n" % (len(_PIECE), _PIECE) if chunked else _PIECE
        with target.connected() as one, contextlib.suppress(OSError):
            one.sendall(target.head(rest))
            for _ in range(GIGABYTE // len(_PIECE)):
                one.sendall(piece)
        time.sleep(1 / _UPLOADS_A_SECOND)


def nested(target: Target) -> None:
    """JSON of a megabyte that is all nesting: arrays, objects, and an event with it in a field."""
    deep = 1 << 20
    bodies = (
        b"[" * deep,
        b'{"a":' * (deep // 5),
        b"[" * deep + b"]" * deep,
        b'{"payment_id":' + b"[" * deep + b"]" * deep + b"}",
    )
    _posted(target, lambda number: bodies[number % len(bodies)], _NESTED_A_SECOND)


def invalid_utf8(target: Target) -> None:
    """Events with bytes in them that are no UTF-8, alone and by the hundred."""
    event = b'{"payment_id":"\xff\xfe%d","at":"2026-01-05T00:00:00Z","card":"\xc0\x80","amount":1}'

    def body(number: int) -> bytes:
        if number % 10:
            return event % number
        return b"[" + b",".join(event % (number * 1_000 + item) for item in range(100)) + b"]"

    _posted(target, body, _GARBLED_A_SECOND)


def _posted(target: Target, body: Callable[[int], bytes], rate: float) -> None:
    """Post bodies at a rate, over a connection that is opened again when it is closed."""
    _began()
    connection = target.connected()
    begun = time.monotonic()
    for number in itertools.count():
        time.sleep(max(begun + number / rate - time.monotonic(), 0.0))
        try:
            target.post(connection, body(number))
        except OSError:
            connection.close()
            connection = target.connected()


ATTACKS = {
    "a slow loris": slow_loris,
    "idle connections": idle,
    "a body of 1 GB": gigabyte,
    "nested JSON": nested,
    "invalid UTF-8": invalid_utf8,
}

if __name__ == "__main__":
    ATTACKS[sys.argv[1]](Target(int(sys.argv[2]), sys.argv[3]))
