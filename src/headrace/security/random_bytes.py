"""Random bytes in bulk, from few draws of the system's generator.

The system's own generator gives some 200 MB/s here; a vault that takes in a million new people a
second would spend a quarter of its time on it. So 48 bytes are drawn and stretched by AES-256 in
counter mode, and forgotten before anything is given out: "fast key erasure", after D. J. Bernstein
(2017). What was given out cannot be computed again from what is kept, which is nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.core.columns import Bytes


def stretch(random: Callable[[int], bytes], out: Bytes) -> None:
    """Fill `out` with random bytes that depend on 48 bytes of `random` alone.

    >>> first, second = np.zeros(100, np.uint8), np.zeros(100, np.uint8)
    >>> stretch(bytes, first)
    >>> stretch(bytes, second)
    >>> bool((first == second).all()), len(set(first.tolist())) > 50
    (True, True)
    """
    drawn = random(48)
    cipher = Cipher(algorithms.AES(drawn[:32]), modes.CTR(drawn[32:]))
    out[:] = np.frombuffer(cipher.encryptor().update(bytes(len(out))), dtype=np.uint8)
