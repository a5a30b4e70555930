"""Ports of this machine that servers of tests and benchmarks listen at."""

from __future__ import annotations

import secrets
import socket


def free_port() -> int:
    """A port that is free, as is the one after it.

    It is none of those that the system gives to clients: one of theirs, or one that asks in vain
    whether a server is there, would have it before the server starts, or while it is down.
    """
    while True:
        port = secrets.choice(range(12_000, 30_000, 2))
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
