"""What metrics say of a lane, wherever it runs: what became of its events, and how it stands."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from headrace import __version__
from headrace.adapters.prometheus import Buckets, counter, gauge, info
from headrace.definitions.describe import group_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from headrace.runtime.histogram import Histogram
    from headrace.runtime.local_lane import LocalLane
    from headrace.runtime.meters import Meters

#: The state is looked at no more often than this: it is not read for nothing.
_LOOK_SECONDS = 10.0


class LaneMetrics:
    """Gathers the metrics of a lane when they are asked for.

    Args:
        local: The lane.
        meters: What is counted.
    """

    def __init__(self, local: LocalLane, meters: Meters) -> None:
        self._local = local
        self._meters = meters
        self._opened = time.time()
        self._looked = float("-inf")
        self._state: list[Metric] = []

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
        yield from self._now()
        yield from self._looked_at()

    def _counted(self) -> Iterator[Metric]:
        meters = self._meters
        yield counter(
            "headrace_events",
            "Events taken in, by what became of them.",
            ("stream", "kind"),
            meters.events(self._local.header.stream_names),
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
            "headrace_journal_bytes",
            "Bytes written to the journal.",
            (),
            {(): meters.journal_bytes},
        )

    def _now(self) -> Iterator[Metric]:
        for name, what, value in (
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


def buckets(held: Histogram) -> Buckets:
    """A histogram as a page shows it."""
    counts = held.counts()
    return Buckets(counts.bounds, counts.buckets, counts.total)
