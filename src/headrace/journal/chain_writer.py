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
from headrace.journal.frames import BatchHeader, FrameKind, SignedHead, framed
from headrace.journal.payload import encode_payload, positions_in

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


class FrameGroup(Struct, frozen=True):
    """Batches and the signed head that vouches for them: what a group commit makes durable.

    Attributes:
        batches: Of each, the bytes of the header that it is recorded under, and its frame in parts.
        first_seq: Sequence number of the first input.
        previous: The head before it.
        head: The head after it.
        next_seq: The sequence number after the last input.
        commit: The frame of the signed head.
    """

    batches: tuple[tuple[bytes, list[Any]], ...]
    first_seq: int
    previous: bytes
    head: bytes
    next_seq: int
    commit: bytes

    @property
    def size(self) -> int:
        """Bytes of all frames, without those of headers."""
        return sum(len(part) for _, body in self.batches for part in body) + len(self.commit)

    def frames(self, written: bytes = b"") -> tuple[list[Any], bytes]:
        """The frames in parts, with a header wherever it changes.

        Args:
            written: The header in force before; none is written where it stays so.

        Returns:
            The parts, and the header in force after them.
        """
        parts: list[Any] = []
        for encoded, body in self.batches:
            if encoded != written:
                parts += [framed(FrameKind.HEADER, len(encoded)), encoded]
                written = encoded
            parts += body
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
        self._pending: list[tuple[bytes, list[Any]]] = []
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
            hashed = hashlib.sha256()
            for part in payload:
                hashed.update(part)
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
            size = sum(len(memoryview(part)) for part in payload)
            encoded = link.encoded()
            body = [framed(FrameKind.BATCH, len(encoded) + size), encoded, *payload]
            self._pending.append((self._header_encoded, body))
            return Appended(self._head, self._next_seq, digests)

    def close_group(self) -> FrameGroup | None:
        """What was appended since, with its head signed; None where nothing was."""
        with self._lock:
            pending, self._pending = self._pending, []
            head, next_seq = self._head, self._next_seq
        if not pending:
            return None
        first = BatchHeader.of_bytes(pending[0][1][1])
        signed = SignedHead.signed(self._key, next_seq, head, self._clock()).encoded()
        return FrameGroup(
            batches=tuple(pending),
            first_seq=first.first_seq,
            previous=first.previous,
            head=head,
            next_seq=next_seq,
            commit=framed(FrameKind.COMMIT, len(signed)) + signed,
        )
