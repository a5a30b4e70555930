"""Bodies of requests, read in time and within a limit of length."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Protocol

from headrace.runtime.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

#: How long a client may take to send a body, and one that is under way when the service is to end.
BODY_SECONDS, LAST_BODY_SECONDS = 30.0, 5.0
_LOOK_SECONDS = 0.5


class Body(Protocol):
    """How a request's body is read."""

    def __call__(self) -> Awaitable[bytes]:
        """The whole body."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body piece by piece."""


class BodyReader:
    """Reads bodies; who is too slow is cut off, as the service could not end before them.

    A timer for each request would cost more than reading most bodies does. So those under way are
    looked at now and then, and their time counts from the first look.

    Args:
        most: Bytes of one body.
        seconds: How long a body may take.
    """

    def __init__(self, most: int, seconds: float = BODY_SECONDS) -> None:
        self._most = most
        self._seconds = seconds
        self._end = float("inf")
        self._reading: set[asyncio.Task[Any]] = set()
        self._seen: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()

    def hurry(self) -> None:
        """Wait no longer than a moment for what is under way, and for what still comes."""
        self._end = min(self._end, time.monotonic() + LAST_BODY_SECONDS)

    async def read(self, said: str | None, body: Body) -> bytes | Problem:
        """The body of a request, if it is not too long and does not take too long.

        Args:
            said: What the request says of its length.
            body: Of the request.
        """
        if said is not None and int(said) > self._most:
            return self._too_long()
        task = asyncio.current_task()
        assert task is not None
        self._reading.add(task)
        try:
            return await body() if said is not None else await self._pieces(body)
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            return Problem(408, "the body did not come in time; send it faster, or fewer events")
        finally:
            self._reading.remove(task)

    async def _pieces(self, body: Body) -> bytes | Problem:
        """A body that does not say how long it is."""
        pieces, size = [], 0
        async for piece in body:
            size += len(piece)
            if size > self._most:
                return self._too_long()
            pieces.append(piece)
        return b"".join(pieces)

    def _too_long(self) -> Problem:
        return Problem(
            413, f"the body is longer than {self._most:,} bytes; send fewer events at once"
        )

    async def watch(self) -> None:
        """Cut off who is too slow, until this is cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        self._seen = {task: self._seen.get(task, now) for task in self._reading}
        self._late &= self._reading
        for task, since in self._seen.items():
            if now >= min(since + self._seconds, self._end) and task not in self._late:
                self._late.add(task)
                task.cancel()
