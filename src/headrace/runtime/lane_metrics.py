"""What metrics say of lanes, wherever they run: what became of events, and how lanes stand."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from headrace import __version__
from headrace.adapters.prometheus import Buckets, counter, gauge, histogram, info
from headrace.definitions.describe import kept_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    from headrace.journal.header import JournalHeader
    from headrace.runtime.histogram import Histogram
    from headrace.runtime.local_lane import LocalLane
    from headrace.runtime.meters import Meters

#: The state is looked at no more often than this: it is not read for nothing.
_LOOK_SECONDS = 10.0


def running(header: JournalHeader, durability: str) -> Metric:
    """What runs.

    Args:
        header: Of a lane's journal.
        durability: Of the lane.
    """
    return info(
        "headrace",
        "What runs: version, and what decides.",
        {
            "version": __version__,
            "use_case": header.use_case,
            "definition": header.definition,
            "model": header.model,
            "durability": durability,
        },
    )


def counted(header: JournalHeader, meters: Meters) -> Iterator[Metric]:
    """What became of events.

    Args:
        header: Of a lane's journal.
        meters: What was counted.
    """
    yield counter(
        "headrace_events",
        "Events taken in, by what became of them.",
        ("stream", "kind"),
        meters.events(header.stream_names),
    )
    known = dict.fromkeys(header.outcomes, 0)
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


def committed(meters: Meters) -> Iterator[Metric]:
    """How long the commits of a run took, and how large they were."""
    for name, what, held in (
        (
            "headrace_durable_duration_seconds",
            "From when the oldest input of a commit was read until the commit was durable.",
            meters.durable,
        ),
        (
            "headrace_commit_duration_seconds",
            "From when a commit began until it was durable: over Kafka, its transaction.",
            meters.committing,
        ),
        ("headrace_commit_events", "Inputs committed together.", meters.commits),
    ):
        yield histogram(name, what, (), {(): buckets(held)})


class StateMetrics:
    """How much state lanes hold, and how old their snapshots are."""

    def __init__(self) -> None:
        self._opened = time.time()
        self._looked = float("-inf")
        self._lanes = 0
        self._memory: list[Metric] = []

    def gather(self, lanes: Sequence[LocalLane]) -> Iterator[Metric]:
        """The metrics of all lanes of a process together."""
        yield gauge(
            "headrace_recovery_replayed_events",
            "Events that were put through again when lanes were opened.",
            (),
            {(): float(sum(local.recovery.replayed for local in lanes))},
        )
        ages = [time.time() - self._snapshot_time(local) for local in lanes]
        yield gauge(
            "headrace_snapshot_age_seconds",
            "Since the newest snapshot was written; since the start where there is none.",
            (),
            {(): max([0.0, *ages])},
        )
        # it takes a look at all of the state
        if time.monotonic() - self._looked >= _LOOK_SECONDS or len(lanes) != self._lanes:
            self._memory = list(_memory(lanes)) if lanes else []
            self._looked, self._lanes = time.monotonic(), len(lanes)
        yield from self._memory

    def _snapshot_time(self, local: LocalLane) -> float:
        """When the newest snapshot of a lane was written, seconds since 1970."""
        times = []
        for path in local.snapshots.glob("*.state"):
            with suppress(FileNotFoundError):  # a newer one has taken its place
                times.append(path.stat().st_mtime)
        return max(times, default=self._opened)


def _memory(lanes: Sequence[LocalLane]) -> Iterator[Metric]:
    """What the state of lanes takes, all of them together."""
    structures: dict[tuple[str, ...], float] = {}
    keys: dict[tuple[str, ...], float] = {}
    held: dict[tuple[str, ...], float] = {}
    for local in lanes:
        memory = local.lane.engine.memory()
        sizes = {**memory.bytes_by, "ids": local.lane.acceptance.memory()}
        _add(structures, {name.replace(" ", "_"): size for name, size in sizes.items()})
        groups = kept_names(local.definition.plan)
        _add(keys, dict(zip(groups, memory.keys, strict=True)))
        _add(held, dict(zip(groups, memory.held, strict=True)))
    limits = [local.lane.limits for local in lanes]
    state_limit: dict[tuple[str, ...], float] = {(): sum(limit.state_bytes for limit in limits)}
    ids_limit: dict[tuple[str, ...], float] = {(): sum(limit.dedupe_bytes for limit in limits)}
    for name, what, labels, values in (
        (
            "headrace_state_bytes",
            "Memory that state takes, by structure.",
            ("structure",),
            structures,
        ),
        (
            "headrace_state_limit_bytes",
            "Memory that state may take without `ids`; at the limit intake stops.",
            (),
            state_limit,
        ),
        (
            "headrace_state_ids_limit_bytes",
            "Memory that `ids` may take; at the limit intake stops.",
            (),
            ids_limit,
        ),
        ("headrace_state_keys", "Entities that hold something, by group.", ("group",), keys),
        (
            "headrace_state_events",
            "Events (or buckets) that are held, by group.",
            ("group",),
            held,
        ),
    ):
        yield gauge(name, what, labels, values)


def _add(sums: dict[tuple[str, ...], float], more: Mapping[str, float]) -> None:
    for name, value in more.items():
        sums[name,] = sums.get((name,), 0.0) + value


class LaneMetrics:
    """Gathers the metrics of a process with one lane when they are asked for.

    Args:
        local: The lane.
        meters: What is counted.
    """

    def __init__(self, local: LocalLane, meters: Meters) -> None:
        self._local = local
        self._meters = meters
        self._state = StateMetrics()

    def gather(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        yield running(self._local.header, self._local.settings.durability)
        yield from counted(self._local.header, self._meters)
        yield gauge(
            "headrace_journal_next_seq",
            "Number of the input after the last that the journal's signed head vouches for.",
            (),
            {(): float(self._local.journal.committed.next_seq)},
        )
        yield from self._state.gather([self._local])


def buckets(held: Histogram) -> Buckets:
    """A histogram as a page shows it."""
    counts = held.counts()
    return Buckets(counts.bounds, counts.buckets, counts.total)
