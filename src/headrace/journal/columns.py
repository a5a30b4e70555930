"""How columns of numbers and text are stored: as Arrow arrays, as small as is cheap.

Integers that go up evenly are not stored at all; those that are nearly all alike leave only the
exceptions; others are stored as the distance from their least value, in as few bytes as it needs.
Floats that a 32-bit float holds exactly are stored as such. What comes back is what went in, bit
for bit.

In a small section the look at each column would cost more than the bytes it saves: there all
numbers of a row stand side by side, as they are, before the Arrow message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from headrace.core.columns import Fixed, Text
from headrace.core.errors import JournalError
from headrace.journal.column_kernels import narrowed, surveyed

if TYPE_CHECKING:
    from headrace.core.columns import Bytes

#: One exception is told where at least this many rows are alike.
_ALIKE = 32
#: Up to so many rows, a section is stored flat.
FLAT_ROWS = 64
_WIDTHS = tuple((np.dtype(kind), int(np.iinfo(kind).max)) for kind in (np.int8, np.int16, np.int32))
_ARROW_TYPES = {
    np.dtype(name): pa.from_numpy_dtype(np.dtype(name))
    for name in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8")
}


class Sparse(msgspec.Struct, frozen=True, array_like=True):
    """A column that holds one value, but for some rows."""

    value: int
    rows: list[int]
    values: list[int]


class Section(msgspec.Struct, frozen=True, omit_defaults=True):
    """One table of a payload, and what was left out of it.

    Attributes:
        name: Which columns these are.
        rows: How many rows.
        size: Bytes of its flat numbers and its Arrow message.
        ramps: Column to (first value, step).
        sparse: Column to its value and exceptions.
        bases: Column to (least value, bytes of a stored distance).
        narrow: Columns of 32-bit floats.
        nulls: Columns with a validity bitmap.
        flat: How many 64-bit words of numbers stand side by side for a row; 0 where every column
            is stored for itself.
    """

    name: str
    rows: int
    size: int = 0
    ramps: dict[str, tuple[int, int]] = {}
    sparse: dict[str, Sparse] = {}
    bases: dict[str, tuple[int, int]] = {}
    narrow: list[str] = []
    nulls: list[str] = []
    flat: int = 0


class Packer:
    """Gathers the columns of one section.

    Args:
        name: Of the section.
        rows: How many rows every column has.
    """

    def __init__(self, name: str, rows: int) -> None:
        self.section = Section(name, rows, ramps={}, sparse={}, bases={}, narrow=[], nulls=[])
        self._names: list[str] = []
        self._arrays: list[Any] = []
        self._is_flat = rows <= FLAT_ROWS
        self._words: list[np.ndarray[Any, Any]] = []

    def _lay(self, name: str, words: np.ndarray[Any, Any], valid: Bytes | None) -> None:
        """Put the words of a column beside those of others; after them, which rows have none."""
        self._words.append(words)
        if valid is not None and not valid.all():
            self.section.nulls.append(name)
            self._words.append(valid)

    def matrix(self, names: list[str], values: np.ndarray[Any, Any]) -> None:
        """Columns of 64-bit floats, a row of a matrix each, without validity."""
        if self._is_flat and self.section.rows:
            self._words.extend(np.ascontiguousarray(values).view(np.int64))
            return
        for name, column in zip(names, values, strict=True):
            self.floats(name, column)

    def _put(self, name: str, values: np.ndarray[Any, Any], bitmap: Any) -> None:
        """Keep a column of numbers as it is."""
        data = pa.py_buffer(np.ascontiguousarray(values))
        self._put_buffers(name, _ARROW_TYPES[values.dtype], [bitmap, data])

    def _put_buffers(self, name: str, kind: Any, buffers: list[Any]) -> None:
        if buffers[0] is not None:
            self.section.nulls.append(name)
        self._names.append(name)
        self._arrays.append(pa.Array.from_buffers(kind, self.section.rows, buffers))

    def integers(self, name: str, values: np.ndarray[Any, Any], valid: Bytes | None = None) -> None:
        """A column of integers of any width."""
        if self.section.rows == 0:
            return
        if self._is_flat:
            self._lay(name, values.view(np.int64) if values.itemsize == 8 else values, valid)
            return
        valid = _bitmap_of(valid)
        least, most, even, others = _survey(values)
        if valid is None and even and (ramp := _ramp(values)) is not None:
            self.section.ramps[name] = ramp
            return
        if valid is None and others * _ALIKE <= self.section.rows:
            usual = values[len(values) // 2]
            rows = np.flatnonzero(values != usual)
            self.section.sparse[name] = Sparse(int(usual), rows.tolist(), values[rows].tolist())
            return
        for width, longest in _WIDTHS:
            if width.itemsize < values.itemsize and most - least <= longest:
                values = (values - values.dtype.type(least)).astype(width)
                self.section.bases[name] = (least, width.itemsize)
                break
        self._put(name, values, valid)

    def floats(self, name: str, values: np.ndarray[Any, Any], valid: Bytes | None = None) -> None:
        """A column of 64-bit floats."""
        if self.section.rows == 0:
            return
        values = np.ascontiguousarray(values)
        if self._is_flat:
            self._lay(name, values.view(np.int64), valid)
            return
        narrow = np.empty(len(values), dtype=np.float32)
        if narrowed(values, narrow):
            values = narrow
            self.section.narrow.append(name)
        self._put(name, values, _bitmap_of(valid))

    def column(self, name: str, column: Fixed | Text, *, floating: bool = False) -> None:
        """A column of events, with its validity."""
        if self.section.rows == 0:
            return
        if isinstance(column, Text):
            offsets, data = (
                pa.py_buffer(np.ascontiguousarray(column.offsets)),
                pa.py_buffer(column.data),
            )
            self._put_buffers(name, pa.string(), [_bitmap_of(column.valid), offsets, data])
        elif floating:
            self.floats(name, column.values.view(np.float64), column.valid)
        else:
            self.integers(name, column.values, column.valid)

    def packed(self) -> tuple[Section, list[Any]]:
        """The section, and its bytes: flat numbers, then an Arrow message, as far as it has them."""
        parts: list[Any] = []
        if self._words:
            table = np.array(self._words, dtype=np.int64)
            parts.append(np.ascontiguousarray(table.T).view(np.uint8).reshape(-1).data)
        if self._arrays:
            parts.append(pa.RecordBatch.from_arrays(self._arrays, names=self._names).serialize())
        size = sum(len(memoryview(part)) for part in parts)
        return msgspec.structs.replace(self.section, size=size, flat=len(self._words)), parts


class Unpacker:
    """Gives back the columns of a section, in the order in which they were packed.

    Args:
        section: What was left out.
        content: Its bytes.
        types: Each column that was packed, in order, with its type: a NumPy dtype or `Text`.
    """

    def __init__(self, section: Section, content: Bytes, types: list[tuple[str, Any]]) -> None:
        self._section = section
        flat = 8 * section.flat * section.rows
        if not 0 <= flat <= len(content):
            raise JournalError(f"section {section.name} has {len(content)} bytes, not {flat}")
        self._table = np.frombuffer(content[:flat].tobytes(), dtype=np.int64)
        self._types = dict(types)
        stored = [
            pa.field(name, self._stored_type(name, kind))
            for name, kind in types
            if section.rows
            and name not in section.ramps
            and name not in section.sparse
            and not (section.flat and kind is not Text)
        ]
        self._batch = None
        if stored:
            batch = pa.ipc.read_record_batch(pa.py_buffer(content[flat:]), pa.schema(stored))
            batch.validate(full=True)
            if batch.num_rows != section.rows:
                raise JournalError(
                    f"section {section.name} has {batch.num_rows} rows, not {section.rows}"
                )
            self._batch = batch
        self._places = self._flat_places(types) if section.flat else {}

    def _flat_places(self, types: list[tuple[str, Any]]) -> dict[str, int]:
        """Which word of a row each column of numbers begins with.

        Raises:
            JournalError: The words are not as many as the columns need.
        """
        places: dict[str, int] = {}
        word = 0
        for name, kind in types:
            if kind is not Text:
                places[name] = word
                word += 1 + (name in self._section.nulls)
        if word != self._section.flat:
            raise JournalError(
                f"section {self._section.name} has {self._section.flat} words a row, not {word}"
            )
        return places

    def _words(self, place: int) -> np.ndarray[Any, Any]:
        """One word of every row of a flat section."""
        words: np.ndarray[Any, Any] = self._table[place :: self._section.flat].copy()
        return words

    def _stored_type(self, name: str, kind: Any) -> Any:
        if kind is Text:
            return pa.string()
        if name in self._section.bases:
            return pa.from_numpy_dtype(np.dtype(f"i{self._section.bases[name][1]}"))
        if name in self._section.narrow:
            return pa.float32()
        return pa.from_numpy_dtype(np.dtype(kind))

    def _array(self, name: str) -> Any:
        return self._batch.column(name)  # type: ignore[union-attr]  # asked for stored columns only

    def numbers(self, name: str) -> np.ndarray[Any, Any]:
        """The column as a NumPy array of its own type."""
        section, dtype = self._section, np.dtype(self._types[name])
        if section.rows == 0:
            return np.zeros(0, dtype)
        if section.flat:
            words = self._words(self._places[name])
            return words.view(dtype) if dtype.itemsize == 8 else words.astype(dtype)
        if name in section.ramps:
            first, step = section.ramps[name]
            return (first + step * np.arange(section.rows, dtype=np.int64)).astype(dtype)
        if name in section.sparse:
            sparse = section.sparse[name]
            values = np.full(section.rows, sparse.value, dtype)
            values[sparse.rows] = sparse.values
            return values
        _, data = self._array(name).buffers()
        stored = np.frombuffer(data, dtype=self._stored_type(name, dtype).to_pandas_dtype())
        stored = stored[: section.rows].astype(dtype)
        if name in section.bases:
            stored += dtype.type(section.bases[name][0])
        return stored

    def _valid(self, name: str) -> Bytes:
        rows = self._section.rows
        if name not in self._section.nulls:
            return np.ones(rows, dtype=np.uint8)
        if name in self._places:
            return self._words(self._places[name] + 1).astype(np.uint8)
        bitmap = self._array(name).buffers()[0]
        if bitmap is None:
            raise JournalError(f"column {name} of {self._section.name} lacks its validity")
        return np.unpackbits(np.frombuffer(bitmap, np.uint8), count=rows, bitorder="little")

    def fixed(self, name: str) -> Fixed:
        """A column of events of fixed width."""
        return Fixed(self.numbers(name).view(np.int64), self._valid(name))

    def text(self, name: str) -> Text:
        """A column of text."""
        rows = self._section.rows
        if rows == 0:
            return Text.of([])
        _, offsets, data = self._array(name).buffers()
        starts = np.frombuffer(offsets, np.int32)[: rows + 1].copy()
        raw = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
        return Text(starts, raw[: starts[-1]].copy(), self._valid(name))


def _bitmap_of(valid: Bytes | None) -> Any:
    """Validity as Arrow's bitmap; None if every row is there."""
    if valid is None or valid.all():
        return None
    return pa.py_buffer(np.packbits(valid, bitorder="little"))


def _survey(values: np.ndarray[Any, Any]) -> tuple[int, int, bool, int]:
    """Least, greatest, whether they may go up evenly, how many differ from the middle one."""
    if values.dtype == np.int64:
        found = np.empty(4, dtype=np.int64)
        surveyed(np.ascontiguousarray(values), found)
        least, most, even, others = found.tolist()
        return least, most, bool(even), others
    others = int(np.count_nonzero(values != values[len(values) // 2]))
    steps = np.diff(values)
    even = others == 0 or bool((steps == steps[0]).all())
    return int(values.min()), int(values.max()), even, others


def _ramp(values: np.ndarray[Any, Any]) -> tuple[int, int] | None:
    """First value and step of integers that go up evenly modulo their width; None if they wrap."""
    first, last = int(values[0]), int(values[-1])
    step = int(values[1]) - first if len(values) > 1 else 0
    fits = (
        last == first + step * (len(values) - 1) and max(abs(first), abs(last), abs(step)) < 2**63
    )
    return (first, step) if fits else None
