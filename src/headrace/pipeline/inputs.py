"""What `step` takes: inputs of one lane in known order, typed, with personal data replaced."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from headrace.core.columns import Batch, Int32s, Int64s
    from headrace.journal.batch import Position


@dataclass(frozen=True, slots=True)
class Refused:
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


_NO_NUMBERS = np.zeros(0, dtype=np.int64)
_NONE_REFUSED = Refused(_NO_NUMBERS, np.zeros(0, np.uint16), (), (), (), (), _NO_NUMBERS)


@dataclass(frozen=True, slots=True)
class Inputs:
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
