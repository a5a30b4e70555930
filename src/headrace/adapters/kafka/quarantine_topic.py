"""Quarantined events as messages: the reason in headers, the event as it came where it may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.adapters.kafka.transactions import Outgoing
from headrace.journal.batch import InputKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.adapters.kafka.messages import Partition
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader


def quarantine_topic(use_case: str) -> str:
    """The topic that a use case's quarantined events go to.

    >>> quarantine_topic("card-fraud")
    'headrace.card-fraud.quarantine'
    """
    return f"headrace.{use_case}.quarantine"


class QuarantineTopic:
    """A topic that quarantined events go to.

    The content is the event as it came. Where its stream has personal data there is none: that is
    sealed in the vault, and a copy of it in a topic could not be erased with the person. The
    headers name the message that it came in. A content that is too long for a message beside its
    headers is left out, and is where these say.

    Args:
        topic: Its name.
        partition: Of the lane.
        came_from: The partition of each source, by its number in the journal's header.
        as_it_came: Gives the content of a message by source and offset.
        most_bytes: Of a content; of a longer one the headers tell where it is.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        came_from: Sequence[Partition],
        as_it_came: Callable[[int, int], bytes | None],
        most_bytes: int,
    ) -> None:
        self._most_bytes = most_bytes
        self._topic, self._partition = topic, partition
        self._came_from = came_from
        self._as_it_came = as_it_came

    def outgoing(self, batch: JournalBatch, header: JournalHeader) -> list[Outgoing]:
        """The messages of a batch, in known order."""
        rows = np.flatnonzero(batch.inputs.kind == InputKind.QUARANTINED).tolist()
        if not rows:
            return []
        told = batch.quarantined
        texts = {
            "field": told.field.strings(),
            "value": told.value.strings(),
            "expected": told.expected.strings(),
            "vault": told.vault.strings(),
        }
        place = {int(seq): at for at, seq in enumerate(told.seq)}
        personal = [any(field.pii for field in stream.schema.fields) for stream in header.streams]
        values: list[bytes | None] = []
        headers: list[list[tuple[str, bytes]]] = []
        for row in rows:
            inputs, seq = batch.inputs, batch.first_seq + row
            number, offset = int(inputs.source[row]), int(inputs.position[row])
            rank = int(inputs.stream[row])
            came = self._came_from[number]
            said = {
                "input": f"{header.lane}/{seq}",
                "stream": header.stream_names[rank],
                "reason": header.reasons[int(inputs.reason[row])],
                **{name: column[place[seq]] or "" for name, column in texts.items()},
                "topic": came.topic,
                "partition": str(came.number),
                "offset": str(offset),
            }
            content = None if personal[rank] else self._as_it_came(number, offset)
            if content is not None and len(content) > self._most_bytes:
                said["left_out"] = f"{len(content)} bytes"
                content = None
            headers.append([(name, value.encode()) for name, value in said.items() if value])
            values.append(content)
        return [Outgoing(self._topic, self._partition, values, headers)]
