"""How long requests take, from being read to being answered, by route and status."""

from __future__ import annotations

from bisect import bisect_left

#: Seconds from a request's arrival to its answer; fine about the milliseconds that matter.
REQUEST_BOUNDS = (
    *(0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05),
    *(0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_BOUNDS_NS = [int(bound * 1e9) for bound in REQUEST_BOUNDS]


class RequestTimes:
    """Counts requests by how long they took; one costs half a microsecond. Used in one thread.

    >>> times = RequestTimes()
    >>> times.add("/healthz", 200, 700_000)
    >>> [(route, status, sum(counts), total) for route, status, counts, total in times.told()]
    [('/healthz', '2xx', 1, 700000)]
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, int], list[int]] = {}

    def add(self, route: str, status: int, took_ns: int) -> None:
        """Count a request.

        Args:
            route: Of its path, without the ids in it.
            status: What it was answered with.
            took_ns: Nanoseconds from reading it to answering it.
        """
        held = self._held.get((route, status // 100))
        if held is None:
            # a place for each bucket, for what is above the last bound, and for the sum
            held = self._held[route, status // 100] = [0] * (len(_BOUNDS_NS) + 2)
        held[bisect_left(_BOUNDS_NS, took_ns)] += 1
        held[-1] += took_ns

    def told(self) -> list[tuple[str, str, list[int], int]]:
        """Route, class of status, requests by bucket, and nanoseconds in all."""
        return [
            (route, f"{status}xx", held[:-1], held[-1])
            for (route, status), held in self._held.items()
        ]
