"""`headrace collect`: segment files from the topic that a journal is in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.errors import JournalError
from headrace.journal.group_reader import GroupReader
from headrace.journal.segments import SegmentFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from headrace.adapters.kafka.journal_topic import JournalTopic
    from headrace.journal.keys import PublicKey


@dataclass(frozen=True, slots=True)
class Collected:
    """What was collected.

    Attributes:
        first_seq: Where the folder ended before.
        next_seq: Where it ends now.
        size: Bytes that were added.
    """

    first_seq: int
    next_seq: int
    size: int


def collect(
    topic: JournalTopic,
    folder: Path,
    keys: Sequence[PublicKey],
    progress: Callable[[int], None] = lambda _done: None,
) -> Collected:
    """Add to a journal's folder what the topic holds beyond it; every group commit is checked.

    The frames are those of the topic, byte for byte. It may be stopped at any time, and goes on
    where the folder ends.

    Args:
        topic: Of the lane.
        folder: Made if it is not there.
        keys: Whose signatures are believed.
        progress: Called with the inputs that are in the folder.

    Raises:
        JournalError: The topic does not go on from where the folder ends, or was changed.
    """
    files = SegmentFiles(folder, keys, "os")
    try:
        reader = GroupReader(files.chain)
        first, size = reader.chain.next_seq, 0
        for message in topic.messages(first):
            try:
                group = reader.follow(message.content).group
            except JournalError as error:
                raise JournalError(
                    f"{topic.topic}/{topic.lane}, offset {message.offset}, does not go on from"
                    f" input {reader.chain.next_seq} of {folder}: {error}. Collect into a home of"
                    " its own, and run headrace verify on both"
                ) from error
            size += files.add(group)
            progress(group.next_seq)
        files.sync()
    finally:
        files.release()
    return Collected(first, reader.chain.next_seq, size)
