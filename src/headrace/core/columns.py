"""Typed columns: what an event is made of on the hot path.

A batch of events is a few NumPy arrays, never a Python object per event. Two layouts carry every
type of field:

* `Fixed`: one 64-bit integer per row. Booleans, integers, exact decimals and money (integer
  units), times (nanoseconds since 1970 in UTC), currencies and countries (packed letters) are
  integers by nature; a float is its 64 IEEE 754 bits.
* `Text`: UTF-8 bytes with offsets, as in Arrow's `string`.

Both carry `valid`, one byte per row: 1 where a value is present. A missing row holds 0 (no bytes),
so that what is hashed never depends on what was left in a buffer.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from headrace.core.address import address_of, address_of_items
from headrace.core.address_kernels import column_addresses
from headrace.core.column_kernels import gather_bytes, gathered_offsets
from headrace.core.errors import InvariantBroken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Int64s: TypeAlias = NDArray[np.int64]
Int32s: TypeAlias = NDArray[np.int32]
Bytes: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float64]


#: Of values, offsets and validity. NumPy has one object for each; few arrays have another.
_TYPES = np.array([id(np.dtype(name)) for name in ("int64", "int32", "uint8")], dtype=np.int64)


class Kind(IntEnum):
    """The physical meaning of a column; the numbers are part of the canonical bytes."""

    BOOL = 1
    INT = 2
    DECIMAL = 3
    MONEY = 4
    FLOAT = 5
    TIME = 6
    CURRENCY = 7
    COUNTRY = 8
    TEXT = 9


#: Kinds of features that are categories: their numbers are codes.
CATEGORICAL = (Kind.TEXT, Kind.COUNTRY, Kind.CURRENCY)


class Fixed(Struct, frozen=True):
    """A column of 64-bit integers (or the bits of floats), with validity."""

    values: Int64s
    valid: Bytes

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.integer]) -> Fixed:
        """The same column at `rows`, in that order."""
        return Fixed(self.values[rows], self.valid[rows])

    def part(self, begin: int, end: int) -> Fixed:
        """The rows from `begin` to before `end`, where they are."""
        return Fixed(self.values[begin:end], self.valid[begin:end])

    def floats(self) -> Floats:
        """The values of a FLOAT column; missing rows read as NaN."""
        return np.where(self.valid != 0, self.values.view(np.float64), np.nan)

    @staticmethod
    def of(values: Sequence[int | None]) -> Fixed:
        """A column from Python integers; `None` is missing.

        >>> Fixed.of([3, None]).valid.tolist()
        [1, 0]
        """
        valid = np.array([value is not None for value in values], dtype=np.uint8)
        return Fixed(np.array([value or 0 for value in values], dtype=np.int64), valid)


class Text(Struct, frozen=True):
    """A column of UTF-8 strings: row `i` is `data[offsets[i]:offsets[i + 1]]`."""

    offsets: Int32s
    data: Bytes
    valid: Bytes

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: NDArray[np.integer]) -> Text:
        """The same column at `rows`, in that order."""
        index = np.ascontiguousarray(rows, dtype=np.int64)
        offsets = np.empty(len(index) + 1, dtype=np.int32)
        gathered_offsets(self.offsets, index, offsets)
        data = np.empty(offsets[-1], dtype=np.uint8)
        gather_bytes(self.offsets, address_of(self.data), index, offsets, address_of(data))
        return Text(offsets, data, self.valid[index])

    def part(self, begin: int, end: int) -> Text:
        """The rows from `begin` to before `end`, their bytes where they are."""
        offsets = self.offsets[begin : end + 1]
        data = self.data[offsets[0] : offsets[-1]]
        return Text(offsets - offsets[0], data, self.valid[begin:end])

    def strings(self) -> list[str | None]:
        """The rows as Python strings; for people and tests, not for the hot path."""
        raw = self.data.tobytes()
        return [
            raw[self.offsets[i] : self.offsets[i + 1]].decode() if self.valid[i] else None
            for i in range(len(self))
        ]

    @staticmethod
    def of(values: Sequence[str | None]) -> Text:
        """A column from Python strings; `None` is missing.

        >>> Text.of(["a", None, "bc"]).strings()
        ['a', None, 'bc']
        """
        encoded = [b"" if value is None else value.encode() for value in values]
        offsets = np.zeros(len(values) + 1, dtype=np.int32)
        np.cumsum([len(item) for item in encoded], out=offsets[1:])
        valid = np.array([value is not None for value in values], dtype=np.uint8)
        # a copy, because a view of bytes is read-only, and kernels are compiled for what is not
        return Text(offsets, np.frombuffer(b"".join(encoded), dtype=np.uint8).copy(), valid)


Column: TypeAlias = Fixed | Text


class Batch(Struct, frozen=True, dict=True):
    """Rows of one stream or table, column by column, in the order of its schema."""

    columns: Mapping[str, Column]
    rows: int

    @cached_property
    def addresses(self) -> Int64s:
        """Where the columns are, for kernels: int64 [columns, 4]. Keep the batch meanwhile.

        Of each: whether it is text (1 or 0); the address of its values, or of its offsets; of its
        bytes, if it is text; of its validity.

        Raises:
            InvariantBroken: A column is not laid out as kernels read it.

        >>> batch = Batch({"n": Fixed.of([7, None])}, 2)
        >>> batch.addresses[0, 1] == address_of(batch.fixed("n").values)
        True
        """
        table = np.zeros((len(self.columns), 4), dtype=np.int64)
        arrays: list[NDArray[Any]] = []
        for place, column in enumerate(self.columns.values()):
            if isinstance(column, Fixed):
                arrays += (column.values, column.valid, column.valid)
            else:
                arrays += (column.offsets, column.data, column.valid)
                table[place, 0] = 1
        held = tuple(arrays)
        done = column_addresses(address_of_items(held), _TYPES, table)
        if done < len(table):
            for place, (name, column) in list(enumerate(self.columns.items()))[done:]:
                table[place] = _addresses_of(name, column)
        return table

    def __post_init__(self) -> None:
        rows = self.rows
        for name, column in self.columns.items():
            if len(column) != rows:
                raise InvariantBroken(f"column {name}: {len(column)} of {rows} rows")

    def __len__(self) -> int:
        return self.rows

    def fixed(self, name: str) -> Fixed:
        """The column `name`, which must be of fixed width."""
        column = self.columns[name]
        if not isinstance(column, Fixed):
            raise InvariantBroken(f"column {name} is of fixed width")
        return column

    def text(self, name: str) -> Text:
        """The column `name`, which must be text."""
        column = self.columns[name]
        if not isinstance(column, Text):
            raise InvariantBroken(f"column {name} is text")
        return column

    def part(self, begin: int, end: int) -> Batch:
        """The rows from `begin` to before `end`, as views where that can be.

        >>> batch = Batch({"x": Text.of(["a", "bc", "d"])}, 3)
        >>> batch.part(1, 3).text("x").strings()
        ['bc', 'd']
        """
        columns = {name: column.part(begin, end) for name, column in self.columns.items()}
        return Batch(columns, end - begin)

    def take(self, rows: NDArray[np.integer]) -> Batch:
        """The same columns at `rows`, in that order."""
        return Batch({name: column.take(rows) for name, column in self.columns.items()}, len(rows))


def _addresses_of(name: str, column: Column) -> tuple[int, int, int, int]:
    """A row of `Batch.addresses`, of a column that is no usual one; see there."""
    data, text = 0, 0
    width: np.dtype[Any] = np.dtype(np.int64)
    main: NDArray[Any]
    if isinstance(column, Fixed):
        main = column.values
    else:
        main, data, text, width = column.offsets, address_of(column.data), 1, np.dtype(np.int32)
    valid = column.valid
    if main.dtype != width or valid.dtype != np.dtype(np.uint8):
        raise InvariantBroken(f"column {name} is {main.dtype}, valid {valid.dtype}")
    if not (main.flags.c_contiguous and valid.flags.c_contiguous):
        raise InvariantBroken(f"column {name} is not in one piece")
    return text, address_of(main), data, address_of(valid)


def concatenated(batches: Sequence[Batch]) -> Batch:
    """The rows of several batches with the same columns, one batch after the other.

    >>> one = Batch({"x": Text.of(["a", None])}, 2)
    >>> concatenated([one, one.take(np.array([0]))]).text("x").strings()
    ['a', None, 'a']
    """
    if len(batches) == 1:
        return batches[0]
    columns: dict[str, Column] = {}
    for name, first in batches[0].columns.items():
        valid = np.concatenate([batch.columns[name].valid for batch in batches])
        if isinstance(first, Fixed):
            values = np.concatenate([batch.fixed(name).values for batch in batches])
            columns[name] = Fixed(values, valid)
            continue
        texts = [batch.text(name) for batch in batches]
        lengths = np.concatenate([np.diff(text.offsets) for text in texts])
        offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
        np.cumsum(lengths, out=offsets[1:])
        data = np.concatenate([text.data[text.offsets[0] : text.offsets[-1]] for text in texts])
        columns[name] = Text(offsets, data, valid)
    return Batch(columns, sum(len(batch) for batch in batches))


def pack_letters(code: str) -> int:
    """A currency (3 letters) or country (2 letters) as a small integer, base 26.

    >>> pack_letters("AA"), pack_letters("EUR"), unpack_letters(pack_letters("EUR"), 3)
    (0, 3241, 'EUR')
    """
    number = 0
    for letter in code:
        number = number * 26 + ord(letter) - ord("A")
    return number


def unpack_letters(number: int, letters: int) -> str:
    """The inverse of `pack_letters` for a code of that many letters."""
    code = ""
    for _ in range(letters):
        number, rest = divmod(number, 26)
        code = chr(ord("A") + rest) + code
    return code


def category_text(kind: Kind, code: int, texts: Sequence[str] | Mapping[int, str]) -> str:
    """The category that a feature's code stands for.

    Args:
        kind: Of the feature, one of `CATEGORICAL`.
        code: The code.
        texts: What codes of texts stand for; those of countries and currencies are their letters.

    >>> category_text(Kind.COUNTRY, pack_letters("DE"), []), category_text(Kind.TEXT, 7, {7: "a"})
    ('DE', 'a')
    """
    if kind is Kind.TEXT:
        return texts[code]
    return unpack_letters(code, 2 if kind is Kind.COUNTRY else 3)
