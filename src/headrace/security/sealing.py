"""AES-256-GCM over many short values, each under a key of its own, without holding the GIL.

Sealing through `cryptography` costs about 2 microseconds a value, most of it Python. So the same
libcrypto is called from a kernel, through the addresses of its functions: 0.4 microseconds with a
new key each time. The functions are found through Python's own `_hashlib` or by their usual names,
and checked against `cryptography` before they are trusted; without them, `cryptography` seals the
values one by one, with the same result.
"""

from __future__ import annotations

import _hashlib
import ctypes
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from headrace.core.address import address_of
from headrace.core.errors import invariant
from headrace.security import sealing_kernels as kernels

if TYPE_CHECKING:
    from headrace.core.columns import Bytes, Int64s

#: Bytes of a key, of a nonce, and of the tag that is added to what is sealed.
KEY, NONCE, TAG = 32, 12, 16

_LIBRARIES = (
    getattr(_hashlib, "__file__", None),
    "libcrypto.so.3",
    "libcrypto.3.dylib",
)
_FUNCTIONS = (
    "EVP_EncryptInit_ex",
    "EVP_EncryptUpdate",
    "EVP_EncryptFinal_ex",
    "EVP_CIPHER_CTX_ctrl",
)


@cache
def library() -> ctypes.CDLL | None:
    """A libcrypto whose seals are those of `cryptography`; None if there is none."""
    for name in _LIBRARIES:
        try:
            found = ctypes.CDLL(name) if name else None
        except OSError:
            continue
        if found is not None and _is_right(found):
            return found
    return None


def _is_right(found: ctypes.CDLL) -> bool:
    """Whether it has the functions, and they seal as `cryptography` does."""
    if not all(hasattr(found, name) for name in (*_FUNCTIONS, "EVP_aes_256_gcm")):
        return False
    values = bytes(range(200))
    lengths = (0, 1, 15, 16, 17, 100)
    buffer = np.zeros(sum(lengths) + (NONCE + KEY + TAG) * len(lengths), dtype=np.uint8)
    jobs = np.zeros((len(lengths), kernels.JOB), dtype=np.int64)
    expected = []
    at = 0
    for row, length in enumerate(lengths):
        key, nonce = values[row : row + KEY], values[100 + row : 100 + row + NONCE]
        packed = nonce + key + values[:length]
        buffer[at : at + len(packed)] = np.frombuffer(packed, dtype=np.uint8)
        start = address_of(buffer) + at
        jobs[row] = (start + NONCE, start, start + NONCE + KEY, length)
        expected.append(AESGCM(key).encrypt(nonce, values[:length], None))
        at += len(packed) + TAG
    Sealer(found).seal(jobs)
    at = 0
    for sealed in expected:
        at += NONCE + KEY
        if buffer[at : at + len(sealed)].tobytes() != sealed:
            return False
        at += len(sealed)
    return True


class Sealer:
    """Seals many values in place, each under its own key.

    Args:
        found: The libcrypto to call; None seals through `cryptography`.
    """

    def __init__(self, found: ctypes.CDLL | None) -> None:
        self._functions = np.zeros(5, dtype=np.int64)
        if found is None:
            return
        for place, name in enumerate(_FUNCTIONS):
            self._functions[place] = _address(found, name)
        found.EVP_CIPHER_CTX_new.restype = ctypes.c_void_p
        found.EVP_aes_256_gcm.restype = ctypes.c_void_p
        context = ctypes.c_void_p(found.EVP_CIPHER_CTX_new())
        cipher = ctypes.c_void_p(found.EVP_aes_256_gcm())
        begun = found.EVP_EncryptInit_ex(context, cipher, None, None, None)
        invariant(context.value and begun == 1, "libcrypto has AES-256-GCM")
        self._functions[4] = context.value or 0
        self._free = found.EVP_CIPHER_CTX_free
        self._free.argtypes = [ctypes.c_void_p]

    def __del__(self) -> None:
        if self._functions[4]:
            self._free(int(self._functions[4]))

    def seal(self, jobs: Int64s) -> None:
        """Seal values where they lie; the tag is written behind each.

        Args:
            jobs: int64 [n, 4], a row for each: addresses of key, nonce and value; its length.
        """
        if self._functions[4]:
            sealed = kernels.seal_values(self._functions, jobs)
            invariant(sealed == len(jobs), f"libcrypto sealed {sealed} of {len(jobs)} values")
            return
        for key, nonce, value, length in jobs.tolist():
            sealing = AESGCM(ctypes.string_at(key, KEY))
            written = sealing.encrypt(
                ctypes.string_at(nonce, NONCE), ctypes.string_at(value, length), None
            )
            ctypes.memmove(value, written, len(written))


def _address(found: ctypes.CDLL, name: str) -> int:
    return ctypes.cast(getattr(found, name), ctypes.c_void_p).value or 0


def opened(key: Bytes, nonce: bytes, sealed: bytes) -> bytes:
    """Open one value.

    Raises:
        cryptography.exceptions.InvalidTag: If it was changed, or sealed under another key.
    """
    return AESGCM(key.tobytes()).decrypt(nonce, sealed, None)
