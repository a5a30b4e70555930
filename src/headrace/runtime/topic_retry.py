"""A lane over Kafka that is taken over for what came back from quarantine, and let go of again.

Its transactions fence whoever holds the lane, so nothing is decided beside them. A worker of a
group takes the lane again by itself; one that has it alone is to be stopped before.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from headrace.adapters.kafka.decision_topic import DecisionTopic
from headrace.adapters.kafka.journal_topic import journal_topic
from headrace.adapters.kafka.membership import Alone
from headrace.adapters.kafka.messages import Partition
from headrace.adapters.kafka.quarantine_topic import QuarantineTopic, quarantine_topic
from headrace.runtime.journals import dedupe_key
from headrace.runtime.kafka_stage import WorkerKeys
from headrace.runtime.lane_hold import LaneHold
from headrace.runtime.local_lane import LocalLane, master_key, signing_key
from headrace.runtime.quarantine import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headrace.adapters.kafka.cluster import Cluster
    from headrace.adapters.kafka.transactions import LaneId, Outgoing
    from headrace.journal.batch import JournalBatch
    from headrace.pipeline.lane import Definition
    from headrace.runtime.home import Home


@contextmanager
def taken_over(
    definition: Definition,
    home: Home,
    cluster: Cluster,
    lane: LaneId,
    sinks: Sequence[str],
    *,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> Iterator[LocalLane]:
    """The lane, open for this process alone; it is closed at the end.

    Args:
        definition: What decides.
        home: That has the keys, and a copy of the journal up to now.
        cluster: Where the journal is.
        lane: Which.
        sinks: Topics that decisions go to.
        say: Told what a user should know.
        progress: Called with (inputs replayed, inputs to replay).

    Raises:
        NotFound: A topic is not there.
        JournalError: The journal is not to be gone on with.
    """
    counts = {topic: cluster.needed(topic) for topic in [journal_topic(lane.use_case), *sinks]}
    holder = Alone(cluster, f"headrace.{lane.use_case}")
    keys = WorkerKeys(signing_key(home), master_key(home), dedupe_key(home))
    hold = LaneHold(cluster, lane, holder, keys, say, lambda: False, opens_bytes=True)
    local = LocalLane(
        definition, home, [SOURCE], None, progress, say=say, kept=hold.kept, lane=lane.number
    )
    with local:
        came_from = [lane.number] * len(local.header.sources)
        decisions = [DecisionTopic(topic, counts[topic], came_from) for topic in sinks]
        quarantine = QuarantineTopic(
            quarantine_topic(lane.use_case),
            lane.number,
            [Partition(SOURCE, lane.number)] * len(came_from),
            lambda _source, _seq: None,  # its bytes are sealed since it came at first
            0,
        )

        def left(batches: Sequence[JournalBatch]) -> list[Outgoing]:
            found: list[Outgoing] = []
            for batch in batches:
                for topic in decisions:
                    found += topic.outgoing(batch, local.header)
                found += quarantine.outgoing(batch, local.header)
            return found + hold.vault_records()

        hold.journal.attach(None, {}, left)
        yield local
