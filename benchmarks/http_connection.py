"""A connection that stays open, with one request under way: a cheap client of the service."""

from __future__ import annotations

import socket
import time

_READ = 1 << 20
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class HttpConnection:
    """Posts bodies to one path, and finds the ends of answers; it looks at nothing else of them.

    Args:
        port: Of a service on this machine.
        path: That is posted to.
        content_type: Of all bodies.

    Attributes:
        sent_ns: When the request under way was sent, by the steady clock.
        status: Of the last answer.
    """

    def __init__(self, port: int, path: str, content_type: str = "application/x-ndjson") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
            "Content-Length: "
        ).encode()
        self._held = bytearray()
        self._end = 0
        self.sent_ns = 0
        self.status = 0

    def fileno(self) -> int:
        """For selectors."""
        return self.socket.fileno()

    def send(self, body: bytes) -> None:
        """Begin a request."""
        self._held.clear()
        self._end = 0
        self.sent_ns = time.monotonic_ns()
        self.socket.sendall(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))

    def receive(self) -> bool:
        """Read what has arrived; whether the answer is whole.

        Raises:
            ConnectionError: The service has closed the connection.
        """
        piece = self.socket.recv(_READ)
        if not piece:
            raise ConnectionError("the service has closed a connection")
        self._held += piece
        if not self._end:
            self._end = self._end_of_answer()
        return bool(self._end) and len(self._held) >= self._end

    def _end_of_answer(self) -> int:
        """Where the answer ends, once its head is there; 0 before."""
        head = self._held.find(_HEAD_END)
        if head < 0:
            return 0
        self.status = int(self._held[9:12])
        at = self._held.lower().index(_LENGTH) + len(_LENGTH)
        return head + len(_HEAD_END) + int(self._held[at : self._held.index(b"\r", at)])

    def close(self) -> None:
        """Hang up."""
        self.socket.close()
