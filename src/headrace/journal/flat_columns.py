"""How the columns of a small section are stored: as they are, one after the other.

In a section of a few rows a look at each column would cost more than the bytes it saves, and so
would a message of Arrow. Its bytes are the numbers, a row of 64-bit words for each column, and then
for each column of text its offsets (32-bit, one more than there are rows) and its UTF-8 bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.columns import Fixed, Text
from headrace.core.errors import JournalError

if TYPE_CHECKING:
    from headrace.core.columns import Bytes
    from headrace.journal.section import Section

#: Up to so many rows, a section is stored flat.
FLAT_ROWS = 512


class FlatPacker:
    """Gathers the columns of one section.

    Args:
        section: Its name and how many rows every column has; told what is packed.
    """

    def __init__(self, section: Section) -> None:
        self._section = section
        self._words: list[np.ndarray[Any, Any]] = []
        self._texts: list[bytes] = []

    def _put(self, name: str, words: np.ndarray[Any, Any], valid: Bytes | None) -> None:
        """Keep the words of a column; after them, if a row has none, which have."""
        self._words.append(words)
        if valid is not None and not valid.all():
            self._section.nulls.append(name)
            self._words.append(valid)

    def integers(self, name: str, values: np.ndarray[Any, Any], valid: Bytes | None = None) -> None:
        """A column of integers of any width."""
        self._put(name, values.view(np.int64) if values.itemsize == 8 else values, valid)

    def floats(self, name: str, values: np.ndarray[Any, Any], valid: Bytes | None = None) -> None:
        """A column of 64-bit floats, kept by their bits."""
        self._put(name, np.ascontiguousarray(values).view(np.int64), valid)

    def matrix(self, names: list[str], values: np.ndarray[Any, Any]) -> None:
        """Columns of 64-bit floats, a row of a matrix each, all of them present."""
        if names:
            self._words.extend(np.ascontiguousarray(values).view(np.int64))

    def column(self, name: str, column: Fixed | Text, *, floating: bool = False) -> None:  # noqa: ARG002 - the words of floats are theirs already
        """A column of events, with its validity."""
        if isinstance(column, Fixed):
            self._put(name, column.values, column.valid)
            return
        if not column.valid.all():
            self._section.nulls.append(name)
            self._words.append(column.valid)
        first, last = int(column.offsets[0]), int(column.offsets[-1])
        self._texts += [(column.offsets - first).tobytes(), column.data[first:last].tobytes()]

    def packed(self) -> list[Any]:
        """The bytes of the section, in parts."""
        return [np.array(self._words, dtype=np.int64).tobytes(), *self._texts]


class FlatUnpacker:
    """Gives back the columns of a section.

    Args:
        section: What `FlatPacker` told of it.
        content: Its bytes.
        types: Each column that was packed, in order, with its type: a NumPy dtype or `Text`.

    Raises:
        JournalError: The bytes are not those of such columns.
    """

    def __init__(self, section: Section, content: Bytes, types: list[tuple[str, Any]]) -> None:
        self._types = dict(types)
        self._rows = rows = section.rows
        self._values: dict[str, int] = {}
        self._valid_at: dict[str, int] = {}
        count = 0
        for name, kind in types:
            if kind is not Text:
                self._values[name] = count
                count += 1
            if name in section.nulls:
                self._valid_at[name] = count
                count += 1
        at = 8 * count * rows
        if at > len(content):
            raise JournalError(f"section {section.name} has {len(content)} bytes, not {at}")
        self._words = np.frombuffer(content[:at].tobytes(), dtype=np.int64).reshape(count, rows)
        self._texts: dict[str, tuple[np.ndarray[Any, Any], Bytes]] = {}
        for name, kind in types:
            if kind is Text:
                offsets = np.frombuffer(content[at : at + 4 * rows + 4].tobytes(), dtype=np.int32)
                at += 4 * rows + 4
                data = content[at : at + int(offsets[-1])].copy()
                at += len(data)
                self._texts[name] = _checked(section, name, offsets, data)
        if at != len(content):
            raise JournalError(f"section {section.name} has {len(content)} bytes, not {at}")

    def numbers(self, name: str) -> np.ndarray[Any, Any]:
        """The column as a NumPy array of its own type."""
        dtype = np.dtype(self._types[name])
        words: np.ndarray[Any, Any] = self._words[self._values[name]].copy()
        return words.view(dtype) if dtype.itemsize == 8 else words.astype(dtype)

    def _valid(self, name: str) -> Bytes:
        if name in self._valid_at:
            valid: Bytes = self._words[self._valid_at[name]].astype(np.uint8)
            return valid
        return np.ones(self._rows, dtype=np.uint8)

    def fixed(self, name: str) -> Fixed:
        """A column of events of fixed width."""
        return Fixed(self.numbers(name).view(np.int64), self._valid(name))

    def text(self, name: str) -> Text:
        """A column of text."""
        offsets, data = self._texts[name]
        return Text(offsets.copy(), data, self._valid(name))


def _checked(
    section: Section, name: str, offsets: np.ndarray[Any, Any], data: Bytes
) -> tuple[np.ndarray[Any, Any], Bytes]:
    """Offsets and bytes of a column of text, once every row is known to be whole UTF-8."""
    rising = offsets[0] == 0 and bool((offsets[1:] >= offsets[:-1]).all())
    if not rising or len(offsets) != section.rows + 1 or offsets[-1] != len(data):
        raise JournalError(f"column {name} of {section.name} does not hold together")
    data.tobytes().decode()
    starts = data[offsets[:-1][offsets[:-1] < len(data)]]
    if ((starts & 0xC0) == 0x80).any():
        raise JournalError(f"a row of column {name} of {section.name} starts within a letter")
    return offsets, data
