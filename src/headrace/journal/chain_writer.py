"""The writing end of the chain: batches in, groups of frames with a signed head out.

It knows nothing of where the frames go. The same bytes lie in a segment file and in a message of a
topic.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from headrace.core.errors import InvariantBroken
from headrace.core.sha256 import leaves_of, merkle_root
from headrace.journal.canonical import RecordWriter
from headrace.journal.frames import (
    COMMIT_BYTES,
    FRAME,
    BatchHeader,
    FrameKind,
    SignedHead,
    framed,
)
from headrace.journal.payload import encode_payload, positions_in
from headrace.journal.seal import Seal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headrace.core.columns import Bytes
    from headrace.journal.batch import JournalBatch, Position
    from headrace.journal.chain import Chain
    from headrace.journal.header import JournalHeader
    from headrace.journal.keys import SigningKey

#: Up to so many inputs, a batch is stored as records, not as columns.
RECORD_ROWS = 512


class Appended(Struct, frozen=True):
    """A batch that waits for the next commit.

    Attributes:
        head: The head after it, not yet signed.
        next_seq: The sequence number after it.
        digests: Digest of each input's record, uint8 [n, 32].
    """

    head: bytes
    next_seq: int
    digests: Bytes


class BatchFrame(Struct, frozen=True):
    """A batch as it is written.

    Attributes:
        header: The bytes of the header that it is recorded under.
        link: What the chain holds of it.
        parts: Its frame.
        size: Bytes of that.
    """

    header: bytes
    link: BatchHeader
    parts: list[Any]
    size: int


class FrameGroup(Struct, frozen=True):
    """Batches and the signed head that vouches for them: what a group commit makes durable.

    Attributes:
        batches: At least one.
        head: The head after them.
        next_seq: The sequence number after the last input.
        commit: The frame of the signed head; b"" where it is still to be signed.
    """

    batches: tuple[BatchFrame, ...]
    head: bytes
    next_seq: int
    commit: bytes

    @property
    def first_seq(self) -> int:
        """Sequence number of the first input."""
        return self.batches[0].link.first_seq

    @property
    def previous(self) -> bytes:
        """The head before the first batch."""
        return self.batches[0].link.previous

    @property
    def size(self) -> int:
        """Bytes of all frames, without those of headers."""
        return sum([batch.size for batch in self.batches]) + COMMIT_BYTES

    def frames(self, written: bytes = b"") -> tuple[list[Any], bytes]:
        """The frames in parts, with a header wherever it changes.

        Args:
            written: The header in force before; none is written where it stays so.

        Returns:
            The parts, and the header in force after them.
        """
        parts: list[Any] = []
        for batch in self.batches:
            if batch.header != written:
                written = batch.header
                parts += [framed(FrameKind.HEADER, len(written)), written]
            parts += batch.parts
        return [*parts, self.commit], written


class ChainWriter:
    """Hashes batches into the chain, and closes groups of them with a signed head.

    `append` and `close_group` may be called from two threads.

    Args:
        chain: Where the chain stands.
        header: What the batches to come are recorded under.
        key: What signs the heads.
        clock: Nanoseconds since 1970, for the time of signing.
    """

    def __init__(
        self, chain: Chain, header: JournalHeader, key: SigningKey, clock: Callable[[], int]
    ) -> None:
        self._key, self._clock = key, clock
        self._head, self._next_seq = chain.head, chain.next_seq
        self._positions: dict[str, Position] = {}
        if chain.payload is not None:
            self._positions = positions_in(chain.payload)
        self._header, self._header_encoded = header, header.encoded()
        self._header_digest = header.digest()
        self._pending: list[BatchFrame] = []
        self._lock = threading.Lock()

    @property
    def next_seq(self) -> int:
        """The sequence number of the next input to append."""
        return self._next_seq

    @property
    def positions(self) -> Mapping[str, Position]:
        """Where every source goes on after what was appended."""
        return dict(self._positions)

    def describe(self, header: JournalHeader) -> None:
        """Record the batches to come under another header."""
        with self._lock:
            self._header, self._header_encoded = header, header.encoded()
            self._header_digest = header.digest()

    def append(self, batch: JournalBatch) -> Appended:
        """Hash a batch into the chain and hold it for the next group.

        Raises:
            InvariantBroken: The batch does not follow the last one, or its parts do not fit.
        """
        with self._lock:
            if batch.first_seq != self._next_seq or not len(batch):
                raise InvariantBroken(
                    f"a batch of inputs from {batch.first_seq} on follows input"
                    f" {self._next_seq - 1}"
                )
            positions = self._positions | dict(batch.positions)
            # a small batch is stored as what is hashed: to look at each of its columns would cost
            # more than the bytes it saves
            records: list[bytes] | None = [] if len(batch) <= RECORD_ROWS else None
            digests = RecordWriter(batch, self._header).digests(records)
            leaves = leaves_of(digests, batch.inputs.read_ns)
            payload = encode_payload(batch, self._header, leaves, records, positions=positions)
            hashed, size = hashlib.sha256(), 0
            for part in payload:
                hashed.update(part)
                size += memoryview(part).nbytes
            link = BatchHeader(
                batch.first_seq,
                len(batch),
                len(batch.decisions),
                merkle_root(leaves),
                self._head,
                self._header_digest,
                hashed.digest(),
            )
            self._head, self._next_seq = link.head(), link.next_seq
            self._positions = positions
            encoded = link.encoded()
            size += len(encoded)
            parts = [framed(FrameKind.BATCH, size), encoded, *payload]
            self._pending.append(BatchFrame(self._header_encoded, link, parts, FRAME.size + size))
            return Appended(self._head, self._next_seq, digests)

    def close_group(self, *, sign: bool = True) -> FrameGroup | None:
        """What was appended since, with its head signed; None where nothing was.

        Args:
            sign: Whether to sign it; `signed` and `sealed` are for who does not.
        """
        with self._lock:
            pending, self._pending = self._pending, []
            head, next_seq = self._head, self._next_seq
        if not pending:
            return None
        commit = self.signed(next_seq, head) if sign else b""
        return FrameGroup(tuple(pending), head, next_seq, commit)

    def signed(self, next_seq: int, head: bytes) -> bytes:
        """The frame of a signed head."""
        return SignedHead.signed(self._key, next_seq, head, self._clock()).framed()

    def sealed(self, next_seq: int, head: bytes) -> Seal:
        """The seal of a head that is signed later."""
        return Seal.made(self._key, next_seq, head)
