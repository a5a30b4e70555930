"""A lane: one sequence of inputs, with the one state that their decisions depend on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from headrace.core.columns import Kind
from headrace.core.errors import ArtefactError
from headrace.core.mapping import Room
from headrace.engine.engine import Engine
from headrace.models.classes import class_columns
from headrace.pipeline.acceptance import Acceptance
from headrace.pipeline.explained import explained_classes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.core.columns import Int64s
    from headrace.definitions.plan import Feature, Plan
    from headrace.engine.frozen import FrozenEngine
    from headrace.models.serving import Model
    from headrace.pipeline.acceptance import FrozenAcceptance
    from headrace.policy.evaluate import CompiledPolicy

_MAGIC = b"headrace/lane/v1\0\0\0\0\0\0\0\0"
#: Of what the bytes of a state mean: a state of another version is not taken.
STATE_VERSION = 1
#: What room is made ready beyond the state, which grows meanwhile: one part of so many, and words.
_SPARE, _SPARE_WORDS = 16, 1 << 16


@dataclass(frozen=True, slots=True)
class Explaining:
    """Which decisions carry reason codes, and how many.

    Attributes:
        most: Of one decision; 0 for none.
        everyone: Every decision, or those only that are not the policy's mildest outcome.
    """

    most: int = 3
    everyone: bool = False

    def canonical(self) -> bytes:
        """The settings as JSON with sorted keys.

        >>> Explaining().canonical()
        b'{"everyone":false,"most":3}'
        """
        return msgspec.json.encode({"everyone": self.everyone, "most": self.most}, order="sorted")

    def digest(self) -> str:
        """SHA-256 of `canonical()`, in hexadecimal."""
        return hashlib.sha256(b"headrace/explaining/v1\0" + self.canonical()).hexdigest()

    @staticmethod
    def from_canonical(data: bytes) -> Explaining:
        """The inverse of `canonical`."""
        return _EXPLAINING.decode(data)


_EXPLAINING = msgspec.json.Decoder(Explaining)


@dataclass(frozen=True, slots=True)
class Definition:
    """All that decides, apart from the state: what a use case compiles to.

    Attributes:
        name: Of the use case.
        plan: Its features.
        model: What scores them; None decides by rules alone.
        policy: What makes an outcome of them; None leaves every outcome at the mildest.
        explaining: Which decisions carry reason codes.
        explained: The class that reasons explain, by the number of the rule that decided.
        texts: Which of the plan's features are texts.
    """

    name: str
    plan: Plan
    model: Model | None
    policy: CompiledPolicy | None
    explaining: Explaining = field(default_factory=Explaining)
    explained: Int64s = field(init=False, repr=False, compare=False)
    texts: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        texts = [n for n, one in enumerate(self.plan.features) if one.kind is Kind.TEXT]
        object.__setattr__(self, "texts", texts)
        classes = self.model.classes if self.model else ()
        object.__setattr__(self, "explained", explained_classes(self.policy, classes))

    @property
    def columns(self) -> tuple[Feature, ...]:
        """What a decision's record holds: the plan's features, then the scores of classes."""
        return self.plan.features + class_columns(self.model.classes if self.model else ())


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """The most that a lane may hold, and how many threads it may use.

    Attributes:
        state_bytes: Of windows, keys and tables; at the limit intake stops.
        dedupe_bytes: Of ids seen.
        threads: For the engine and the scorer; None takes what the machine has.
    """

    state_bytes: int = 8 * 1024**3
    dedupe_bytes: int = 2 * 1024**3
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class LaneState:
    """The bytes of a lane's state, by part.

    Attributes:
        next_seq: The input that it stands before.
        acceptance: Of `Acceptance`.
        engine: Of `Engine`.
    """

    next_seq: int
    acceptance: bytes
    engine: bytes

    @staticmethod
    def head(next_seq: int, acceptance: int, engine: int) -> bytes:
        """What the bytes begin with, where the parts have these sizes."""
        numbers = (next_seq, acceptance, engine)
        return b"".join([_MAGIC, *(number.to_bytes(8, "little") for number in numbers)])

    def sealed(self) -> bytes:
        """The bytes.

        >>> LaneState.opened(LaneState(7, b"seen", b"held").sealed()).next_seq
        7
        """
        sizes = len(self.acceptance), len(self.engine)
        return self.head(self.next_seq, *sizes) + self.acceptance + self.engine

    @staticmethod
    def opened(snapshot: bytes) -> LaneState:
        """The parts of these bytes.

        Raises:
            ArtefactError: When they are not whole.
        """
        start = len(_MAGIC) + 24
        if not snapshot.startswith(_MAGIC) or len(snapshot) < start:
            raise ArtefactError(
                f"these {len(snapshot)} bytes are not a snapshot of a lane; replay the journal"
            )
        next_seq, first, second = (
            int.from_bytes(snapshot[at : at + 8], "little") for at in range(len(_MAGIC), start, 8)
        )
        if start + first + second != len(snapshot):
            raise ArtefactError(
                f"the snapshot has {len(snapshot)} of {start + first + second} bytes;"
                " use an older one, or replay the journal"
            )
        end = start + first
        return LaneState(next_seq, snapshot[start:end], snapshot[end:])


@dataclass(frozen=True, slots=True)
class LaneRoom:
    """Memory that the state of a lane is copied into.

    Attributes:
        engine: For keys and events.
        acceptance: For ids.
        lane: Whose state it is.
    """

    engine: Room
    acceptance: Room
    lane: Lane

    def make_ready(self) -> None:
        """Take memory for the state as large as it is now, and a little more."""
        for room, part in (
            (self.engine, self.lane.engine),
            (self.acceptance, self.lane.acceptance),
        ):
            room.make_ready(part.room_words + part.room_words // _SPARE + _SPARE_WORDS)


@dataclass(frozen=True, slots=True)
class FrozenLane:
    """The state of a lane at one input.

    Attributes:
        next_seq: That input.
        acceptance: Ids and watermarks.
        engine: Windows, keys, texts and tables.
    """

    next_seq: int
    acceptance: FrozenAcceptance
    engine: FrozenEngine

    def content(self) -> tuple[int, Iterator[bytes]]:
        """How many bytes the state is, and they themselves in pieces; to be called once."""
        parts = [self.acceptance.content(), self.engine.content()]
        sizes = [size for size, _ in parts]
        head = LaneState.head(self.next_seq, *sizes)
        return len(head) + sum(sizes), chain([head], *(pieces for _, pieces in parts))


class Lane:
    """The state of one lane, and the number of its next input.

    Args:
        definition: What decides.
        dedupe_key: Of the hashes of ids and keys: two secret 64-bit halves; they change nothing.
        limits: See `LaneLimits`.
    """

    def __init__(
        self,
        definition: Definition,
        dedupe_key: tuple[int, int],
        limits: LaneLimits | None = None,
    ) -> None:
        self.definition = definition
        self.limits = limits or LaneLimits()
        plan = definition.plan
        self.acceptance = Acceptance(
            plan.streams,
            plan.on,
            dedupe_key,
            self.limits.dedupe_bytes,
            admitted=plan.admitted,
        )
        self.key = dedupe_key
        self.engine = Engine(
            plan,
            threads=self.limits.threads,
            memory_limit_bytes=self.limits.state_bytes,
            secret=dedupe_key,
        )
        self.next_seq = 0

    def knows(self, name: str) -> bool:
        """Whether an event of a stream, or a row of a table, has been accepted so far."""
        if any(table.name == name for table in self.definition.plan.tables):
            return self.engine.has_rows(name)
        return self.acceptance.watermark(name) is not None

    def snapshot(self) -> bytes:
        """The whole state, as bytes that depend on nothing but the inputs so far."""
        return b"".join(self.freeze().content()[1])

    def room(self) -> LaneRoom:
        """Room for `freeze`; `LaneRoom.make_ready` may be called while the lane decides."""
        return LaneRoom(Room(self.engine.room_most), Room(self.acceptance.room_most), self)

    def freeze(self, room: LaneRoom | None = None) -> FrozenLane:
        """The state as it stands, to be made into bytes.

        Args:
            room: What changes is copied there, so that the lane can go on; without it, the lane
                stands still until the bytes are made.
        """
        engine, seen = None, np.empty(0, dtype=np.int64)
        if room is not None:
            engine, seen = room.engine.words, room.acceptance.words
        if len(seen) < self.acceptance.room_words:
            seen = np.empty(self.acceptance.room_words, dtype=np.int64)
        return FrozenLane(self.next_seq, self.acceptance.freeze(seen), self.engine.freeze(engine))

    def restore(self, snapshot: bytes) -> None:
        """Take the state of a snapshot in place of this one.

        Raises:
            ArtefactError: When it is not whole, or was made by another definition.
        """
        parts = LaneState.opened(snapshot)
        self.acceptance.restore(parts.acceptance)
        self.engine = Engine.restore(
            self.definition.plan,
            parts.engine,
            threads=self.limits.threads,
            memory_limit_bytes=self.limits.state_bytes,
            secret=self.key,
        )
        self.next_seq = parts.next_seq
