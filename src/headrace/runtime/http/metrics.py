"""What `GET /metrics` says of a service: its lane, its batches, and what the front counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.adapters.prometheus import Buckets, Exposition, counter, gauge, histogram
from headrace.runtime.http.request_times import REQUEST_BOUNDS
from headrace.runtime.http.wire import Measure, Measured
from headrace.runtime.lane_metrics import LaneMetrics, buckets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from headrace.runtime.http.meters import ServiceMeters
    from headrace.runtime.local_lane import LocalLane


class Metrics:
    """Gathers the metrics of a service when they are asked for.

    Nothing here is computed before it is asked for. The lane does it between two batches.

    Args:
        local: The lane.
        meters: What it counts.
        fallback: The outcome that requests get whose decision is not ready in time.
    """

    def __init__(
        self,
        local: LocalLane,
        meters: ServiceMeters,
        fallback: str | None,
    ) -> None:
        self._lane = LaneMetrics(local, meters)
        self._meters = meters
        self._fallback = fallback
        self._asked = Measure(0, "", 0, 0, {}, 0, [])
        self._failed = False
        self._exposition = Exposition(self.gather)

    def page(self, asked: Measure, *, failed: bool) -> Measured:
        """The page that is asked for.

        Args:
            asked: With what the front counts.
            failed: Whether nothing is decided any more.
        """
        self._asked, self._failed = asked, failed
        return Measured(asked.number, *self._exposition.page(asked.accept))

    def gather(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        yield from self._lane.gather()
        yield from self._counted()
        yield from self._timed()
        yield from self._now()

    def _counted(self) -> Iterator[Metric]:
        yield counter(
            "headrace_rejected_requests",
            "Requests that were answered by a problem, by HTTP status.",
            ("status",),
            {(str(status),): count for status, count in self._asked.rejected.items()},
        )
        yield counter(
            "headrace_fallback_events",
            "Events answered by a fallback outcome, since their deadline had come.",
            ("outcome",),
            {(self._fallback,): self._asked.fallbacks} if self._fallback else {},
        )

    def _timed(self) -> Iterator[Metric]:
        meters = self._meters
        yield histogram(
            "headrace_request_duration_seconds",
            "From when a request was read until its answer was handed to the server.",
            ("route", "status"),
            {
                (route, status): Buckets(REQUEST_BOUNDS, tuple(counts), total_ns / 1e9)
                for route, status, counts, total_ns in self._asked.times
            },
        )
        yield histogram(
            "headrace_stage_duration_seconds",
            "What a batch spent in each stage.",
            ("stage",),
            {(stage,): buckets(held) for stage, held in meters.stages.items()},
        )
        yield histogram(
            "headrace_batch_events",
            "Events decided together.",
            (),
            {(): buckets(meters.batches)},
        )

    def _now(self) -> Iterator[Metric]:
        for name, what, value in (
            (
                "headrace_waiting_events",
                "Events that were asked for and have no answer yet.",
                self._asked.waiting,
            ),
            (
                "headrace_waiting_events_limit",
                "Events that may wait; beyond it requests get 429.",
                self._asked.waiting_limit,
            ),
            (
                "headrace_failed",
                "1 where nothing is decided any more: the journal cannot be written, say.",
                self._failed,
            ),
        ):
            yield gauge(name, what, (), {(): float(value)})
