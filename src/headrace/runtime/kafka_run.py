"""A run over Kafka: this process's part in every stage of a use case."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from numba.core.event import install_timer

from headrace.adapters.kafka.journal_topic import journal_topic
from headrace.core.errors import DataError, DefinitionError
from headrace.runtime.kafka_stage import KafkaStage
from headrace.runtime.kafka_staging import AdmissionStage, MainStageLanes, SideStageLanes
from headrace.runtime.kafka_worker import KafkaWorker
from headrace.runtime.run import undisturbed
from headrace.runtime.stopping import stopping

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.pipeline.use_case import UseCase
    from headrace.runtime.home import Home
    from headrace.runtime.kafka_stage import LaneStage
    from headrace.runtime.kafka_topics import Topics
    from headrace.runtime.local import RunSettings

#: Between two looks at the stages.
_LOOK_SECONDS = 0.1


class KafkaRun:
    """Works lanes of all stages until it is stopped.

    Args:
        case: The use case.
        home: Where keys, vault, models and snapshots are; journals are in the cluster.
        topics: What is read and written.
        settings: See `RunSettings`.
        progress: Called with (what is done, done, of how many) while kernels are loaded.
        say: Told what a user should know while it goes on.

    Attributes:
        meters: What the stage that decides has counted, over this process's lanes.
        stages: What works each stage, by the name that is shown for it; the last one decides.

    Raises:
        NotFound: A topic is not there.
        DataError: The cluster cannot be reached, or its topics do not fit together.
        DefinitionError: The use case cannot be worked on in stages.
    """

    def __init__(
        self,
        case: UseCase,
        home: Home,
        topics: Topics,
        settings: RunSettings,
        progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
        say: Callable[[str], None] = lambda _word: None,
    ) -> None:
        self._case, self._topics = case, topics
        stages = self._stages(home, settings, progress, say)
        self.workers = [KafkaWorker(stage, say) for stage in stages]
        for stage, worker in zip(stages, self.workers, strict=True):
            if isinstance(stage, SideStageLanes | MainStageLanes) and stage.until_end:
                before = self.workers[: self.workers.index(worker)]
                sides = isinstance(stage, SideStageLanes)
                stage.fed = _Through(before[:1] if sides else before)
        self.meters = self.workers[-1].meters
        self.stages = {shown(case.name, worker.stage.name): worker for worker in self.workers}
        self._stop = threading.Event()
        self._failed: list[BaseException] = []

    @property
    def journal(self) -> str:
        """Where the journal is, for people."""
        cluster = self.workers[-1].stage.cluster
        return f"topic {journal_topic(self._case.name)} of {cluster.servers}"

    def stop(self) -> None:
        """End in good order: what was read is decided and committed."""
        self._stop.set()
        for worker in self.workers:
            worker.stop()

    def go(self) -> None:
        """Work until it is stopped, or until the end where that was asked for.

        Raises:
            HeadraceError: A lane cannot go on; the others were closed in good order.
        """
        with ExitStack() as going:
            going.enter_context(install_timer("numba:compile", self.meters.compiled))
            going.enter_context(stopping(self.stop))
            going.enter_context(undisturbed())
            if len(self.workers) == 1:
                self.workers[0].work()
            else:
                self._together()

    def _together(self) -> None:
        """Work all stages, each in a thread that looks after its group."""
        threads = [
            threading.Thread(target=self._work, args=(worker,), name=worker.stage.name)
            for worker in self.workers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(_LOOK_SECONDS)
        if self._failed:
            raise self._failed[0]

    def _work(self, worker: KafkaWorker) -> None:
        try:
            worker.work()
        except BaseException as error:  # noqa: BLE001 - it is raised again when all have ended
            self._failed.append(error)
            self.stop()

    def _stages(
        self,
        home: Home,
        settings: RunSettings,
        progress: Callable[[str, int, int], None],
        say: Callable[[str], None],
    ) -> list[LaneStage]:
        """The stages, those that feed others first."""
        case, topics = self._case, self._topics
        if topics.setting("single") is not None:
            return [KafkaStage(case, home, topics, settings, progress, say)]
        try:
            planned = case.stages(topics.setting("key"))
        except DefinitionError as error:
            raise DataError(
                f"{case.name} cannot be worked on where topics have many partitions: {error}."
                " Write ?single after a source, and one lane takes all; or name the field that"
                " they are partitioned by, as in ?key=card"
            ) from error
        tables = {table.name for table in case.plan.tables}
        cluster = topics.cluster(say)
        counts = [cluster.needed(at.topic) for name, at in topics.sources if name not in tables]
        if not planned.sides or max(counts, default=1) == 1:
            # one partition is in one order: nothing is scattered
            return [KafkaStage(case, home, topics, settings, progress, say)]
        first = AdmissionStage(case, planned, home, topics, settings, progress, say=say)
        sides = [SideStageLanes(first, side) for side in planned.sides]
        return [first, *sides, MainStageLanes(first, progress)]


def shown(use_case: str, stage: str) -> str:
    """What a stage is called by beside the others of its use case.

    >>> shown("card-fraud", "card-fraud.by-merchant"), shown("card-fraud", "card-fraud")
    ('by-merchant', 'main')
    """
    return stage.removeprefix(use_case).removeprefix(".") or "main"


class _Through:
    """Whether workers have reached the end that was asked for."""

    def __init__(self, workers: list[KafkaWorker]) -> None:
        self._workers = workers

    def __call__(self) -> bool:
        return all(worker.through.is_set() for worker in self._workers)
