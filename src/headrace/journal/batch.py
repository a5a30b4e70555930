"""What is appended to the journal: a batch of inputs in known order, and the decisions on them."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotation
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from headrace.core.columns import Batch, Bytes, Floats, Int32s, Int64s, Text, concatenated

if TYPE_CHECKING:
    from collections.abc import Sequence

UInt16s: TypeAlias = NDArray[np.uint16]
UInt64s: TypeAlias = NDArray[np.uint64]
Int16s: TypeAlias = NDArray[np.int16]
NarrowFloats: TypeAlias = NDArray[np.float32]

#: The rank that control records carry in place of a stream's.
CONTROL_STREAM = 255

#: Bit of `Decisions.marks`: the event was retried from quarantine and entered as a backfill.
MARK_BACKFILLED = 1


class InputKind(IntEnum):
    """What became of an input; the numbers are part of the canonical bytes."""

    ACCEPTED = 0
    DUPLICATE = 1
    QUARANTINED = 2
    BACKFILL = 3
    CONTROL = 4


class Inputs(Struct, frozen=True):
    """Every input of a batch in known order, one entry each.

    Attributes:
        stream: Rank of its stream (tables rank after streams), `CONTROL_STREAM` for a control
            record; uint8.
        kind: An `InputKind`; uint8.
        row: Its row among the batch's events of that stream, which are in the same order; -1 where
            its fields could not be read, and for a control record; int32.
        source: Which source it came from; uint16.
        position: Its ordinal in that source; int64.
        received_ns: When it was received, nanoseconds since 1970 in UTC; int64.
        reason: Why it was quarantined (0: it was not); uint16.
        original_seq: Of a duplicate, the sequence number of what it repeats, else -1; int64.
        read_ns: When its bytes were read by the process, by its clock: the record's measured part,
            which nothing is compared on; int64.
    """

    stream: Bytes
    kind: Bytes
    row: Int32s
    source: UInt16s
    position: Int64s
    received_ns: Int64s
    reason: UInt16s
    original_seq: Int64s
    read_ns: Int64s

    def __len__(self) -> int:
        return len(self.stream)

    @staticmethod
    def joined(parts: Sequence[Inputs]) -> Inputs:
        """The inputs of several batches, one after the other; rows count on from batch to batch."""
        whole = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in INPUT_TYPES
        }
        row, typed = whole["row"], whole["row"] >= 0
        for rank in set(whole["stream"].tolist()):
            mine = (whole["stream"] == rank) & typed
            row[mine] = np.arange(int(mine.sum()))
        return Inputs(**whole)

    @staticmethod
    def empty() -> Inputs:
        """No inputs."""
        return Inputs(**{name: np.zeros(0, dtype) for name, dtype in INPUT_TYPES.items()})


#: The columns of `Inputs`, in order.
INPUT_TYPES: dict[str, type[np.integer]] = {
    "stream": np.uint8,
    "kind": np.uint8,
    "row": np.int32,
    "source": np.uint16,
    "position": np.int64,
    "received_ns": np.int64,
    "reason": np.uint16,
    "original_seq": np.int64,
    "read_ns": np.int64,
}


class Decisions(Struct, frozen=True):
    """The decisions of a batch, one entry for each decided input, in known order.

    Attributes:
        seq: Sequence number of the input, ascending; int64 [m].
        features: Feature values, NaN where missing; float64 [F, m].
        margin: The model's margin; float64 [m].
        score: What the policy read; float64 [m].
        reason_feature: Which features made the score, the strongest first, -1 from where there are
            no more; int16 [k, m].
        reason_contribution: How much each added to the margin; float64 [k, m].
        rules: Which rules matched, bit `i` for rule `i`; uint64 [m].
        rule: The first rule that matched, -1 if none did; int16 [m].
        outcome: Index of the outcome; uint8 [m].
        arm: Which model answered: 0 champion, 1 challenger, 2 shadow; uint8 [m].
        marks: Bits, `MARK_BACKFILLED`; uint8 [m].
    """

    seq: Int64s
    features: Floats
    margin: Floats
    score: Floats
    reason_feature: Int16s
    reason_contribution: Floats
    rules: UInt64s
    rule: Int16s
    outcome: Bytes
    arm: Bytes
    marks: Bytes

    def __len__(self) -> int:
        return len(self.seq)

    @staticmethod
    def joined(parts: Sequence[Decisions]) -> Decisions:
        """The decisions of several batches, at least one, one after the other."""
        some = [part for part in parts if len(part)] or [parts[0]]
        if len(some) == 1:
            return some[0]
        wide = ("features", "reason_feature", "reason_contribution")
        return Decisions(
            **{
                name: np.concatenate([getattr(part, name) for part in some], axis=-1)
                for name in (*DECISION_TYPES, *wide)
            }
        )

    @staticmethod
    def empty(features: int = 0) -> Decisions:
        """No decisions over that many features."""
        none = {name: np.zeros(0, dtype) for name, dtype in DECISION_TYPES.items()}
        return Decisions(
            features=np.zeros((features, 0)),
            reason_feature=np.zeros((0, 0), np.int16),
            reason_contribution=np.zeros((0, 0)),
            **none,
        )


#: The columns of `Decisions` that hold one value for each, in order.
DECISION_TYPES: dict[str, type[np.generic]] = {
    "seq": np.int64,
    "margin": np.float64,
    "score": np.float64,
    "rules": np.uint64,
    "rule": np.int16,
    "outcome": np.uint8,
    "arm": np.uint8,
    "marks": np.uint8,
}


#: The same columns with their types as NumPy has them.
INPUT_DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(kind) for name, kind in INPUT_TYPES.items()
}
DECISION_DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(kind) for name, kind in DECISION_TYPES.items()
}


class Quarantined(Struct, frozen=True):
    """What was wrong with the quarantined inputs of a batch, in known order.

    Attributes:
        seq: Sequence number of the input, ascending; int64 [q].
        field: The field that was refused; missing where the bytes could not be told apart.
        value: What stood there (personal data masked).
        expected: What was expected.
        vault: Reference of the sealed bytes in the vault; missing where nothing was sealed.
        length: Length of the input in bytes; int64 [q].
    """

    seq: Int64s
    field: Text
    value: Text
    expected: Text
    vault: Text
    length: Int64s

    def __len__(self) -> int:
        return len(self.seq)

    @staticmethod
    def joined(parts: Sequence[Quarantined]) -> Quarantined:
        """The quarantined of several batches, at least one, one after the other."""
        some = [part for part in parts if len(part)] or [parts[0]]

        def texts(name: str) -> Text:
            columns = [Batch({name: getattr(part, name)}, len(part)) for part in some]
            return concatenated(columns).text(name)

        return Quarantined(
            np.concatenate([part.seq for part in some]),
            texts("field"),
            texts("value"),
            texts("expected"),
            texts("vault"),
            np.concatenate([part.length for part in some]),
        )

    @staticmethod
    def empty() -> Quarantined:
        """Nothing was quarantined."""
        return _NOTHING_QUARANTINED


_NO_TEXT = Text.of([])
_NO_NUMBERS: Int64s = np.zeros(0, np.int64)
_NOTHING_QUARANTINED = Quarantined(_NO_NUMBERS, _NO_TEXT, _NO_TEXT, _NO_TEXT, _NO_TEXT, _NO_NUMBERS)


class Position(Struct, frozen=True):
    """Where a source goes on, and what it was, so that another one is not taken for it.

    Attributes:
        ordinal: How many of its inputs are in the journal: the first ones in known order.
        offset: How many bytes it had when they were read; of a live source, those of its inputs.
        digest: SHA-256 of these bytes, in hexadecimal.
        rows: How many inputs it had then; 0 of a live source.
    """

    ordinal: int
    offset: int = 0
    digest: str = ""
    rows: int = 0


class Measured(Struct, frozen=True):
    """When a batch was gathered and how long its stages took: never compared, but bound.

    Attributes:
        opened_ns: When the first input of the batch was taken.
        closed_ns: When its decisions were made.
        stages: Name of a stage to its duration in nanoseconds.
    """

    opened_ns: int = 0
    closed_ns: int = 0
    stages: Mapping[str, int] = field(default_factory=dict)


class JournalBatch(Struct, frozen=True):
    """Inputs with consecutive sequence numbers, and all that was decided on them.

    Attributes:
        first_seq: Sequence number of the first input; input `i` has `first_seq + i`.
        inputs: Every input, in known order.
        events: For each stream (and table) by name, its inputs whose fields could be read; one of
            which there are none may be left out.
        decisions: For each decided input.
        quarantined: For the quarantined ones, as far as there is more to say than the reason.
        controls: Sequence number and JSON of each control record, ascending.
        measured: Times of the batch.
        positions: For each source by name, where it goes on.
        categories: What the codes of texts stand for, those that the decisions' features have.
    """

    first_seq: int
    inputs: Inputs
    events: Mapping[str, Batch] = field(default_factory=dict)
    decisions: Decisions = field(default_factory=Decisions.empty)
    quarantined: Quarantined = field(default_factory=Quarantined.empty)
    controls: Sequence[tuple[int, bytes]] = ()
    measured: Measured = field(default_factory=Measured)
    positions: Mapping[str, Position] = field(default_factory=dict)
    categories: Mapping[int, str] = field(default_factory=dict)

    @staticmethod
    def joined(parts: Sequence[JournalBatch]) -> JournalBatch:
        """Several batches that follow each other as one: the records in it are the same.

        Args:
            parts: At least one, none of them with a control record.
        """
        if len(parts) == 1:
            return parts[0]
        events: dict[str, list[Batch]] = {}
        for part in parts:
            for name, batch in part.events.items():
                if len(batch):
                    events.setdefault(name, []).append(batch)
        return JournalBatch(
            first_seq=parts[0].first_seq,
            inputs=Inputs.joined([part.inputs for part in parts]),
            events={name: concatenated(batches) for name, batches in events.items()},
            decisions=Decisions.joined([part.decisions for part in parts]),
            quarantined=Quarantined.joined([part.quarantined for part in parts]),
            measured=parts[0].measured,
            positions={name: at for part in parts for name, at in part.positions.items()},
            categories={code: text for part in parts for code, text in part.categories.items()},
        )

    @staticmethod
    def of_control(seq: int, record: Mapping[str, object], now_ns: int) -> JournalBatch:
        """A control record, alone in its batch.

        Args:
            seq: Its sequence number.
            record: What is recorded: `control` says what sort of thing it is.
            now_ns: When it was received.
        """
        inputs = {name: np.zeros(1, dtype) for name, dtype in INPUT_TYPES.items()}
        for name, value in {
            "stream": CONTROL_STREAM,
            "kind": InputKind.CONTROL,
            "row": -1,
            "position": -1,
            "received_ns": now_ns,
            "original_seq": -1,
            "read_ns": now_ns,
        }.items():
            inputs[name][0] = value
        encoded = msgspec.json.encode(record, order="sorted")
        return JournalBatch(seq, Inputs(**inputs), controls=[(seq, encoded)])

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def next_seq(self) -> int:
        """The sequence number after the last input."""
        return self.first_seq + len(self.inputs)
