"""Decisions as messages: one for each, or a batch of lines in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.adapters.answers import answer_lines, answer_table
from headrace.adapters.kafka.transactions import Outgoing
from headrace.adapters.sinks import decision_lines
from headrace.journal.tables import decision_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from headrace.adapters.row_writers import RowWriter
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader


def columns_of(batch: JournalBatch, header: JournalHeader, *, whole: bool) -> pa.Table:
    """What decisions carry in forms that have a schema; see `DecisionTopic` for `whole`."""
    return decision_table(batch, header) if whole else answer_table(batch, header)


class DecisionTopic:
    """A topic that decisions go to, each into the partition that its event came from.

    A decision of an event of partition `p` goes to partition `p` modulo those of the topic, so the
    order of a partition is kept.

    Args:
        topic: Its name.
        partitions: How many it has.
        came_from: The partition of each source, by its number in the journal's header.
        most_bytes: Of a message of several decisions; None for one decision in each.
        whole: Whether each carries all that files of decisions have: its event and features too.
        writer: Writes them in another form than JSON, one in each message.
    """

    def __init__(
        self,
        topic: str,
        partitions: int,
        came_from: Sequence[int],
        most_bytes: int | None = None,
        *,
        whole: bool = False,
        writer: RowWriter | None = None,
    ) -> None:
        self._writer = writer
        self._whole = whole
        self._topic = topic
        self._goes_to = np.array(came_from, dtype=np.int64) % partitions
        self._most_bytes = most_bytes

    def outgoing(self, batch: JournalBatch, header: JournalHeader) -> list[Outgoing]:
        """The messages of a batch, in known order within each partition."""
        if len(batch.decisions) == 0:
            return []
        lines = self._each(batch, header)
        rows = batch.decisions.seq - batch.first_seq
        goes_to = self._goes_to[batch.inputs.source[rows]]
        partitions = np.unique(goes_to).tolist()
        found: list[Outgoing] = []
        for partition in partitions:
            mine = lines
            if len(partitions) > 1:
                mine = [lines[at] for at in np.flatnonzero(goes_to == partition).tolist()]
            found.append(Outgoing(self._topic, partition, self._messages(mine)))
        return found

    def _each(self, batch: JournalBatch, header: JournalHeader) -> list[bytes]:
        """Each decision as it is written."""
        if self._writer is not None:
            return self._writer.payloads(columns_of(batch, header, whole=self._whole))
        if self._whole:
            return decision_lines(decision_table(batch, header)).splitlines()
        return answer_lines(batch, header).splitlines()

    def _messages(self, lines: list[bytes]) -> list[bytes]:
        if self._most_bytes is None:
            return lines
        messages: list[bytes] = []
        held: list[bytes] = []
        size = 0
        for line in lines:
            if held and size + len(line) + 1 > self._most_bytes:
                messages.append(b"\n".join(held))
                held, size = [], 0
            held.append(line)
            size += len(line) + 1
        return [*messages, b"\n".join(held)]
