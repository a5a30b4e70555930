"""Following the chain frame by frame: each must be exactly what can come next."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from headrace.journal.frames import (
    GENESIS,
    BatchHeader,
    Frame,
    FrameDamaged,
    FrameKind,
    SegmentStart,
    SignedHead,
)
from headrace.journal.header import JournalHeader, header_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.columns import Bytes
    from headrace.journal.keys import PublicKey


class Chain:
    """Where the chain stands after the frames that it was shown.

    Attributes:
        head: The head.
        next_seq: The sequence number that comes next.
        header: The journal header in force, None before the first.
        header_encoded: Its bytes.
        payload: The payload of the last batch.
        vouched: The last signed head, None before the first.

    Args:
        keys: Whose signatures are believed; None to take signatures as they stand.
        head: The head to start from.
        next_seq: The sequence number to start from.
    """

    def __init__(
        self, keys: Sequence[PublicKey] | None, head: bytes = GENESIS, next_seq: int = 0
    ) -> None:
        self.head = head
        self.next_seq = next_seq
        self.header: JournalHeader | None = None
        self.header_encoded = b""
        self.payload: Bytes | None = None
        self.vouched: SignedHead | None = None
        self._keys = keys
        self._header_digest = b""
        self._header_unused = False
        self._header_at = 0
        self._open = 0

    @property
    def is_open(self) -> bool:
        """Whether something follows the last signed head."""
        return self._open > 0 or self._header_unused

    def start(self, frame: Frame, segment: int) -> None:
        """The first frame of segment number `segment`.

        Raises:
            FrameDamaged: It does not go on from where the chain stands.
        """
        if frame.kind is not FrameKind.START or frame.offset != 0:
            raise FrameDamaged(frame.offset, f"a segment starts with START, not {frame.kind.name}")
        if self.is_open:
            raise FrameDamaged(0, "the segment before it ends without a signed head")
        start = SegmentStart.decoded(frame)
        if start != SegmentStart(segment, self.next_seq, self.head):
            raise FrameDamaged(
                0, f"segment {segment} does not go on from input {self.next_seq}: {start}"
            )
        self._header_digest = b""
        self.header = None

    def follow(self, frame: Frame) -> BatchHeader | SignedHead | None:
        """The next frame of a segment; returns what it holds, None for a header.

        Raises:
            FrameDamaged: It is not what can come next.
        """
        if frame.kind is FrameKind.HEADER:
            self._follow_header(frame)
            return None
        if frame.kind is FrameKind.BATCH:
            return self._follow_batch(frame)
        if frame.kind is FrameKind.COMMIT:
            return self._follow_commit(frame)
        raise FrameDamaged(frame.offset, "a START frame stands within a segment")

    def _follow_header(self, frame: Frame) -> None:
        encoded = frame.body.tobytes()
        digest = header_digest(encoded)
        if self._header_unused or digest == self._header_digest:
            raise FrameDamaged(frame.offset, "a header stands here that no batch is recorded under")
        self.header = JournalHeader.decoded(encoded)
        self.header_encoded, self._header_digest = encoded, digest
        self._header_unused, self._header_at = True, frame.offset

    def _follow_batch(self, frame: Frame) -> BatchHeader:
        batch, payload = BatchHeader.decoded(frame)
        span = f"the batch of inputs {batch.first_seq} to {batch.next_seq - 1}"
        if batch.previous != self.head or batch.first_seq != self.next_seq:
            raise FrameDamaged(frame.offset, f"{span} does not follow input {self.next_seq - 1}")
        if batch.header != self._header_digest:
            at = self._header_at if self._header_unused else frame.offset
            raise FrameDamaged(at, f"{span} was recorded under another header than the one here")
        if hashlib.sha256(payload.data).digest() != batch.payload:
            raise FrameDamaged(
                frame.offset, f"{span} was changed: its payload is not what was hashed"
            )
        self.head, self.next_seq, self.payload = batch.head(), batch.next_seq, payload
        self._header_unused = False
        self._open += 1
        return batch

    def _follow_commit(self, frame: Frame) -> SignedHead:
        signed = SignedHead.decoded(frame)
        if not self._open or self._header_unused:
            raise FrameDamaged(frame.offset, "a signed head stands here without a batch before it")
        if signed.head != self.head or signed.next_seq != self.next_seq:
            raise FrameDamaged(
                frame.offset, f"the signed head is not that after input {self.next_seq - 1}"
            )
        if self._keys is not None and not signed.verifies(self._keys):
            raise FrameDamaged(
                frame.offset,
                f"the signature of the head after input {self.next_seq - 1} is not by a known key",
            )
        self._open = 0
        self.vouched = signed
        return signed
