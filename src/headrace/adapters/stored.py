"""The bytes of a finished source, as they were when it was opened, and what tells them apart."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BLOCK = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """The bytes that a source lies in; what is added to its file later is not seen.

    Attributes:
        size: How many they were when it was opened.
        grows: Whether more rows may follow them: lines can be added to, a Parquet file cannot.
        at: The bytes from one place to before another.
    """

    size: int
    grows: bool
    at: Callable[[int, int], bytes | memoryview]

    def digests(self, about: bytes, ends: Sequence[int]) -> list[str]:
        """SHA-256 of `about` and the bytes up to each of `ends`, ascending, in hexadecimal.

        >>> content = Stored(3, True, lambda begin, end: b"abc"[begin:end])
        >>> content.digests(b"", [3])[0][:16]
        'ba7816bf8f01cfea'
        """
        hashed = hashlib.sha256(about)
        found: list[str] = []
        begin = 0
        for end in ends:
            while begin < end:
                step = min(begin + _BLOCK, end)
                hashed.update(self.at(begin, step))
                begin = step
            found.append(hashed.hexdigest())
        return found
