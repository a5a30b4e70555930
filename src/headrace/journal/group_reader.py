"""Following the chain group by group, where each group commit comes with its own header."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import JournalError
from headrace.journal.chain import Chain
from headrace.journal.chain_writer import BatchFrame, FrameGroup
from headrace.journal.frames import BatchHeader, FrameKind, SignedHead, framed, frames_in
from headrace.journal.payload import decode_payload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.columns import Bytes
    from headrace.journal.batch import JournalBatch
    from headrace.journal.frames import Frame
    from headrace.journal.header import JournalHeader
    from headrace.journal.keys import PublicKey


@dataclass(frozen=True, slots=True)
class ReadGroup:
    """A group commit that was found to follow the one before it.

    Attributes:
        group: Its frames.
        links: Of each batch, its entry in the chain, its header, and its payload.
    """

    group: FrameGroup
    links: tuple[tuple[BatchHeader, JournalHeader, Bytes], ...]

    def batches(self) -> list[JournalBatch]:
        """Its batches, as they were appended."""
        return [
            decode_payload(payload, header, link.first_seq)[0]
            for link, header, payload in self.links
        ]


class GroupReader:
    """Follows group commits from where the chain stands.

    Args:
        chain: After the last group that is known.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    @staticmethod
    def at(content: bytes, keys: Sequence[PublicKey]) -> GroupReader:
        """A reader that begins with a group, and takes its word for what was before.

        Args:
            content: The frames of the group.
            keys: Whose signatures are believed.
        """
        for frame in frames_in(np.frombuffer(content, dtype=np.uint8)):
            if frame.kind is FrameKind.BATCH:
                link, _ = BatchHeader.decoded(frame)
                return GroupReader(Chain(keys, link.previous, link.first_seq))
        raise JournalError(f"a group commit of {len(content)} bytes holds no batch")

    def follow(self, content: bytes) -> ReadGroup:
        """Take the next group.

        Raises:
            JournalError: It does not follow, was changed, or is not signed by a known key.
        """
        first_seq = self.chain.next_seq
        batches: list[BatchFrame] = []
        links: list[tuple[BatchHeader, JournalHeader, Bytes]] = []
        commit = b""
        for frame in frames_in(np.frombuffer(content, dtype=np.uint8)):
            if frame.kind is FrameKind.HEADER and self._is_in_force(frame):
                continue
            found = self.chain.follow(frame)
            header = self.chain.header
            if isinstance(found, BatchHeader) and header is not None:
                links.append((found, header, frame.body[len(found.encoded()) :]))
                whole = _whole(frame)
                batches.append(BatchFrame(self.chain.header_encoded, found, [whole], len(whole)))
            elif isinstance(found, SignedHead):
                commit = _whole(frame)
        if self.chain.is_open or not commit:
            raise JournalError(f"what follows input {first_seq - 1} ends without a signed head")
        group = FrameGroup(tuple(batches), self.chain.head, self.chain.next_seq, commit)
        return ReadGroup(group, tuple(links))

    def _is_in_force(self, frame: Frame) -> bool:
        return frame.body.tobytes() == self.chain.header_encoded


def _whole(frame: Frame) -> bytes:
    """A frame as it was written."""
    return framed(frame.kind, len(frame.body)) + frame.body.tobytes()
