"""Frames: how the journal's segment files are laid out, and the links of its chain.

A segment is a file of frames. The first says which segment it is and where the chain stands; then
come headers, batches and commits. Every byte of a frame is either fixed by this layout or bound
into the chain of heads, which commits sign. Integers are little-endian.
"""

from __future__ import annotations

import hashlib
import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from headrace.core.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from headrace.core.columns import Bytes
    from headrace.journal.keys import PublicKey, SigningKey

MAGIC = b"HRJF"
VERSION = 1
SUFFIX = ".segment"
FRAME = struct.Struct("<4sBxxxQ")
_START = struct.Struct("<IIQ32s")
_BATCH = struct.Struct("<QII32s32s32s32s")
_COMMIT = struct.Struct("<32sQ32sQ64s")
#: What the frame of a commit takes.
COMMIT_BYTES = FRAME.size + _COMMIT.size
_HEAD_DOMAIN = b"headrace/batch/v1\0"
_SIGNED_DOMAIN = b"headrace/head/v1\0"

#: The head before the first batch of a journal.
GENESIS = hashlib.sha256(b"headrace/genesis/v1\0").digest()


class FrameKind(IntEnum):
    """What a frame holds."""

    START = 1
    HEADER = 2
    BATCH = 3
    COMMIT = 4


class FrameDamaged(JournalError):
    """A frame that is cut short, or is none.

    Attributes:
        offset: Where it starts in its segment.
    """

    def __init__(self, offset: int, what: str) -> None:
        self.offset = offset
        self.what = what
        super().__init__(f"at byte {offset}: {what}")


class Frame(Struct, frozen=True):
    """One frame as it lies in its file."""

    kind: FrameKind
    offset: int
    body: Bytes

    @property
    def end(self) -> int:
        """Where the next frame starts."""
        return self.offset + FRAME.size + len(self.body)


class SegmentStart(Struct, frozen=True):
    """The first frame of a segment: its number, and the chain before it."""

    segment: int
    first_seq: int
    previous: bytes

    def encoded(self) -> bytes:
        """The body of the frame."""
        return _START.pack(VERSION, self.segment, self.first_seq, self.previous)

    @staticmethod
    def decoded(frame: Frame) -> SegmentStart:
        """The inverse of `encoded`."""
        version, segment, first_seq, previous = _unpacked(_START, frame)
        if version != VERSION:
            raise FrameDamaged(
                frame.offset, f"the segment is of format {version}; this version reads {VERSION}"
            )
        return SegmentStart(segment, first_seq, previous)


class BatchHeader(Struct, frozen=True):
    """What the chain holds of a batch; `head()` is the link.

    Attributes:
        first_seq: Sequence number of its first input.
        inputs: How many inputs.
        decisions: How many decisions.
        root: Merkle root of the inputs' leaves.
        previous: The head before it.
        header: Digest of the journal's header that holds for it.
        payload: SHA-256 of the payload.
    """

    first_seq: int
    inputs: int
    decisions: int
    root: bytes
    previous: bytes
    header: bytes
    payload: bytes

    @property
    def next_seq(self) -> int:
        """The sequence number after its last input."""
        return self.first_seq + self.inputs

    def encoded(self) -> bytes:
        """The first 144 bytes of the frame's body."""
        return _BATCH.pack(
            self.first_seq,
            self.inputs,
            self.decisions,
            self.root,
            self.previous,
            self.header,
            self.payload,
        )

    def head(self) -> bytes:
        """The head of the chain after this batch."""
        return hashlib.sha256(_HEAD_DOMAIN + self.encoded()).digest()

    @staticmethod
    def of_bytes(encoded: bytes) -> BatchHeader:
        """The inverse of `encoded`."""
        return BatchHeader(*_BATCH.unpack(encoded))

    @staticmethod
    def decoded(frame: Frame) -> tuple[BatchHeader, Bytes]:
        """The batch header of a frame, and the payload after it."""
        if len(frame.body) < _BATCH.size:
            raise FrameDamaged(frame.offset, f"a batch of {len(frame.body)} bytes is too short")
        return BatchHeader(*_BATCH.unpack(frame.body[: _BATCH.size].tobytes())), frame.body[
            _BATCH.size :
        ]


