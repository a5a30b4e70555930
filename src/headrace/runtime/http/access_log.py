"""A line in the log for every request, where that is asked for."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable

    from headrace.runtime.http.app import App, Exchange, Headers, Scope

_LOG = logging.getLogger("headrace.access")


class _Watched:
    """An exchange that remembers the status that it was answered with."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.status = 0

    def __call__(self) -> Awaitable[bytes]:
        return self._exchange()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._exchange)

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer."""
        self.status = status
        self._exchange.response_bytes(status, headers, body)


class AccessLog:
    """An application that logs the requests to another.

    A path is logged as the route that it is of: ids in it are left out.

    Args:
        app: What answers.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, in the loop of the server."""
        self._app.__rsgi_init__(loop)

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request, and log it."""
        watched = _Watched(exchange)
        begun = time.perf_counter()
        try:
            await self._app.__rsgi__(scope, watched)
        finally:
            took_ms = (time.perf_counter() - begun) * 1e3
            facts = {
                "method": scope.method,
                "route": self._app.route(scope.path),
                "status": watched.status,
                "ms": round(took_ms, 3),
            }
            _LOG.info("request", extra={"facts": facts})
