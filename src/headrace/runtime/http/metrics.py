"""What `GET /metrics` says of a service: what it counts, and how its lane stands."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from headrace import __version__
from headrace.adapters.prometheus import Buckets, Exposition, counter, gauge, histogram, info
from headrace.definitions.describe import group_name
from headrace.runtime.http.request_times import REQUEST_BOUNDS
from headrace.runtime.http.wire import Measure, Measured

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from headrace.runtime.histogram import Histogram
    from headrace.runtime.http.meters import ServiceMeters
    from headrace.runtime.local_lane import LocalLane

#: The state is looked at no more often than this: it is not read for nothing.
_LOOK_SECONDS = 10.0


class Metrics:
    """Gathers the metrics of a service when they are asked for.

    Nothing here is computed before it is asked for. The lane does it between two batches.

    Args:
        local: The lane.
        streams: Names of streams and tables, by rank.
        meters: What it counts.
        fallback: The outcome that requests get whose decision is not ready in time.
    """

    def __init__(
        self,
        local: LocalLane,
        streams: Sequence[str],
        meters: ServiceMeters,
        fallback: str | None,
    ) -> None:
        self._local = local
        self._streams = streams
        self._meters = meters
        self._fallback = fallback
        self._asked = Measure(0, "", 0, 0, {}, 0, [])
        self._failed = False
        self._exposition = Exposition(self.gather)
        self._opened = time.time()
        self._looked = float("-inf")
        self._state: list[Metric] = []

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
        header = self._local.header
        yield info(
            "headrace",
            "What runs: version, and what decides.",
            {
                "version": __version__,
                "use_case": header.use_case,
                "definition": header.definition,
                "model": header.model,
                "durability": self._local.settings.durability,
            },
        )
        yield from self._counted()
        yield from self._timed()
        yield from self._now()
        yield from self._looked_at()

    def _counted(self) -> Iterator[Metric]:
        meters = self._meters
        yield counter(
            "headrace_events",
            "Events taken in, by what became of them.",
            ("stream", "kind"),
            meters.events(self._streams),
        )
        known = dict.fromkeys(self._local.header.outcomes, 0)
        yield counter(
            "headrace_decisions",
            "Decisions made.",
            ("outcome",),
            {(name,): count for name, count in (known | meters.outcomes).items()},
        )
        yield counter(
            "headrace_quarantined",
            "Events that could not be accepted, by reason.",
            ("reason",),
            {(name,): count for name, count in list(meters.reasons.items())},
        )
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
        yield counter(
            "headrace_journal_bytes",
            "Bytes written to the journal.",
            (),
            {(): meters.journal_bytes},
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
            {(stage,): _buckets(held) for stage, held in meters.stages.items()},
        )
        yield histogram(
            "headrace_batch_events",
            "Events decided together.",
            (),
            {(): _buckets(meters.batches)},
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
            (
                "headrace_journal_next_seq",
                "Number of the input after the last that the journal's signed head vouches for.",
                self._local.journal.committed.next_seq,
            ),
            (
                "headrace_recovery_replayed_events",
                "Events that were put through again when the lane was opened.",
                self._local.recovery.replayed,
            ),
            (
                "headrace_snapshot_age_seconds",
                "Since the newest snapshot was written; since the start where there is none.",
                max(0.0, time.time() - self._snapshot_time()),
            ),
        ):
            yield gauge(name, what, (), {(): float(value)})

    def _looked_at(self) -> list[Metric]:
        """What takes a look at all of the state."""
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._state = list(self._memory())
            self._looked = time.monotonic()
        return self._state

    def _memory(self) -> Iterator[Metric]:
        lane = self._local.lane
        memory = lane.engine.memory()
        structures = {**memory.bytes_by, "ids": lane.acceptance.memory()}
        groups = [group_name(group) for group in self._local.definition.plan.groups]
        yield gauge(
            "headrace_state_bytes",
            "Memory that state takes, by structure.",
            ("structure",),
            {(name.replace(" ", "_"),): size for name, size in structures.items()},
        )
        yield gauge(
            "headrace_state_limit_bytes",
            "Memory that state may take without `ids`; at the limit intake stops.",
            (),
            {(): lane.limits.state_bytes},
        )
        yield gauge(
            "headrace_state_ids_limit_bytes",
            "Memory that `ids` may take; at the limit intake stops.",
            (),
            {(): lane.limits.dedupe_bytes},
        )
        yield gauge(
            "headrace_state_keys",
            "Entities that hold something, by group.",
            ("group",),
            {(name,): keys for name, keys in zip(groups, memory.keys, strict=True)},
        )
        yield gauge(
            "headrace_state_events",
            "Events (or buckets) that are held, by group.",
            ("group",),
            {(name,): held for name, held in zip(groups, memory.held, strict=True)},
        )

    def _snapshot_time(self) -> float:
        """When the newest snapshot was written, seconds since 1970."""
        times = []
        for path in self._local.snapshots.glob("*.state"):
            with suppress(FileNotFoundError):  # a newer one has taken its place
                times.append(path.stat().st_mtime)
        return max(times, default=self._opened)


def _buckets(held: Histogram) -> Buckets:
    counts = held.counts()
    return Buckets(counts.bounds, counts.buckets, counts.total)
