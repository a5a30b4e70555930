"""Reading Universal Binary JSON, the binary form in which XGBoost saves models.

The format is that of ubjson.org, draft 12: a marker byte, big-endian numbers, and containers that
may state the type and the count of their elements. Objects with a stated type, which XGBoost never
writes, are read too.

XGBoost's own reader is not used: importing it takes seconds of a start, and on a file with a few
changed bytes it can take the whole process down, where this one refuses the file.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np

from headrace.core.errors import ArtefactError

_NUMBERS: Final = {
    b"i": ">i1",
    b"U": ">u1",
    b"I": ">i2",
    b"l": ">i4",
    b"L": ">i8",
    b"d": ">f4",
    b"D": ">f8",
}
_CONSTANTS: Final = {b"Z": None, b"T": True, b"F": False}


class _Reader:
    """A position in the bytes of one document."""

    def __init__(self, document: bytes) -> None:
        self.document = document
        self.at = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count < 0 or self.at + count > len(self.document):
            raise ArtefactError(
                f"the model file ends at byte {len(self.document)} in the middle of a value; "
                "it was cut short, save or copy it again"
            )
        self.at += count
        return self.document[self.at - count : self.at]

    def marker(self) -> bytes:
        """The next marker; no-operation bytes are passed over."""
        marker = self.take(1)
        while marker == b"N":
            marker = self.take(1)
        return marker

    def number(self, marker: bytes) -> Any:
        """The number that a marker announces."""
        dtype = np.dtype(_NUMBERS[marker])
        return np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()

    def length(self) -> int:
        """A length: a whole number with its own marker."""
        marker = self.marker()
        if marker not in _NUMBERS or marker in b"dD":
            raise self.unknown(marker)
        return int(self.number(marker))

    def text(self) -> str:
        """A string without its marker."""
        return self.take(self.length()).decode()

    def unknown(self, marker: bytes) -> ArtefactError:
        """The error for a byte that no value begins with."""
        return ArtefactError(
            f"byte {marker!r} at {self.at - 1} begins no UBJSON value; "
            "save the model again, as .json or .ubj"
        )

    def header(self) -> tuple[bytes | None, int | None]:
        """The type and count that a container states of its elements, where it does."""
        kind: bytes | None = None
        count: int | None = None
        if self.document[self.at : self.at + 1] == b"$":
            self.at += 1
            kind = self.take(1)
        if self.document[self.at : self.at + 1] == b"#":
            self.at += 1
            count = self.length()
        return kind, count

    def array(self) -> Any:
        """An array after its marker; numbers of one type come as a NumPy array."""
        kind, count = self.header()
        if kind in _NUMBERS and count is not None:
            dtype = np.dtype(_NUMBERS[kind])
            return np.frombuffer(self.take(dtype.itemsize * count), dtype)
        items: list[Any] = []
        while count is None or len(items) < count:
            marker = kind or self.marker()
            if count is None and marker == b"]":
                break
            items.append(self.value(marker))
        return items

    def object(self) -> dict[str, Any]:
        """An object after its marker."""
        kind, count = self.header()
        held: dict[str, Any] = {}
        pairs = 0
        while count is None or pairs < count:
            if count is None and self.document[self.at : self.at + 1] == b"}":
                self.at += 1
                break
            name = self.text()
            held[name] = self.value(kind or self.marker())
            pairs += 1
        return held

    def value(self, marker: bytes) -> Any:
        """The value that a marker announces."""
        if marker in _NUMBERS:
            return self.number(marker)
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in {b"S", b"H"}:
            return self.text()
        if marker == b"C":
            return self.take(1).decode("latin-1")
        if marker == b"[":
            return self.array()
        if marker == b"{":
            return self.object()
        raise self.unknown(marker)


def read_ubjson(document: bytes) -> Any:
    r"""Read one UBJSON document.

    Args:
        document: the bytes of the file.

    Returns:
        Dictionaries, lists, strings and numbers; a typed array of numbers is a NumPy array.

    Raises:
        ArtefactError: the bytes are cut short or are not UBJSON.

    >>> read_ubjson(b"{U\x01aU\x05U\x01bSU\x02hi}")
    {'a': 5, 'b': 'hi'}
    """
    reader = _Reader(document)
    try:
        return reader.value(reader.marker())
    except (RecursionError, UnicodeDecodeError, struct.error) as error:
        raise ArtefactError(f"the model file is not UBJSON: {error}") from error
