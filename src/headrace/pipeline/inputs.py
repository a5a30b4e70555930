"""What `step` takes: inputs of one lane in known order, typed, with personal data replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct, field

from headrace.core.columns import concatenated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Batch, Int32s, Int64s
    from headrace.journal.batch import Position


class Refused(Struct, frozen=True):
    """Inputs that could not be read as an event: why, and where their bytes are sealed.

    Attributes:
        index: Which inputs of the batch, ascending.
        reasons: `headrace.events.values.Reason` of each.
        fields: The first field that was wrong ("" for the line as a whole).
        values: What stood there, masked where the field is personal data.
        expected: What was expected.
        references: Names under which the vault holds the bytes ("" where it does not).
        lengths: Of the bytes.
    """

    index: Int64s
    reasons: NDArray[np.uint16]
    fields: tuple[str, ...]
    values: tuple[str, ...]
    expected: tuple[str, ...]
    references: tuple[str, ...]
    lengths: Int64s

    def __len__(self) -> int:
        return len(self.index)

    @staticmethod
    def none() -> Refused:
        """No input was refused."""
        return _NONE_REFUSED

    def at(self, places: Int64s) -> Refused:
        """Those of them at `places`, each now the input that `places` has it stand for.

        Args:
            places: For each refused input its new index, -1 for one that is left out.
        """
        kept = np.flatnonzero(places >= 0)
        order = kept[np.argsort(places[kept], kind="stable")]
        chosen = order.tolist()

        def texts(column: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(column[row] for row in chosen)

        return Refused(
            places[order],
            self.reasons[order],
            texts(self.fields),
            texts(self.values),
            texts(self.expected),
            texts(self.references),
            self.lengths[order],
        )


_NO_NUMBERS = np.zeros(0, dtype=np.int64)
_NONE_REFUSED = Refused(_NO_NUMBERS, np.zeros(0, np.uint16), (), (), (), (), _NO_NUMBERS)


class Inputs(Struct, frozen=True):
    """A batch of inputs of one lane, in known order.

    Attributes:
        stream: Rank of each input's stream; tables rank after the streams.
        row: Its row in `batches`; -1 when it was refused at the door.
        source: Which source it came from, by number.
        position: Its ordinal there.
        received_ns: When we learned it: the clock at the door, or `KnownAt` in history.
        read_ns: When its bytes were read, by the clock of the process: measured, never compared.
        batches: Typed rows by name of stream or table, each in known order.
        refused: Those that could not be read.
        retried: Whether these inputs come back from quarantine.
        next_positions: What each source goes on with once this batch is journaled.
    """

    stream: NDArray[np.uint8]
    row: Int32s
    source: NDArray[np.uint16]
    position: Int64s
    received_ns: Int64s
    read_ns: Int64s
    batches: Mapping[str, Batch]
    refused: Refused = field(default_factory=Refused.none)
    retried: bool = False
    next_positions: Mapping[str, Position] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.stream)

    def part(self, begin: int, end: int, names: Sequence[str]) -> Inputs:
        """The inputs from `begin` to before `end`; where sources go on is left out.

        Args:
            begin: The first.
            end: After the last.
            names: Of streams and tables, by rank.
        """
        stream, row = self.stream[begin:end], self.row[begin:end]
        batches, moved = {}, row.copy()
        for rank in set(stream.tolist()):
            mine = ((stream == rank) & (row >= 0)).nonzero()[0]
            if len(mine) == 0:
                continue
            first = int(row[mine[0]])
            batches[names[rank]] = self.batches[names[rank]].part(first, first + len(mine))
            moved[mine] -= first
        refused = self.refused
        if len(refused):
            within = (refused.index >= begin) & (refused.index < end)
            refused = refused.at(np.where(within, refused.index - begin, -1))
        return Inputs(
            stream=stream,
            row=moved,
            source=self.source[begin:end],
            position=self.position[begin:end],
            received_ns=self.received_ns[begin:end],
            read_ns=self.read_ns[begin:end],
            batches=batches,
            refused=refused,
            retried=self.retried,
        )


def interleaved(parts: Sequence[Inputs], order: Int64s, names: Sequence[str]) -> Inputs:
    """Several batches of inputs as one, in another order.

    Args:
        parts: At least one.
        order: Which of all their inputs, numbered one part after the other, comes first, second...
            Those of one part stay in their order.
        names: Of streams and tables, by rank.
    """
    row = np.concatenate([part.row for part in parts])
    stream = np.concatenate([part.stream for part in parts])[order]
    first = np.cumsum([0, *(len(part) for part in parts)])
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    batches = {}
    for rank, name in enumerate(names):
        pieces, before = [], 0
        for part, begin in zip(parts, first.tolist(), strict=False):
            batch = part.batches.get(name)
            if batch is None or len(batch) == 0:
                continue
            mine = begin + np.flatnonzero((part.stream == rank) & (part.row >= 0))
            row[mine] += before
            pieces.append(batch)
            before += len(batch)
        if pieces:
            mine = np.flatnonzero((stream == rank) & (row[order] >= 0))
            batches[name] = concatenated(pieces).take(row[order][mine])
            row[order[mine]] = np.arange(len(mine))
    refused = [
        part.refused.at(place[begin + part.refused.index])
        for part, begin in zip(parts, first.tolist(), strict=False)
        if len(part.refused)
    ]

    def joined(column: str) -> NDArray[np.int64]:
        whole: NDArray[np.int64] = np.concatenate([getattr(part, column) for part in parts])[order]
        return whole

    return Inputs(
        stream=stream,
        row=row[order],
        source=np.concatenate([part.source for part in parts])[order],
        position=joined("position"),
        received_ns=joined("received_ns"),
        read_ns=joined("read_ns"),
        batches=batches,
        refused=_one_refused(refused),
        next_positions={
            name: position for part in parts for name, position in part.next_positions.items()
        },
    )


def _one_refused(parts: Sequence[Refused]) -> Refused:
    """The refused of several parts, by their index."""
    if not parts:
        return Refused.none()
    index = np.concatenate([part.index for part in parts])
    whole = Refused(
        index,
        np.concatenate([part.reasons for part in parts]),
        tuple(text for part in parts for text in part.fields),
        tuple(text for part in parts for text in part.values),
        tuple(text for part in parts for text in part.expected),
        tuple(text for part in parts for text in part.references),
        np.concatenate([part.lengths for part in parts]),
    )
    return whole.at(index)
