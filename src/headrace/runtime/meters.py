"""What a run measures of itself: counts, rates and latencies, for people to watch."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from headrace.journal.batch import InputKind, JournalBatch
from headrace.runtime.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headrace.core.columns import Int64s

_KINDS = tuple(InputKind)
#: Ranks that an input's stream can have.
_RANKS = 256

#: Seconds from reading an input until its decision is durable.
DURABLE_BOUNDS = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1),
    *(0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
#: Inputs of one commit.
COMMIT_BOUNDS = tuple(float(1 << bit) for bit in range(0, 21, 2))

#: So many of the last commits are kept one by one: an hour at 70 a second, in 8 MB.
RECENT_COMMITS = 1 << 18


@dataclass(frozen=True, slots=True)
class Sample:
    """One commit: when it was durable, how many inputs it held, and how long the oldest waited."""

    durable_ns: int
    inputs: int
    decisions: int
    waited_ns: int


class RecentCommits:
    """The last commits of a run, in order; the memory that they take is bounded.

    Args:
        most: How many are kept.

    >>> commits = RecentCommits(most=2)
    >>> for time_ns in (1, 2, 3):
    ...     commits.append(Sample(time_ns, 1, 1, 0))
    >>> [sample.durable_ns for sample in commits.samples()]
    [2, 3]
    """

    def __init__(self, most: int = RECENT_COMMITS) -> None:
        # what was not written to yet takes no memory
        self._rows: Int64s = np.empty((most, 4), dtype=np.int64)
        self._count = 0

    def append(self, sample: Sample) -> None:
        """Add the next commit, in place of the oldest if there are too many."""
        row = (sample.durable_ns, sample.inputs, sample.decisions, sample.waited_ns)
        self._rows[self._count % len(self._rows)] = row
        self._count += 1

    def rows(self) -> Int64s:
        """Their numbers as `Sample` has them, one row for each."""
        most = len(self._rows)
        if self._count <= most:
            return self._rows[: self._count].copy()
        return np.roll(self._rows, -(self._count % most), axis=0)

    def samples(self) -> list[Sample]:
        """They themselves."""
        return [Sample(*row) for row in self.rows().tolist()]


@dataclass(frozen=True, slots=True)
class LaneStanding:
    """How a lane of a worker is at one moment.

    Attributes:
        lane: Its number.
        state: opening, replaying, deciding, ended, fenced or failed.
        next_seq: The input that its journal goes on with.
        behind: Messages in its partitions that it has not decided.
    """

    lane: int
    state: str
    next_seq: int
    behind: int


class Shown(Protocol):
    """What can say how a lane is."""

    def standing(self) -> LaneStanding:
        """How the lane is now."""


class WorkerMeters:
    """The lanes of a worker, and how they come and go: kept by one thread, read by any.

    Args:
        of: How many lanes the use case has, over all workers.

    Attributes:
        rebalances: How often the group has given lanes anew.
        lost: Lanes that were another's before the worker heard of it.
        fenced: Lanes whose transactions the cluster refused since another worker had them.
        fenced_now: Those of them that the worker has not opened again.
    """

    def __init__(self, of: int) -> None:
        self.of = of
        self.rebalances = self.lost = self.fenced = 0
        self.fenced_now: frozenset[int] = frozenset()
        self._shown: tuple[Shown, ...] = ()

    def show(self, lanes: Iterable[Shown]) -> None:
        """These are the lanes from now on."""
        self._shown = tuple(lanes)
        self.fenced_now = frozenset()

    def was_fenced(self, lane: int) -> None:
        """Count a lane that was fenced."""
        self.fenced += 1
        self.fenced_now |= {lane}

    def standings(self) -> list[LaneStanding]:
        """How the lanes are now, by number."""
        return sorted((shown.standing() for shown in self._shown), key=lambda one: one.lane)


@dataclass(slots=True)
class Meters:
    """Counts of a run, kept by the thread that commits and read by whoever shows them.

    Every input is in exactly one of `accepted`, `duplicates` and `quarantined`. Kernels are
    compiled before a run begins; where one was not, events waited for it, and `compiling_seconds`
    says how long. `durable` has, for each commit, the seconds from reading its oldest input until
    it was durable, `committing` those since the commit began, and `commits` how many inputs it had.
    """

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    decisions: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    journal_bytes: int = 0
    compiling_seconds: float = 0.0
    durable: Histogram = field(default_factory=lambda: Histogram(DURABLE_BOUNDS))
    committing: Histogram = field(default_factory=lambda: Histogram(DURABLE_BOUNDS))
    commits: Histogram = field(default_factory=lambda: Histogram(COMMIT_BOUNDS))
    _events: Int64s = field(default_factory=lambda: np.zeros(_RANKS * len(_KINDS), np.int64))
    _commits: RecentCommits = field(default_factory=RecentCommits)
    _begun_ns: int = 0
    _ended_ns: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(
        self, batch: JournalBatch, outcomes: tuple[str, ...], reasons: tuple[str, ...]
    ) -> None:
        """Add what became of the inputs of a batch."""
        kinds = batch.inputs.kind.tobytes()
        accepted, duplicates, quarantined, backfilled, controls = map(kinds.count, _KINDS)
        outcome = batch.decisions.outcome.tobytes()
        events = np.bincount(
            batch.inputs.stream.astype(np.intp) * len(_KINDS) + batch.inputs.kind,
            minlength=len(self._events),
        )
        with self._lock:
            self._events += events
            self.received += len(batch) - controls
            self.accepted += accepted + backfilled
            self.duplicates += duplicates
            self.quarantined += quarantined
            self.decisions += len(batch.decisions)
            for code, name in enumerate(outcomes):
                self.outcomes[name] = self.outcomes.get(name, 0) + outcome.count(code)
            if quarantined:
                told = batch.inputs.reason[batch.inputs.kind == InputKind.QUARANTINED]
                for code in np.flatnonzero(many := np.bincount(told)).tolist():
                    name = reasons[code]
                    self.reasons[name] = self.reasons.get(name, 0) + int(many[code])

    @property
    def samples(self) -> list[Sample]:
        """The last commits, in order: all of them, up to `RECENT_COMMITS`."""
        with self._lock:
            return self._commits.samples()

    def events(self, streams: Sequence[str]) -> dict[tuple[str, ...], int]:
        """How many inputs of each stream there were of each kind.

        Args:
            streams: Names of streams and tables, by rank.
        """
        with self._lock:
            table = self._events.reshape(_RANKS, len(_KINDS)).tolist()
        return {
            (name, kind.name.lower()): table[rank][kind]
            for rank, name in enumerate(streams)
            for kind in _KINDS
            if kind is not InputKind.CONTROL
        }

    def committed(self, sample: Sample, size: int, took_ns: int) -> None:
        """Add one commit of `size` bytes that took so long."""
        with self._lock:
            if not self._ended_ns:
                self._begun_ns = sample.durable_ns - sample.waited_ns
            self._ended_ns = sample.durable_ns
            self._commits.append(sample)
            self.durable.add_one(max(0, sample.waited_ns) / 1e9)
            self.committing.add_one(max(0, took_ns) / 1e9)
            self.commits.add_one(sample.inputs)
            self.journal_bytes += size

    def compiled(self, seconds: float) -> None:
        """Add time in which kernels were compiled while events waited."""
        self.compiling_seconds += seconds

    def latency_ms(self, *percentiles: float) -> list[float]:
        """Percentiles over inputs of the time from bytes read to decision durable, milliseconds.

        Every input of a commit is counted with the wait of the oldest: an upper bound. Of a very
        long run, the last `RECENT_COMMITS` commits count.
        """
        with self._lock:
            _, weight, _, waited = self._commits.rows().astype(np.float64).T
        if len(waited) == 0:
            return [float("nan")] * len(percentiles)
        order = np.argsort(waited)
        reached = np.cumsum(weight[order]) / weight.sum()
        places = np.minimum(np.searchsorted(reached, np.array(percentiles) / 100.0), len(order) - 1)
        return [float(value) / 1e6 for value in waited[order][places]]

    def rate(self) -> float:
        """Decisions a second, from the first read to the last commit."""
        with self._lock:
            seconds = (self._ended_ns - self._begun_ns) / 1e9
            return self.decisions / seconds if seconds > 0 else 0.0
