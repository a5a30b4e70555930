"""What reading gives: the rows that are valid, as columns, and for each other row why it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from headrace.core.columns import Batch, Fixed, Kind, Text, concatenated
from headrace.core.compiled import float_bits
from headrace.core.errors import invariant
from headrace.events.reasons import Reason, Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.columns import Column, Int32s
    from headrace.events.schema import Field, Schema
    from headrace.events.values import Value

ReasonCodes: TypeAlias = NDArray[np.uint16]


class Rejections(Struct, frozen=True):
    """The rejected rows of one reading, ascending, with the first thing that was wrong in each.

    Attributes:
        rows: Which rows of what was read, int32, strictly ascending.
        reasons: A `Reason` for each, uint16.
        fields: The bad field; "" when the event is bad as a whole.
        values: The bad value as people read it, in clear: mask personal data before it is kept.
        expected: What would have been accepted.
    """

    rows: Int32s
    reasons: ReasonCodes
    fields: list[str]
    values: list[str]
    expected: list[str]

    def __post_init__(self) -> None:
        lengths = {len(self.reasons), len(self.fields), len(self.values), len(self.expected)}
        invariant(lengths == {len(self.rows)}, "every rejected row says what was wrong")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Rejected:
        return Rejected(
            Reason(int(self.reasons[index])),
            self.fields[index],
            self.values[index],
            self.expected[index],
        )

    @staticmethod
    def none() -> Rejections:
        """No row was rejected."""
        return _NO_REJECTIONS

    @staticmethod
    def of(rows: Sequence[int], rejected: Sequence[Rejected]) -> Rejections:
        """Rejections row by row; `rows` ascending.

        >>> found = Rejections.of([3], [Rejected(Reason.MISSING, "card", "null", "text")])
        >>> len(found), found[0].reason.text
        (1, 'missing')
        """
        return Rejections(
            np.array(rows, dtype=np.int32),
            np.array([item.reason for item in rejected], dtype=np.uint16),
            [item.field for item in rejected],
            [item.value for item in rejected],
            [item.expected for item in rejected],
        )


_NO_REJECTIONS = Rejections.of([], [])


class Parsed(Struct, frozen=True):
    """One reading: valid rows and rejections; together they are all that was received.

    Attributes:
        batch: The valid rows, in the order in which they came.
        rows: For each row of `batch`, which row of what was read it is; int32, ascending.
        rejections: The other rows.
        received: How many rows were read.
    """

    batch: Batch
    rows: Int32s
    rejections: Rejections
    received: int

    @property
    def places(self) -> Int32s | slice:
        """`rows` as an index; a slice, which is fastest, where no row was rejected."""
        return self.rows if len(self.rejections) else slice(None)

    def __post_init__(self) -> None:
        invariant(len(self.batch) == len(self.rows), "every valid row has its place")
        invariant(len(self.rows) + len(self.rejections) == self.received, "no row is lost")

    @staticmethod
    def of(schema: Schema, read: Sequence[dict[str, Value] | Rejected]) -> Parsed:
        """Rows that were read one by one, as `values.read_row` gives them.

        >>> from headrace.events.schema import Field, Schema
        >>> schema = Schema("Card", (Field("card", Kind.TEXT),))
        >>> parsed = Parsed.of(schema, [{"card": "a"}, Rejected(Reason.MISSING, "card", "", "")])
        >>> parsed.batch.text("card").strings(), parsed.rejections.rows.tolist()
        (['a'], [1])
        """
        good = [(row, item) for row, item in enumerate(read) if not isinstance(item, Rejected)]
        bad = [(row, item) for row, item in enumerate(read) if isinstance(item, Rejected)]
        columns = {
            field.name: _column(field, [item[field.name] for _, item in good])
            for field in schema.fields
        }
        return Parsed(
            Batch(columns, len(good)),
            np.array([row for row, _ in good], dtype=np.int32),
            Rejections.of([row for row, _ in bad], [item for _, item in bad]),
            len(read),
        )

    @staticmethod
    def merged(parts: Sequence[tuple[Parsed, NDArray[np.integer]]]) -> Parsed:
        """One reading out of parts of it.

        Args:
            parts: At least one; each with the rows of the whole that it read, ascending. Together
                they are all rows, each once.
        """
        if len(parts) == 1:
            return parts[0][0]
        rows = np.concatenate([places[part.rows] for part, places in parts]).astype(np.int32)
        refused = np.concatenate([places[part.rejections.rows] for part, places in parts])
        order, worst = np.argsort(rows, kind="stable"), np.argsort(refused, kind="stable").tolist()
        told = [part.rejections[i] for part, _ in parts for i in range(len(part.rejections))]
        batch = concatenated([part.batch for part, _ in parts])
        ascending = bool((rows[1:] > rows[:-1]).all())
        return Parsed(
            batch if ascending else batch.take(order),
            rows if ascending else rows[order],
            Rejections.of(refused[worst].tolist(), [told[i] for i in worst]),
            sum(part.received for part, _ in parts),
        )


def _column(field: Field, values: list[Value]) -> Column:
    """A column of values that were read one by one."""
    if field.kind is Kind.TEXT:
        return Text.of([None if value is None else str(value) for value in values])
    if field.kind is Kind.FLOAT:
        return Fixed.of([None if value is None else float_bits(float(value)) for value in values])
    return Fixed.of([None if value is None else int(value) for value in values])
