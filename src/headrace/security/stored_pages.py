"""Pages of a vault as they are stored: their entries one by one, and pages without some."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.security import vault_kernels as kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray


class StoredEntry:
    """An entry on a page: its words as bytes.

    Args:
        raw: All of it.
        shape: The number of its domain, and the length of its value.

    Attributes:
        domain: That number.
        sealed: The value under its subject's key.
        subject: The surrogate of the person whose value it is.
        surrogate: Its own.
    """

    __slots__ = ("domain", "raw", "sealed", "subject", "surrogate")

    def __init__(self, raw: bytes, shape: int) -> None:
        self.raw = raw
        self.domain, length = shape & 0xFFFFFFFF, shape >> 32
        self.surrogate = raw[16:32].decode()
        self.subject = raw[32:48].decode()
        self.sealed = raw[8 * kernels.HEAD :][: length + kernels.TAG]


def walk(page: bytes) -> list[StoredEntry]:
    """The entries of a page, in order."""
    found = []
    at = 0
    words: NDArray[np.uint64] = np.frombuffer(page, dtype=np.uint64)
    while at < len(words):
        shape = int(words[at + kernels.STORED_SHAPE])
        size = kernels.HEAD + ((shape >> 32) + kernels.TAG + 7) // 8
        found.append(StoredEntry(page[8 * at : 8 * (at + size)], shape))
        at += size
    return found


def without(names: set[str], keys: bytes, entries: bytes) -> tuple[bytes, bytes]:
    """Keys and entries of a page, but for those of the named surrogates."""
    kept_keys, kept = [], []
    at = 0
    for stored in walk(entries):
        size = kernels.KEY if stored.subject == stored.surrogate else 0
        if stored.surrogate not in names:
            kept.append(stored.raw)
            kept_keys.append(keys[at : at + size])
        at += size
    return b"".join(kept_keys), b"".join(kept)
