"""The metrics of `headrace run`, given over HTTP while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.adapters.prometheus import Exposition
from headrace.core.errors import DataError
from headrace.runtime.lane_metrics import LaneMetrics, committed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from prometheus_client.metrics_core import Metric

    from headrace.runtime.local_lane import LocalLane
    from headrace.runtime.meters import Meters


class RunMetrics:
    """Gathers the metrics of a run when they are asked for.

    Args:
        local: Its lane.
        meters: What it counts.
    """

    def __init__(self, local: LocalLane, meters: Meters) -> None:
        self._lane = LaneMetrics(local, meters)
        self._meters = meters

    def gather(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        yield from self._lane.gather()
        yield from committed(self._meters)


def served(
    gather: Callable[[], Iterable[Metric]], host: str, port: int
) -> AbstractContextManager[None]:
    """Give metrics at an address meanwhile.

    Args:
        gather: The metrics as they are now.
        host: Where to listen.
        port: Likewise.

    Raises:
        DataError: The address cannot be had.
    """
    return Exposition(gather).served(host, port)


def host_and_port(address: str) -> tuple[str, int]:
    """What an address says.

    Raises:
        DataError: It is none.

    >>> host_and_port("127.0.0.1:9464"), host_and_port("[::1]:80")
    (('127.0.0.1', 9464), ('::1', 80))
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise DataError(f"{address!r} is no HOST:PORT; name one as in 127.0.0.1:9464")
    return host.removeprefix("[").removesuffix("]"), int(port)
