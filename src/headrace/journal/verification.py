"""Verifying a journal: every byte against the chain, every record against its stored columns."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import InvariantBroken, JournalError, VerificationFailed
from headrace.core.sha256 import leaves_of, merkle_root
from headrace.journal import seal
from headrace.journal.canonical import RecordWriter
from headrace.journal.chain import Chain
from headrace.journal.frames import (
    GENESIS,
    SUFFIX,
    BatchHeader,
    Frame,
    FrameDamaged,
    FrameKind,
    SignedHead,
    frames_of,
    segment_path,
    segment_paths,
)
from headrace.journal.keys import PublicKey
from headrace.journal.payload import decode_payload
from headrace.journal.recovery import UNVOUCHED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from headrace.core.columns import Bytes
    from headrace.journal.checkpoint import Checkpoint
    from headrace.journal.header import JournalHeader


#: How long the signature of what is being written may take to come, and how often it is looked for.
_SIGNED_SECONDS, _LOOK_SECONDS = 1.0, 0.01


@dataclass(frozen=True, slots=True)
class Fault:
    """The first place where what is there is not what was recorded.

    Attributes:
        what: What is wrong.
        path: The file.
        offset: Where the frame starts in it; -1 if the file as a whole is wrong.
        frame: Number of the frame in the segment; -1 likewise.
        first_seq: The first input that may be affected; -1 if none is.
        last_seq: The last input of the frame; `first_seq` where one record could be named.
    """

    what: str
    path: Path
    offset: int = -1
    frame: int = -1
    first_seq: int = -1
    last_seq: int = -1

    def __str__(self) -> str:
        where = (
            f"{self.path}"
            if self.offset < 0
            else f"{self.path}, frame {self.frame} at byte {self.offset}"
        )
        inputs = "" if self.first_seq < 0 else f", input {self.first_seq}"
        if self.last_seq > self.first_seq:
            inputs += f" to {self.last_seq}"
        return f"{where}{inputs}: {self.what}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification found.

    Attributes:
        head: The last signed head that is vouched for; the genesis head if none is.
        next_seq: The sequence number after the last input that is vouched for.
        signed_ns: When that head was signed, by the signer's clock; 0 if none is.
        lane: Name of the lane; "" if the journal is empty.
        records: How many records were hashed again from their columns.
        segments: How many segments there are.
        fault: The first fault; None if all is as it was recorded.
        checkpoint: Whether a checkpoint was held against it, and agreed.
        tails: Files of bytes that were moved aside at earlier starts: not vouched for.
    """

    head: bytes
    next_seq: int
    signed_ns: int
    lane: str
    records: int
    segments: int
    fault: Fault | None
    checkpoint: bool
    tails: tuple[Path, ...]

    @property
    def good(self) -> bool:
        """Whether everything that is there is what was recorded."""
        return self.fault is None

    def require(self) -> Report:
        """The report itself if it is good.

        Raises:
            VerificationFailed: It is not; the message names the first fault.
        """
        if self.fault is not None:
            raise VerificationFailed(str(self.fault))
        return self


