"""What an engine takes of a batch, what it gives for it, and what it says of its state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.columns import Batch, Floats, Int64s
    from headrace.core.sequences import Sequences


class StreamRows(Struct, frozen=True):
    """Accepted rows of one stream (or rows of a table), in known order.

    Attributes:
        batch: Their columns.
        sequence: Their places in known order, ascending; no two inputs share one.
        watermark_ns: The watermark of the *decided* stream just after each; the least integer
            before it has any. Not read for tables.
    """

    batch: Batch
    sequence: Int64s
    watermark_ns: Int64s


class Features(Struct, frozen=True):
    """Features of the decided stream's rows.

    Attributes:
        values: One row for each feature, one column for each event; NaN is missing. Money and
            decimals are in units; a category is its code.
        categories: What the codes of text stand for.
        sequences: The last vectors of each event's key; None where the plan has no sequence.
    """

    values: Floats
    categories: list[str]
    sequences: Sequences | None = None


class Memory(Struct, frozen=True):
    """What state takes.

    Attributes:
        bytes_by: Bytes by structure.
        keys: Entities of each group; of the sequence last.
        held: Events (or buckets) held by each group; vectors of the sequence last.
    """

    bytes_by: Mapping[str, int]
    keys: tuple[int, ...]
    held: tuple[int, ...]

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(self.bytes_by.values())