class SignedHead(Struct, frozen=True):
    """A commit: a head with the signature that vouches for all before it.

    Attributes:
        key_id: SHA-256 of the public key.
        next_seq: The sequence number after the last input that it vouches for.
        head: The head.
        signed_ns: When it was signed, by the clock of the machine that did.
        signature: Ed25519 over all of it.
    """

    key_id: bytes
    next_seq: int
    head: bytes
    signed_ns: int
    signature: bytes = bytes(64)

    def message(self) -> bytes:
        """What is signed."""
        return _SIGNED_DOMAIN + self.encoded()[:-64]

    def encoded(self) -> bytes:
        """The body of the frame."""
        return _COMMIT.pack(self.key_id, self.next_seq, self.head, self.signed_ns, self.signature)

    def verifies(self, keys: Sequence[PublicKey]) -> bool:
        """Whether one of the keys signed it."""
        return any(
            key.key_id == self.key_id and key.verifies(self.signature, self.message())
            for key in keys
        )

    @staticmethod
    def signed(key: SigningKey, next_seq: int, head: bytes, now_ns: int) -> SignedHead:
        """A head, signed."""
        bare = SignedHead(key.public.key_id, next_seq, head, now_ns)
        return SignedHead(bare.key_id, next_seq, head, now_ns, key.sign(bare.message()))

    def framed(self) -> bytes:
        """The frame."""
        return framed(FrameKind.COMMIT, _COMMIT.size) + self.encoded()

    @staticmethod
    def decoded(frame: Frame) -> SignedHead:
        """The inverse of `encoded`."""
        return SignedHead(*_unpacked(_COMMIT, frame))


def _unpacked(layout: struct.Struct, frame: Frame) -> tuple[Any, ...]:
    if len(frame.body) != layout.size:
        raise FrameDamaged(
            frame.offset,
            f"a {frame.kind.name} frame of {len(frame.body)} bytes should have {layout.size}",
        )
    return layout.unpack(frame.body.tobytes())


def framed(kind: FrameKind, length: int) -> bytes:
    """The 16 bytes before a body of that length."""
    return FRAME.pack(MAGIC, kind, length)


def segment_path(folder: Path, segment: int) -> Path:
    """The file of a segment."""
    return folder / f"{segment:010d}{SUFFIX}"


def segment_paths(folder: Path) -> list[Path]:
    """The files of all segments, in order."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file())


def frames_of(path: Path, start: int = 0) -> Iterator[Frame]:
    """The frames of a segment, from the one at byte `start`, as far as they are whole.

    Raises:
        FrameDamaged: What comes next is cut short, or is no frame.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(start)
        offset = start
        while offset < size:
            head = file.read(FRAME.size)
            kind, length = _frame_head(head, offset, size)
            body = np.fromfile(file, dtype=np.uint8, count=length)
            if len(body) != length:
                raise FrameDamaged(
                    offset, f"a frame of {length} bytes is cut short after {len(body)}"
                )
            frame = Frame(kind, offset, body)
            yield frame
            offset = frame.end


def links_from(path: Path, start: int) -> Iterator[BatchHeader | SignedHead]:
    """The batches and commits from the frame at byte `start` on; payloads are not read.

    Raises:
        FrameDamaged: What comes next is cut short, or is no frame.
    """
    size = path.stat().st_size
    with path.open("rb", 4096) as file:
        offset = start
        while offset < size:
            file.seek(offset)
            kind, length = _frame_head(file.read(FRAME.size), offset, size)
            if kind in (FrameKind.BATCH, FrameKind.COMMIT):
                body = file.read(min(length, _BATCH.size))
                frame = Frame(kind, offset, np.frombuffer(body, np.uint8))
                is_batch = kind is FrameKind.BATCH
                yield BatchHeader.decoded(frame)[0] if is_batch else SignedHead.decoded(frame)
            offset += FRAME.size + length


def closing_head(path: Path) -> SignedHead:
    """The commit that a segment ends with.

    Raises:
        FrameDamaged: It does not end with one.
    """
    start = max(0, path.stat().st_size - FRAME.size - _COMMIT.size)
    frame = next(frames_of(path, start), None)
    if frame is None or frame.kind is not FrameKind.COMMIT:
        raise FrameDamaged(start, "the segment does not end with a signed head")
    return SignedHead.decoded(frame)


def frames_in(data: Bytes) -> Iterator[Frame]:
    """The frames that lie one after the other in `data`; `offset` counts from its start.

    Raises:
        FrameDamaged: What comes next is cut short, or is no frame.
    """
    offset = 0
    while offset < len(data):
        kind, length = _frame_head(data[offset : offset + FRAME.size].tobytes(), offset, len(data))
        body = data[offset + FRAME.size : offset + FRAME.size + length]
        frame = Frame(kind, offset, body)
        yield frame
        offset = frame.end


def _frame_head(head: bytes, offset: int, size: int) -> tuple[FrameKind, int]:
    """Kind and length of the frame whose first 16 bytes these are."""
    if len(head) < FRAME.size:
        raise FrameDamaged(offset, f"the file ends {len(head)} bytes into a frame")
    magic, kind, length = FRAME.unpack(head)
    if magic != MAGIC or head[5:8] != b"\0\0\0":
        raise FrameDamaged(offset, f"a frame should start with {MAGIC!r}, not {head[:8]!r}")
    if kind not in iter(FrameKind):
        raise FrameDamaged(offset, f"there is no frame of kind {kind}")
    if length > size - offset - FRAME.size:
        missing = length - (size - offset - FRAME.size)
        raise FrameDamaged(offset, f"a frame of {length} bytes lacks its last {missing}")
    return FrameKind(kind), length