class _Verifier:
    """One pass over a journal, up to the first fault."""

    def __init__(
        self,
        folder: Path,
        keys: Sequence[PublicKey],
        checkpoint: Checkpoint | None,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.folder = folder
        self.chain = Chain(keys)
        self.records = 0
        self.segments = 0
        self.lane = ""
        self.fault: Fault | None = None
        self._checkpoint = checkpoint
        self._heads = {item.head: item for item in checkpoint.lanes} if checkpoint else {}
        self._met = [item for item in self._heads.values() if item.head == GENESIS]
        self._progress = progress

    @property
    def vouched_seq(self) -> int:
        """The sequence number after the last input that a signed head vouches for."""
        return self.chain.vouched.next_seq if self.chain.vouched else 0

    def run(self) -> None:
        """Follow all segments; stops at the first fault."""
        paths = segment_paths(self.folder)
        for number, path in enumerate(paths):
            if path == segment_path(self.folder, number):
                self.fault = self._segment(path, number, is_last=path is paths[-1])
            else:
                what = f"this is not segment {number}: one is missing or was added"
                self.fault = Fault(what, path, first_seq=self.chain.next_seq)
            if self.fault is not None:
                break
            self.segments += 1
        self.fault = self.fault or self._stranger() or self._against_checkpoint()

    def _frames(self, path: Path, *, is_last: bool) -> Iterator[Frame]:
        """The frames of a segment; of the last one, what is being written up to a signed head."""
        end, until = 0, math.inf
        while True:
            for frame in frames_of(path, end):
                yield frame
                end = frame.end
            if not (is_last and self.chain.is_open) or time.monotonic() > until:
                return
            until = min(until, time.monotonic() + _SIGNED_SECONDS)
            time.sleep(_LOOK_SECONDS)

    def _segment(self, path: Path, number: int, *, is_last: bool) -> Fault | None:
        """All frames of one segment; the fault that stops it."""
        count, offset = 0, 0
        try:
            for frame in self._frames(path, is_last=is_last):
                offset = frame.offset
                if offset == 0:
                    self.chain.start(frame, number)
                else:
                    self._frame(frame)
                count, offset = count + 1, frame.end
        except FrameDamaged as error:
            return self._located(error.what, path, error.offset, count - (error.offset < offset))
        except JournalError as error:
            return self._located(str(error), path, offset, count)
        if self.chain.is_open or count < 2:
            what = "the segment ends without a signed head; what follows the last is unvouched"
            if is_last and (self.folder / seal.NAME).exists():
                what += ": if its writer was stopped before it signed, start it again and it signs"
            return Fault(what, path, offset, count, self.vouched_seq, self.chain.next_seq - 1)
        return None

    def _frame(self, frame: Frame) -> None:
        """One frame after a segment's first."""
        found = self.chain.follow(frame)
        header = self.chain.header
        if isinstance(found, BatchHeader) and header is not None:
            self.lane = self.lane or header.lane
            if header.lane != self.lane:
                raise FrameDamaged(frame.offset, f"it is of lane {header.lane}, not {self.lane}")
            if first_changed(*BatchHeader.decoded(frame), header) is not None:
                raise FrameDamaged(frame.offset, "a record is not what its batch was signed for")
            self.records += found.inputs
        elif isinstance(found, SignedHead):
            if found.head in self._heads:
                self._met.append(self._heads[found.head])
            if self._progress is not None:
                self._progress(found.next_seq)

    def _located(self, what: str, path: Path, offset: int, count: int) -> Fault:
        """The fault, with the record that was changed where the damaged frame still shows it."""
        first, last = self.chain.next_seq, -1
        try:
            frame = next(frames_of(path, offset))
            if frame.kind is FrameKind.BATCH and self.chain.header is not None:
                link, payload = BatchHeader.decoded(frame)
                last = first + max(1, min(link.inputs, 8 * len(payload))) - 1
                changed = first_changed(link, payload, self.chain.header)
                if changed is not None and changed >= 0:
                    first = last = changed
        except (JournalError, StopIteration):
            pass  # it shows nothing more than that it is damaged
        return Fault(what, path, offset, count, first, last)

    def _stranger(self) -> Fault | None:
        """A file in the folder that a journal does not make."""
        for path in sorted(self.folder.iterdir()):
            if path.name == "lock" and path.stat().st_size:
                return Fault("the lock file should be empty", path)
            if path.name == seal.NAME and path.stat().st_size != seal.SIZE:
                return Fault(f"the seal should have {seal.SIZE} bytes", path)
            if path.name not in {UNVOUCHED, "lock", seal.NAME} and path.suffix != SUFFIX:
                return Fault("this file is not the journal's", path)
        return None

    def _against_checkpoint(self) -> Fault | None:
        """The checkpoint's head of this lane is one of the signed heads."""
        if self._checkpoint is None:
            return None
        lanes = self._checkpoint.lanes
        expected = self._checkpoint.lane(self.lane) or (lanes[0] if len(lanes) == 1 else None)
        if expected is None:
            return Fault(f"the checkpoint binds no lane {self.lane!r}", self.folder)
        if expected in self._met and self.lane in {expected.lane, ""}:
            return None
        if self.vouched_seq < expected.next_seq:
            what = (
                f"the tail was cut: the checkpoint vouches for {expected.next_seq} inputs of lane "
                f"{expected.lane}, {self.vouched_seq} are here"
            )
        else:
            what = (
                f"the journal was written anew: its head after {expected.next_seq} inputs is not "
                f"the checkpoint's {expected.head.hex()}"
            )
        return Fault(what, self.folder, first_seq=min(self.vouched_seq, expected.next_seq))


def first_changed(link: BatchHeader, payload: Bytes, header: JournalHeader) -> int | None:
    """Hash the records of a stored batch again.

    Returns:
        None if they are what the batch was signed for; the sequence number of the first that is
        not; -1 if that cannot be told.

    Raises:
        JournalError: The columns cannot be read.
    """
    try:
        batch, kept = decode_payload(payload, header, link.first_seq)
        if len(batch) != link.inputs or len(batch.decisions) != link.decisions:
            return -1
        leaves = leaves_of(RecordWriter(batch, header).digests(), batch.inputs.read_ns)
    except InvariantBroken as error:
        raise JournalError(f"the stored columns do not fit each other: {error}") from error
    if merkle_root(leaves) == link.root:
        return None
    differ = np.flatnonzero(np.ascontiguousarray(leaves[:, :4]).view(np.uint32)[:, 0] != kept)
    return link.first_seq + int(differ[0]) if len(differ) else -1


def verify(
    folder: Path,
    keys: PublicKey | Sequence[PublicKey],
    checkpoint: Checkpoint | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Verify a whole journal: the chain, its signatures, and every record from its stored columns.

    It may be written meanwhile: a group that is not signed yet is waited for, a second at most.

    Args:
        folder: The journal.
        keys: Public keys whose signatures are believed.
        checkpoint: What a witness kept; without one, a cut tail cannot be told from a journal
            that ends there.
        progress: Called with the number of inputs verified, at every signed head.

    Raises:
        JournalError: There is no journal.
        VerificationFailed: The checkpoint itself is not signed by one of the keys.
    """
    if not folder.is_dir():
        raise JournalError(f"{folder} holds no journal")
    trusted = (keys,) if isinstance(keys, PublicKey) else tuple(keys)
    if checkpoint is not None:
        checkpoint.check(trusted)
    verifier = _Verifier(folder, trusted, checkpoint, progress)
    verifier.run()
    vouched = verifier.chain.vouched
    aside = folder / UNVOUCHED
    return Report(
        head=vouched.head if vouched else GENESIS,
        next_seq=verifier.vouched_seq,
        signed_ns=vouched.signed_ns if vouched else 0,
        lane=verifier.lane,
        records=verifier.records,
        segments=verifier.segments,
        fault=verifier.fault,
        checkpoint=checkpoint is not None and verifier.fault is None,
        tails=tuple(sorted(aside.iterdir())) if aside.is_dir() else (),
    )
