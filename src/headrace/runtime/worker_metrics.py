"""The metrics of a worker over Kafka: its lanes together, and how each stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.adapters.prometheus import counter, gauge
from headrace.runtime.lane_metrics import StateMetrics, committed, counted, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from headrace.runtime.kafka_worker import KafkaWorker

#: What a lane can be; each is told, as 0 or 1, so that a rule can wait for one.
_STATES = ("opening", "replaying", "deciding", "ended", "fenced", "failed")


class WorkerMetrics:
    """Gathers the metrics of a worker when they are asked for.

    Args:
        worker: The worker.
    """

    def __init__(self, worker: KafkaWorker) -> None:
        self._worker = worker
        self._state = StateMetrics()

    def gather(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        worker = self._worker
        yield running(worker.stage.header, worker.stage.settings.lane.durability)
        yield from counted(worker.stage.header, worker.meters)
        yield from committed(worker.meters)
        yield from self._group()
        yield from self._lanes()
        yield from self._state.gather([lane.local for lane in worker.open_lanes()])

    def _group(self) -> Iterator[Metric]:
        """What the group did."""
        lanes = self._worker.lanes
        for name, what, count in (
            ("headrace_rebalances", "How often the group gave lanes anew.", lanes.rebalances),
            (
                "headrace_lanes_lost",
                "Lanes that were another worker's before this one heard of it.",
                lanes.lost,
            ),
            (
                "headrace_lanes_fenced",
                "Lanes whose transactions were refused since another worker had them.",
                lanes.fenced,
            ),
        ):
            yield counter(name, what, (), {(): count})
        yield gauge("headrace_lanes", "Lanes over all workers.", (), {(): lanes.of})

    def _lanes(self) -> Iterator[Metric]:
        """How each lane of the worker stands."""
        standings = self._worker.lanes.standings()
        yield gauge(
            "headrace_lanes_owned",
            "Lanes that this worker has.",
            (),
            {(): len(standings)},
        )
        yield gauge(
            "headrace_lane_state",
            "1 for the state that a lane is in.",
            ("lane", "state"),
            {
                (str(one.lane), state): float(one.state == state)
                for one in standings
                for state in _STATES
            },
        )
        yield gauge(
            "headrace_journal_next_seq",
            "Number of the input after the last that the journal's signed head vouches for.",
            ("lane",),
            {(str(one.lane),): one.next_seq for one in standings},
        )
        yield gauge(
            "headrace_lag_messages",
            "Messages of a partition that are not decided yet, as far as is known.",
            ("topic", "partition", "lane"),
            {
                (place.topic, str(place.number), str(lane.id.number)): behind
                for lane in self._worker.open_lanes()
                for place, behind in lane.behind_by().items()
            },
        )
