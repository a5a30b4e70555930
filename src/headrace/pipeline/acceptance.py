"""Acceptance: whether an input counts, decided one after the other in known order.

For each event of a stream, by the first rule that holds:

1. **Seen.** Its id was accepted before, within the dedupe horizon: with the same content it is a
   duplicate (and gets the decision of the first), with another it is quarantined (`ID_CONFLICT`).
2. **Early.** Its time is more than `max_ahead` after its receive time: quarantined.
3. **Late.** Its time is more than `lateness` before the stream's watermark: quarantined. What is
   retried from quarantine is accepted all the same.
4. Else it is **accepted**, and the watermark becomes the greater of itself and the event's time.

Content is all fields but `KnownAt`, as they are after surrogates took the place of personal data.

**The horizon.** An accepted event bears the watermark just after it as its mark, and counts as
seen while the watermark is at most `dedupe` past the mark. The mark is never before the event's
own time. So with `dedupe >= lateness` an event that comes again after it was forgotten lies more
than `lateness` behind the watermark, and is late: nothing is counted twice. (What is retried from
quarantine a second time, beyond the horizon, is the exception: retrying is a deliberate act.)

The rule says when an id is forgotten; when its memory goes back is another matter and changes no
verdict. No verdict depends on how inputs are cut into batches, or on the key of the hashes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from headrace.core.address import address_of
from headrace.core.errors import (
    ArtefactError,
    DefinitionError,
    InvariantBroken,
    LimitReached,
)
from headrace.core.mapping import reserve
from headrace.core.siphash import sip128
from headrace.core.slot_kernels import TOP, slots_begin
from headrace.events.schema import Role
from headrace.pipeline import acceptance_kernels as kernels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from headrace.core.columns import Batch, Bytes, Int64s
    from headrace.definitions.plan import StreamPlan
    from headrace.events.schema import Field
    from headrace.pipeline.inputs import Inputs

_MAGIC = b"headrace/acceptance/v1\0\0"
_MOST_SLOTS = 2**31
#: Fields that are not compared where an id comes again.
_NO_CONTENT = (Role.KNOWN_AT, Role.GIVEN)
_PIECE = 16_384  # records that are made into bytes at once

#: The most that one held id costs: its record, and slots at their emptiest, grown out of once.
BYTES_PER_ID = 96

#: The watermark of a stream that has accepted nothing.
NO_WATERMARK = int(kernels.NONE)


class Verdict(IntEnum):
    """What became of an input; the numbers are written to the journal."""

    ACCEPTED = kernels.ACCEPTED
    DUPLICATE = kernels.DUPLICATE
    QUARANTINED = kernels.QUARANTINED


class Verdicts(Struct, frozen=True):
    """Verdicts of a batch of inputs, in known order.

    Attributes:
        verdict: `Verdict` of each.
        reason: `headrace.events.reasons.Reason` of each that is quarantined, else 0.
        original: Sequence number of the accepted event with the same id, of a duplicate or a
            conflict; else -1.
        watermark: The decided stream's watermark just after the input (ns); `NO_WATERMARK` before
            it accepts its first event.
        backfill: Whether these were retried from quarantine: what is accepted is marked.
        all_accepted: Whether every input is accepted, as they mostly are.
    """

    verdict: Bytes
    reason: NDArray[np.uint16]
    original: Int64s
    watermark: Int64s
    backfill: bool
    all_accepted: bool

    def __len__(self) -> int:
        return len(self.verdict)

    def are(self, verdict: Verdict) -> NDArray[np.bool_]:
        """Whether each input got that verdict."""
        # of an enumeration NumPy would make an array, of another type, to compare with
        same: NDArray[np.bool_] = self.verdict == int(verdict)
        return same

    def count(self, verdict: Verdict) -> int:
        """How many inputs got that verdict."""
        return int(np.count_nonzero(self.are(verdict)))


class Acceptance:
    """The part of a lane's state that decides which inputs count.

    Args:
        streams: In the order of their ranks.
        on: Name of the decided stream.
        key: Of the hashes of ids and contents: two secret 64-bit halves. Keep it with the state:
            a snapshot is restored under the same key.
        budget_bytes: The most memory that ids may take; above it, intake stops.
        admitted: Whether another lane has judged the inputs: then each is accepted, and watermarks
            alone are kept.

    Raises:
        DefinitionError: If a stream has no id or no event time.
    """

    def __init__(
        self,
        streams: tuple[StreamPlan, ...],
        on: str,
        key: tuple[int, int],
        budget_bytes: int,
        *,
        admitted: bool = False,
    ) -> None:
        self._plans = streams
        self._admitted = admitted
        self._decided = [stream.name for stream in streams].index(on)
        self._budget = budget_bytes
        self._fields = tuple(_Layout.of(stream) for stream in streams)
        self._keys = np.array(
            [
                sip128(b"id of " + stream.name.encode(), *key)
                + sip128(b"content of " + stream.name.encode(), *key)
                for stream in streams
            ],
            dtype=np.uint64,
        )
        self._fingerprint = np.array(sip128(b"key of acceptance", *key), "<u8").tobytes()
        self._hashes = np.zeros((4_096, 4), dtype=np.uint64)
        self._times = np.zeros(4_096, dtype=np.int64)
        self._clear()

    def _clear(self) -> None:
        """Begin with nothing seen."""
        most = max(self._budget // BYTES_PER_ID, 1)
        # a stream's first and last segments may be part empty
        segments = most // kernels.SEGMENT + 2 * len(self._plans) + 1
        self._records = reserve(segments * kernels.SEGMENT * kernels.RECORD, np.int64)
        self._following = reserve(segments, np.int64)
        self._pool = reserve(_MOST_SLOTS, np.uint64)
        self._parts = np.zeros(TOP + 1, dtype=np.int64)
        slots_begin(self._parts)
        self._counts = np.array([0, most, 0, -1], dtype=np.int64)
        self._streams = np.zeros((len(self._plans), kernels.STREAM_WORDS), dtype=np.int64)
        for rank, stream in enumerate(self._plans):
            self._streams[rank, : kernels.WATERMARK + 1] = (
                stream.lateness_ns,
                stream.max_ahead_ns,
                stream.dedupe_ns,
                0,
                NO_WATERMARK,
            )
        self._streams[:, kernels.HEAD] = self._streams[:, kernels.TAIL] = -1
        self._streams[:, kernels.TAIL_AT] = kernels.SEGMENT

    def watermark(self, stream: str) -> int | None:
        """The watermark of a stream (ns); None before it has accepted anything."""
        rank = [plan.name for plan in self._plans].index(stream)
        begun, watermark = self._streams[rank, kernels.BEGUN : kernels.WATERMARK + 1]
        return int(watermark) if begun else None

    def memory(self) -> int:
        """Bytes in use."""
        segments = int(self._counts[kernels.SEGMENTS]) * kernels.SEGMENT * kernels.RECORD
        return 8 * (segments + int(self._parts[TOP])) + self._parts.nbytes

    def judge(self, inputs: Inputs, first_sequence: int) -> Verdicts:
        """The verdict on each input; the state moves on.

        A row of a reference table is accepted; what was refused at the door is quarantined for the
        reason that it was refused for.

        Args:
            inputs: In known order.
            first_sequence: The lane's sequence number of the first of them.

        Raises:
            LimitReached: If the ids within the horizon no longer fit the budget.
        """
        if self._admitted:
            return self._accepted(inputs)
        size = len(inputs)
        contents = self._contents(inputs.batches)
        if size > len(self._times):
            # kept between batches: memory fresh from the system costs more than the hashing
            self._hashes = np.zeros((size, 4), dtype=np.uint64)
            self._times = np.zeros(size, dtype=np.int64)
        hashes, times = self._hashes, self._times
        kernels.hash_inputs(inputs.stream, inputs.row, contents, self._keys, hashes, times)
        verdict = np.zeros(size, dtype=np.uint8)
        reason = np.zeros(size, dtype=np.uint16)
        original = np.empty(size, dtype=np.int64)
        watermark = np.empty(size, dtype=np.int64)
        judged = kernels.judge_inputs(
            inputs.stream,
            inputs.row,
            inputs.received_ns,
            inputs.retried,
            first_sequence,
            self._decided,
            hashes,
            times,
            self._streams,
            self._pool,
            self._parts,
            self._records,
            self._following,
            self._counts,
            verdict,
            reason,
            original,
            watermark,
        )
        if judged < size:
            raise self._full(first_sequence + int(judged))
        if len(inputs.refused):
            reason[inputs.refused.index] = inputs.refused.reasons
        every = not np.count_nonzero(verdict)
        return Verdicts(verdict, reason, original, watermark, inputs.retried, every)

    def _accepted(self, inputs: Inputs) -> Verdicts:
        """The verdicts on inputs that another lane has accepted."""
        size = len(inputs)
        watermark = np.full(size, self._streams[self._decided, kernels.WATERMARK])
        for rank, plan in enumerate(self._plans):
            chosen = np.flatnonzero((inputs.stream == rank) & (inputs.row >= 0))
            if len(chosen) == 0:
                continue
            times = inputs.batches[plan.name].fixed(plan.event_time).values[inputs.row[chosen]]
            if rank == self._decided:
                watermark[chosen] = np.maximum(watermark[chosen], times)
                np.maximum.accumulate(watermark, out=watermark)
            state = self._streams[rank]
            state[kernels.BEGUN] = 1
            state[kernels.WATERMARK] = max(int(state[kernels.WATERMARK]), int(times.max()))
        # a row of a table that this lane reads itself, and that could not be read
        verdict = np.where(inputs.row < 0, Verdict.QUARANTINED, Verdict.ACCEPTED).astype(np.uint8)
        reason = np.zeros(size, dtype=np.uint16)
        reason[inputs.refused.index] = inputs.refused.reasons
        return Verdicts(
            verdict,
            reason,
            np.full(size, -1, dtype=np.int64),
            watermark,
            inputs.retried,
            not np.count_nonzero(verdict),
        )

    def _full(self, sequence: int) -> LimitReached:
        most = int(self._counts[kernels.MOST])
        return LimitReached(
            f"input {sequence} would be id {most + 1:,} within the dedupe horizon, and "
            f"{self._budget:,} bytes hold {most:,}; raise the budget for ids or shorten `dedupe`"
        )

    def _contents(self, batches: Mapping[str, Batch]) -> Int64s:
        """Where the kernel finds the content of each stream's events."""
        contents: Int64s = np.zeros((len(self._plans), kernels.CONTENT_WORDS), dtype=np.int64)
        for rank, (stream, layout) in enumerate(zip(self._plans, self._fields, strict=True)):
            batch = batches.get(stream.name)
            if batch is None:
                continue
            if tuple(batch.columns) != layout.names:
                raise InvariantBroken(f"columns of {stream.name} are {layout.names}, in that order")
            contents[rank] = (address_of(batch.addresses), *layout.slots)
        return contents

    def snapshot(self) -> bytes:
        """Watermarks and seen ids; the same logical state gives the same bytes."""
        room = np.empty(self.room_words, dtype=np.int64)
        return b"".join(self.freeze(room).content()[1])

    @property
    def room_words(self) -> int:
        """Words that the records of seen ids take."""
        return int(self._streams[:, kernels.QUEUED].sum()) * kernels.RECORD

    @property
    def room_most(self) -> int:
        """The most that `room_words` can become."""
        return len(self._records)

    def freeze(self, into: Int64s) -> FrozenAcceptance:
        """The state as it stands, copied, so that judging can go on.

        Args:
            into: Words to copy into, `room_words` at least.
        """
        streams = []
        for rank in range(len(self._plans)):
            row = self._streams[rank]
            words = int(row[kernels.QUEUED]) * kernels.RECORD
            out, into = into[:words].reshape(-1, kernels.RECORD), into[words:]
            live = kernels.live_records(self._streams, rank, self._records, self._following, out)
            begun, watermark = int(row[kernels.BEGUN]), int(row[kernels.WATERMARK])
            streams.append((begun, watermark, out[:live]))
        return FrozenAcceptance(self._fingerprint, tuple(streams))

    def restore(self, snapshot: bytes) -> None:
        """Take the state of a snapshot in place of this one.

        Raises:
            ArtefactError: If it is not a whole snapshot, was made under another key, or does not
                fit the streams.
            LimitReached: If its ids do not fit the budget.
        """
        parts = self._parse(snapshot)
        self._clear()
        for rank, (begun, watermark, records) in enumerate(parts):
            self._streams[rank, kernels.BEGUN] = begun
            self._streams[rank, kernels.WATERMARK] = watermark
            held = kernels.remember_all(
                self._streams,
                rank,
                self._pool,
                self._parts,
                self._records,
                self._following,
                self._counts,
                records,
            )
            if held < len(records):
                raise self._full(int(records[held, kernels.SEQUENCE]))

    def _parse(self, snapshot: bytes) -> list[tuple[int, int, Int64s]]:
        """For each stream whether it has begun, its watermark, and its records."""
        start = len(_MAGIC) + len(self._fingerprint)
        words = np.frombuffer(snapshot[start:][: len(snapshot[start:]) // 8 * 8], "<i8")
        found: list[tuple[int, int, Int64s]] = []
        at = 0
        for _ in self._plans:
            if not snapshot.startswith(_MAGIC) or at + 3 > len(words):
                break
            begun, watermark, live = (int(word) for word in words[at : at + 3])
            end = at + 3 + live * kernels.RECORD
            if live < 0 or end > len(words):
                break
            records = words[at + 3 : end].reshape(-1, kernels.RECORD)
            found.append((begun, watermark, np.ascontiguousarray(records, dtype=np.int64)))
            at = end
        if len(found) != len(self._plans) or start + 8 * at != len(snapshot):
            raise ArtefactError(
                f"these {len(snapshot)} bytes are not a whole snapshot of acceptance (version 1) "
                f"for {len(self._plans)} streams; restore an older one, or replay the journal"
            )
        if snapshot[len(_MAGIC) : start] != self._fingerprint:
            raise ArtefactError(
                "the snapshot of acceptance was made under another key, so no id in it would be "
                "known again; restore it with the key it was made with, or replay the journal"
            )
        return found


@dataclass(frozen=True, slots=True)
class FrozenAcceptance:
    """The state of acceptance at one input.

    Attributes:
        fingerprint: Of the key of its hashes.
        streams: For each whether it has begun, its watermark, and the ids that count as seen.
    """

    fingerprint: bytes
    streams: tuple[tuple[int, int, Int64s], ...]

    def content(self) -> tuple[int, Iterator[bytes]]:
        """How many bytes the state is, and they themselves in pieces."""
        heads = len(_MAGIC) + len(self.fingerprint)
        return heads + sum(8 * (3 + seen.size) for *_, seen in self.streams), self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        yield _MAGIC + self.fingerprint
        for begun, watermark, seen in self.streams:
            yield np.array([begun, watermark, len(seen)], dtype="<i8").tobytes()
            for first in range(0, len(seen), _PIECE):
                yield seen[first : first + _PIECE].astype("<i8", copy=False).tobytes()


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns of a stream are its content; which is its id, and which its event time.

    The id is no part of what is compared: two contents are compared where the ids are the same.

    Attributes:
        names: Of all columns.
        order: The places of those that are its content.
        slots: What the kernel is told from `ORDER_AT` on.
    """

    names: tuple[str, ...]
    order: Int64s
    slots: tuple[int, ...]

    @staticmethod
    def of(stream: StreamPlan) -> _Layout:
        identity = _needed(stream, Role.ID, "an Id: without one, duplicates cannot be told").name
        time = _needed(stream, Role.EVENT_TIME, "an EventTime: without one, it has no order").name
        names = stream.schema.names
        order = np.array(
            [
                place
                for place, field in enumerate(stream.schema.fields)
                if field.role not in _NO_CONTENT and field.name != identity
            ],
            dtype=np.int64,
        )
        slots = (address_of(order), len(order), names.index(identity), names.index(time))
        return _Layout(names, order, slots)


def _needed(stream: StreamPlan, role: Role, what: str) -> Field:
    field = stream.schema.having(role)
    if field is None:
        raise DefinitionError(
            f"{stream.schema.name} has no field of role {role.value}",
            at=stream.schema.at,
            fix=f"give it {what}",
        )
    return field
