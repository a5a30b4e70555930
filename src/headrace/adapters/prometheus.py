"""Prometheus' text format, by the library `prometheus-client`."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder

from headrace.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric


def counter(
    name: str, what: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]
) -> CounterMetricFamily:
    """A number that only grows, for each tuple of label values.

    Args:
        name: Without `_total`, which is added to it.
        what: What is counted, in one sentence.
        labels: Names of the labels.
        values: By the values of the labels.
    """
    made = CounterMetricFamily(name, what, labels=labels)
    for key, value in values.items():
        made.add_metric(key, value)
    return made


def gauge(
    name: str, what: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]
) -> GaugeMetricFamily:
    """A number that goes up and down; the arguments are those of `counter`, but for the name."""
    made = GaugeMetricFamily(name, what, labels=labels)
    for key, value in values.items():
        made.add_metric(key, value)
    return made


@dataclass(frozen=True, slots=True)
class Buckets:
    """What a histogram holds.

    Attributes:
        bounds: Upper bounds of its buckets, ascending; what is above the last has one more.
        counts: How many values fell into each bucket.
        total: The sum of all values.
    """

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float


def histogram(
    name: str, what: str, labels: Sequence[str], values: Mapping[tuple[str, ...], Buckets]
) -> HistogramMetricFamily:
    """A histogram for each tuple of label values; the arguments are those of `gauge`."""
    made = HistogramMetricFamily(name, what, labels=labels)
    for key, held in values.items():
        bounds = [*(f"{bound:g}" for bound in held.bounds), "+Inf"]
        pairs = list(zip(bounds, accumulate(held.counts), strict=True))
        made.add_metric(key, buckets=pairs, sum_value=held.total)
    return made


def info(name: str, what: str, facts: Mapping[str, str]) -> InfoMetricFamily:
    """Facts that do not change, as labels of a metric that is 1; `_info` is added to its name."""
    return InfoMetricFamily(name, what, value=dict(facts))


class Exposition:
    """The page that Prometheus reads: given metrics, and those of the process.

    Args:
        collect: Gives the metrics as they are now.
    """

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(self)

    def describe(self) -> list[Metric]:
        """Nothing, so that no metric is read when this is registered."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        return self._collect()

    def page(self, accept: str) -> tuple[str, bytes]:
        """Content type and body.

        Args:
            accept: What the reader says it takes; "" gets the plain text format.
        """
        encoder, content_type = choose_encoder(accept)
        return content_type, encoder(self._registry)

    @contextmanager
    def served(self, host: str, port: int) -> Iterator[None]:
        """Give the page over HTTP meanwhile, from a thread of its own, to whoever asks.

        Raises:
            DataError: The address cannot be had.
        """
        try:
            server, thread = start_http_server(port, host, self._registry)
        except (OSError, OverflowError) as error:
            raise DataError(
                f"{host}:{port} cannot be listened at ({error}); name another --metrics HOST:PORT,"
                " or stop what has it"
            ) from error
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
