"""A lane: one sequence of inputs, with the one state that their decisions depend on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from headrace.core.errors import ArtefactError
from headrace.engine.engine import Engine
from headrace.pipeline.acceptance import Acceptance

if TYPE_CHECKING:
    from headrace.definitions.plan import Plan
    from headrace.models.serving import ServedModel
    from headrace.policy.evaluate import CompiledPolicy

_MAGIC = b"headrace/lane/v1\0\0\0\0\0\0\0\0"


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
        return msgspec.json.decode(data, type=Explaining)


@dataclass(frozen=True, slots=True)
class Definition:
    """All that decides, apart from the state: what a use case compiles to.

    Attributes:
        name: Of the use case.
        plan: Its features.
        model: What scores them; None decides by rules alone.
        policy: What makes an outcome of them; None leaves every outcome at the mildest.
        explaining: Which decisions carry reason codes.
    """

    name: str
    plan: Plan
    model: ServedModel | None
    policy: CompiledPolicy | None
    explaining: Explaining = field(default_factory=Explaining)


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
        self.acceptance = Acceptance(plan.streams, plan.on, dedupe_key, self.limits.dedupe_bytes)
        self._key = dedupe_key
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
        parts = [self.acceptance.snapshot(), self.engine.snapshot()]
        head = [self.next_seq, *(len(part) for part in parts)]
        return b"".join([_MAGIC, *(number.to_bytes(8, "little") for number in head), *parts])

    def restore(self, snapshot: bytes) -> None:
        """Take the state of a snapshot in place of this one.

        Raises:
            ArtefactError: When it is not whole, or was made by another definition.
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
        self.acceptance.restore(snapshot[start : start + first])
        self.engine = Engine.restore(
            self.definition.plan,
            snapshot[start + first :],
            threads=self.limits.threads,
            memory_limit_bytes=self.limits.state_bytes,
            secret=self._key,
        )
        self.next_seq = next_seq
