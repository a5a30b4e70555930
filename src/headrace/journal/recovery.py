"""Finding the last good head when a journal is opened, and moving aside what lies past it."""

from __future__ import annotations

import os
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.errors import JournalError
from headrace.core.folders import sync_folder
from headrace.journal.chain import Chain
from headrace.journal.frames import (
    FrameDamaged,
    SegmentStart,
    SignedHead,
    closing_head,
    frames_of,
    segment_path,
    segment_paths,
)
from headrace.journal.seal import Seal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from headrace.journal.keys import PublicKey, SigningKey

#: The sequence number after an input, and the head there.
SealedHead = tuple[int, bytes]
#: The folder that unvouched tails are moved to.
UNVOUCHED = "unvouched"


@dataclass(frozen=True, slots=True)
class UnvouchedTail:
    """Bytes past the last good head: of a write that was cut off, or of damage.

    Attributes:
        segment: Number of the segment that they lay in.
        offset: Where they began.
        size: How many.
        kept: The file that they were moved to.
        why: What is wrong with the first frame of them.
    """

    segment: int
    offset: int
    size: int
    kept: Path
    why: str

    def __str__(self) -> str:
        return (
            f"{self.size} bytes past the last good head "
            f"(segment {self.segment}, byte {self.offset}; "
            f"{self.why}) were moved to {self.kept}"
        )


@dataclass(frozen=True, slots=True)
class Recovered:
    """Where a journal goes on.

    Attributes:
        segment: Number of the last segment, -1 if there is none.
        size: Its bytes.
        chain: The chain after its last good head.
        tails: What was moved aside.
    """

    segment: int
    size: int
    chain: Chain
    tails: tuple[UnvouchedTail, ...]


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs the head of a group that was sealed, and whose writer was stopped before it signed.

    Attributes:
        key: The key that sealed it.
        clock: Nanoseconds since 1970, for the time of signing.
    """

    key: SigningKey
    clock: Callable[[], int]

    def sealed_head(self, folder: Path) -> SealedHead | None:
        """The head that a journal's seal vouches for; None if it has no seal of this key."""
        seal = Seal.read(folder)
        return (seal.next_seq, seal.head) if seal is not None and seal.holds(self.key) else None

    def sign(self, path: Path, good: int, chain: Chain) -> int:
        """Write the signed head of the chain at byte `good` of a segment; returns its end."""
        signed = SignedHead.signed(self.key, chain.next_seq, chain.head, self.clock())
        with path.open("ab") as file:
            file.write(signed.framed())
            file.flush()
            os.fsync(file.fileno())
        frame = next(frames_of(path, good))
        chain.follow(frame)
        return frame.end


def recover(folder: Path, keys: Sequence[PublicKey], signer: Signer | None = None) -> Recovered:
    """Find the last good head; what lies past it is moved to `unvouched/`, never deleted.

    Only the last segment is read: those before it were closed by a signed head, and `verify`
    reads them all. A head that is sealed and not signed is good, and is signed now.

    Args:
        folder: Of the journal.
        keys: Whose signatures are believed.
        signer: Whose seals are.

    Raises:
        JournalError: Segments are missing or do not join: that is damage, not a write cut off.
    """
    paths = segment_paths(folder)
    for number, path in enumerate(paths):
        if path != segment_path(folder, number):
            raise JournalError(
                f"{path} is not segment {number}: one is missing or was added; run headrace verify"
            )
    tails: list[UnvouchedTail] = []
    sealed = signer.sealed_head(folder) if signer else None
    while paths:
        segment = len(paths) - 1
        good, chain, why = _last_good(paths[-1], segment, keys, sealed)
        size = paths[-1].stat().st_size
        if size == 0:
            # a writer was stopped between making the file and writing to it: it holds nothing
            paths[-1].unlink()
            sync_folder(folder)
        elif good < size:
            tails.append(_move_aside(folder, paths[-1], segment, good, why))
        if good:
            _check_joint(folder, segment)
            if chain.is_open and signer is not None:
                good = signer.sign(paths[-1], good, chain)
            return Recovered(segment, good, chain, tuple(tails))
        paths.pop()
    return Recovered(-1, 0, Chain(keys), tuple(tails))


def _last_good(
    path: Path, segment: int, keys: Sequence[PublicKey], sealed: SealedHead | None
) -> tuple[int, Chain, str]:
    """Where the last good head of a segment ends (0: none), the chain there, what follows."""
    good, why = 0, "no signed head follows"
    best = chain = Chain(keys)
    try:
        for frame in frames_of(path):
            if frame.offset == 0:
                start = SegmentStart.decoded(frame)
                chain = Chain(keys, start.previous, start.first_seq)
                chain.start(frame, segment)
            elif (
                isinstance(chain.follow(frame), SignedHead)
                or (chain.next_seq, chain.head) == sealed
            ):
                good, best = frame.end, copy(chain)
    except (FrameDamaged, JournalError) as error:
        why = str(error)
    return good, best, why


def _check_joint(folder: Path, segment: int) -> None:
    """The segment goes on from the signed head that the one before it ends with."""
    if segment == 0:
        return
    start = SegmentStart.decoded(next(frames_of(segment_path(folder, segment))))
    before = segment_path(folder, segment - 1)
    try:
        signed = closing_head(before)
    except FrameDamaged as error:
        raise JournalError(
            f"{before} does not end with a signed head; run headrace verify"
        ) from error
    if (signed.head, signed.next_seq) != (start.previous, start.first_seq):
        raise JournalError(f"segment {segment} does not go on from {before}; run headrace verify")


def _move_aside(folder: Path, path: Path, segment: int, good: int, why: str) -> UnvouchedTail:
    """Move the bytes of a segment from `good` on to a file of their own, durably."""
    kept_in = folder / UNVOUCHED
    kept_in.mkdir(exist_ok=True)
    attempt = 0
    while (kept := kept_in / f"{segment:010d}-at-{good}-{attempt}.tail").exists():
        attempt += 1
    size = path.stat().st_size - good
    with path.open("rb") as source, kept.open("xb") as target:
        source.seek(good)
        while block := source.read(1 << 20):
            target.write(block)
        target.flush()
        os.fsync(target.fileno())
    sync_folder(kept_in)
    sync_folder(folder)
    if good:
        with path.open("r+b") as file:
            file.truncate(good)
            os.fsync(file.fileno())
    else:
        path.unlink()
        sync_folder(folder)
    return UnvouchedTail(segment, good, size, kept, why)
