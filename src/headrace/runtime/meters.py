"""What a run measures of itself: counts, rates and latencies, for people to watch."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np

from headrace.journal.batch import InputKind, JournalBatch

_KINDS = tuple(InputKind)


@dataclass(frozen=True, slots=True)
class Sample:
    """One commit: when it was durable, how many inputs it held, and how long the oldest waited."""

    durable_ns: int
    inputs: int
    decisions: int
    waited_ns: int


@dataclass(slots=True)
class Meters:
    """Counts of a run, kept by the thread that commits and read by whoever shows them.

    Every input is in exactly one of `accepted`, `duplicates` and `quarantined`. Kernels are
    compiled before a run begins; where one was not, events waited for it, and `compiling_seconds`
    says how long.
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
    samples: list[Sample] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(
        self, batch: JournalBatch, outcomes: tuple[str, ...], reasons: tuple[str, ...]
    ) -> None:
        """Add what became of the inputs of a batch."""
        kinds = batch.inputs.kind.tobytes()
        accepted, duplicates, quarantined, backfilled, controls = map(kinds.count, _KINDS)
        outcome = batch.decisions.outcome.tobytes()
        with self._lock:
            self.received += len(batch) - controls
            self.accepted += accepted + backfilled
            self.duplicates += duplicates
            self.quarantined += quarantined
            self.decisions += len(batch.decisions)
            for code, name in enumerate(outcomes):
                self.outcomes[name] = self.outcomes.get(name, 0) + outcome.count(code)
            if quarantined:
                told = batch.inputs.reason[batch.inputs.kind == InputKind.QUARANTINED]
                for code in told.tolist():
                    self.reasons[reasons[code]] = self.reasons.get(reasons[code], 0) + 1

    def committed(self, sample: Sample, size: int) -> None:
        """Add one commit of `size` bytes."""
        with self._lock:
            self.samples.append(sample)
            self.journal_bytes += size

    def compiled(self, seconds: float) -> None:
        """Add time in which kernels were compiled while events waited."""
        self.compiling_seconds += seconds

    def latency_ms(self, *percentiles: float) -> list[float]:
        """Percentiles over inputs of the time from bytes read to decision durable, milliseconds.

        Every input of a commit is counted with the wait of the oldest: an upper bound.
        """
        with self._lock:
            waited = np.array([sample.waited_ns for sample in self.samples], dtype=np.float64)
            weight = np.array([sample.inputs for sample in self.samples], dtype=np.float64)
        if len(waited) == 0:
            return [float("nan")] * len(percentiles)
        order = np.argsort(waited)
        reached = np.cumsum(weight[order]) / weight.sum()
        places = np.minimum(np.searchsorted(reached, np.array(percentiles) / 100.0), len(order) - 1)
        return [float(value) / 1e6 for value in waited[order][places]]

    def rate(self) -> float:
        """Decisions a second, from the first read to the last commit."""
        with self._lock:
            if not self.samples:
                return 0.0
            begun = self.samples[0].durable_ns - self.samples[0].waited_ns
            seconds = (self.samples[-1].durable_ns - begun) / 1e9
            return self.decisions / seconds if seconds > 0 else 0.0
