"""The metrics of a worker over Kafka: what it decides, and how the lanes of each stage stand."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from headrace.adapters.prometheus import counter, gauge
from headrace.runtime.lane_metrics import StateMetrics, committed, counted, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from headrace.runtime.kafka_worker import KafkaWorker

#: What a lane can be; each is told, as 0 or 1, so that a rule can wait for one.
_STATES = ("opening", "replaying", "deciding", "ended", "fenced", "failed")


class WorkerMetrics:
    """Gathers the metrics of a worker when they are asked for.

    Events, decisions and commits are those of the stage that decides; lanes are told of every
    stage, which a label names where there are several.

    Args:
        workers: What works each stage, by the name that is shown for it; the last one decides.
    """

    def __init__(self, workers: Mapping[str, KafkaWorker]) -> None:
        self._workers = dict(workers)
        self._deciding = list(workers.values())[-1]
        self._labels: tuple[str, ...] = ("stage",) if len(workers) > 1 else ()
        self._state = StateMetrics()

    def gather(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        worker = self._deciding
        yield running(worker.stage.header, worker.stage.settings.lane.durability)
        yield from counted(worker.stage.header, worker.meters)
        yield from committed(worker.meters)
        yield from self._groups()
        yield from self._lanes()
        opened = [lane for worker in self._workers.values() for lane in worker.open_lanes()]
        yield from self._state.gather([lane.local for lane in opened])

    def _stage(self, name: str) -> tuple[str, ...]:
        """The values of the labels that every series of a stage begins with."""
        return (name,) if self._labels else ()

    def _groups(self) -> Iterator[Metric]:
        """What the groups did."""
        lanes = {self._stage(name): worker.lanes for name, worker in self._workers.items()}
        for name, what, counts in (
            (
                "headrace_rebalances",
                "How often the group gave lanes anew.",
                {stage: one.rebalances for stage, one in lanes.items()},
            ),
            (
                "headrace_lanes_lost",
                "Lanes that were another worker's before this one heard of it.",
                {stage: one.lost for stage, one in lanes.items()},
            ),
            (
                "headrace_lanes_fenced",
                "Lanes whose transactions were refused since another worker had them.",
                {stage: one.fenced for stage, one in lanes.items()},
            ),
        ):
            yield counter(name, what, self._labels, counts)
        yield gauge(
            "headrace_lanes",
            "Lanes over all workers.",
            self._labels,
            {stage: float(one.of) for stage, one in lanes.items()},
        )

    def _lanes(self) -> Iterator[Metric]:
        """How each lane of the worker stands."""
        standings = {
            self._stage(name): worker.lanes.standings() for name, worker in self._workers.items()
        }
        opened = [
            (self._stage(name), lane)
            for name, worker in self._workers.items()
            for lane in worker.open_lanes()
        ]
        yield gauge(
            "headrace_lanes_owned",
            "Lanes that this worker has.",
            self._labels,
            {stage: float(len(found)) for stage, found in standings.items()},
        )
        yield gauge(
            "headrace_lane_state",
            "1 for the state that a lane is in.",
            (*self._labels, "lane", "state"),
            {
                (*stage, str(one.lane), state): float(one.state == state)
                for stage, found in standings.items()
                for one in found
                for state in _STATES
            },
        )
        yield gauge(
            "headrace_journal_next_seq",
            "Number of the input after the last that the journal's signed head vouches for.",
            (*self._labels, "lane"),
            {
                (*stage, str(one.lane)): one.next_seq
                for stage, found in standings.items()
                for one in found
            },
        )
        yield gauge(
            "headrace_lag_messages",
            "Messages of a partition that are not decided yet, as far as is known.",
            (*self._labels, "topic", "partition", "lane"),
            {
                (*stage, place.topic, str(place.number), str(lane.id.number)): behind
                for stage, lane in opened
                for place, behind in lane.behind_by().items()
            },
        )
        paused: Counter[tuple[str, ...]] = Counter(dict.fromkeys(standings, 0))
        for stage, lane in opened:
            paused[stage] += lane.paused()
        yield gauge(
            "headrace_partitions_paused",
            "Partitions that are not fetched for now, since much of what was waits for a stage.",
            self._labels,
            {stage: float(count) for stage, count in paused.items()},
        )
