"""SHA-256 over many rows of one buffer, and RFC 6962 Merkle trees, without holding the GIL.

The compression is libcrypto's, found through Python's own `_hashlib` (or by its usual names), and
checked against `hashlib` before it is trusted; else it is arithmetic in a kernel, with the same
results and about five times slower.
"""

from __future__ import annotations

import _hashlib
import ctypes
import hashlib
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from headrace.core import sha256_kernels
from headrace.core.errors import invariant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.columns import Bytes, Int64s

#: No libcrypto: the kernels do the compression themselves.
PORTABLE: Int64s = np.zeros(2, dtype=np.int64)

#: Where libcrypto is looked for: `_hashlib` is linked to it in most builds of Python.
_LIBRARIES = (
    getattr(_hashlib, "__file__", None),
    "libcrypto.so.3",
    "libcrypto.so.1.1",
    "libcrypto.3.dylib",
)


def _addresses(library: str) -> Int64s:
    """Addresses of SHA256_Update and SHA256_Transform in a library; OSError without them."""
    loaded = ctypes.CDLL(library)
    found = []
    for name in ("SHA256_Update", "SHA256_Transform"):
        if not hasattr(loaded, name):
            raise OSError(f"{library} has no {name}")
        found.append(ctypes.cast(getattr(loaded, name), ctypes.c_void_p).value or 0)
    return np.array(found, dtype=np.int64)


@cache
def libcrypto() -> Int64s:
    """What the kernels call: addresses in libcrypto that gave the right digests, else zeros."""
    message = bytes(range(256)) * 2
    for library in _LIBRARIES:
        if library is None:
            continue
        try:
            found = _addresses(library)
        except OSError:
            continue
        rows = [message[:length] for length in (0, 1, 55, 56, 63, 64, 65, 300, 512)]
        if _digests(rows, found) == [hashlib.sha256(row).digest() for row in rows]:
            return found
    return PORTABLE


def _digests(rows: Sequence[bytes], addresses: Int64s) -> list[bytes]:
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    data = np.frombuffer(b"".join(rows) + b"\0", dtype=np.uint8).copy()
    return [row.tobytes() for row in digest_rows(data, offsets, addresses=addresses)]


def digest_rows(
    data: Bytes, offsets: Int64s, out: Bytes | None = None, *, addresses: Int64s | None = None
) -> Bytes:
    """SHA-256 of every row `data[offsets[i]:offsets[i + 1]]` of one buffer.

    Args:
        data: The bytes, uint8.
        offsets: int64 [n + 1], not descending.
        out: Where the digests go, uint8 [n, 32]; memory of its own unless given.
        addresses: What does the compression: `libcrypto()` unless given, or `PORTABLE`.

    Returns:
        Digests, uint8 [n, 32].

    >>> rows = digest_rows(np.frombuffer(b"abc", np.uint8), np.array([0, 3]))
    >>> rows[0].tobytes() == hashlib.sha256(b"abc").digest()
    True
    """
    invariant(len(offsets) > 0 and offsets[-1] <= len(data), "rows lie within their buffer")
    digests = np.empty((len(offsets) - 1, 32), dtype=np.uint8) if out is None else out
    invariant(len(digests) == len(offsets) - 1, "every row has room for its digest")
    found = libcrypto() if addresses is None else addresses
    sha256_kernels.digest_rows(found, _writable(data), offsets, digests)
    return digests


def leaves_of(digests: Bytes, measured: Int64s) -> Bytes:
    """Leaf of every record: SHA-256(0x00, digest, measured part as 8 bytes, little-endian).

    Args:
        digests: uint8 [n, 32].
        measured: int64 [n].

    Returns:
        Leaves, uint8 [n, 32].
    """
    leaves = np.empty((len(digests), 32), dtype=np.uint8)
    sha256_kernels.write_leaves(libcrypto(), _writable(digests), measured, leaves)
    return leaves


def _writable(array: Bytes) -> Bytes:
    """A read-only buffer as one that the kernels' one signature takes; they do not write to it."""
    if array.flags.writeable and array.flags.c_contiguous:
        return array
    return np.array(array, dtype=np.uint8, order="C")


def _tree(leaves: Bytes) -> Bytes:
    """Every node above the leaves, level by level; the last is the root.

    Neighbours are paired, and an odd last one goes up as it is: the tree of RFC 6962, section 2.1,
    which splits at the largest power of two. An inner node is SHA-256(0x01, left, right).
    """
    nodes = np.empty((2 * len(leaves) + 64, 32), dtype=np.uint8)
    made = sha256_kernels.write_tree(libcrypto(), _writable(leaves), nodes)
    return nodes[:made]


def merkle_root(leaves: Bytes) -> bytes:
    """Root of the RFC 6962 tree over leaf hashes, uint8 [n, 32]; of none, SHA-256 of nothing.

    >>> merkle_root(np.empty((0, 32), np.uint8)) == hashlib.sha256(b"").digest()
    True
    """
    if len(leaves) == 0:
        return hashlib.sha256(b"").digest()
    top: Bytes = _tree(leaves)[-1] if len(leaves) > 1 else leaves[0]
    return top.tobytes()


def audit_path(leaves: Bytes, index: int) -> list[bytes]:
    """The siblings that lead from leaf `index` to the root, lowest first (RFC 6962, 2.1.1)."""
    invariant(0 <= index < len(leaves), f"leaf {index} is among {len(leaves)}")
    level, nodes, path = leaves, _tree(leaves), []
    while len(level) > 1:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1].tobytes())
        index //= 2
        size = (len(level) + 1) // 2
        level, nodes = nodes[:size], nodes[size:]
    return path
