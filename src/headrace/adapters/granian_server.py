"""Granian, an HTTP server in Rust, as the host of an application of RSGI in this process."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvloop
from granian.constants import HTTPModes
from granian.http import HTTP1Settings
from granian.server.embed import Server

from headrace.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

#: How long a client may take to send its headers.
_HEADER_MS = 10_000
#: Requests under way at once, all connections together.
_UNDER_WAY = 50_000


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service listens.

    Attributes:
        host: Name or number of an interface.
        port: Of it.
        certificate: A file of PEM: the chain of the service's certificate. None: no TLS.
        key: A file of PEM: its private key.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    certificate: Path | None = None
    key: Path | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}"

    def number(self) -> str:
        """The number of the interface; of several that a name stands for, the first of IPv4.

        Raises:
            DataError: The name stands for none.

        >>> Address("localhost").number()
        '127.0.0.1'
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise DataError(
                f"--host {self.host}: no interface has this name ({error}); give the number of one,"
                " such as 127.0.0.1, or 0.0.0.0 for all"
            ) from error
        by_preference = sorted(found, key=lambda item: item[0] != socket.AF_INET)
        return str(by_preference[0][4][0])


def serve(
    app: Any,
    address: Address,
    stopping: Callable[[], None],
    beside: Callable[[], Coroutine[Any, Any, None]],
    after: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Host an application until SIGTERM or Ctrl-C; requests under way are answered.

    Args:
        app: Of RSGI.
        address: Where.
        stopping: Called when it is asked to end, before it takes no more connections.
        beside: What runs in the same loop meanwhile; it is cancelled at the end.
        after: What runs in it when all requests are answered.

    Raises:
        DataError: The address cannot be had.
    """
    server = Server(
        app,
        address=address.number(),
        port=address.port,
        http=HTTPModes.auto,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADER_MS),
        websockets=False,
        backpressure=_UNDER_WAY,
        backlog=4096,
        log_enabled=False,
        ssl_cert=address.certificate,
        ssl_key=address.key,
    )

    async def hosting() -> None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            stopping()
            server.stop()  # type: ignore[no-untyped-call]  # the library does not say

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # the loop's own handlers are lost when many requests keep its wake-up pipe full
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
        companion = loop.create_task(beside())
        with suppress(asyncio.CancelledError):
            await server.serve()
        companion.cancel()
        if after is not None:
            await after()

    try:
        # asyncio's own loop takes twice the time of a request, most of it to wake up
        uvloop.run(hosting())
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{address} cannot be listened at ({_first_line(error)}); name another --host or"
            " --port, or stop what has this one"
        ) from error


def _first_line(error: Exception) -> str:
    """What went wrong; the library lets the addresses of its functions follow."""
    return next(iter(str(error).splitlines()), type(error).__name__)
