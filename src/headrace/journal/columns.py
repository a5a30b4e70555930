"""How columns of numbers and text are stored: as Arrow arrays, as small as is cheap.

Integers that go up evenly are not stored at all; those that are nearly all alike leave only the
exceptions; others are stored as the distance from their least value, in as few bytes as it needs.
Floats that a 32-bit float holds exactly are stored as such. What comes back is what went in, bit
for bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headrace.core.columns import Fixed, Text
from headrace.core.errors import JournalError
from headrace.journal.column_kernels import narrowed, surveyed
from headrace.journal.section import Section, Sparse

if TYPE_CHECKING:
    from headrace.core.columns import Bytes

#: One exception is told where at least this many rows are alike.
_ALIKE = 32
_WIDTHS = tuple((np.dtype(kind), int(np.iinfo(kind).max)) for kind in (np.int8, np.int16, np.int32))
_ARROW_TYPES = {
    np.dtype(name): pa.from_numpy_dtype(np.dtype(name))
    for name in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8")
}


class Packer:
    """Gathers the columns of one section.

    Args:
        section: Its name and how many rows every column has, at least one; told what is left out.
    """

    def __init__(self, section: Section) -> None:
        self.section = section
        self._names: list[str] = []
        self._arrays: list[Any] = []

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
        values = np.ascontiguousarray(values)
        narrow = np.empty(len(values), dtype=np.float32)
        if narrowed(values, narrow):
            values = narrow
            self.section.narrow.append(name)
        self._put(name, values, _bitmap_of(valid))

    def column(self, name: str, column: Fixed | Text, *, floating: bool = False) -> None:
        """A column of events, with its validity."""
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

    def packed(self) -> list[Any]:
        """The Arrow message; nothing when every column was left out."""
        if not self._arrays:
            return []
        return [pa.RecordBatch.from_arrays(self._arrays, names=self._names).serialize()]


class Unpacker:
    """Gives back the columns of a section, in the order in which they were packed.

    Args:
        section: What was left out.
        content: Its bytes.
        types: Each column that was packed, in order, with its type: a NumPy dtype or `Text`.
    """

    def __init__(self, section: Section, content: Bytes, types: list[tuple[str, Any]]) -> None:
        self._section = section
        self._types = dict(types)
        stored = [
            pa.field(name, self._stored_type(name, kind))
            for name, kind in types
            if name not in section.ramps and name not in section.sparse
        ]
        self._batch = None
        if stored:
            batch = pa.ipc.read_record_batch(pa.py_buffer(content), pa.schema(stored))
            batch.validate(full=True)
            if batch.num_rows != section.rows:
                raise JournalError(
                    f"section {section.name} has {batch.num_rows} rows, not {section.rows}"
                )
            self._batch = batch

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
