"""Requests that are answered by a problem: sent, counted, and told of in the log."""

from __future__ import annotations

import logging
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from headrace.runtime.http.problems import PROBLEM_TYPE, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping, Sequence

_LOG = logging.getLogger("headrace.service")

#: The log tells of one status no more often than this.
TELL_SECONDS = 10.0


class Answering(Protocol):
    """How a request is answered."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer."""


class Refusals:
    """Answers requests by problems, and keeps count of them.

    The log hears of the first of each status at once, and of those that follow by their number,
    every ten seconds at most. It does not hear what they were, which may quote an event.

    Args:
        counts: How many there were, by HTTP status; added to.
        clock: Seconds.
    """

    def __init__(
        self, counts: MutableMapping[int, int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._counts = counts
        self._clock = clock
        self._told_at: dict[int, float] = {}
        self._told: dict[int, int] = {}
        self._telling = threading.Lock()

    def __call__(
        self, exchange: Answering, problem: Problem, more: Sequence[tuple[str, str]] = ()
    ) -> int:
        """Answer a request by a problem, with more headers; returns its status."""
        headers = [("content-type", PROBLEM_TYPE), *more]
        if problem.status == HTTPStatus.UNAUTHORIZED:
            headers.append(("www-authenticate", "Bearer"))
        if problem.retry_after is not None:
            headers.append(("retry-after", str(problem.retry_after)))
        exchange.response_bytes(problem.status, headers, problem.encoded())
        self._counts[problem.status] = self._counts.get(problem.status, 0) + 1
        if self._clock() - self._told_at.get(problem.status, float("-inf")) >= TELL_SECONDS:
            self._tell(problem.status)
        return problem.status

    def tell_rest(self) -> None:
        """Log those that the log has not heard of yet."""
        for status in list(self._counts):
            self._tell(status)

    def _tell(self, status: int) -> None:
        with self._telling:
            count = self._counts[status] - self._told.get(status, 0)
            self._told[status] = self._counts[status]
            self._told_at[status] = self._clock()
        if count:
            title = HTTPStatus(status).phrase
            level = logging.ERROR if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.WARNING
            facts = {"status": status, "title": title, "requests": count}
            _LOG.log(level, "requests refused", extra={"facts": facts})
