"""Pages of metrics in Prometheus' text format, read: single ones, and two with the time between."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from headrace.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Reading:
    """What a page of metrics said.

    Attributes:
        samples: By name of sample, then by its labels in the order of their names.
    """

    samples: Mapping[str, Mapping[tuple[tuple[str, str], ...], float]] = field(default_factory=dict)

    @staticmethod
    def of(page: str) -> Reading:
        r"""Read a page.

        Raises:
            DataError: It is not in Prometheus' text format.

        >>> Reading.of('waiting{of="a"} 3\n').by("waiting", "of")
        {'a': 3.0}
        """
        samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        try:
            for family in text_string_to_metric_families(page):
                for sample in family.samples:
                    labels = tuple(sorted(sample.labels.items()))
                    samples.setdefault(sample.name, {})[labels] = float(sample.value)
        except (ValueError, KeyError, IndexError) as error:
            raise DataError(
                f"this is no page of metrics ({error}); name the address of a service"
            ) from error
        return Reading(samples)

    def value(self, name: str, **labels: str) -> float:
        """The sum over all samples of a name that have these labels; 0 if there are none."""
        return math.fsum(
            value
            for key, value in self.samples.get(name, {}).items()
            if labels.items() <= dict(key).items()
        )

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """The same for each value of a label, in the order of the page."""
        found: dict[str, float] = {}
        for key, value in self.samples.get(name, {}).items():
            named = dict(key)
            if labels.items() <= named.items() and label in named:
                found[named[label]] = found.get(named[label], 0.0) + value
        return found

    def facts(self, name: str) -> dict[str, str]:
        """The labels of a metric that is 1."""
        return dict(next(iter(self.samples.get(name, {})), ()))


@dataclass(frozen=True, slots=True)
class Interval:
    """What happened between two readings of one service.

    Attributes:
        before: The first; an empty one stands for the start of the service.
        now: The second.
        seconds: Between them.
    """

    before: Reading
    now: Reading
    seconds: float

    def rate(self, name: str, **labels: str) -> float:
        """How much a counter grew by the second; 0 where it was set back by a restart."""
        grown = self.now.value(name, **labels) - self.before.value(name, **labels)
        return max(0.0, grown) / self.seconds if self.seconds > 0 else 0.0

    def grown(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """How much a counter grew, for each value of a label."""
        earlier = self.before.by(name, label, **labels)
        return {
            key: max(0.0, value - earlier.get(key, 0.0))
            for key, value in self.now.by(name, label, **labels).items()
        }

    def mean(self, name: str, **labels: str) -> float:
        """The mean of what a histogram counted; NaN of nothing."""
        counted = self.rate(f"{name}_count", **labels)
        return self.rate(f"{name}_sum", **labels) / counted if counted else math.nan

    def quantile(self, share: float, name: str, **labels: str) -> float:
        """A quantile of what a histogram counted, linear within a bucket; NaN of nothing.

        What lies above the last bound is told as that bound.
        """
        grown = self.grown(f"{name}_bucket", "le", **labels)
        buckets = sorted((float(bound), count) for bound, count in grown.items())
        if not buckets or buckets[-1][1] <= 0:
            return math.nan
        rank = share * buckets[-1][1]
        low, below = 0.0, 0.0
        for bound, count in buckets:
            if count >= rank and count > below:
                if math.isinf(bound):
                    return low
                return low + (bound - low) * (rank - below) / (count - below)
            low, below = bound, count
        return low
